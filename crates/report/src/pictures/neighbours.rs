//! Test images beside their nearest neighbours.

use std::path::Path;

use logo_ssl::Result;
use logo_ssl::data::Labelled;
use logo_ssl::eval::neighbours::{Queries, Query};
use logo_ssl_base::words::counted;

use super::marks::{RIGHT, WRONG, badge};
use super::{class_name, thumbnail, write};
use crate::scene::{
    Anchor, Color, FAINT, INK, MUTED, PNG_SCALE, Paint, Point, Scene, Text, WHITE, shortened,
};

/// Side of an image.
const CELL: f32 = 96.0;
const GAP: f32 = 12.0;
/// For two lines of text below an image.
const CAPTION: f32 = 40.0;
const LEFT: f32 = 28.0;
/// Between a query and its neighbours.
const AISLE: f32 = 34.0;
const TOP: f32 = 118.0;
const BOTTOM: f32 = 20.0;
const LINE: f32 = 3.0;

/// Draws each query in a row with its neighbours, the nearest first, those of its class and those of another
/// marked by a frame and a sign, and writes it to `path`: PNG or SVG. `what` says of whom it is.
///
/// # Errors
/// [`logo_ssl::Error::Name`] for another extension; [`logo_ssl::Error::Io`] where it cannot be written;
/// [`logo_ssl::Error::Broken`].
pub fn neighbours(found: &Queries, labelled: &Labelled, what: &str, path: &Path) -> Result<()> {
    write(&draw(found, labelled, what)?, path)
}

fn draw(found: &Queries, labelled: &Labelled, what: &str) -> Result<Scene> {
    let count = found.queries.iter().map(|query| query.nearest.len()).max().unwrap_or(0);
    let rows = found.queries.len() as f32;
    let width = (LEFT + CELL + AISLE + count as f32 * (CELL + GAP) - GAP + LEFT).max(620.0);
    let height = TOP + rows * (CELL + CAPTION + GAP) - GAP + BOTTOM;
    let mut scene = Scene::new([width, height], format!("Nearest neighbours, {what}"));
    heading(&mut scene, found, what, count);
    for (row, query) in found.queries.iter().enumerate() {
        let top = TOP + row as f32 * (CELL + CAPTION + GAP);
        draw_row(&mut scene, query, labelled, top)?;
    }
    Ok(scene)
}

fn heading(scene: &mut Scene, found: &Queries, what: &str, count: usize) {
    scene.text(Text::new([LEFT, 36.0], "Nearest neighbours", 21.0));
    let right = found.queries.iter().filter(|query| query.guess == query.class).count();
    let told = format!(
        "{what}; by the vote of their neighbours {right} of {} are right",
        found.queries.len()
    );
    scene.text(Text::new([LEFT, 58.0], told, 13.0).color(MUTED));
    badge(scene, true, [LEFT + 7.0, 76.0], 7.0);
    scene.text(Text::new([LEFT + 20.0, 80.5], "of the query’s class", 13.0).color(MUTED));
    badge(scene, false, [LEFT + 160.0, 76.0], 7.0);
    scene.text(Text::new([LEFT + 173.0, 80.5], "of another class", 13.0).color(MUTED));
    scene.text(Text::new([LEFT, TOP - 12.0], "query", 12.0).color(INK));
    let nearest = LEFT + CELL + AISLE;
    let heads =
        format!("its {} in the bank, the nearest first, by cosine", counted(count, "neighbour"));
    scene.text(Text::new([nearest, TOP - 12.0], heads, 12.0));
}

fn draw_row(scene: &mut Scene, query: &Query, labelled: &Labelled, top: f32) -> Result<()> {
    let names = labelled.bank.classes();
    let pixels = (CELL * PNG_SCALE) as u32;
    let image = thumbnail::square(&labelled.test, query.image, pixels)?;
    scene.picture([LEFT, top], [CELL, CELL], image);
    scene.rectangle([LEFT, top], [CELL, CELL], Paint::stroke(INK, 1.0));
    let right = query.guess == query.class;
    let told = format!("vote: {}", class_name(names, query.guess));
    let color = if right { RIGHT } else { WRONG };
    captions(scene, [LEFT, top], [&class_name(names, query.class), &told], color);
    badge(scene, right, [LEFT + CELL - 2.0, top + 2.0], 9.0);
    let middle = LEFT + CELL + 0.5 * AISLE;
    scene.line(vec![[middle, top], [middle, top + CELL]], Paint::stroke(FAINT, 1.0));
    for (column, near) in query.nearest.iter().enumerate() {
        let corner = [LEFT + CELL + AISLE + column as f32 * (CELL + GAP), top];
        let image = thumbnail::square(&labelled.bank, near.image, pixels)?;
        scene.picture(corner, [CELL, CELL], image);
        let right = near.class == query.class;
        frame(scene, corner, right);
        let similarity = format!("{:.3}", near.similarity);
        captions(scene, corner, [&class_name(names, near.class), &similarity], MUTED);
    }
    Ok(())
}

/// A whole frame and a tick, or a dashed one and a cross.
fn frame(scene: &mut Scene, [x, y]: Point, right: bool) {
    let inset = 0.5 * LINE;
    let [corner, size] = [[x + inset, y + inset], [CELL - LINE, CELL - LINE]];
    scene.rectangle(corner, size, Paint::stroke(WHITE, LINE));
    match right {
        true => scene.rectangle(corner, size, Paint::stroke(RIGHT, LINE)),
        false => scene.rectangle(corner, size, Paint::stroke(WRONG, LINE).dashed()),
    }
    badge(scene, right, [x + CELL - 2.0, y + 2.0], 9.0);
}

fn captions(scene: &mut Scene, [x, y]: Point, [name, below]: [&str; 2], color: Color) {
    let middle = x + 0.5 * CELL;
    for (text, line, color) in [(name, 16.0, INK), (below, 32.0, color)] {
        let text = shortened(text, 12.0, CELL + GAP - 4.0);
        let text = Text::new([middle, y + CELL + line], text, 12.0).color(color);
        scene.text(text.anchor(Anchor::Middle));
    }
}
