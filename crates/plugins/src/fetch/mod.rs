//! Wheels chosen, downloaded, checked and put in their place.

mod address;
mod error;
mod http;
mod index;
mod known;
mod remote;
mod requirement;
mod unpack;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use sha2::{Digest, Sha256};

use self::address::Address;
use self::http::{Client, Failure, content_range};
use self::index::{Link, WheelName};
use self::known::{Companions, Known, known};
use self::requirement::{Requirement, Setting, of_extra};
use self::unpack::{unpack, unpacked_size};
use crate::find::Kind;
use crate::installed::{Installed, Package, RECORD};
use crate::version::Version;

pub use error::{Error, Result};
pub use http::Patience;
pub use index::{Index, Machine};

/// How many files an error lists.
const MOST_LISTED: usize = 8;

/// What is to be fetched.
#[derive(Clone, Debug)]
pub struct Request {
    /// For which device: [`Kind::Cuda`], [`Kind::Rocm`] or [`Kind::Cpu`].
    pub kind: Kind,
    /// Where from.
    pub index: Index,
    /// The folder for plugins of this kind. Each version has its own folder in it.
    pub into: PathBuf,
    /// What it is to run on.
    pub machine: Machine,
    /// How long it is tried.
    pub patience: Patience,
}

impl Request {
    /// For this machine, with the usual patience, into `plugins/KIND`: where
    /// [`Surroundings::candidates`](crate::Surroundings::candidates) looks.
    pub fn new(kind: Kind, index: Index, plugins: &Path) -> Self {
        let into = plugins.join(kind.name());
        Self { kind, index, into, machine: Machine::THIS, patience: Patience::default() }
    }
}

/// What will be downloaded.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For which device.
    pub kind: Kind,
    /// The plugin's version.
    pub version: String,
    /// The plugin and what it loads, in the order in which they are downloaded.
    pub wheels: Vec<Wheel>,
    /// The size of all wheels. Unpacked they take half as much again, or three times as much.
    pub total_bytes: u64,
    request: Request,
    plugin: &'static str,
}

/// A wheel to download.
#[derive(Clone, Debug)]
pub struct Wheel {
    /// The package's name, normalised.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The name of the file.
    pub file: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    address: Address,
}

impl Wheel {
    /// Where it lies, without login and query.
    pub fn url(&self) -> String {
        self.address.to_string()
    }
}

/// What happens while a plan is carried out.
#[derive(Debug)]
pub enum Event<'a> {
    /// A wheel arrives; told often.
    Receiving {
        /// Which.
        wheel: &'a Wheel,
        /// Its bytes so far, those of an earlier call among them.
        done: u64,
        /// The bytes so far of the whole plan.
        done_in_all: u64,
    },
    /// The connection failed, and after a pause it is tried again.
    Waiting {
        /// For which wheel.
        wheel: &'a Wheel,
        /// What happened.
        problem: &'a str,
        /// For how long.
        pause: Duration,
    },
    /// A wheel is whole and is unpacked.
    Unpacking {
        /// Which.
        wheel: &'a Wheel,
    },
}

/// Works out what `request` takes: the plugin's version that this program is known to work with, and
/// the newest releases of the libraries that it loads. Downloads package lists alone.
///
/// # Errors
/// [`Error::NotFetched`] for a kind without wheels; [`Error::NoAnswer`], [`Error::Index`] and
/// [`Error::NoPackage`] about the index; [`Error::NoWheel`] when nothing suits this machine;
/// [`Error::Requirement`] when the plugin asks for something not understood.
pub fn plan(request: &Request) -> Result<Plan> {
    let known = known(request.kind).ok_or(Error::NotFetched { kind: request.kind })?;
    let planner = Planner {
        client: Client::new(request.index.certificates.as_deref(), request.patience)?,
        request,
    };
    let wheels = planner.wheels(known)?;
    Ok(Plan {
        kind: request.kind,
        version: wheels[0].version.clone(),
        total_bytes: sum_of(&wheels, |wheel| wheel.size),
        wheels,
        request: request.clone(),
        plugin: known.plugin,
    })
}

