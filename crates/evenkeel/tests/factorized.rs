//! Predictors that are products of parameters: what noise in their parameters costs, against its closed forms.
#![allow(clippy::unwrap_used)]

use evenkeel::config::{Loss, NormMode};
use evenkeel::graph::random::Key;
use evenkeel::graph::{DType, Tensor};
use evenkeel::models::{DiagonalNet, FactorizedLinear, GroupFactorNet, SecondMoment};
use evenkeel::nn::{Model, NormSettings};
use evenkeel::{Batch, Network, Probe, State};

const SAMPLES: usize = 7;
const SIGMA: f64 = 0.3;
/// Gauss-Hermite with three nodes, exact for a polynomial of degree five in each number: no loss here goes beyond four.
const NODES: [(f64, f64); 3] =
    [(-1.732_050_807_568_877_2, 1.0 / 6.0), (0.0, 2.0 / 3.0), (1.732_050_807_568_877_2, 1.0 / 6.0)];

fn normal(stream: &str, count: usize) -> Vec<f64> {
    let mut random = Key::new(7, stream, 0).random();
    (0..count).map(|_| random.normal_f64()).collect()
}

/// A network on drawn samples, and its loss at any parameters.
struct Problem {
    network: Network,
    probe: Probe,
    batch: Batch,
    parameters: Vec<Vec<f64>>,
}

impl Problem {
    fn new(model: impl Model + 'static, inputs: usize) -> Problem {
        let network =
            Network::with(Box::new(model), &[inputs], DType::F64, Loss::Squared, NormSettings::default()).unwrap();
        let outputs = network.labels().0.elements();
        let batch = Batch {
            inputs: Tensor::new([SAMPLES, inputs], normal("x", SAMPLES * inputs)).unwrap(),
            labels: Tensor::new([SAMPLES, outputs], normal("y", SAMPLES * outputs)).unwrap(),
        };
        let probe = Probe::new(&network, SAMPLES, NormMode::Running, |trace| {
            Ok(vec![("loss".to_string(), trace.losses.mean_all())])
        })
        .unwrap();
        let parameters = network.parameters().iter().map(|info| normal(&info.path, info.shape.elements())).collect();
        Problem { network, probe, batch, parameters }
    }

    fn moment(&self) -> SecondMoment {
        SecondMoment::of(&self.batch.inputs).unwrap()
    }

    fn loss(&mut self, parameters: &[Vec<f64>]) -> f64 {
        let infos = self.network.parameters().iter();
        let tensors = infos.zip(parameters).map(|(info, values)| Tensor::new(&info.shape, values.clone()).unwrap());
        let state = State { parameters: tensors.collect(), buffers: vec![] };
        self.probe.at(&self.batch, &state).unwrap()[0].item().unwrap()
    }

    /// By how much normal noise of deviation σ in some of the parameters raises the mean loss: exactly, over a grid of nodes.
    fn rise(&mut self, moved: &[usize]) -> f64 {
        let places: Vec<(usize, usize)> = moved
            .iter()
            .flat_map(|&index| (0..self.parameters[index].len()).map(move |place| (index, place)))
            .collect();
        let mut total = 0.0;
        for number in 0..NODES.len().pow(places.len() as u32) {
            let mut parameters = self.parameters.clone();
            let mut weight = 1.0;
            let mut rest = number;
            for &(index, place) in &places {
                let (node, share) = NODES[rest % NODES.len()];
                rest /= NODES.len();
                parameters[index][place] += SIGMA * node;
                weight *= share;
            }
            total += weight * self.loss(&parameters);
        }
        total - self.loss(&self.parameters.clone())
    }
}

fn close(got: f64, wanted: f64) {
    assert!((got - wanted).abs() < 1e-11 * (1.0 + wanted.abs()), "{got} {wanted}");
}

#[test]
fn noise_in_a_diagonal_net_costs_what_the_closed_form_says() {
    let mut problem = Problem::new(DiagonalNet { initial: 1.0 }, 3);
    let moment = problem.moment();
    let [w1, w2] = [0, 1].map(|index| problem.parameters[index].clone());
    close(problem.rise(&[0, 1]), DiagonalNet::rise(&moment, &w1, &w2, SIGMA));
    // Of all factors of φ = 2 the smallest are (√2, 0).
    let root = 2f64.sqrt();
    let of = |w1: f64, w2: f64| {
        let whitened = SecondMoment::identity(1);
        DiagonalNet::rise(&whitened, &[w1], &[w2], SIGMA) - DiagonalNet::rise(&whitened, &[0.0], &[0.0], SIGMA)
    };
    close(of(root, 0.0), DiagonalNet::penalty(&SecondMoment::identity(1), &[2.0], SIGMA));
    assert!(of((2.0 + 0.1f64).sqrt(), 0.1f64.sqrt()) > of(root, 0.0));
}

