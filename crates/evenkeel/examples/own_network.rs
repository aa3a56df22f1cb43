//! A network of one's own: trained, its gradient and a Hessian product taken, the top of its spectrum found.
//!
//! `cargo run --release -p evenkeel --example own_network`

use evenkeel::config::{Initialization, NormMode};
use evenkeel::curvature::{Curvature, LanczosOptions};
use evenkeel::data::{self, LoadOptions};
use evenkeel::graph::{Tensor, Var};
use evenkeel::nn::Context;
use evenkeel::optim::Sgd;
use evenkeel::train::Trainer;
use evenkeel::{Batch, Network, Result};

/// Two layers with batch norm and tanh: all there is to write.
fn model<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
    let hidden = cx.batch_norm("norm1", cx.linear("fc1", x, 32)).tanh();
    cx.linear("head", hidden, 10)
}

fn main() -> Result<()> {
    let network = Network::new(model, &[8, 8, 1])?;
    let digits = data::load(&"digits".parse()?, &LoadOptions::default())?;

    let sgd = Sgd { momentum: 0.9, ..Sgd::PLAIN };
    let mut trainer = Trainer::new(&network, sgd, 64, network.initial_state(Initialization::Glorot, 0))?;
    for epoch in 0..5 {
        let order = data::epoch_order(0, epoch, digits.train.len());
        for indices in order.chunks_exact(64) {
            let result = trainer.step(&batch(&digits, indices)?, 0.05)?;
            if indices.as_ptr() == order.as_ptr() {
                println!("epoch {epoch}: loss {:.4}, gradient norm {:.3}", result.loss, result.gradient_norm);
            }
        }
    }

    let samples: Vec<u32> = (0..300).collect();
    let mut curvature = Curvature::new(&network, NormMode::Batch, batch(&digits, &samples)?, trainer.state())?;
    let (loss, gradient) = curvature.gradient()?;
    let product = curvature.hessian_product(&gradient)?;
    let spectrum = curvature.top_eigenvalues(&LanczosOptions { top: 3, ..LanczosOptions::default() })?;
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    println!(
        "loss {loss:.5}, curvature along the gradient {:.3}",
        dot(&gradient, &product) / dot(&gradient, &gradient)
    );
    for pair in &spectrum.eigenpairs {
        println!("eigenvalue {:.4}, residual {:.1e}", pair.value, pair.residual);
    }
    Ok(())
}

fn batch(digits: &data::Dataset, indices: &[u32]) -> Result<Batch> {
    let (mut pixels, mut labels) = (vec![0.0f32; indices.len() * 64], vec![0; indices.len()]);
    digits.train.batch(indices, &digits.normalization, &mut pixels, &mut labels)?;
    let inputs = Tensor::new([indices.len(), 8, 8, 1], pixels);
    let labels = Tensor::new([indices.len()], labels);
    inputs
        .zip(labels)
        .map(|(inputs, labels)| Batch { inputs, labels })
        .ok_or(evenkeel::Error::input("wrong batch size"))
}
