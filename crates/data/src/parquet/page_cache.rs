//! Pages that have been unpacked, for as long as there is room.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::source::Outcome;

/// All of a small dataset like CIFAR-10 once unpacked. Of a large one that is read in random order no
/// part as small as this is worth keeping.
const MOST_BYTES: usize = 1 << 27;

/// The number of a file, and where in it a page begins.
type Key = (usize, u64);

/// The pages asked for last, 128 MiB in all.
#[derive(Debug)]
pub struct PageCache {
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    by_use: LruCache<Key, Arc<Vec<u8>>>,
    /// Those of all pages together.
    bytes: usize,
}

impl Default for PageCache {
    fn default() -> Self {
        // What bounds it is the bytes of its pages, not their number.
        let pages = Pages { by_use: LruCache::unbounded(), bytes: 0 };
        Self { pages: Mutex::new(pages) }
    }
}

impl PageCache {
    /// The page called `key`, which `unpack` gives if it is not here.
    ///
    /// # Errors
    /// Those of `unpack`.
    pub fn page(
        &self,
        key: Key,
        unpack: impl FnOnce() -> Outcome<Vec<u8>>,
    ) -> Outcome<Arc<Vec<u8>>> {
        if let Some(contents) = self.pages().by_use.get(&key) {
            return Ok(Arc::clone(contents));
        }
        // Without the lock: what takes time is this, and threads rarely want the same page at once.
        let contents = Arc::new(unpack()?);
        self.pages().put(key, Arc::clone(&contents));
        Ok(contents)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // Nothing that is done under the lock can be left half done.
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn put(&mut self, key: Key, contents: Arc<Vec<u8>>) {
        self.bytes += contents.len();
        if let Some(before) = self.by_use.put(key, contents) {
            self.bytes -= before.len();
        }
        while self.bytes > MOST_BYTES {
            let Some((_, least_recent)) = self.by_use.pop_lru() else { break };
            self.bytes -= least_recent.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_unpacked_once_and_the_oldest_leave_when_there_is_no_room() {
        let cache = PageCache::default();
        let third = MOST_BYTES / 3;
        let mut unpacked = Vec::new();
        for at in [0, 1, 0, 2, 3, 0, 1, 9, 9] {
            let length = if at == 9 { MOST_BYTES + 1 } else { third };
            let page = cache.page((7, at), || {
                unpacked.push(at);
                Ok(vec![at as u8; length])
            });
            let page = page.unwrap();
            assert_eq!((page.len(), page[0]), (length, at as u8));
        }
        assert_eq!(unpacked, [0, 1, 2, 3, 1, 9, 9]);
        assert_eq!(cache.pages().bytes, 0, "what is larger than all the room is not kept");
    }
}
