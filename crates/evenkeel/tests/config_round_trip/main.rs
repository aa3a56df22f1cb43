//! A configuration that was written reads back as itself, and the reference is true.

mod generators;

use evenkeel::config::*;
use generators::{config, model};
use proptest::prelude::*;
use std::path::Path;

fn read(text: &str) -> Config {
    match Config::resolve(Some((Path::new("run.toml"), text)), &[]) {
        Ok(config) => config,
        Err(error) => panic!("{error}\nin\n{text}"),
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
