use logo_ssl_base::rng::{Stream, generator, normal};

use super::*;
use crate::Labels;

/// Images of three classes around middles that are not far apart.
fn set(images: usize, dim: usize) -> (Vec<f32>, Vec<usize>) {
    let mut rng = generator(3, Stream::Measure, 0, 0, 0);
    let labels: Vec<usize> = (0..images).map(|image| image % 3).collect();
    let number = |class: usize, at: usize, noise: f64| {
        (noise + if at % 3 == class { 1.5 } else { 0.0 }) as f32
    };
    let rows = labels
        .iter()
        .flat_map(|&class| (0..dim).map(move |at| (class, at)))
        .map(|(class, at)| number(class, at, normal(&mut rng)))
        .collect();
    (rows, labels)
}

fn labelled<'a>(rows: &'a [f32], dim: usize, labels: &'a [usize]) -> Labelled<'a> {
    Features::new(rows, dim).unwrap().labelled(Labels::new(labels).unwrap()).unwrap()
}

#[test]
fn the_gradient_is_that_of_the_loss() {
    // More images than a block has, so that its edge is met.
    let (images, dim) = (4096 + 37, 7);
    let (rows, labels) = set(images, dim);
    let data = labelled(&rows, dim, &labels);
    let all: Vec<usize> = (0..images).collect();
    let level = Level::chosen().unwrap();
    for standardise in [false, true] {
        let design = Design::new(data, &all, standardise, level);
        let mut objective = Objective::new(design);
        let at: Vec<f64> = (0..objective.parameters()).map(|i| (i as f64 * 0.7).sin()).collect();
        let mut gradient = vec![0.0; at.len()];
        objective.evaluate(&at, 0.3, &mut gradient);
        let mut ignored = gradient.clone();
        for parameter in [0, 5, 13, 20, 21, 23] {
            let mut value = |by: f64| {
                let mut near = at.clone();
                near[parameter] += by;
                objective.evaluate(&near, 0.3, &mut ignored)
            };
            let slope = (value(1e-2) - value(-1e-2)) / 2e-2;
            let found = gradient[parameter];
            assert!((found - slope).abs() < 1e-4, "{parameter}: {found}, but {slope}");
        }
    }
}

#[test]
fn standardising_makes_scale_and_place_of_features_all_the_same() {
    let (rows, labels) = set(90, 5);
    let moved: Vec<f32> =
        rows.iter().enumerate().map(|(at, x)| x * [1.0, 64.0, 0.125][at % 5 % 3] + 2.0).collect();
    let fitted = |rows: &[f32]| {
        let data = labelled(rows, 5, &labels);
        let fitted = fit(data, &Options::default(), &mut |_, _| true).unwrap().unwrap();
        (fitted.loss, fitted.predict(data.features()).unwrap())
    };
    let ((loss, classes), (moved_loss, moved_classes)) = (fitted(&rows), fitted(&moved));
    assert!((loss - moved_loss).abs() < 1e-4 * loss, "{loss}, {moved_loss}");
    assert_eq!(classes, moved_classes);
}

#[test]
fn a_grid_takes_the_best_on_images_held_out_and_fits_all() {
    let (rows, labels) = set(240, 30);
    let data = labelled(&rows, 30, &labels);
    let grid = Grid { c: vec![10.0, 1e-7, 0.01], held_out: 0.25, ..Grid::default() };
    let found = fit_grid(data, &grid, &mut |_, _| true).unwrap().unwrap();
    let strengths: Vec<f64> = found.points.iter().map(|point| point.c).collect();
    assert_eq!(strengths, [1e-7, 0.01, 10.0], "from the strongest penalty on");
    let best = found.points.iter().map(|point| point.accuracy).fold(0.0, f64::max);
    let first = found.points.iter().find(|point| point.accuracy == best).unwrap();
    assert_eq!(found.c, first.c);
    let options = Options { c: found.c, ..grid.options };
    let alone = fit(data, &options, &mut |_, _| true).unwrap().unwrap();
    assert!((alone.loss - found.fitted.loss).abs() < 1e-4 * alone.loss);
}

#[test]
fn progress_ends_at_its_total_and_can_stop() {
    let (rows, labels) = set(60, 4);
    let data = labelled(&rows, 4, &labels);
    let grid = Grid { c: vec![0.1, 1.0], ..Grid::default() };
    let mut told = vec![];
    let mut listen = |done, total| {
        told.push((done, total));
        true
    };
    fit_grid(data, &grid, &mut listen).unwrap().unwrap();
    assert!(told.iter().all(|&(done, total)| done <= total && total == 1500), "{told:?}");
    assert!(told.is_sorted());
    for last in [1, 501, 1001] {
        let stopped = fit_grid(data, &grid, &mut |done, _| done < last).unwrap();
        assert!(stopped.is_none(), "it went on after {last}");
    }
}

#[test]
fn a_class_without_images_and_a_single_class_are_fitted_too() {
    let rows = [0.0, 1.0, 0.1, 0.9];
    let features = Features::new(&rows, 1).unwrap();
    let data = features.labelled(Labels::of_classes(&[0, 2, 0, 2], 4).unwrap()).unwrap();
    let options = Options { c: 100.0, ..Options::default() };
    let fitted = fit(data, &options, &mut |_, _| true).unwrap().unwrap();
    assert_eq!(fitted.predict(features).unwrap(), [0, 2, 0, 2]);
    let data = features.labelled(Labels::new(&[0; 4]).unwrap()).unwrap();
    let fitted = fit(data, &options, &mut |_, _| true).unwrap().unwrap();
    assert_eq!((fitted.loss, fitted.iterations), (0.0, 0));
}

#[test]
fn options_that_make_no_sense_and_features_of_another_model_are_refused() {
    let (rows, labels) = set(9, 3);
    let data = labelled(&rows, 3, &labels);
    for c in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let options = Options { c, ..Options::default() };
        let error = fit(data, &options, &mut |_, _| true).unwrap_err();
        assert!(matches!(error, Error::Option { name: "the inverse strength c", .. }), "{error}");
    }
    let none = Grid { c: vec![], ..Grid::default() };
    assert!(matches!(fit_grid(data, &none, &mut |_, _| true), Err(Error::Option { .. })));
    let fitted = fit(data, &Options::default(), &mut |_, _| true).unwrap().unwrap();
    let other = Features::new(&rows, 9).unwrap();
    assert_eq!(fitted.predict(other), Err(Error::Dimension { found: 9, expected: 3 }));
}
