//! How far a measured accuracy may be from the true one.

/// The two-sided 95 % quantile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Wilson's 95 % interval of a share of `images` images (Wilson 1927, "Probable inference, the law of succession, and
/// statistical inference"); none of a share that is no number or of no images.
pub(crate) fn wilson(share: f64, images: usize) -> Option<[f64; 2]> {
    if images == 0 || !(0.0..=1.0).contains(&share) {
        return None;
    }
    let n = images as f64;
    let denominator = 1.0 + Z * Z / n;
    let centre = (share + Z * Z / (2.0 * n)) / denominator;
    let half = Z / denominator * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    Some([(centre - half).max(0.0), (centre + half).min(1.0)])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values of SciPy's `binomtest(hits, images).proportion_ci(0.95, "wilson")`.
    #[test]
    fn the_interval_is_that_of_scipy() {
        for (hits, images, low, high) in [
            (617.0, 1000, 0.586_477_269_883_988_4, 0.646_627_268_630_391_5),
            (0.0, 10, 0.0, 0.277_532_799_862_889_26),
            (7.0, 7, 0.645_669_564_933_312_6, 1.0),
        ] {
            let [from, to] = wilson(hits / images as f64, images).unwrap();
            assert!((from - low).abs() < 1e-12 && (to - high).abs() < 1e-12, "{from} {to}");
        }
    }

    #[test]
    fn no_share_has_no_interval() {
        assert_eq!(wilson(0.5, 0), None);
        assert_eq!(wilson(f64::NAN, 10), None);
        assert_eq!(wilson(1.5, 10), None);
    }
}