#[test]
fn noise_in_a_group_factor_net_costs_what_the_closed_form_says() {
    let net = GroupFactorNet { groups: vec![2, 1], initial: 1.0 };
    let mut problem = Problem::new(net.clone(), 3);
    let moment = problem.moment();
    let [u, v] = [0, 1].map(|index| problem.parameters[index].clone());
    close(problem.rise(&[0, 1]), net.rise(&moment, &u, &v, SIGMA));
    // u v = φ at the least rise: u² tr Σ = vᵀ Σ v in each group.
    let one = GroupFactorNet { groups: vec![2], initial: 1.0 };
    let (whitened, phi) = (SecondMoment::identity(2), [3.0, 4.0]);
    let at = |u: f64| {
        one.rise(&whitened, &[u], &phi.map(|phi| phi / u), SIGMA) - one.rise(&whitened, &[0.0], &[0.0; 2], SIGMA)
    };
    let best = (5.0 / 2f64.sqrt()).sqrt();
    close(at(best), one.penalty(&whitened, &phi, SIGMA));
    assert!(at(best * 1.1) > at(best) && at(best / 1.1) > at(best));
}

#[test]
fn noise_in_a_product_of_matrices_costs_what_the_closed_forms_say() {
    let net = FactorizedLinear { width: 2, outputs: 2 };
    let mut problem = Problem::new(net.clone(), 2);
    let moment = problem.moment();
    let [w1, w2] = [0, 1].map(|index| problem.parameters[index].clone());
    close(problem.rise(&[0, 1]), net.rise(&moment, &w1, &w2, SIGMA));
    let by_factor = 0.5 * (problem.rise(&[0]) + problem.rise(&[1]));
    close(by_factor, net.rise_by_factor(&moment, &w1, &w2, SIGMA));
    // A wider net of the same coefficients and norms: each unit twice, with both its weights over √2.
    let wide = FactorizedLinear { width: 4, outputs: 2 };
    let half = 0.5f64.sqrt();
    let wide_w1: Vec<f64> = w1.chunks(2).flat_map(|row| [row, row].concat()).map(|w| w * half).collect();
    let wide_w2: Vec<f64> = [&w2[..], &w2[..]].concat().iter().map(|w| w * half).collect();
    close(wide.rise_by_factor(&moment, &wide_w1, &wide_w2, SIGMA), net.rise_by_factor(&moment, &w1, &w2, SIGMA));
    assert!(wide.rise(&moment, &wide_w1, &wide_w2, SIGMA) > net.rise(&moment, &w1, &w2, SIGMA));
    // diag(3, −2) of whitened inputs, factored evenly: the sum of singular values is 5.
    let whitened = SecondMoment::identity(2);
    let factors = |sign: f64| vec![3f64.sqrt(), 0.0, 0.0, sign * 2f64.sqrt()];
    let rise =
        net.rise(&whitened, &factors(1.0), &factors(-1.0), SIGMA) - net.rise(&whitened, &[0.0; 4], &[0.0; 4], SIGMA);
    close(rise, net.penalty(&whitened, &[3.0, 0.0, 0.0, -2.0], SIGMA).unwrap());
    close(rise, SIGMA * SIGMA * 2.0 * 5.0);
}

/// f = w₁ w₂ at (2, 3) for y = 5: the numbers of the scalar chain, worked out by hand.
#[test]
fn a_chain_of_two_numbers_costs_what_was_worked_out_by_hand() {
    let net = FactorizedLinear { width: 1, outputs: 1 };
    let moment = SecondMoment::identity(1);
    close(0.5 + net.rise(&moment, &[2.0], &[3.0], 0.1), 0.56505);
    close(0.5 + net.rise_by_factor(&moment, &[2.0], &[3.0], 0.1), 0.5325);
    close(0.5 + net.rise(&moment, &[2.0], &[3.0], 0.1 / 2f64.sqrt()), 0.532_512_5);
}

#[test]
fn groups_that_do_not_fit_are_refused() {
    let net = GroupFactorNet { groups: vec![2, 2], initial: 1.0 };
    let error = Network::with(Box::new(net), &[3], DType::F64, Loss::Squared, NormSettings::default());
    let error = error.err().unwrap().to_string();
    assert!(error.contains("do not add up") && error.contains("2 + 2"), "{error}");
    assert!(SecondMoment::of(&Tensor::zeros([0, 3], DType::F64)).is_err());
}
