//! The policy: an image becomes global and local views, by default two of each.
//!
//! A view is a random resized crop, perhaps mirrored, with its colours perhaps jittered, perhaps
//! grey, perhaps blurred, and normalised. Global and local views differ in the crop alone.

use cpu_kernels::Work;
use rand::{Rng, RngExt};

use super::blur::{gaussian_blur, kernel_size};
use super::color::{self, Jitter};
use super::crop::{CropBox, crop_box};
use super::middle::resized_middle;
use super::resize::resized_crop;
use super::uniform;
use crate::config::{Config, CropConfig, EvalConfig, ViewsConfig};
use crate::data::{DecodeError, Image, Opened, Picture, Pixels};
use crate::instructions;
use logo_ssl_base::rng::{Stream, generator};

/// The two kinds of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewKind {
    /// A large part of the image.
    Global,
    /// A small part of the image.
    Local,
}

/// Makes views. What it makes is a function of its configuration, its seed, the epoch, the image's
/// index and the slot, and of nothing else.
#[derive(Clone, Debug)]
pub struct ViewMaker {
    config: ViewsConfig,
    mean: [f32; 3],
    std: [f32; 3],
    seed: u64,
}

impl ViewMaker {
    /// A maker of views normalised by `mean` and `std`, which are of pixel values in [0, 1].
    pub fn new(config: &ViewsConfig, mean: [f32; 3], std: [f32; 3], seed: u64) -> Self {
        ViewMaker { config: config.clone(), mean, std, seed }
    }

    /// The maker of a run's views.
    pub fn of_config(config: &Config) -> Self {
        Self::new(&config.views, config.data.mean, config.data.std, config.seed)
    }

    /// The same without local views, which nothing but LoGo reads.
    pub(crate) fn without_local(mut self) -> Self {
        self.config.local.count = 0;
        self
    }

    /// The kind of each of an image's views, by slot: the global ones, then the local ones.
    pub(crate) fn slots(&self) -> impl Iterator<Item = ViewKind> + use<> {
        let ViewsConfig { global, local, .. } = &self.config;
        let global = std::iter::repeat_n(ViewKind::Global, global.count);
        global.chain(std::iter::repeat_n(ViewKind::Local, local.count))
    }

    /// How many views of `kind` an image gives.
    pub fn count(&self, kind: ViewKind) -> usize {
        self.crop_config(kind).count
    }

    /// # Panics
    /// If there is no such slot.
    fn kind(&self, slot: usize) -> ViewKind {
        self.slots().nth(slot).expect("a slot of an image's views")
    }

    /// The side of a view, pixels.
    pub fn size(&self, kind: ViewKind) -> usize {
        self.crop_config(kind).size
    }

    /// The source of its randomness.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Decides on the views of image number `index` in `epoch`, and decodes it.
    ///
    /// # Errors
    /// When the picture is a damaged file.
    pub(crate) fn prepare<'a>(
        &'a self,
        picture: &'a Picture<'_>,
        epoch: u64,
        index: u64,
    ) -> Result<Prepared<'a>, DecodeError> {
        let opened = picture.open()?;
        let recipes = self.recipes(opened.size(), epoch, index);
        Ok(Prepared { maker: self, image: opened.pixels()?, recipes })
    }

    /// Writes view `slot` of image number `index` to `out`: normalised, `[3, size, size]`.
    ///
    /// The slots of the global views come first, those of the local ones after them.
    ///
    /// # Panics
    /// If there is no such slot, or `out` has another length.
    pub fn view(&self, image: Image<'_>, epoch: u64, index: u64, slot: usize, out: &mut [f32]) {
        let recipe = self.recipe([image.width, image.height], epoch, index, slot);
        self.write(&recipe, self.kind(slot), image, out);
    }

    fn write(&self, recipe: &Recipe, kind: ViewKind, image: Image<'_>, out: &mut [f32]) {
        let size = self.size(kind);
        let [mean, std] = [self.mean, self.std];
        instructions::level().do_work(Steps { recipe, image, size, mean, std, out });
    }

    /// A view as bytes to look at: `[3, n]` normalised to `[n, 3]` in 0..=255.
    pub fn to_rgb8(&self, view: &[f32]) -> Vec<u8> {
        let area = view.len() / 3;
        let byte = |channel: usize, at: usize| {
            let value = view[channel * area + at] * self.std[channel] + self.mean[channel];
            (value * 255.0).round() as u8
        };
        (0..area).flat_map(|at| [0, 1, 2].map(|channel| byte(channel, at))).collect()
    }

    fn recipes(&self, size: [usize; 2], epoch: u64, index: u64) -> Vec<Recipe> {
        (0..self.slots().count()).map(|slot| self.recipe(size, epoch, index, slot)).collect()
    }

    fn recipe(&self, size: [usize; 2], epoch: u64, index: u64, slot: usize) -> Recipe {
        let crop = self.crop_config(self.kind(slot));
        let mut rng = generator(self.seed, Stream::View, epoch, index, slot as u64);
        Recipe::draw(size, crop, &self.config, &mut rng)
    }

    fn crop_config(&self, kind: ViewKind) -> &CropConfig {
        match kind {
            ViewKind::Global => &self.config.global,
            ViewKind::Local => &self.config.local,
        }
    }
}

