//! Clusters of features, found without labels, and how they agree with classes.

mod agreement;
mod k_means;

pub use agreement::{Agreement, agreement};
pub use k_means::{KMeans, Options, k_means, k_means_from};
