//! What comes out: accuracies at all batch sizes, and of all forms of the blend.

use super::super::setup::{self, Samples, by_seed, pairs};
use super::super::statistics::{largest, mean};
use super::super::{Check, Figure, Findings, Setting};
use super::network::{
    FixedGates, GROUPS, IMPROVED, Net, Norm, Plan, accuracy, images, is_gate, start, train, train_from,
};
use super::stability::RATES;
use crate::config::{Initialization, Loss, NormMode};
use crate::nn::{BatchAxes, Deviation, GroupForm, ImprovedGroup, NormSettings};
use crate::{Batch, Error, Network, Probe, Result, State};
use evenkeel_graph::{DType, Tensor};

pub(super) fn batch_sizes(setting: &Setting) -> Result<Findings> {
    const SIZES: [usize; 7] = [2, 4, 8, 16, 32, 64, 128];
    const TRAIN: usize = 1500;
    const EPOCHS: usize = 4;
    let samples = images(setting, TRAIN)?;
    let spatial = Norm::Improved(GroupForm::GroupFirst, BatchAxes::SamplesAndPositions);
    let norms = [Norm::Group, IMPROVED, spatial];
    let seeds: Vec<u64> = setting.seeds().collect();
    // The smallest batches take longest: they come first.
    let found = setting.each(pairs(&pairs(&SIZES, &norms), &seeds), |((batch, norm), seed)| {
        let network = Net::four(norm).network(&samples)?;
        let rate = 2e-3 * (batch as f64 / 64.0).sqrt();
        let plan = Plan { batch, steps: (EPOCHS * (TRAIN / batch)) as u64, ..Plan::usual(rate, seed) };
        let state = train(&network, &samples, plan)?.state;
        Ok([NormMode::Batch, NormMode::Running].map(|mode| accuracy(&network, &samples, &state, mode)))
    })?;
    let means = |norm: usize, mode: usize| -> Result<Vec<f64>> {
        let of_size = |size: usize| -> Result<f64> {
            let seeds = &found[(size * norms.len() + norm) * seeds.len()..][..seeds.len()];
            let right: Result<Vec<f64>> = seeds.iter().map(|modes| modes[mode].clone()).collect();
            Ok(mean(&right?))
        };
        (0..SIZES.len()).map(of_size).collect()
    };
    let (batch, running) = (0, 1);
    let group = means(0, running)?;
    let gains = |accuracies: &[f64]| -> Vec<f64> { accuracies.iter().zip(&group).map(|(a, b)| a - b).collect() };
    let (paper, kept, both) = (means(1, batch)?, means(1, running)?, means(2, running)?);
    let above = |gains: &[f64]| gains.iter().map(|gain| *gain > 0.0).collect::<Vec<_>>();
    let points = " points";
    let mut findings = Findings::new();
    findings
        .check(Check::count("the paper's form gains at sizes 4 to 128", &above(&gains(&paper)[1..]), 5))
        .check(Check::at_least("its mean gain there", mean(&gains(&paper)[1..]), 1.8).unit(points))
        .check(Check::count("statistics over positions as well, kept running: gains", &above(&gains(&both)), 6))
        .check(Check::at_least("its mean gain", mean(&gains(&both)), 1.4).unit(points))
        .check(Check::at_most("the paper's form at size 2: gain", gains(&paper)[0], -4.0).unit(points))
        .note(format!(
            "of the paper form's mean gain, running statistics keep {:.0} %",
            100.0 * mean(&gains(&kept)[1..]) / mean(&gains(&paper)[1..])
        ));
    let at = SIZES.map(|size| size as f64);
    let mut figure = Figure::lines("Test accuracy after four epochs", "batch size", "answered rightly, %")
        .caption("Means over seeds.")
        .log_x();
    let lines = [
        ("group", &group),
        ("improved, test batches", &paper),
        ("improved, running", &kept),
        ("improved over positions, running", &both),
    ];
    for (name, accuracies) in lines {
        let shown: Vec<String> = accuracies.iter().map(|accuracy| format!("{accuracy:.1}")).collect();
        findings.note(format!("{name}: {} at sizes 2 to 128", shown.join(" / ")));
        figure = figure.series(name, &at, accuracies);
    }
    findings.figure(figure);
    Ok(findings)
}

