//! Fewer dimensions: principal components, maps in the plane, and how far these can be trusted.

mod leading;
mod pca;
mod trust;
mod tsne;

pub use pca::Pca;
pub use trust::trustworthiness;
pub use tsne::{Tsne, tsne};
