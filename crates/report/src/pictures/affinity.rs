//! What LoGo learned of the parts of some images, drawn over them.

use std::path::Path;

use image::RgbImage;
use logo_ssl::Result;
use logo_ssl::data::Images;
use logo_ssl::eval::affinity::{AffinityMaps, CropBox, Parts};
use logo_ssl_base::words::counted;

use super::heat::{self, Span};
use super::marks::{RIGHT, WRONG};
use super::{class_name, thumbnail, write};
use crate::figure::signed;
use crate::scene::{
    Anchor, Color, FAINT, INK, MUTED, PNG_SCALE, Paint, Point, Scene, Text, WHITE, shortened,
    width as text_width,
};

/// Side of a panel, within which a picture keeps its shape.
const PANEL: f32 = 272.0;
const GAP: f32 = 28.0;
const LEFT: f32 = 28.0;
/// For the name above an image's panels and the bars below them.
const ABOVE: f32 = 26.0;
const BELOW: f32 = 40.0;
const TOP: f32 = 176.0;
/// Side of an image beside the table of images.
const SMALL: f32 = 64.0;
/// Crops that are shown of the nearest, and of the farthest.
const SHOWN: usize = 2;

/// Draws, in a row for each image, which local crops are near to the global view and which are not, a heat map of
/// that, f_d of all pairs of crops, and the pairs that f_d has most and least alike; then f_d between the
/// images. Writes it to `path`: PNG or SVG. `what` says of whom it is.
///
/// # Errors
/// [`logo_ssl::Error::Name`] for another extension; [`logo_ssl::Error::Io`] where it cannot be written;
/// [`logo_ssl::Error::Broken`].
pub fn affinity(maps: &AffinityMaps, images: &Images, what: &str, path: &Path) -> Result<()> {
    write(&draw(maps, images, what)?, path)
}

/// What the colours of all rows stand for.
struct Spans {
    to_global: Span,
    affinities: Span,
}

fn draw(maps: &AffinityMaps, images: &Images, what: &str) -> Result<Scene> {
    let count = maps.images.len() as f32;
    let row = ABOVE + PANEL + BELOW;
    let table = 64.0 + (count + 1.0) * (SMALL + 4.0);
    let width = 2.0 * LEFT + 4.0 * PANEL + 3.0 * GAP;
    let title = format!("Learned affinity of local crops, {what}");
    let mut scene = Scene::new([width, TOP + count * row + table], title);
    heading(&mut scene, maps, what);
    let spans = Spans {
        to_global: Span::of(maps.images.iter().flat_map(|parts| parts.to_global.iter().copied())),
        affinities: Span::of(maps.images.iter().flat_map(of_different_crops)),
    };
    let mut small = vec![];
    for (at, parts) in maps.images.iter().enumerate() {
        let top = TOP + at as f32 * row;
        let picture = thumbnail::whole(images, parts.image, (PANEL * PNG_SCALE) as u32)?;
        // It was read before, so this stands for one that vanished since.
        let picture = picture.unwrap_or_else(|| RgbImage::new(1, 1));
        let name = images.label(parts.image).map(|class| class_name(images.classes(), class));
        draw_image(&mut scene, top, (parts, maps.grid, &spans), &picture, name);
        small.push(thumbnail::square(images, parts.image, (SMALL * PNG_SCALE) as u32)?);
    }
    draw_table(&mut scene, TOP + count * row, maps, &small);
    Ok(scene)
}

/// f_d of a crop with itself says nothing of the image.
fn of_different_crops(parts: &Parts) -> impl Iterator<Item = f32> {
    let crops = parts.crops.len();
    let scores = parts.affinities.iter().enumerate();
    scores.filter(move |(at, _)| at / crops != at % crops).map(|(_, score)| *score)
}

