//! Curvature against closed forms and dense matrices.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Activation, Initialization, Loss, NormKind, NormMode};
use evenkeel::curvature::{Curvature, LanczosOptions, Product};
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::models::{Mlp, ResNet, Vgg11};
use evenkeel::nn::{Context, Model, NormSettings};
use evenkeel::{Batch, Network};

fn normal(count: usize, seed: u64) -> Vec<f64> {
    let mut random = Key::new(seed, "test", 0).random();
    (0..count).map(|_| random.normal_f64()).collect()
}

fn samples(count: usize, shape: &[usize], classes: usize, seed: u64) -> Batch {
    let elements: usize = shape.iter().product();
    let mut all = vec![count];
    all.extend(shape);
    Batch {
        inputs: Tensor::from_f64(all, DType::F64, &normal(count * elements, seed)).unwrap(),
        labels: Tensor::new([count], (0..count).map(|n| ((n * 7 + 3) % classes) as i32).collect()).unwrap(),
    }
}

fn network(model: impl Model + 'static, shape: &[usize], loss: Loss) -> Network {
    Network::with(Box::new(model), shape, DType::F64, loss, NormSettings::default()).unwrap()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn close(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    let off: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    a.len() == b.len() && off.sqrt() <= tolerance * dot(b, b).sqrt().max(1e-300)
}

fn linear<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    cx.linear_without_bias("head", x, 3)
}

/// Rows of a batch's inputs.
fn rows(batch: &Batch, width: usize) -> Vec<Vec<f64>> {
    batch.inputs.to_f64().chunks_exact(width).map(<[f64]>::to_vec).collect()
}

#[test]
fn linear_regression_has_the_hessian_of_its_inputs() {
    // L = 1/2N Σ |Wᵀx − y|²: H V = (XᵀX / N) V for the weights [in, out].
    let network = network(linear, &[4], Loss::Squared);
    let batch = samples(10, &[4], 3, 1);
    let x = rows(&batch, 4);
    let state = network.initial_state(Initialization::He, 3);
    let v = normal(12, 5);
    let expected: Vec<f64> = (0..12)
        .map(|at| {
            let (row, column) = (at / 3, at % 3);
            x.iter().map(|x| x[row] * (0..4).map(|k| x[k] * v[k * 3 + column]).sum::<f64>()).sum::<f64>() / 10.0
        })
        .collect();
    let mut curvature = Curvature::new(&network, NormMode::Batch, batch, state).unwrap();
    assert!(close(&curvature.hessian_product(&v).unwrap(), &expected, 1e-13));
    assert!(close(&curvature.product(Product::GaussNewton, &v).unwrap(), &expected, 1e-13));
}

#[test]
fn logistic_regression_has_the_gradient_and_hessian_of_the_textbook() {
    // ∇ = 1/N Σ x (p − e_y)ᵀ and H v = 1/N Σ x ((diag p − p pᵀ) Vᵀ x)ᵀ.
    let network = network(linear, &[4], Loss::CrossEntropy);
    let batch = samples(11, &[4], 3, 2);
    let (x, labels) = (rows(&batch, 4), batch.labels.as_slice::<i32>().unwrap().to_vec());
    let state = network.initial_state(Initialization::Glorot, 4);
    let w = state.parameters[0].to_f64();
    let v = normal(12, 6);
    let (mut gradient, mut product, mut loss) = (vec![0.0; 12], vec![0.0; 12], 0.0);
    for (x, &label) in x.iter().zip(&labels) {
        let times = |m: &[f64]| -> Vec<f64> { (0..3).map(|c| (0..4).map(|k| x[k] * m[k * 3 + c]).sum()).collect() };
        let (z, u) = (times(&w), times(&v));
        let total: f64 = z.iter().map(|z| z.exp()).sum();
        let p: Vec<f64> = z.iter().map(|z| z.exp() / total).collect();
        loss += (total.ln() - z[label as usize]) / 11.0;
        for k in 0..4 {
            for c in 0..3 {
                gradient[k * 3 + c] += x[k] * (p[c] - f64::from(u8::from(c == label as usize))) / 11.0;
                product[k * 3 + c] += x[k] * p[c] * (u[c] - dot(&p, &u)) / 11.0;
            }
        }
    }
    let mut curvature = Curvature::new(&network, NormMode::Batch, batch, state).unwrap();
    let (found_loss, found_gradient) = curvature.gradient().unwrap();
    assert!((found_loss - loss).abs() < 1e-14);
    assert!(close(&found_gradient, &gradient, 1e-13));
    assert!(close(&curvature.hessian_product(&v).unwrap(), &product, 1e-13));
    assert!(close(&curvature.product(Product::GaussNewton, &v).unwrap(), &product, 1e-13));
}

