use super::*;
use crate::config::AffinityConfig;
use crate::presets::Layers;

/// f_d of embeddings of two dimensions, with one hidden layer of two units.
fn config() -> AffinityConfig {
    let settings = ["affinity.depth=1", "affinity.width=2", "affinity.form=\"mlp\""];
    let layers = settings
        .into_iter()
        .fold(Layers::preset("cifar10").unwrap(), |layers, setting| layers.set(setting).unwrap());
    AffinityConfig { normalise: false, ..layers.build().unwrap().affinity }
}

/// Weights by hand: the hidden units are a₀ + b₁ and a₁ - 2 b₀, batch norm leaves them as they are, and the score
/// is relu(first) + 3 relu(second) - 1.
fn by_hand(affinity: &Affinity) -> State {
    let values = |name: &str| match name {
        name if name.ends_with("running_var") => vec![1.0 - 1e-5; 2],
        name if name.ends_with("running_mean") => vec![0.0; 2],
        "output.weight" => vec![1.0, 3.0],
        "output.bias" => vec![-1.0],
        name if name.ends_with("weight") && name.contains("linear") => {
            vec![1.0, 0.0, 0.0, 1.0, 0.0, 1.0, -2.0, 0.0]
        }
        name if name.ends_with("weight") => vec![1.0; 2],
        _ => vec![0.0; 2],
    };
    let entries = affinity.layouts().into_iter().flat_map(|layout| layout.entries());
    let tensor = |entry: &crate::model::params::Entry| {
        let name = entry.name.clone();
        let values = match entry.range.len() {
            8 => values("linear.weight"),
            _ => values(&name),
        };
        (name, TensorData::new(values, entry.shape.clone()))
    };
    entries.map(tensor).collect()
}

fn expected([a0, a1]: [f32; 2], [b0, b1]: [f32; 2]) -> f32 {
    let score = (a0 + b1).max(0.0) + 3.0 * (a1 - 2.0 * b0).max(0.0) - 1.0;
    score.exp().ln_1p()
}

fn learned() -> LearnedAffinity {
    let affinity = Affinity::new(2, &config());
    let state = by_hand(&affinity);
    LearnedAffinity::new(affinity, &state, &Device::cpu()).unwrap()
}

#[test]
fn an_affinity_made_by_hand_is_what_its_weights_say() {
    // More pairs than one run of the program takes, and no multiple of it.
    let rows: Vec<[f32; 2]> =
        (0..37).map(|i| [(i as f32 * 0.7).sin(), (i as f32 * 1.3).cos()]).collect();
    let embeddings = TensorData::new(rows.concat(), [37, 2]);
    let pairs: Vec<[usize; 2]> = (0..37 * 37).map(|at| [at / 37, at % 37]).collect();
    let scores = learned().of_pairs(embeddings.clone(), &pairs).unwrap();
    assert_eq!(scores.len(), pairs.len());
    for (&[a, b], score) in pairs.iter().zip(&scores) {
        let expected = expected(rows[a], rows[b]);
        assert!((score - expected).abs() < 1e-4, "{a}, {b}: {score} is not {expected}");
    }
    let both = learned().of_all_pairs(embeddings).unwrap();
    assert!((both[3 * 37 + 8] - 0.5 * (scores[3 * 37 + 8] + scores[8 * 37 + 3])).abs() < 1e-6);
    assert_eq!(both[3 * 37 + 8], both[8 * 37 + 3]);
}

#[test]
fn a_cosine_has_no_weights_and_is_scored_all_the_same() {
    let mut config = config();
    config.form = crate::config::AffinityForm::Cosine;
    let affinity = Affinity::new(2, &config);
    let learned = LearnedAffinity::new(affinity, &State::new(), &Device::cpu()).unwrap();
    let rows = TensorData::new(vec![1.0, 0.0, 0.6, 0.8], [2, 2]);
    let scores = learned.of_pairs(rows, &[[0, 1], [1, 1]]).unwrap();
    assert!((scores[0] - 0.6).abs() < 1e-5 && (scores[1] - 1.0).abs() < 1e-5, "{scores:?}");
}

#[test]
fn tensors_that_are_missing_are_named() {
    let affinity = Affinity::new(2, &config());
    let mut state = by_hand(&affinity);
    state.remove("output.bias");
    let error = LearnedAffinity::new(affinity, &state, &Device::cpu()).err().unwrap();
    assert!(error.to_string().contains("output.bias"), "{error}");
}

fn parts(crops: Vec<CropBox>, to_global: Vec<f32>, affinities: Vec<f32>) -> Parts {
    let global = CropBox { x: 0, y: 0, width: 8, height: 8 };
    Parts { image: 0, size: [8, 8], global, crops, to_global, affinities }
}

#[test]
fn pairs_that_show_the_same_pixels_are_left_out_of_the_extremes() {
    let crop = |x| CropBox { x, y: 0, width: 4, height: 4 };
    let affinities = vec![9.0, 8.0, 1.0, 8.0, 9.0, 3.0, 1.0, 3.0, 9.0];
    let three = parts(vec![crop(0), crop(1), crop(4)], vec![0.1, 0.9, 0.5], affinities);
    // The first two share three quarters; the second and the last a quarter.
    assert_eq!(three.extreme_pairs(), Some([([1, 2], 3.0), ([0, 2], 1.0)]));
    assert_eq!(three.nearest_to_global(), [1, 2, 0]);
    let same = parts(vec![crop(0), crop(0)], vec![0.0; 2], vec![1.0; 4]);
    assert_eq!(same.extreme_pairs(), None);
}

#[test]
fn images_get_their_own_part_and_their_means() {
    let empty = || parts(vec![], vec![], vec![]);
    // Two images of four crops: f_d is 10 × the row's image + the column's, and 99 of a crop with itself.
    let score = |at: usize| match [at / 8, at % 8] {
        [row, column] if row == column => 99.0,
        [row, column] => (10 * (row / 4) + column / 4) as f32,
    };
    let all: Vec<f32> = (0..64).map(score).collect();
    let maps = put_together(vec![empty(), empty()], 2, &all);
    assert_eq!(maps.between, [0.0, 1.0, 10.0, 11.0]);
    assert_eq!(maps.images[1].affinities[..5], [99.0, 11.0, 11.0, 11.0, 11.0]);
    assert_eq!(maps.images[0].affinities.iter().filter(|&&score| score == 0.0).count(), 12);
}
