//! Advanced Matrix Extensions of x86-64: eight registers of 16 rows × 64 bytes, and one instruction that
//! multiplies two of them. Their intrinsics are not stable yet, so these are written in assembly.
//!
//! Each block of assembly leaves nothing in the tile registers that a later one reads. What lasts between
//! them is the registers' configuration, which nothing the compiler emits knows of or changes.

use std::arch::asm;
use std::arch::x86_64::{__cpuid_count, _xgetbv};
use std::marker::PhantomData;
use std::sync::OnceLock;

/// Whether the processor has tiles of bfloat16, and the system lets this process use them. Asks once.
pub(crate) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| processor_has_tiles() && system_permits_tiles())
}

fn processor_has_tiles() -> bool {
    const OSXSAVE: u32 = 1 << 27;
    const BF16_AND_TILE: u32 = 1 << 22 | 1 << 24;
    const TILE_STATE: u64 = 0b11 << 17;
    if __cpuid_count(0, 0).eax < 7 || __cpuid_count(1, 0).ecx & OSXSAVE == 0 {
        return false;
    }
    // SAFETY: OSXSAVE says that the instruction is there.
    let enabled = unsafe { extended_state() };
    __cpuid_count(7, 0).edx & BF16_AND_TILE == BF16_AND_TILE && enabled & TILE_STATE == TILE_STATE
}

/// # Safety
/// The processor must have XGETBV.
#[target_feature(enable = "xsave")]
unsafe fn extended_state() -> u64 {
    // SAFETY: the caller's promise; register 0 always exists.
    unsafe { _xgetbv(0) }
}

/// Linux hands out the tiles' eight kilobytes of state on request, once for the whole process.
#[cfg(target_os = "linux")]
fn system_permits_tiles() -> bool {
    const ARCH_PRCTL: usize = 158;
    const REQUEST_PERMISSION: usize = 0x1023;
    const TILE_DATA: usize = 18;
    let result: isize;
    // SAFETY: this system call reads and writes no memory; the kernel clobbers rcx and r11.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn system_permits_tiles() -> bool {
    false
}

/// The layout of LDTILECFG's operand.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

/// This thread's tile registers, configured as 16 rows × 64 bytes for as long as this lives.
pub(crate) struct TileRegisters {
    /// Tied to its thread.
    _thread: PhantomData<*const ()>,
}

impl TileRegisters {
    /// # Panics
    /// If the processor or the system has no tiles.
    pub fn configure() -> Self {
        assert!(is_available(), "this processor has no tiles");
        let mut configuration = Configuration {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        configuration.row_bytes[..8].fill(64);
        configuration.rows[..8].fill(16);
        // SAFETY: tiles are available, and the operand is laid out as the instruction wants it.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly));
        }
        Self { _thread: PhantomData }
    }
}

impl Drop for TileRegisters {
    fn drop(&mut self) {
        // SAFETY: tiles are available, else there were no `self`.
        unsafe { asm!("tilerelease", options(nostack, nomem)) }
    }
}

/// Multiplies tiles in registers, four independent products `rounds` times, and says how many operations
/// that was.
pub(crate) fn multiply_registers(_: &TileRegisters, rounds: usize) -> usize {
    const OPERATIONS: usize = 2 * 16 * 16 * 32;
    // SAFETY: the tiles are configured; nothing else is touched but the registers declared.
    unsafe {
        asm!(
            "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            "tilezero tmm4", "tilezero tmm5",
            "2:",
            "tdpbf16ps tmm0, tmm4, tmm5",
            "tdpbf16ps tmm1, tmm4, tmm5",
            "tdpbf16ps tmm2, tmm4, tmm5",
            "tdpbf16ps tmm3, tmm4, tmm5",
            "dec {n}",
            "jnz 2b",
            n = inout(reg) rounds.max(1) => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _,
            out("tmm3") _, out("tmm4") _, out("tmm5") _,
            options(nostack, nomem),
        );
    }
    4 * rounds.max(1) * OPERATIONS
}
