//! Every network of the zoo and the building blocks beside it: sizes, first derivatives, and what they are trained on.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Activation, Initialization, Loss, MODELS, ModelSpec, NormKind, NormMode, WeightNorm};
use evenkeel::curvature::Curvature;
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::models::{self, Autoencoder, Cell, Encoder, NormPlace, Positions, RowRecurrent, Vae};
use evenkeel::nn::{Context, NormSettings, Reads, Regression};
use evenkeel::optim::Sgd;
use evenkeel::train::Trainer;
use evenkeel::{Batch, Network, Noise, Probe, State};

/// Small images of the size each network takes.
fn input(spec: &ModelSpec) -> Vec<usize> {
    match spec.name {
        _ if spec.reads_tokens() => vec![5],
        "vgg11" | "vgg16" | "vgg19" => vec![32, 32, 1],
        _ => vec![4, 8, 1],
    }
}

fn build(spec: &str, norm: Option<NormKind>, weights: WeightNorm) -> evenkeel::Result<Network> {
    let spec: ModelSpec = spec.parse().unwrap();
    let model = models::build(&spec, norm.unwrap_or(spec.usual_norm()), Activation::Tanh, 4);
    let settings = NormSettings { weights, ..NormSettings::default() };
    Network::with(model, &input(&spec), DType::F64, spec.usual_loss(), settings)
}

/// Numbers from 0 to 1 and classes below 4, or targets of the network's own shape.
fn samples(network: &Network, count: usize) -> Batch {
    let drawn = |stream: &str, shape: Vec<usize>, dtype: DType| {
        let mut random = Key::new(1, stream, 0).random();
        let elements = shape.iter().product::<usize>();
        match dtype {
            DType::I32 => Tensor::new(shape, (0..elements).map(|_| random.below(4) as i32).collect::<Vec<_>>()),
            _ => Tensor::new(shape, (0..elements).map(|_| random.uniform_f64()).collect::<Vec<_>>()),
        }
        .unwrap()
    };
    let of = |shape: &[usize]| [&[count], shape].concat();
    let (labels, dtype) = network.labels();
    let reads = if network.reads() == Reads::Tokens { DType::I32 } else { DType::F64 };
    Batch { inputs: drawn("x", of(network.input_shape()), reads), labels: drawn("y", of(labels), dtype) }
}

/// The directional derivative of the loss against central differences.
fn gradient_is_right(name: &str, network: &Network, samples: Batch) {
    let state = network.initial_state(Initialization::Glorot, 2);
    let mut random = Key::new(3, "direction", 0).random();
    let directions: Vec<Vec<f64>> = state
        .parameters
        .iter()
        .map(|tensor| (0..tensor.shape().elements()).map(|_| random.normal_f64()).collect())
        .collect();
    let at = |step: f64| {
        let parameters = state.parameters.iter().zip(&directions).map(|(tensor, direction)| {
            let moved: Vec<f64> = tensor.to_f64().iter().zip(direction).map(|(value, d)| value + step * d).collect();
            Tensor::from_f64(tensor.shape(), DType::F64, &moved).unwrap()
        });
        let state = State { parameters: parameters.collect(), buffers: state.buffers.clone() };
        Curvature::new(network, NormMode::Batch, samples.clone(), state).unwrap().gradient().unwrap()
    };
    let (loss, gradient) = at(0.0);
    assert!(loss.is_finite(), "{name}");
    let slope: f64 = gradient.iter().zip(directions.iter().flatten()).map(|(g, d)| g * d).sum();
    let step = 1e-5;
    let difference = (at(step).0 - at(-step).0) / (2.0 * step);
    assert!((slope - difference).abs() < 1e-5 * (1.0 + slope.abs()), "{name}: {slope} against {difference}");
}

