//! With a plugin: buffers, programs and their runs.

mod common;

use std::sync::Arc;

use common::*;
use logo_ssl_xla::{Argument, Client, CompileOptions, ElementType, Error};
use proptest::prelude::*;

#[test]
fn the_plugin_and_its_devices_introduce_themselves() {
    let Some(plugin) = plugin() else { return };
    assert_eq!(plugin.version().0, 0);
    let has_version = |(name, _): &(String, _)| name == "xla_version";
    assert!(plugin.attributes().iter().any(has_version), "{:?}", plugin.attributes());
    let client = Client::new(&plugin, &[]).unwrap();
    assert!(!client.platform().0.is_empty());
    let devices = client.devices();
    assert!(!devices.is_empty() && !devices[0].kind.is_empty());
    assert!(Arc::ptr_eq(&common::plugin().unwrap(), &plugin), "a plugin is loaded once");
    eprintln!("{plugin:?}\n{client:?}\n{:?}", plugin.attributes());
}

#[test]
fn unknown_client_options_are_refused_in_words() {
    let Some(plugin) = plugin() else { return };
    let option = ("no_such_option", logo_ssl_xla::OptionValue::Flag(true));
    let error = Client::new(&plugin, &[option]).unwrap_err();
    eprintln!("{error}");
    assert!(matches!(error, Error::Other { .. } | Error::Unsupported { .. }));
}

fn arrays() -> impl Strategy<Value = (ElementType, Vec<usize>, Vec<u8>)> {
    let elements: Vec<_> = ElementType::all().collect();
    let dims = proptest::collection::vec(0..6_usize, 0..5);
    (proptest::sample::select(elements), dims).prop_flat_map(|(element, dims)| {
        let length = dims.iter().product::<usize>() * element.bytes();
        // Truth values are 0 or 1; of the others any bits are some value.
        let top = if element == ElementType::Pred { 1 } else { u8::MAX };
        let bytes = proptest::collection::vec(0..=top, length);
        (Just(element), Just(dims), bytes)
    })
}

#[test]
fn what_is_uploaded_is_downloaded() {
    let Some(client) = client() else { return };
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(200) };
    proptest!(config, |((element, dims, bytes) in arrays())| {
        let handed = client.upload(bytes.clone(), element, &dims, 0).unwrap();
        let copied = client.upload_slice(&bytes, element, &dims, 0).unwrap();
        prop_assert_eq!((handed.element(), handed.dims(), handed.device()), (element, &dims[..], 0));
        handed.wait_ready().unwrap();
        prop_assert!(handed.is_ready().unwrap());
        prop_assert_eq!(&handed.download().unwrap(), &bytes);
        prop_assert_eq!(&copied.download().unwrap(), &bytes);
    });
}

#[test]
fn a_large_array_may_be_dropped_before_it_has_arrived() {
    let Some(client) = client() else { return };
    let bytes: Arc<[u8]> = (0..8 << 20).map(|at| at as u8).collect();
    for _ in 0..4 {
        drop(client.upload(Arc::clone(&bytes), ElementType::U8, &[8 << 20], 0).unwrap());
    }
    let buffer = client.upload(Arc::clone(&bytes), ElementType::U8, &[8 << 20], 0).unwrap();
    let pending = buffer.read().unwrap();
    drop(buffer.read().unwrap());
    drop(buffer);
    assert_eq!(pending.wait().unwrap(), bytes[..]);
    drop(client);
    assert_eq!(Arc::strong_count(&bytes), 1, "the bytes are let go of");
}

#[test]
fn wrong_uploads_are_errors() {
    let Some(client) = client() else { return };
    let error = client.upload(vec![0; 7], ElementType::F32, &[2], 0).unwrap_err();
    assert!(matches!(error, Error::Argument { .. }), "{error}");
    let devices = client.devices().len();
    let error = client.upload(vec![0; 8], ElementType::F32, &[2], devices).unwrap_err();
    assert_eq!(error, Error::NoSuchDevice { wanted: devices, present: devices });
    let options = CompileOptions { devices: vec![99], ..CompileOptions::default() };
    let error = client.compile(STEP, &options).unwrap_err();
    assert_eq!(error, Error::NoSuchDevice { wanted: 99, present: devices });
}

