//! The loader: batches of views, made ahead of time by threads of its own.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use rand::RngExt;
use rand::seq::SliceRandom;

use crate::augment::views::{ViewKind, ViewMaker};
use crate::data::Images;
use crate::{Error, Result};
use logo_ssl_base::rng::{Stream, generator};

/// The views of one batch of `b` images.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ViewBatch {
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

/// Images that are drawn in the place of one that cannot be read. At most half of a dataset may be
/// broken, so they are all so only where the epoch is a small and broken part of it.
const MOST_STAND_INS: u64 = 64;

/// What a [`Loader`] is to make, and with how many hands.
#[derive(Clone, Debug)]
pub(crate) struct LoaderPlan {
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
/// Images that do not fill a last batch are left out: batch norm needs whole batches. In the place of
/// one that cannot be read comes another of the epoch's, which is drawn for that place; when too many
/// cannot, that is an error, and the last item.
///
/// Each worker has up to `prefetch` finished batches waiting and one in the making, so at most
/// `workers * (prefetch + 1)` are in memory beside those taken. Dropping the loader stops the
/// workers and waits for them, which takes no longer than the views of one image.
///
/// # Panics
/// If a worker panics, its panic goes on in the thread that asks for the batch.
#[derive(Debug)]
pub(crate) struct Loader {
    workers: Vec<Worker>,
    stop: Arc<AtomicBool>,
    /// The batches still to come.
    remaining: Range<usize>,
}

#[derive(Debug)]
struct Worker {
    batches: Receiver<Result<ViewBatch>>,
    thread: JoinHandle<()>,
}

impl Loader {
    /// Starts the workers on the views that `maker` makes of `images`.
    ///
    /// # Panics
    /// If the plan has no workers, or batches of no images.
    pub(crate) fn start(images: Images, maker: Arc<ViewMaker>, plan: LoaderPlan) -> Self {
        assert!(plan.workers > 0, "a loader needs a worker");
        assert!(plan.batch_size > 0, "a batch needs an image");
        let stop = Arc::new(AtomicBool::new(false));
        let remaining = plan.first_batch..plan.order.len() / plan.batch_size;
        let (count, prefetch) = (plan.workers, plan.prefetch);
        let job = Arc::new(Job { images, maker, plan, stop: Arc::clone(&stop) });
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
    type Item = Result<ViewBatch>;

    fn next(&mut self) -> Option<Result<ViewBatch>> {
        let worker = self.remaining.next()? % self.workers.len();
        match self.workers[worker].batches.recv() {
            Ok(Ok(batch)) => Some(Ok(batch)),
            Ok(Err(error)) => {
                self.remaining = 0..0;
                Some(Err(error))
            }
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
    images: Images,
    maker: Arc<ViewMaker>,
    plan: LoaderPlan,
    stop: Arc<AtomicBool>,
}

impl Job {
    /// Makes and sends the given batches, until the loader is dropped or one cannot be made.
    fn run(&self, batches: impl Iterator<Item = usize>, sender: &SyncSender<Result<ViewBatch>>) {
        for batch in batches {
            let Some(batch) = self.batch(batch).transpose() else {
                return;
            };
            let failed = batch.is_err();
            if sender.send(batch).is_err() || failed {
                return;
            }
        }
    }

    /// Makes batch `number`, or nothing if the loader is dropped meanwhile.
    fn batch(&self, number: usize) -> Result<Option<ViewBatch>> {
        let count = self.plan.batch_size;
        let wanted = &self.plan.order[number * count..][..count];
        let room = |kind| vec![0.0; self.maker.count(kind) * count * self.view_len(kind)];
        let mut batch = ViewBatch {
            indices: Vec::with_capacity(count),
            global: room(ViewKind::Global),
            local: room(ViewKind::Local),
        };
        for (position, &index) in wanted.iter().enumerate() {
            let mut taken = None;
            for attempt in self.attempts(index) {
                if self.stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
                if self.write_views(attempt, position, &mut batch)? {
                    taken = Some(attempt);
                    break;
                }
            }
            batch.indices.push(taken.ok_or_else(|| self.nothing_stands_in(index))?);
        }
        Ok(Some(batch))
    }

    /// Image `index`, and those that stand in for it one after another: a function of seed and epoch.
    fn attempts(&self, index: usize) -> impl Iterator<Item = usize> {
        let order = &self.plan.order;
        let (seed, epoch) = (self.maker.seed(), self.plan.epoch);
        let stand_in = move |attempt| {
            let mut rng = generator(seed, Stream::Replacement, epoch, index as u64, attempt);
            order[rng.random_range(0..order.len())]
        };
        std::iter::once(index).chain((0..MOST_STAND_INS).map(stand_in))
    }

    fn nothing_stands_in(&self, index: usize) -> Error {
        let problem = format!(
            "cannot be read, nor can any of {MOST_STAND_INS} images of the epoch that were drawn in its \
             place; a survey of the dataset names all that are broken"
        );
        Error::data(self.images.name(index), problem)
    }

    /// Writes the views of image `index` to their rows of `batch`, or says that it cannot be read.
    fn write_views(&self, index: usize, position: usize, batch: &mut ViewBatch) -> Result<bool> {
        let globals = self.maker.count(ViewKind::Global);
        let count = self.plan.batch_size;
        let written = self.images.read(index, |picture| {
            let prepared = self.maker.prepare(picture, self.plan.epoch, index as u64)?;
            for (slot, kind) in self.maker.slots().enumerate() {
                let (views, view) = match kind {
                    ViewKind::Global => (&mut batch.global, slot),
                    ViewKind::Local => (&mut batch.local, slot - globals),
                };
                let len = self.view_len(kind);
                let row = view * count + position;
                prepared.write(slot, &mut views[row * len..][..len]);
            }
            Ok(())
        })?;
        Ok(written.is_some())
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
    use std::sync::Mutex;
    use std::sync::mpsc::{Sender, channel};

    use super::*;
    use crate::augment::views::tests::{config, maker};
    use crate::data::{Dataset, Image, Picture};

    /// Images of 8 x 8 pixels, each of its own bytes. Number `panics` panics, those of `broken` are
    /// nonsense. Each waits at the `gate`, where there is one.
    struct Toy {
        images: Vec<Vec<u8>>,
        panics: Option<usize>,
        broken: Vec<usize>,
        gate: Option<Gate>,
    }

    /// Tells of each image that is asked for, and holds it back until the other end of `opened` is gone.
    struct Gate {
        asked: Sender<()>,
        opened: Mutex<Receiver<()>>,
    }

    impl Toy {
        fn new(count: usize) -> Self {
            let byte = |index: usize, at: usize| (31 * index + 7 * at + at * at) as u8;
            let image = |index| (0..3 * 8 * 8).map(|at| byte(index, at)).collect();
            let images = (0..count).map(image).collect();
            Toy { images, panics: None, broken: Vec::new(), gate: None }
        }
    }

    impl Toy {
        fn image(&self, index: usize) -> Image<'_> {
            Image { width: 8, height: 8, pixels: &self.images[index] }
        }
    }

    impl Dataset for Toy {
        fn len(&self) -> usize {
            self.images.len()
        }

        fn picture(&self, index: usize) -> logo_ssl_data::Result<Picture<'_>> {
            if let Some(Gate { asked, opened }) = &self.gate {
                asked.send(()).unwrap();
                opened.lock().unwrap().recv().unwrap_err();
            }
            assert_ne!(Some(index), self.panics, "image {index} panics");
            Ok(match self.broken.contains(&index) {
                true => Picture::File(b"nonsense"[..].into()),
                false => self.image(index).into(),
            })
        }

        fn label(&self, _: usize) -> Option<usize> {
            None
        }

        fn name(&self, index: usize) -> String {
            format!("toy {index}")
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
        let images = Images::new(Arc::new(dataset), 0.1);
        Loader::start(images, Arc::new(maker(&config())), plan)
    }

    fn batches(workers: usize, prefetch: usize, first_batch: usize) -> Vec<ViewBatch> {
        let loader = start(Toy::new(IMAGES), plan(workers, prefetch, first_batch));
        loader.collect::<Result<_>>().unwrap()
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
                loader.next().unwrap().unwrap();
            }
            let job = Arc::downgrade(&loader.stop);
            drop(loader);
            assert_eq!(job.strong_count(), 0, "a worker is left");
        }
    }

    #[test]
    fn dropping_early_stops_workers_within_a_batch() {
        const WORKERS: usize = 3;
        let (asked, images_asked_for) = channel();
        let (open, opened) = channel();
        let gate = Some(Gate { asked, opened: Mutex::new(opened) });
        let plan = LoaderPlan { order: vec![0; 300], batch_size: 100, ..plan(WORKERS, 1, 0) };
        let loader = start(Toy { gate, ..Toy::new(IMAGES) }, plan);
        (0..WORKERS).for_each(|_| images_asked_for.recv().unwrap());
        let stop = Arc::clone(&loader.stop);
        let dropping = thread::spawn(|| drop(loader));
        while !stop.load(Ordering::Relaxed) {
            thread::yield_now();
        }
        drop(open);
        dropping.join().unwrap();
        assert_eq!(images_asked_for.iter().count(), 0, "the rest of a batch was made");
    }

    /// The batches of images of which the first `count` of the epoch are broken.
    fn with_broken(count: usize, workers: usize) -> (Vec<usize>, Result<Vec<ViewBatch>>) {
        let mut dataset = Toy::new(IMAGES);
        dataset.broken = epoch_order(3, 2, IMAGES)[..count].to_vec();
        (dataset.broken.clone(), start(dataset, plan(workers, 1, 0)).collect())
    }

    #[test]
    fn another_image_stands_in_for_one_that_cannot_be_read() {
        let (broken, batches) = with_broken(5, 1);
        let batches = batches.unwrap();
        assert_eq!(batches[1..], self::batches(1, 1, 0)[1..], "the others are as they were");
        assert!(batches[0].indices.iter().all(|index| !broken.contains(index)));
        let mut view = vec![0.0; 3 * 8 * 8];
        let image = Toy::new(IMAGES);
        let image = image.image(batches[0].indices[2]);
        maker(&config()).view(image, 2, batches[0].indices[2] as u64, 0, &mut view);
        assert_eq!(batches[0].global[2 * view.len()..][..view.len()], view);
        for workers in [2, 5] {
            assert!(with_broken(5, workers).1.unwrap() == batches);
        }
    }

    #[test]
    fn too_many_that_cannot_be_read_end_the_epoch() {
        for workers in [1, 3] {
            let mut dataset = Toy::new(IMAGES);
            dataset.broken = epoch_order(3, 2, IMAGES)[20..26].to_vec();
            let mut loader = start(dataset, plan(workers, 1, 0));
            let error = loader.by_ref().find_map(Result::err).unwrap().to_string();
            assert!(error.contains("6 of the 46 images cannot be read, at most 5"), "{error}");
            assert!(loader.next().is_none());
        }
    }

    #[test]
    fn an_epoch_of_broken_images_alone_ends() {
        let mut dataset = Toy::new(IMAGES);
        dataset.broken = vec![1, 4];
        let order = [1, 4].repeat(5);
        let mut loader = start(dataset, LoaderPlan { order, ..plan(2, 1, 0) });
        let error = loader.next().unwrap().unwrap_err().to_string();
        assert!(error.starts_with("toy 1: cannot be read, nor can any of 64 images"), "{error}");
        assert!(loader.next().is_none());
    }

    #[test]
    fn a_panic_in_a_worker_reaches_the_reader() {
        let mut dataset = Toy::new(IMAGES);
        dataset.panics = Some(epoch_order(3, 2, IMAGES)[17]);
        let mut loader = start(dataset, plan(2, 1, 0));
        for _ in 0..3 {
            assert!(loader.next().is_some());
        }
        let panic = catch_unwind(AssertUnwindSafe(|| loader.next())).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains("panics"), "{message}");
        assert!(loader.next().is_none());
    }
}