#[test]
fn gradients_of_new_kinds_are_those_of_finite_differences() {
    let specs = ["plain-conv:3x4", "autoencoder:6-3", "vae:6-2", "row-gru:5", "row-lstm:5-4", "gru:3-5", "lstm:3-5-4"];
    for spec in specs {
        let network = build(spec, None, WeightNorm::None).unwrap();
        let samples = samples(&network, 3);
        gradient_is_right(spec, &network, samples);
    }
    for spec in ["encoder:2-6-2-2", "lstm:3-5", "vae:6-2"] {
        let network = build(spec, None, WeightNorm::Normalized).unwrap();
        let samples = samples(&network, 3);
        gradient_is_right(spec, &network, samples);
    }
    let post = Encoder {
        layers: 1,
        width: 6,
        heads: 2,
        inner: 5,
        positions: Positions::Tokens { vocabulary: 4 },
        pooled: false,
        place: NormPlace::After,
        norm: NormKind::Layer,
        classes: 4,
    };
    let network = Network::with(Box::new(post), &[5], DType::F64, Loss::CrossEntropy, NormSettings::default()).unwrap();
    assert_eq!(network.labels().0.to_vec(), [5]);
    let samples = samples(&network, 3);
    gradient_is_right("post", &network, samples);
}

#[test]
fn every_network_of_the_zoo_is_in_the_list_and_takes_a_step() {
    let listed: Vec<&str> = models::catalogue().into_iter().map(|info| info.name).collect();
    assert_eq!(listed, MODELS);
    for name in MODELS {
        // The largest ones are of one kind with smaller ones.
        if ["vgg19", "resnet110", "preresnet110", "preresnet164", "resnet56", "preresnet56"].contains(name) {
            continue;
        }
        let network = build(name, None, WeightNorm::None).unwrap();
        let batch = samples(&network, 2);
        let state = network.initial_state(Initialization::Glorot, 0);
        let mut trainer = Trainer::new(&network, Sgd::PLAIN, 2, state).unwrap();
        let result = trainer.step(&batch, 1e-3).unwrap();
        assert!(result.is_finite() && result.gradient_norm > 0.0, "{name}: {result:?}");
        let reconstructs = ["autoencoder", "vae"].contains(name);
        assert_eq!(result.accuracy.is_nan(), reconstructs, "{name}: {result:?}");
    }
}

#[test]
fn activations_are_tapped_in_the_order_of_the_layers() {
    let paths = |spec: &str| {
        let network = build(spec, None, WeightNorm::None).unwrap();
        Probe::taps(&network, 2, NormMode::Running).unwrap().names().join(" ")
    };
    assert_eq!(paths("plain-conv:2x3"), "act1 act2 act3 act");
    assert_eq!(paths("autoencoder:6-5-3"), "encoder.act1 encoder.act2 code decoder.act1 decoder.act2");
    assert_eq!(paths("vae:6-2"), "encoder.act1 mean log_variance decoder.act1");
    assert_eq!(paths("lstm:3-5-4"), "rnn1 rnn2");
    assert_eq!(paths("encoder:1-4-2-2"), "blocks.0.act blocks.0.out");
    assert!(paths("preresnet20").ends_with("layer3.2.act1 layer3.2.act2 layer3.2.out act"));
}