fn heading(scene: &mut Scene, maps: &AffinityMaps, what: &str) {
    scene.text(Text::new(
        [LEFT, 36.0],
        "What attracts and what repels: local crops by what LoGo learned",
        21.0,
    ));
    let crops = maps.grid * maps.grid;
    let told = format!(
        "{what}; of each image a grid of {} × {} local crops ({crops}), as large as training’s on average, not augmented",
        maps.grid, maps.grid
    );
    scene.text(Text::new([LEFT, 58.0], told, 13.0).color(MUTED));
    let columns: [(&str, [&str; 3]); 4] = [
        (
            "Attracted: crop to global view",
            [
                "Cosine with the embedding of the whole view:",
                "the nearest crops (whole lines) and the",
                "farthest (dashed), which L_lg has yet to pull in.",
            ],
        ),
        (
            "The same over the picture",
            ["Each pixel: the mean cosine of the crops", "that show it.", ""],
        ),
        (
            "Learned affinity f_d of all pairs",
            [
                "One small picture for each crop, where it lies in",
                "the grid (white square): f_d of it with every",
                "other crop, in that one’s place.",
            ],
        ),
        (
            "Repelled: crop to crop",
            [
                "Of pairs that share at most a quarter: the one f_d",
                "has most alike (dashed), which L_ll pushes apart,",
                "and the one it has least alike (whole lines).",
            ],
        ),
    ];
    for (column, (head, lines)) in columns.iter().enumerate() {
        let x = place(column);
        scene.text(Text::new([x, 92.0], *head, 15.0));
        scene.lines([x, 112.0], lines, 11.5, MUTED);
    }
}

fn place(column: usize) -> f32 {
    LEFT + column as f32 * (PANEL + GAP)
}

/// A picture's place within a panel.
#[derive(Clone, Copy)]
struct Frame {
    corner: Point,
    /// Of the picture as it is drawn.
    size: Point,
    /// Drawn pixels for each of the picture's.
    scale: f32,
}

impl Frame {
    fn within([x, y]: Point, side: f32, [width, height]: [usize; 2]) -> Self {
        let scale = side / width.max(height) as f32;
        let size = [width as f32 * scale, height as f32 * scale];
        let corner = [x + 0.5 * (side - size[0]), y + 0.5 * (side - size[1])];
        Self { corner, size, scale }
    }

    fn of_crop(&self, crop: &CropBox) -> (Point, Point) {
        let [x, y] = self.corner;
        let corner = [x + crop.x as f32 * self.scale, y + crop.y as f32 * self.scale];
        (corner, [crop.width as f32 * self.scale, crop.height as f32 * self.scale])
    }
}

fn draw_image(
    scene: &mut Scene,
    top: f32,
    (parts, grid, spans): (&Parts, usize, &Spans),
    picture: &RgbImage,
    name: Option<String>,
) {
    let named = name.unwrap_or_else(|| format!("image {}", parts.image));
    scene.line(vec![[LEFT, top - 8.0], [place(3) + PANEL, top - 8.0]], Paint::stroke(FAINT, 1.0));
    scene.text(Text::new([LEFT, top + 12.0], shortened(&named, 13.0, PANEL), 13.0));
    let top = top + ABOVE;
    let frame = |column: usize| Frame::within([place(column), top], PANEL, parts.size);
    let below = top + PANEL + 6.0;

    scene.picture(frame(0).corner, frame(0).size, picture.clone());
    draw_nearest(scene, frame(0), parts);

    let grey = thumbnail::faded(picture);
    // Colours change within a picture's pixels, so that it has to have enough of them.
    let [width, height] = frame(1).size.map(|side| (side * PNG_SCALE) as u32);
    let grey = image::imageops::resize(
        &grey,
        width.max(1),
        height.max(1),
        image::imageops::FilterType::Triangle,
    );
    let heat = heat::over(&grey, parts.size, &parts.crops, &parts.to_global, spans.to_global);
    scene.picture(frame(1).corner, frame(1).size, heat);
    spans.to_global.bar(scene, [place(1), below], PANEL, "cosine");

    draw_pairs(scene, [place(2), top], (parts, grid, spans.affinities), &grey);
    spans.affinities.bar(scene, [place(2), below], PANEL, "f_d");

    scene.picture(frame(3).corner, frame(3).size, picture.clone());
    draw_extremes(scene, frame(3), parts);
}

