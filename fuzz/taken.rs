//! What the tests of the fuzz targets share; they have it as a module of their own.

use std::fs;
use std::path::Path;

/// A fuzz target: whether its parser took the input.
pub(crate) type Target = fn(&[u8]) -> bool;

/// Holds each target to taking all of its seeds, which lie in the folder of its name within `seeds`.
pub(crate) fn assert_seeds_are_taken(seeds: &Path, targets: &[(&str, Target)]) {
    for (name, target) in targets {
        let mut count = 0;
        for seed in fs::read_dir(seeds.join(name)).unwrap() {
            let seed = seed.unwrap().path();
            assert!(target(&fs::read(&seed).unwrap()), "{} is refused", seed.display());
            count += 1;
        }
        assert!(count > 0, "{name} has no seeds");
    }
}
