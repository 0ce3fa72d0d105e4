//! All runs of a folder, kept up to date by one thread as long as somebody asks.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use crate::folder::{Folder, Refused, slashed};
use crate::run::{Run, Shown, read};

/// What was read longer ago than this is looked at again before it is shown.
const FRESH: Duration = Duration::from_secs(1);

/// The longest that an answer waits for what is new.
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// The shortest time between two searches of the folder, which also take at most a hundredth of it.
const SEARCH_EVERY: Duration = Duration::from_secs(2);

/// All runs of a folder.
///
/// One thread reads. It works at the start, until all logs are read, and then only when somebody asks and what
/// is known is older than [`FRESH`]; while no page is open, nothing is read.
#[derive(Debug)]
pub(crate) struct Library {
    shared: Arc<Shared>,
    reader: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    folder: Folder,
    state: Mutex<State>,
    /// Told of whatever changes in `state`.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    runs: BTreeMap<String, Arc<Mutex<Run>>>,
    refused: Vec<Refused>,
    /// Somebody wants to know what is new.
    asked: bool,
    /// How often all runs were looked at.
    passes: u64,
    /// When they last were.
    passed: Option<Instant>,
    /// Bytes of logs are left to read, as at the start.
    behind: bool,
    stopping: bool,
}

impl Library {
    /// Begins to read the runs of `folder`.
    pub(crate) fn open(folder: Folder) -> Self {
        let state = Mutex::new(State { behind: true, ..State::default() });
        let shared = Shared { folder, state, changed: Condvar::new() };
        let shared = Arc::new(shared);
        let reading = Arc::clone(&shared);
        let reader = std::thread::Builder::new().name("runs".into());
        // Without a thread nothing is read, and the page goes on saying that the runs are being read.
        let reader = reader.spawn(move || reading.keep_reading()).ok();
        Self { shared, reader }
    }

    /// What the folder is called.
    pub(crate) fn name(&self) -> String {
        self.shared.folder.name()
    }

    /// Has what is new be read, and waits for it for half a second at most. Nobody waits at the start, when
    /// there may be gigabytes to read.
    pub(crate) fn refresh(&self) {
        let state = self.shared.lock();
        if state.behind || state.passed.is_some_and(|passed| passed.elapsed() < FRESH) {
            return;
        }
        self.wait_for_pass(state);
    }

    fn wait_for_pass(&self, mut state: MutexGuard<'_, State>) {
        let passes = state.passes;
        state.asked = true;
        self.shared.changed.notify_all();
        let passed = |state: &mut State| state.passes == passes && !state.stopping;
        drop(self.shared.changed.wait_timeout_while(state, LONGEST_WAIT, passed));
    }

    /// Whether logs are still being read.
    pub(crate) fn is_behind(&self) -> bool {
        self.shared.lock().behind
    }

    /// All runs by their names.
    pub(crate) fn runs(&self) -> Vec<Arc<Mutex<Run>>> {
        self.shared.lock().runs.values().cloned().collect()
    }

    /// The run called `name`.
    pub(crate) fn run(&self, name: &str) -> Option<Arc<Mutex<Run>>> {
        self.shared.lock().runs.get(name).cloned()
    }

    /// What lies in the folder and is not shown.
    pub(crate) fn refused(&self) -> Vec<Refused> {
        self.shared.lock().refused.clone()
    }

    /// A file of the run called `name`; none where there is no such run or file, or where it is a link that
    /// leads out of the folder.
    pub(crate) fn file(&self, name: &str, shown: Shown) -> Option<Vec<u8>> {
        let path = locked(&*self.run(name)?).path_of(shown);
        read(self.shared.folder.dir(), &path).ok()
    }
}

impl Drop for Library {
    fn drop(&mut self) {
        self.shared.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }

    fn keep_reading(&self) {
        let mut next_search = Instant::now();
        let mut buffer = Vec::new();
        loop {
            if Instant::now() >= next_search {
                let begun = Instant::now();
                self.search();
                next_search = Instant::now() + SEARCH_EVERY.max(100 * begun.elapsed());
            }
            let behind = self.pass(&mut buffer);
            let mut state = self.lock();
            state.passes += 1;
            state.passed = Some(Instant::now());
            state.behind = behind;
            self.changed.notify_all();
            let idle = |state: &mut State| !(state.stopping || state.behind || state.asked);
            let waited = self.changed.wait_while(state, idle);
            let mut state = waited.unwrap_or_else(PoisonError::into_inner);
            if state.stopping {
                return;
            }
            state.asked = false;
        }
    }

    /// Looks for runs that came, and forgets those that went.
    fn search(&self) {
        let found = self.folder.search();
        let mut state = self.lock();
        let mut before = std::mem::take(&mut state.runs);
        for path in found.runs {
            let name = match slashed(&path) {
                name if name.is_empty() => self.folder.name(),
                name => name,
            };
            let known = before.remove(&name);
            let run = known.unwrap_or_else(|| Arc::new(Mutex::new(Run::new(&path, name.clone()))));
            state.runs.insert(name, run);
        }
        state.refused = found.refused;
    }

    /// Reads on in every run, those first that were written to last; whether there is more to read.
    fn pass(&self, buffer: &mut Vec<u8>) -> bool {
        let mut runs: Vec<_> = self.lock().runs.values().cloned().collect();
        runs.sort_by_cached_key(|run| {
            std::cmp::Reverse(locked(run).written().unwrap_or(SystemTime::UNIX_EPOCH))
        });
        let mut behind = false;
        for run in runs {
            behind |= locked(&run).read_on(self.folder.dir(), buffer);
            if self.lock().stopping {
                return false;
            }
        }
        behind
    }
}

/// What `mutex` holds. A thread that panicked with it had at worst read half of what is new.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
