//! Normalization layers and weights, and what is made of networks that have them.
#![allow(clippy::unwrap_used)]

mod invariances;
mod layers;
mod noise;
mod support;
mod transformations;
mod weights;
