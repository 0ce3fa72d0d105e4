//! Pictures that show what an encoder, or a run, has learned: neighbours, maps, affinities, similarities.

mod affinity;
mod heat;
mod map;
mod map_page;
mod marks;
mod neighbours;
mod similarities;
mod thumbnail;

use std::fmt;
use std::path::Path;

use logo_ssl::config::Config;
use logo_ssl::{Error, Result};
use logo_ssl_base::files::write_atomic;

use crate::scene::Scene;

pub use affinity::affinity;
pub use map::{MapPicture, map};
pub use neighbours::neighbours;
pub use similarities::similarities;

/// What a file of a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Pixels.
    Png,
    /// Shapes, which can be enlarged at will.
    Svg,
    /// A page to move about in.
    Html,
}

impl Format {
    /// What the extension of `path` says, of those that are `possible`.
    ///
    /// # Errors
    /// [`Error::Name`] where it says nothing, or another.
    pub fn of(path: &Path, possible: &[Self]) -> Result<Self> {
        let given = path.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        let given = given.unwrap_or_default();
        possible.iter().copied().find(|format| format.to_string() == given).ok_or_else(|| {
            let names: Vec<String> = possible.iter().map(|format| format!(".{format}")).collect();
            let hint = format!("the name of {} ends in {}", path.display(), names.join(" or "));
            Error::Name { what: "kind of picture", given, hint }
        })
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Png => "png",
            Self::Svg => "svg",
            Self::Html => "html",
        })
    }
}

/// Refuses a path at which no picture could be written, before anything is computed for it.
///
/// # Errors
/// [`Error::Name`] as [`Format::of`]; [`Error::Io`] where there is no such folder.
pub fn check(path: &Path, possible: &[Format]) -> Result<Format> {
    let format = Format::of(path, possible)?;
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let found = std::fs::metadata(folder).and_then(|found| match found.is_dir() {
        true => Ok(()),
        false => Err(std::io::Error::from(std::io::ErrorKind::NotADirectory)),
    });
    found.map(|()| format).map_err(Error::io("write a picture into", folder))
}

/// Of which encoder a picture is, that of the run or the file at `path`, and of which images.
pub fn what(path: &Path, config: &Config) -> String {
    format!("{} on {}", crate::name(path), config.evaluated())
}

/// Writes a drawing to `path`, as its extension says.
fn write(scene: &Scene, path: &Path) -> Result<()> {
    let bytes = match Format::of(path, &[Format::Png, Format::Svg])? {
        Format::Svg => scene.svg().map(String::into_bytes),
        _ => scene.png(),
    };
    Ok(write_atomic(path, &bytes.map_err(Error::io("draw", path))?)?)
}

/// What a class is called; by its number, where it has no name.
fn class_name(names: &[String], class: usize) -> String {
    names.get(class).cloned().unwrap_or_else(|| format!("class {class}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_extension_says_what_a_picture_is() {
        let possible = [Format::Png, Format::Svg];
        assert_eq!(Format::of("a/b.PNG".as_ref(), &possible).unwrap(), Format::Png);
        for path in ["map.html", "map.gif", "map"] {
            let error = Format::of(path.as_ref(), &possible).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            assert!(error.to_string().contains("ends in .png or .svg"), "{error}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_named_before_anything_is_computed() {
        assert!(check("picture.png".as_ref(), &[Format::Png]).is_ok());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        for place in [folder.path().join("none"), file] {
            let error = check(&place.join("a.png"), &[Format::Png]).unwrap_err();
            assert!(error.to_string().contains(&place.display().to_string()), "{error}");
        }
    }
}
