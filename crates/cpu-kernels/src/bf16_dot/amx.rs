//! Blocks of products on the tile registers, each one piece of assembly.

use std::arch::asm;

use super::operands::{Operands, Step};
use crate::tile_registers::TileRegisters;

/// Bytes of a row of B and of C.
const ROW: usize = 64;

/// A tile of A or B at its base plus the step's offset.
macro_rules! load {
    (a, $base:literal => $tile:literal) => {
        concat!(
            "mov {p:e}, dword ptr [{steps}]\n",
            "add {p}, {",
            $base,
            "}\n",
            "tileloadd ",
            $tile,
            ", [{p} + {a_row}]"
        )
    };
    (b, $base:literal => $tile:literal) => {
        concat!(
            "mov {p:e}, dword ptr [{steps} + 4]\n",
            "add {p}, {",
            $base,
            "}\n",
            "tileloadd ",
            $tile,
            ", [{p} + {row}]"
        )
    };
}

/// c += a · b
macro_rules! multiply {
    ($c:literal, $a:literal, $b:literal) => {
        concat!("tdpbf16ps ", $c, ", ", $a, ", ", $b)
    };
}

/// One block of products: the sums are loaded or cleared, go through all steps, and are stored. A register
/// for each base is all that x86-64 has, so the places of C are read from memory.
macro_rules! block {
    ($name:ident, $na:literal by $nb:literal, [$($c:literal),+], a [$($a:ident $ai:literal),+],
     b [$($b:ident $bi:literal),+], $($step:expr),+ $(,)?) => {
        /// # Safety
        #[doc = concat!("As [`Operands`] says, for ", $na, " × ", $nb, " tiles.")]
        pub(super) unsafe fn $name(_: &TileRegisters, o: &Operands<$na, $nb>, steps: &[Step], accumulate: bool) {
            // SAFETY: the tiles are configured; the bases, strides and steps reach only what the
            // caller has promised. The tile registers are declared as clobbered.
            unsafe {
                asm!(
                    "test {acc:e}, {acc:e}",
                    "jz 2f",
                    $(concat!("mov {p}, qword ptr [{c} + 8*", $c, "]"),
                      concat!("tileloadd tmm", $c, ", [{p} + {row}]"),)+
                    "jmp 3f",
                    "2:",
                    $(concat!("tilezero tmm", $c),)+
                    "3:",
                    "test {n}, {n}",
                    "jz 5f",
                    "4:",
                    $($step,)+
                    "add {steps}, 8",
                    "dec {n}",
                    "jnz 4b",
                    "5:",
                    $(concat!("mov {p}, qword ptr [{c} + 8*", $c, "]"),
                      concat!("tilestored [{p} + {row}], tmm", $c),)+
                    c = in(reg) o.c.as_ptr(),
                    $($a = in(reg) o.a[$ai],)+
                    $($b = in(reg) o.b[$bi],)+
                    a_row = in(reg) o.a_row,
                    row = in(reg) ROW,
                    steps = inout(reg) steps.as_ptr() => _,
                    n = inout(reg) steps.len() => _,
                    acc = inout(reg) usize::from(accumulate) => _,
                    p = out(reg) _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                );
            }
        }
    };
}

block!(block_2x2, 2 by 2, [0, 1, 2, 3], a [a0 0, a1 1], b [b0 0, b1 1],
    load!(b, "b0" => "tmm6"),
    load!(a, "a0" => "tmm4"),
    load!(b, "b1" => "tmm7"),
    load!(a, "a1" => "tmm5"),
    multiply!("tmm0", "tmm4", "tmm6"),
    multiply!("tmm1", "tmm4", "tmm7"),
    multiply!("tmm2", "tmm5", "tmm6"),
    multiply!("tmm3", "tmm5", "tmm7"),
);

block!(block_4x1, 4 by 1, [0, 1, 2, 3], a [a0 0, a1 1, a2 2, a3 3], b [b0 0],
    load!(b, "b0" => "tmm4"),
    load!(a, "a0" => "tmm5"),
    load!(a, "a1" => "tmm6"),
    load!(a, "a2" => "tmm7"),
    multiply!("tmm0", "tmm5", "tmm4"),
    load!(a, "a3" => "tmm5"),
    multiply!("tmm1", "tmm6", "tmm4"),
    multiply!("tmm2", "tmm7", "tmm4"),
    multiply!("tmm3", "tmm5", "tmm4"),
);

block!(block_1x3, 1 by 3, [0, 1, 2], a [a0 0], b [b0 0, b1 1, b2 2],
    load!(a, "a0" => "tmm4"),
    load!(b, "b0" => "tmm5"),
    load!(b, "b1" => "tmm6"),
    load!(b, "b2" => "tmm7"),
    multiply!("tmm0", "tmm4", "tmm5"),
    multiply!("tmm1", "tmm4", "tmm6"),
    multiply!("tmm2", "tmm4", "tmm7"),
);

// Six sums leave two registers, so that two tiles of B are loaded twice; they come from the first-level cache.
block!(block_2x3, 2 by 3, [0, 1, 2, 3, 4, 5], a [a0 0, a1 1], b [b0 0, b1 1, b2 2],
    load!(a, "a0" => "tmm6"),
    load!(b, "b0" => "tmm7"),
    multiply!("tmm0", "tmm6", "tmm7"),
    load!(b, "b1" => "tmm7"),
    multiply!("tmm1", "tmm6", "tmm7"),
    load!(b, "b2" => "tmm7"),
    multiply!("tmm2", "tmm6", "tmm7"),
    load!(a, "a1" => "tmm6"),
    multiply!("tmm5", "tmm6", "tmm7"),
    load!(b, "b1" => "tmm7"),
    multiply!("tmm4", "tmm6", "tmm7"),
    load!(b, "b0" => "tmm7"),
    multiply!("tmm3", "tmm6", "tmm7"),
);
