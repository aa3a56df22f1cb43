//! A configuration that was written reads back as itself, and the reference is true.

use evenkeel::config::*;
use proptest::prelude::*;
use std::path::Path;

fn read(text: &str) -> Config {
    match Config::resolve(Some((Path::new("run.toml"), text)), &[]) {
        Ok(config) => config,
        Err(error) => panic!("{error}\nin\n{text}"),
    }
}

fn model() -> impl Strategy<Value = ModelSpec> {
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
    fn config()(
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
        measure in measuring(),
        checkpoint in checkpoints(),
    ) -> Config {
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
            ..top_level
        }
    }
}

proptest! {
    #[test]
    fn a_written_configuration_reads_back_as_an_equal_one(config in config()) {
        let text = config.to_toml();
        prop_assert_eq!(read(&text), config, "{}", text);
    }

    #[test]
    fn a_model_prints_as_it_was_read(model in model()) {
        prop_assert_eq!(model.to_string().parse::<ModelSpec>().unwrap(), model.clone());
        let json = serde_json::to_string(&model).unwrap();
        prop_assert_eq!(serde_json::from_str::<ModelSpec>(&json).unwrap(), model);
    }

    #[test]
    fn every_key_of_the_json_has_the_value_of_the_configuration(config in config()) {
        let json = config.to_json();
        prop_assert_eq!(&json["version"], env!("CARGO_PKG_VERSION"));
        prop_assert_eq!(&json["model"], &config.model.to_string());
        prop_assert_eq!(&json["seed"], config.seed);
        prop_assert_eq!(&json["measure"]["norm_mode"], config.measure.norm_mode.word());
        for key in KEYS {
            let pointer = format!("/{}", key.path.replace('.', "/"));
            prop_assert!(json.pointer(&pointer).is_some(), "{} is missing", key.path);
        }
    }
}

#[test]
fn an_empty_file_and_no_file_give_the_defaults() {
    assert_eq!(read(""), Config::default());
    assert_eq!(Config::resolve(None, &[]).unwrap(), Config::default());
}

#[test]
fn the_reference_is_a_file_of_defaults_that_names_every_setting() {
    let reference = reference();
    assert_eq!(read(&reference), Config::default());
    for key in KEYS {
        assert!(reference.contains(&format!("{} =", key.name)), "{}", key.path);
    }
}

#[test]
fn every_alias_sets_what_its_name_sets() {
    for key in KEYS {
        for alias in key.aliases {
            let value = key.default().unwrap();
            let path = key.path.replace(key.name, alias);
            assert_eq!(
                Config::resolve(None, &[Override::flag("--x", path, value)]).unwrap(),
                Config::default(),
                "{alias}"
            );
        }
    }
}

