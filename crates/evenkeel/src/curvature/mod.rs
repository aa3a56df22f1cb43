//! Exact curvature: gradients, products with the Hessian, the Gauss-Newton matrix and the Fisher matrices, gradients of
//! single samples, the top of the spectrum and its density along a vector, how both depend on the batch, and whole
//! matrices of small networks.
//!
//! Where to start reading: [`Product`] (the matrices and how they are traced), then [`Curvature`].

mod batch_size;
mod dense;
mod lanczos;
mod operator;
mod per_sample;
mod point;
mod product;
mod quadrature;

pub use batch_size::{BatchNoise, CurvatureNoise, GaussNewtonNoise, max_rate_linear, scaled_damping, scaled_rate};
pub use lanczos::{Eigenpair, LanczosOptions, Spectrum, SymmetricOperator, largest_eigenvalues};
pub use operator::Curvature;
pub(crate) use product::second_order;
pub use product::{Product, ProductCost, Visit};
pub use quadrature::{Quadrature, QuadratureOptions};

#[cfg(test)]
mod tests;
