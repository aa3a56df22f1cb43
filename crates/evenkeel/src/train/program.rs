//! A training step as one program: objective, gradient, update and running statistics.

use super::layer_statistics::{self, Seen};
use super::step::TrainerOptions;
use crate::Result;
use crate::config::NormMode;
use crate::network::{Network, Tracing};
use crate::nn::ParameterInfo;
use crate::optim::{ITERATE, Optimizer, Update};
use crate::runner::{Build, Runner};
use evenkeel_graph::{DType, Graph, Var};
use std::cell::OnceCell;

/// Outputs before the parameters: loss, objective, hits, gradient norm.
pub(super) const SCALARS: usize = 4;

/// What a program is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To take steps.
    Train,
    /// To take steps and look at each weight.
    Look,
    /// To look at the forward and backward pass, value by value.
    Inspect,
}

/// Builds the step of `parts` times `batch` samples.
pub(super) fn program(
    network: &Network,
    how: &TrainerOptions,
    (batch, parts): (usize, usize),
    due: &[bool],
    purpose: Purpose,
) -> Result<Runner> {
    let graph = Graph::new();
    let (at, ascended) = (OnceCell::new(), OnceCell::new());
    let (rule, dtype) = (&*how.optimizer, network.dtype());
    let given = |kind: &str, info: &ParameterInfo| {
        graph.shared_input(format!("{kind}/{}", info.path), rule.slot_shape(kind, &info.shape), dtype)
    };
    let iterates = rule.iterates().then(|| {
        let iterates = || network.parameters().iter().map(|info| given(ITERATE, info)).collect::<Vec<Var<'_>>>();
        &at.get_or_init(iterates)[..]
    });
    let perturbation = how.perturbation.as_deref();
    let tracing = Tracing {
        noisy: true,
        perturbation,
        values: iterates,
        shares: how.shares,
        ..Tracing::quiet(batch, NormMode::Batch)
    };
    let traced = network.trace(&graph, tracing)?;
    let loss = traced.losses.mean_all();
    let is_due = |term: usize| due.get(term).is_none_or(|due| *due);
    let objective = traced.with_due_terms(loss, &is_due)?;
    let variables = traced.parameters();
    let mut gradient = graph.vjp(&[objective], &variables, None)?;
    // What is told, what the rule is shown, and what has to be finite for an update.
    let norm = gradient_norm(&graph, &gradient, dtype);
    let (mut told, mut shown, mut sound) = (norm, norm, objective + norm);
    let mut told_gradient = gradient.clone();
    if let Some(sharpness) = how.sharpness_aware {
        let values: &Vec<Var<'_>> = ascended.get_or_init(|| {
            let _scope = graph.scope("sharpness_aware");
            sharpness.ascended(&variables, &gradient)
        });
        let there = {
            let again = network.trace(&graph, Tracing { values: Some(values), ..tracing })?;
            again.with_due_terms(again.losses.mean_all(), &is_due)?
        };
        gradient = graph.vjp(&[there], values, None)?;
        shown = gradient_norm(&graph, &gradient, dtype);
        // The norm at the parameters is told, unless the other one is why nothing is updated.
        told = is_finite(shown).select(norm, shown);
        sound = sound + shown;
    }
    let mut sums = Vec::new();
    let mut update = None;
    if parts > 1 && purpose != Purpose::Inspect {
        let _scope = graph.scope("micro_batch");
        let before = network.parameters().iter().map(|info| given("sum", info));
        sums = before.zip(&gradient).map(|(sum, &gradient)| sum + gradient * (1.0 / parts as f64)).collect();
        gradient = sums.clone();
        shown = gradient_norm(&graph, &gradient, dtype);
        (told, sound) = (shown, sound + shown);
        told_gradient = gradient.clone();
    }
    let scalars = [("loss", loss), ("objective", objective), ("hits", traced.hits.sum_all()), ("gradient_norm", told)];
    let mut outputs: Vec<(String, Var<'_>)> = scalars.map(|(name, var)| (name.to_string(), var)).into();
    if purpose == Purpose::Inspect {
        let names = network.parameters().iter().map(|info| format!("grad/{}", info.path));
        outputs.extend(names.zip(gradient));
        return Runner::new(&graph, &outputs, &Build { fuse: false, ..Build::default() });
    }
    let rate = graph.input("learning_rate", [], dtype);
    let numbers: Vec<Var<'_>> = (0..rule.numbers()).map(|n| graph.input(format!("optimizer/{n}"), [], dtype)).collect();
    if parts > 1 {
        update = Some(graph.input("update", [], dtype));
    }
    let sound = is_finite(sound);
    let moves = update.map_or(sound, |update| update.equal(update.like(1.0)).select(sound, sound.like(0.0)));
    let shortened = how.clip.map(|clip| {
        let clip = shown.like(clip);
        shown.greater(clip).select(clip / shown, shown.like(1.0))
    });
    // Parameters, then what the optimiser keeps, then buffers, then sums of gradients: each is overwritten by what it becomes.
    let mut parameters = Vec::new();
    let mut kept = Vec::new();
    let updates = network.parameters().iter().zip(&gradient).zip(&variables).map(|((info, &gradient), &variable)| {
        let state: Vec<Var<'_>> = rule.slots(&info.path).iter().map(|slot| given(slot, info)).collect();
        let parameter = if iterates.is_some() { given("param", info) } else { variable };
        let _scope = graph.scope("update");
        let gradient = shortened.map_or(gradient, |factor| gradient * factor);
        Update { path: &info.path, parameter, gradient, state, rate, numbers: numbers.clone(), totals: vec![] }
    });
    let updates: Vec<Update<'_, '_>> = updates.collect();
    let totals = totals(&graph, rule, &updates);
    let mut moved_to = Vec::new();
    for ((info, at), &variable) in network.parameters().iter().zip(updates).zip(&variables) {
        let _scope = graph.scope("update");
        let (slots, state, parameter) = (rule.slots(&info.path), at.state.clone(), at.parameter);
        let (new, moved) = rule.update(&Update { totals: totals.clone(), ..at });
        let iterate = if iterates.is_some() { moved.first().copied().unwrap_or(new) } else { new };
        moved_to.push(moves.select(iterate, variable));
        parameters.push((format!("param/{}", info.path), moves.select(new, parameter)));
        let slots = slots.into_iter().zip(moved).zip(state);
        kept.extend(slots.map(|((slot, new), old)| (format!("{slot}/{}", info.path), moves.select(new, old))));
    }
    let buffers = traced.cx.buffers().into_iter().map(|(info, buffer, update)| {
        (format!("buffer/{}", info.path), update.map_or(buffer, |update| sound.select(update, buffer)))
    });
    let sums = network.parameters().iter().zip(sums).filter_map(|(info, sum)| {
        let ends = update.map(|update| update.equal(update.like(0.0)))?;
        Some((format!("sum/{}", info.path), ends.select(sum, sum.like(0.0))))
    });
    let updated: Vec<_> = parameters.into_iter().chain(kept).chain(buffers).chain(sums).collect();
    let donations: Vec<_> = updated.iter().map(|(name, _)| (name.clone(), name.clone())).collect();
    outputs.extend(updated);
    if purpose == Purpose::Look {
        for place in layer_statistics::weights(network) {
            let (old, new, gradient) = (variables[place], moved_to[place], told_gradient[place]);
            let path = &network.parameters()[place].path;
            outputs.extend(layer_statistics::trace(path, Seen { old, new, gradient, moves }));
        }
    }
    Runner::new(&graph, &outputs, &Build { donations, memory_limit: how.memory_limit, ..Build::default() })
}

/// What a rule adds up over all parameters.
fn totals<'g>(graph: &'g Graph, rule: &dyn Optimizer, updates: &[Update<'g, '_>]) -> Vec<Var<'g>> {
    let _scope = graph.scope("update");
    let parts = updates.iter().map(|at| rule.parts(at)).filter(|parts| !parts.is_empty());
    let added =
        |sums: Vec<Var<'g>>, parts: Vec<Var<'g>>| sums.into_iter().zip(parts).map(|(sum, part)| sum + part).collect();
    parts.reduce(added).unwrap_or_default()
}

/// True where a number is: infinity times zero is NaN, and nothing equals NaN.
fn is_finite(number: Var<'_>) -> Var<'_> {
    (number * 0.0).equal(number.like(0.0))
}

/// √Σ g² over all parameters.
fn gradient_norm<'g>(graph: &'g Graph, gradient: &[Var<'g>], dtype: DType) -> Var<'g> {
    let _scope = graph.scope("gradient_norm");
    let squares = gradient.iter().map(|gradient| gradient.square().sum_all());
    squares.reduce(|total, square| total + square).map_or_else(|| graph.splat(0.0, [], dtype), |total| total.sqrt())
}
