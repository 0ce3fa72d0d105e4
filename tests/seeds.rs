//! The fuzz targets of what runs leave and are told, on the inputs that they start from, all of which they must take.

#[path = "../fuzz/src/runs.rs"]
mod targets;

use std::fs;
use std::path::Path;

/// A fuzz target.
type Target = fn(&[u8]) -> bool;

const TARGETS: [(&str, Target); 2] = [("saved", targets::saved), ("settings", targets::settings)];

#[test]
fn every_seed_is_taken() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
    for (name, target) in TARGETS {
        let mut count = 0;
        for seed in fs::read_dir(seeds.join(name)).unwrap() {
            let seed = seed.unwrap().path();
            assert!(target(&fs::read(&seed).unwrap()), "{} is refused", seed.display());
            count += 1;
        }
        assert!(count > 0, "{name} has no seeds");
    }
}
