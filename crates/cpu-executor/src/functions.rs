//! Functions of one f32 that the compiler can vectorise: no branches, no calls.

/// 1.5 × 2²³: added and taken off again, it rounds to a whole number.
const ROUNDING: f32 = 12_582_912.0;

/// eˣ, within 2 units in the last place.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Beyond these, the result is infinite or 0. A NaN passes.
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -104.5 { -104.5 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUNDING;
    let n = rounded.to_bits().wrapping_sub(ROUNDING.to_bits()) as i32;
    let whole = rounded - ROUNDING;
    // ln 2 in two parts, the first of few digits.
    let r = x - whole * 0.693_359_4;
    let r = r + whole * 2.121_944_4e-4;
    let p = 1.987_569_2e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let y = p * (r * r) + r + 1.0;
    // In two steps, for a power of two below the least normal number.
    let half = n >> 1;
    y * power(half) * power(n.wrapping_sub(half))
}

/// 2ⁿ for n from -126 to 127.
#[inline(always)]
fn power(n: i32) -> f32 {
    f32::from_bits((n.wrapping_add(127) as u32) << 23)
}

/// ln x, within 2 units in the last place; after FreeBSD's `logf`.
#[inline(always)]
pub(crate) fn log(x: f32) -> f32 {
    let tiny = x < f32::MIN_POSITIVE;
    let scaled = if tiny { x * 33_554_432.0 } else { x };
    let below = if tiny { 25.0 } else { 0.0 };
    let root_half = std::f32::consts::FRAC_1_SQRT_2.to_bits();
    let bits = scaled.to_bits().wrapping_add(1.0f32.to_bits().wrapping_sub(root_half));
    let exponent = ((bits >> 23) as i32).wrapping_sub(127) as f32 - below;
    let f = f32::from_bits((bits & 0x007f_ffff).wrapping_add(root_half)) - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let w = z * z;
    let odd = w * (0.400_009_72 + w * 0.242_790_79);
    let even = z * (0.666_666_6 + w * 0.284_987_87);
    let half_square = 0.5 * f * f;
    let small = s * (half_square + (odd + even)) + exponent * 9.058_001e-6;
    let y = small - half_square + f + exponent * 0.693_138_1;
    let y = if x == 0.0 { f32::NEG_INFINITY } else { y };
    let y = if x == f32::INFINITY { x } else { y };
    // Of a negative number or a NaN there is none.
    if x >= 0.0 { y } else { f32::NAN }
}

/// ln(1 + x), exact near 0: what the rounding of 1 + x loses, the quotient puts right.
#[inline(always)]
pub(crate) fn log_plus_one(x: f32) -> f32 {
    let u = 1.0 + x;
    let right = log(u) * (x / (u - 1.0));
    let y = if u == 1.0 { x } else { right };
    if u == f32::INFINITY { u } else { y }
}

/// 1 / (1 + e⁻ˣ)
#[inline(always)]
pub(crate) fn logistic(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// -1, 0 or 1; of a NaN a NaN.
#[inline(always)]
pub(crate) fn sign(x: f32) -> f32 {
    let y = if x > 0.0 { 1.0 } else { x };
    if x < 0.0 { -1.0 } else { y }
}

/// The greater; a NaN, if one is.
#[inline(always)]
pub(crate) fn maximum(a: f32, b: f32) -> f32 {
    let greater = if a > b { a } else { b };
    if a.is_nan() { a } else { greater }
}

/// The lesser; a NaN, if one is.
#[inline(always)]
pub(crate) fn minimum(a: f32, b: f32) -> f32 {
    let lesser = if a < b { a } else { b };
    if a.is_nan() { a } else { lesser }
}

/// The nearest bfloat16, ties to even, as f32.
#[inline(always)]
pub(crate) fn rounded(x: f32) -> f32 {
    let bits = x.to_bits();
    let up = bits.wrapping_add(0x7fff + ((bits >> 16) & 1)) & 0xffff_0000;
    let quiet = (bits | 0x0040_0000) & 0xffff_0000;
    f32::from_bits(if x.is_nan() { quiet } else { up })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many units in the last place `found` is from `exact`.
    fn units(found: f32, exact: f64) -> f64 {
        let near = exact as f32;
        if near == found || near.is_nan() && found.is_nan() {
            return 0.0;
        }
        let unit = f64::from(near.abs().next_up()) - f64::from(near.abs());
        (f64::from(found) - exact).abs() / unit
    }

    fn worst(function: fn(f32) -> f32, exact: fn(f64) -> f64, from: f32, to: f32) -> f64 {
        let count = 1_000_000;
        let step = (f64::from(to) - f64::from(from)) / f64::from(count);
        let at = |i: i32| (f64::from(from) + step * f64::from(i)) as f32;
        (0..=count).map(|i| units(function(at(i)), exact(f64::from(at(i))))).fold(0.0, f64::max)
    }

    #[test]
    fn they_are_within_two_units_in_the_last_place() {
        for (name, found) in [
            ("exp", worst(exp, f64::exp, -103.9, 88.7)),
            ("exp near 0", worst(exp, f64::exp, -1.0, 1.0)),
            ("log", worst(log, f64::ln, 1e-30, 50.0)),
            ("log of tiny ones", worst(log, f64::ln, 1e-45, 1e-37)),
            ("log near 1", worst(log, f64::ln, 0.5, 2.0)),
            ("log of great ones", worst(log, f64::ln, 1.0, f32::MAX)),
        ] {
            assert!(found <= 2.0, "{name}: {found}");
        }
        for (name, found) in [
            ("log_plus_one", worst(log_plus_one, f64::ln_1p, -0.999, 10.0)),
            ("log_plus_one near 0", worst(log_plus_one, f64::ln_1p, -1e-3, 1e-3)),
            ("logistic", worst(logistic, |x| 1.0 / (1.0 + (-x).exp()), -80.0, 80.0)),
        ] {
            assert!(found <= 4.0, "{name}: {found}");
        }
    }

    #[test]
    fn the_ends_are_right() {
        assert_eq!(exp(f32::INFINITY), f32::INFINITY);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert!(exp(f32::NAN).is_nan() && log(f32::NAN).is_nan() && log(-1.0).is_nan());
        assert_eq!((exp(0.0), log(1.0)), (1.0, 0.0));
        assert_eq!((log(0.0), log(f32::INFINITY)), (f32::NEG_INFINITY, f32::INFINITY));
        assert_eq!(log_plus_one(f32::INFINITY), f32::INFINITY);
        assert_eq!(log_plus_one(-1.0), f32::NEG_INFINITY);
        assert_eq!(log_plus_one(1e-20), 1e-20);
        assert_eq!([sign(-3.0), sign(0.0), sign(2.0)], [-1.0, 0.0, 1.0]);
        assert!(maximum(f32::NAN, 1.0).is_nan() && maximum(1.0, f32::NAN).is_nan());
        assert!(minimum(f32::NAN, 1.0).is_nan() && minimum(1.0, f32::NAN).is_nan());
    }

    #[test]
    fn rounding_is_that_of_half() {
        for bits in (0..=u32::MAX).step_by(65_521).chain([0x3f80_8000, 0x3f81_8000, 0x7f7f_ffff]) {
            let x = f32::from_bits(bits);
            let expected = cpu_kernels::bf16::from_f32(x).to_f32();
            assert_eq!(rounded(x).to_bits(), expected.to_bits(), "{x}");
        }
    }
}