/// An image whose views are decided on.
pub(crate) struct Prepared<'a> {
    maker: &'a ViewMaker,
    image: Pixels<'a>,
    /// One a slot.
    recipes: Vec<Recipe>,
}

impl Prepared<'_> {
    /// The part of the image that the view in `slot` shows.
    ///
    /// # Panics
    /// If there is no such slot.
    pub(crate) fn crop(&self, slot: usize) -> CropBox {
        self.recipes[slot].crop
    }

    /// Writes the view in `slot` to `out`: normalised, `[3, size, size]`.
    ///
    /// # Panics
    /// If there is no such slot, or `out` has another length.
    pub(crate) fn write(&self, slot: usize, out: &mut [f32]) {
        self.maker.write(&self.recipes[slot], self.maker.kind(slot), self.image.image(), out);
    }
}

/// What makes a view.
pub(super) struct Steps<'a> {
    pub(super) recipe: &'a Recipe,
    pub(super) image: Image<'a>,
    /// Side of the view, pixels.
    pub(super) size: usize,
    pub(super) mean: [f32; 3],
    pub(super) std: [f32; 3],
    /// `[3, size, size]`
    pub(super) out: &'a mut [f32],
}

impl Work for Steps<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Steps { recipe, image, size, mean, std, out } = self;
        resized_crop(image, recipe.crop, recipe.flip, size, out);
        if let Some(jitter) = &recipe.jitter {
            jitter.apply(out);
        }
        if recipe.grayscale {
            color::grayscale(out);
        }
        if let Some(sigma) = recipe.blur {
            gaussian_blur(out, size, kernel_size(size), sigma);
        }
        color::normalise(out, mean, std);
    }
}

/// All that chance decides about one view.
pub(super) struct Recipe {
    pub(super) crop: CropBox,
    pub(super) flip: bool,
    pub(super) jitter: Option<Jitter>,
    pub(super) grayscale: bool,
    /// σ in pixels of the view.
    pub(super) blur: Option<f32>,
}

impl Recipe {
    /// Draws everything, even what a coin then discards: changing one probability leaves all the
    /// other choices as they were.
    fn draw(
        [width, height]: [usize; 2],
        crop: &CropConfig,
        views: &ViewsConfig,
        rng: &mut impl Rng,
    ) -> Self {
        let crop = crop_box(width, height, crop, rng);
        let flip = coin(views.flip, rng);
        let jitters = coin(views.jitter.probability, rng);
        let jitter = Jitter::draw(&views.jitter, rng);
        let grayscale = coin(views.grayscale, rng);
        let blurs = coin(views.blur.probability, rng);
        let sigma = uniform(views.blur.sigma, rng);
        Recipe {
            crop,
            flip,
            jitter: jitters.then_some(jitter),
            grayscale,
            blur: blurs.then_some(sigma),
        }
    }
}

/// True with the given probability.
fn coin(probability: f32, rng: &mut impl Rng) -> bool {
    rng.random::<f32>() < probability
}

/// An image as evaluation sees it: normalised, and not augmented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvalView {
    /// As it is.
    Whole,
    /// The shorter side brought to `resize` pixels, and the central square of `crop` of it.
    Central {
        /// Of the shorter side, pixels.
        resize: usize,
        /// Side of the view, pixels; at most `resize`.
        crop: usize,
    },
}

impl EvalView {
    /// What `eval.resize` and `eval.crop` ask for.
    pub fn of_config(config: &EvalConfig) -> Self {
        match (config.resize, config.crop) {
            (0, _) | (_, 0) => EvalView::Whole,
            (resize, crop) => EvalView::Central { resize, crop },
        }
    }

