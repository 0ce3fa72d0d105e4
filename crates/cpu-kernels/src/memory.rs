//! How the process's memory comes from the system.

/// Has freed memory kept for the next step instead of handed back to the system.
///
/// A training step's gradients and parameters are larger than what the GNU C library keeps by itself, and
/// fresh pages cost about as much as the arithmetic on them. Elsewhere this does nothing.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        use std::ffi::c_int;
        unsafe extern "C" {
            safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
        }
        const TRIM_THRESHOLD: c_int = -1;
        const MMAP_MAX: c_int = -4;
        mallopt(MMAP_MAX, 0);
        mallopt(TRIM_THRESHOLD, c_int::MAX);
    }
}