struct Planner<'a> {
    client: Client,
    request: &'a Request,
}

impl Planner<'_> {
    /// The plugin first, so that there is at least one.
    fn wheels(&self, known: &Known) -> Result<Vec<Wheel>> {
        let mut wanted = vec![from_table(known.package)];
        if let Some(companions) = &known.companions {
            wanted.extend(self.companions(companions)?);
        }
        wanted.iter().map(|requirement| self.wheel(requirement)).collect()
    }

    /// What the plugin loads. What these packages require in turn are one another and headers.
    fn companions(&self, companions: &Companions) -> Result<Vec<Requirement>> {
        let Machine { os, arch } = self.request.machine;
        let declared_by = from_table(companions.declared_by);
        let (_, link) = self.choose(&declared_by, |_| true)?;
        let metadata = remote::metadata(&self.client, &link)?;
        let found = of_extra(&metadata, Setting { os, arch, extra: companions.extra });
        let found = found.map_err(|line| Error::Requirement { package: declared_by.name, line })?;
        let below: Vec<_> = companions.below.iter().map(|text| from_table(text)).collect();
        Ok(found.into_iter().map(|requirement| bounded(requirement, &below)).collect())
    }

    fn wheel(&self, requirement: &Requirement) -> Result<Wheel> {
        let (version, link) = self.choose(requirement, WheelName::is_for_any_python)?;
        let no_hash = || Error::Index {
            url: link.address.to_string(),
            problem: "the index gives no SHA-256 of the file, so it is not fetched".to_owned(),
        };
        Ok(Wheel {
            name: requirement.name.clone(),
            version: version.to_string(),
            size: match link.size {
                Some(size) => size,
                None => remote::size(&self.client, &link.address)?,
            },
            sha256: link.sha256.clone().ok_or_else(no_hash)?,
            file: link.file,
            address: link.address,
        })
    }

    /// The newest wheel that will do, and of those the one that runs on the oldest systems.
    fn choose(
        &self,
        requirement: &Requirement,
        suits: impl Fn(&WheelName) -> bool,
    ) -> Result<(Version, Link)> {
        let links = self.request.index.files(&self.client, &requirement.name)?;
        let usable = links.iter().filter(|link| !link.yanked).filter_map(|link| {
            let name = WheelName::parse(&link.file).filter(&suits)?;
            let rank = name.rank(self.request.machine)?;
            requirement.range.accepts(&name.version).then_some((name.version, rank, link))
        });
        let best = usable.max_by(|(a, old, _), (b, new, _)| a.cmp(b).then(new.cmp(old)));
        best.map(|(version, _, link)| (version, link.clone()))
            .ok_or_else(|| self.none(requirement, &links))
    }

    fn none(&self, requirement: &Requirement, links: &[Link]) -> Error {
        let wheels = links.iter().filter(|link| !link.yanked).map(|link| &link.file);
        let mut there: Vec<_> =
            wheels.filter_map(|file| Some((WheelName::parse(file)?.version, file))).collect();
        // Those of a version that would do tell most, then the newest.
        there.sort_by(|(a, _), (b, _)| {
            let accepted = |version| requirement.range.accepts(version);
            accepted(b).cmp(&accepted(a)).then(b.cmp(a))
        });
        let listed: Vec<_> =
            there.iter().take(MOST_LISTED).map(|(_, file)| file.as_str()).collect();
        let more = if there.len() > MOST_LISTED { ", …" } else { "" };
        Error::NoWheel {
            wanted: format!("{}{}", requirement.name, requirement.range),
            machine: self.request.machine.to_string(),
            index: self.request.index.to_string(),
            there: match listed.is_empty() {
                true => "none".to_owned(),
                false => format!("{}{more}", listed.join(", ")),
            },
        }
    }
}

