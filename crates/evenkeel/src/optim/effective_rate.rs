//! How fast does a step turn a weight whose length does not matter?

/// How the steps of a rule grow with gradients, and with that the rate at which it turns a weight w.
///
/// In front of a normalization a loss depends on w / ‖w‖ alone, and its gradient is 1/‖w‖ times that at unit length. A rule whose steps
/// are as long as gradients therefore turns the direction as it would turn a weight of length 1 at the rate η / ‖w‖², a rule that divides
/// by the size of gradients at η / ‖w‖: exactly so, up to the ε that norms and rules add. For any other weight it is a number to compare
/// layers by, no more.
///
/// Source: Liu, Cui, Wan, Mao, Chan 2021, arXiv 2102.03497; Hoffer, Banner, Golan, Soudry 2018, arXiv 1803.01814.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EffectiveRate {
    /// What the rate is multiplied by for this parameter.
    pub share: f64,
    /// The rate that steps have whatever the run's is.
    pub own: Option<f64>,
    /// Whether steps grow with gradients; else they are as long whatever the size of the gradients.
    pub follows_gradients: bool,
    /// What momentum makes of a gradient that stays as it is, in the long run: 1 / (1 − μ).
    pub long_run: f64,
}

impl EffectiveRate {
    /// Of a rule with steps as long as gradients.
    pub const PLAIN: EffectiveRate = EffectiveRate { share: 1.0, own: None, follows_gradients: true, long_run: 1.0 };
    /// Of a rule that divides by the size of gradients.
    pub const RESCALED: EffectiveRate = EffectiveRate { follows_gradients: false, ..EffectiveRate::PLAIN };

    /// At the learning rate η for a weight of Euclidean length `norm`: η / ‖w‖² or η / ‖w‖; not finite at length 0.
    pub fn at(&self, learning_rate: f64, norm: f64) -> f64 {
        let rate = self.own.unwrap_or(learning_rate * self.share);
        if self.follows_gradients { rate / norm / norm } else { rate / norm }
    }

    /// The same with what momentum adds in the long run.
    pub fn in_the_long_run(&self, learning_rate: f64, norm: f64) -> f64 {
        self.at(learning_rate, norm) * self.long_run
    }
}
