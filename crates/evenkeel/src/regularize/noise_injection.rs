//! Noise in the parameters while the gradient is taken: descent on a smoothed loss, which is an explicit penalty.

use crate::config::{NoiseDistribution, NoiseGroups, NoiseInjectionConfig, NoiseScaling, NoiseScheme};
use crate::network::{Network, Noise};
use crate::nn::{Context, ParameterInfo, Perturbation};
use crate::{Error, Result};
use evenkeel_graph::random::Key;
use evenkeel_graph::{Shape, Var};

/// The gradient of each step is taken at w + a ε and applied to w, with new ε of variance 1 for each step, one draw for the whole batch.
///
/// In expectation this is the gradient of L + ½ Σᵢ E[aᵢ²] tr Hᵢ + .., Hᵢ the block of the Hessian that belongs to group i of M. With
/// σ = [`NoiseInjectionConfig::sigma`],
/// * [`NoiseScheme::All`] has a = σ/√M for every group at once, or a = σ with [`NoiseScaling::None`];
/// * [`NoiseScheme::LayerCyclic`] has a = σ for group t mod M at step t, and 0 for the others;
/// * [`NoiseScheme::LayerRandom`] has a = σ for a group drawn for the step, each as likely as the others.
///
/// At equal σ all but the unscaled one have the same penalty to second order, (σ²/2M) Σᵢ tr Hᵢ. What is beyond second order differs:
/// groups perturbed together multiply their noise, and this variance grows with the width of a network, whereas a network that is
/// linear in each group for itself has no such term when one is perturbed at a time. [`super::expected_regularizer`] and
/// [`super::noise_variance`] tell both for a network and its data.
///
/// The random numbers are functions of the run's seed and the step, so a resumed run goes on with those it would have had. σ = 0
/// leaves the program of a step as it is. Parameters of the objective's terms are not perturbed.
///
/// Cost: one normal number for each perturbed parameter and step with `all`, for the largest group alone with the other two.
///
/// Source: Orvieto, Raj, Kersting, Bach 2023, arXiv 2206.04613, and the authors' code; see `docs/methods/noise-injection.md`.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseInjection {
    how: NoiseInjectionConfig,
    groups: Vec<Group>,
    /// Where each parameter of the network is; none for one that is never perturbed.
    places: Vec<Option<Place>>,
    /// Numbers drawn for a step.
    drawn: usize,
}

/// Parameters that are perturbed together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Group {
    /// The path of its tensor or its layer.
    pub(super) name: String,
    /// Positions among the network's parameters.
    pub(super) parameters: Vec<usize>,
}

/// Where a parameter gets its noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    group: usize,
    /// The first of its numbers among those drawn for a step.
    start: usize,
}

impl NoiseInjection {
    /// Noise for the parameters of a network.
    ///
    /// # Errors
    /// When σ is negative or not a number, or no parameter of the network is to be perturbed, or one that is has no elements.
    pub fn new(network: &Network, how: &NoiseInjectionConfig) -> Result<NoiseInjection> {
        if !(how.sigma >= 0.0 && how.sigma.is_finite()) {
            return Err(Error::input("the noise in the parameters has a standard deviation of at least 0")
                .detail("key", "noise_injection.sigma")
                .detail("got", how.sigma));
        }
        let mut groups: Vec<Group> = Vec::new();
        for (index, info) in network.parameters().iter().enumerate().filter(|(_, info)| is_perturbed(info, how.groups))
        {
            if info.shape.elements() == 0 {
                return Err(
                    Error::input("a parameter without elements cannot be perturbed").detail("layer", &info.path)
                );
            }
            let name = match how.groups {
                NoiseGroups::Layer => info.path.rsplit_once('.').map_or("", |(layer, _)| layer),
                NoiseGroups::Tensor | NoiseGroups::Weights => &info.path,
            };
            match groups.iter_mut().find(|group| group.name == name) {
                Some(group) => group.parameters.push(index),
                None => groups.push(Group { name: name.to_string(), parameters: vec![index] }),
            }
        }
        if groups.is_empty() {
            return Err(Error::input("the network has no parameters that noise could be injected into")
                .detail("key", "noise_injection.groups")
                .detail("got", how.groups.word())
                .hint("weights are parameters of two axes and more; `noise_injection.groups=tensor` takes all"));
        }
        let together = how.scheme == NoiseScheme::All;
        let mut places = vec![None; network.parameters().len()];
        let (mut next, mut drawn) = (0, 0);
        for (number, group) in groups.iter().enumerate() {
            // One group at a time may use the numbers that another one uses at another step.
            next = if together { next } else { 0 };
            for &parameter in &group.parameters {
                places[parameter] = Some(Place { group: number, start: next });
                next += network.parameters()[parameter].shape.elements();
            }
            drawn = drawn.max(next);
        }
        Ok(NoiseInjection { how: how.clone(), groups, places, drawn })
    }