#[test]
fn donated_state_is_carried_through_ten_steps() {
    let Some(client) = client() else { return };
    let step = compile(&client, STEP);
    let shapes: Vec<String> = step.outputs().map(ToString::to_string).collect();
    assert_eq!(shapes, ["f32[2,3]", "f32[]"]);
    eprintln!("{:?}, fingerprint {:?}", step.memory(), step.fingerprint());
    if let Some(memory) = step.memory() {
        assert_eq!((memory.arguments, memory.aliased), (48, 24));
    }
    let mut expected = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let mut state = upload(&client, &expected, &[2, 3]);
    let mut pending: Option<(logo_ssl_xla::Pending, f32)> = None;
    for at in 0..10 {
        let values = [at as f32; 6];
        let data = upload(&client, &values, &[2, 3]);
        let mut outputs = run(&step, vec![Argument::Donated(state), Argument::Kept(&data)]);
        let sum = outputs.pop().unwrap().read().unwrap();
        state = outputs.pop().unwrap();
        expected = expected.map(|value| value * 0.5 + at as f32);
        // The sum is read a step behind.
        if let Some((sum, expected)) = pending.replace((sum, expected.iter().sum())) {
            assert_eq!(to_f32s(&sum.wait().unwrap()), [expected]);
        }
        assert_eq!(to_f32s(&data.download().unwrap()), values, "kept data stays");
    }
    assert_eq!(to_f32s(&state.download().unwrap()), expected);
}

#[test]
fn kept_arguments_survive_even_where_the_program_may_take_them() {
    let Some(client) = client() else { return };
    let step = compile(&client, STEP);
    let state = upload(&client, &[2.0; 6], &[2, 3]);
    for _ in 0..3 {
        let outputs = run(&step, vec![Argument::Kept(&state), Argument::Kept(&state)]);
        assert_eq!(to_f32s(&outputs[0].download().unwrap()), [3.0; 6]);
        assert_eq!(to_f32s(&state.download().unwrap()), [2.0; 6]);
    }
}

#[test]
fn two_runs_may_be_under_way() {
    let Some(client) = client() else { return };
    let step = compile(&client, STEP);
    let data = upload(&client, &[1.0; 6], &[2, 3]);
    let start = |value| {
        let state = upload(&client, &[value; 6], &[2, 3]);
        run(&step, vec![Argument::Donated(state), Argument::Kept(&data)])
    };
    let (first, second) = (start(2.0), start(4.0));
    let (first, second) = (first[1].read().unwrap(), second[1].read().unwrap());
    assert_eq!(to_f32s(&second.wait().unwrap()), [18.0]);
    assert_eq!(to_f32s(&first.wait().unwrap()), [12.0]);
}

#[test]
fn threads_may_share_client_program_and_buffers() {
    let Some(client) = client() else { return };
    let (step, data) = (compile(&client, STEP), upload(&client, &[1.0; 6], &[2, 3]));
    let outputs = run(&step, vec![Argument::Kept(&data), Argument::Kept(&data)]);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let state = upload(&client, &[2.0; 6], &[2, 3]);
                    let own = run(&step, vec![Argument::Donated(state), Argument::Kept(&data)]);
                    assert_eq!(to_f32s(&own[0].download().unwrap()), [2.0; 6]);
                    outputs[0].wait_ready().unwrap();
                    assert_eq!(to_f32s(&outputs[0].download().unwrap()), [1.5; 6]);
                }
            });
        }
    });
}

#[test]
fn another_layout_on_the_device_is_undone() {
    let Some(client) = client() else { return };
    let text = r#"func.func public @main(%a: tensor<2x3xf32>)
        -> (tensor<2x3xf32> {mhlo.layout_mode = "{0,1}"}) {
      %0 = stablehlo.add %a, %a : tensor<2x3xf32>
      return %0 : tensor<2x3xf32>
    }"#;
    let a = upload(&client, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]);
    let outputs = run(&compile(&client, text), vec![Argument::Kept(&a)]);
    let doubled = to_f32s(&outputs[0].download().unwrap());
    assert_eq!(doubled, [2.0, 4.0, 6.0, 8.0, 10.0, 12.0]);
}

#[test]
fn compile_errors_name_the_operation() {
    let Some(client) = client() else { return };
    let refused = |text: &str| {
        let error = client.compile(text, &CompileOptions::default()).unwrap_err();
        assert!(matches!(error, Error::Compile { .. }), "{error}");
        error.to_string()
    };
    let message = refused(&STEP.replace("stablehlo.multiply", "stablehlo.multiplied"));
    assert!(message.contains("multiplied"), "{message}");
    let message =
        refused(&STEP.replace("%state, %half : tensor<2x3xf32>", "%state, %zero : tensor<f32>"));
    eprintln!("{message}");
    assert!(message.contains("%state") || message.contains("multiply"), "{message}");
}