/// The crops nearest to the global view, and the farthest, each with its cosine.
fn draw_nearest(scene: &mut Scene, frame: Frame, parts: &Parts) {
    let order = parts.nearest_to_global();
    let shown = SHOWN.min(order.len() / 2);
    let far = order[order.len() - shown..].iter().map(|&crop| (crop, false));
    let near = order[..shown].iter().map(|&crop| (crop, true));
    for (crop, is_near) in far.chain(near) {
        let score = signed(f64::from(parts.to_global[crop]), 2);
        draw_crop(scene, frame, &parts.crops[crop], &score, is_near);
    }
}

/// The pair that f_d has most alike, dashed since it is pushed apart, and the one it has least alike.
fn draw_extremes(scene: &mut Scene, frame: Frame, parts: &Parts) {
    let Some([most, least]) = parts.extreme_pairs() else { return };
    for ((pair, score), apart) in [(least, true), (most, false)] {
        let centres = pair.map(|crop| {
            let ([x, y], [width, height]) = frame.of_crop(&parts.crops[crop]);
            [x + 0.5 * width, y + 0.5 * height]
        });
        let color = if apart { RIGHT } else { WRONG };
        scene.line(centres.to_vec(), Paint::stroke(WHITE, 4.5));
        let line = Paint::stroke(color, 2.5);
        scene.line(centres.to_vec(), if apart { line } else { line.dashed() });
        let score = format!("f_d {}", signed(f64::from(score), 2));
        let [first, second] = pair.map(|crop| &parts.crops[crop]);
        // Both pairs may have the same middle, so each has its score in a corner of its own.
        let [on_first, on_second] = if apart { [&score[..], ""] } else { ["", &score[..]] };
        draw_crop(scene, frame, first, on_first, apart);
        draw_crop(scene, frame, second, on_second, apart);
    }
}

/// The box of a crop with its score in a corner: a whole line or a dashed one.
fn draw_crop(scene: &mut Scene, frame: Frame, crop: &CropBox, score: &str, whole: bool) {
    let ([x, y], [width, height]) = frame.of_crop(crop);
    let color: Color = if whole { RIGHT } else { WRONG };
    let [corner, size] = [[x + 1.5, y + 1.5], [(width - 3.0).max(1.0), (height - 3.0).max(1.0)]];
    scene.rectangle(corner, size, Paint::stroke(WHITE, 4.5));
    let line = Paint::stroke(color, 2.5);
    scene.rectangle(corner, size, if whole { line } else { line.dashed() });
    if score.is_empty() {
        return;
    }
    let long = text_width(score, 13.0) + 8.0;
    let [x, y] = match whole {
        true => [x + 3.0, y + 3.0],
        false => [x + width - long - 3.0, y + height - 21.0],
    };
    scene.rectangle([x, y], [long, 18.0], Paint::fill(WHITE).edged(color, 1.0));
    scene.text(Text::new([x + 4.0, y + 13.5], score, 13.0));
}

/// A small picture for each crop, with f_d of it and every other.
fn draw_pairs(
    scene: &mut Scene,
    corner: Point,
    (parts, grid, span): (&Parts, usize, Span),
    grey: &RgbImage,
) {
    let crops = parts.crops.len();
    let pitch = PANEL / grid as f32;
    let side = pitch - 4.0;
    let small = (side * PNG_SCALE) as u32;
    let frame = Frame::within([0.0, 0.0], side, parts.size);
    let [width, height] = frame.size.map(|side| ((side * PNG_SCALE) as u32).clamp(1, small));
    let grey = image::imageops::resize(grey, width, height, image::imageops::FilterType::Triangle);
    let tiles = tiles(parts.size, grid);
    for anchor in 0..crops {
        let others: Vec<usize> = (0..crops).filter(|&other| other != anchor).collect();
        let shown: Vec<CropBox> = others.iter().map(|&other| tiles[other]).collect();
        let scores: Vec<f32> =
            others.iter().map(|&other| parts.affinities[anchor * crops + other]).collect();
        let heat = heat::over(&grey, parts.size, &shown, &scores, span);
        let at = [
            corner[0] + (anchor % grid) as f32 * pitch + 2.0,
            corner[1] + (anchor / grid) as f32 * pitch + 2.0,
        ];
        let frame = Frame::within(at, side, parts.size);
        scene.picture(frame.corner, frame.size, heat);
        let ([x, y], [width, height]) = frame.of_crop(&tiles[anchor]);
        let inner = [(width - 1.0).max(0.5), (height - 1.0).max(0.5)];
        scene.rectangle([x + 0.5, y + 0.5], inner, Paint::stroke(WHITE, 1.4));
    }
}

