//! Noise that whole groups of channels share.

use super::Context;
use crate::Error;
use evenkeel_graph::Var;

/// Normal numbers, one for each group of channels of each sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNoise {
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation; at least 0.
    pub deviation: f64,
    /// Groups of channels that follow each other; they must divide the channels.
    pub groups: usize,
}

impl<'g> Context<'g> {
    /// Adds one number to all channels and positions of a group of a sample; the identity where no noise is drawn, as in an evaluation.
    ///
    /// * input and output: `[N, .., C]`
    /// * cost: `N · groups` draws
    ///
    /// Source: the code of Gunawan, Yin, Zhang 2022, arXiv 2207.01972, for the sensitivity of group normalization to noise.
    pub fn group_noise(&self, name: &str, x: Var<'g>, noise: GroupNoise) -> Var<'g> {
        let _scope = self.scope(name);
        let shape = x.shape();
        let GroupNoise { mean, deviation, groups } = noise;
        let (samples, channels) = (shape.first().copied().unwrap_or(0), shape.last().copied().unwrap_or(0));
        if shape.len() < 2
            || groups == 0
            || !channels.is_multiple_of(groups)
            || !mean.is_finite()
            || !deviation.is_finite()
            || deviation < 0.0
        {
            self.fail(
                Error::input("noise cannot be drawn for groups of channels")
                    .detail("layer", self.place())
                    .detail("expected", "groups that divide the channels, a finite mean, a deviation of at least 0")
                    .detail(
                        "got",
                        format!("{groups} groups of activations {shape}, mean {mean}, deviation {deviation}"),
                    ),
            );
            return x;
        }
        let Some(key) = self.key() else { return x };
        let drawn = self.graph().normal(key, [samples, groups], x.dtype()) * deviation + mean;
        let each = drawn.broadcast_along(vec![0, 1], &[samples, groups, channels / groups].into());
        let mut repeated = vec![1; shape.len()];
        repeated[0] = samples;
        repeated[shape.len() - 1] = channels;
        x + each.reshape(repeated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::NormMode;
    use crate::{Batch, Network, Probe};
    use evenkeel_graph::{DType, Tensor};

    fn noisy<'g>(cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let noise = GroupNoise { mean: 0.5, deviation: 1.25, groups: 2 };
        let y = cx.tap("noisy", cx.group_noise("noise", x, noise));
        cx.linear("head", y, 2)
    }

    #[test]
    fn a_group_of_a_sample_shares_one_number_and_evaluation_none() {
        let (samples, positions, channels) = (4000, 3, 6);
        let network = Network::new(noisy, &[positions, 1, channels]).unwrap();
        let batch = Batch {
            inputs: Tensor::zeros([samples, positions, 1, channels], DType::F32),
            labels: Tensor::zeros([samples], DType::I32),
        };
        let state = network.initial_state(crate::config::Initialization::He, 0);
        let quiet = Probe::taps(&network, samples, NormMode::Running).unwrap().at(&batch, &state).unwrap()[0].to_f64();
        assert!(quiet.iter().all(|value| *value == 0.0));
        let mut probe = Probe::with_noise(&network, samples, NormMode::Running, |trace| {
            Ok(trace.cx.taps().into_iter().map(|tap| (tap.path, tap.value)).collect())
        })
        .unwrap();
        let drawn = probe.at(&batch, &state).unwrap()[0].to_f64();
        let mut numbers = Vec::new();
        for sample in drawn.chunks(positions * channels) {
            let groups = [sample[0], sample[3]];
            assert!(
                sample.chunks(3).zip(groups.iter().cycle()).all(|(group, number)| group.iter().all(|x| x == number))
            );
            numbers.extend(groups);
        }
        let count = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / count;
        let deviation = (numbers.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
        // Five standard errors.
        assert!((mean - 0.5).abs() < 5.0 * 1.25 / count.sqrt(), "{mean}");
        assert!((deviation - 1.25).abs() < 5.0 * 1.25 / (2.0 * count).sqrt(), "{deviation}");
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        assert!(numbers.len() as f64 > 0.99 * count);
    }

    #[test]
    fn groups_that_do_not_divide_the_channels_are_refused() {
        let error = Network::new(noisy, &[2, 1, 5]).map(drop).unwrap_err().to_string();
        assert!(error.contains("2 groups of activations") && error.contains("noise"), "{error}");
    }
}
