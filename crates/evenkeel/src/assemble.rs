//! A network and the way it is trained, put together from settings and a model.

use crate::config::{Config, NoiseScheme, NormMode, ParameterGroup, SharpnessAwareConfig};
use crate::network::Network;
use crate::nn::{Model, NormSettings, ParameterInfo};
use crate::optim::SharpnessAware;
use crate::regularize::{self, NoiseInjection};
use crate::train::TrainerOptions;
use crate::{Error, Result, optim, pattern};
use evenkeel_graph::DType;

/// The network of a configuration: the model with its norms' settings, noise on its inputs, dropout, and the terms of the objective.
///
/// # Errors
/// When the model does not take such samples, or something of that does not fit it.
pub(crate) fn network(
    config: &Config,
    model: Box<dyn Model>,
    input_shape: &[usize],
    precision: DType,
) -> Result<Network> {
    let norm = NormSettings {
        mode: NormMode::Batch,
        momentum: config.batch_norm.momentum,
        epsilon: config.batch_norm.epsilon,
        ghost: config.batch_norm.ghost,
        cumulative: config.batch_norm.cumulative,
        weights: config.weight_norm,
    };
    let model = match config.input_noise.deviation {
        deviation if deviation > 0.0 => Box::new(regularize::InputNoise { model, deviation }),
        _ => model,
    };
    let network = Network::with(model, input_shape, precision, config.loss, norm)?;
    let network = match regularize::dropout_of(config) {
        Some(dropout) => network.with_dropout(dropout, config.dropout.layers)?,
        None => network,
    };
    network.with_terms(regularize::terms(config)?)
}

/// How a network is trained: by which rule, and with what noise in its parameters.
///
/// # Errors
/// When a group of parameters or the noise fits none of the network's.
pub(crate) fn trainer_options(config: &Config, network: &Network) -> Result<TrainerOptions> {
    let groups = &config.optimizer.groups.0;
    for (index, group) in groups.iter().enumerate() {
        let has = |group: &ParameterGroup, info: &ParameterInfo| pattern::any_matches(&group.parameters, &info.path);
        let mut parameters = network.parameters().iter().filter(|info| has(group, info)).peekable();
        let is_there = parameters.peek().is_some();
        // A parameter is that of the first group that has it.
        if is_there && parameters.all(|info| groups[..index].iter().any(|earlier| has(earlier, info))) {
            return Err(Error::input("a group of the optimizer has no parameter left: earlier groups have them all")
                .detail("key", "optimizer.groups")
                .detail("got", &group.parameters)
                .hint("put the narrower pattern first, or leave the group out"));
        }
        if !is_there {
            let some: Vec<&str> = network.parameters().iter().take(3).map(|info| info.path.as_str()).collect();
            return Err(Error::input("a group of the optimizer has no parameter of the network")
                .detail("key", "optimizer.groups")
                .detail("expected", format!("patterns of paths such as {}", some.join(", ")))
                .detail("got", &group.parameters)
                .hint("`*` stands for any text; mend the pattern, or leave the group out"));
        }
    }
    let &SharpnessAwareConfig { rho, adaptive } = &config.sharpness_aware;
    let options = TrainerOptions {
        clip: config.optimizer.clip,
        micro_batch: config.micro_batch_size.filter(|&micro| micro != config.batch_size),
        shares: config.augment.mixup > 0.0,
        sharpness_aware: (rho > 0.0).then_some(SharpnessAware { rho, adaptive }),
        ..TrainerOptions::new(optim::of_network(config, network)?)
    };
    let noise = &config.noise_injection;
    if noise.sigma == 0.0 || noise.scheme == NoiseScheme::None {
        return Ok(options);
    }
    Ok(options.perturbed(NoiseInjection::new(network, noise)?))
}