/// The picture cut into as many parts as there are crops, row by row, each standing for one.
fn tiles([width, height]: [usize; 2], grid: usize) -> Vec<CropBox> {
    let edge = |at: usize, length: usize| at * length / grid;
    let tile = |at: usize| {
        let [column, row] = [at % grid, at / grid];
        let [x, y] = [edge(column, width), edge(row, height)];
        CropBox { x, y, width: edge(column + 1, width) - x, height: edge(row + 1, height) - y }
    };
    (0..grid * grid).map(tile).collect()
}

/// f_d between the images as a table with them at its edges.
fn draw_table(scene: &mut Scene, top: f32, maps: &AffinityMaps, small: &[RgbImage]) {
    let count = maps.images.len();
    let pitch = SMALL + 4.0;
    let [left, below] = [LEFT, top + 34.0];
    scene.line(vec![[LEFT, top - 8.0], [place(3) + PANEL, top - 8.0]], Paint::stroke(FAINT, 1.0));
    scene.text(Text::new([LEFT, top + 16.0], "f_d across images", 15.0));
    let span = Span::of(maps.between.iter().copied());
    for (at, image) in small.iter().enumerate() {
        let along = (at + 1) as f32 * pitch;
        scene.picture([left + along, below], [SMALL; 2], image.clone());
        scene.picture([left, below + along], [SMALL; 2], image.clone());
    }
    for (at, &mean) in maps.between.iter().enumerate() {
        let [row, column] = [at / count, at % count];
        let [x, y] = [left + (column + 1) as f32 * pitch, below + (row + 1) as f32 * pitch];
        let paint = Paint::fill(span.color(mean));
        let edged = if row == column { paint.edged(INK, 2.0) } else { paint };
        scene.rectangle([x, y], [SMALL; 2], edged);
        let text =
            Text::new([x + 0.5 * SMALL, y + 0.5 * SMALL + 5.0], signed(f64::from(mean), 2), 13.0);
        // What is read on dark colours is light.
        let color = span.color(mean);
        let dark = color.iter().map(|&part| u32::from(part)).sum::<u32>() < 330;
        scene.text(text.color(if dark { WHITE } else { INK }).anchor(Anchor::Middle));
    }
    let beside = left + (count + 1) as f32 * pitch + 20.0;
    let each = counted(maps.grid * maps.grid, "crop");
    let told = [
        format!("The mean f_d of all pairs of the {each} of two images; framed: of two"),
        "different crops of the same image. f_d learns to tell the two apart: it should".to_owned(),
        "be higher in the frames than beside them.".to_owned(),
    ];
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    scene.lines([beside, below + pitch + 14.0], &told, 12.5, MUTED);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_keeps_its_shape_in_the_middle_of_its_panel() {
        let frame = Frame::within([10.0, 0.0], 100.0, [40, 20]);
        assert_eq!((frame.corner, frame.size, frame.scale), ([10.0, 25.0], [100.0, 50.0], 2.5));
        let crop = CropBox { x: 4, y: 8, width: 2, height: 12 };
        assert_eq!(frame.of_crop(&crop), ([20.0, 45.0], [5.0, 30.0]));
    }

    #[test]
    fn tiles_cover_a_picture_without_gaps() {
        let tiles = tiles([7, 5], 3);
        assert_eq!(tiles.iter().map(|tile| tile.width * tile.height).sum::<usize>(), 35);
        assert_eq!(tiles[4], CropBox { x: 2, y: 1, width: 2, height: 2 });
    }
}
