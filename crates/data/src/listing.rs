//! The pictures under a folder, at the cost of reading folders: a file is opened only where its name does
//! not say what it is.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::leftovers::{self, Named};
use crate::{Error, Ignored, Result};

/// How many folders deep pictures may lie: the stack is finite.
const MOST_DEPTH: usize = 64;
/// How many links may lead on from each other: a few folders that link to one another make many paths.
const MOST_LINKS: usize = 4;
/// After so many files of one extension in a folder that are no pictures, no more of them are opened.
const MOST_MISSES: usize = 16;
/// How often it is told that a long listing goes on.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// So many entries of a folder are read between two looks at the clock.
const STRIDE: usize = 1 << 14;

/// The pictures under one folder, in the order of their paths.
#[derive(Debug)]
pub(crate) struct Listing {
    root: PathBuf,
    stretches: Vec<Stretch>,
    /// For each stretch how many files there are up to its last.
    ends: Vec<usize>,
    ignored: BTreeMap<String, usize>,
    /// Folders up to two deep without any picture.
    barren: Vec<PathBuf>,
}

/// Files of one folder that follow each other. The path of a folder is kept once for all of them.
#[derive(Debug)]
struct Stretch {
    /// Relative to the root.
    folder: PathBuf,
    names: Names,
}

type Names = Vec<Box<OsStr>>;

impl Listing {
    /// Lists `root`.
    ///
    /// # Errors
    /// [`Error::Io`] when a folder cannot be read.
    pub(crate) fn of(root: &Path) -> Result<Self> {
        Self::of_folders(root, &[PathBuf::new()])
    }

    /// Lists those of `folders` that are in `root`, in the order given.
    ///
    /// # Errors
    /// As [`Listing::of`].
    pub(crate) fn of_folders(root: &Path, folders: &[PathBuf]) -> Result<Self> {
        let walk = Walk { root, progress: Progress::new(root) };
        let list = |folder: &PathBuf| walk.list(&Place::at(root, folder)?);
        let there = folders
            .iter()
            .filter(|inside| inside.as_os_str().is_empty() || root.join(inside).is_dir());
        let there: Vec<&PathBuf> = there.collect();
        let listed: Vec<Found> = there.into_par_iter().map(list).collect::<Result<_>>()?;
        let mut all = Found::default();
        listed.into_iter().for_each(|found| all.append(found));
        let ends = all.stretches.iter().scan(0, |end, stretch| {
            *end += stretch.names.len();
            Some(*end)
        });
        let ends = ends.collect();
        let Found { stretches, ignored, barren } = all;
        Ok(Self { root: root.to_path_buf(), stretches, ends, ignored, barren })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// The folders with pictures relative to the root, each with the numbers of some that follow each
    /// other.
    pub(crate) fn stretches(&self) -> impl Iterator<Item = (&Path, Range<usize>)> {
        let range = |(stretch, &end): (&Stretch, &usize)| end - stretch.names.len()..end;
        self.stretches.iter().zip(&self.ends).map(move |pair| (&*pair.0.folder, range(pair)))
    }

    /// The path of picture number `index` in the root.
    pub(crate) fn inside(&self, index: usize) -> PathBuf {
        let at = self.ends.partition_point(|&end| end <= index);
        let (stretch, end) = (&self.stretches[at], self.ends[at]);
        stretch.folder.join(&*stretch.names[index + stretch.names.len() - end])
    }

    /// The path of picture number `index`.
    pub(crate) fn path(&self, index: usize) -> PathBuf {
        self.root.join(self.inside(index))
    }

    /// Folders up to two deep, relative to the root, without any picture.
    pub(crate) fn barren(&self) -> &[PathBuf] {
        &self.barren
    }

    /// What is no picture, by kind, the most frequent first.
    pub(crate) fn ignored(&self) -> Vec<Ignored> {
        Ignored::sorted(self.ignored.iter().map(|(kind, &files)| (kind.clone(), files)))
    }
}

/// A listing under way.
struct Walk<'a> {
    root: &'a Path,
    progress: Progress<'a>,
}

/// A folder, and the way to it.
struct Place<'a> {
    /// Relative to the root.
    inside: PathBuf,
    /// Without links.
    real: PathBuf,
    depth: usize,
    /// Links on the way.
    links: usize,
    above: Option<&'a Self>,
}

