//! What layers make of their weights before they use them.

use super::{Context, Initial, ParameterInfo};
use crate::Error;
use crate::config::WeightNorm;
use crate::norm::root;
use evenkeel_graph::{Shape, Var};

/// Added to the deviation of standardized weights, as in the authors' code.
const EPSILON: f64 = 1e-5;

impl<'g> Context<'g> {
    /// The weights of a linear, convolution or recurrent layer, `[.., units]`, as the settings want them.
    ///
    /// * [`WeightNorm::None`]: the parameter `name`
    /// * [`WeightNorm::Normalized`]: w = g · v / ‖v‖ for each unit, with parameters `name_v` (drawn as the weight would be) and
    ///   `name_g` `[units]` (‖v‖ at first, so that w starts as v). A unit with v = 0 has w = 0 and learns
    ///   nothing, see [`check_weights`](crate::norm::check_weights). Source: Salimans, Kingma 2016, arXiv 1602.07868, section 2.
    /// * [`WeightNorm::Standardized`]: (w − mean) / (s + 10⁻⁵) for each unit, with the unbiased variance s² of its weights.
    ///   Source: Qiao et al. 2019, arXiv 1903.10520, section 3.2.
    ///
    /// Cost: a pass over the weights.
    pub fn weight(&self, name: &str, shape: impl Into<Shape>, initial: Initial) -> Var<'g> {
        let shape = shape.into();
        let kind = self.norm().weights;
        let made = match kind {
            WeightNorm::None => return self.param(name, shape, initial),
            WeightNorm::Normalized => self.normalized(name, shape, initial),
            WeightNorm::Standardized => self.standardized(self.param(name, shape, initial)),
        };
        self.record_weight(name, kind, made);
        made
    }

    /// The weights of a layer whose output nothing normalizes, such as the last one: as [`Context::weight`], but never standardized,
    /// which would fix the size of the output.
    pub fn output_weight(&self, name: &str, shape: impl Into<Shape>, initial: Initial) -> Var<'g> {
        match self.norm().weights {
            WeightNorm::Standardized => self.param(name, shape, initial),
            _ => self.weight(name, shape, initial),
        }
    }

    /// The parameter that weights called `name` are drawn into, and the one `[.., units]` that the size of each unit is proportional to,
    /// if there is one.
    pub(super) fn weight_parameters(&self, name: &str, last: bool) -> (String, Option<String>) {
        match self.norm().weights {
            WeightNorm::Normalized => (format!("{name}_v"), Some(format!("{name}_g"))),
            WeightNorm::Standardized if !last => (name.to_string(), None),
            WeightNorm::None | WeightNorm::Standardized => (name.to_string(), Some(name.to_string())),
        }
    }

    fn normalized(&self, name: &str, shape: Shape, initial: Initial) -> Var<'g> {
        let units = shape.last().copied().unwrap_or(0);
        let direction = format!("{name}_v");
        let drawn =
            ParameterInfo { path: self.graph().path(&direction), shape: shape.clone(), initial: initial.clone() };
        let v = self.param(&direction, &shape, initial);
        let g = self.param(&format!("{name}_g"), [units], Initial::Lengths(Box::new(drawn)));
        let square = v.square().sum(&inputs(&shape));
        let none = square.equal(square.like(0.0));
        let inverse = none.select(square.like(0.0), none.select(square.like(1.0), square).rsqrt());
        v * (g * inverse)
    }

    fn standardized(&self, weight: Var<'g>) -> Var<'g> {
        let shape = weight.shape();
        let axes = inputs(&shape);
        let count: usize = axes.iter().map(|&axis| shape[axis]).product();
        if count < 2 {
            self.fail(
                Error::input("weight standardization needs more than one weight per unit")
                    .detail("layer", self.place())
                    .detail("got", format!("weights of shape {shape}"))
                    .hint("use `weight_norm=none` or `weight_norm=normalized`"),
            );
        }
        let centered = weight - weight.mean(&axes);
        let variance = centered.square().mean(&axes) * (count as f64 / (count.max(2) - 1) as f64);
        centered * (1.0 / (root(variance) + EPSILON))
    }
}

/// All axes but that of the units.
fn inputs(shape: &Shape) -> Vec<usize> {
    (0..shape.len().saturating_sub(1)).collect()
}
