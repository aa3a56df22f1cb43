//! The transformer of the zoo: it sees no future, it learns, and it is refused where it does not fit.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Config, DropoutLayers, DropoutMasks, Initialization, ModelSpec, NormKind, NormMode, Override};
use evenkeel::curvature::Curvature;
use evenkeel::experiment::Experiment;
use evenkeel::graph::Tensor;
use evenkeel::models::Transformer;
use evenkeel::nn::Dropout;
use evenkeel::optim::Sgd;
use evenkeel::train::Trainer;
use evenkeel::{Batch, Network, Probe, State};

const SMALL: Transformer =
    Transformer { layers: 2, width: 12, heads: 3, context: 6, vocabulary: 5, norm: NormKind::Layer };

fn batch(samples: &[[i32; 6]]) -> Batch {
    let inputs = Tensor::new([samples.len(), 6], samples.concat()).unwrap();
    // The label of a position is the next token of a sequence that goes round.
    let labels = samples.iter().flat_map(|sample| (1..=6).map(|n| sample[n % 6])).collect::<Vec<_>>();
    Batch { inputs, labels: Tensor::new([samples.len(), 6], labels).unwrap() }
}

fn logits(network: &Network, state: &State, sample: [i32; 6]) -> Vec<f64> {
    let curvature = Curvature::new(network, NormMode::Running, batch(&[sample]), state.clone()).unwrap();
    let logits = curvature.logits().unwrap();
    assert_eq!(logits.shape().to_vec(), [1, 6, 5]);
    logits.to_f64()
}

#[test]
fn a_position_sees_itself_and_what_came_before_and_nothing_else() {
    let network = Network::new(SMALL, &[6]).unwrap();
    let state = network.initial_state(Initialization::Glorot, 3);
    let (one, other) = (logits(&network, &state, [0, 1, 2, 3, 4, 0]), logits(&network, &state, [0, 1, 2, 1, 4, 0]));
    assert_eq!(one[..15], other[..15], "the first three positions saw the fourth");
    for position in 3..6 {
        let here = position * 5..position * 5 + 5;
        assert_ne!(one[here.clone()], other[here], "position {position} did not see the fourth");
    }
}

#[test]
fn a_training_step_is_built_from_tokens_and_makes_the_loss_smaller() {
    let network = Network::new(SMALL, &[6]).unwrap();
    let data = batch(&[[0, 1, 2, 3, 4, 0], [4, 3, 2, 1, 0, 4], [1, 3, 0, 2, 4, 1]]);
    assert_eq!(data.len(), 3);
    let state = network.initial_state(Initialization::Glorot, 0);
    let mut trainer = Trainer::new(&network, Sgd { momentum: 0.9, ..Sgd::PLAIN }, 3, state).unwrap();
    let first = trainer.step(&data, 0.1).unwrap();
    assert!((first.loss - 5f64.ln()).abs() < 1.0, "{first:?}");
    let last = (0..300).map(|_| trainer.step(&data, 0.1).unwrap()).last().unwrap();
    // Each sample has another first token, so every next one can be known.
    assert!(last.loss < 0.05 && last.accuracy > 0.99, "{last:?}");
}

#[test]
fn a_transformer_has_as_many_parameters_as_its_sizes_say() {
    let Transformer { layers, width, context, vocabulary, .. } = Transformer::default();
    let norms = (2 * layers + 1) * 2 * width;
    let attention = layers * (4 * width * width + 4 * width);
    let inner = layers * (8 * width * width + 5 * width);
    let tables = (vocabulary + context) * width + width * vocabulary + vocabulary;
    let network = Network::new(Transformer::default(), &[64]).unwrap();
    assert_eq!(network.parameter_count(), norms + attention + inner + tables);
    assert_eq!(network.parameters()[0].path, "tokens.weight");
    assert!(network.parameters().iter().any(|info| info.path == "blocks.3.attention.qkv.weight"));
}

#[test]
fn dropout_takes_activations_and_leaves_the_residual_stream() {
    let network = Network::new(SMALL, &[6]).unwrap();
    let dropout = Dropout { rate: 0.5, masks: DropoutMasks::PerSample };
    let network = network.with_dropout(dropout, DropoutLayers::All).unwrap();
    let mut places = vec![];
    Probe::new(&network, 2, NormMode::Running, |trace| {
        places = trace.cx.dropout_sites().into_iter().map(|site| site.path).collect();
        Ok(vec![("logits".to_string(), trace.logits)])
    })
    .unwrap();
    assert_eq!(places, ["blocks.0.act_dropout", "blocks.1.act_dropout"]);
}

#[test]
fn what_does_not_fit_is_refused_in_words() {
    let wide = Transformer { heads: 5, ..SMALL };
    let error = Network::new(wide, &[6]).err().unwrap().to_string();
    assert!(
        error.contains("heads of attention do not divide its width") && error.contains("blocks.0.attention"),
        "{error}"
    );
    let error = Network::new(SMALL, &[7]).err().unwrap().to_string();
    assert!(error.contains("at most 6 tokens"), "{error}");

    let refused = |text: &str| text.parse::<ModelSpec>().unwrap_err().to_string();
    assert!(refused("transformer:4-128").contains("four sizes, not 2"));
    assert!(refused("transformer:4-128-3-64").contains("3 heads do not divide a transformer's width of 128"));
    assert!(refused("transformer:1001-128-4-64").contains("at most 1000"));

    let overrides = [Override::flag("--model", "model", "transformer")];
    let error = Experiment::new(Config::resolve(None, &overrides).unwrap()).err().unwrap().to_string();
    assert!(error.contains("reads tokens, and the data set holds images"), "{error}");
}
