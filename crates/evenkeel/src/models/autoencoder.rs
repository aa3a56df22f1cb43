//! Networks that give back their inputs from a short code.

use crate::config::{Activation, NormKind};
use crate::nn::{Context, Model, Targets, activate};
use evenkeel_graph::Var;

/// `encoder.fc1`, `encoder.norm1`, activation, .., `code`; then the same widths backwards as `decoder.fc1`, .., and `head`, with an
/// output for each number of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Autoencoder {
    /// Widths of the encoder's hidden layers; the decoder has the same in reverse.
    pub widths: Vec<usize>,
    /// Numbers of the code, which has no activation.
    pub code: usize,
    /// The layer after each hidden product.
    pub norm: NormKind,
    /// The function after it.
    pub activation: Activation,
    /// The function that outputs go through. Without one they are any numbers; the Bernoulli loss has its own.
    pub output: Option<Activation>,
}

impl Model for Autoencoder {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let halves = Halves { widths: &self.widths, norm: self.norm, activation: self.activation };
        // Known, but not among what dropout drops: it is no activation.
        let code = cx.linear("code", halves.encoder(cx, x), self.code);
        cx.observe("code", code);
        let answer = halves.decoder(cx, code, x);
        self.output.map_or(answer, |output| activate(output, answer))
    }

    fn targets(&self) -> Targets {
        Targets::Inputs
    }
}

/// An autoencoder whose code is drawn: z = μ + exp(½ ln σ²) ε, with μ and ln σ² from `code` and ε standard normal.
///
/// The loss of a sample is that of giving it back from one z, plus KL(N(μ, σ²) ‖ N(0, 1)) = ½ Σ (μ² + σ² − 1 − ln σ²): with the
/// Bernoulli loss the negative evidence lower bound. Where no noise is drawn (evaluation, curvature) z is μ. A Gauss-Newton product is
/// that of giving back alone.
///
/// Taps: the hidden layers, `mean` and `log_variance`.
///
/// Source: Kingma, Welling 2013, arXiv 1312.6114, sections 2.3 and 3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vae {
    /// Widths of the encoder's hidden layers; the decoder has the same in reverse.
    pub widths: Vec<usize>,
    /// Numbers of the latent variable z.
    pub latent: usize,
    /// The layer after each hidden product.
    pub norm: NormKind,
    /// The function after it.
    pub activation: Activation,
}

impl Model for Vae {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let halves = Halves { widths: &self.widths, norm: self.norm, activation: self.activation };
        let code = cx.linear("code", halves.encoder(cx, x), 2 * self.latent);
        let mean = code.slice_along(1, 0..self.latent);
        let log_variance = code.slice_along(1, self.latent..2 * self.latent);
        cx.observe("mean", mean);
        cx.observe("log_variance", log_variance);
        cx.add_loss((mean.square() + log_variance.exp() - 1.0 - log_variance).sum(&[1]) * 0.5);
        let key = {
            let _scope = cx.scope("noise");
            cx.key()
        };
        let latent = match key {
            Some(key) => mean + (log_variance * 0.5).exp() * cx.graph().normal(key, mean.shape(), mean.dtype()),
            None => mean,
        };
        halves.decoder(cx, latent, x)
    }

    fn targets(&self) -> Targets {
        Targets::Inputs
    }
}

/// The hidden layers before and after a code.
struct Halves<'a> {
    widths: &'a [usize],
    norm: NormKind,
    activation: Activation,
}

impl Halves<'_> {
    fn encoder<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let _scope = cx.scope("encoder");
        self.hidden(cx, x.flatten(), self.widths.iter().copied())
    }

    /// An output for each number of `like`, in its shape.
    fn decoder<'g>(&self, cx: &Context<'g>, code: Var<'g>, like: Var<'g>) -> Var<'g> {
        let hidden = {
            let _scope = cx.scope("decoder");
            self.hidden(cx, code, self.widths.iter().rev().copied())
        };
        let shape = like.shape();
        cx.head("head", hidden, shape[1..].iter().product()).reshape(shape)
    }

    fn hidden<'g>(&self, cx: &Context<'g>, mut x: Var<'g>, widths: impl Iterator<Item = usize>) -> Var<'g> {
        for (number, width) in (1..).zip(widths) {
            x = cx.normalize(self.norm, &format!("norm{number}"), cx.linear(&format!("fc{number}"), x, width));
            x = cx.tap(&format!("act{number}"), activate(self.activation, x));
        }
        x
    }
}