#[test]
fn flags_of_every_type_are_taken_and_unknown_ones_refused() {
    let Some(client) = client() else { return };
    let with = |name: &str, value: &str| {
        let overrides = vec![(name.into(), value.into())];
        client.compile(STEP, &CompileOptions { overrides, ..CompileOptions::default() })
    };
    with("xla_cpu_enable_fast_math", "false").unwrap();
    with("xla_cpu_enable_fast_math", "True").unwrap();
    with("xla_backend_optimization_level", "1").unwrap();
    with("xla_dump_hlo_as_text", "false").unwrap();
    with("xla_dump_to", "").unwrap();
    with("xla_gpu_redzone_padding_bytes", "8388608").unwrap();
    let error = with("xla_no_such_flag", "1").unwrap_err();
    assert!(error.to_string().contains("xla_no_such_flag"), "{error}");
    let error = with("xla_backend_optimization_level", "many").unwrap_err();
    assert!(matches!(error, Error::Compile { .. }), "{error}");
}

#[test]
fn wrong_arguments_are_errors_before_and_in_the_plugin() {
    let Some(client) = client() else { return };
    let step = compile(&client, STEP);
    // A program that was deserialized knows no arguments, so that the plugin's checks are met.
    let serialized = step.serialize();
    let unchecked =
        serialized.and_then(|bytes| client.deserialize(&bytes, &CompileOptions::default()));
    let fitting = upload(&client, &[1.0; 6], &[2, 3]);
    let turned = upload(&client, &[1.0; 6], &[3, 2]);
    let larger = upload(&client, &[1.0; 8], &[2, 4]);
    let whole = client.upload(vec![0; 24], ElementType::S32, &[2, 3], 0).unwrap();
    for executable in [Some(&step), unchecked.as_ref().ok()].into_iter().flatten() {
        let refused = |arguments: Vec<&_>| {
            let arguments = arguments.into_iter().map(Argument::Kept).collect();
            let error = executable.run(vec![arguments]).unwrap_err();
            eprintln!("{error}");
        };
        refused(vec![&fitting]);
        refused(vec![&fitting, &fitting, &fitting]);
        refused(vec![&fitting, &larger]);
        assert!(executable.run(vec![]).is_err());
        assert!(executable.run(vec![vec![], vec![]]).is_err());
    }
    for wrong in [&turned, &whole] {
        let arguments = vec![Argument::Kept(&fitting), Argument::Kept(wrong)];
        let error = step.run(vec![arguments]).unwrap_err();
        assert!(error.to_string().starts_with("argument 1 is "), "{error}");
    }
    let other = Client::new(client.plugin(), &[]).unwrap();
    let foreign = upload(&other, &[1.0; 6], &[2, 3]);
    let arguments = vec![Argument::Kept(&fitting), Argument::Kept(&foreign)];
    assert!(matches!(step.run(vec![arguments]), Err(Error::Argument { .. })));
}

#[test]
fn a_failure_at_run_time_is_reported_where_one_waits() {
    let Some(client) = client() else { return };
    // Its output has 256 TiB, which no machine of today can have.
    let text = "func.func public @main(%a: tensor<f32>) -> tensor<8192x8589934592xf32> {
      %0 = stablehlo.broadcast_in_dim %a, dims = [] : (tensor<f32>) -> tensor<8192x8589934592xf32>
      return %0 : tensor<8192x8589934592xf32>
    }";
    let sum = "func.func public @main(%a: tensor<8192x8589934592xf32>) -> tensor<f32> {
      %0 = stablehlo.slice %a [0:1, 0:1] : (tensor<8192x8589934592xf32>) -> tensor<1x1xf32>
      %1 = stablehlo.reshape %0 : (tensor<1x1xf32>) -> tensor<f32>
      return %1 : tensor<f32>
    }";
    let a = upload(&client, &[1.0], &[]);
    let error = match compile(&client, text).run(vec![vec![Argument::Kept(&a)]]) {
        Err(error) => error,
        Ok(mut outputs) => {
            eprintln!("the failure comes later");
            let output = outputs.remove(0).remove(0);
            let next = compile(&client, sum).run(vec![vec![Argument::Donated(output)]]);
            match next {
                Err(error) => error,
                Ok(outputs) => {
                    eprintln!("and later still");
                    assert!(outputs[0][0].wait_ready().is_err());
                    outputs[0][0].download().unwrap_err()
                }
            }
        }
    };
    eprintln!("{error}");
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
}

