//! The loop of GradInit: batches, branches, and what both make of the factors.

use super::programs::Programs;
use super::scale::{Branch, Scale};
use super::{GradInit, GradInitOutcome, GradInitStep, LookAhead, Overlap, ParameterScale, Prospect};
use crate::data::Batches;
use crate::network::{Network, State};
use crate::nn::{Initial, ParameterInfo};
use crate::{Batch, Error, ErrorKind, Result};
use evenkeel_graph::{Data, Tensor};
use std::ops::ControlFlow;

/// Where samples come from: their indices to a batch of them.
pub(crate) type Fetch<'a> = &'a mut dyn FnMut(&[u32]) -> Result<Batch>;

/// Batches in an order that depends on the seed alone, half a batch after the other.
struct Halves<'a> {
    order: Batches,
    drawn: u64,
    fetch: Fetch<'a>,
}

impl Halves<'_> {
    fn next(&mut self) -> Vec<u32> {
        self.drawn += 1;
        self.order.indices(self.drawn - 1).to_vec()
    }

    fn pair(&mut self, first: Vec<u32>, second: Vec<u32>) -> Result<Batch> {
        (self.fetch)(&[first, second].concat())
    }
}

impl GradInit {
    /// As [`GradInit::run`], on any source of `count` samples.
    pub(crate) fn run_on(
        &self,
        network: &Network,
        state: State,
        count: usize,
        fetch: Fetch<'_>,
        progress: &mut dyn FnMut(&GradInitStep) -> ControlFlow<()>,
    ) -> Result<GradInitOutcome> {
        let mut halves = self.halves(count, fetch)?;
        let mut search = Search::new(self, network, state)?;
        let mut trace = Vec::new();
        for iteration in 0..self.iterations {
            let found = search.iterate(iteration, &mut halves)?;
            trace.push(found);
            if progress(&found).is_break() {
                let what = format!("interrupted in iteration {} of {} of gradinit", iteration + 1, self.iterations);
                return Err(Error::new(ErrorKind::Interrupted, what));
            }
        }
        Ok(search.finish(trace))
    }

    /// As [`GradInit::prospect`], on any source of `count` samples.
    pub(crate) fn prospect_on(
        &self,
        network: &Network,
        state: &State,
        batches: usize,
        count: usize,
        fetch: Fetch<'_>,
    ) -> Result<Prospect> {
        let mut halves = self.halves(count, fetch)?;
        let mut search = Search::new(self, network, state.clone())?;
        let parameters = search.parameters();
        let mut sums = [0.0; 3];
        for _ in 0..batches {
            let (first, second) = (halves.next(), halves.next());
            let batch = halves.pair(first.clone(), second)?;
            let loss = search.programs.run(&parameters, &state.buffers, &batch)?;
            let norm = search.gradient_norm();
            let ahead = search.stepped(&parameters, norm);
            let batch = halves.ahead(self.overlap, first)?;
            let loss_ahead = search.programs.run(&ahead, &state.buffers, &batch)?;
            sums.iter_mut().zip([loss, norm, loss_ahead]).for_each(|(sum, value)| *sum += value);
        }
        let [loss, gradient_norm, loss_ahead] = sums.map(|sum| sum / batches.max(1) as f64);
        Ok(Prospect { loss, gradient_norm, loss_ahead })
    }

    fn halves<'a>(&self, count: usize, fetch: Fetch<'a>) -> Result<Halves<'a>> {
        self.check()?;
        let half = self.batch / 2;
        let needed = self.batch.saturating_mul(2);
        if count < needed {
            return Err(Error::input("gradinit needs samples for two batches")
                .detail("key", "init.batch_size")
                .detail("expected", format!("at least {needed} samples"))
                .detail("got", count)
                .hint("use a smaller batch (`--set init.batch_size=..`)"));
        }
        Ok(Halves { order: Batches::new(self.seed, count, half), drawn: 0, fetch })
    }

    fn check(&self) -> Result<()> {
        let positive = |value: f64| value > 0.0;
        let share = |beta: f64| (0.0..1.0).contains(&beta);
        let rules = [
            (
                "learning_rate",
                "a finite number above 0",
                positive(self.learning_rate) && self.learning_rate.is_finite(),
                format!("{}", self.learning_rate),
            ),
            ("gradient_bound", "a number above 0", positive(self.gradient_bound), format!("{}", self.gradient_bound)),
            (
                "scale_rate",
                "a finite number of at least 0",
                self.scale_rate >= 0.0 && self.scale_rate.is_finite(),
                format!("{}", self.scale_rate),
            ),
            (
                "batch_size",
                "an even number of at least 2: half of a batch comes again",
                self.batch >= 2 && self.batch.is_multiple_of(2),
                format!("{}", self.batch),
            ),
            ("min_scale", "a number from 0 to 1", (0.0..=1.0).contains(&self.min_scale), format!("{}", self.min_scale)),
            (
                "max_scale",
                "a number of at least 1",
                self.max_scale.is_none_or(|most| most >= 1.0),
                shown(self.max_scale),
            ),
            ("clip", "a number above 0", self.clip.is_none_or(positive), shown(self.clip)),
            (
                "betas",
                "two numbers of at least 0 and below 1",
                share(self.betas.0) && share(self.betas.1),
                format!("{:?}", self.betas),
            ),
        ];
        match rules.into_iter().find(|(_, _, holds, _)| !holds) {
            None => Ok(()),
            Some((key, expected, _, got)) => Err(Error::input(format!("gradinit cannot have this {key}"))
                .detail("key", format!("init.{key}"))
                .detail("expected", expected)
                .detail("got", got)
                .hint(format!("set `init.{key}`; what is left out there is that of training, or the paper's"))),
        }
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or("none".into(), |value| value.to_string())
}

