//! What scikit-learn, scipy and statsmodels make of the same numbers, as
//! `tests/fixtures/make_fixtures.py` wrote it down.

use logo_ssl_measures::clusters::{self, agreement, k_means, k_means_from};
use logo_ssl_measures::geometry::{self, Hubness, Pairs};
use logo_ssl_measures::interval::{bootstrap_mean, wilson};
use logo_ssl_measures::logistic::{Options, fit};
use logo_ssl_measures::paired::McNemar;
use logo_ssl_measures::reduce::{Pca, Tsne, trustworthiness, tsne};
use logo_ssl_measures::{Confusion, Features, Labels};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixtures {
    dim: usize,
    rows: Vec<f32>,
    labels: Vec<usize>,
    logistic: Vec<Logistic>,
    clusters: Clusters,
    geometry: Geometry,
    intervals: Intervals,
    reduce: Reduced,
    /// `[200, 64]`.
    digits: Vec<f32>,
}

#[derive(Deserialize)]
struct Logistic {
    c: f64,
    standardise: bool,
    loss: f64,
    weights: Vec<f32>,
    bias: Vec<f32>,
    accuracy: f64,
}

#[derive(Deserialize)]
struct Clusters {
    start: Vec<usize>,
    inertia: f64,
    clusters: Vec<usize>,
    centres: Vec<f32>,
    best_of_ten: f64,
    nmi: f64,
    adjusted_rand: f64,
    accuracy: f64,
}

#[derive(Deserialize)]
struct Geometry {
    uniformity: f64,
    pairs: Vec<(usize, usize)>,
    alignment: f64,
    effective_rank: f64,
    deviations: Vec<f64>,
    hubness: Hubness,
}

#[derive(Deserialize)]
struct Intervals {
    wilson: Vec<(usize, usize, f64, f64)>,
    values: Vec<f64>,
    bootstrap: [f64; 2],
    mcnemar: Vec<(u64, u64, f64)>,
}

#[derive(Deserialize)]
struct Reduced {
    explained_variance: Vec<f64>,
    explained_ratio: Vec<f64>,
    /// Of the first 20 images, `[20, 3]`.
    places: Vec<f32>,
    random_plane: Vec<f32>,
    /// k, of the first two components, and of the random plane.
    trustworthiness: Vec<(usize, f64, f64)>,
}

fn fixtures() -> Fixtures {
    serde_json::from_str(include_str!("fixtures/fixtures.json")).unwrap()
}

impl Fixtures {
    fn features(&self) -> Features<'_> {
        Features::new(&self.rows, self.dim).unwrap()
    }

    fn labels(&self) -> Labels<'_> {
        Labels::new(&self.labels).unwrap()
    }
}

fn assert_near(found: f64, expected: f64, relative: f64, what: &str) {
    let off = (found - expected).abs();
    assert!(off <= relative * expected.abs().max(1e-12), "{what}: {found}, but {expected} there");
}

fn assert_all_near(found: &[f32], expected: &[f32], off: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        let allowed = off * expected.abs().max(1.0);
        assert!((found - expected).abs() <= allowed, "{what} {at}: {found}, not {expected}");
    }
}

#[test]
fn logistic_regression_has_scikit_learns_loss_and_weights() {
    let fixtures = fixtures();
    let data = fixtures.features().labelled(fixtures.labels()).unwrap();
    for case in &fixtures.logistic {
        let Logistic { c, standardise, .. } = *case;
        let what = format!("C = {c}, standardised: {standardise}");
        let options = Options { c, standardise, tolerance: 1e-6, max_iterations: 2000 };
        let found = fit(data, &options, &mut |_, _| true).unwrap().unwrap();
        assert!(found.converged, "{what}");
        assert_near(found.loss, case.loss, 1e-5, &what);
        assert_all_near(&found.weights, &case.weights, 0.02, &format!("weights, {what}"));
        assert_all_near(&found.bias, &case.bias, 0.02, &format!("biases, {what}"));
        let predictions = found.predict(fixtures.features()).unwrap();
        let accuracy = Confusion::new(fixtures.labels(), &predictions).unwrap().accuracy();
        assert!((accuracy - case.accuracy).abs() < 0.004, "{what}: {accuracy}, {}", case.accuracy);
    }
}

#[test]
fn the_tolerance_of_everyday_leaves_the_loss_within_a_ten_thousandth() {
    let fixtures = fixtures();
    let data = fixtures.features().labelled(fixtures.labels()).unwrap();
    for case in fixtures.logistic.iter().filter(|case| case.standardise) {
        let options = Options { c: case.c, ..Options::default() };
        let found = fit(data, &options, &mut |_, _| true).unwrap().unwrap();
        assert_near(found.loss, case.loss, 1e-4, &format!("C = {}", case.c));
    }
}

#[test]
fn k_means_ends_where_scikit_learns_does() {
    let fixtures = fixtures();
    let (features, expected) = (fixtures.features(), &fixtures.clusters);
    let start = features.select(&expected.start).unwrap();
    let options = clusters::Options { tolerance: 0.0, ..clusters::Options::new(5, 0) };
    let found = k_means_from(features, &start, &options).unwrap();
    assert!(found.converged);
    assert_eq!(found.clusters, expected.clusters);
    assert_near(found.inertia, expected.inertia, 1e-6, "inertia");
    assert_all_near(&found.centres, &expected.centres, 1e-5, "centres");
    let best = k_means(features, &options, &mut |_, _| true).unwrap().unwrap();
    assert!(best.inertia < expected.best_of_ten * 1.01, "{}", best.inertia);
}

