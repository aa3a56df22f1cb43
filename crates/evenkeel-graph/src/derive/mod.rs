//! The transformations: two that differentiate and read one table of rules, and one that maps over stacks of values.
//!
//! For differentiation every primitive is one of five kinds, and [`rules`] says which:
//!
//! * *local*: elementwise, with a partial derivative for each operand. A tangent is multiplied by it on the way forward,
//!   a cotangent on the way back: the same factor.
//! * *linear in each of some operands* (products, convolutions, sums, moves): forward, the operation itself applied to
//!   the tangent; backward, its transpose, which is again one of the primitives.
//! * *linear in all operands together* (a concatenation): the same, with zero for an operand that does not move;
//! * *weighted*: a reduction whose derivative is a weight for each element (log-sum-exp, maximum).
//! * *flat*: comparisons, positions, counters; nothing flows.
//!
//! For mapping, [`stack`] says what a primitive becomes when some of its operands have one more axis in front.
//!
//! Because all transformations only append primitives, they apply to each other's results, to any order.

mod jvp;
mod map;
mod rules;
mod stack;
mod vjp;