#[test]
fn a_serialized_program_gives_the_same_results() {
    let Some(client) = client() else { return };
    let step = compile(&client, STEP);
    let bytes = match step.serialize() {
        Ok(bytes) => bytes,
        Err(error) => {
            assert!(matches!(error, Error::Unsupported { .. }), "{error}");
            return eprintln!("skipped: the plugin does not serialize programs");
        }
    };
    let again = client.deserialize(&bytes, &CompileOptions::default()).unwrap();
    assert!(step.outputs().eq(again.outputs()));
    let data = upload(&client, &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], &[2, 3]);
    let sum = |executable| {
        let state = upload(&client, &[0.7; 6], &[2, 3]);
        let outputs = run(executable, vec![Argument::Donated(state), Argument::Kept(&data)]);
        (outputs[0].download().unwrap(), outputs[1].download().unwrap())
    };
    assert_eq!(sum(&step), sum(&again));
    let error = client.deserialize(b"no program", &CompileOptions::default()).unwrap_err();
    eprintln!("{error}");
}

#[test]
fn two_replicas_exchange_what_they_have() {
    let Some(client) = client_of(2) else { return };
    assert_eq!(client.devices().len(), 2);
    let text = r#"func.func public @main(%a: tensor<3xf32> {tf.aliasing_output = 0 : i32}) -> tensor<3xf32> {
      %0 = "stablehlo.all_reduce"(%a) <{replica_groups = dense<[[0, 1]]> : tensor<1x2xi64>}> ({
      ^bb0(%x: tensor<f32>, %y: tensor<f32>):
        %s = stablehlo.add %x, %y : tensor<f32>
        stablehlo.return %s : tensor<f32>
      }) : (tensor<3xf32>) -> tensor<3xf32>
      return %0 : tensor<3xf32>
    }"#;
    let two = |devices: &[usize]| CompileOptions {
        replicas: 2,
        devices: devices.to_vec(),
        ..CompileOptions::default()
    };
    for devices in [[0, 1], [1, 0]] {
        let program = client.compile(text, &two(&devices)).unwrap();
        assert_eq!(program.devices(), devices);
        let on = |value: f32, device| {
            client.upload(f32s(&[value; 3]), ElementType::F32, &[3], device).unwrap()
        };
        let mut state = devices.map(|device| on(device as f32 + 1.0, device)).into();
        for at in 1..=10 {
            let lists = Vec::into_iter(state).map(|buffer| vec![Argument::Donated(buffer)]);
            let outputs = program.run(lists.collect()).unwrap();
            state = outputs.into_iter().flatten().collect();
            if at % 5 == 0 {
                for (buffer, device) in state.iter().zip(devices) {
                    let sum = 3.0 * 2_f32.powi(at - 1);
                    assert_eq!(to_f32s(&buffer.download().unwrap()), [sum; 3]);
                    assert_eq!(buffer.device(), device);
                }
            }
        }
        let swapped: Vec<_> = state.into_iter().rev().map(|b| vec![Argument::Donated(b)]).collect();
        let error = program.run(swapped).unwrap_err();
        assert!(error.to_string().contains("device"), "{error}");
    }
    let error = client.compile(text, &two(&[0, 2])).unwrap_err();
    assert_eq!(error, Error::NoSuchDevice { wanted: 2, present: 2 });
}

#[test]
fn a_program_may_run_on_the_second_device() {
    let Some(client) = client_of(2) else { return };
    let options = CompileOptions { devices: vec![1], ..CompileOptions::default() };
    let step = client.compile(STEP, &options).unwrap();
    let buffer = || client.upload(f32s(&[2.0; 6]), ElementType::F32, &[2, 3], 1).unwrap();
    let data = buffer();
    let outputs = run(&step, vec![Argument::Donated(buffer()), Argument::Kept(&data)]);
    assert_eq!(outputs[0].device(), 1);
    assert_eq!(to_f32s(&outputs[0].download().unwrap()), [3.0; 6]);
    if let Ok(bytes) = step.serialize() {
        let step = client.deserialize(&bytes, &options).unwrap();
        let outputs = run(&step, vec![Argument::Donated(buffer()), Argument::Kept(&data)]);
        assert_eq!(to_f32s(&outputs[0].download().unwrap()), [3.0; 6]);
    }
}
