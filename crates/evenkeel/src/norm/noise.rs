//! Noise that moves the distribution of activations from step to step, and batch normalization followed by it.

use crate::Error;
use crate::nn::Context;
use evenkeel_graph::{Shape, Var};

/// Which activations share the distribution that a step draws.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Drift {
    /// Those of a unit: of a channel.
    #[default]
    Unit,
    /// All of a layer.
    Layer,
}

/// What a number is drawn for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Draws {
    /// Every activation.
    #[default]
    Activation,
    /// Every channel of every sample, the same at all positions.
    Channel,
}

/// Noise whose distribution is itself drawn anew at each step.
///
/// With μ uniform on ±`shift` and s uniform between 1 and `scale`, drawn at each step, each activation a becomes σ a + m with m uniform
/// on μ ± `shift_spread` and σ normal with mean s and standard deviation `scale_spread`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DriftingNoise {
    /// How far the mean of what is added drifts; at least 0.
    pub shift: f64,
    /// What the mean factor drifts up to, from 1; above 0.
    pub scale: f64,
    /// How far from its mean is what is added; at least 0.
    pub shift_spread: f64,
    /// The standard deviation of the factor; at least 0.
    pub scale_spread: f64,
    /// What μ and s are drawn for.
    pub drift: Drift,
    /// What m and σ are drawn for.
    pub draws: Draws,
}

impl Default for DriftingNoise {
    /// The paper's numbers.
    fn default() -> Self {
        DriftingNoise {
            shift: 0.5,
            scale: 1.25,
            shift_spread: 0.1,
            scale_spread: 0.1,
            drift: Drift::default(),
            draws: Draws::default(),
        }
    }
}

impl<'g> Context<'g> {
    /// Noise on activations whose distribution drifts; the identity where no noise is drawn, as in an evaluation.
    ///
    /// * input and output: `[N, .., C]`
    /// * cost: two draws an activation in training; the gradient is multiplied by the factors that were drawn
    ///
    /// Source: Santurkar, Tsipras, Ilyas, Madry 2018, arXiv 1805.11604, section 2.1 and its appendix.
    pub fn drifting_noise(&self, name: &str, x: Var<'g>, noise: DriftingNoise) -> Var<'g> {
        let _scope = self.scope(name);
        let DriftingNoise { shift, scale, shift_spread, scale_spread, .. } = noise;
        let numbers = [shift, scale, shift_spread, scale_spread];
        if numbers.iter().any(|number| !number.is_finite() || *number < 0.0) || scale == 0.0 {
            self.fail(
                Error::input("the noise on activations cannot be drawn")
                    .detail("layer", self.place())
                    .detail("expected", "a scale above 0, a shift and spreads of at least 0")
                    .detail("got", format!("shift {shift} ± {shift_spread}, scale {scale} ± {scale_spread}")),
            );
            return x;
        }
        let shape = x.shape();
        let drifting = match noise.drift {
            Drift::Unit => shape.last().copied().into_iter().collect(),
            Drift::Layer => vec![],
        };
        let mut each = shape.to_vec();
        if noise.draws == Draws::Channel && each.len() > 2 {
            let last = each.len() - 1;
            each[1..last].fill(1);
        }
        self.drifted(x, noise, &drifting.into(), &each.into()).unwrap_or(x)
    }

    /// `x` with the noise; nothing where none is drawn. `drifting` and `each` are the shapes of what is drawn.
    fn drifted(&self, x: Var<'g>, noise: DriftingNoise, drifting: &Shape, each: &Shape) -> Option<Var<'g>> {
        let (graph, dtype) = (self.graph(), x.dtype());
        // A place of its own for each draw: one place draws the same numbers every time.
        let key = |place: &str| {
            let _scope = self.scope(place);
            self.key()
        };
        let even = |place: &str, shape: &Shape| Some(graph.uniform(key(place)?, shape, dtype));
        let mean = (even("mean", drifting)? * 2.0 - 1.0) * noise.shift;
        let factor = even("factor", drifting)? * (noise.scale - 1.0) + 1.0;
        let added = mean + (even("added", each)? * 2.0 - 1.0) * noise.shift_spread;
        let factor = factor + graph.normal(key("multiplied")?, each, dtype) * noise.scale_spread;
        Some(x * factor + added)
    }

    /// Batch normalization whose outputs drift: [`Context::batch_norm`], then [`Context::drifting_noise`]. Nothing of the stable
    /// distributions that normalization is said to work by is left.
    ///
    /// Source: as there.
    pub fn noisy_batch_norm(&self, name: &str, x: Var<'g>, noise: DriftingNoise) -> Var<'g> {
        let y = self.batch_norm(name, x);
        let _scope = self.scope(name);
        self.drifting_noise("noise", y, noise)
    }
}
