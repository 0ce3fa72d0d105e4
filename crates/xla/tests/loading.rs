//! Without a plugin: what can be wrong with a file that is named as one.

#[path = "common/build.rs"]
mod build;

use std::path::{Path, PathBuf};

use build::library;
use logo_ssl_xla::{Error, Plugin};

/// A library whose table has this size, this version and no functions.
fn table(folder: &Path, name: &str, size: usize, version: (i32, i32)) -> PathBuf {
    let (major, minor) = version;
    let source = format!(
        "#[repr(C)]
         pub struct Header {{ size: usize, extension: usize, version: [usize; 2], number: [i32; 2] }}
         static HEADER: Header = Header {{
             size: {size}, extension: 0, version: [24, 0], number: [{major}, {minor}],
         }};
         #[unsafe(no_mangle)]
         pub extern \"C\" fn GetPjrtApi() -> &'static Header {{ &HEADER }}"
    );
    library(folder, name, &source)
}

/// The error for a file, whose message must name it.
fn refused(path: &Path) -> Error {
    let error = Plugin::load(path).unwrap_err();
    eprintln!("{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    error
}

#[test]
fn a_missing_file() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("nowhere.so"), folder.path().into(), "no_such.so".into()] {
        assert_eq!(refused(&path), Error::Missing { path });
    }
}

#[test]
fn a_text_file() {
    let folder = tempfile::tempdir().unwrap();
    for text in ["", "a text that is no library and long enough to be looked at for a header\n"] {
        let path = folder.path().join("text.so");
        std::fs::write(&path, text).unwrap();
        assert!(matches!(refused(&path), Error::NotAPlugin { .. }));
    }
}

#[test]
fn a_library_without_the_entry() {
    let folder = tempfile::tempdir().unwrap();
    let path = library(folder.path(), "plain", "pub fn nothing() {}");
    let error = refused(&path);
    assert!(matches!(&error, Error::NotAPlugin { reason, .. } if reason.contains("GetPjrtApi")));
    assert!(error.to_string().contains("is no PJRT plugin"));
}

#[test]
fn a_library_that_lacks_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let needed = "#[unsafe(no_mangle)] pub extern \"C\" fn answer() -> i32 { 42 }";
    let needed = library(folder.path(), "needed", needed);
    let needing = "#[link(name = \"needed\")] unsafe extern \"C\" { fn answer() -> i32; }
                   #[unsafe(no_mangle)] pub extern \"C\" fn asks() -> i32 { unsafe { answer() } }";
    let path = library(folder.path(), "needing", needing);
    std::fs::remove_file(needed).unwrap();
    match refused(&path) {
        Error::MissingLibrary { path: of, library: found } => {
            assert_eq!(of, path);
            assert_eq!(found, "libneeded.so");
        }
        error => panic!("{error:?}"),
    }
}

#[test]
fn another_version_of_the_interface() {
    let folder = tempfile::tempdir().unwrap();
    for (name, version) in [("older", (0, 3)), ("newer", (1, 0))] {
        let path = table(folder.path(), name, 4096, version);
        match refused(&path) {
            Error::Version { found, needed, .. } => {
                assert_eq!(found, version);
                assert_eq!(needed.0, 0);
            }
            error => panic!("{error:?}"),
        }
    }
}

#[test]
fn a_table_that_is_too_short_is_not_read_beyond_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = table(folder.path(), "tiny", 8, (0, 115));
    assert!(matches!(refused(&path), Error::NotAPlugin { .. }));
    let path = table(folder.path(), "empty", 40, (0, 115));
    let error = Plugin::load(&path).unwrap_err();
    assert_eq!(error, Error::Unsupported { what: "PJRT_Plugin_Initialize".into() });
}

#[test]
fn a_name_without_a_folder_is_a_file_here() {
    let file = tempfile::Builder::new().suffix(".so").tempfile_in(".").unwrap();
    let name = PathBuf::from(file.path().file_name().unwrap());
    assert!(matches!(refused(&name), Error::NotAPlugin { .. }));
}