fn from_table(text: &str) -> Requirement {
    Requirement::parse(text).expect("a test reads the whole table")
}

fn bounded(mut requirement: Requirement, below: &[Requirement]) -> Requirement {
    if let Some(bound) = below.iter().find(|bound| bound.name == requirement.name) {
        requirement.range = requirement.range.and(&bound.range);
    }
    requirement
}

impl Plan {
    /// Where the plugin and its libraries will lie.
    pub fn folder(&self) -> PathBuf {
        self.request.into.join(&self.version)
    }

    /// What is there already, if it is just what this plan would bring.
    pub fn installed(&self) -> Option<Installed> {
        Installed::read(&self.folder()).filter(|found| *found == self.result())
    }

    fn result(&self) -> Installed {
        let package = |wheel: &Wheel| Package {
            name: wheel.name.clone(),
            version: wheel.version.clone(),
            file: wheel.file.clone(),
            sha256: wheel.sha256.clone(),
        };
        Installed {
            folder: self.folder(),
            kind: self.kind,
            version: self.version.clone(),
            plugin: self.plugin.into(),
            packages: self.wheels.iter().map(package).collect(),
        }
    }

    fn downloads(&self) -> PathBuf {
        self.request.into.join(".download")
    }

    fn unpacking(&self) -> PathBuf {
        self.request.into.join(".unpacking")
    }

    fn replaced(&self) -> PathBuf {
        self.request.into.join(".replaced")
    }

    fn part(&self, wheel: &Wheel) -> PathBuf {
        self.downloads().join(format!("{}.part", wheel.file))
    }
}

/// Downloads what `plan` lists, goes on with what an earlier call left, checks and unpacks it, and
/// puts it in its place when it is whole: killed at any moment, it leaves no half installation.
///
/// # Errors
/// [`Error::Interrupted`] when the connection failed for good, [`Error::Hash`] when a file is not
/// what the index promised, [`Error::NoSpace`] and [`Error::DiskFull`], [`Error::Unsafe`],
/// [`Error::Damaged`] and [`Error::NoPlugin`] about what the wheels hold, [`Error::Busy`] when
/// another process is at it, [`Error::Io`].
pub fn execute(plan: &Plan, progress: &mut dyn FnMut(Event<'_>)) -> Result<Installed> {
    let (into, downloads) = (&plan.request.into, plan.downloads());
    fs::create_dir_all(into).map_err(Error::io("create", into))?;
    let _lock = lock(into)?;
    remove_folder(&plan.unpacking())?;
    remove_folder(&plan.replaced())?;
    if let Some(installed) = plan.installed() {
        return Ok(installed);
    }
    fs::create_dir_all(&downloads).map_err(Error::io("create", &downloads))?;
    check_space_for_all(plan)?;
    download_all(plan, progress)?;
    let installed = unpack_all(plan, progress)?;
    remove_folder(&downloads)?;
    Ok(installed)
}

/// Held until it is dropped, or the process ends.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(".lock");
    let file = File::create(&path).map_err(Error::io("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::Busy { path: folder.to_path_buf() }),
        Err(fs::TryLockError::Error(source)) => Err(Error::io("lock", &path)(source)),
    }
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(source))
        }
        _ => Ok(()),
    }
}

/// Sizes are what an index claims: their sum must not be what fails.
fn sum_of(wheels: &[Wheel], size: impl Fn(&Wheel) -> u64) -> u64 {
    wheels.iter().fold(0, |sum, wheel| sum.saturating_add(size(wheel)))
}

