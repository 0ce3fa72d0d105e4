//! Wheels unpacked: only the files that a plugin needs, and never outside their folder.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use crate::fetch::{Error, Result};

/// What a wheel may hold, unpacked; the largest has 0.9 GB.
const MOST_BYTES: u64 = 8 << 30;
const MOST_ENTRIES: usize = 100_000;

/// Programs that XLA runs while it compiles, beside the libraries.
const PROGRAMS: [&str; 3] = ["ptxas", "nvlink", "fatbinary"];

/// How many bytes [`unpack`] will write.
///
/// # Errors
/// As [`unpack`].
pub(crate) fn unpacked_size(wheel: &Path) -> Result<u64> {
    let mut archive = open(wheel)?;
    let (mut all, mut needed) = (0_u64, 0);
    for index in 0..archive.len() {
        let entry = entry(&mut archive, wheel, index)?;
        let name = checked_name(&entry, wheel)?;
        all = all.saturating_add(entry.size());
        if all > MOST_BYTES {
            let problem = format!("makes it more than {MOST_BYTES} bytes, larger than any plugin");
            return Err(Error::Unsafe { archive: wheel.to_path_buf(), entry: name, problem });
        }
        if is_needed(&name) {
            needed += entry.size();
        }
    }
    Ok(needed)
}

/// Unpacks what a plugin needs of `wheel` into `folder`, where nothing of it may lie yet.
///
/// # Errors
/// [`Error::Unsafe`] when any entry, needed or not, has a path that is absolute or climbs out, is no
/// plain file, is there already, or when there is too much; [`Error::Damaged`] when an entry does not
/// hold what it declares; [`Error::Io`] and [`Error::DiskFull`]. What was written by then stays.
pub(crate) fn unpack(wheel: &Path, folder: &Path) -> Result<()> {
    unpacked_size(wheel)?;
    let mut archive = open(wheel)?;
    for index in 0..archive.len() {
        let mut entry = entry(&mut archive, wheel, index)?;
        let name = checked_name(&entry, wheel)?;
        if entry.is_file() && is_needed(&name) {
            write(&mut entry, &name, wheel, folder)?;
        }
    }
    Ok(())
}

fn open(wheel: &Path) -> Result<ZipArchive<File>> {
    let file = File::open(wheel).map_err(Error::io("read", wheel))?;
    let archive = ZipArchive::new(file).map_err(|error| damaged(wheel, error))?;
    match archive.len() <= MOST_ENTRIES {
        true => Ok(archive),
        false => Err(damaged(wheel, format!("it lists more than {MOST_ENTRIES} files"))),
    }
}

fn damaged(wheel: &Path, problem: impl ToString) -> Error {
    Error::Damaged { archive: wheel.to_path_buf(), problem: problem.to_string() }
}

fn entry<'a>(
    archive: &'a mut ZipArchive<File>,
    wheel: &Path,
    index: usize,
) -> Result<ZipFile<'a, File>> {
    archive.by_index(index).map_err(|error| match error {
        ZipError::Io(source) => Error::io("read", wheel)(source),
        error => damaged(wheel, error),
    })
}

/// The entry's path, which has been found harmless.
fn checked_name(entry: &ZipFile<'_, File>, wheel: &Path) -> Result<String> {
    let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
    let problem = if !stays_inside(&name) {
        "would be written outside its folder"
    } else if !is_plain(entry) {
        "is no plain file"
    } else {
        return Ok(name);
    };
    let problem = problem.to_owned();
    Err(Error::Unsafe { archive: wheel.to_path_buf(), entry: name, problem })
}

/// Stricter than any one system: what one takes for a separator or a drive is refused on all.
fn stays_inside(name: &str) -> bool {
    let path = name.strip_suffix('/').unwrap_or(name);
    !name.contains(['\\', ':', '\0', char::REPLACEMENT_CHARACTER])
        && path.split('/').all(|part| !["", ".", ".."].contains(&part))
}

fn is_plain(entry: &ZipFile<'_, File>) -> bool {
    const TYPE: u32 = 0o170_000;
    // Many tools write no type at all.
    let types: &[u32] = if entry.is_dir() { &[0, 0o040_000] } else { &[0, 0o100_000] };
    !entry.is_symlink() && entry.unix_mode().is_none_or(|mode| types.contains(&(mode & TYPE)))
}

/// Libraries, what XLA runs and reads while it compiles, and the packages' own names and licences.
fn is_needed(name: &str) -> bool {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let library = file.ends_with(".so") || file.contains(".so.");
    let program = folder.ends_with("/bin") && PROGRAMS.contains(&file);
    let top = name.split('/').next().unwrap_or_default();
    library || program || folder.ends_with("nvvm/libdevice") || top.ends_with(".dist-info")
}

fn write(entry: &mut ZipFile<'_, File>, name: &str, wheel: &Path, folder: &Path) -> Result<()> {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
    }
    if path.symlink_metadata().is_ok() {
        let problem = "would overwrite a file that is there already".to_owned();
        return Err(Error::Unsafe {
            archive: wheel.to_path_buf(),
            entry: name.to_owned(),
            problem,
        });
    }
    let mut options = OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).open(&path).map_err(Error::io("create", &path))?;
    copy(entry, &mut file, name, wheel, &path)?;
    file.sync_all().map_err(Error::io("write", &path))?;
    make_runnable(entry, &path)
}

fn copy(
    entry: &mut ZipFile<'_, File>,
    file: &mut File,
    name: &str,
    wheel: &Path,
    path: &Path,
) -> Result<()> {
    let declared = entry.size();
    let mut left = declared;
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = entry
            .read(&mut buffer)
            .map_err(|error| damaged(wheel, format!("its entry {name}: {error}")))?;
        if count == 0 {
            break;
        }
        left = left.checked_sub(count as u64).ok_or_else(|| {
            damaged(
                wheel,
                format!("its entry {name} holds more than the {declared} bytes declared"),
            )
        })?;
        file.write_all(&buffer[..count]).map_err(Error::io("write", path))?;
    }
    match left {
        0 => Ok(()),
        left => Err(damaged(wheel, format!("its entry {name} lacks {left} of {declared} bytes"))),
    }
}

#[cfg(unix)]
fn make_runnable(entry: &ZipFile<'_, File>, path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;

    if entry.unix_mode().is_none_or(|mode| mode & 0o111 == 0) {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(Error::io("write", path))
}

#[cfg(not(unix))]
fn make_runnable(_: &ZipFile<'_, File>, _: &Path) -> Result<()> {
    Ok(())
}
