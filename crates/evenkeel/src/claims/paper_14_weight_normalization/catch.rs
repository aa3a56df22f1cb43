//! Deep Q-learning of the game Catch, with and without weight normalization.

use super::super::setup::{pairs, seeds};
use super::super::statistics::mean;
use super::super::{Check, Figure, Findings, Setting};
use crate::config::{Initialization, Loss, NormKind, NormMode, WeightNorm};
use crate::nn::{Context, Model};
use crate::optim::Adam;
use crate::train::Trainer;
use crate::{Batch, Error, Noise, Probe, Result, State};
use evenkeel_graph::random::{Key, Random};
use evenkeel_graph::{DType, Tensor, Var};

const ROWS: usize = 10;
const COLUMNS: usize = 5;
const CELLS: usize = ROWS * COLUMNS;
const ACTIONS: usize = 3;
const DISCOUNT: f64 = 0.95;
const REPLAY: usize = 5000;
const BATCH: usize = 32;
const STEPS: usize = 10_000;
const WARM_UP: usize = 500;
const COPIED: usize = 200;
const RATE: f64 = 0.003;
const GREED: f64 = 0.05;
const EXPLORING: f64 = 0.3;

/// A ball falls a row a step; the paddle on the last row moves left, stays or moves right. Reward ±1 when the ball is there.
#[derive(Clone, Copy)]
struct Catch {
    ball: (usize, usize),
    paddle: usize,
}

impl Catch {
    fn new(random: &mut Random) -> Catch {
        Catch { ball: (0, random.below(COLUMNS as u64) as usize), paddle: COLUMNS / 2 }
    }

    fn pixels(self) -> [f32; CELLS] {
        let mut pixels = [0.0; CELLS];
        pixels[self.ball.0 * COLUMNS + self.ball.1] = 1.0;
        pixels[(ROWS - 1) * COLUMNS + self.paddle] = 1.0;
        pixels
    }

    /// The reward, where the episode ends.
    fn step(&mut self, action: usize) -> Option<f64> {
        self.paddle = (self.paddle + action).saturating_sub(1).min(COLUMNS - 1);
        self.ball.0 += 1;
        (self.ball.0 == ROWS - 1).then(|| if self.ball.1 == self.paddle { 1.0 } else { -1.0 })
    }
}

/// The values of the three actions; the loss is Huber's of the chosen one against its target.
///
/// A sample is the pixels, the action as one of three, and the target.
struct Values {
    norm: NormKind,
}

impl Values {
    const SAMPLE: usize = CELLS + ACTIONS + 1;
}

impl Model for Values {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let samples = x.shape()[0];
        let [pixels, action, target] =
            [0..CELLS, CELLS..CELLS + ACTIONS, CELLS + ACTIONS..Self::SAMPLE].map(|range| x.slice_along(1, range));
        let mut hidden = pixels;
        for layer in 1..=2 {
            hidden = cx.linear(&format!("fc{layer}"), hidden, 64);
            hidden = cx.normalize(self.norm, &format!("norm{layer}"), hidden).relu();
        }
        let values = cx.tap("values", cx.head("head", hidden, ACTIONS));
        let wrong = (values * action).sum(&[1]) - target.reshape([samples]);
        let size = wrong.abs();
        let huber = size.greater(size.like(1.0)).select(size - 0.5, wrong.square() * 0.5);
        cx.add_loss(huber);
        // No labels are learned: the logits are constants.
        cx.graph().splat(0.0, [samples, 2], x.dtype())
    }
}

/// Something that happened.
#[derive(Clone, Copy)]
struct Transition {
    before: [f32; CELLS],
    action: usize,
    after: After,
}

/// What an action led to.
#[derive(Clone, Copy)]
enum After {
    /// The end of the episode, with its reward.
    End(f64),
    /// The next picture, without a reward.
    Pixels([f32; CELLS]),
}

fn batch(samples: usize, fill: impl Fn(usize, &mut [f32])) -> Result<Batch> {
    let mut inputs = vec![0.0; samples * Values::SAMPLE];
    inputs.chunks_mut(Values::SAMPLE).enumerate().for_each(|(index, sample)| fill(index, sample));
    let inputs = Tensor::new([samples, Values::SAMPLE], inputs);
    let inputs = inputs.ok_or_else(|| Error::input("a batch does not have the shape of its samples"))?;
    Ok(Batch { inputs, labels: Tensor::zeros([samples], DType::I32) })
}

/// The return of each episode, or that learning diverged.
struct Course {
    returns: Vec<f64>,
    finite: bool,
}