/// What lies in a folder and below it.
#[derive(Default)]
struct Found {
    stretches: Vec<Stretch>,
    ignored: BTreeMap<String, usize>,
    barren: Vec<PathBuf>,
}

struct Entry {
    name: Box<OsStr>,
    kind: fs::FileType,
}

/// What is to be done about an entry.
enum Item<'a> {
    Picture,
    Folder(Place<'a>),
    Ignored(String),
}

impl Place<'static> {
    fn at(root: &Path, inside: &Path) -> Result<Self> {
        let path = root.join(inside);
        let real = fs::canonicalize(&path).map_err(Error::io("read", &path))?;
        Ok(Self { inside: inside.to_path_buf(), real, depth: 0, links: 0, above: None })
    }
}

impl<'a> Place<'a> {
    /// The folder `name` in this one, which really lies at `link` if it is one; none where it is a folder
    /// on the way here.
    fn below(&'a self, name: &OsStr, link: Option<PathBuf>) -> Option<Self> {
        let links = self.links + usize::from(link.is_some());
        let real = link.unwrap_or_else(|| self.real.join(name));
        let mut way = std::iter::successors(Some(self), |place| place.above);
        if links > 0 && way.any(|place| place.real == real) {
            return None;
        }
        let inside = self.inside.join(name);
        Some(Self { inside, real, depth: self.depth + 1, links, above: Some(self) })
    }
}

impl Walk<'_> {
    fn list(&self, place: &Place<'_>) -> Result<Found> {
        let folder = self.root.join(&place.inside);
        let mut entries = self.read(&folder)?;
        entries.par_sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let is_run = leftovers::is_run(|name| {
            entries.binary_search_by(|entry| (*entry.name).cmp(OsStr::new(name))).is_ok()
        });
        let mut found = Found::default();
        if is_run && place.depth > 0 {
            found.ignore("run folder".to_owned());
            return Ok(found);
        }
        let sorter = Sorter { folder: &folder, place, is_run, misses: HashMap::new() };
        let (folders, last) = sorter.sort(entries, &mut found);
        self.list_below(place, folders, &mut found)?;
        found.add(&place.inside, last);
        Ok(found)
    }

    /// Adds what lies in folders below `place`, each after the pictures of `place` that come before it.
    fn list_below(
        &self,
        place: &Place<'_>,
        folders: Vec<(Names, Place<'_>)>,
        found: &mut Found,
    ) -> Result<()> {
        let listed = folders.into_par_iter().map(|(before, below)| {
            let listed = self.list(&below)?;
            Ok((before, below.inside, listed))
        });
        for (before, inside, listed) in listed.collect::<Result<Vec<_>>>()? {
            found.add(&place.inside, before);
            if listed.stretches.is_empty() && place.depth < 2 && !listed.holds_a_run() {
                found.barren.push(inside);
            }
            found.append(listed);
        }
        Ok(())
    }

    fn read(&self, folder: &Path) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::io("read", folder))? {
            let entry = entry.map_err(Error::io("read", folder))?;
            let name: OsString = entry.file_name();
            let kind = entry.file_type().map_err(Error::io("read", folder))?;
            entries.push(Entry { name: name.into_boxed_os_str(), kind });
            if entries.len().is_multiple_of(STRIDE) {
                self.progress.add(STRIDE);
            }
        }
        self.progress.add(entries.len() % STRIDE);
        Ok(entries)
    }
}

/// Tells the entries of one folder apart.
struct Sorter<'a> {
    folder: &'a Path,
    place: &'a Place<'a>,
    is_run: bool,
    /// How many files of each kind were opened and are no pictures.
    misses: HashMap<String, usize>,
}

