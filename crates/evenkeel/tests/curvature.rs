//! Curvature against closed forms and dense matrices.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Activation, Initialization, Loss, NormKind, NormMode};
use evenkeel::curvature::{Curvature, LanczosOptions, Product, Quadrature, QuadratureOptions};
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor, Var};
use evenkeel::models::{Mlp, ResNet, Vgg};
use evenkeel::nn::{Context, Initial, Model, NormSettings};
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
        let all = curvature.all_eigenvalues(Product::Hessian).unwrap();
        assert!(close(&all, &expected, 1e-12), "{mode}");
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
            let resnet = network(ResNet { norm, classes: 5, ..ResNet::default() }, &image, Loss::CrossEntropy);
            let vgg = network(Vgg { stages: Vgg::A, norm, classes: 5 }, &[32, 32, 3], Loss::Squared);
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

#[test]
fn a_block_of_products_is_symmetric_and_equals_single_products() {
    let image = [8, 8, 3];
    let resnet = network(ResNet { classes: 5, ..ResNet::default() }, &image, Loss::CrossEntropy);
    let mlp = network(small_mlp(NormKind::Batch), &image, Loss::Squared);
    for network in [&resnet, &mlp] {
        let classes = if std::ptr::eq(network, &resnet) { 5 } else { 4 };
        let state = network.initial_state(Initialization::He, 7);
        for mode in [NormMode::Batch, NormMode::Running, NormMode::Frozen] {
            let batch = samples(3, &image, classes, 9);
            let mut curvature = Curvature::new(network, mode, batch, state.clone()).unwrap();
            let vectors: Vec<Vec<f64>> = (0..3).map(|k| normal(network.parameter_count(), k)).collect();
            let directions: Vec<&[f64]> = vectors.iter().map(Vec::as_slice).collect();
            for matrix in [Product::Hessian, Product::GaussNewton] {
                let products = curvature.products(matrix, &directions).unwrap();
                for (i, u) in vectors.iter().enumerate() {
                    assert!(close(&products[i], &curvature.product(matrix, u).unwrap(), 1e-12), "{mode} {matrix:?}");
                    for (j, v) in vectors.iter().enumerate() {
                        let (left, right) = (dot(u, &products[j]), dot(v, &products[i]));
                        let scale = left.abs().max(right.abs()).max(1.0);
                        assert!((left - right).abs() < 1e-9 * scale, "{mode} {matrix:?} ({i}, {j}): {left} {right}");
                    }
                }
                assert_eq!(products, curvature.products(matrix, &directions).unwrap(), "not bitwise the same again");
            }
        }
    }
    let mut curvature =
        Curvature::new(&mlp, NormMode::Running, samples(3, &image, 4, 9), mlp.initial_state(Initialization::He, 7))
            .unwrap();
    assert!(curvature.products(Product::Hessian, &[]).unwrap().is_empty());
}

#[test]
fn little_memory_for_kept_values_changes_nothing_but_work() {
    // 300 samples are three chunks; values of one or of two of them fit.
    let network = network(small_mlp(NormKind::Batch), &[5], Loss::CrossEntropy);
    let state = network.initial_state(Initialization::Glorot, 2);
    let v = normal(network.parameter_count(), 4);
    let of = |bytes: usize| {
        let mut curvature = Curvature::new(&network, NormMode::Running, samples(300, &[5], 4, 8), state.clone())
            .unwrap()
            .with_kept_bytes(bytes);
        let first = curvature.hessian_product(&v).unwrap();
        assert_eq!(first, curvature.hessian_product(&v).unwrap());
        (first, curvature.cost(Product::Hessian).unwrap().kept_bytes)
    };
    let (all, bytes) = of(usize::MAX);
    assert!(bytes > 0 && bytes % 3 == 0);
    for (budget, held) in [(0, bytes / 3), (bytes / 3, bytes / 3), (bytes - 1, bytes / 3 * 2), (bytes, bytes)] {
        assert_eq!(of(budget), (all.clone(), held));
    }
}

#[test]
fn a_curvature_moved_to_another_point_is_that_of_the_point() {
    let network = network(small_mlp(NormKind::Batch), &[5], Loss::CrossEntropy);
    let v = normal(network.parameter_count(), 4);
    let there = network.initial_state(Initialization::Glorot, 3);
    for mode in [NormMode::Batch, NormMode::Running, NormMode::Frozen] {
        let at = |state| Curvature::new(&network, mode, samples(20, &[5], 4, 8), state).unwrap();
        let mut moved = at(network.initial_state(Initialization::Glorot, 2));
        let before = (moved.gradient().unwrap(), moved.hessian_product(&v).unwrap());
        moved.move_to(there.clone()).unwrap();
        let mut fresh = at(there.clone());
        let after = (moved.gradient().unwrap(), moved.hessian_product(&v).unwrap());
        assert_ne!(after, before);
        assert_eq!(after, (fresh.gradient().unwrap(), fresh.hessian_product(&v).unwrap()), "{mode}");
    }
}