#[test]
fn sizes_are_those_that_the_names_say() {
    let count = |spec: &str| build(spec, None, WeightNorm::None).unwrap().parameter_count();
    // On 4×8 pixels: a convolution 9·i·o, a norm 2·o, `fc` to 64 and its norm, the head.
    assert_eq!(count("plain-conv:4x2"), count("plain-conv:4-4"));
    assert_eq!(count("plain-conv:4-4"), 36 + 144 + 2 * 8 + 4 * 32 * 64 + 128 + 64 * 4 + 4);
    assert_eq!(count("autoencoder:6-3"), (32 * 6 + 6) + (6 * 3 + 3) + (3 * 6 + 6) + (6 * 32 + 32));
    assert_eq!(count("vae:6-2"), (32 * 6 + 6) + (6 * 4 + 4) + (2 * 6 + 6) + (6 * 32 + 32));
    // PyTorch's LSTM has two biases, too.
    assert_eq!(count("lstm:3-5"), 4 * 3 + 4 * 5 * (3 + 5 + 2) + 5 * 4 + 4);
    assert_eq!(count("row-gru:5"), 3 * 5 * (8 + 5 + 2) + 5 * 4 + 4);
    let block = 2 * 2 * 6 + (6 * 18 + 18) + (6 * 6 + 6) + (6 * 24 + 24) + (24 * 6 + 6);
    assert_eq!(count("encoder:2-6-2-2"), (4 * 6 + 6) + 8 * 6 + 2 * block + 2 * 6 + (6 * 4 + 4));
}

#[test]
fn what_does_not_go_together_is_refused_in_words() {
    let refused = |spec: &str, norm| build(spec, norm, WeightNorm::None).err().unwrap().to_string();
    let error = refused("lstm", Some(NormKind::Layer));
    assert!(
        error.contains("a recurrent network has no normalization layers") && error.contains("norm layer"),
        "{error}"
    );
    let error = refused("encoder:1-4-2-3", None);
    assert!(error.contains("cannot be cut into patches") && error.contains("multiples of 3 and 3"), "{error}");
    let error = refused("encoder:1-4-2-2", Some(NormKind::Instance));
    assert!(error.contains("instance normalization"), "{error}");
    let vae = models::build(&"vae".parse().unwrap(), NormKind::None, Activation::Relu, 10);
    let error = Network::with(vae, &[8, 8, 1], DType::F64, Loss::CrossEntropy, NormSettings::default()).err().unwrap();
    insta::assert_snapshot!(error, @r"
    loss cross-entropy is for classes, and the network is compared with its inputs
      key       loss
      expected  squared or bernoulli
      got       cross-entropy
    hint: use `--set loss=squared`, or leave `loss` out
    ");
}

/// x w + b.
fn line<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    cx.head("head", x, 2)
}

#[test]
fn a_regression_finds_the_least_squares_solution() {
    let network = Network::with(
        Box::new(Regression(line as for<'g> fn(&Context<'g>, Var<'g>) -> Var<'g>)),
        &[3],
        DType::F64,
        Loss::Squared,
        NormSettings::default(),
    )
    .unwrap();
    assert_eq!((network.labels().0.to_vec(), network.labels().1), (vec![2], DType::F64));
    let batch = samples(&network, 12);
    let state = network.initial_state(Initialization::He, 0);
    let mut trainer = Trainer::new(&network, Sgd { momentum: 0.9, ..Sgd::PLAIN }, 12, state).unwrap();
    let result = (0..2000).map(|_| trainer.step(&batch, 0.2).unwrap()).last().unwrap();
    assert!(result.gradient_norm < 1e-9 && result.accuracy.is_nan(), "{result:?}");
    let (weights, bias) = (trainer.parameters()[0].to_f64(), trainer.parameters()[1].to_f64());
    let (x, y) = (batch.inputs.to_f64(), batch.labels.to_f64());
    let residuals: Vec<f64> = (0..24)
        .map(|place| {
            let (sample, output) = (place / 2, place % 2);
            let answer: f64 = (0..3).map(|n| x[3 * sample + n] * weights[2 * n + output]).sum();
            answer + bias[output] - y[place]
        })
        .collect();
    let loss = residuals.iter().map(|residual| residual * residual).sum::<f64>() / 24.0;
    assert!((loss - result.loss).abs() < 1e-12);
    // The residuals are orthogonal to the inputs and to the constant.
    for input in 0..4 {
        for output in 0..2 {
            let along = |n: usize| if input < 3 { x[3 * n + input] } else { 1.0 };
            assert!((0..12).map(|n| residuals[2 * n + output] * along(n)).sum::<f64>().abs() < 1e-8);
        }
    }
    // A Hessian product on more samples than are taken at once: XᵀX v / n.
    let many = samples(&network, 130);
    let state = State { parameters: trainer.parameters().to_vec(), buffers: vec![] };
    let mut curvature = Curvature::new(&network, NormMode::Running, many.clone(), state).unwrap();
    let mut direction = vec![0.0; 8];
    direction[0] = 1.0;
    let product = curvature.hessian_product(&direction).unwrap();
    let x = many.inputs.to_f64();
    for n in 0..3 {
        let wanted = (0..130).map(|sample| x[3 * sample] * x[3 * sample + n]).sum::<f64>() / 130.0;
        assert!((product[2 * n] - wanted).abs() < 1e-12 && product[2 * n + 1].abs() < 1e-12);
    }
}

