//! Configurations with every setting drawn.

use evenkeel::config::*;
use proptest::prelude::*;

pub(crate) fn model() -> impl Strategy<Value = ModelSpec> {
    let widths = prop::collection::vec(1usize..=65_536, 0..8);
    (prop::sample::select(MODELS), widths).prop_map(|(name, widths)| {
        let model = ModelSpec { name, widths: Vec::new() };
        match (model.sizes(), &widths[..]) {
            // Runs of equal widths, short ones and long ones.
            (Sizes::List(least), _) if widths.len() >= least => {
                let runs = widths.iter().map(|&width| vec![width; width % 5 + 1]);
                ModelSpec { widths: runs.flatten().collect(), ..model }
            }
            (Sizes::Attention(_), &[layers, width, heads, last]) => {
                let width = heads * (width % (65_536 / heads) + 1);
                ModelSpec { widths: vec![layers % 1000 + 1, width, heads, last], ..model }
            }
            _ => model,
        }
    })
}

fn choice<T: Copy + std::fmt::Debug + 'static>(all: &'static [T]) -> impl Strategy<Value = T> {
    prop::sample::select(all)
}

fn norm() -> impl Strategy<Value = NormKind> {
    (choice(NormKind::ALL), prop::option::of(1..=usize::MAX)).prop_map(|(kind, groups)| match kind {
        NormKind::Group(_) => NormKind::Group(groups),
        NormKind::ImprovedGroup(_) => NormKind::ImprovedGroup(groups),
        kind => kind,
    })
}

fn positive() -> impl Strategy<Value = f64> {
    prop::num::f64::POSITIVE.prop_filter("above 0 and finite", |number| *number > 0.0 && number.is_finite())
}

fn initialization() -> impl Strategy<Value = Initialization> {
    (choice(Initialization::ALL), positive()).prop_map(|(rule, deviation)| match rule {
        Initialization::Normal(_) => Initialization::Normal(deviation),
        rule => rule,
    })
}

prop_compose! {
    fn top_level()(
        seed: u64,
        model in model(),
        norm in norm(),
        weight_norm in choice(WeightNorm::ALL),
        activation in choice(Activation::ALL),
        initialization in initialization(),
        initialization_scale in positive(),
        loss in choice(Loss::ALL),
        epochs in 1..=usize::MAX,
        batch_size in 1..=usize::MAX,
        (parts, label_smoothing) in (prop::option::of(1..=usize::MAX), 0.0..1.0),
        dtype in choice(Precision::ALL),
    ) -> Config {
        // Micro-batches make up the batch.
        let micro_batch_size = parts.map(|parts| batch_size / parts).filter(|&micro| micro > 0);
        let batch_size = micro_batch_size.map_or(batch_size, |micro| batch_size - batch_size % micro);
        Config {
            seed, model, norm, weight_norm, activation, initialization, initialization_scale, loss, epochs, batch_size,
            micro_batch_size, label_smoothing, dtype, ..Config::default()
        }
    }
}

prop_compose! {
    fn data()(
        // A source called "none" is as good a name as any other.
        source in prop_oneof![any::<String>(), Just("none".to_owned())],
        targets in choice(DataTargets::ALL),
        shape in prop::option::of([1..=65_536_usize, 1..=65_536, 1..=65_536].prop_map(ImageShape)),
        limit in prop::option::of(1..=usize::MAX),
        (balanced, label_noise) in (any::<bool>(), 0.0..=1.0),
        test_limit in prop::option::of(1..=usize::MAX),
        (seed, test_fraction) in (prop::option::of(any::<u64>()), 0.001..0.999),
        tokens in prop::option::of(1..=usize::MAX),
        normalize: bool,
    ) -> DataConfig {
        DataConfig { source, targets, shape, limit, balanced, label_noise, test_limit, seed, test_fraction, tokens, normalize }
    }
}

prop_compose! {
    fn augment()(
        (crop, padding, flip) in (any::<usize>(), choice(Padding::ALL), any::<bool>()),
        cutout: usize,
        mixup in prop_oneof![Just(0.0), positive()],
    ) -> AugmentConfig {
        AugmentConfig { crop, padding, flip, cutout, mixup }
    }
}

