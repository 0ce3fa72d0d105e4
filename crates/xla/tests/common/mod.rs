//! What the tests with a plugin share.

#![allow(dead_code, reason = "each test file uses its part")]

use std::path::Path;
use std::sync::Arc;

use logo_ssl_xla::{
    Argument, Buffer, Client, CompileOptions, ElementType, Executable, OptionValue, Plugin,
};

/// The environment variable that names the plugin to test with.
pub const PLUGIN: &str = "LOGO_SSL_PJRT_PLUGIN";

/// The plugin to test with, or none where the tests are to be skipped.
pub fn plugin() -> Option<Arc<Plugin>> {
    let Some(path) = std::env::var_os(PLUGIN) else {
        eprintln!("skipped: {PLUGIN} is not set");
        return None;
    };
    Some(Plugin::load(Path::new(&path)).unwrap())
}

/// A client of that plugin.
pub fn client() -> Option<Client> {
    Some(Client::new(&plugin()?, &[]).unwrap())
}

/// A client of several virtual devices, which only the CPU plugin has.
pub fn client_of(devices: i64) -> Option<Client> {
    let options = [("cpu_device_count", OptionValue::Integer(devices))];
    match Client::new(&plugin()?, &options) {
        Ok(client) => Some(client),
        Err(error) => {
            eprintln!("skipped: the plugin has no virtual devices: {error}");
            None
        }
    }
}

pub fn compile(client: &Client, text: &str) -> Executable {
    client.compile(text, &CompileOptions::default()).unwrap()
}

pub fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

pub fn to_f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

pub fn upload(client: &Client, values: &[f32], dims: &[usize]) -> Buffer {
    client.upload(f32s(values), ElementType::F32, dims, 0).unwrap()
}

/// Runs a program of one replica.
pub fn run(executable: &Executable, arguments: Vec<Argument<'_>>) -> Vec<Buffer> {
    executable.run(vec![arguments]).unwrap().remove(0)
}

/// A step: the state, which is donated, halves and takes on the data; its sum comes second.
pub const STEP: &str = r#"
module @step {
  func.func public @main(%state: tensor<2x3xf32> {tf.aliasing_output = 0 : i32}, %data: tensor<2x3xf32>)
      -> (tensor<2x3xf32>, tensor<f32>) {
    %half = stablehlo.constant dense<0.5> : tensor<2x3xf32>
    %zero = stablehlo.constant dense<0.0> : tensor<f32>
    %0 = stablehlo.multiply %state, %half : tensor<2x3xf32>
    %1 = stablehlo.add %0, %data : tensor<2x3xf32>
    %2 = stablehlo.reduce(%1 init: %zero) applies stablehlo.add across dimensions = [0, 1]
        : (tensor<2x3xf32>, tensor<f32>) -> tensor<f32>
    return %1, %2 : tensor<2x3xf32>, tensor<f32>
  }
}
"#;
