//! Geometric complexity: the mean squared Frobenius norm of the Jacobian of the logits by the inputs.
//!
//! GC(f, D) = (1/|D|) Σₓ ‖∂f/∂x‖²_F
//!
//! says how much a network varies at its data: [`ComplexityMeter`] measures it, [`GeometricComplexity`] is the penalty. The inputs are
//! those that the network sees, after any normalization of the data; raw pixels would give another number.
//!
//! Source: Dherin, Munn, Rosca, Barrett 2022, arXiv 2209.13083, section 3; see `docs/methods/geometric-complexity.md`.

use super::jacobian::{Side, Sizes, basis, shape_of, squared_images};
use crate::batch::Batch;
use crate::config::{GeometricComplexityConfig, NormMode};
use crate::network::{Network, State, Trace, Tracing};
use crate::objective::Term;
use crate::runner::{Build, Feed, Runner};
use crate::{Error, Result};
use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Graph, Tensor, Var};
use serde::{Deserialize, Serialize};

/// The place that probes are drawn for.
const PLACE: &str = "geometric_complexity";
/// Samples taken at once where they do not depend on each other.
const CHUNK: usize = 125;
/// Samples times directions of one pass, at most.
const ROWS: usize = 1000;

/// Which directions the Jacobian is seen along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// Every output, or every input where those are fewer: exact.
    Every,
    /// Random ones for each sample: E ‖Jᵀ v‖² = ‖J‖²_F.
    Probes {
        /// How many.
        count: usize,
        /// What each of their numbers is.
        distribution: Probes,
    },
}

/// What the numbers of a probe are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probes {
    /// −1 or 1, equally likely (Rademacher): the smaller variance, none for one output.
    Signs,
    /// Standard normal.
    Normal,
}

impl Along {
    /// Random signs.
    pub fn signs(count: usize) -> Along {
        Along::Probes { count, distribution: Probes::Signs }
    }

    /// Refuses what cannot be.
    fn check(self, sizes: &Sizes, mode: NormMode) -> Result<()> {
        match (self, &sizes.over_batch) {
            (Along::Probes { count: 0, .. }, _) => Err(Error::input("geometric complexity needs at least one probe")
                .detail("got", "0 probes")
                .hint("ask for every direction to have it exactly")),
            (Along::Every, Some(layer)) => {
                Err(Error::input("the exact Jacobian of each sample needs samples that do not depend on each other")
                    .detail("layer", layer)
                    .detail("got", format!("norm mode {}", mode.word()))
                    .hint("train with `geometric_complexity.probes=1` or `--norm group`; measure with probes or running statistics"))
            }
            _ => Ok(()),
        }
    }
}

/// The penalty `weight` · GC of the batch, as a term of the objective.
///
/// * [`Along::Every`] differentiates through k reverse passes (d forward ones where inputs are fewer), [`Along::Probes`] through one
///   a probe, with new numbers in every step; outside of training they are those of seed 0
/// * where layers take statistics over the batch, the Jacobian is that of the batch as a whole, (1/N) ‖∂F/∂X‖²_F, which probes estimate;
///   asking for it exactly is refused
/// * cost of one probe: about a plain step more
///
/// # Errors
/// No probes; [`Along::Every`] with statistics over the batch; a network that reads tokens.
///
/// Source: Dherin, Munn, Rosca, Barrett 2022, arXiv 2209.13083, section 5; Hoffman, Roberts, Yaida 2019, arXiv 1908.02729, whose penalty
/// is half as large.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GeometricComplexity {
    /// What the complexity is multiplied by.
    pub weight: f64,
    /// Which directions it is taken along.
    pub along: Along,
    /// Only every so-manieth step has the term, then so many times as strong.
    pub every: u64,
}

impl GeometricComplexity {
    /// The penalty of a configuration.
    pub(crate) fn of_config(config: &GeometricComplexityConfig) -> Self {
        let along = match config.probes {
            0 => Along::Every,
            count => Along::signs(count),
        };
        GeometricComplexity { weight: config.weight, along, every: config.every as u64 }
    }
}

