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
            let name = format!("fc{number}");
            x = match self.activation {
                Some(_) => cx.linear(&name, x, width),
                None => cx.linear_without_bias(&name, x, width),
            };
            x = cx.normalize(self.norm, &format!("norm{number}"), x);
            if let Some(activation) = self.activation {
                x = cx.tap(&format!("act{number}"), activate(activation, x));
            }
        }
        match self.activation {
            Some(_) => cx.head("head", x, self.classes),
            None => cx.head_without_bias("head", x, self.classes),
        }
    }
}
