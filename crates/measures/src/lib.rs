//! Measures of frozen features with their labels: how well classes can be told apart, how the
//! features lie in their space, and how sure one can be of either.
//!
//! All are functions of a matrix of [`Features`], the images' [`Labels`], options, and a seed where
//! something is drawn. They know nothing of networks, datasets or files, and their results are the
//! same for any number of threads.
//!
//! ```
//! use logo_ssl_measures::{Confusion, Features, Labels, interval, neighbours};
//!
//! // Four images of two classes, and two more to be classified by their nearest neighbour.
//! let bank = [1.0, 0.0, 0.8, 0.6, 0.0, 1.0, -0.6, 0.8];
//! let bank = Features::new(&bank, 2)?.labelled(Labels::new(&[0, 0, 1, 1])?)?;
//! let queries = [0.96, 0.28, 0.28, 0.96];
//!
//! let nearest = neighbours::nearest(bank.features(), Features::new(&queries, 2)?, 1)?;
//! let classes: Vec<usize> = nearest.iter().map(|row| bank.labels().of()[row[0].image]).collect();
//! let confusion = Confusion::new(Labels::of_classes(&[0, 1], 2)?, &classes)?;
//! assert_eq!(confusion.accuracy(), 1.0);
//! assert!(interval::wilson(2, 2)?.low < 0.4, "two images say little");
//! # Ok::<(), logo_ssl_measures::Error>(())
//! ```
//!
//! # What there is
//!
//! - [`logistic`]: the linear probe, by L-BFGS, over a grid of penalties.
//! - [`neighbours`], [`few_shot`]: nearest images; few labelled images of each class.
//! - [`clusters`]: k-means, and how its clusters agree with classes.
//! - [`geometry`]: alignment, uniformity, effective rank, dead dimensions, hubs.
//! - [`Histogram`]: how numbers are distributed.
//! - [`Confusion`]: which classes are taken for which.
//! - [`interval`], [`paired`]: how sure one can be of a share, a mean, a difference.
//! - [`reduce`]: principal components, t-SNE, and how far a map can be trusted.

pub mod clusters;
mod confusion;
mod error;
mod features;
pub mod few_shot;
pub mod geometry;
mod histogram;
pub mod interval;
mod lbfgs;
pub mod logistic;
mod moments;
pub mod neighbours;
pub mod paired;
mod random;
pub mod reduce;
mod split;
mod vectors;

pub use confusion::{Confused, Confusion};
pub use error::{Error, Result};
pub use features::{Features, Labelled, Labels};
pub use histogram::Histogram;

/// Told how much is done, and of how much; says whether to go on.
pub type Progress<'a> = dyn FnMut(usize, usize) -> bool + 'a;

/// Has the examples of the README compiled and run with those of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