#[test]
fn clusters_agree_with_classes_as_scikit_learn_says() {
    let fixtures = fixtures();
    let expected = &fixtures.clusters;
    let clusters = Labels::new(&expected.clusters).unwrap();
    let found = agreement(clusters, fixtures.labels()).unwrap();
    assert_near(found.nmi, expected.nmi, 1e-9, "nmi");
    assert_near(found.adjusted_rand, expected.adjusted_rand, 1e-9, "adjusted Rand index");
    assert_near(found.accuracy, expected.accuracy, 1e-12, "accuracy");
}

#[test]
fn geometry_is_numpys() {
    let fixtures = fixtures();
    let (features, expected) = (fixtures.features(), &fixtures.geometry);
    let uniformity = geometry::uniformity(features, Pairs::All).unwrap();
    assert_near(uniformity, expected.uniformity, 1e-6, "uniformity");
    let drawn = Pairs::Drawn { count: 200_000, seed: 1 };
    let drawn = geometry::uniformity(features, drawn).unwrap();
    assert_near(drawn, expected.uniformity, 0.01, "uniformity of drawn pairs");
    let alignment = geometry::alignment(features, &expected.pairs).unwrap();
    assert_near(alignment, expected.alignment, 1e-6, "alignment");
    assert_near(
        geometry::effective_rank(features),
        expected.effective_rank,
        1e-6,
        "effective rank",
    );
    for (found, expected) in geometry::deviations(features).iter().zip(&expected.deviations) {
        assert!((found - expected).abs() < 1e-5, "{found}, not {expected}");
    }
    let hubness = geometry::hubness(features, expected.hubness.k).unwrap();
    assert_eq!(hubness.greatest, expected.hubness.greatest);
    assert_near(hubness.skewness, expected.hubness.skewness, 1e-9, "skewness");
    assert_near(hubness.anti_hubs, expected.hubness.anti_hubs, 1e-9, "anti-hubs");
}

#[test]
fn intervals_and_tests_are_scipys_and_statsmodels() {
    let expected = fixtures().intervals;
    for (hits, total, low, high) in expected.wilson {
        let found = wilson(hits, total).unwrap();
        assert!((found.low - low).abs() < 1e-12 && (found.high - high).abs() < 1e-12, "{found:?}");
    }
    let found = bootstrap_mean(&expected.values, 50_000, 3).unwrap();
    assert!((found.low - expected.bootstrap[0]).abs() < 0.01, "{found:?}");
    assert!((found.high - expected.bootstrap[1]).abs() < 0.01, "{found:?}");
    for (only_first, only_second, p_value) in expected.mcnemar {
        let found = McNemar::of_counts(only_first, only_second).p_value;
        assert_near(found, p_value, 1e-9, &format!("McNemar {only_first}, {only_second}"));
        assert_eq!(found, McNemar::of_counts(only_second, only_first).p_value);
    }
}

#[test]
fn principal_components_are_scikit_learns_signs_and_all() {
    let fixtures = fixtures();
    let (features, expected) = (fixtures.features(), &fixtures.reduce);
    let found = Pca::fit(features, 3).unwrap();
    for (found, expected) in found.explained_variance().iter().zip(&expected.explained_variance) {
        assert_near(*found, *expected, 1e-6, "explained variance");
    }
    for (found, expected) in found.explained_ratio().iter().zip(&expected.explained_ratio) {
        assert_near(*found, *expected, 1e-6, "explained share");
    }
    let places = found.transform(features).unwrap();
    assert_all_near(&places[..60], &expected.places, 1e-4, "places");
}

#[test]
fn trustworthiness_is_scikit_learns() {
    let fixtures = fixtures();
    let (features, expected) = (fixtures.features(), &fixtures.reduce);
    let plane = Pca::fit(features, 2).unwrap().transform(features).unwrap();
    let plane = Features::new(&plane, 2).unwrap();
    let random = Features::new(&expected.random_plane, 2).unwrap();
    for &(k, of_plane, of_random) in &expected.trustworthiness {
        assert_near(trustworthiness(features, plane, k).unwrap(), of_plane, 1e-9, "plane");
        assert_near(trustworthiness(features, random, k).unwrap(), of_random, 1e-9, "random");
    }
}

#[test]
fn a_map_of_digits_can_be_trusted_and_is_the_same_again() {
    let fixtures = fixtures();
    let digits = Features::new(&fixtures.digits, 64).unwrap();
    let options = Tsne { perplexity: 15.0, ..Tsne::default() };
    let mut steps = 0;
    let map = tsne(digits, &options, &mut |done, _| steps = done).unwrap();
    assert_eq!(steps, 1000);
    let places = Features::new(&map, 2).unwrap();
    let trust = trustworthiness(digits, places, 5).unwrap();
    assert!(trust > 0.97, "{trust}");
    assert_eq!(tsne(digits, &options, &mut |_, _| {}).unwrap(), map);
}
