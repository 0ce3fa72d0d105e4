//! The loader: batches of views, made ahead of time by threads of its own.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rand::seq::SliceRandom;

use super::Dataset;
use crate::augment::views::{ViewKind, ViewMaker};
use crate::rng::{Stream, generator};

/// The views of one batch of `b` images.
#[derive(Clone, Debug, PartialEq)]
pub struct ViewBatch {
    /// Which images, `[b]`.
    pub indices: Vec<usize>,
    /// `[views b, 3, size, size]`: the first global view of every image, then the second of every
    /// one, and so on.
    pub global: Vec<f32>,
    /// `[views b, 3, size, size]`: the local views likewise; empty where there are none.
    pub local: Vec<f32>,
}

/// The order in which epoch number `epoch` goes through `count` images: each once.
pub fn epoch_order(seed: u64, epoch: u64, count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut generator(seed, Stream::Shuffle, epoch, 0, 0));
    order
}

/// What a [`Loader`] is to make, and with how many hands.
#[derive(Clone, Debug)]
pub struct LoaderPlan {
    /// The images of the epoch in order, as [`epoch_order`] gives them.
    pub order: Vec<usize>,
    /// Images a batch, at least 1.
    pub batch_size: usize,
    /// Which epoch it is; the views depend on it.
    pub epoch: u64,
    /// The first batch to make; above 0 when a run goes on in mid-epoch.
    pub first_batch: usize,
    /// Threads, at least 1. They change nothing but the speed.
    pub workers: usize,
    /// Finished batches each worker may have waiting.
    pub prefetch: usize,
}

/// Iterates over the batches of one epoch, in order.
///
/// Images that do not fill a last batch are left out: batch norm needs whole batches.
///
/// Each worker has up to `prefetch` finished batches waiting and one in the making, so at most
/// `workers * (prefetch + 1)` are in memory beside those taken. Dropping the loader stops the
/// workers and waits for them, which takes no longer than the views of one image.
///
/// # Panics
/// If a worker panics, its panic goes on in the thread that asks for the batch.
#[derive(Debug)]
pub struct Loader {
    workers: Vec<Worker>,
    stop: Arc<AtomicBool>,
    /// The batches still to come.
    remaining: Range<usize>,
}

#[derive(Debug)]
struct Worker {
    batches: Receiver<ViewBatch>,
    thread: JoinHandle<()>,
}

impl Loader {
    /// Starts the workers on the views that `maker` makes of `dataset`.
    ///
    /// # Panics
    /// If the plan has no workers, or batches of no images.
    pub fn start(dataset: Arc<dyn Dataset>, maker: Arc<ViewMaker>, plan: LoaderPlan) -> Self {
        assert!(plan.workers > 0, "a loader needs a worker");
        assert!(plan.batch_size > 0, "a batch needs an image");
        let stop = Arc::new(AtomicBool::new(false));
        let remaining = plan.first_batch..plan.order.len() / plan.batch_size;
        let (count, prefetch) = (plan.workers, plan.prefetch);
        let job = Arc::new(Job { dataset, maker, plan, stop: Arc::clone(&stop) });
        let start_worker = |worker| {
            let (sender, batches) = sync_channel(prefetch);
            let mine = remaining.clone().filter(move |batch| batch % count == worker);
            let job = Arc::clone(&job);
            let thread = thread::spawn(move || job.run(mine, &sender));
            Worker { batches, thread }
        };
        Loader { workers: (0..count).map(start_worker).collect(), stop, remaining }
    }

    /// Takes up the panic of a worker that ended without sending all its batches.
    fn resume_panic(&mut self, worker: usize) -> ! {
        self.remaining = 0..0;
        match self.workers.swap_remove(worker).thread.join() {
            Err(panic) => resume_unwind(panic),
            Ok(()) => unreachable!("a worker ends early only if the loader is dropped"),
        }
    }
}

impl Iterator for Loader {
    type Item = ViewBatch;

    fn next(&mut self) -> Option<ViewBatch> {
        let worker = self.remaining.next()? % self.workers.len();
        match self.workers[worker].batches.recv() {
            Ok(batch) => Some(batch),
            Err(_) => self.resume_panic(worker),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.remaining.size_hint()
    }
}

impl ExactSizeIterator for Loader {}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for Worker { batches, thread } in self.workers.drain(..) {
            // A worker may be waiting for room in its channel: without a receiver it waits no more.
            drop(batches);
            // A panic here is of a batch that nobody asked for, and has been printed.
            let _ = thread.join();
        }
    }
}

/// What the workers share.
struct Job {
    dataset: Arc<dyn Dataset>,
    maker: Arc<ViewMaker>,
    plan: LoaderPlan,
    stop: Arc<AtomicBool>,
}

impl Job {
    /// Makes and sends the given batches, until the loader is dropped.
    fn run(&self, batches: impl Iterator<Item = usize>, sender: &SyncSender<ViewBatch>) {
        for batch in batches {
            let Some(batch) = self.batch(batch) else {
                return;
            };
            if sender.send(batch).is_err() {
                return;
            }
        }
    }

    /// Makes batch `number`, or nothing if the loader is dropped meanwhile.
    fn batch(&self, number: usize) -> Option<ViewBatch> {
        let count = self.plan.batch_size;
        let indices = &self.plan.order[number * count..][..count];
        let room = |kind| vec![0.0; self.maker.count(kind) * count * self.view_len(kind)];
        let (mut global, mut local) = (room(ViewKind::Global), room(ViewKind::Local));
        let globals = self.maker.count(ViewKind::Global);
        for (position, &index) in indices.iter().enumerate() {
            if self.stop.load(Ordering::Relaxed) {
                return None;
            }
            let image = self.dataset.image(index);
            for (slot, kind) in self.maker.slots().enumerate() {
                let (views, view) = match kind {
                    ViewKind::Global => (&mut global, slot),
                    ViewKind::Local => (&mut local, slot - globals),
                };
                let len = self.view_len(kind);
                let row = view * count + position;
                let out = &mut views[row * len..][..len];
                self.maker.view(image, self.plan.epoch, index as u64, slot, out);
            }
        }
        Some(ViewBatch { indices: indices.to_vec(), global, local })
    }

