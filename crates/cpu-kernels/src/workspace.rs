//! Buffers that outlive the step that needed them.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use crate::element::Element;

/// Buffers start at a cache line, so that no vector straddles two.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct CacheLine {
    _bytes: [u8; 64],
}

/// A pool of buffers. Clones share the buffers.
///
/// Fresh pages cost more than the arithmetic on them, so what one step has used the next one uses
/// again.
#[derive(Clone, Default)]
pub struct Workspace {
    free: Arc<Mutex<Vec<Vec<CacheLine>>>>,
}

impl std::fmt::Debug for Workspace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Workspace").field("free_bytes", &self.free_bytes()).finish()
    }
}

impl Workspace {
    /// A buffer of `len` numbers whose contents are left from earlier use: the smallest free one
    /// that is large enough, else a new one.
    pub fn take<T: Element>(&self, len: usize) -> Buffer<T> {
        let needed = (len * size_of::<T>()).div_ceil(size_of::<CacheLine>());
        let lines = {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            // Much larger ones are left for those who need their size.
            let fits = |lines: usize| needed <= lines && lines <= 2 * needed + 64;
            let fitting = free.iter().enumerate().filter(|(_, lines)| fits(lines.len()));
            let best = fitting.min_by_key(|(_, lines)| lines.len()).map(|(at, _)| at);
            best.map(|at| free.swap_remove(at))
        };
        let lines = lines.unwrap_or_else(|| vec![CacheLine { _bytes: [0; 64] }; needed]);
        Buffer { lines, len, pool: self.clone(), element: PhantomData }
    }

    /// A buffer of `len` numbers that are all zero, by the rules of [`Workspace::take`].
    pub fn zeroed<T: Element>(&self, len: usize) -> Buffer<T> {
        let mut buffer = self.take(len);
        buffer.fill(T::default());
        buffer
    }

    /// How much of the memory is not in use, in bytes.
    pub(crate) fn free_bytes(&self) -> usize {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.iter().map(|lines| lines.len() * size_of::<CacheLine>()).sum()
    }
}

/// A slice of numbers from a [`Workspace`], to which its memory returns when it is dropped.
pub struct Buffer<T> {
    lines: Vec<CacheLine>,
    len: usize,
    pool: Workspace,
    element: PhantomData<T>,
}

impl<T> std::fmt::Debug for Buffer<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish()
    }
}

impl<T: Element> Deref for Buffer<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: the lines are initialised, aligned, and at least `len` numbers long; every bit
        // pattern is a valid f32 or bf16, which are all that `Element` admits.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl<T: Element> DerefMut for Buffer<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`; the exclusive borrow is this buffer's own.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        let lines = std::mem::take(&mut self.lines);
        self.pool.free.lock().unwrap_or_else(PoisonError::into_inner).push(lines);
    }
}

/// The sum of equally long parts, in their order.
///
/// # Panics
/// If there are none.
pub(crate) fn sum_of(mut parts: Vec<Buffer<f32>>) -> Buffer<f32> {
    const TASK: usize = 4096;
    let mut sum = parts.remove(0);
    sum.par_chunks_mut(TASK).enumerate().for_each(|(task, sum)| {
        for part in &parts {
            sum.iter_mut().zip(&part[task * TASK..]).for_each(|(sum, part)| *sum += part);
        }
    });
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_buffer_is_used_again() {
        let workspace = Workspace::default();
        let first = workspace.take::<f32>(1000);
        let at = first.as_ptr();
        assert_eq!(at.align_offset(64), 0);
        drop(first);
        assert_eq!(workspace.take::<f32>(900).as_ptr(), at);
        assert_eq!(workspace.free_bytes(), 63 * 64);
        assert!(workspace.zeroed::<f32>(900).iter().all(|&x| x == 0.0));
    }
}