    /// Width and height of the view of an image of width and height `size`, pixels.
    pub fn size(self, size: [usize; 2]) -> [usize; 2] {
        match self {
            EvalView::Whole => size,
            EvalView::Central { crop, .. } => [crop, crop],
        }
    }

    /// Writes the view to `out`, `[3, height, width]`, normalised by a mean and a standard deviation. A central
    /// view is torchvision's `Resize` and `CenterCrop` of a Pillow image, byte for byte.
    ///
    /// # Errors
    /// When the picture is a damaged file.
    ///
    /// # Panics
    /// If `out` has another length.
    pub fn write(
        self,
        picture: Opened<'_>,
        [mean, std]: [[f32; 3]; 2],
        out: &mut [f32],
    ) -> Result<(), DecodeError> {
        match self {
            EvalView::Whole => copy(picture.pixels()?.image(), out),
            EvalView::Central { resize, crop } => {
                resized_middle(picture.pixels()?.image(), resize, crop, out);
            }
        }
        color::normalise(out, mean, std);
        Ok(())
    }
}

/// Writes what the encoder sees of the part `area` of an image to `out`: `[3, size, size]`, normalised by a
/// mean and a standard deviation, and not augmented.
///
/// # Panics
/// If the part leaves the image, or `out` has another length.
pub(crate) fn part(
    image: Image<'_>,
    area: CropBox,
    size: usize,
    [mean, std]: [[f32; 3]; 2],
    out: &mut [f32],
) {
    resized_crop(image, area, false, size, out);
    color::normalise(out, mean, std);
}

/// The central square with the share `share` of the shorter side.
pub(crate) fn central([width, height]: [usize; 2], share: f64) -> CropBox {
    let side = (width.min(height) as f64 * share).round().max(1.0) as usize;
    CropBox { x: (width - side) / 2, y: (height - side) / 2, width: side, height: side }
}

