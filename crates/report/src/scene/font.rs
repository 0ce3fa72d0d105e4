//! The letters of drawings.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Outline, OutlineCurve, Point};
use tiny_skia::{Path, PathBuilder};

static FONT: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(epaint_default_fonts::UBUNTU_LIGHT).expect("the font that comes along")
});

/// Pixels for each of the font's units.
fn scale(size: f32) -> f32 {
    size / FONT.units_per_em().unwrap_or(1000.0)
}

/// How wide a text is.
pub(crate) fn width(text: &str, size: f32) -> f32 {
    text.chars().map(|c| FONT.h_advance_unscaled(FONT.glyph_id(c))).sum::<f32>() * scale(size)
}

/// The text, or as much of it as fits `most` pixels with an ellipsis behind.
pub(crate) fn shortened(text: &str, size: f32, most: f32) -> String {
    if width(text, size) <= most {
        return text.to_owned();
    }
    let mut kept: Vec<char> = text.chars().collect();
    while kept.pop().is_some() {
        let short = kept.iter().collect::<String>().trim_end().to_owned() + "…";
        if width(&short, size) <= most {
            return short;
        }
    }
    String::new()
}

/// The outlines of a text whose first letter begins at `(x, y)` on its line; none of one without ink.
pub(super) fn path(text: &str, size: f32, [mut x, y]: super::Point) -> Option<Path> {
    let mut path = PathBuilder::new();
    let scale = scale(size);
    for c in text.chars() {
        let glyph = FONT.glyph_id(c);
        if let Some(outline) = FONT.outline(glyph) {
            trace(&outline, &mut path, |point| (x + scale * point.x, y - scale * point.y));
        }
        x += scale * FONT.h_advance_unscaled(glyph);
    }
    path.finish()
}

fn trace(outline: &Outline, path: &mut PathBuilder, place: impl Fn(Point) -> (f32, f32)) {
    let mut pen = None;
    for curve in &outline.curves {
        let (OutlineCurve::Line(start, end)
        | OutlineCurve::Quad(start, _, end)
        | OutlineCurve::Cubic(start, _, _, end)) = *curve;
        if pen != Some(start) {
            let (x, y) = place(start);
            path.move_to(x, y);
        }
        let (x, y) = place(end);
        match *curve {
            OutlineCurve::Line(..) => path.line_to(x, y),
            OutlineCurve::Quad(_, control, _) => {
                let (x1, y1) = place(control);
                path.quad_to(x1, y1, x, y);
            }
            OutlineCurve::Cubic(_, first, second, _) => {
                let ((x1, y1), (x2, y2)) = (place(first), place(second));
                path.cubic_to(x1, y1, x2, y2, x, y);
            }
        }
        pen = Some(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_ends_in_an_ellipsis_that_fits() {
        assert_eq!(shortened("cat", 12.0, 100.0), "cat");
        let short = shortened("a very long name of a class", 12.0, 80.0);
        assert!(short.ends_with('…') && width(&short, 12.0) <= 80.0, "{short}");
        assert!(short.len() > 6, "{short}");
        assert_eq!(shortened("anything", 12.0, 0.0), "");
    }

    #[test]
    fn letters_have_ink_and_spaces_none() {
        assert!(path("ä3", 12.0, [0.0, 20.0]).is_some());
        assert!(path("  ", 12.0, [0.0, 20.0]).is_none());
        let bounds = path("M", 100.0, [10.0, 200.0]).unwrap().bounds();
        assert!(bounds.left() > 10.0 && bounds.bottom() <= 201.0 && bounds.height() > 60.0);
    }
}
