//! Noise on the inputs as a penalty in disguise.

use crate::nn::{Context, Model, Reads, Targets};
use evenkeel_graph::Var;

/// A network whose inputs have normal noise added to them in training, fresh in every step; elsewhere the network itself.
///
/// For squared loss, E ‖f(x + ε) − y‖² = ‖f(x) − y‖² + σ² (‖J‖²_F + ⟨f − y, Δf⟩) + O(σ⁴): to second order a penalty on the Jacobian, and
/// nothing else where f is piecewise linear. Cost: one normal number an input.
///
/// Source: Bishop 1995, "Training with noise is equivalent to Tikhonov regularization", section 2.
pub struct InputNoise {
    /// The network.
    pub model: Box<dyn Model>,
    /// Standard deviation σ of the noise, in units of the inputs that the network sees.
    pub deviation: f64,
}

impl Model for InputNoise {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        self.model.forward(cx, cx.gaussian_noise("input_noise", x, self.deviation))
    }

    fn reads(&self) -> Reads {
        self.model.reads()
    }

    fn targets(&self) -> Targets {
        self.model.targets()
    }
}