#[test]
fn the_bernoulli_loss_is_right_to_second_order_even_at_zero_and_far_out() {
    fn logits<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        x * 0.0 + cx.param("z", [5], evenkeel::nn::Initial::Constant(0.0))
    }
    let model = Regression(logits as for<'g> fn(&Context<'g>, Var<'g>) -> Var<'g>);
    let network = Network::with(Box::new(model), &[5], DType::F64, Loss::Bernoulli, NormSettings::default()).unwrap();
    let (z, t) = ([0.0, 1.5, -40.0, 800.0, -800.0], [0.25, 1.0, 0.5, 1.0, 0.0]);
    let batch = Batch { inputs: Tensor::zeros([1, 5], DType::F64), labels: Tensor::new([1, 5], t.to_vec()).unwrap() };
    let state = State { parameters: vec![Tensor::new([5], z.to_vec()).unwrap()], buffers: vec![] };
    let mut curvature = Curvature::new(&network, NormMode::Running, batch, state).unwrap();
    let (loss, gradient) = curvature.gradient().unwrap();
    let hessian = curvature.hessian_product(&[1.0; 5]).unwrap();
    let sigmoid = |z: f64| 1.0 / (1.0 + (-z).exp());
    let softplus = |z: f64| if z > 0.0 { z + (-z).exp().ln_1p() } else { z.exp().ln_1p() };
    let wanted: f64 = z.iter().zip(t).map(|(&z, t)| softplus(z) - t * z).sum();
    assert!((loss - wanted).abs() < 1e-12 * wanted, "{loss} {wanted}");
    for n in 0..5 {
        let p = sigmoid(z[n]);
        assert!((gradient[n] - (p - t[n])).abs() < 1e-14 && (hessian[n] - p * (1.0 - p)).abs() < 1e-14);
    }
}

