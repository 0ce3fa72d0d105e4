//! Images in the plane, a mark of its class for each, or the image itself.

use std::collections::BTreeSet;
use std::path::Path;

use logo_ssl::Result;
use logo_ssl::data::Images;
use logo_ssl::eval::map::Map;
use logo_ssl_base::files::write_atomic;
use logo_ssl_base::words::counted;

use super::{Format, class_name, map_page, marks, thumbnail, write};
use crate::scene::{FAINT, MUTED, PNG_SCALE, Paint, Point, Scene, Text, WHITE, shortened};

/// Side of the square that the map fills.
const SIDE: f32 = 780.0;
const LEFT: f32 = 28.0;
const TOP: f32 = 82.0;
/// Around the outermost places, within the square.
const AIR: f32 = 18.0;
const LEGEND: f32 = 190.0;
const ROW: f32 = 23.0;
/// Side of an image in place of a mark.
const THUMBNAIL: f32 = 26.0;
const RADIUS: f32 = 3.6;

/// What a picture of a map is made of.
#[derive(Clone, Copy, Debug)]
pub struct MapPicture<'a> {
    /// Where the images lie.
    pub map: &'a Map,
    /// Those that its numbers are of.
    pub images: &'a Images,
    /// Of whom it is, in words.
    pub what: &'a str,
    /// Whether the images are drawn in place of marks, as far as there is room. A page has them both ways.
    pub thumbnails: bool,
}

/// Draws the map to `path`, as its extension says: PNG, SVG, or HTML, a page to move about in that needs no
/// other file.
///
/// # Errors
/// [`logo_ssl::Error::Name`] for another extension; [`logo_ssl::Error::Io`] where it cannot be written;
/// [`logo_ssl::Error::Broken`].
pub fn map(picture: &MapPicture<'_>, path: &Path) -> Result<()> {
    match Format::of(path, &[Format::Png, Format::Svg, Format::Html])? {
        Format::Html => Ok(write_atomic(path, map_page::page(picture)?.as_bytes())?),
        Format::Png | Format::Svg => write(&draw(picture)?, path),
    }
}

impl MapPicture<'_> {
    pub(super) fn title(&self) -> String {
        let count = counted(self.map.images.len(), "image");
        format!("{count} by {}", self.map.method.title())
    }

    /// How far the map can be trusted, in a sentence.
    pub(super) fn trust(&self) -> String {
        let Map { trustworthiness, neighbours, explained, .. } = self.map;
        let trust = format!(
            "trustworthiness {trustworthiness:.3} of 1 by {}",
            counted(*neighbours, "neighbour")
        );
        match explained {
            Some(share) => {
                format!("{trust}; the two axes have {:.0} % of the variance", 100.0 * share)
            }
            None => format!("{trust}; distances between groups, and their sizes, mean little"),
        }
    }

    /// The classes that have an image here.
    pub(super) fn classes(&self) -> Vec<usize> {
        let classes: BTreeSet<usize> = self.map.labels.iter().copied().collect();
        classes.into_iter().collect()
    }

    /// The places within a square of side 1, down as on a page, with their proportions.
    pub(super) fn places(&self) -> Vec<Point> {
        within_square(&self.map.places)
    }
}

fn within_square(places: &[[f32; 2]]) -> Vec<Point> {
    let ends = [0, 1].map(|axis| {
        places.iter().fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], place| {
            [low.min(place[axis]), high.max(place[axis])]
        })
    });
    let lengths = ends.map(|[low, high]| high - low);
    let longest = lengths[0].max(lengths[1]);
    // Places that are all the same are in the middle.
    let scale = if longest > 0.0 { 1.0 / longest } else { 0.0 };
    let middle = ends.map(|[low, high]| 0.5 * (low + high));
    let place = |[x, y]: &[f32; 2]| [0.5 + (x - middle[0]) * scale, 0.5 - (y - middle[1]) * scale];
    places.iter().map(place).collect()
}

fn draw(picture: &MapPicture<'_>) -> Result<Scene> {
    let classes = picture.classes();
    let size = [LEFT + SIDE + 24.0 + LEGEND + LEFT, TOP + SIDE + 24.0];
    let mut scene = Scene::new(size, format!("{}, {}", picture.title(), picture.what));
    scene.text(Text::new([LEFT, 36.0], picture.title(), 21.0));
    let told = format!("{}; {}", picture.what, picture.trust());
    scene.text(Text::new([LEFT, 60.0], told, 13.0).color(MUTED));
    scene.rectangle([LEFT, TOP], [SIDE, SIDE], Paint::stroke(FAINT, 1.0));
    let inner = SIDE - 2.0 * AIR;
    let place = |[x, y]: Point| [LEFT + AIR + inner * x, TOP + AIR + inner * y];
    let places: Vec<Point> = picture.places().into_iter().map(place).collect();
    let mut told = match picture.thumbnails {
        true => draw_thumbnails(&mut scene, picture, &places)?,
        false => {
            draw_marks(&mut scene, picture, &places);
            vec![]
        }
    };
    if classes.last().is_some_and(|&class| class >= marks::DIFFERENT) {
        told.extend([
            "Marks begin again after".to_owned(),
            format!("{} classes.", marks::DIFFERENT),
        ]);
    }
    legend(&mut scene, picture, &classes, &told);
    Ok(scene)
}