fn length(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// Room for what is still to arrive, and for as much unpacked: it is hardly ever less.
fn check_space_for_all(plan: &Plan) -> Result<()> {
    let missing = |wheel: &Wheel| wheel.size.saturating_sub(length(&plan.part(wheel)));
    let needed = sum_of(&plan.wheels, missing).saturating_add(plan.total_bytes);
    check_space(&plan.request.into, needed)
}

fn check_space(folder: &Path, needed: u64) -> Result<()> {
    match fs4::available_space(folder) {
        Ok(free) if free < needed => {
            Err(Error::NoSpace { path: folder.to_path_buf(), needed, free })
        }
        // Where the system does not say, a full disk is found when it is full.
        _ => Ok(()),
    }
}

fn download_all(plan: &Plan, progress: &mut dyn FnMut(Event<'_>)) -> Result<()> {
    let client = Client::new(plan.request.index.certificates.as_deref(), plan.request.patience)?;
    let mut before = 0;
    for wheel in &plan.wheels {
        let part = plan.part(wheel);
        Download { client: &client, wheel, part: &part, before, progress: &mut *progress }.run()?;
        before = wheel.size.saturating_add(before);
    }
    Ok(())
}

struct Download<'a> {
    client: &'a Client,
    wheel: &'a Wheel,
    part: &'a Path,
    /// Bytes of the wheels before it.
    before: u64,
    progress: &'a mut dyn FnMut(Event<'_>),
}

/// Why receiving ended.
enum Stop {
    Connection(Failure),
    Error(Error),
}

impl Download<'_> {
    fn run(mut self) -> Result<()> {
        let (mut failures, mut furthest) = (0, length(self.part));
        loop {
            let failure = match self.receive() {
                Ok(()) => break,
                Err(Stop::Error(error)) => return Err(error),
                Err(Stop::Connection(failure)) => failure,
            };
            let done = length(self.part);
            // A connection that brings something is worth trying again for as long as it does.
            failures = if done > furthest { 1 } else { failures + 1 };
            furthest = furthest.max(done);
            if !failure.passing || failures >= self.client.patience.attempts {
                return Err(self.interrupted(failure, done));
            }
            let pause = self.client.patience.pause_after(failures);
            let (wheel, problem) = (self.wheel, failure.problem.as_str());
            (self.progress)(Event::Waiting { wheel, problem, pause });
            thread::sleep(pause);
        }
        self.check()
    }

    fn interrupted(&self, failure: Failure, done: u64) -> Error {
        if !failure.passing {
            return failure.at(&self.wheel.address);
        }
        let (url, problem) = (self.wheel.url(), failure.problem);
        Error::Interrupted { url, problem, done, total: self.wheel.size }
    }

    /// Receives what is missing, by one request.
    fn receive(&mut self) -> Result<(), Stop> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).open(self.part);
        let mut file = file.map_err(self.stop("create"))?;
        let mut have = file.seek(SeekFrom::End(0)).map_err(self.stop("read"))?;
        if have == self.wheel.size {
            return Ok(());
        }
        if have > self.wheel.size {
            have = 0;
        }
        let range = (have > 0).then_some((have, None));
        let response = match self.client.ask(&self.wheel.address, "*/*", range) {
            Ok(response) => response,
            Err(failure) if failure.is_beyond_the_end() => return Err(self.other_bytes(&file)),
            Err(failure) => return Err(Stop::Connection(failure)),
        };
        // A server that knows no ranges answers 200 and sends everything.
        let kept = match response.status().as_u16() {
            206 if content_range(&response) == Some((have, self.wheel.size)) => have,
            206 => return Err(self.other_bytes(&file)),
            _ => 0,
        };
        file.set_len(kept)
            .and_then(|()| file.seek(SeekFrom::Start(kept)))
            .map_err(self.stop("write"))?;
        let body = response.into_body().into_with_config().limit(u64::MAX).reader();
        self.store(&mut body.take(self.wheel.size - kept), &mut file, kept)
    }

    /// The server has another file than the one that was begun: it is begun anew.
    fn other_bytes(&self, file: &File) -> Stop {
        match file.set_len(0) {
            Ok(()) => {
                Stop::Connection(Failure::passing("the server sends other bytes than asked for"))
            }
            Err(source) => self.stop("write")(source),
        }
    }

    fn store(&mut self, body: &mut dyn Read, file: &mut File, kept: u64) -> Result<(), Stop> {
        let mut done = kept;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let (wheel, done_in_all) = (self.wheel, self.before.saturating_add(done));
            (self.progress)(Event::Receiving { wheel, done, done_in_all });
            let count = body
                .read(&mut buffer)
                .map_err(|error| Stop::Connection(Failure::passing(error)))?;
            if count == 0 {
                break;
            }
            file.write_all(&buffer[..count]).map_err(self.stop("write"))?;
            done += count as u64;
        }
        file.sync_all().map_err(self.stop("write"))?;
        match done == self.wheel.size {
            true => Ok(()),
            false => Err(Stop::Connection(Failure::passing("the connection broke off"))),
        }
    }

    fn stop(&self, action: &'static str) -> impl FnOnce(io::Error) -> Stop + use<> {
        let path = self.part.to_path_buf();
        move |source| Stop::Error(Error::io(action, path)(source))
    }

    fn check(&self) -> Result<()> {
        let found = sha256_of(self.part)?;
        if found == self.wheel.sha256 {
            return Ok(());
        }
        fs::remove_file(self.part).map_err(Error::io("remove", self.part))?;
        let (file, expected) = (self.wheel.url(), self.wheel.sha256.clone());
        Err(Error::Hash { file, expected, found })
    }
}