/// Sample `n` of a batch alone, with another label where one is given.
fn one(batch: &Batch, n: usize, label: Option<i32>) -> Batch {
    let shape = batch.inputs.shape();
    let row: usize = shape[1..].iter().product();
    let inputs = batch.inputs.to_f64()[n * row..(n + 1) * row].to_vec();
    let label = label.unwrap_or(batch.labels.as_slice::<i32>().unwrap()[n]);
    Batch {
        inputs: Tensor::new([&[1], &shape[1..]].concat(), inputs).unwrap(),
        labels: Tensor::new([1], vec![label]).unwrap(),
    }
}

#[test]
fn gradients_of_single_samples_and_their_norms_are_those_of_a_loop_over_samples() {
    let image = [8, 8, 3];
    let vgg = [32, 32, 3];
    let cases = [
        (network(small_mlp(NormKind::Batch), &image, Loss::CrossEntropy), NormMode::Running, 130),
        (network(small_mlp(NormKind::None), &image, Loss::Squared), NormMode::Batch, 3),
        (network(ResNet { classes: 4, ..ResNet::default() }, &image, Loss::CrossEntropy), NormMode::Frozen, 3),
        (
            network(ResNet { norm: NormKind::None, classes: 4, ..ResNet::default() }, &image, Loss::CrossEntropy),
            NormMode::Batch,
            2,
        ),
        (
            network(Vgg { stages: Vgg::A, norm: NormKind::None, classes: 4 }, &vgg, Loss::CrossEntropy),
            NormMode::Running,
            2,
        ),
    ];
    for (network, mode, count) in cases {
        let batch = samples(count, network.input_shape(), 4, 3);
        let state = network.initial_state(Initialization::He, 7);
        let curvature = Curvature::new(&network, mode, batch.clone(), state.clone()).unwrap();
        let gradients = curvature.sample_gradients().unwrap();
        let norms = curvature.sample_gradient_norms().unwrap();
        assert_eq!(norms.len(), count);
        // The same point with one sample has the frozen statistics of that sample, so those are compared by their mean.
        let mut mean = vec![0.0; network.parameter_count()];
        for (n, norm) in norms.iter().enumerate() {
            let found: Vec<f64> = gradients
                .iter()
                .flat_map(|stack| {
                    let elements = stack.shape().elements() / count;
                    stack.to_f64()[n * elements..(n + 1) * elements].to_vec()
                })
                .collect();
            assert!((dot(&found, &found).sqrt() - norm).abs() < 1e-11 * norm, "{norm} {}", dot(&found, &found).sqrt());
            mean.iter_mut().zip(&found).for_each(|(mean, value)| *mean += value / count as f64);
            if mode != NormMode::Frozen {
                let mut alone = Curvature::new(&network, mode, one(&batch, n, None), state.clone()).unwrap();
                assert!(close(&found, &alone.gradient().unwrap().1, 1e-12), "sample {n}");
            }
        }
        let mut curvature = curvature;
        assert!(close(&mean, &curvature.gradient().unwrap().1, 1e-12));
    }
}

#[test]
fn the_empirical_fisher_matrix_is_the_mean_of_outer_products_of_gradients() {
    let network = network(small_mlp(NormKind::Batch), &[5], Loss::CrossEntropy);
    let state = network.initial_state(Initialization::Glorot, 2);
    let mut curvature = Curvature::new(&network, NormMode::Running, samples(130, &[5], 4, 8), state).unwrap();
    let v = normal(network.parameter_count(), 4);
    let gradients = curvature.sample_gradients().unwrap();
    let mut expected = vec![0.0; v.len()];
    for n in 0..130 {
        let row = |stack: &Tensor| {
            let elements = stack.shape().elements() / 130;
            stack.to_f64()[n * elements..(n + 1) * elements].to_vec()
        };
        let gradient: Vec<f64> = gradients.iter().flat_map(row).collect();
        let along = dot(&gradient, &v) / 130.0;
        expected.iter_mut().zip(&gradient).for_each(|(sum, value)| *sum += along * value);
    }
    assert!(close(&curvature.product(Product::EmpiricalFisher, &v).unwrap(), &expected, 1e-12));
}