impl Term for GeometricComplexity {
    fn apply<'g>(&self, trace: &Trace<'g>, objective: Var<'g>) -> Result<Var<'g>> {
        Ok(objective + traced(trace, self.along)? * (self.weight * self.every.max(1) as f64))
    }

    fn due(&self, step: u64) -> bool {
        step.is_multiple_of(self.every.max(1))
    }
}

/// The geometric complexity of a traced batch, differentiable: a scalar.
///
/// # Errors
/// As [`GeometricComplexity`].
pub fn traced<'g>(trace: &Trace<'g>, along: Along) -> Result<Var<'g>> {
    let sizes = Sizes::of(trace)?;
    along.check(&sizes, trace.cx.norm().mode)?;
    let samples = trace.inputs.shape().first().copied().unwrap_or(0).max(1);
    let (squares, directions) = match along {
        Along::Every => {
            let side = sizes.narrow_side();
            let like = match side {
                Side::Outputs => trace.logits,
                Side::Inputs => trace.inputs,
            };
            (squared_images(trace, side, basis(like))?, 1)
        }
        Along::Probes { count, distribution } => {
            let probes = drawn(trace, count, distribution);
            (squared_images(trace, Side::Outputs, probes)?, count)
        }
    };
    Ok(squares.sum_all() / (samples * directions) as f64)
}

/// Probes of a step, `[count, N, ..]`.
fn drawn<'g>(trace: &Trace<'g>, count: usize, distribution: Probes) -> Var<'g> {
    let graph = trace.cx.graph();
    let _scope = trace.cx.scope(PLACE);
    let key = trace.cx.key().unwrap_or_else(|| graph.constant(Key::new(0, PLACE, 0).tensor()));
    let shape = [&[count], &trace.logits.shape()[..]].concat();
    let dtype = trace.logits.dtype();
    match distribution {
        Probes::Normal => graph.normal(key, shape, dtype),
        Probes::Signs => {
            let uniform = graph.uniform(key, shape, dtype);
            uniform.less(uniform.like(0.5)).select(uniform.like(-1.0), uniform.like(1.0))
        }
    }
}

/// How geometric complexity is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HowMeasured {
    /// Where normalization layers take their statistics from: the running ones, or the samples as one batch.
    pub mode: NormMode,
    /// Which directions the Jacobian is seen along.
    pub along: Along,
    /// Draws the probes.
    pub seed: u64,
    /// With statistics over the batch, the exact Jacobian of each sample by itself, the others held fixed: as many passes as there are
    /// samples times outputs.
    pub sample_by_sample: bool,
}

impl Default for HowMeasured {
    /// Exact, with running statistics.
    fn default() -> Self {
        HowMeasured { mode: NormMode::Running, along: Along::Every, seed: 0, sample_by_sample: false }
    }
}

impl HowMeasured {
    /// Whether samples depend on each other and yet each is to be seen by itself.
    fn is_sample_by_sample(self, sizes: &Sizes) -> bool {
        self.sample_by_sample && self.along == Along::Every && sizes.over_batch.is_some()
    }

