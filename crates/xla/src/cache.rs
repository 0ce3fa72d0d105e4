//! Compiled programs kept in files, so that later processes need not compile them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::client::Client;
use crate::error::Error;
use crate::executable::Executable;
use crate::options::CompileOptions;
use crate::signature;

/// What an entry begins with; its last number changes with the format.
const MAGIC: &[u8; 16] = b"xla program 1\n\0\0";
/// The length of a digest.
const DIGEST: usize = 32;
/// What lies before the serialized program: the magic, the entry's key and the program's digest.
const HEADER: usize = MAGIC.len() + 2 * DIGEST;

/// A folder of compiled programs.
///
/// An entry is named by a digest of all that its program depends on: the text, the options, the
/// environment variable `XLA_FLAGS`, the plugin's version and the size and date of its file, the
/// platform and the kind of device. Entries are written whole or not at all, so several processes
/// may share a folder. As programs are code, whoever can write to the folder must be trusted.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
}

/// Where a program came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// From the cache.
    Cached,
    /// It was compiled, and is in the cache now.
    Compiled,
    /// It was compiled and is not in the cache, for the reason given: the plugin cannot serialize
    /// programs, or the entry cannot be written.
    Uncached(String),
}

impl Cache {
    /// A cache in the folder at `directory`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// [`Error::Cache`] where the folder cannot be made.
    pub fn at(directory: impl Into<PathBuf>) -> Result<Self, Error> {
        let directory = directory.into();
        match fs::create_dir_all(&directory) {
            Ok(()) => Ok(Self { directory }),
            Err(error) => Err(Error::Cache { path: directory, reason: error.to_string() }),
        }
    }

    /// The program of a text: from the cache, else compiled as by [`Client::compile`] and stored.
    ///
    /// An entry that is damaged, or that the plugin does not accept, is deleted and made anew.
    ///
    /// # Errors
    ///
    /// Those of [`Client::compile`]. A program that cannot be stored is no error; the [`Origin`]
    /// says why.
    pub fn compile(
        &self,
        client: &Client,
        text: &str,
        options: &CompileOptions,
    ) -> Result<(Executable, Origin), Error> {
        let key = key(client, text, options)?;
        let path = self.directory.join(format!("{}.xla", hexadecimal(&key)));
        if let Some(program) = stored(&path, &key) {
            match client.load(&program, options, signature::parameters(text)) {
                Ok(executable) => return Ok((executable, Origin::Cached)),
                Err(error @ (Error::OutOfMemory { .. } | Error::DeviceLost { .. })) => {
                    return Err(error);
                }
                Err(_) => {}
            }
        }
        // An entry that is of no use is replaced below, or at least does not stay.
        let _ = fs::remove_file(&path);
        let executable = client.compile(text, options)?;
        let written = executable
            .serialize()
            .map_err(|error| error.to_string())
            .and_then(|program| store(&path, &key, &program).map_err(|error| error.to_string()));
        Ok((executable, written.map_or_else(Origin::Uncached, |()| Origin::Compiled)))
    }
}

/// The digest of all that a program depends on.
fn key(client: &Client, text: &str, options: &CompileOptions) -> Result<[u8; DIGEST], Error> {
    let (devices, encoded) = client.encode(options)?;
    let (major, minor) = client.plugin().version();
    let (name, version) = client.platform();
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    };
    add(MAGIC);
    add(format!("{major}.{minor}").as_bytes());
    add(name.as_bytes());
    add(version.as_bytes());
    add(client.plugin().build().as_bytes());
    add(std::env::var_os("XLA_FLAGS").unwrap_or_default().as_encoded_bytes());
    add(&encoded);
    add(text.as_bytes());
    for (name, value) in client.plugin().attributes() {
        add(format!("{name}={value}").as_bytes());
    }
    for device in devices {
        add(client.kind(device).as_bytes());
    }
    Ok(digest.finalize().into())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The program of an entry, unless there is none or it is damaged.
fn stored(path: &Path, key: &[u8; DIGEST]) -> Option<Vec<u8>> {
    let mut entry = fs::read(path).ok()?;
    if entry.len() < HEADER {
        return None;
    }
    let program = entry.split_off(HEADER);
    (entry == header(key, &program)).then_some(program)
}

fn header(key: &[u8; DIGEST], program: &[u8]) -> Vec<u8> {
    [&MAGIC[..], key, &Sha256::digest(program)].concat()
}

/// Writes an entry under another name and then renames it, so that nobody sees half of it.
fn store(path: &Path, key: &[u8; DIGEST], program: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{count}.tmp", std::process::id()));
    let entry = [&header(key, program)[..], program].concat();
    let written = fs::write(&temporary, entry).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // What is left of it is of no use; that it cannot be deleted changes nothing.
        let _ = fs::remove_file(&temporary);
    }
    written
}