/// The whole Hessian, a product a column.
fn dense(curvature: &mut Curvature<'_>, size: usize) -> Vec<Vec<f64>> {
    (0..size)
        .map(|column| {
            let mut unit = vec![0.0; size];
            unit[column] = 1.0;
            curvature.hessian_product(&unit).unwrap()
        })
        .collect()
}

fn small_mlp(norm: NormKind) -> Mlp {
    Mlp { widths: vec![7, 6], norm, activation: Some(Activation::Tanh), classes: 4 }
}

#[test]
fn lanczos_finds_the_top_of_the_dense_hessian() {
    for mode in [NormMode::Batch, NormMode::Running, NormMode::Frozen] {
        let network = network(small_mlp(NormKind::Batch), &[5], Loss::CrossEntropy);
        let size = network.parameter_count();
        let state = network.initial_state(Initialization::Glorot, 1);
        let mut curvature = Curvature::new(&network, mode, samples(40, &[5], 4, 3), state).unwrap();
        let columns = dense(&mut curvature, size);
        for (i, column) in columns.iter().enumerate() {
            for (j, value) in column.iter().enumerate() {
                assert!((value - columns[j][i]).abs() < 1e-12, "the Hessian is not symmetric at ({i}, {j})");
            }
        }
        let matrix = faer::Mat::from_fn(size, size, |row, column| columns[column][row]);
        let mut expected = matrix.self_adjoint_eigenvalues(faer::Side::Lower).unwrap();
        expected.reverse();
        let options = LanczosOptions { top: 5, tolerance: 1e-9, max_iterations: 300, ..LanczosOptions::default() };
        let spectrum = curvature.top_eigenvalues(&options).unwrap();
        for (pair, expected) in spectrum.eigenpairs.iter().zip(&expected) {
            assert!(pair.converged, "{mode}: residual {}", pair.residual);
            assert!(
                (pair.value - expected).abs() < 1e-9 * expected.abs().max(1.0),
                "{mode}: {} {expected}",
                pair.value
            );
        }
    }
}

#[test]
fn hessian_product_is_symmetric_for_every_layer_of_the_zoo() {
    let image = [8, 8, 3];
    let cases: Vec<(&str, Network)> = [NormKind::None, NormKind::Batch]
        .into_iter()
        .flat_map(|norm| {
            let mlp = move |activation| Mlp { widths: vec![9], norm, activation, classes: 5 };
            let activations =
                Activation::ALL.iter().map(move |&kind| ("mlp", Some(kind))).chain([("deep-linear", None)]);
            let dense = activations.map(move |(name, kind)| (name, network(mlp(kind), &image, Loss::CrossEntropy)));
            let resnet = network(ResNet { blocks: 3, norm, classes: 5 }, &image, Loss::CrossEntropy);
            let vgg = network(Vgg11 { norm, classes: 5 }, &[32, 32, 3], Loss::Squared);
            dense.chain([("resnet20", resnet), ("vgg11", vgg)])
        })
        .collect();
    for (name, network) in &cases {
        let batch = samples(2, network.input_shape(), 5, 9);
        let size = network.parameter_count();
        let (u, v) = (normal(size, 1), normal(size, 2));
        let state = network.initial_state(Initialization::He, 7);
        let mut curvature = Curvature::new(network, NormMode::Batch, batch, state).unwrap();
        for matrix in [Product::Hessian, Product::GaussNewton] {
            let (left, right) =
                (dot(&u, &curvature.product(matrix, &v).unwrap()), dot(&v, &curvature.product(matrix, &u).unwrap()));
            let scale = left.abs().max(right.abs()).max(1.0);
            assert!((left - right).abs() < 1e-9 * scale, "{name} {matrix:?}: u·Hv {left}, v·Hu {right}");
        }
    }
}

