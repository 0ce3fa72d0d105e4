//! With a plugin made for the purpose: what happens when everything happens late, and failures most
//! of all. The plugin itself ends the process where the interface is used wrongly.

#[path = "common/build.rs"]
mod build;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use logo_ssl_xla::{
    Argument, Buffer, Cache, Client, CompileOptions, ElementType, Error, Executable, Origin, Plugin,
};

/// A client whose objects nobody else's mingle with, so that they can be counted.
fn client() -> (Client, MutexGuard<'static, ()>) {
    static PLUGIN: OnceLock<Arc<Plugin>> = OnceLock::new();
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let plugin = PLUGIN.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let path = build::library(folder.path(), "late", include_str!("late/plugin.rs"));
        Plugin::load(&path).unwrap()
    });
    (Client::new(plugin, &[]).unwrap(), alone)
}

/// Ends a client and sees that it was the last object.
fn end(client: Client) {
    let plugin = Arc::clone(client.plugin());
    drop(client);
    let next = Client::new(&plugin, &[]).unwrap();
    assert_eq!(next.platform(), ("late", "1"), "objects are left");
}

fn program(client: &Client, text: &str) -> Executable {
    client.compile(text, &CompileOptions::default()).unwrap()
}

fn buffer(client: &Client) -> Buffer {
    client.upload(vec![7; 1000], ElementType::U8, &[1000], 0).unwrap()
}

fn output(program: &Executable, arguments: Vec<Argument<'_>>) -> Buffer {
    program.run(vec![arguments]).unwrap().remove(0).remove(0)
}

#[test]
fn memory_is_held_until_the_device_has_read_it() {
    let (client, _alone) = client();
    let bytes: Arc<[u8]> = vec![3; 4096].into();
    let first = client.upload(Arc::clone(&bytes), ElementType::U8, &[4096], 0).unwrap();
    drop(first);
    assert_eq!(Arc::strong_count(&bytes), 2, "the transfer has not ended");
    let buffers: Vec<Buffer> = (0..50).map(|_| buffer(&client)).collect();
    assert_eq!(buffers[49].download().unwrap(), [7; 1000]);
    drop(buffers);
    end(client);
    assert_eq!(Arc::strong_count(&bytes), 1);
}

#[test]
fn copies_to_the_host_may_be_dropped_and_outlive_everything() {
    let (client, _alone) = client();
    let buffer = buffer(&client);
    drop(buffer.read().unwrap());
    let mut pending = buffer.read().unwrap();
    assert!(!pending.is_ready().unwrap());
    let plugin = Arc::clone(client.plugin());
    drop((buffer, client));
    assert_eq!(pending.wait().unwrap(), [7; 1000]);
    end(Client::new(&plugin, &[]).unwrap());
}

#[test]
fn kept_arguments_are_named_and_donated_ones_destroyed() {
    let (client, _alone) = client();
    let program = program(&client, "well");
    let (first, second) = (buffer(&client), buffer(&client));
    let arguments = vec![
        Argument::Donated(buffer(&client)),
        Argument::Kept(&first),
        Argument::Donated(buffer(&client)),
        Argument::Kept(&second),
    ];
    let output = output(&program, arguments);
    let expected: Vec<u8> = [4_f32, 4.0].iter().flat_map(|number| number.to_le_bytes()).collect();
    assert!(!output.is_ready().unwrap());
    assert_eq!(output.download().unwrap(), expected);
    drop((first, second, output, program));
    end(client);
}

#[test]
fn a_run_that_cannot_start_is_an_error_at_once() {
    let (client, _alone) = client();
    let program = program(&client, "start 8 no room for 12 GiB");
    let error = program.run(vec![vec![Argument::Donated(buffer(&client))]]).unwrap_err();
    assert_eq!(error, Error::OutOfMemory { message: "no room for 12 GiB".into() });
    drop(program);
    end(client);
}

#[test]
fn a_run_that_fails_later_is_an_error_wherever_one_waits() {
    let (client, _alone) = client();
    for when in ["run", "output"] {
        let message = "CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered";
        let program = program(&client, &format!("{when} 13 {message}"));
        let output = output(&program, vec![]);
        let early = output.read().unwrap();
        let expected = Error::DeviceLost { message: message.into() };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(output.wait_ready().unwrap_err(), expected));
            }
        });
        assert_eq!(output.download().unwrap_err(), expected);
        drop(output);
        assert_eq!(early.wait().unwrap_err(), expected);
    }
    end(client);
}

#[test]
fn a_failure_is_passed_on_to_later_runs() {
    let (client, _alone) = client();
    let (fails, works) = (program(&client, "run 13 first"), program(&client, "well"));
    let mut state = output(&fails, vec![]);
    for _ in 0..5 {
        state = output(&works, vec![Argument::Donated(state)]);
    }
    let error = state.read().unwrap().wait().unwrap_err();
    assert_eq!(error, Error::Other { code: 13, message: "first".into() });
    // Known by now to have failed, and still passed on.
    state = output(&works, vec![Argument::Donated(state)]);
    assert_eq!(state.wait_ready().unwrap_err(), error);
    // What comes from elsewhere is untouched.
    assert!(output(&works, vec![]).download().is_ok());
    drop((fails, works, state));
    end(client);
}

#[test]
fn ended_runs_are_let_go_of() {
    let (client, _alone) = client();
    let works = program(&client, "well");
    let mut state = output(&works, vec![]);
    for _ in 0..100 {
        state.wait_ready().unwrap();
        state = output(&works, vec![Argument::Donated(state)]);
    }
    let other = Client::new(client.plugin(), &[]).unwrap();
    // Two clients, a program and its executable, a buffer and the end of its run.
    assert_eq!(other.platform().1, "6");
    drop((other, works, state));
    end(client);
}

#[test]
fn functions_that_the_table_lacks_are_reported_and_not_called() {
    let (client, _alone) = client();
    let program = program(&client, "well");
    assert_eq!((program.memory(), program.fingerprint()), (None, None));
    assert_eq!(client.devices()[0].memory, None);
    let lacks = |name: &str| Error::Unsupported { what: name.into() };
    assert_eq!(program.serialize(), Err(lacks("PJRT_Executable_Serialize")));
    let error = client.deserialize(b"", &CompileOptions::default()).unwrap_err();
    assert_eq!(error, lacks("PJRT_Executable_DeserializeAndLoad"));
    let folder = tempfile::tempdir().unwrap();
    let (again, origin) = cached(folder.path(), &client);
    assert!(matches!(origin, Origin::Uncached(reason) if reason.contains("Serialize")));
    assert_eq!(again.outputs().len(), 1);
    drop((program, again));
    end(client);
}

fn cached(folder: &Path, client: &Client) -> (Executable, Origin) {
    let cache = Cache::at(folder).unwrap();
    cache.compile(client, "well", &CompileOptions::default()).unwrap()
}
