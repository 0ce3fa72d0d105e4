//! The fuzz targets of what runs leave and are told, on the inputs that they start from, all of which they must take.

#[path = "../fuzz/taken.rs"]
mod taken;
#[path = "../fuzz/src/runs.rs"]
mod targets;

use std::path::Path;

use taken::{Target, assert_seeds_are_taken};

const TARGETS: [(&str, Target); 2] = [("saved", targets::saved), ("settings", targets::settings)];

#[test]
fn every_seed_is_taken() {
    assert_seeds_are_taken(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds"), &TARGETS);
}