fn draw_marks(scene: &mut Scene, picture: &MapPicture<'_>, places: &[Point]) {
    // Class after class would hide the first ones behind the last.
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|&at| (picture.map.images[at].wrapping_mul(0x9e37_79b1) % 65_536, at));
    for at in order {
        marks::draw(scene, picture.map.labels[at], places[at], RADIUS);
    }
}

/// Images that do not hide one drawn before, in frames of their class's colour; what is told of them.
fn draw_thumbnails(
    scene: &mut Scene,
    picture: &MapPicture<'_>,
    places: &[Point],
) -> Result<Vec<String>> {
    let shown = apart(places, 0.8 * THUMBNAIL);
    for &at in &shown {
        let pixels = (THUMBNAIL * PNG_SCALE) as u32;
        let image = thumbnail::square(picture.images, picture.map.images[at], pixels)?;
        let corner = places[at].map(|at| at - 0.5 * THUMBNAIL);
        let (color, _) = marks::of_class(picture.map.labels[at]);
        scene.picture(corner, [THUMBNAIL; 2], image);
        scene.rectangle(corner, [THUMBNAIL; 2], Paint::stroke(WHITE, 3.0));
        scene.rectangle(corner, [THUMBNAIL; 2], Paint::stroke(color, 2.0));
    }
    for (at, &place) in places.iter().enumerate() {
        if shown.contains(&at) {
            let corner = place.map(|at| at - 0.5 * THUMBNAIL);
            marks::draw(scene, picture.map.labels[at], corner, 4.2);
        }
    }
    Ok(vec![
        format!("{} of {} images are", shown.len(), places.len()),
        "drawn, where there is room.".to_owned(),
    ])
}

/// The places that are further than `least` from each one before that is kept.
fn apart(places: &[Point], least: f32) -> BTreeSet<usize> {
    let mut kept: Vec<usize> = vec![];
    for (at, [x, y]) in places.iter().enumerate() {
        let near = |&other: &usize| {
            let [other_x, other_y]: Point = places[other];
            (x - other_x).abs().max((y - other_y).abs()) < least
        };
        if !kept.iter().any(near) {
            kept.push(at);
        }
    }
    kept.into_iter().collect()
}

fn legend(scene: &mut Scene, picture: &MapPicture<'_>, classes: &[usize], told: &[String]) {
    let x = LEFT + SIDE + 32.0;
    let room = ((SIDE - 60.0) / ROW) as usize;
    let shown = if classes.len() > room { room - 1 } else { classes.len() };
    for (row, &class) in classes[..shown].iter().enumerate() {
        let y = TOP + 12.0 + row as f32 * ROW;
        marks::draw(scene, class, [x, y], 6.0);
        let name = class_name(picture.images.classes(), class);
        scene.text(Text::new([x + 16.0, y + 5.0], shortened(&name, 13.5, LEGEND - 24.0), 13.5));
    }
    let mut y = TOP + 17.0 + shown as f32 * ROW;
    if shown < classes.len() {
        let more = format!("and {} more", classes.len() - shown);
        scene.text(Text::new([x + 16.0, y], more, 13.5).color(MUTED));
        y += ROW;
    }
    let told: Vec<&str> = told.iter().map(String::as_str).collect();
    scene.lines([x - 6.0, y + 16.0], &told, 12.0, MUTED);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_fill_a_square_and_keep_their_proportions() {
        let places = within_square(&[[-2.0, 0.0], [2.0, 1.0], [0.0, -1.0]]);
        assert_eq!(places, [[0.0, 0.5], [1.0, 0.25], [0.5, 0.75]]);
        assert_eq!(within_square(&[[3.0, 3.0]; 2]), [[0.5, 0.5]; 2]);
    }

    #[test]
    fn images_that_would_hide_another_are_left_out() {
        let kept = apart(&[[0.0, 0.0], [5.0, 9.9], [10.0, 0.0], [12.0, 3.0]], 10.0);
        assert_eq!(kept.into_iter().collect::<Vec<_>>(), [0, 2]);
    }
}