#[test]
fn a_gauss_newton_product_is_never_negative() {
    let network = network(small_mlp(NormKind::Batch), &[5], Loss::CrossEntropy);
    let state = network.initial_state(Initialization::He, 1);
    let mut curvature = Curvature::new(&network, NormMode::Batch, samples(20, &[5], 4, 3), state).unwrap();
    for seed in 0..20 {
        let v = normal(network.parameter_count(), seed);
        assert!(dot(&v, &curvature.product(Product::GaussNewton, &v).unwrap()) >= 0.0);
    }
}

#[test]
fn the_three_norm_modes_agree_on_the_loss_where_their_statistics_do_but_not_on_curvature() {
    let network = network(small_mlp(NormKind::Batch), &[5], Loss::CrossEntropy);
    let state = network.initial_state(Initialization::Glorot, 2);
    let v = normal(network.parameter_count(), 4);
    let of = |mode| {
        let mut curvature = Curvature::new(&network, mode, samples(30, &[5], 4, 8), state.clone()).unwrap();
        (curvature.gradient().unwrap().0, curvature.hessian_product(&v).unwrap())
    };
    let (batch, frozen, running) = (of(NormMode::Batch), of(NormMode::Frozen), of(NormMode::Running));
    assert!((batch.0 - frozen.0).abs() < 1e-14, "the same statistics give the same loss");
    assert!(!close(&batch.1, &frozen.1, 1e-3), "statistics that move with the parameters bend the loss differently");
    assert!((batch.0 - running.0).abs() > 1e-6, "running statistics are others");
}

#[test]
fn samples_taken_some_at_a_time_give_what_all_at_once_give() {
    // 300 samples are three chunks, the last one filled up.
    let network = network(small_mlp(NormKind::None), &[5], Loss::CrossEntropy);
    let state = network.initial_state(Initialization::Glorot, 2);
    let all = samples(300, &[5], 4, 8);
    let v = normal(network.parameter_count(), 4);
    let mut curvature = Curvature::new(&network, NormMode::Batch, all.clone(), state.clone()).unwrap();
    assert_eq!(curvature.samples(), 300);
    let (loss, gradient) = curvature.gradient().unwrap();
    let product = curvature.hessian_product(&v).unwrap();
    let (mut mean_loss, mut mean_gradient, mut mean_product) = (0.0, vec![0.0; v.len()], vec![0.0; v.len()]);
    for part in 0..3 {
        let inputs = all.inputs.to_f64()[part * 500..(part + 1) * 500].to_vec();
        let labels = all.labels.as_slice::<i32>().unwrap()[part * 100..(part + 1) * 100].to_vec();
        let batch =
            Batch { inputs: Tensor::new([100, 5], inputs).unwrap(), labels: Tensor::new([100], labels).unwrap() };
        let mut curvature = Curvature::new(&network, NormMode::Batch, batch, state.clone()).unwrap();
        let (loss, gradient) = curvature.gradient().unwrap();
        mean_loss += loss / 3.0;
        for (sum, value) in mean_gradient.iter_mut().zip(gradient) {
            *sum += value / 3.0;
        }
        for (sum, value) in mean_product.iter_mut().zip(curvature.hessian_product(&v).unwrap()) {
            *sum += value / 3.0;
        }
    }
    assert!((loss - mean_loss).abs() < 1e-13);
    assert!(close(&gradient, &mean_gradient, 1e-12) && close(&product, &mean_product, 1e-12));
}

#[test]
fn one_sample_with_batch_statistics_is_refused_with_the_layer() {
    let network = network(small_mlp(NormKind::Batch), &[5], Loss::CrossEntropy);
    let state = network.initial_state(Initialization::He, 1);
    let mut curvature = Curvature::new(&network, NormMode::Batch, samples(1, &[5], 4, 3), state).unwrap();
    let error = curvature.gradient().unwrap_err().to_string();
    assert!(error.contains("more than one value per channel") && error.contains("norm1"), "{error}");
}

#[test]
fn a_direction_of_the_wrong_length_is_refused() {
    let network = network(linear, &[4], Loss::CrossEntropy);
    let state = network.initial_state(Initialization::He, 1);
    let mut curvature = Curvature::new(&network, NormMode::Batch, samples(5, &[4], 3, 3), state).unwrap();
    assert!(curvature.hessian_product(&[1.0; 3]).is_err());
}
