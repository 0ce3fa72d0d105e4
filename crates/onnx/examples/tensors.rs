//! Lists the tensors of ONNX models by the names that PyTorch's modules have.
//!
//! ```sh
//! cargo run -p logo-ssl-onnx --example tensors -- model.onnx
//! ```

use logo_ssl_onnx::Weights;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let weights =
            Weights::read(std::fs::read(&path)?).map_err(|error| format!("{path}: {error}"))?;
        for (name, info) in weights.tensors() {
            println!("{name} {:?} {}", info.shape, info.element);
        }
    }
    Ok(())
}
