//! `shapes`: an embedded dataset, drawn by procedure, so that a first run needs no download.
//!
//! Ten kinds of figure on 32×32 pixels. Position, size, tilt, colours, the background's
//! grain, a small distractor and pixel noise all vary, so that pixels say little about the
//! class while its outline and inner structure say everything.

use rand::RngExt;
use rayon::prelude::*;

use super::{Dataset, Image, Picture, Split};
use crate::Result;
use crate::source::{Origin, Parts, Source};
use logo_ssl_base::rng::{Generator, Stream, generator};

/// `shapes` by name.
pub static SOURCE: Source = Source {
    name: "shapes",
    preset: "quickstart",
    statistics: None,
    origin: Origin::Embedded,
    load: |_| Parts::of_splits(|split| Ok(Some(Shapes::embedded(split)))),
};

const SIDE: usize = 32;
const PIXELS: usize = SIDE * SIDE * 3;
/// The pictures are part of the program: they do not follow the experiment's seed.
const SEED: u64 = 0x5ba9e5;
/// Samples along each side of a pixel, against jagged edges.
const SAMPLES: usize = 3;
/// No figure of radius 1 has a point further from its centre; bars and checker come nearest.
const REACH: f32 = 1.3;
const CLASSES: [&str; 10] =
    ["disc", "ring", "square", "triangle", "cross", "star", "crescent", "bars", "dots", "checker"];

/// A point relative to a figure, whose radius is 1.
type Point = [f32; 2];
/// Red, green and blue in [0, 1].
type Color = [f32; 3];

/// Pictures of ten classes, equally many of each.
#[derive(Debug)]
pub struct Shapes {
    /// `[images, 32, 32, 3]`
    pixels: Vec<u8>,
    classes: Vec<String>,
}

impl Shapes {
    /// Images of the train and of the test split.
    pub const SIZES: [usize; 2] = [4_000, 1_000];

    /// The dataset as it comes with the program: 4,000 pictures to train on, 1,000 others to test.
    pub fn embedded(split: Split) -> Self {
        let [train, test] = Self::SIZES;
        Self::render(SEED, split, if split == Split::Train { train } else { test })
    }

    /// Draws `count` pictures; each is a function of seed, split and its index alone.
    pub fn render(seed: u64, split: Split, count: usize) -> Self {
        let mut pixels = vec![0; count * PIXELS];
        pixels.par_chunks_exact_mut(PIXELS).enumerate().for_each(|(index, picture)| {
            let mut rng = generator(seed, Stream::Shapes, split as u64, index as u64, 0);
            Scene::draw(class_of(index), &mut rng).render(&mut rng, picture);
        });
        Self { pixels, classes: CLASSES.map(String::from).to_vec() }
    }
}

impl Dataset for Shapes {
    fn len(&self) -> usize {
        self.pixels.len() / PIXELS
    }

    fn picture(&self, index: usize) -> Result<Picture<'_>> {
        let pixels = &self.pixels[index * PIXELS..][..PIXELS];
        Ok(Image { width: SIDE, height: SIDE, pixels }.into())
    }

    fn label(&self, index: usize) -> Option<usize> {
        Some(class_of(index))
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn name(&self, index: usize) -> String {
        format!("shapes, image {index}")
    }
}

fn class_of(index: usize) -> usize {
    index % CLASSES.len()
}

/// Where a figure stands, and in which colour.
struct Figure {
    class: usize,
    center: Point,
    /// Pixels.
    radius: f32,
    /// Cosine and sine.
    tilt: [f32; 2],
    color: Color,
}

impl Figure {
    fn new(class: usize, center: Point, radius: f32, color: Color, rng: &mut Generator) -> Self {
        let angle = rng.random_range(-0.6_f32..0.6);
        Self { class, center, radius, tilt: [angle.cos(), angle.sin()], color }
    }

    fn covers(&self, [x, y]: Point) -> bool {
        let [dx, dy] = [(x - self.center[0]) / self.radius, (y - self.center[1]) / self.radius];
        // Most points are far from both figures of a picture, and this is quicker to see than the outline.
        if dx * dx + dy * dy > REACH * REACH {
            return false;
        }
        let [cos, sin] = self.tilt;
        inside(self.class, [cos * dx + sin * dy, cos * dy - sin * dx])
    }
}