impl<'a> Sorter<'a> {
    /// The folders among `entries`, each with the names of the pictures between the folder before and it,
    /// and those after the last. What is neither is counted in `found`.
    fn sort(mut self, entries: Vec<Entry>, found: &mut Found) -> (Vec<(Names, Place<'a>)>, Names) {
        let (mut folders, mut names) = (Vec::new(), Names::new());
        for Entry { name, kind } in entries {
            match self.item(&name, kind) {
                Item::Picture => names.push(name),
                Item::Folder(below) => folders.push((std::mem::take(&mut names), below)),
                Item::Ignored(kind) => found.ignore(kind),
            }
        }
        (folders, names)
    }

    fn item(&mut self, name: &OsStr, kind: fs::FileType) -> Item<'a> {
        if self.is_run && leftovers::is_of_run(name) {
            return Item::Ignored("run file".to_owned());
        }
        if kind.is_symlink() {
            return self.link(name);
        }
        self.file_or_folder(name, kind, None)
    }

    fn link(&mut self, name: &OsStr) -> Item<'a> {
        let path = self.folder.join(name);
        let target = fs::metadata(&path).map(|target| target.file_type());
        let real = match &target {
            Ok(kind) if kind.is_dir() => fs::canonicalize(&path).map(Some),
            _ => Ok(None),
        };
        match (target, real) {
            (Ok(kind), Ok(real)) => self.file_or_folder(name, kind, real),
            // Editors lock files by links that lead nowhere.
            _ if leftovers::is_system_file(name) => Item::Ignored("system file".to_owned()),
            _ => Item::Ignored("broken link".to_owned()),
        }
    }

    fn file_or_folder(
        &mut self,
        name: &OsStr,
        kind: fs::FileType,
        real: Option<PathBuf>,
    ) -> Item<'a> {
        let ignored = |kind: &str| Item::Ignored(kind.to_owned());
        if kind.is_dir() {
            if leftovers::is_system_folder(name) {
                return ignored("system folder");
            }
            return match self.place.below(name, real) {
                None => ignored("circular link"),
                Some(below) if below.links > MOST_LINKS => ignored("nested link"),
                Some(below) if below.depth > MOST_DEPTH => ignored("deep folder"),
                Some(below) => Item::Folder(below),
            };
        }
        if leftovers::is_system_file(name) {
            return ignored("system file");
        }
        match kind.is_file() {
            true => self.file(name),
            false => ignored("special file"),
        }
    }

    fn file(&mut self, name: &OsStr) -> Item<'a> {
        let named = leftovers::named(name);
        if named == Named::Picture {
            return Item::Picture;
        }
        let kind = leftovers::kind_of_file(name);
        if named == Named::NoPicture {
            return Item::Ignored(kind);
        }
        let misses = self.misses.get(&kind).copied().unwrap_or(0);
        if misses < MOST_MISSES && leftovers::begins_as_picture(&self.folder.join(name)) {
            return Item::Picture;
        }
        self.misses.insert(kind.clone(), misses + 1);
        Item::Ignored(kind)
    }
}

impl Found {
    fn ignore(&mut self, kind: String) {
        *self.ignored.entry(kind).or_default() += 1;
    }

    fn add(&mut self, folder: &Path, mut names: Names) {
        if !names.is_empty() {
            names.shrink_to_fit();
            self.stretches.push(Stretch { folder: folder.to_path_buf(), names });
        }
    }

    fn append(&mut self, mut other: Self) {
        self.stretches.append(&mut other.stretches);
        self.barren.append(&mut other.barren);
        for (kind, files) in other.ignored {
            *self.ignored.entry(kind).or_default() += files;
        }
    }

    /// Whether there is a run in it, which explains why there is no picture.
    fn holds_a_run(&self) -> bool {
        self.ignored.contains_key("run folder")
    }
}

/// Says now and then how far it is.
struct Progress<'a> {
    root: &'a Path,
    files: AtomicUsize,
    next: Mutex<Instant>,
}

impl<'a> Progress<'a> {
    fn new(root: &'a Path) -> Self {
        let next = Mutex::new(Instant::now() + TELL_EVERY);
        Self { root, files: AtomicUsize::new(0), next }
    }

    fn add(&self, entries: usize) {
        let files = self.files.fetch_add(entries, Ordering::Relaxed) + entries;
        // Whoever finds it taken leaves the telling to the other thread.
        let Ok(mut next) = self.next.try_lock() else { return };
        let now = Instant::now();
        if now >= *next {
            *next = now + TELL_EVERY;
            tracing::info!("{}: {files} files listed so far", self.root.display());
        }
    }
}
