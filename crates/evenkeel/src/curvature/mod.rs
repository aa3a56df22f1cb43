//! Exact curvature: gradients, Hessian and Gauss-Newton products, and the top of the spectrum.

mod lanczos;
mod operator;

pub use lanczos::{Eigenpair, LanczosOptions, Spectrum, SymmetricOperator, largest_eigenvalues};
pub(crate) use operator::second_order;
pub use operator::{Curvature, Product};
