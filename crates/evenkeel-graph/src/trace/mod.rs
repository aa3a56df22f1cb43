//! How values are written: each method checks shapes and appends a node.

mod contraction;
mod elementwise;
mod indexing;
mod movement;
mod random;
mod reduction;
mod slicing;
mod window;