fn sha256_of(path: &Path) -> Result<String> {
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    loop {
        let count = file.read(&mut buffer).map_err(Error::io("read", path))?;
        if count == 0 {
            break;
        }
        hasher.update(&buffer[..count]);
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Everything into one temporary folder, as Python would lay it out: the plugin finds its libraries
/// by their place beside it. Renamed when whole.
fn unpack_all(plan: &Plan, progress: &mut dyn FnMut(Event<'_>)) -> Result<Installed> {
    let parts: Vec<PathBuf> = plan.wheels.iter().map(|wheel| plan.part(wheel)).collect();
    let mut needed = 0_u64;
    for part in &parts {
        needed = needed.saturating_add(unpacked_size(part)?);
    }
    check_space(&plan.request.into, needed)?;
    let unpacking = plan.unpacking();
    fs::create_dir_all(&unpacking).map_err(Error::io("create", &unpacking))?;
    let result = unpack_into(plan, &parts, &unpacking, progress).and_then(|()| put_in_place(plan));
    if result.is_err() {
        // The first failure is the one to report; a leftover is removed next time.
        let _ = remove_folder(&unpacking);
    }
    result
}

fn unpack_into(
    plan: &Plan,
    parts: &[PathBuf],
    folder: &Path,
    progress: &mut dyn FnMut(Event<'_>),
) -> Result<()> {
    for (wheel, part) in plan.wheels.iter().zip(parts) {
        progress(Event::Unpacking { wheel });
        unpack(part, folder)?;
    }
    if !folder.join(plan.plugin).is_file() {
        let package = format!("{} {}", plan.wheels[0].name, plan.version);
        return Err(Error::NoPlugin { package, plugin: plan.plugin.to_owned() });
    }
    let path = folder.join(RECORD);
    let failed = |source: io::Error| Error::io("write", &path)(source);
    let text = serde_json::to_vec_pretty(&plan.result()).map_err(|error| failed(error.into()))?;
    let mut file = File::create(&path).map_err(failed)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)
}

fn put_in_place(plan: &Plan) -> Result<Installed> {
    let (folder, replaced) = (plan.folder(), plan.replaced());
    if folder.exists() {
        fs::rename(&folder, &replaced).map_err(Error::io("rename", &folder))?;
    }
    fs::rename(plan.unpacking(), &folder).map_err(Error::io("write", &folder))?;
    // It is in nobody's way, and removed next time.
    let _ = remove_folder(&replaced);
    Ok(plan.result())
}
