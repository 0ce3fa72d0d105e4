//! A drawing as a value, and its two forms: SVG and PNG.
//!
//! Lengths are CSS pixels, from the upper left corner. A PNG has [`PNG_SCALE`] pixels for each.

mod font;
mod raster;
mod svg;

use image::RgbImage;

pub(crate) use font::{shortened, width};

/// Red, green and blue.
pub(crate) type Color = [u8; 3];
/// Across and down.
pub(crate) type Point = [f32; 2];

/// Pixels of a PNG for each of a drawing.
pub(crate) const PNG_SCALE: f32 = 2.0;

pub(crate) const WHITE: Color = [255, 255, 255];
pub(crate) const INK: Color = [31, 35, 40];
pub(crate) const MUTED: Color = [87, 94, 102];
pub(crate) const FAINT: Color = [222, 226, 231];

/// Something drawn, what is later above what is earlier.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    width: f32,
    height: f32,
    /// What it shows, for those who cannot see it.
    title: String,
    items: Vec<Item>,
}

#[derive(Clone, Debug)]
enum Item {
    Outline { outline: Outline, paint: Paint },
    Text(Text),
    Picture { corner: Point, size: Point, image: RgbImage },
}

#[derive(Clone, Debug)]
enum Outline {
    Rectangle { corner: Point, size: Point },
    Disc { centre: Point, radius: f32 },
    Polygon(Vec<Point>),
    Line(Vec<Point>),
}

/// How an outline is painted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Paint {
    /// Inside, with its opacity.
    pub(crate) fill: Option<(Color, f32)>,
    /// Along it, with its width.
    pub(crate) stroke: Option<(Color, f32)>,
    /// Whether that is dashed.
    pub(crate) dashed: bool,
}

impl Paint {
    pub(crate) fn fill(color: Color) -> Self {
        Self { fill: Some((color, 1.0)), ..Self::default() }
    }

    pub(crate) fn sheer(color: Color, opacity: f32) -> Self {
        Self { fill: Some((color, opacity)), ..Self::default() }
    }

    pub(crate) fn stroke(color: Color, width: f32) -> Self {
        Self { stroke: Some((color, width)), ..Self::default() }
    }

    pub(crate) fn edged(self, color: Color, width: f32) -> Self {
        Self { stroke: Some((color, width)), ..self }
    }

    pub(crate) fn dashed(self) -> Self {
        Self { dashed: true, ..self }
    }
}

/// Which point of a text is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// One line of text.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// On the line that the letters stand on.
    at: Point,
    text: String,
    size: f32,
    color: Color,
    anchor: Anchor,
}

impl Text {
    pub(crate) fn new(at: Point, text: impl Into<String>, size: f32) -> Self {
        let text = text.into();
        Self { at, text, size, color: INK, anchor: Anchor::Start }
    }

    pub(crate) fn color(self, color: Color) -> Self {
        Self { color, ..self }
    }

    pub(crate) fn anchor(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    /// Where its first letter begins.
    fn start(&self) -> f32 {
        let width = width(&self.text, self.size);
        match self.anchor {
            Anchor::Start => self.at[0],
            Anchor::Middle => self.at[0] - 0.5 * width,
            Anchor::End => self.at[0] - width,
        }
    }
}

impl Scene {
    pub(crate) fn new([width, height]: Point, title: impl Into<String>) -> Self {
        Self { width, height, title: title.into(), items: vec![] }
    }

    pub(crate) fn rectangle(&mut self, corner: Point, size: Point, paint: Paint) {
        self.outline(Outline::Rectangle { corner, size }, paint);
    }

    pub(crate) fn disc(&mut self, centre: Point, radius: f32, paint: Paint) {
        self.outline(Outline::Disc { centre, radius }, paint);
    }

    pub(crate) fn polygon(&mut self, points: Vec<Point>, paint: Paint) {
        self.outline(Outline::Polygon(points), paint);
    }

    pub(crate) fn line(&mut self, points: Vec<Point>, paint: Paint) {
        self.outline(Outline::Line(points), paint);
    }

    fn outline(&mut self, outline: Outline, paint: Paint) {
        self.items.push(Item::Outline { outline, paint });
    }

    pub(crate) fn text(&mut self, text: Text) {
        self.items.push(Item::Text(text));
    }

    /// Lines of text below each other, the first at `at`.
    pub(crate) fn lines(&mut self, [x, y]: Point, lines: &[&str], size: f32, color: Color) {
        for (row, line) in lines.iter().enumerate() {
            self.text(Text::new([x, y + row as f32 * 1.5 * size], *line, size).color(color));
        }
    }

    /// A picture stretched to `size`; its pixels stay to be seen where they are fewer.
    pub(crate) fn picture(&mut self, corner: Point, size: Point, image: RgbImage) {
        self.items.push(Item::Picture { corner, size, image });
    }

    /// # Errors
    /// Where a picture in it cannot be encoded.
    pub(crate) fn svg(&self) -> std::io::Result<String> {
        svg::draw(self)
    }

    /// # Errors
    /// Where it is too large for a picture.
    pub(crate) fn png(&self) -> std::io::Result<Vec<u8>> {
        raster::draw(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::Rgb;

    fn scene() -> Scene {
        let mut scene = Scene::new([60.0, 40.0], "A <title>");
        scene.rectangle([0.0, 0.0], [20.0, 40.0], Paint::fill([200, 0, 0]));
        scene.picture([20.0, 0.0], [20.0, 20.0], RgbImage::from_pixel(2, 2, Rgb([0, 90, 0])));
        scene.disc([50.0, 10.0], 6.0, Paint::stroke(INK, 1.0).dashed());
        scene.line(vec![[40.0, 30.0], [60.0, 30.0]], Paint::stroke([0, 0, 250], 4.0));
        scene.text(Text::new([2.0, 36.0], "a & b", 12.0).color(WHITE));
        scene
    }

    #[test]
    fn a_png_has_two_pixels_for_each_and_every_item_in_its_place() {
        let png = scene().png().unwrap();
        let drawn = image::load_from_memory(&png).unwrap().to_rgb8();
        assert_eq!(drawn.dimensions(), (120, 80));
        assert_eq!(drawn.get_pixel(4, 4), &Rgb([200, 0, 0]));
        assert_eq!(drawn.get_pixel(60, 20), &Rgb([0, 90, 0]));
        assert_eq!(drawn.get_pixel(100, 60), &Rgb([0, 0, 250]));
        assert_eq!(drawn.get_pixel(100, 20), &Rgb([255, 255, 255]), "a disc without a filling");
        let letters = image::imageops::crop_imm(&drawn, 0, 50, 40, 30).to_image();
        assert!(letters.pixels().any(|pixel| pixel[1] > 200), "white letters on red");
        assert_eq!(png, scene().png().unwrap());
    }

    #[test]
    fn an_svg_needs_nothing_else_and_says_what_it_shows() {
        let svg = scene().svg().unwrap();
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>"));
        assert!(svg.contains("<title>A &lt;title&gt;</title>"), "{svg}");
        assert!(svg.contains(">a &amp; b</text>") && svg.contains("data:image/png;base64,"));
        assert!(svg.contains("stroke-dasharray"));
        assert!(!svg.replace("http://www.w3.org/2000/svg", "").contains("http"));
    }
}