prop_compose! {
    fn init()(
        method in choice(InitMethod::ALL),
        (samples, iterations) in (2..=usize::MAX, any::<usize>()),
        (deviation, clip) in (positive(), positive()),
        translate_only: bool,
        look_ahead in prop::option::of(choice(LookAhead::ALL)),
        (learning_rate, gradient_bound) in (prop::option::of(positive()), prop::option::of(positive())),
        scale_rate in prop_oneof![Just(0.0), positive()],
        batch_size in prop::option::of(2..=usize::MAX),
        min_scale in 0.0..=1.0,
        max_scale in prop::option::of(1.0..1e9),
        overlap in choice(Overlap::ALL),
        second_moment in choice(SecondMoment::ALL),
    ) -> InitConfig {
        InitConfig {
            method, samples, deviation, translate_only, iterations, look_ahead, learning_rate, gradient_bound, scale_rate,
            batch_size, min_scale, max_scale, clip, overlap, second_moment,
        }
    }
}

prop_compose! {
    fn training()(
        optimizer in optimizer(),
        name in choice(ScheduleKind::ALL),
        step_epochs in 1..=usize::MAX,
        factor in positive(),
        final_fraction in 0.0..=1.0,
        (warmup_epochs, start_fraction, peak) in (0.0..5.0, 0.0..=1.0, 0.01..0.99),
        (batch_law, reference_batch) in (choice(BatchLaw::ALL), 1..=usize::MAX),
        (rho, adaptive) in (positive(), any::<bool>()),
    ) -> (OptimizerConfig, ScheduleConfig, SharpnessAwareConfig) {
        let schedule = ScheduleConfig {
            name, step_epochs, factor, final_fraction, warmup_epochs, start_fraction, peak, batch_law, reference_batch,
        };
        (optimizer, schedule, SharpnessAwareConfig { rho, adaptive })
    }
}

prop_compose! {
    fn entropy_sgd()(
        (variant, steps) in (choice(EntropyVariant::ALL), any::<usize>()),
        inner_rate in positive(),
        (scope, scoping) in (prop_oneof![Just(0.0), positive()], prop_oneof![Just(0.0), positive()]),
        largest_scope in prop::option::of(positive()),
        noise in prop_oneof![Just(0.0), positive()],
        newest in prop::option::of(0.001..=1.0),
    ) -> EntropySgdConfig {
        EntropySgdConfig { variant, steps, inner_rate, scope, scoping, largest_scope, noise, newest }
    }
}

prop_compose! {
    fn averaging()(name in choice(AveragingKind::ALL), decay in 0.0..1.0, start: usize) -> AveragingConfig {
        AveragingConfig { name, decay, start }
    }
}

prop_compose! {
    fn weight_rescaling()(
        (every, of) in (any::<usize>(), choice(RescalingOf::ALL)),
        length in positive(),
        parameters in "[a-z.*]{1,9}",
        rescale_state: bool,
    ) -> WeightRescalingConfig {
        WeightRescalingConfig { every, of, length, parameters, rescale_state }
    }
}

prop_compose! {
    // A learner is sgd's, and its bounds are in order.
    fn learner()(
        kind in choice(LearnerKind::ALL),
        (every, from_epoch) in (1..=usize::MAX, any::<usize>()),
        (samples, steps) in (1..=usize::MAX, 2..=usize::MAX),
        least in choice(LeastCurvature::ALL),
        (min_rate, more) in (0.001..1.0, 0.0..1e6),
    ) -> LearnerConfig {
        LearnerConfig { kind, every, from_epoch, samples, steps, least, min_rate, max_rate: min_rate + more }
    }
}

prop_compose! {
    fn optimizer()(
        (name, decays) in (choice(OptimizerKind::ALL), choice(Decays::ALL)),
        learning_rate in positive(),
        (momentum, dampening, nesterov) in (0.0..1.0, 0.0..1.0, any::<bool>()),
        weight_decay in prop_oneof![Just(0.0), positive()],
        // An epsilon of 0 in f32 is refused.
        (beta1, beta2, epsilon) in (0.0..1.0, 0.0..1.0, 1e-30..1.0),
        (smoothing, centered, sphere) in (0.0..1.0, any::<bool>(), "[a-z.*]{1,9}"),
        (delta, decay_ratio) in (positive(), positive()),
        clip in prop::option::of(positive()),
        groups in prop::collection::vec(group(), 0..3),
    ) -> OptimizerConfig {
        let groups = ParameterGroups(groups);
        OptimizerConfig {
            name, learning_rate, momentum, dampening, nesterov, weight_decay, decays, beta1, beta2, epsilon, smoothing,
            sphere, centered, delta, decay_ratio, clip, groups,
        }
    }
}

prop_compose! {
    fn group()(
        parameters in "[a-z.*]{1,9}",
        rate in positive(),
        decay in prop::option::of(positive()),
    ) -> ParameterGroup {
        ParameterGroup { parameters, rate, decay }
    }
}

