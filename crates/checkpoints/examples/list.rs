//! Lists the tensors of a checkpoint and the ResNets in it, and reads them all: `list FILE`.

use std::path::PathBuf;

use logo_ssl_checkpoints::{Backbone, Checkpoint};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args_os().nth(1).map(PathBuf::from).ok_or("name a checkpoint")?;
    let checkpoint = Checkpoint::open(&file)?;
    for (name, info) in checkpoint.tensors() {
        println!("{name}  {}  {:?}", info.element, info.shape);
    }
    for backbone in Backbone::find(&checkpoint) {
        let tensors = backbone.tensors(&checkpoint);
        let mut numbers = 0;
        for theirs in tensors.values() {
            numbers += checkpoint.numbers(theirs)?.len();
        }
        println!(
            "a ResNet behind `{}`: {} tensors, {numbers} numbers",
            backbone.prefix,
            tensors.len()
        );
    }
    Ok(())
}
