//! Exact curvature: gradients, products with the Hessian, the Gauss-Newton matrix and the Fisher matrices, gradients of
//! single samples, the top of the spectrum, and whole matrices of small networks.
//!
//! Where to start reading: [`Product`] (the matrices and how they are traced), then [`Curvature`].

mod dense;
mod lanczos;
mod operator;
mod per_sample;
mod point;
mod product;

pub use lanczos::{Eigenpair, LanczosOptions, Spectrum, SymmetricOperator, largest_eigenvalues};
pub use operator::Curvature;
pub(crate) use product::second_order;
pub use product::{Product, ProductCost};

#[cfg(test)]
mod tests;