    /// Values in one view.
    fn view_len(&self, kind: ViewKind) -> usize {
        let size = self.maker.size(kind);
        3 * size * size
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::time::{Duration, Instant};

    use super::*;
    use crate::augment::views::tests::{config, maker};
    use crate::data::Image;

    /// Images of 8 x 8 pixels, each of its own bytes. Number `broken` panics.
    struct Toy {
        images: Vec<Vec<u8>>,
        broken: Option<usize>,
    }

    impl Toy {
        fn new(count: usize) -> Self {
            let byte = |index: usize, at: usize| (31 * index + 7 * at + at * at) as u8;
            let image = |index| (0..3 * 8 * 8).map(|at| byte(index, at)).collect();
            Toy { images: (0..count).map(image).collect(), broken: None }
        }
    }

    impl Dataset for Toy {
        fn len(&self) -> usize {
            self.images.len()
        }

        fn image(&self, index: usize) -> Image<'_> {
            assert_ne!(Some(index), self.broken, "image {index} is broken");
            Image { width: 8, height: 8, pixels: &self.images[index] }
        }

        fn label(&self, _: usize) -> usize {
            0
        }

        fn classes(&self) -> &[String] {
            &[]
        }
    }

    const IMAGES: usize = 46;

    fn plan(workers: usize, prefetch: usize, first_batch: usize) -> LoaderPlan {
        LoaderPlan {
            order: epoch_order(3, 2, IMAGES),
            batch_size: 5,
            epoch: 2,
            first_batch,
            workers,
            prefetch,
        }
    }

    fn start(dataset: Toy, plan: LoaderPlan) -> Loader {
        Loader::start(Arc::new(dataset), Arc::new(maker(&config())), plan)
    }

    fn batches(workers: usize, prefetch: usize, first_batch: usize) -> Vec<ViewBatch> {
        start(Toy::new(IMAGES), plan(workers, prefetch, first_batch)).collect()
    }

    #[test]
    fn an_order_has_each_image_once_and_belongs_to_its_seed_and_epoch() {
        let order = epoch_order(1, 0, 100);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_ne!(order, sorted);
        assert_eq!(order, epoch_order(1, 0, 100));
        assert_ne!(order, epoch_order(1, 1, 100));
        assert_ne!(order, epoch_order(2, 0, 100));
    }

    #[test]
    fn batches_follow_the_order_and_drop_the_last_partial_one() {
        let seen: Vec<usize> =
            batches(2, 1, 0).into_iter().flat_map(|batch| batch.indices).collect();
        assert_eq!(seen, epoch_order(3, 2, IMAGES)[..45]);
    }

    #[test]
    fn workers_and_prefetch_change_nothing() {
        let expected = batches(1, 1, 0);
        assert_eq!(expected.len(), 9);
        for workers in [1, 2, 3, 12] {
            for prefetch in [0, 1, 4] {
                assert!(batches(workers, prefetch, 0) == expected);
            }
        }
    }

    #[test]
    fn starting_late_is_skipping() {
        let all = batches(1, 1, 0);
        for first_batch in [1, 4, 8, 9, 10] {
            let late = batches(3, 2, first_batch);
            assert!(late == all[first_batch.min(9)..], "from {first_batch}");
        }
    }

    #[test]
    fn views_lie_where_the_batch_says() {
        let dataset = Toy::new(IMAGES);
        let maker = maker(&config());
        let batch = &batches(2, 1, 0)[3];
        for (position, &index) in batch.indices.iter().enumerate() {
            let image = dataset.image(index);
            let mut global = vec![0.0; 3 * 8 * 8];
            maker.view(image, 2, index as u64, 1, &mut global);
            let row = (5 + position) * global.len();
            assert_eq!(batch.global[row..][..global.len()], global);
            let mut local = vec![0.0; 3 * 6 * 6];
            maker.view(image, 2, index as u64, 2, &mut local);
            let row = position * local.len();
            assert_eq!(batch.local[row..][..local.len()], local);
        }
    }

    #[test]
    fn dropping_early_stops_workers_that_wait_for_room() {
        for taken in [0, 1, 4] {
            let mut loader = start(Toy::new(IMAGES), plan(3, 1, 0));
            for _ in 0..taken {
                loader.next().unwrap();
            }
            let job = Arc::downgrade(&loader.stop);
            drop(loader);
            assert_eq!(job.strong_count(), 0, "a worker is left");
        }
    }

    #[test]
    fn dropping_early_stops_workers_within_a_batch() {
        let endless =
            LoaderPlan { order: vec![0; 1_000_000], batch_size: 300_000, ..plan(3, 1, 0) };
        let began = Instant::now();
        drop(start(Toy::new(IMAGES), endless));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }

    #[test]
    fn a_panic_in_a_worker_reaches_the_reader() {
        let mut dataset = Toy::new(IMAGES);
        dataset.broken = Some(epoch_order(3, 2, IMAGES)[17]);
        let mut loader = start(dataset, plan(2, 1, 0));
        for _ in 0..3 {
            assert!(loader.next().is_some());
        }
        let panic = catch_unwind(AssertUnwindSafe(|| loader.next())).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("is broken"), "{message}");
        assert!(loader.next().is_none());
    }
}
