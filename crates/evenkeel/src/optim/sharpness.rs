//! Gradients taken where the loss is worst nearby.

use evenkeel_graph::Var;

/// Sharpness-aware minimization: the gradient that the rule is shown is that at p + e instead of at p, on the same batch with the same masks
/// and noise.
///
/// e = ρ g / ‖g‖, or adaptive e = ρ p² g / ‖ |p| g ‖, with g the gradient at p and the norm over all parameters. Running statistics, the loss and
/// the gradient norm that are told are those at p. Cost: twice the forward and backward passes.
///
/// Source: Foret, Kleiner, Mobahi, Neyshabur 2021, arXiv 2010.01412, algorithm 1; adaptive: Kwon, Kim, Park, Choi 2021, arXiv 2102.11600.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SharpnessAware {
    /// ρ, how far is looked.
    pub rho: f64,
    /// Whether the neighbourhood of a parameter is as large as it is.
    pub adaptive: bool,
}

impl SharpnessAware {
    /// Added to the norm, so that nothing is divided by 0.
    const LEAST: f64 = 1e-12;

    /// p + e.
    pub(crate) fn ascended<'g>(&self, parameters: &[Var<'g>], gradient: &[Var<'g>]) -> Vec<Var<'g>> {
        let pairs = || parameters.iter().zip(gradient);
        let weighted = |(p, g): (&Var<'g>, &Var<'g>)| if self.adaptive { p.abs() * *g } else { *g };
        let squares = pairs().map(|pair| weighted(pair).square().sum_all());
        let Some(square) = squares.reduce(|total, square| total + square) else { return vec![] };
        let factor = square.like(self.rho) / (square.sqrt() + Self::LEAST);
        let step = |(p, g): (&Var<'g>, &Var<'g>)| if self.adaptive { p.square() * *g } else { *g };
        pairs().map(|pair| *pair.0 + step(pair) * factor).collect()
    }
}
