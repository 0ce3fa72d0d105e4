//! How the process's memory comes from the system.

/// Has the allocator keep freed memory for the next step instead of handing it back to the system.
///
/// A training step's gradients and parameters are larger than what the GNU C library keeps by itself, and
/// fresh pages cost about as much as the arithmetic on them. With another C library this does nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: both parameters exist, and the allocator may be set at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_MAX, 0);
        libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
    }
}