    /// What was asked for.
    pub fn settings(&self) -> &NoiseInjectionConfig {
        &self.how
    }

    /// The names of the groups in their order: paths of tensors or of layers.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|group| group.name.as_str())
    }

    /// The groups with their parameters.
    pub(super) fn members(&self) -> &[Group] {
        &self.groups
    }

    /// The standard deviation of the noise of all groups at once, where they have it at once: σ/√M or σ.
    pub fn joint_deviation(&self) -> f64 {
        match self.how.scaling {
            NoiseScaling::PerGroup => self.how.sigma / (self.groups.len() as f64).sqrt(),
            NoiseScaling::None => self.how.sigma,
        }
    }

    /// E[a²], the variance of the noise in a parameter over steps: the same for every group.
    pub fn mean_variance(&self) -> f64 {
        match self.how.scheme {
            NoiseScheme::None => 0.0,
            NoiseScheme::All => self.joint_deviation().powi(2),
            NoiseScheme::LayerCyclic | NoiseScheme::LayerRandom => self.how.sigma.powi(2) / self.groups.len() as f64,
        }
    }

    /// The standard deviation of the noise in each group at a step.
    pub fn deviations(&self, noise: Noise) -> Vec<f64> {
        let mut deviations = vec![0.0; self.groups.len()];
        if self.how.until_step.is_some_and(|until| noise.step >= until) {
            return deviations;
        }
        let count = deviations.len() as u64;
        let one = match self.how.scheme {
            NoiseScheme::None => return deviations,
            NoiseScheme::All => return vec![self.joint_deviation(); deviations.len()],
            NoiseScheme::LayerCyclic => noise.step % count,
            NoiseScheme::LayerRandom => Key::new(noise.seed, "noise_injection/group", noise.step).random().below(count),
        };
        deviations[one as usize] = self.how.sigma;
        deviations
    }

    /// Whether a step differs from one without noise.
    fn is_on(&self) -> bool {
        self.how.sigma > 0.0 && self.how.scheme != NoiseScheme::None
    }
}

impl Perturbation for NoiseInjection {
    fn perturb<'g>(&self, cx: &Context<'g>, index: usize, info: &ParameterInfo, parameter: Var<'g>) -> Var<'g> {
        let place = self.places.get(index).copied().flatten().filter(|_| self.is_on());
        let (Some(place), Some(numbers), Some(key)) = (place, cx.perturbation(), cx.perturbation_key()) else {
            return parameter;
        };
        // The draw is traced for every parameter and is one value in the end: equal subexpressions are one.
        let all = [self.drawn];
        let drawn = match self.how.distribution {
            NoiseDistribution::Normal => cx.graph().normal(key, all, parameter.dtype()),
            NoiseDistribution::Sign => {
                let uniform = cx.graph().uniform(key, all, parameter.dtype());
                uniform.less(uniform.like(0.5)).select(uniform.like(1.0), uniform.like(-1.0))
            }
        };
        let own = drawn.slice_along(0, place.start..place.start + info.shape.elements()).reshape(&info.shape);
        let deviation = numbers.slice_along(0, place.group..place.group + 1).reshape(Shape::from(vec![]));
        parameter + own * deviation
    }

    fn numbers(&self) -> usize {
        if self.is_on() { self.groups.len() } else { 0 }
    }

    fn at_step(&self, noise: Noise) -> Vec<f64> {
        if self.is_on() { self.deviations(noise) } else { vec![] }
    }

    fn clean_statistics(&self) -> bool {
        self.is_on() && !self.how.bn_update_under_noise
    }
}

/// Whether a parameter is the network's own, and of the kind that is perturbed.
fn is_perturbed(info: &ParameterInfo, groups: NoiseGroups) -> bool {
    let of_a_term = info.path.starts_with("objective.");
    !of_a_term && (groups != NoiseGroups::Weights || info.shape.len() >= 2)
}