#[test]
fn the_fisher_matrix_is_the_expectation_over_labels_that_the_network_predicts() {
    let network = network(small_mlp(NormKind::Batch), &[5], Loss::CrossEntropy);
    let state = network.initial_state(Initialization::Glorot, 2);
    let batch = samples(6, &[5], 4, 8);
    let v = normal(network.parameter_count(), 4);
    let mut curvature = Curvature::new(&network, NormMode::Running, batch.clone(), state.clone()).unwrap();
    let logits = curvature.logits().unwrap().to_f64();
    let mut expected = vec![0.0; v.len()];
    for (n, z) in logits.chunks_exact(4).enumerate() {
        let total: f64 = z.iter().map(|z| z.exp()).sum();
        for (label, z) in z.iter().enumerate() {
            let alone = one(&batch, n, Some(label as i32));
            let mut alone = Curvature::new(&network, NormMode::Running, alone, state.clone()).unwrap();
            let gradient = alone.gradient().unwrap().1;
            let weight = z.exp() / total / 6.0 * dot(&gradient, &v);
            expected.iter_mut().zip(&gradient).for_each(|(sum, value)| *sum += weight * value);
        }
    }
    assert!(close(&curvature.product(Product::FISHER, &v).unwrap(), &expected, 1e-12));
}

#[test]
fn gradients_of_single_samples_are_refused_where_samples_depend_on_each_other() {
    let network = network(small_mlp(NormKind::Batch), &[5], Loss::CrossEntropy);
    let state = network.initial_state(Initialization::He, 1);
    let mut curvature = Curvature::new(&network, NormMode::Batch, samples(5, &[5], 4, 3), state).unwrap();
    let v = vec![1.0; network.parameter_count()];
    let refused = [
        curvature.sample_gradients().unwrap_err().to_string(),
        curvature.sample_gradient_norms().unwrap_err().to_string(),
        curvature.product(Product::EmpiricalFisher, &v).unwrap_err().to_string(),
    ];
    assert!(refused.iter().all(|error| error.contains("depends on all samples")), "{refused:?}");
}

#[test]
fn a_parameter_that_the_loss_does_not_read_has_a_product_of_zero() {
    fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.param("unused", [3], Initial::Constant(1.0));
        linear(cx, x)
    }
    let network = network(model, &[4], Loss::CrossEntropy);
    let state = network.initial_state(Initialization::He, 1);
    for count in [5, 130] {
        let batch = samples(count, &[4], 3, 3);
        let mut curvature = Curvature::new(&network, NormMode::Batch, batch, state.clone()).unwrap();
        let v = normal(network.parameter_count(), 2);
        for matrix in [Product::Hessian, Product::GaussNewton, Product::EmpiricalFisher] {
            let product = curvature.product(matrix, &v).unwrap();
            assert_eq!(product[..3], [0.0; 3]);
            assert!(dot(&product, &product) > 0.0);
            let block = curvature.products(matrix, &[&v, &v]).unwrap();
            assert!(block.iter().all(|found| found[..3] == [0.0; 3] && close(found, &product, 1e-13)));
        }
    }
}

#[test]
fn the_mean_over_batches_has_the_loss_gradient_and_products_that_their_means_are() {
    let network = network(small_mlp(NormKind::Batch), &[2, 2, 1], Loss::CrossEntropy);
    let batch = samples(12, &[2, 2, 1], 3, 5);
    let state = network.initial_state(Initialization::He, 2);
    let v = normal(network.parameter_count(), 3);
    for mode in [NormMode::Batch, NormMode::Running] {
        let mut whole = Curvature::in_batches(&network, mode, batch.clone(), state.clone(), 4).unwrap();
        for matrix in [Product::Hessian, Product::GaussNewton] {
            let mut each = vec![];
            whole.batch_products(matrix, &v, &mut |product| each.push(product.to_vec())).unwrap();
            let mut mean = vec![0.0; v.len()];
            let (mut loss, mut gradient) = (0.0, vec![0.0; v.len()]);
            for (start, product) in (0u32..).step_by(4).zip(&each) {
                let part = batch.take(&[start, start + 1, start + 2, start + 3]).unwrap();
                let mut alone = Curvature::new(&network, mode, part, state.clone()).unwrap();
                assert!(close(product, &alone.product(matrix, &v).unwrap(), 1e-12), "{mode} {matrix:?}");
                mean.iter_mut().zip(product).for_each(|(mean, value)| *mean += value / 3.0);
                let (one, slope) = alone.gradient().unwrap();
                loss += one / 3.0;
                gradient.iter_mut().zip(slope).for_each(|(sum, value)| *sum += value / 3.0);
            }
            assert_eq!(each.len(), 3);
            assert!(close(&whole.product(matrix, &v).unwrap(), &mean, 1e-12), "{mode} {matrix:?}");
            let (found, slope) = whole.gradient().unwrap();
            assert!((found - loss).abs() < 1e-12 && close(&slope, &gradient, 1e-12));
        }
    }
    for wrong in [0, 5] {
        assert!(Curvature::in_batches(&network, NormMode::Batch, batch.clone(), state.clone(), wrong).is_err());
    }
}