#[test]
fn the_defaults_are_written_in_a_fixed_order() {
    insta::assert_snapshot!(Config::default().to_toml().replace(env!("CARGO_PKG_VERSION"), "0.0.0"), @r#"
    version = "0.0.0"
    seed = 0
    model = "mlp"
    norm = "batch"
    weight_norm = "none"
    activation = "relu"
    initialization = "he"
    initialization_scale = 1.0
    loss = "cross-entropy"
    epochs = 20
    batch_size = 64
    label_smoothing = 0.0
    dtype = "f32"

    [data]
    source = "digits"
    targets = "classes"
    balanced = false
    label_noise = 0.0
    test_fraction = 0.2
    normalize = true

    [augment]
    crop = 0
    padding = "zero"
    flip = false
    cutout = 0
    mixup = 0.0

    [init]
    method = "none"
    samples = 500
    deviation = 1.0
    translate_only = false
    iterations = 390
    scale_rate = 0.01
    min_scale = 0.01
    clip = 1.0
    overlap = "half"
    second_moment = "shared"

    [optimizer]
    name = "sgd"
    learning_rate = 0.1
    momentum = 0.9
    dampening = 0.0
    nesterov = false
    weight_decay = 0.0
    decays = "all"
    beta1 = 0.9
    beta2 = 0.999
    epsilon = 1e-8
    smoothing = 0.99
    sphere = "*"
    centered = false
    delta = 0.1
    decay_ratio = 0.1
    groups = ""

    [sharpness_aware]
    rho = 0.0
    adaptive = false

    [entropy_sgd]
    variant = "reference"
    steps = 20
    inner_rate = 0.1
    scope = 0.0001
    scoping = 0.001
    noise = 0.0001

    [averaging]
    name = "none"
    decay = 0.999
    start = 0

    [weight_rescaling]
    every = 0
    of = "units"
    length = 1.0
    parameters = "*"
    rescale_state = false

    [schedule]
    name = "cosine"
    step_epochs = 10
    factor = 0.1
    final_fraction = 0.0
    warmup_epochs = 0.0
    start_fraction = 0.04
    peak = 0.3
    batch_law = "none"
    reference_batch = 64

    [learner]
    kind = "none"
    every = 20
    from_epoch = 0
    samples = 1024
    steps = 20
    least = "bulk-removed"
    min_rate = 1e-6
    max_rate = 1.0

    [dropout]
    rate = 0.0
    masks = "per-sample"
    layers = "all"
    r1 = 0.0
    approximate = false
    r2 = 0.0
    r2_masks = 0

    [noise_injection]
    sigma = 0.0
    scheme = "layer-cyclic"
    groups = "tensor"
    scaling = "per-group"
    distribution = "normal"
    bn_update_under_noise = true

    [batch_norm]
    momentum = 0.1
    cumulative = false
    epsilon = 1e-5

    [batch_entropy]
    weight = 0.0
    alpha = 0.5
    alpha_min = 0.2
    layers = "outputs"

    [measure]
    start_and_end = true
    top = 1
    samples = 500
    norm_mode = "batch"
    tolerance = 0.001
    max_iterations = 100

    [geometric_complexity]
    weight = 0.0
    probes = 1
    every = 1

    [spectral]
    weight = 0.0

    [flatness]
    weight = 0.0

    [input_noise]
    deviation = 0.0

    [l2]
    weight = 0.0
    parameters = "*"

    [checkpoint]
    every_epochs = 1
    keep = 3
    best = "auto"
    "#);
}

#[test]
fn a_flag_beats_the_file_and_set_beats_a_flag_in_any_order() {
    let text = "epochs = 1\nbatch_size = 1\nseed = 1\n";
    let overrides = [
        Override::set("epochs=4").unwrap(),
        Override::flag("--epochs", "epochs", 2),
        Override::set("epochs = 3").unwrap(),
        Override::flag("--batch-size", "batch_size", 2),
    ];
    let config = Config::resolve(Some((Path::new("run.toml"), text)), &overrides).unwrap();
    assert_eq!((config.epochs, config.batch_size, config.seed), (3, 2, 1));
}

#[test]
fn set_takes_toml_and_bare_words() {
    let set = |argument| Config::resolve(None, &[Override::set(argument).unwrap()]).unwrap();
    assert_eq!(set("norm=none").norm, NormKind::None);
    assert_eq!(set("norm=\"none\"").norm, NormKind::None);
    assert_eq!(set("data.limit=10_000").data.limit, Some(10_000));
    assert_eq!(set("data.source=mnist:a=b").data.source, "mnist:a=b");
    assert_eq!(set("data.source=2020-01-01").data.source, "2020-01-01");
    assert!(!set("data.normalize=false").data.normalize);
    assert_eq!(set("optimizer.lr=1").optimizer.learning_rate, 1.0);
    assert_eq!(set("initialization=glorot").initialization, Initialization::Glorot);
    assert_eq!(set("seed=18446744073709551615").seed, u64::MAX);
    assert_eq!(set("model=mlp:512-512").model.widths, [512, 512]);
}

#[test]
fn a_transformer_has_layer_norm_where_nobody_says_otherwise() {
    let of = |arguments: &[&str]| {
        let overrides: Vec<_> = arguments.iter().map(|argument| Override::set(argument).unwrap()).collect();
        Config::resolve(None, &overrides).unwrap().norm
    };
    assert_eq!(of(&["model=transformer"]), NormKind::Layer);
    assert_eq!(of(&["model=transformer", "norm=rms"]), NormKind::Rms);
    assert_eq!(of(&["norm=batch", "model=transformer"]), NormKind::Batch);
    assert_eq!(of(&["model=resnet20"]), NormKind::Batch);
}

#[test]
fn a_network_that_gives_back_its_inputs_has_loss_pixels_and_rate_for_it_where_nobody_says_otherwise() {
    let of = |settings: &[&str]| {
        let overrides: Vec<Override> =
            settings.iter().map(|text| Override::set(text).unwrap_or_else(|error| panic!("{error}"))).collect();
        let config = Config::resolve(None, &overrides).unwrap_or_else(|error| panic!("{error}"));
        (config.loss, config.data.normalize, config.optimizer.learning_rate)
    };
    assert_eq!(of(&["model=vae"]), (Loss::Bernoulli, false, 0.001));
    assert_eq!(of(&["model=autoencoder"]), (Loss::Squared, false, 0.001));
    let chosen = ["model=vae", "data.normalize=true", "loss=squared", "optimizer.lr=0.5"];
    assert_eq!(of(&chosen), (Loss::Squared, true, 0.5));
    assert_eq!(of(&["model=mlp", "loss=bernoulli"]), (Loss::Bernoulli, true, 0.1));
    assert_eq!(of(&["model=vae", "data.targets=numbers"]).0, Loss::Bernoulli);
}

#[test]
fn numbers_to_be_predicted_have_the_squared_loss_and_a_rate_for_it_where_nobody_says_otherwise() {
    let resolved = |settings: &[&str]| {
        let overrides: Vec<Override> = settings.iter().map(|text| Override::set(text).unwrap()).collect();
        let config = Config::resolve(None, &overrides).unwrap();
        (config.loss, config.optimizer.learning_rate)
    };
    let loss = |settings: &[&str]| resolved(settings).0;
    assert_eq!(resolved(&["data.targets=numbers"]), (Loss::Squared, 0.01));
    assert_eq!(resolved(&["data.targets=numbers", "optimizer.name=adam", "loss=squared"]), (Loss::Squared, 0.001));
    assert_eq!(resolved(&["data.targets=numbers", "model=vae", "optimizer.lr=0.5"]), (Loss::Bernoulli, 0.5));
    assert_eq!(loss(&["data.targets=numbers", "loss=bernoulli"]), Loss::Bernoulli);
    assert_eq!(loss(&["data.targets=numbers", "loss=cross-entropy"]), Loss::CrossEntropy);
    assert_eq!(loss(&["data.targets=classes"]), Loss::CrossEntropy);
}

#[test]
fn none_takes_back_a_limit_that_the_file_sets() {
    let file = Some((Path::new("run.toml"), "[data]\nlimit = 5\n"));
    assert_eq!(Config::resolve(file, &[]).unwrap().data.limit, Some(5));
    assert_eq!(Config::resolve(file, &[Override::set("data.limit=none").unwrap()]).unwrap().data.limit, None);
}

#[test]
fn the_version_of_a_file_is_read_past() {
    assert_eq!(read("version = \"99.0.0\"\nepochs = 3\n").epochs, 3);
}