#[test]
fn the_loss_of_a_vae_is_its_negative_evidence_lower_bound() {
    // Nothing but biases: the code is N(μ, σ²) and the answer w z + c, whatever the input.
    let vae = Vae { widths: vec![], latent: 1, norm: NormKind::None, activation: Activation::Tanh };
    let network = Network::with(Box::new(vae), &[2], DType::F64, Loss::Squared, NormSettings::default()).unwrap();
    let paths: Vec<&str> = network.parameters().iter().map(|info| info.path.as_str()).collect();
    assert_eq!(paths, ["code.weight", "code.bias", "head.weight", "head.bias"]);
    let (mean, log_variance) = (0.7_f64, -0.4_f64);
    let (w, c) = ([1.5, -0.5], [0.2, 0.1]);
    let tensor = |shape: &[usize], values: Vec<f64>| Tensor::new(shape, values).unwrap();
    let state = State {
        parameters: vec![
            tensor(&[2, 2], vec![0.0; 4]),
            tensor(&[2], vec![mean, log_variance]),
            tensor(&[1, 2], w.to_vec()),
            tensor(&[2], c.to_vec()),
        ],
        buffers: vec![],
    };
    let x = [0.9, 0.3];
    let count = 20_000;
    let batch = Batch { inputs: tensor(&[count, 2], x.repeat(count)), labels: Tensor::zeros([count], DType::I32) };
    let divergence = 0.5 * (mean * mean + log_variance.exp() - 1.0 - log_variance);
    let distance = |z: f64| (0..2).map(|n| (w[n] * z + c[n] - x[n]).powi(2)).sum::<f64>() / 2.0;
    let (at_mean, _) =
        Curvature::new(&network, NormMode::Running, batch.first(1), state.clone()).unwrap().gradient().unwrap();
    assert!((at_mean - distance(mean) - divergence).abs() < 1e-12);
    // The mean over z of a square: that at the mean, and the variance times the square of the slope.
    let wanted = distance(mean) + 0.5 * log_variance.exp() * (w[0] * w[0] + w[1] * w[1]) + divergence;
    let mut probe = Probe::with_noise(&network, count, NormMode::Running, |trace| {
        Ok(vec![("loss".to_string(), trace.losses.mean_all())])
    })
    .unwrap();
    probe.set_noise(Noise { seed: 5, step: 0 });
    let drawn = probe.at(&batch, &state).unwrap()[0].item().unwrap();
    assert!((drawn / wanted - 1.0).abs() < 0.02, "{drawn} {wanted}");
    probe.set_noise(Noise { seed: 5, step: 1 });
    assert_ne!(probe.at(&batch, &state).unwrap()[0].item().unwrap(), drawn);
}

#[test]
fn an_autoencoder_learns_to_give_back_what_fits_its_code() {
    let model =
        Autoencoder { widths: vec![], code: 2, norm: NormKind::None, activation: Activation::Tanh, output: None };
    let network = Network::with(Box::new(model), &[4], DType::F64, Loss::Squared, NormSettings::default()).unwrap();
    // Samples in a plane.
    let rows = (0..8).flat_map(|n| {
        let (a, b) = ((n as f64).sin(), (2.0 * n as f64).cos());
        [a, b, a + b, a - b]
    });
    let inputs = Tensor::new([8, 4], rows.collect::<Vec<f64>>()).unwrap();
    let batch = Batch { labels: inputs.clone(), inputs };
    let state = network.initial_state(Initialization::Glorot, 1);
    let mut trainer = Trainer::new(&network, Sgd { momentum: 0.9, ..Sgd::PLAIN }, 8, state).unwrap();
    let result = (0..2000).map(|_| trainer.step(&batch, 0.02).unwrap()).last().unwrap();
    assert!(result.loss < 1e-10, "{result:?}");
}

#[test]
fn rows_are_read_from_the_first_to_the_last() {
    let model = RowRecurrent { cell: Cell::Lstm, widths: vec![4], classes: 3 };
    let network = Network::with(Box::new(model), &[3, 2, 2], DType::F64, Loss::CrossEntropy, NormSettings::default());
    let network = network.unwrap();
    let weight = network.parameters().iter().find(|info| info.path == "rnn1.weight_ih").unwrap();
    assert_eq!(weight.shape.to_vec(), [4, 16]);
    fn model_by_hand<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let states = cx.lstm("rnn1", x.reshape([x.shape()[0], 3, 4]), 4);
        cx.head("head", states.at(1, 2), 3)
    }
    let by_hand = Network::with(
        Box::new(model_by_hand as for<'g> fn(&Context<'g>, Var<'g>) -> Var<'g>),
        &[3, 2, 2],
        DType::F64,
        Loss::CrossEntropy,
        NormSettings::default(),
    )
    .unwrap();
    let state = network.initial_state(Initialization::Glorot, 4);
    let [a, b] = [&network, &by_hand].map(|one| {
        let samples = samples(one, 2);
        Curvature::new(one, NormMode::Running, samples, state.clone()).unwrap().gradient().unwrap()
    });
    assert_eq!(a, b);
}
