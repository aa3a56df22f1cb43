//! Adapting the drawn weights as a configuration says, and telling what that changed.

use super::{DataDependent, GradInit, GradInitStep, Untouched};
use crate::config::{Config, InitMethod, LookAhead, NormMode, OptimizerKind};
use crate::curvature::Curvature;
use crate::experiment::Experiment;
use crate::network::{Network, State};
use crate::store::number;
use crate::{Batch, Result};
use evenkeel_graph::Tensor;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::time::Instant;

/// What an [`InitMeasurement`] calls itself.
pub(crate) const PROBE: &str = "initialization";
/// Batches that the loss after a step is the mean of, before and after.
const BATCHES: usize = 10;

/// A state to start from, and what is known of it.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The state.
    pub state: State,
    /// How it came about.
    pub measurement: InitMeasurement,
}

/// What a method made of the weights that were drawn: a file of a run's `measurements/`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InitMeasurement {
    /// Always `initialization`.
    pub probe: String,
    /// Always 0: before the first step.
    pub step: u64,
    /// The method, or the rule that weights were drawn by.
    pub method: String,
    /// Training samples that loss and gradients were taken over, as one batch.
    pub samples: u64,
    /// Before.
    pub before: Standing,
    /// After.
    pub after: Standing,
    /// Every parameter in order.
    pub parameters: Vec<ParameterChange>,
    /// Weights that the method leaves as they are.
    pub untouched: Vec<Untouched>,
    /// Units whose output does not vary on the samples, where the method looks at that.
    pub constant_units: u64,
    /// Every iteration, where the method has some.
    pub trace: Vec<GradInitStep>,
    /// The wall time of the method.
    #[serde(with = "number")]
    pub seconds: f64,
    /// The version of Evenkeel that did it.
    pub version: String,
}

/// Where a state stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Mean loss, with the terms of the objective.
    #[serde(with = "number")]
    pub loss: f64,
    /// Euclidean norm of its gradient.
    #[serde(with = "number")]
    pub gradient_norm: f64,
    /// Mean loss after one step of the optimizer, where the method looks at that.
    pub loss_ahead: Option<f64>,
}

/// How one parameter was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParameterChange {
    /// Its path.
    pub parameter: String,
    /// Its Euclidean length after, divided by that before; NaN where it was zero and is not.
    #[serde(with = "number")]
    pub scale: f64,
    /// Euclidean norm of its part of the gradient, before.
    #[serde(with = "number")]
    pub gradient_before: f64,
    /// The same after.
    #[serde(with = "number")]
    pub gradient_after: f64,
}

impl InitMeasurement {
    /// The name of its file, without folder and ending.
    pub fn name(&self) -> String {
        format!("{PROBE}-{:06}", self.step)
    }

    /// The part of the iterations in which the gradient did not keep to its bound, see
    /// [`GradInitOutcome::share_beyond_bound`](super::GradInitOutcome::share_beyond_bound); 0 without iterations.
    pub fn share_beyond_bound(&self) -> f64 {
        super::gradinit::share_beyond_bound(&self.trace)
    }
}

impl GradInit {
    /// What a configuration says; what it leaves out follows from its optimizer, and a bound on ‖g‖₁ is the root of the number of
    /// parameters: what a gradient of length 1 can have at most.
    pub fn of_config(config: &Config, network: &Network) -> GradInit {
        let init = &config.init;
        let usual = match config.optimizer.name == OptimizerKind::Sgd {
            true => LookAhead::NormalizedSgd,
            false => LookAhead::Adam,
        };
        let look_ahead = init.look_ahead.unwrap_or(usual);
        let bound = match look_ahead {
            LookAhead::Adam => (network.parameter_count() as f64).sqrt(),
            LookAhead::Sgd | LookAhead::NormalizedSgd => 1.0,
        };
        GradInit {
            look_ahead,
            learning_rate: init.learning_rate.unwrap_or(config.learning_rate()),
            gradient_bound: init.gradient_bound.unwrap_or(bound),
            scale_rate: init.scale_rate,
            iterations: init.iterations,
            batch: init.batch_size.unwrap_or(config.batch_size),
            min_scale: init.min_scale,
            max_scale: init.max_scale,
            clip: Some(init.clip),
            overlap: init.overlap,
            second_moment: init.second_moment,
            seed: config.seed,
            ..GradInit::default()
        }
    }
}

impl DataDependent {
    /// What a configuration says of [`InitMethod::DataDependent`] and [`InitMethod::Smart`].
    pub fn of_config(config: &Config) -> DataDependent {
        let init = &config.init;
        match init.method {
            InitMethod::Smart if init.translate_only => DataDependent::translation(),
            InitMethod::Smart => DataDependent { epsilon: config.batch_norm.epsilon, ..DataDependent::smart() },
            _ => DataDependent { deviation: Some(init.deviation), ..DataDependent::default() },
        }
    }
}