/// Whether a point belongs to the figure of a class.
fn inside(class: usize, [x, y]: Point) -> bool {
    let r = || x.hypot(y);
    let square = |half: f32| x.abs().max(y.abs()) <= half;
    match class {
        0 => r() <= 0.9,
        1 => (0.62..=1.0).contains(&r()),
        2 => square(0.82),
        3 => y <= 0.75 && y >= -0.95 + 1.75 * x.abs(),
        4 => square(0.95) && x.abs().min(y.abs()) <= 0.27,
        5 => star(x, y),
        6 => r() <= 0.95 && (x - 0.45).hypot(y) > 0.75,
        7 => square(0.9) && (y * 3.4 + 0.5).rem_euclid(2.0) < 1.0,
        8 => [-0.55_f32, 0.55]
            .iter()
            .any(|cy| [-0.55_f32, 0.55].iter().any(|cx| (x - cx).hypot(y - cy) <= 0.36)),
        _ => {
            let cell = |v: f32| ((v / 0.9 + 1.0) * 1.5).floor();
            square(0.9) && (cell(x) + cell(y)) % 2.0 == 0.0
        }
    }
}

/// Five points, up.
fn star(x: f32, y: f32) -> bool {
    let sector = std::f32::consts::TAU / 5.0;
    let angle = (x.atan2(-y)).rem_euclid(sector);
    let from_tip = angle.min(sector - angle) / (sector / 2.0);
    x.hypot(y) <= 1.05 - 0.62 * from_tip
}

/// Everything about a picture but its noise.
struct Scene {
    figure: Figure,
    distractor: Figure,
    background: Color,
    grain: Grain,
}

/// Smooth blotches of the same statistics in every picture: a texture that hides figures from a
/// comparison of pixels, but tells no picture from another.
struct Grain {
    strength: f32,
    /// Lightness at the corners of a grid, row by row.
    lattice: Vec<f32>,
}

impl Grain {
    /// Pixels between two corners of the grid.
    const STEP: f32 = 4.0;
    const CORNERS: usize = SIDE / 4 + 1;

    fn draw(rng: &mut Generator) -> Self {
        let corner = |_| rng.random_range(-1.0..1.0);
        Self { strength: 0.16, lattice: (0..Self::CORNERS.pow(2)).map(corner).collect() }
    }

    /// Interpolated between the four corners around a point.
    fn at(&self, [x, y]: Point) -> f32 {
        let (x, y) = (x / Self::STEP, y / Self::STEP);
        // No point lies left of the picture or above it, so that cutting off rounds down.
        let (column, row) = (x as usize, y as usize);
        let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
        let (right, down) = (smooth(x - column as f32), smooth(y - row as f32));
        let first = row * Self::CORNERS + column;
        let corner = |down: usize, right: usize| self.lattice[first + down * Self::CORNERS + right];
        let mix = |a: f32, b: f32, share: f32| a + share * (b - a);
        let above = mix(corner(0, 0), corner(0, 1), right);
        let below = mix(corner(1, 0), corner(1, 1), right);
        self.strength * mix(above, below, down)
    }
}

impl Scene {
    fn draw(class: usize, rng: &mut Generator) -> Self {
        let light = rng.random_range(0.2_f32..0.8);
        let background = tint(light, rng);
        let contrast = rng.random_range(0.4..0.55);
        let figure_light = if light > 0.5 { light - contrast } else { light + contrast };
        let radius = rng.random_range(6.5..11.0);
        let center = [0; 2].map(|_| rng.random_range(radius..SIDE as f32 - radius));
        let color = tint(figure_light, rng);
        Self {
            figure: Figure::new(class, center, radius, color, rng),
            distractor: distractor(center, rng),
            background,
            grain: Grain::draw(rng),
        }
    }

