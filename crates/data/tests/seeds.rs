//! The fuzz targets on the inputs that they start from, all of which they must take.

#[path = "../../../fuzz/taken.rs"]
mod taken;
#[path = "../../../fuzz/src/parsers.rs"]
mod targets;

use std::path::Path;

use taken::{Target, assert_seeds_are_taken};

const TARGETS: [(&str, Target); 10] = [
    ("archive", targets::archive),
    ("checkpoint", targets::checkpoint),
    ("cifar", targets::cifar),
    ("idx", targets::idx),
    ("image", targets::image),
    ("pack", targets::pack),
    ("parquet", targets::parquet),
    ("pickle", targets::pickle),
    ("stl10", targets::stl10),
    ("tar", targets::tar),
];

#[test]
fn every_seed_is_taken_by_its_parser() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds");
    assert_seeds_are_taken(&seeds, &TARGETS);
}
