//! The formats of a file of features, by the end of its name.

use std::io;
use std::path::{Path, PathBuf};

use logo_ssl_base::files::AtomicFile;
use logo_ssl_base::suggest;

use super::table::Table;
use super::{Chosen, npy, npz, parquet, safetensors};
use crate::{Error, Result};

/// How features, names and classes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// NumPy's array `[rows, dim]`; names and classes are beside it in a CSV file of the same name.
    Npy,
    /// NumPy's archive of the arrays `features`, `ids`, `splits`, `labels` (-1 where there is none), `classes` and
    /// `metadata`.
    Npz,
    /// Apache Parquet with the columns `id`, `split`, `label`, `class` and `features`.
    Parquet,
    /// The tensors `features` and `labels` (-1 where there is none), and in the metadata `ids` and `classes` as
    /// JSON.
    Safetensors,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 4] = [Self::Npy, Self::Npz, Self::Parquet, Self::Safetensors];

    /// What names of such files end with, behind the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Npy => "npy",
            Self::Npz => "npz",
            Self::Parquet => "parquet",
            Self::Safetensors => "safetensors",
        }
    }

    /// The format of a file of that name.
    ///
    /// # Errors
    /// [`Error::Name`] with the formats that there are.
    pub fn of_path(path: &Path) -> Result<Self> {
        let extension = path.extension().unwrap_or_default().to_string_lossy();
        let found = Self::ALL.into_iter().find(|format| format.extension() == extension);
        found.ok_or_else(|| {
            let known = Self::ALL.into_iter().map(Self::extension);
            Error::name("format of features", &format!(".{extension}"), suggest(&extension, known))
        })
    }

    /// The files of features at `out`, that of the features last.
    pub fn files(self, out: &Path) -> Vec<PathBuf> {
        let names = (self == Self::Npy).then(|| out.with_extension("csv"));
        names.into_iter().chain([out.to_path_buf()]).collect()
    }

    /// Refuses images for whose names the format has no place.
    pub(super) fn check(self, images: &Chosen) -> Result<()> {
        match self {
            Self::Safetensors => safetensors::check(images),
            _ => Ok(()),
        }
    }

    /// Writes the files of `table`, each whole or not at all. That of the features is there last.
    pub(super) fn write(self, table: &Table<'_>, out: &Path) -> Result<()> {
        match self {
            Self::Npy => {
                whole(&out.with_extension("csv"), |file| npy::write_names(table, file))?;
                whole(out, |file| npy::write(table, file))
            }
            Self::Npz => whole(out, |file| npz::write(table, file)),
            Self::Parquet => whole(out, |file| parquet::write(table, file)),
            Self::Safetensors => whole(out, |file| safetensors::write(table, file)),
        }
    }
}

fn whole(path: &Path, write: impl FnOnce(&mut AtomicFile) -> io::Result<()>) -> Result<()> {
    let mut file = AtomicFile::create(path)?;
    write(&mut file).map_err(Error::io("write", path))?;
    Ok(file.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_the_end_of_a_name_and_the_nearest_is_offered() {
        for format in Format::ALL {
            let name = format!("a.b.{}", format.extension());
            assert_eq!(Format::of_path(name.as_ref()).unwrap(), format);
        }
        let message = |name: &str| Format::of_path(name.as_ref()).unwrap_err().to_string();
        assert!(message("a.npx").contains("`.npx`: did you mean `np"), "{}", message("a.npx"));
        assert!(message("a").contains("expected one of: npy, npz, parquet, safetensors"));
        assert!(message("a.hdf5").contains("expected one of"), "{}", message("a.hdf5"));
    }

    #[test]
    fn names_lie_beside_an_array_alone() {
        let files = |name: &str| Format::of_path(name.as_ref()).unwrap().files(name.as_ref());
        assert_eq!(files("x/a.npy"), [PathBuf::from("x/a.csv"), PathBuf::from("x/a.npy")]);
        assert_eq!(files("a.npz"), [PathBuf::from("a.npz")]);
    }
}