prop_compose! {
    fn measuring()(
        every in prop::option::of(any::<usize>()),
        layers_every in prop::option::of(any::<usize>()),
        start_and_end: bool,
        top in 1..=usize::MAX / 2,
        more in 0..usize::MAX / 2,
        samples in 1..=usize::MAX,
        norm_mode in choice(NormMode::ALL),
        tolerance in positive(),
    ) -> MeasureConfig {
        let max_iterations = top + more;
        MeasureConfig { every, layers_every, start_and_end, top, samples, norm_mode, tolerance, max_iterations }
    }
}

prop_compose! {
    fn noise()(
        sigma in prop_oneof![Just(0.0), positive()],
        scheme in choice(NoiseScheme::ALL),
        groups in choice(NoiseGroups::ALL),
        scaling in choice(NoiseScaling::ALL),
        distribution in choice(NoiseDistribution::ALL),
        until_step in prop::option::of(any::<u64>()),
        bn_update_under_noise: bool,
    ) -> NoiseInjectionConfig {
        NoiseInjectionConfig { sigma, scheme, groups, scaling, distribution, until_step, bn_update_under_noise }
    }
}

prop_compose! {
    fn dropped()(
        rate in 0.01..1.0,
        masks in choice(DropoutMasks::ALL),
        layers in choice(DropoutLayers::ALL),
        r1 in prop_oneof![Just(-1.0), positive()],
        approximate: bool,
        r2 in prop_oneof![Just(-1.0), positive()],
        r2_masks in 0..=10_000_usize,
    ) -> DropoutConfig {
        DropoutConfig { rate, masks, layers, r1, approximate, r2, r2_masks }
    }
}

type Terms =
    (BatchEntropyConfig, GeometricComplexityConfig, SpectralConfig, FlatnessConfig, InputNoiseConfig, L2Config);

prop_compose! {
    // What is added to the objective, and noise on the inputs.
    fn terms()(
        weights in prop::array::uniform6(prop_oneof![Just(0.0), positive()]),
        (alpha, alpha_min) in (-1e9..1e9, prop_oneof![Just(0.0), positive()]),
        (probes, every) in (0..=10_000_usize, 1..=usize::MAX),
        (layers, parameters) in ("[a-z0-9.,*]{1,9}", "[a-z0-9.,*]{1,9}"),
    ) -> Terms {
        let [entropy, complexity, spectral, flatness, deviation, weight] = weights;
        (
            BatchEntropyConfig { weight: entropy, alpha, alpha_min, layers },
            GeometricComplexityConfig { weight: complexity, probes, every },
            SpectralConfig { weight: spectral },
            FlatnessConfig { weight: flatness },
            InputNoiseConfig { deviation },
            L2Config { weight, parameters },
        )
    }
}

prop_compose! {
    fn checkpoints()(
        every_epochs in 1..=usize::MAX,
        every_steps in prop::option::of(1..=usize::MAX),
        keep in 1..=usize::MAX,
        best in choice(BestBy::ALL),
    ) -> CheckpointConfig {
        CheckpointConfig { every_epochs, every_steps, keep, best }
    }
}

prop_compose! {
    pub(crate) fn config()(
        top_level in top_level(),
        (data, augment, init) in (data(), augment(), init()),
        (optimizer, schedule, sharpness_aware) in training(),
        (learner, entropy_sgd) in (learner(), entropy_sgd()),
        (averaging, weight_rescaling) in (averaging(), weight_rescaling()),
        dropout in dropped(),
        noise_injection in noise(),
        momentum in 0.0..=1.0,
        epsilon in positive(),
        cumulative: bool,
        ghost in prop::option::of(2..=usize::MAX),
        (measure, checkpoint, terms) in (measuring(), checkpoints(), terms()),
    ) -> Config {
        let (batch_entropy, geometric_complexity, spectral, flatness, input_noise, l2) = terms;
        let rule = optimizer.name;
        let kind = if rule == OptimizerKind::Sgd { learner.kind } else { LearnerKind::None };
        let averages = rule != OptimizerKind::EntropySgd && !rule.is_spherical();
        let averaging = AveragingConfig { name: if averages { averaging.name } else { AveragingKind::None }, ..averaging };
        let every = if rule.is_spherical() { 0 } else { weight_rescaling.every };
        Config {
            data,
            augment,
            init,
            optimizer,
            learner: LearnerConfig { kind, ..learner },
            schedule,
            sharpness_aware,
            entropy_sgd,
            averaging,
            weight_rescaling: WeightRescalingConfig { every, ..weight_rescaling },
            dropout,
            noise_injection,
            batch_norm: BatchNormConfig { momentum, epsilon, cumulative, ghost },
            measure,
            checkpoint,
            batch_entropy,
            geometric_complexity,
            spectral,
            flatness,
            input_noise,
            l2,
            ..top_level
        }
    }
}