fn learn(setting: &Setting, norm: NormKind, weights: WeightNorm, seed: u64) -> Result<Course> {
    let network = super::network(Values { norm }, &[Values::SAMPLE], Loss::CrossEntropy, weights)?;
    let start = network.initial_state(Initialization::Uniform, seed);
    let values = |samples| {
        Probe::new(&network, samples, NormMode::Running, |trace| {
            Ok(trace.cx.taps().into_iter().map(|tap| (tap.path, tap.value)).collect())
        })
    };
    let (mut acting, mut judging) = (values(1)?, values(BATCH)?);
    let mut trainer = Trainer::new(&network, Adam::default(), BATCH, start.clone())?;
    trainer.set_noise(Noise { seed, step: 0 });
    let mut target: State = start;
    let mut random = Key::new(seed, "claims/catch", 0).random();
    let mut replay: Vec<Transition> = Vec::with_capacity(REPLAY);
    let (mut game, mut course) = (Catch::new(&mut random), Course { returns: Vec::new(), finite: true });
    for step in 0..STEPS {
        if step % 1000 == 0 {
            setting.go_on()?;
        }
        let explored = step as f64 / (EXPLORING * STEPS as f64);
        let greed = 1.0 + explored.min(1.0) * (GREED - 1.0);
        let before = game.pixels();
        let action = if random.uniform_f64() < greed {
            random.below(ACTIONS as u64) as usize
        } else {
            let seen = batch(1, |_, sample| sample[..CELLS].copy_from_slice(&before))?;
            best(&acting.run(&seen, trainer.parameters(), trainer.buffers())?[0].to_f64()).0
        };
        let ended = game.step(action);
        let after = ended.map_or_else(|| After::Pixels(game.pixels()), After::End);
        let transition = Transition { before, action, after };
        if replay.len() < REPLAY {
            replay.push(transition)
        } else {
            replay[step % REPLAY] = transition
        }
        if let Some(reward) = ended {
            course.returns.push(reward);
            game = Catch::new(&mut random);
        }
        if step < WARM_UP {
            continue;
        }
        let drawn: Vec<Transition> = (0..BATCH).map(|_| replay[random.below(replay.len() as u64) as usize]).collect();
        let after = batch(BATCH, |index, sample| {
            if let After::Pixels(pixels) = &drawn[index].after {
                sample[..CELLS].copy_from_slice(pixels);
            }
        })?;
        let next = judging.at(&after, &target)?[0].to_f64();
        let learned = batch(BATCH, |index, sample| {
            let one = &drawn[index];
            let worth = match one.after {
                After::End(reward) => reward,
                After::Pixels(_) => DISCOUNT * best(&next[index * ACTIONS..(index + 1) * ACTIONS]).1,
            };
            sample[..CELLS].copy_from_slice(&one.before);
            sample[CELLS + one.action] = 1.0;
            sample[Values::SAMPLE - 1] = worth as f32;
        })?;
        if !trainer.step(&learned, RATE)?.is_finite() {
            course.finite = false;
            break;
        }
        if step % COPIED == 0 {
            target = trainer.state();
        }
    }
    Ok(course)
}

/// The best action and its value; the first of equal ones.
fn best(values: &[f64]) -> (usize, f64) {
    let better =
        |best: (usize, f64), (action, &value): (usize, &f64)| if value > best.1 { (action, value) } else { best };
    values.iter().enumerate().fold((0, f64::NEG_INFINITY), better)
}

const CASES: [(&str, NormKind, WeightNorm); 3] = [
    ("plain", NormKind::None, WeightNorm::None),
    ("weight norm", NormKind::None, WeightNorm::Normalized),
    ("batch norm", NormKind::Batch, WeightNorm::None),
];

pub(super) fn q_learning(setting: &Setting) -> Result<Findings> {
    let jobs = pairs(&[0, 1, 2], &seeds(setting));
    let courses = setting.each(jobs, |(case, seed)| learn(setting, CASES[case].1, CASES[case].2, seed))?;
    let count = setting.seeds().count().max(1);
    let last = |course: &Course| mean(&course.returns[course.returns.len() - course.returns.len().div_ceil(10)..]);
    let by_case: Vec<Vec<f64>> = courses.chunks(count).map(|seeds| seeds.iter().map(last).collect()).collect();
    let [plain, weight, batch] = [0, 1, 2].map(|case| mean(&by_case[case]));
    let mut findings = Findings::new();
    findings
        .check(Check::at_least("mean return of the last tenth, weight norm − plain", weight - plain, -0.06))
        .check(Check::at_least("mean return of the last tenth, weight norm", weight, 0.8))
        .check(Check::holds("no learning diverged", courses.iter().all(|course| course.finite)))
        .check(
            Check::above("mean return of the last tenth, weight norm − plain: a gain", weight - plain, 0.0)
                .for_the_record(),
        )
        .note(format!(
            "Mean returns of the last tenth: plain {plain:.3}, weight norm {weight:.3}, batch norm {batch:.3}."
        ));
    const WINDOW: usize = 50;
    let mut figure = Figure::lines("Catch", "episode", "mean return")
        .caption(format!("Mean over {WINDOW} episodes and over seeds."));
    for (case, (name, ..)) in CASES.iter().enumerate() {
        let seeds = &courses[case * count..(case + 1) * count];
        let windows = seeds.iter().map(|course| course.returns.len() / WINDOW).min().unwrap_or(0);
        let at = |window: usize| {
            mean(
                &seeds
                    .iter()
                    .map(|course| mean(&course.returns[window * WINDOW..(window + 1) * WINDOW]))
                    .collect::<Vec<_>>(),
            )
        };
        let x: Vec<f64> = (0..windows).map(|window| ((window + 1) * WINDOW) as f64).collect();
        figure = figure.series(*name, &x, &(0..windows).map(at).collect::<Vec<_>>());
    }
    findings.figure(figure);
    Ok(findings)
}
