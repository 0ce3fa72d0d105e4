//! How far an accuracy can be trusted.

/// The 0.975 quantile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// The 95 % interval of a `share` of `images` (Wilson 1927, *Probable inference, the law of succession, and
/// statistical inference*): `[low, high]`, from 0 to 1. Of no image it says nothing, `[0, 1]`.
pub(crate) fn wilson(share: f64, images: usize) -> [f64; 2] {
    if images == 0 {
        return [0.0, 1.0];
    }
    let n = images as f64;
    let weight = 1.0 + Z * Z / n;
    let centre = (share + Z * Z / (2.0 * n)) / weight;
    let half = Z / weight * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).max(0.0).sqrt();
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_that_of_scipy() {
        // scipy.stats.binomtest(count, images).proportion_ci(method="wilson")
        let cases = [
            (0, 10, [0.0, 0.277_532_799_862_889_2]),
            (5, 10, [0.236_593_090_512_564_2, 0.763_406_909_487_435_8]),
            (6_300, 10_000, [0.620_488_974_980_922_5, 0.639_411_185_442_701_7]),
        ];
        for (count, images, wanted) in cases {
            let interval = wilson(f64::from(count) / images as f64, images);
            for (value, wanted) in interval.into_iter().zip(wanted) {
                assert!((value - wanted).abs() < 1e-9, "{count}/{images}: {interval:?}");
            }
        }
        assert_eq!(wilson(1.0, 4)[1], 1.0);
        assert_eq!(wilson(0.5, 0), [0.0, 1.0]);
    }
}
