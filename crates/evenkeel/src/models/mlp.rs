//! Fully connected networks.

use crate::config::{Activation, NormKind};
use crate::nn::{Context, Model, activate};
use evenkeel_graph::Var;

/// `fc1`, `norm1`, activation, `fc2`, `norm2`, .., `head`. Without an activation it is a deep linear network: a product of
/// matrices, without biases.
#[derive(Clone, Debug)]
pub struct Mlp {
    /// Hidden widths.
    pub widths: Vec<usize>,
    /// The layer after each hidden product.
    pub norm: NormKind,
    /// The function after it.
    pub activation: Option<Activation>,
    /// Outputs.
    pub classes: usize,
}

impl Model for Mlp {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let mut x = x.flatten();
        for (index, &width) in self.widths.iter().enumerate() {
            let number = index + 1;
            x = self.layer(cx, &format!("fc{number}"), x, width);
            x = cx.normalize(self.norm, &format!("norm{number}"), x);
            if let Some(activation) = self.activation {
                x = activate(activation, x);
            }
        }
        self.layer(cx, "head", x, self.classes)
    }
}

impl Mlp {
    fn layer<'g>(&self, cx: &Context<'g>, name: &str, x: Var<'g>, width: usize) -> Var<'g> {
        match self.activation {
            Some(_) => cx.linear(name, x, width),
            None => cx.linear_without_bias(name, x, width),
        }
    }
}