    /// How many directions a chunk of samples is seen along.
    fn directions(self, sizes: &Sizes, side: Side, chunk: usize) -> usize {
        match self.along {
            Along::Probes { count, .. } => count,
            Along::Every if self.is_sample_by_sample(sizes) => chunk * sizes.outputs,
            Along::Every => sizes.along(side),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Complexity {
    /// The geometric complexity, in squares of logits an input unit.
    pub mean: f64,
    /// ‖J‖²_F of each sample, or its estimate.
    pub per_sample: Vec<f64>,
    /// Standard error of the mean over the samples; that of probes is in it.
    pub standard_error: f64,
    /// Numbers that the network answers with.
    pub outputs: usize,
    /// Numbers that a sample is.
    pub inputs: usize,
    /// Why the number may not be what was meant.
    pub warning: Option<String>,
}

/// Measures the geometric complexity of one network at any state and samples: compiled once.
pub struct ComplexityMeter {
    how: HowMeasured,
    side: Side,
    sizes: Sizes,
    dtype: DType,
    /// Samples of a pass.
    chunk: usize,
    /// Directions of a pass.
    block: usize,
    runner: Runner,
    results: Vec<Tensor>,
}

impl ComplexityMeter {
    /// Compiles the measurement over `samples` samples; only where they depend on each other has it to be that number.
    ///
    /// Cost of a measurement: for each direction the way back (or forward) through the network, for some directions together one way
    /// forward.
    ///
    /// # Errors
    /// No samples or no probes; a network that reads tokens; [`Along::Every`] with statistics over the batch and not sample by sample;
    /// [`NormMode::Frozen`], which has no batch of its own here.
    pub fn new(network: &Network, samples: usize, how: HowMeasured) -> Result<Self> {
        if samples == 0 {
            return Err(Error::input("geometric complexity needs at least one sample").detail("got", "an empty batch"));
        }
        if how.mode == NormMode::Frozen {
            return Err(Error::input("geometric complexity has norm mode batch or running")
                .detail("expected", "batch or running")
                .detail("got", how.mode.word()));
        }
        let chunk = if network.couples_samples(how.mode) { samples } else { samples.min(CHUNK) };
        let graph = Graph::new();
        let trace = network.trace(&graph, Tracing::quiet(chunk, how.mode))?;
        let sizes = Sizes::of(&trace)?;
        let side = match how.along {
            Along::Every if how.is_sample_by_sample(&sizes) => Side::Outputs,
            along => {
                along.check(&sizes, how.mode)?;
                if along == Along::Every { sizes.narrow_side() } else { Side::Outputs }
            }
        };
        let directions = how.directions(&sizes, side, chunk);
        // As few passes as rows allow, all equally full.
        let passes = directions.div_ceil((ROWS / chunk).max(1)).max(1);
        let block = directions.div_ceil(passes).max(1);
        let stack = graph.input("directions", [block, chunk, sizes.along(side)], network.dtype());
        let stack = stack.reshape([&[block], &shape_of(&trace, side)[..]].concat());
        let squares = squared_images(&trace, side, stack)?;
        trace.cx.check()?;
        let outputs = [("squares".to_string(), squares), ("answers".to_string(), trace.logits)];
        let runner = Runner::new(&graph, &outputs, &Build::default())?;
        let results = runner.new_outputs();
        Ok(ComplexityMeter { how, side, sizes, dtype: network.dtype(), chunk, block, runner, results })
    }

    /// Measures at a state.
    ///
    /// # Errors
    /// When samples or state are not the network's, or the Jacobian of a sample is not finite.
    pub fn at(&mut self, samples: &Batch, state: &State) -> Result<Complexity> {
        self.run(samples, &state.parameters, &state.buffers)
    }

    /// The same for parameters and buffers.
    ///
    /// # Errors
    /// As [`ComplexityMeter::at`].
    pub fn run(&mut self, samples: &Batch, parameters: &[Tensor], buffers: &[Tensor]) -> Result<Complexity> {
        let count = samples.len();
        let fixed = self.sizes.over_batch.is_some();
        if count == 0 || fixed && count != self.chunk {
            return Err(Error::input("geometric complexity was compiled for another number of samples")
                .detail("expected", if fixed { self.chunk.to_string() } else { "at least 1".into() })
                .detail("got", count));
        }
        let mut per_sample = vec![0.0; count];
        let mut kinds = Answers::default();
        for first in (0..count).step_by(self.chunk) {
            let filled = self.chunk.min(count - first);
            let rows: Vec<u32> = (0..self.chunk).map(|row| (first + row.min(filled - 1)) as u32).collect();
            let batch = samples.take(&rows)?;
            self.pass(&batch, first, &mut per_sample[first..first + filled], parameters, buffers)?;
            let answers = self.results[1].to_f64();
            kinds.see(&answers, self.sizes.outputs);
            for (value, answer) in per_sample[first..].iter_mut().zip(answers.chunks_exact(self.sizes.outputs.max(1))) {
                // A mask hides what is no number from the Jacobian, but not from the answer.
                *value = if answer.iter().all(|answer| answer.is_finite()) { *value } else { f64::NAN };
            }
        }
        if let Some(sample) = per_sample.iter().position(|value| !value.is_finite()) {
            return Err(Error::numerical("the network or its Jacobian is not finite at a sample")
                .detail("sample", sample)
                .detail("got", per_sample[sample])
                .hint("the network overflows there: try an earlier checkpoint or f64"));
        }
        let mean = per_sample.iter().sum::<f64>() / count as f64;
        let spread: f64 = per_sample.iter().map(|value| (value - mean) * (value - mean)).sum();
        let variance = if count > 1 { spread / (count - 1) as f64 } else { 0.0 };
        Ok(Complexity {
            mean,
            standard_error: (variance / count as f64).sqrt(),
            per_sample,
            outputs: self.sizes.outputs,
            inputs: self.sizes.inputs,
            warning: kinds.warning(),
        })
    }

    /// Adds what one chunk of samples, from number `first` on, contributes.
    fn pass(
        &mut self,
        batch: &Batch,
        first: usize,
        per_sample: &mut [f64],
        parameters: &[Tensor],
        buffers: &[Tensor],
    ) -> Result<()> {
        let length = self.sizes.along(self.side);
        let total = self.how.directions(&self.sizes, self.side, self.chunk);
        let own = self.how.is_sample_by_sample(&self.sizes);
        let share = match self.how.along {
            Along::Probes { count, .. } => 1.0 / count as f64,
            Along::Every => 1.0,
        };
        let shape = [self.block, self.chunk, length];
        let mut stack = vec![0.0; self.block * self.chunk * length];
        for start in (0..total).step_by(self.block) {
            let numbers = start..(start + self.block).min(total);
            stack.fill(0.0);
            for (number, direction) in numbers.clone().zip(stack.chunks_exact_mut(self.chunk * length)) {
                self.point(number, first, direction);
            }
            let given: Vec<Tensor> = Tensor::from_f64(shape, self.dtype, &stack).into_iter().collect();
            let feed = Feed { parameters, buffers, scalars: &given, ..Feed::of(batch) };
            self.runner.run(&feed, &mut self.results)?;
            let squares = self.results[0].to_f64();
            for (number, squares) in numbers.zip(squares.chunks_exact(self.chunk)) {
                for (row, (value, square)) in per_sample.iter_mut().zip(squares).enumerate() {
                    // Sample by sample, a direction is one sample's alone.
                    if !own || number / length == row {
                        *value += square * share;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes the direction of this number for a chunk of samples, whose first has the number `first`.
    fn point(&self, number: usize, first: usize, direction: &mut [f64]) {
        let length = self.sizes.along(self.side);
        match self.how.along {
            Along::Every if self.how.is_sample_by_sample(&self.sizes) => direction[number] = 1.0,
            Along::Every => direction.chunks_exact_mut(length).for_each(|row| row[number] = 1.0),
            Along::Probes { distribution, .. } => {
                for (row, values) in direction.chunks_exact_mut(length).enumerate() {
                    let step = (number as u64) << 32 | (first + row) as u64;
                    let mut random = Key::new(self.how.seed, PLACE, step).random();
                    values.iter_mut().for_each(|value| {
                        *value = match distribution {
                            Probes::Signs => 1.0 - 2.0 * f64::from(random.next_u32() & 1),
                            Probes::Normal => random.normal_f64(),
                        }
                    });
                }
            }
        }
    }
}

/// Whether answers may be logits: rows of probabilities, or their logarithms, are something else.
struct Answers {
    probabilities: bool,
    logarithms: bool,
}

impl Default for Answers {
    fn default() -> Self {
        Answers { probabilities: true, logarithms: true }
    }
}

impl Answers {
    /// Looks at rows of answers.
    fn see(&mut self, answers: &[f64], outputs: usize) {
        const ROUNDING: f64 = 1e-4;
        let one = |sum: f64| outputs > 1 && (sum - 1.0).abs() < ROUNDING;
        for row in answers.chunks_exact(outputs.max(1)) {
            self.probabilities &= row.iter().all(|&value| value >= 0.0) && one(row.iter().sum());
            self.logarithms &= one(row.iter().map(|value| value.exp()).sum());
        }
    }

    fn warning(&self) -> Option<String> {
        let what = match (self.probabilities, self.logarithms) {
            (true, _) => "probabilities",
            (_, true) => "logarithms of probabilities",
            _ => return None,
        };
        Some(format!("geometric complexity is defined on logits, and the network answers with {what}"))
    }
}
