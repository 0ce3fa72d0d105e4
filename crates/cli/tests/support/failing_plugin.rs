//! A plugin for tests, built by them: another plugin whose table is passed on, with one function that fails once.
//!
//! `BENEATH` names the other plugin. `FAILURE` is the function's place in the table, which of its calls fails, and
//! how: `error`, as the plugin itself refuses a call, or `abort`, which ends the process. Without it nothing fails.

use std::ffi::{CString, c_char, c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A struct of the interface, as words.
type Words = *mut usize;
type Entry = extern "C" fn(Words) -> usize;

/// Words of the table before its functions.
const HEADER: usize = 5;
/// dlopen's RTLD_NOW.
const NOW: c_int = 2;

unsafe extern "C" {
    fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// What is to fail.
struct Failure {
    place: usize,
    call: usize,
    aborts: bool,
    beneath: Entry,
}

static CALLS: AtomicUsize = AtomicUsize::new(0);
static FAILURE: OnceLock<Failure> = OnceLock::new();

extern "C" fn fails_once(args: Words) -> usize {
    let failure = FAILURE.get().expect("it is known before the table is given");
    if CALLS.fetch_add(1, Ordering::Relaxed) == failure.call {
        if failure.aborts {
            std::process::abort();
        }
        // A struct begins with its size, and of this one no plugin takes any.
        unsafe { *args = 1 };
    }
    (failure.beneath)(args)
}

/// The table of the plugin beneath.
fn beneath() -> Words {
    let path = CString::new(std::env::var("BENEATH").expect("BENEATH names a plugin")).unwrap();
    let library = unsafe { dlopen(path.as_ptr(), NOW) };
    assert!(!library.is_null(), "{path:?} cannot be loaded");
    let entry = unsafe { dlsym(library, c"GetPjrtApi".as_ptr()) };
    let entry: extern "C" fn() -> Words = unsafe { std::mem::transmute(entry) };
    entry()
}

fn failure(table: &[usize]) -> Option<Failure> {
    let text = std::env::var("FAILURE").ok()?;
    let words: Vec<&str> = text.split(' ').collect();
    let place = HEADER + words[0].parse::<usize>().unwrap();
    let beneath = unsafe { std::mem::transmute::<usize, Entry>(table[place]) };
    Some(Failure { place, call: words[1].parse().unwrap(), aborts: words[2] == "abort", beneath })
}

#[unsafe(no_mangle)]
pub extern "C" fn GetPjrtApi() -> *const usize {
    static TABLE: OnceLock<Vec<usize>> = OnceLock::new();
    let table = TABLE.get_or_init(|| {
        let table = beneath();
        let mut words =
            unsafe { std::slice::from_raw_parts(table, *table / size_of::<usize>()) }.to_vec();
        if let Some(failure) = failure(&words) {
            words[failure.place] = fails_once as *const () as usize;
            FAILURE.get_or_init(|| failure);
        }
        words
    });
    table.as_ptr()
}
