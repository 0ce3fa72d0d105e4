//! Which processor this is.

use crate::level::Level;

/// This processor in one line: its name and model, and the levels that it and the system have.
pub fn processor() -> String {
    let levels: Vec<String> = Level::available().iter().map(Level::to_string).collect();
    format!("{}, {}", name(), levels.join(" "))
}

/// Several models may share a brand, and virtual machines give brands of their own.
#[cfg(target_arch = "x86_64")]
fn name() -> String {
    let signature = std::arch::x86_64::__cpuid(1).eax;
    format!("{}, {signature:x}", brand())
}

#[cfg(not(target_arch = "x86_64"))]
fn name() -> String {
    std::env::consts::ARCH.to_owned()
}

/// The brand, in words one space apart.
#[cfg(target_arch = "x86_64")]
fn brand() -> String {
    use std::arch::x86_64::__cpuid;
    const FIRST: u32 = 0x8000_0002;
    const LAST: u32 = 0x8000_0004;
    if __cpuid(0x8000_0000).eax < LAST {
        return std::env::consts::ARCH.to_owned();
    }
    let registers = (FIRST..=LAST).map(__cpuid).flat_map(|r| [r.eax, r.ebx, r.ecx, r.edx]);
    let bytes: Vec<u8> = registers.flat_map(u32::to_le_bytes).collect();
    let plain = bytes.iter().map(|&byte| match byte.is_ascii_graphic() {
        true => char::from(byte),
        false => ' ',
    });
    plain.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_is_one_line_that_does_not_change() {
        let name = processor();
        assert_eq!(name.lines().count(), 1);
        assert!(name.ends_with("portable"), "{name}");
        assert_eq!(name, processor());
    }
}
