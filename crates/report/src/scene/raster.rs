//! A drawing as PNG.

use std::io;

use image::imageops::{FilterType, resize};
use image::{ImageFormat, RgbImage};
use tiny_skia::{
    FillRule, LineJoin, Paint as Brush, Path, PathBuilder, Pixmap, PixmapPaint, Rect, Stroke,
    StrokeDash, Transform,
};

use super::{Color, Item, Outline, PNG_SCALE, Paint, Point, Scene, Text, font};

pub(super) fn draw(scene: &Scene) -> io::Result<Vec<u8>> {
    let [width, height] = [scene.width, scene.height].map(|side| (side * PNG_SCALE).ceil() as u32);
    let mut page = Pixmap::new(width, height)
        .ok_or_else(|| io::Error::other(format!("{width} × {height} pixels are too many")))?;
    page.fill(tiny_skia::Color::WHITE);
    for item in &scene.items {
        match item {
            Item::Outline { outline, paint } => draw_outline(&mut page, outline, *paint),
            Item::Text(text) => draw_text(&mut page, text),
            Item::Picture { corner, size, image } => draw_picture(&mut page, *corner, *size, image),
        }
    }
    // The page is opaque, so its colours are not changed by their opacity.
    let pixels = page.pixels().iter().flat_map(|pixel| [pixel.red(), pixel.green(), pixel.blue()]);
    let picture = RgbImage::from_raw(width, height, pixels.collect()).expect("three bytes a pixel");
    let mut encoded = io::Cursor::new(Vec::new());
    picture.write_to(&mut encoded, ImageFormat::Png).map_err(io::Error::other)?;
    Ok(encoded.into_inner())
}

fn scaled() -> Transform {
    Transform::from_scale(PNG_SCALE, PNG_SCALE)
}

fn brush([red, green, blue]: Color, opacity: f32) -> Brush<'static> {
    let mut brush = Brush { anti_alias: true, ..Brush::default() };
    brush.set_color_rgba8(red, green, blue, (255.0 * opacity).round() as u8);
    brush
}

fn draw_outline(page: &mut Pixmap, outline: &Outline, paint: Paint) {
    // An outline without an extent has nothing to draw.
    let Some(path) = path_of(outline) else { return };
    if let Some((color, opacity)) = paint.fill {
        page.fill_path(&path, &brush(color, opacity), FillRule::Winding, scaled(), None);
    }
    if let Some((color, width)) = paint.stroke {
        let dash = paint.dashed.then(|| StrokeDash::new(vec![3.0 * width, 2.0 * width], 0.0));
        let stroke =
            Stroke { width, line_join: LineJoin::Round, dash: dash.flatten(), ..Stroke::default() };
        page.stroke_path(&path, &brush(color, 1.0), &stroke, scaled(), None);
    }
}

fn path_of(outline: &Outline) -> Option<Path> {
    match outline {
        Outline::Rectangle { corner: [x, y], size: [width, height] } => {
            Rect::from_xywh(*x, *y, *width, *height).map(PathBuilder::from_rect)
        }
        Outline::Disc { centre: [x, y], radius } => PathBuilder::from_circle(*x, *y, *radius),
        Outline::Polygon(points) => path_through(points, true),
        Outline::Line(points) => path_through(points, false),
    }
}

fn path_through(points: &[Point], closed: bool) -> Option<Path> {
    let mut path = PathBuilder::new();
    let (first, rest) = points.split_first()?;
    path.move_to(first[0], first[1]);
    rest.iter().for_each(|point| path.line_to(point[0], point[1]));
    if closed {
        path.close();
    }
    path.finish()
}

fn draw_text(page: &mut Pixmap, text: &Text) {
    let Some(path) = font::path(&text.text, text.size, [text.start(), text.at[1]]) else { return };
    page.fill_path(&path, &brush(text.color, 1.0), FillRule::Winding, scaled(), None);
}

fn draw_picture(page: &mut Pixmap, corner: Point, size: Point, image: &RgbImage) {
    let [width, height] = size.map(|side| ((side * PNG_SCALE).round() as u32).max(1));
    // Pixels of a small image are to be seen, those of a photograph would flicker.
    let small = image.width() <= width && image.height() <= height;
    let filter = if small { FilterType::Nearest } else { FilterType::Triangle };
    let resized = resize(image, width, height, filter);
    let Some(mut picture) = Pixmap::new(width, height) else { return };
    for (to, from) in picture.pixels_mut().iter_mut().zip(resized.pixels()) {
        let [red, green, blue] = from.0;
        *to = tiny_skia::ColorU8::from_rgba(red, green, blue, 255).premultiply();
    }
    let [x, y] = corner.map(|at| (at * PNG_SCALE).round() as i32);
    page.draw_pixmap(x, y, picture.as_ref(), &PixmapPaint::default(), Transform::identity(), None);
}