impl Halves<'_> {
    /// S̃, after a batch S that began with `first`.
    fn ahead(&mut self, overlap: Overlap, first: Vec<u32>) -> Result<Batch> {
        let first = match overlap {
            Overlap::Half => first,
            Overlap::None => self.next(),
        };
        let second = self.next();
        self.pair(first, second)
    }
}

/// A search in work.
pub(super) struct Search<'a> {
    settings: &'a GradInit,
    infos: &'a [ParameterInfo],
    pub(super) programs: Programs,
    start: State,
    /// None for what is zero everywhere.
    pub(super) scales: Vec<Option<Scale>>,
}

impl<'a> Search<'a> {
    pub(super) fn new(settings: &'a GradInit, network: &'a Network, state: State) -> Result<Search<'a>> {
        let infos = network.parameters();
        if infos.len() != state.parameters.len() {
            return Err(Error::input("the state has another number of parameters than the network")
                .detail("expected", infos.len())
                .detail("got", state.parameters.len()));
        }
        let scale = |(info, tensor): (&ParameterInfo, &Tensor)| {
            let least = if is_bias(info) { 0.0 } else { settings.min_scale };
            (dot(tensor, tensor) > 0.0).then(|| Scale::new(least))
        };
        let scales = infos.iter().zip(&state.parameters).map(scale).collect();
        let programs = Programs::new(network, settings.batch)?;
        Ok(Search { settings, infos, programs, start: state, scales })
    }

    /// θ = m ⊙ W⁰.
    pub(super) fn parameters(&self) -> Vec<Tensor> {
        let scaled = |(tensor, scale): (&Tensor, &Option<Scale>)| match scale {
            Some(scale) => map(tensor, |value| scale.value * value),
            None => tensor.clone(),
        };
        self.start.parameters.iter().zip(&self.scales).map(scaled).collect()
    }

    fn iterate(&mut self, iteration: usize, halves: &mut Halves<'_>) -> Result<GradInitStep> {
        let (first, second) = (halves.next(), halves.next());
        let batch = halves.pair(first.clone(), second)?;
        let parameters = self.parameters();
        let loss = self.programs.run(&parameters, &self.start.buffers, &batch)?;
        let gradient_norm = self.gradient_norm();
        let mut found = GradInitStep { iteration, loss, gradient_norm, loss_ahead: None };
        if !(loss + gradient_norm).is_finite() {
            self.halve();
        } else if gradient_norm > self.settings.gradient_bound {
            let slopes = self.constraint_slopes(&parameters, &batch, gradient_norm)?;
            self.step(&slopes, Branch::Constraint);
        } else {
            let ahead = self.stepped(&parameters, gradient_norm);
            let batch = halves.ahead(self.settings.overlap, first)?;
            let (loss, slopes) = self.objective_slopes(&ahead, &batch)?;
            found.loss_ahead = Some(loss);
            self.step(&slopes, Branch::Objective);
        }
        Ok(found)
    }

    /// ‖g‖₂, or ‖g‖₁ where the step has the gradient's signs: what the loss falls by in a short step, divided by its rate.
    pub(super) fn gradient_norm(&self) -> f64 {
        match self.settings.look_ahead {
            LookAhead::Adam => self.programs.gradient().map(|part| fold(part, |sum, value| sum + value.abs())).sum(),
            LookAhead::Sgd | LookAhead::NormalizedSgd => {
                self.programs.gradient().map(|part| dot(part, part)).sum::<f64>().sqrt()
            }
        }
    }

    /// d‖g‖ / dm: the Hessian's product with the direction that ‖g‖ rises along, g / ‖g‖₂ or sign(g), times W⁰.
    pub(super) fn constraint_slopes(&mut self, parameters: &[Tensor], batch: &Batch, norm: f64) -> Result<Vec<f64>> {
        let direction: Vec<Tensor> = match self.settings.look_ahead {
            LookAhead::Adam => self.programs.gradient().map(|part| map(part, sign)).collect(),
            LookAhead::Sgd | LookAhead::NormalizedSgd => {
                self.programs.gradient().map(|part| map(part, |value| value / norm)).collect()
            }
        };
        let products = self.programs.product(parameters, &self.start.buffers, batch, &direction)?;
        let along = |(product, start): (Option<&Tensor>, &Tensor)| product.map_or(0.0, |product| dot(product, start));
        Ok(products.zip(&self.start.parameters).map(along).collect())
    }

    /// θ − η A\[g\] for the gradient that was found last.
    pub(super) fn stepped(&self, parameters: &[Tensor], norm: f64) -> Vec<Tensor> {
        let rate = self.settings.learning_rate;
        let step = |value: f64| match self.settings.look_ahead {
            LookAhead::Sgd => rate * value,
            LookAhead::NormalizedSgd if norm > 0.0 => rate * (value / norm),
            LookAhead::NormalizedSgd => 0.0,
            LookAhead::Adam => rate * sign(value),
        };
        let moved = |(tensor, part): (&Tensor, &Tensor)| zip(tensor, part, |value, slope| value - step(slope));
        parameters.iter().zip(self.programs.gradient()).map(moved).collect()
    }

    /// L(S̃; θ′), and d(L / η) / dm with θ′ − θ held constant.
    pub(super) fn objective_slopes(&mut self, ahead: &[Tensor], batch: &Batch) -> Result<(f64, Vec<f64>)> {
        let loss = self.programs.run(ahead, &self.start.buffers, batch)?;
        let rate = self.settings.learning_rate;
        let along = |(part, start): (&Tensor, &Tensor)| dot(part, start) / rate;
        Ok((loss, self.programs.gradient().zip(&self.start.parameters).map(along).collect()))
    }

    /// Moves every factor along its slope, or halves all where one is not finite. What fell to 0 stays there.
    pub(super) fn step(&mut self, slopes: &[f64], branch: Branch) {
        if !slopes.iter().all(|slope| slope.is_finite()) {
            return self.halve();
        }
        for (scale, &slope) in self.scales.iter_mut().zip(slopes) {
            if let Some(scale) = scale.as_mut().filter(|scale| scale.value != 0.0) {
                scale.step(slope, branch, self.settings);
            }
        }
    }

    fn halve(&mut self) {
        self.scales.iter_mut().flatten().for_each(|scale| scale.halve(self.settings));
    }

    fn finish(self, trace: Vec<GradInitStep>) -> GradInitOutcome {
        let state = State { parameters: self.parameters(), buffers: self.start.buffers };
        let scale = |(info, scale): (&ParameterInfo, &Option<Scale>)| ParameterScale {
            path: info.path.clone(),
            scale: scale.map_or(1.0, |scale| scale.value),
            zero: scale.is_none(),
        };
        let scales = self.infos.iter().zip(&self.scales).map(scale).collect();
        GradInitOutcome { state, scales, trace }
    }
}

