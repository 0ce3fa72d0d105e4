//! Residual networks (He et al., 2016) as one operation, and how it unfolds into others.

mod back;
mod forward;
mod plan;
mod unfold;

pub use plan::{BlockPlan, Plan, UnitPlan, UnitShape};
