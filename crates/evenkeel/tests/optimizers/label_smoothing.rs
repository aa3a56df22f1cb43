//! Labels of which a share is spread over all classes.

use crate::{experiment, flat, model, near, network, samples};
use evenkeel::config::Initialization;
use evenkeel::config::NormMode;
use evenkeel::curvature::Curvature;
use evenkeel::objective::Term;
use evenkeel::regularize::LabelSmoothing;
use evenkeel::train::train;

#[test]
fn the_objective_is_the_cross_entropy_with_soft_labels_and_so_is_its_gradient() {
    let layers = model(|cx, x| cx.linear("head", x, 3));
    let plain = network(layers, &[5], 0.0);
    let share = 0.3;
    let smooth = network(layers, &[5], 0.0).with_terms([Box::new(LabelSmoothing { share }) as Box<dyn Term>]).unwrap();
    let state = plain.initial_state(Initialization::He, 1);
    let batch = samples(6, 5, 4);
    let (loss, gradient) =
        Curvature::new(&smooth, NormMode::Batch, batch.clone(), state.clone()).unwrap().gradient().unwrap();
    // By hand, from the logits.
    let (weights, bias) = (state.parameters[0].to_f64(), state.parameters[1].to_f64());
    let (x, labels) = (batch.inputs.to_f64(), batch.labels.to_f64());
    let mut wanted = 0.0;
    let mut slope = vec![0.0; weights.len() + bias.len()];
    for n in 0..6 {
        let logits: Vec<f64> =
            (0..3).map(|c| bias[c] + (0..5).map(|i| x[5 * n + i] * weights[3 * i + c]).sum::<f64>()).collect();
        let sum = logits.iter().map(|z| z.exp()).sum::<f64>();
        for c in 0..3 {
            let target = share / 3.0 + if labels[n] as usize == c { 1.0 - share } else { 0.0 };
            wanted -= target * (logits[c] - sum.ln()) / 6.0;
            let error = (logits[c].exp() / sum - target) / 6.0;
            (0..5).for_each(|i| slope[3 * i + c] += error * x[5 * n + i]);
            slope[weights.len() + c] += error;
        }
    }
    near(&[loss], &[wanted], 1e-14);
    near(&gradient, &slope, 1e-14);
    assert_eq!(flat(&state.parameters).len(), slope.len());
}

#[test]
fn the_loss_that_is_told_is_that_of_the_labels_themselves_and_numbers_have_none_to_smooth() {
    let folder = tempfile::tempdir().unwrap();
    let smooth = experiment(&["label_smoothing=0.2", "measure.start_and_end=false", "epochs=12"]);
    let outcome = train(&smooth, &folder.path().join("run"), false, &mut ()).unwrap();
    assert!(outcome.train_loss < 0.8 && outcome.test_accuracy > 0.8, "{outcome:?}");
    let overrides: Vec<_> = ["model=autoencoder:4", "label_smoothing=0.2"]
        .iter()
        .map(|text| evenkeel::config::Override::set(text).unwrap())
        .collect();
    let config = evenkeel::config::Config::resolve(None, &overrides).unwrap();
    let error = evenkeel::experiment::Experiment::new(config).err().unwrap().to_string();
    assert!(error.contains("label_smoothing"), "{error}");
}