fn is_bias(info: &ParameterInfo) -> bool {
    matches!(info.initial, Initial::Bias { .. } | Initial::Constant(0.0))
}

/// The sign, 0 for 0.
fn sign(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value.signum() }
}

fn map(tensor: &Tensor, apply: impl Fn(f64) -> f64) -> Tensor {
    let mut result = tensor.clone();
    match result.data_mut() {
        Data::F32(values) => values.iter_mut().for_each(|value| *value = apply(f64::from(*value)) as f32),
        Data::F64(values) => values.iter_mut().for_each(|value| *value = apply(*value)),
        Data::I32(_) | Data::Bool(_) => {}
    }
    result
}

/// `apply` of each two elements of tensors of one shape and type.
fn zip(a: &Tensor, b: &Tensor, apply: impl Fn(f64, f64) -> f64) -> Tensor {
    let mut result = a.clone();
    match (result.data_mut(), b.data()) {
        (Data::F32(values), Data::F32(others)) => {
            let each = |(value, other): (&mut f32, &f32)| *value = apply(f64::from(*value), f64::from(*other)) as f32;
            values.iter_mut().zip(others).for_each(each);
        }
        (Data::F64(values), Data::F64(others)) => {
            values.iter_mut().zip(others).for_each(|(value, other)| *value = apply(*value, *other));
        }
        _ => {}
    }
    result
}

fn fold(tensor: &Tensor, add: impl Fn(f64, f64) -> f64) -> f64 {
    match tensor.data() {
        Data::F32(values) => values.iter().fold(0.0, |sum, value| add(sum, f64::from(*value))),
        Data::F64(values) => values.iter().fold(0.0, |sum, value| add(sum, *value)),
        Data::I32(_) | Data::Bool(_) => 0.0,
    }
}

/// Σ a b, in f64.
fn dot(a: &Tensor, b: &Tensor) -> f64 {
    match (a.data(), b.data()) {
        (Data::F32(a), Data::F32(b)) => a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum(),
        (Data::F64(a), Data::F64(b)) => a.iter().zip(b).map(|(a, b)| a * b).sum(),
        _ => 0.0,
    }
}