/// Bytes to planes in [0, 1].
fn copy(image: Image<'_>, out: &mut [f32]) {
    assert_eq!(out.len(), image.pixels.len(), "as many values as bytes");
    let [red, green, blue] = super::planes(out);
    let planar = red.iter_mut().zip(green).zip(blue);
    for (pixel, ((r, g), b)) in image.pixels.chunks_exact(3).zip(planar) {
        *r = f32::from(pixel[0]) / 255.0;
        *g = f32::from(pixel[1]) / 255.0;
        *b = f32::from(pixel[2]) / 255.0;
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::augment::golden;
    use crate::config::{BlurConfig, JitterConfig};

    const MEAN: [f32; 3] = [0.5, 0.4, 0.3];
    const STD: [f32; 3] = [0.2, 0.25, 0.3];

    /// Global views of 8 pixels, local ones of 6, and every augmentation at times.
    pub(crate) fn config() -> ViewsConfig {
        let crop = |size, area| CropConfig { size, area, aspect: [0.75, 4.0 / 3.0], count: 2 };
        ViewsConfig {
            global: crop(8, [0.65, 0.9]),
            local: crop(6, [0.15, 0.4]),
            flip: 0.5,
            jitter: JitterConfig {
                probability: 0.8,
                brightness: 0.4,
                contrast: 0.4,
                saturation: 0.4,
                hue: 0.1,
            },
            grayscale: 0.2,
            blur: BlurConfig { probability: 0.5, sigma: [0.1, 2.0] },
        }
    }

    pub(crate) fn maker(config: &ViewsConfig) -> ViewMaker {
        ViewMaker::new(config, MEAN, STD, 7)
    }

    fn view(maker: &ViewMaker, image: Image<'_>, index: u64, slot: usize) -> Vec<f32> {
        let size = maker.size(maker.kind(slot));
        let mut out = vec![f32::NAN; 3 * size * size];
        maker.view(image, 0, index, slot, &mut out);
        out
    }

    #[test]
    fn a_view_is_a_function_of_seed_epoch_image_and_slot() {
        let golden = golden::load();
        let image = golden.source.image();
        let maker = maker(&config());
        let first = view(&maker, image, 0, 0);
        assert_eq!(first, view(&maker, image, 0, 0));
        assert_ne!(first, view(&maker, image, 0, 1));
        assert_ne!(first, view(&maker, image, 1, 0));
        let mut next_epoch = first.clone();
        maker.view(image, 1, 0, 0, &mut next_epoch);
        assert_ne!(first, next_epoch);
        let other_seed = ViewMaker::new(&config(), MEAN, STD, 8);
        assert_ne!(first, view(&other_seed, image, 0, 0));
    }

    #[test]
    fn every_value_is_that_of_a_pixel() {
        let golden = golden::load();
        let maker = maker(&config());
        for index in 0..200 {
            for slot in 0..4 {
                let mut out = view(&maker, golden.source.image(), index, slot);
                let planes = crate::augment::planes(&mut out).into_iter().enumerate();
                for (channel, plane) in planes {
                    for value in plane {
                        let pixel = *value * STD[channel] + MEAN[channel];
                        assert!((-1e-6..=1.0 + 1e-6).contains(&pixel), "{pixel}");
                    }
                }
            }
        }
    }

    #[test]
    fn without_augmentation_a_view_is_its_crop_normalised() {
        let golden = golden::load();
        let image = golden.source.image();
        let mut config = config();
        config.flip = 0.0;
        config.jitter.probability = 0.0;
        config.grayscale = 0.0;
        config.blur.probability = 0.0;
        let maker = maker(&config);
        let mut expected = vec![0.0; 3 * 6 * 6];
        let picture = image.into();
        let crop = maker.prepare(&picture, 0, 5).unwrap().crop(2);
        resized_crop(image, crop, false, 6, &mut expected);
        color::normalise(&mut expected, MEAN, STD);
        assert_eq!(view(&maker, image, 5, 2), expected);
    }

    #[test]
    fn one_probability_changes_no_other_choice() {
        let golden = golden::load();
        let image = golden.source.image();
        let size = [image.width, image.height];
        let usual = maker(&config());
        let mut never = config();
        never.jitter.probability = 0.0;
        let never = maker(&never);
        for index in 0..50 {
            let (a, b) = (usual.recipe(size, 0, index, 0), never.recipe(size, 0, index, 0));
            assert_eq!(
                (a.crop, a.flip, a.grayscale, a.blur),
                (b.crop, b.flip, b.grayscale, b.blur)
            );
            assert!(b.jitter.is_none());
        }
    }

    #[test]
    fn coins_fall_as_often_as_asked() {
        let golden = golden::load();
        let maker = maker(&config());
        let size = [golden.source.width, golden.source.height];
        let draws: Vec<Recipe> = (0..4000).map(|index| maker.recipe(size, 0, index, 0)).collect();
        let share = |has: fn(&Recipe) -> bool| {
            draws.iter().filter(|recipe| has(recipe)).count() as f32 / draws.len() as f32
        };
        assert!((share(|r| r.flip) - 0.5).abs() < 0.03);
        assert!((share(|r| r.jitter.is_some()) - 0.8).abs() < 0.03);
        assert!((share(|r| r.grayscale) - 0.2).abs() < 0.03);
        assert!((share(|r| r.blur.is_some()) - 0.5).abs() < 0.03);
    }

    fn evaluation_view(view: EvalView, image: Image<'_>) -> Vec<f32> {
        let picture = Picture::from(image);
        let opened = picture.open().unwrap();
        let [width, height] = view.size(opened.size());
        let mut out = vec![0.0; 3 * width * height];
        view.write(opened, [MEAN, STD], &mut out).unwrap();
        out
    }

    #[test]
    fn the_whole_evaluation_view_is_the_image_and_back() {
        let golden = golden::load();
        let image = golden.source.image();
        let out = evaluation_view(EvalView::Whole, image);
        let first_red = (f32::from(image.pixels[0]) / 255.0 - MEAN[0]) / STD[0];
        assert!((out[0] - first_red).abs() < 1e-6);
        assert_eq!(maker(&config()).to_rgb8(&out), image.pixels);
    }

    #[test]
    fn the_central_evaluation_view_is_a_square_of_the_middle() {
        // Black at the left, grey in the middle, as far as the filter sees, white at the right.
        let value = |column| [0, 100, 200][usize::from(column >= 4) + usize::from(column >= 14)];
        let pixels: Vec<u8> = (0..6 * 18).flat_map(|at| [value(at % 18); 3]).collect();
        let image = Image { width: 18, height: 6, pixels: &pixels };
        let out = evaluation_view(EvalView::Central { resize: 3, crop: 3 }, image);
        assert_eq!(maker(&config()).to_rgb8(&out), [100; 27]);
        let wide = evaluation_view(EvalView::Central { resize: 6, crop: 6 }, image);
        assert_eq!(maker(&config()).to_rgb8(&wide), [100; 108], "no resizing is a copy");
    }
}