pub(super) fn forms(setting: &Setting) -> Result<Findings> {
    const RATE: f64 = 1e-3;
    let samples = images(setting, 3000)?;
    let seeds: Vec<u64> = setting.seeds().collect();
    let improved = |form| Norm::Improved(form, BatchAxes::Samples);
    // A share of the groups that stays as it is, instead of a learned one.
    let kinds = [
        ("group", Norm::Group, None),
        ("groups first", IMPROVED, None),
        ("batch first", improved(GroupForm::BatchFirst), None),
        ("parallel", improved(GroupForm::Parallel), None),
        ("share 0", IMPROVED, Some(0.0)),
        ("share ½", IMPROVED, Some(0.5)),
        ("none", Norm::None, None),
        ("batch", Norm::Batch, None),
    ];
    let places: Vec<usize> = (0..kinds.len()).collect();
    let right = setting.each(pairs(&places, &seeds), |(place, seed)| {
        let (_, norm, share) = kinds[place];
        let network = Net::eight(norm).network(&samples)?;
        let plan = Plan::usual(RATE, seed);
        let trained = match share {
            None => train(&network, &samples, plan)?,
            Some(share) => {
                let from = with_gates(&network, start(&network, seed), share)?;
                train_from(&network, &samples, plan, from, FixedGates(plan.rule()))?
            }
        };
        accuracy(&network, &samples, &trained.state, norm.tested())
    })?;
    let of_kind: Vec<&[f64]> = right.chunks(seeds.len().max(1)).collect();
    let gain = |place: usize| -> Vec<f64> {
        of_kind[place].iter().zip(of_kind[0]).map(|(form, group)| form - group).collect()
    };
    let gates = gates(setting, &samples)?;
    let moved: Vec<f64> =
        gates.iter().flatten().map(|layers| largest(layers.iter().map(|gate| (gate - FIRST_SHARE).abs()))).collect();
    let open = [Deviation::Sample, Deviation::Population].map(|deviation| open_gate(setting.seed, deviation));
    let open: Vec<f64> = open.into_iter().collect::<Result<_>>()?;
    let mut findings = Findings::new();
    findings
        .check(Check::at_least("groups first − group norm, each seed", gain(1), 5.0).unit(" points"))
        .check(Check::at_least("batch first − group norm, each seed", gain(2), 5.0).unit(" points"))
        .check(Check::at_least("parallel − group norm, each seed", gain(3), 5.0).unit(" points"))
        .check(Check::at_most("an open gate and group norm, either deviation: largest difference", &open, 1e-12))
        .check(Check::above("largest way of a gate, by rate and seed", &moved, 0.01));
    for (rate, gates) in RATES.iter().zip(&gates) {
        let (low, high) =
            gates.iter().flatten().fold((1.0_f64, 0.0_f64), |(low, high), gate| (low.min(*gate), high.max(*gate)));
        findings.note(format!("shares of the groups at the rate {rate}: {low:.3} to {high:.3}"));
    }
    let names: Vec<&str> = kinds.iter().map(|(name, ..)| *name).collect();
    let figure = Figure::bars("Test accuracy of all forms", &names, "answered rightly, %")
        .heights_over_seeds("rate 1e-3", &by_seed(&of_kind));
    findings.figure(figure);
    Ok(findings)
}

/// σ(1), the share of the groups at first.
const FIRST_SHARE: f64 = 0.731_058_578_630_004_9;

/// The state with all gates at a share of the groups; 0 and 1 are as near as numbers come.
fn with_gates(network: &Network, mut state: State, share: f64) -> Result<State> {
    let logit = (share.max(1e-300) / (1.0 - share).max(1e-300)).ln();
    for (info, value) in network.parameters().iter().zip(&mut state.parameters) {
        if is_gate(&info.path) {
            *value = Tensor::from_f64(value.shape(), value.dtype(), &vec![logit; value.shape().elements()])
                .ok_or_else(|| Error::input("a gate is a number"))?;
        }
    }
    Ok(state)
}

/// The shares of the groups in all layers after training, by rate, then seed.
fn gates(setting: &Setting, samples: &Samples) -> Result<Vec<Vec<Vec<f64>>>> {
    let seeds: Vec<u64> = setting.seeds().collect();
    let found = setting.each(pairs(&RATES, &seeds), |(rate, seed)| {
        let network = Net::eight(IMPROVED).network(samples)?;
        let state = train(&network, samples, Plan::usual(rate, seed))?.state;
        let gates = network.parameters().iter().zip(&state.parameters).filter(|(info, _)| is_gate(&info.path));
        Ok(gates.flat_map(|(_, gate)| gate.to_f64()).map(|gate| 1.0 / (1.0 + (-gate).exp())).collect::<Vec<f64>>())
    })?;
    Ok(found.chunks(seeds.len().max(1)).map(<[Vec<f64>]>::to_vec).collect())
}

/// How far a layer whose gate is open differs from group normalization, in f64.
fn open_gate(seed: u64, deviation: Deviation) -> Result<f64> {
    const SHAPE: [usize; 3] = [3, 3, 8];
    let choices =
        ImprovedGroup { groups: Some(GROUPS), axes: BatchAxes::Samples, deviation, ..ImprovedGroup::default() };
    let model = setup::model(move |cx, x| {
        let group = cx.tap("group", cx.group_norm_by("group", x, Some(GROUPS), deviation));
        let blend = cx.tap("blend", cx.improved_group_norm("blend", x, choices));
        cx.head("head", blend + group, 2)
    });
    let network = Network::with(Box::new(model), &SHAPE, DType::F64, Loss::CrossEntropy, NormSettings::default())?;
    let state = with_gates(&network, network.initial_state(Initialization::He, seed), 1.0)?;
    let values =
        (0..16 * SHAPE.iter().product::<usize>()).map(|index| (index as f64 * 1.7).sin() * 3.0 + 0.5).collect();
    let inputs = Tensor::new::<f64>([&[16], &SHAPE[..]].concat(), values);
    let inputs = inputs.ok_or_else(|| Error::input("samples do not have their shape"))?;
    let batch = Batch { inputs, labels: Tensor::zeros([16], DType::I32) };
    let mut probe = Probe::taps(&network, 16, NormMode::Batch)?;
    let taps = probe.at(&batch, &state)?;
    let [group, blend] = [taps[0].to_f64(), taps[1].to_f64()];
    Ok(largest(group.iter().zip(blend).map(|(a, b)| (a - b).abs())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_gate_is_group_norm_by_either_deviation() {
        for deviation in [Deviation::Sample, Deviation::Population] {
            assert!(open_gate(0, deviation).unwrap() < 1e-12);
        }
    }
}