#[test]
fn a_curvature_moved_to_other_samples_is_that_of_those_samples() {
    let network = network(small_mlp(NormKind::Batch), &[2, 2, 1], Loss::CrossEntropy);
    let (batch, other) = (samples(130, &[2, 2, 1], 3, 5), samples(130, &[2, 2, 1], 3, 6));
    let state = network.initial_state(Initialization::He, 2);
    let v = normal(network.parameter_count(), 3);
    for mode in [NormMode::Batch, NormMode::Running, NormMode::Frozen] {
        let of = |samples: &Batch| Curvature::new(&network, mode, samples.clone(), state.clone()).unwrap();
        let mut moved = of(&batch);
        let (before, wanted) = (moved.hessian_product(&v).unwrap(), of(&other).hessian_product(&v).unwrap());
        moved.move_to_samples(other.clone()).unwrap();
        assert_ne!(before, wanted);
        assert_eq!(moved.hessian_product(&v).unwrap(), wanted, "{mode}");
        assert_eq!(moved.gradient().unwrap(), of(&other).gradient().unwrap(), "{mode}");
        assert!(moved.move_to_samples(other.first(129)).is_err());
    }
}

#[test]
fn the_noise_of_curvature_is_the_variance_of_the_entries_of_single_samples_matrices() {
    let network = network(small_mlp(NormKind::None), &[2, 2, 1], Loss::CrossEntropy);
    let (count, size) = (6, network.parameter_count());
    let batch = samples(count, &[2, 2, 1], 3, 5);
    let state = network.initial_state(Initialization::He, 2);
    for matrix in [Product::Hessian, Product::GaussNewton] {
        let each: Vec<Vec<Vec<f64>>> = (0..count)
            .map(|n| {
                let sample = one(&batch, n, None);
                let mut alone = Curvature::new(&network, NormMode::Running, sample, state.clone()).unwrap();
                let unit = |k: usize| (0..size).map(|n| f64::from(u8::from(n == k))).collect::<Vec<f64>>();
                (0..size).map(|k| alone.product(matrix, &unit(k)).unwrap()).collect()
            })
            .collect();
        let mut variances = 0.0;
        for row in 0..size {
            for column in 0..size {
                let entries: Vec<f64> = each.iter().map(|matrix| matrix[row][column]).collect();
                let mean = entries.iter().sum::<f64>() / count as f64;
                variances += entries.iter().map(|entry| (entry - mean).powi(2)).sum::<f64>() / (count as f64 - 1.0);
            }
        }
        let wanted = variances / size as f64;
        let mut singly = Curvature::in_batches(&network, NormMode::Running, batch.clone(), state.clone(), 1).unwrap();
        let found = singly.noise(matrix, 400, 1).unwrap();
        let apart = (found.scale - wanted).abs();
        assert!(
            apart < 4.0 * found.standard_error && found.standard_error < 0.1 * wanted,
            "{matrix:?}: {found:?} {wanted}"
        );
        let noise = found.of_batch(size, 2, count).unwrap();
        assert!((noise.radius().powi(2) - found.scale * (0.5 - 1.0 / 6.0)).abs() < 1e-12 * found.scale);
    }
}

#[test]
fn a_quadrature_of_the_hessian_has_its_moments_and_stays_inside_its_spectrum() {
    let network = network(small_mlp(NormKind::Batch), &[2, 2, 1], Loss::CrossEntropy);
    let batch = samples(12, &[2, 2, 1], 3, 5);
    let mut curvature =
        Curvature::new(&network, NormMode::Batch, batch, network.initial_state(Initialization::He, 2)).unwrap();
    let start = normal(network.parameter_count(), 4);
    let options = QuadratureOptions { steps: 8, ..QuadratureOptions::default() };
    let found = Quadrature::along(&mut curvature.operator_of(Product::Hessian), start.clone(), &options).unwrap();
    let product = curvature.hessian_product(&start).unwrap();
    let square = dot(&start, &start);
    assert!((found.moment(1) - dot(&start, &product) / square).abs() < 1e-12 * found.nodes[0]);
    assert!((found.moment(2) - dot(&product, &product) / square).abs() < 1e-12 * found.nodes[0].powi(2));
    let top = LanczosOptions { tolerance: 1e-10, ..LanczosOptions::default() };
    let top = curvature.top_eigenvalues(&top).unwrap().eigenpairs[0].value;
    assert!(found.nodes[0] <= top * (1.0 + 1e-12) && found.nodes[0] > 0.5 * top);
}
