//! Marks that tell classes, and right from wrong, apart without colours.

use crate::scene::{Color, Paint, Point, Scene, WHITE};

/// Okabe and Ito's palette, told apart by colour-blind readers too; its yellow darkened to be seen on white.
pub(super) const COLORS: [Color; 8] = [
    [0, 114, 178],
    [230, 159, 0],
    [0, 148, 108],
    [213, 94, 0],
    [86, 180, 233],
    [170, 84, 140],
    [95, 95, 95],
    [176, 165, 0],
];
/// How many forms a mark has.
pub(super) const FORMS: usize = 6;
/// How many classes have a mark of their own; further ones begin again.
pub(super) const DIFFERENT: usize = COLORS.len() * FORMS;

pub(super) const RIGHT: Color = [0, 114, 178];
pub(super) const WRONG: Color = [213, 94, 0];

/// The colour of a class, and which of the forms its mark has. Neighbours in the order of classes differ in both.
pub(super) fn of_class(class: usize) -> (Color, usize) {
    let colors = COLORS.len();
    // Five is as good as minus one here, so that the forms of a colour all differ, and those of neighbours too.
    (COLORS[class % colors], (class % colors + 5 * (class / colors)) % FORMS)
}

/// The corners of a form around the origin, as large as a disc of radius 1; none of the disc.
pub(super) fn corners(form: usize) -> Vec<Point> {
    let star = |points: usize, inner: f32| {
        let corner = |at: usize| {
            let angle = std::f32::consts::PI * (at as f32 / points as f32 - 0.5);
            let radius = if at.is_multiple_of(2) { 1.35 } else { inner };
            [radius * angle.cos(), radius * angle.sin()]
        };
        (0..2 * points).map(corner).collect()
    };
    match form {
        0 => vec![],
        1 => vec![[0.0, -1.25], [1.15, 0.8], [-1.15, 0.8]],
        2 => vec![[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
        3 => vec![[0.0, -1.3], [1.1, 0.0], [0.0, 1.3], [-1.1, 0.0]],
        4 => star(5, 0.6),
        _ => vec![[0.0, 1.25], [1.15, -0.8], [-1.15, -0.8]],
    }
}

/// Draws the mark of a class, with a rim that keeps it apart from others.
pub(super) fn draw(scene: &mut Scene, class: usize, [x, y]: Point, radius: f32) {
    let (color, form) = of_class(class);
    let paint = Paint::fill(color).edged(WHITE, 0.2 * radius);
    match form {
        0 => scene.disc([x, y], radius, paint),
        form => {
            let place = |[dx, dy]: Point| [x + radius * dx, y + radius * dy];
            scene.polygon(corners(form).into_iter().map(place).collect(), paint);
        }
    }
}

/// A badge with a tick, or with a cross.
pub(super) fn badge(scene: &mut Scene, right: bool, [x, y]: Point, radius: f32) {
    let color = if right { RIGHT } else { WRONG };
    scene.disc([x, y], radius, Paint::fill(color).edged(WHITE, 0.18 * radius));
    let at = |dx: f32, dy: f32| [x + radius * dx, y + radius * dy];
    let pen = Paint::stroke(WHITE, 0.26 * radius);
    match right {
        true => scene.line(vec![at(-0.45, 0.05), at(-0.1, 0.4), at(0.5, -0.38)], pen),
        false => {
            scene.line(vec![at(-0.38, -0.38), at(0.38, 0.38)], pen);
            scene.line(vec![at(-0.38, 0.38), at(0.38, -0.38)], pen);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn as_many_classes_as_is_said_have_marks_of_their_own() {
        let marks: BTreeSet<_> = (0..DIFFERENT).map(of_class).collect();
        assert_eq!(marks.len(), DIFFERENT);
        let forms: BTreeSet<_> = (0..FORMS).map(|form| format!("{:?}", corners(form))).collect();
        assert_eq!(forms.len(), FORMS);
        assert_eq!(of_class(DIFFERENT), of_class(0));
    }

    #[test]
    fn ten_classes_share_no_color_without_another_form() {
        for a in 0..10 {
            for b in 0..a {
                let ((color, form), (other, other_form)) = (of_class(a), of_class(b));
                assert!(color != other || form != other_form);
                assert!(a - b > 1 || (color != other && form != other_form));
            }
        }
    }
}