    fn render(&self, rng: &mut Generator, picture: &mut [u8]) {
        for (at, pixel) in picture.chunks_exact_mut(3).enumerate() {
            let corner = [(at % SIDE) as f32, (at / SIDE) as f32];
            let color = self.average(corner);
            for (value, channel) in pixel.iter_mut().zip(color) {
                let noise = rng.random_range(-0.03..0.03);
                *value = (255.0 * (channel + noise).clamp(0.0, 1.0)).round() as u8;
            }
        }
    }

    /// The mean colour of a pixel's samples.
    fn average(&self, [x, y]: Point) -> Color {
        let mut sum = [0.0; 3];
        for sample in 0..SAMPLES * SAMPLES {
            let offset = |i: usize| (i as f32 + 0.5) / SAMPLES as f32;
            let color = self.color([x + offset(sample % SAMPLES), y + offset(sample / SAMPLES)]);
            sum.iter_mut().zip(color).for_each(|(sum, channel)| *sum += channel);
        }
        sum.map(|channel| channel / (SAMPLES * SAMPLES) as f32)
    }

    fn color(&self, point: Point) -> Color {
        if self.figure.covers(point) {
            self.figure.color
        } else if self.distractor.covers(point) {
            self.distractor.color
        } else {
            let grain = self.grain.at(point);
            self.background.map(|channel| channel + grain)
        }
    }
}

/// A small figure of any class, away from the large one's centre.
fn distractor(center: Point, rng: &mut Generator) -> Figure {
    let class = rng.random_range(0..CLASSES.len());
    let radius = rng.random_range(2.0..3.5);
    let side = SIDE as f32;
    // In the quarter opposite to the centre, so that it hides behind the figure at most in part.
    let opposite = center.map(|c| {
        let (least, most) = if c < side / 2.0 { (side * 0.6, side) } else { (0.0, side * 0.4) };
        rng.random_range(least..most)
    });
    let color = tint(rng.random_range(0.1..0.9), rng);
    Figure::new(class, opposite, radius, color, rng)
}

/// A colour of about that lightness.
fn tint(light: f32, rng: &mut Generator) -> Color {
    [0; 3].map(|_| (light + rng.random_range(-0.22..0.22)).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_depends_on_seed_split_and_index_alone() {
        let few = Shapes::render(1, Split::Train, 20);
        let more = Shapes::render(1, Split::Train, 40);
        assert_eq!(few.pixels, more.pixels[..few.pixels.len()]);
        assert_ne!(few.pixels, Shapes::render(1, Split::Test, 20).pixels);
        assert_ne!(few.pixels, Shapes::render(2, Split::Train, 20).pixels);
    }

    #[test]
    fn classes_are_balanced_and_pictures_differ() {
        let data = Shapes::embedded(Split::Test);
        assert_eq!(data.len(), Shapes::SIZES[1]);
        let counts = |class| (0..data.len()).filter(|&i| data.label(i) == Some(class)).count();
        assert!((0..10).all(|class| counts(class) == data.len() / 10));
        let distinct: std::collections::HashSet<&[u8]> = data.pixels.chunks_exact(PIXELS).collect();
        assert_eq!(distinct.len(), data.len());
    }

    /// `points` × `points` of the plane, up to `reach` from its centre along each axis.
    fn grid(points: u16, reach: f32) -> impl Iterator<Item = Point> {
        let along = move |i: u16| reach * (2.0 * f32::from(i) / f32::from(points) - 1.0);
        (0..points).flat_map(move |y| (0..points).map(move |x| [along(x), along(y)]))
    }

    #[test]
    fn no_figure_has_a_point_out_of_reach() {
        for (class, name) in CLASSES.iter().enumerate() {
            let covered = grid(400, 2.0).filter(|&point| inside(class, point));
            let furthest = covered.map(|[x, y]| x.hypot(y)).fold(0.0, f32::max);
            assert!((0.5..REACH).contains(&furthest), "{name} reaches {furthest}");
        }
    }

    #[test]
    fn every_figure_fills_a_fair_share_of_its_circle() {
        for (class, name) in CLASSES.iter().enumerate() {
            let covered = grid(100, 1.0).filter(|&point| inside(class, point));
            let share = covered.count() as f32 / 10_000.0;
            assert!((0.2..0.75).contains(&share), "{name} covers {share}");
        }
    }
}