/// What a method tells beside the state.
#[derive(Default)]
struct Told {
    untouched: Vec<Untouched>,
    constant_units: u64,
    trace: Vec<GradInitStep>,
    ahead: [Option<f64>; 2],
}

impl Experiment {
    /// Adapts `state` by the configuration's method; `watch` is told iterations done and in all, and may break off.
    ///
    /// # Errors
    /// As [`GradInit::run`] and [`DataDependent::run`].
    pub fn prepare(&self, state: State, watch: &mut dyn FnMut(usize, usize) -> ControlFlow<()>) -> Result<Prepared> {
        let start = Instant::now();
        let method = self.config.init.method;
        let samples = self.init_samples()?;
        let mut told = Told::default();
        let after = match method {
            InitMethod::None => state.clone(),
            InitMethod::DataDependent | InitMethod::Smart => {
                let found = DataDependent::of_config(&self.config).run(&self.network, state.clone(), &samples)?;
                told.untouched = found.untouched;
                told.constant_units = found.layers.iter().map(|layer| layer.constant.len() as u64).sum();
                found.state
            }
            InitMethod::GradInit => {
                let (network, train) = (&self.network, &self.dataset.train);
                let settings = GradInit::of_config(&self.config, network);
                let mut fetch = |indices: &[u32]| Batch::some_of(&self.dataset, train, indices, network.dtype());
                let mut progress = |step: &GradInitStep| watch(step.iteration + 1, settings.iterations);
                let found = settings.run_on(network, state.clone(), train.len(), &mut fetch, &mut progress)?;
                let mut ahead = |state: &State| -> Result<Option<f64>> {
                    let prospect = settings.prospect_on(network, state, BATCHES, train.len(), &mut fetch)?;
                    Ok(Some(prospect.loss_ahead).filter(|loss| loss.is_finite()))
                };
                told = Told { trace: found.trace, ahead: [ahead(&state)?, ahead(&found.state)?], ..told };
                found.state
            }
        };
        self.tell(method.word().into(), &samples, &state, after, told, start)
    }

    /// The configuration's own weights in place of those of `state`.
    ///
    /// # Errors
    /// When the state is not the network's.
    pub fn redraw(&self, state: &State) -> Result<Prepared> {
        let method = self.config.initialization.to_string();
        self.tell(method, &self.init_samples()?, state, self.initial_state(), Told::default(), Instant::now())
    }

    fn init_samples(&self) -> Result<Batch> {
        self.samples(self.whole_ghosts(self.config.init.samples))
    }

    fn tell(
        &self,
        method: String,
        samples: &Batch,
        before: &State,
        after: State,
        told: Told,
        start: Instant,
    ) -> Result<Prepared> {
        let seconds = start.elapsed().as_secs_f64();
        let mut curvature = Curvature::new(&self.network, NormMode::Batch, samples.clone(), before.clone())?;
        let first = curvature.gradient()?;
        curvature.move_to(after.clone())?;
        let second = curvature.gradient()?;
        let standing = |(loss, gradient): &(f64, Vec<f64>), loss_ahead: Option<f64>| Standing {
            loss: *loss,
            gradient_norm: length(gradient),
            loss_ahead,
        };
        let mut place = 0;
        let mut parameters = Vec::with_capacity(before.parameters.len());
        let both = before.parameters.iter().zip(&after.parameters);
        for (info, (old, new)) in self.network.parameters().iter().zip(both) {
            let range = place..place + info.shape.elements();
            place = range.end;
            parameters.push(ParameterChange {
                parameter: info.path.clone(),
                scale: ratio(old, new),
                gradient_before: length(&first.1[range.clone()]),
                gradient_after: length(&second.1[range]),
            });
        }
        let [ahead_before, ahead_after] = told.ahead;
        let measurement = InitMeasurement {
            probe: PROBE.into(),
            step: 0,
            method,
            samples: samples.len() as u64,
            before: standing(&first, ahead_before),
            after: standing(&second, ahead_after),
            parameters,
            untouched: told.untouched,
            constant_units: told.constant_units,
            trace: told.trace,
            seconds,
            version: env!("CARGO_PKG_VERSION").into(),
        };
        Ok(Prepared { state: after, measurement })
    }
}

fn length(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

/// How much longer a tensor became; 1 for two that are zero.
fn ratio(before: &Tensor, after: &Tensor) -> f64 {
    match (length(&before.to_f64()), length(&after.to_f64())) {
        (0.0, 0.0) => 1.0,
        (0.0, _) => f64::NAN,
        (before, after) => after / before,
    }
}
