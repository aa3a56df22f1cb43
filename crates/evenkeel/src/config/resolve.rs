//! Defaults, file, flags and `--set` become one configuration, or one error with its place.

use super::choice::{AveragingKind, DataTargets, EntropyVariant, LearnerKind, Loss, OptimizerKind, Precision};
use super::excerpt;
use super::fault::{Culprit, Fault, Shown};
use super::lookup::{self, CHANGES, VERSION};
use super::table::{Config, EntropySgdConfig, Key};
use crate::{Error, Result};
use std::borrow::Cow;
use std::fmt;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A setting given on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Which setting, with dots: `optimizer.learning_rate`.
    pub key: String,
    /// The value as it was typed: a TOML value, or else a bare word.
    pub value: String,
    /// Where it was typed, for messages: `--lr`, `--set optimizer.lr`.
    pub origin: String,
}

impl Override {
    /// A flag with a setting of its own, such as `--lr 0.1`.
    pub fn flag(origin: impl Into<String>, key: impl Into<String>, value: impl fmt::Display) -> Self {
        Override { key: key.into(), value: value.to_string(), origin: origin.into() }
    }

    /// The argument of `--set`: `path.key=value`.
    ///
    /// # Errors
    /// When there is no `=`, or no key before it.
    pub fn set(argument: &str) -> Result<Self> {
        let example = "write it as in `--set optimizer.lr=0.05`";
        let fault = match argument.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                let key = key.trim();
                return Ok(Override { key: key.into(), value: value.trim().into(), origin: format!("--set {key}") });
            }
            Some(_) => Fault::value("--set has no key before the '='", "a key is missing in front").hint(example),
            None => Fault::value("--set needs a key and a value", "'=' and a value are missing").hint(example),
        };
        Err(Place::Argument { origin: "--set", text: argument }.error(fault))
    }

    fn is_set(&self) -> bool {
        self.origin.starts_with("--set")
    }
}

/// Where a key and its value were written.
#[derive(Clone)]
enum Place<'a> {
    File { path: &'a Path, text: &'a str, key: std::ops::Range<usize>, value: std::ops::Range<usize> },
    Flag(&'a Override),
    Argument { origin: &'a str, text: &'a str },
}

impl Place<'_> {
    fn error(&self, fault: Fault) -> Error {
        let excerpt = match (self, fault.culprit) {
            (Place::File { path, text, key, .. }, Culprit::Key) => {
                excerpt::of_file(path, text, key.clone(), &fault.help)
            }
            (Place::File { path, text, value, .. }, Culprit::Value) => {
                excerpt::of_file(path, text, value.clone(), &fault.help)
            }
            (Place::Flag(flag), Culprit::Key) => excerpt::of_flag(&flag.origin, &flag.key, &fault.help),
            (Place::Flag(flag), Culprit::Value) => excerpt::of_flag(&flag.origin, &flag.value, &fault.help),
            (Place::Argument { origin, text }, _) => excerpt::of_flag(origin, text, &fault.help),
        };
        let error = Error::input(fault.what).excerpt(excerpt);
        match fault.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

/// The learning rate of a network that gives back its inputs, where nobody says otherwise.
const RECONSTRUCTION_RATE: f64 = 1e-3;

/// The rate of sgd for numbers to be predicted: slopes of the squared loss grow with the error, those of cross-entropy do not.
const REGRESSION_RATE: f64 = 0.01;

/// A configuration in the making, with the place every setting came from, oldest first.
#[derive(Default)]
struct Resolver<'a> {
    config: Config,
    history: Vec<(&'static Key, Place<'a>)>,
}

impl Config {
    /// The configuration of a run: the defaults, changed by the file, then by flags, then by `--set`, each in the order given.
    ///
    /// `file` is the path (for messages only) and the text. An override counts as `--set` when its origin begins so. An optional setting
    /// that the file sets is taken back by the value `none`. The keys `version` and `changes` of a file are read past.
    ///
    /// # Errors
    /// The first key that is unknown or set twice, the first value of the wrong type or outside its range, and text that is no TOML,
    /// each with its place.
    pub fn resolve(file: Option<(&Path, &str)>, overrides: &[Override]) -> Result<Config> {
        let mut resolver = Resolver::default();
        if let Some((path, text)) = file {
            resolver.file(path, text)?;
        }
        let (set, flags): (Vec<_>, Vec<_>) = overrides.iter().partition(|given| given.is_set());
        for given in flags.into_iter().chain(set) {
            resolver.flag(given)?;
        }
        resolver.check_together()?;
        resolver.complete();
        Ok(resolver.config)
    }
}

impl<'a> Resolver<'a> {
    fn file(&mut self, path: &'a Path, text: &'a str) -> Result<()> {
        let table = DeTable::parse(text).map_err(|error| syntax_error(path, text, &error))?;
        for (key, value) in table.get_ref() {
            let name = key.get_ref().as_ref();
            let place = place_in(path, text, key, value);
            if name == VERSION || name == CHANGES {
                continue;
            }
            if !lookup::is_section(name) {
                self.file_entry(lookup::find("", name), name, value, place)?;
                continue;
            }
            let Some(inner) = value.get_ref().as_table() else {
                return Err(place.error(lookup::is_a_section(name, value.get_ref().is_str())));
            };
            for (key, value) in inner {
                let inner_name = key.get_ref().as_ref();
                let place = place_in(path, text, key, value);
                self.file_entry(lookup::find(name, inner_name), &format!("{name}.{inner_name}"), value, place)?;
            }
        }
        Ok(())
    }

    fn file_entry(
        &mut self,
        key: Option<&'static Key>,
        written: &str,
        value: &Spanned<DeValue<'_>>,
        place: Place<'a>,
    ) -> Result<()> {
        let key = key.ok_or_else(|| place.error(lookup::unknown(written)))?;
        // TOML itself refuses the same name twice; this is a name and its alias.
        if self.history.iter().any(|(earlier, _)| std::ptr::eq(*earlier, key)) {
            let names = [key.name].iter().chain(key.aliases).copied().collect::<Vec<_>>().join("' and '");
            let help = format!("'{names}' are the same setting; keep one");
            return Err(place.error(Fault::key(format!("{} is set twice", key.path), help)));
        }
        self.assign(key, value.get_ref(), place)
    }

    fn flag(&mut self, given: &'a Override) -> Result<()> {
        let place = Place::Flag(given);
        let (section, name) = given.key.rsplit_once('.').unwrap_or(("", &given.key));
        let Some(key) = lookup::find(section, name) else {
            let fault = if lookup::is_section(&given.key) {
                lookup::is_a_section(&given.key, true)
            } else {
                lookup::unknown(&given.key)
            };
            return Err(place.error(fault));
        };
        let value = if key.kind.is_quoted() { Cow::from(&given.value) } else { with_all_digits(&given.value) };
        self.assign(key, &typed_value(key, &value), place)
    }

    fn assign(&mut self, key: &'static Key, value: &DeValue<'_>, place: Place<'a>) -> Result<()> {
        (key.read)(&mut self.config, value, key).map_err(|fault| place.error(fault))?;
        self.history.push((key, place));
        Ok(())
    }

    /// Defaults that depend on other settings.
    fn complete(&mut self) {
        let given = |path: &str| self.history.iter().any(|(key, _)| key.path == path);
        if !given("norm") {
            self.config.norm = self.config.model.usual_norm();
        }
        let predicts_numbers = self.config.data.targets == DataTargets::Numbers;
        if !given("loss") {
            self.config.loss = match self.config.model.usual_loss() {
                Loss::CrossEntropy if predicts_numbers => Loss::Squared,
                loss => loss,
            };
        }
        if self.config.model.reconstructs() {
            // The loss is a sum over all pixels, and those are given back as they are: from 0 to 1, as probabilities have to be.
            if !given("data.normalize") {
                self.config.data.normalize = false;
            }
        }
        let reconstructs = self.config.model.reconstructs();
        let optimizer = &mut self.config.optimizer;
        if !given("optimizer.learning_rate") {
            optimizer.learning_rate = match optimizer.name {
                _ if reconstructs => RECONSTRUCTION_RATE,
                OptimizerKind::Sgd if predicts_numbers => REGRESSION_RATE,
                OptimizerKind::Sgd => optimizer.learning_rate,
                OptimizerKind::RmsProp | OptimizerKind::SphericalSgd | OptimizerKind::QuasiRmsprop => 0.01,
                // An outer step goes to the average: in the paper's form it is η γ.
                OptimizerKind::EntropySgd => match self.config.entropy_sgd {
                    EntropySgdConfig { variant: EntropyVariant::Paper, scope, .. } if scope > 0.0 => 1.0 / scope,
                    _ => 1.0,
                },
                OptimizerKind::Adam | OptimizerKind::AdamW | OptimizerKind::AdamP | OptimizerKind::Adamax => 0.001,
            };
        }
        if optimizer.name == OptimizerKind::QuasiRmsprop && !given("optimizer.smoothing") {
            // That of weight decay λ at rate h: η = √(2hλ) and 1 − β = 4hλ.
            optimizer.smoothing = (1.0 - 2.0 * optimizer.learning_rate.powi(2)).max(0.0);
        }
        if optimizer.name == OptimizerKind::AdamW && !given("optimizer.weight_decay") {
            optimizer.weight_decay = 0.01;
        }
        let plain = optimizer.name == OptimizerKind::RmsProp || self.config.learner.kind == LearnerKind::Sgd;
        if plain && !given("optimizer.momentum") {
            optimizer.momentum = 0.0;
        }
        let nesterov = optimizer.name == OptimizerKind::EntropySgd || self.config.learner.kind == LearnerKind::Nesterov;
        if nesterov && !given("optimizer.nesterov") {
            optimizer.nesterov = true;
        }
    }

    /// What no setting can know alone.
    fn check_together(&self) -> Result<()> {
        let (measure, dropout) = (&self.config.measure, &self.config.dropout);
        if measure.max_iterations < measure.top {
            let fault = Fault::value(
                "measure.max_iterations is smaller than measure.top",
                format!("{} eigenvalues need at least {} iterations", measure.top, measure.top),
            )
            .hint(format!("max_iterations is {}: raise it, or lower top", measure.max_iterations));
            return self.fault_of(&["measure.max_iterations", "measure.top"], fault);
        }
        let (batch, micro) = (self.config.batch_size, self.config.micro_batch_size);
        if micro.is_some_and(|micro| !batch.is_multiple_of(micro)) {
            let fault = Fault::value("batch_size is no multiple of micro_batch_size", format!("batch_size is {batch}"));
            return self.fault_of(&["micro_batch_size", "batch_size"], fault);
        }
        let epsilon = self.config.optimizer.epsilon;
        if self.config.dtype == Precision::F32 && epsilon as f32 == 0.0 {
            let fault = Fault::value("optimizer.epsilon is 0 in f32", "the least is about 1e-45; 1e-8 is usual");
            return self.fault_of(&["optimizer.epsilon", "dtype"], fault);
        }
        if self.config.averaging.name != AveragingKind::None && self.config.optimizer.name == OptimizerKind::EntropySgd
        {
            let fault =
                Fault::value("entropy-sgd averages by itself", "leave averaging out, or choose another optimizer");
            return self.fault_of(&["averaging.name", "optimizer.name"], fault);
        }
        let (name, averaging) = (self.config.optimizer.name, self.config.averaging.name);
        if name.is_spherical() && (averaging != AveragingKind::None || self.config.weight_rescaling.every > 0) {
            let fault = Fault::value(
                format!("{name} keeps weights at one length by itself"),
                "neither averages of them nor rescaled weights stay on the sphere",
            )
            .hint("leave averaging and weight_rescaling out, or choose another optimizer");
            return self.fault_of(&["averaging.name", "weight_rescaling.every", "optimizer.name"], fault);
        }
        let learner = &self.config.learner;
        if learner.kind != LearnerKind::None && self.config.optimizer.name != OptimizerKind::Sgd {
            let fault = Fault::value(
                format!(
                    "learner.kind sets rate and momentum of sgd, and the optimizer is {}",
                    self.config.optimizer.name
                ),
                "the rules are those of gradient descent with momentum",
            )
            .hint("use `--optimizer sgd`, or `--set learner.kind=none`");
            return self.fault_of(&["learner.kind", "optimizer.name"], fault);
        }
        if learner.min_rate > learner.max_rate {
            let fault = Fault::value(
                "learner.min_rate is above learner.max_rate",
                format!("no rate is at least {} and at most {}", learner.min_rate, learner.max_rate),
            )
            .hint("lower min_rate, or raise max_rate");
            return self.fault_of(&["learner.min_rate", "learner.max_rate"], fault);
        }
        for (path, factor) in [("dropout.r1", dropout.r1), ("dropout.r2", dropout.r2)] {
            if factor != 0.0 && dropout.rate == 0.0 {
                let fault = Fault::value(
                    format!("{path} is a penalty of dropout, and nothing is dropped"),
                    "needs dropout.rate above 0",
                )
                .hint("set dropout.rate; with dropout.masks = \"none\" it stands in the penalty alone");
                return self.fault_of(&[path], fault);
            }
        }
        Ok(())
    }

    /// The fault of some settings together, where the last of them was set.
    fn fault_of(&self, paths: &[&str], fault: Fault) -> Result<()> {
        let latest = self.history.iter().rfind(|(key, _)| paths.contains(&key.path));
        Err(match latest {
            Some((_, place)) => place.error(fault),
            None => fault.without_place(),
        })
    }
}

/// A value from the command line: TOML where it is TOML, else a bare word. What must be a text is one already.
/// A number as TOML wants it, with digits on both sides of its point: `.1` and `1.` are what people write.
fn with_all_digits(value: &str) -> Cow<'_, str> {
    let is_digit = |c: char| c.is_ascii_digit();
    match (value.strip_prefix('.'), value.strip_suffix('.')) {
        (Some(fraction), _) if fraction.starts_with(is_digit) => format!("0.{fraction}").into(),
        (_, Some(whole)) if whole.ends_with(is_digit) => format!("{whole}.0").into(),
        _ => value.into(),
    }
}

fn typed_value<'v>(key: &Key, value: &'v str) -> DeValue<'v> {
    let bare = || DeValue::String(Cow::Borrowed(value));
    match DeValue::parse(value).map(Spanned::into_inner) {
        Ok(parsed) if parsed.is_str() || !key.kind.is_quoted() => parsed,
        _ => bare(),
    }
}

fn place_in<'a, K>(path: &'a Path, text: &'a str, key: &Spanned<K>, value: &Spanned<DeValue<'_>>) -> Place<'a> {
    Place::File { path, text, key: key.span(), value: value.span() }
}

fn syntax_error(path: &Path, text: &str, error: &toml::de::Error) -> Error {
    let span = error.span();
    let written = span.clone().and_then(|span| text.get(span)).unwrap_or_default();
    let (what, help) = match error.message() {
        "duplicate key" => (format!("'{}' is set twice", Shown(written)), "it is already set above; keep one".into()),
        message => (String::from("the configuration is not valid TOML"), syntax_help(message, written)),
    };
    let excerpt = match span {
        Some(span) => excerpt::of_file(path, text, span, &help),
        None => excerpt::of_whole_file(path, &help),
    };
    Error::input(what).excerpt(excerpt)
}

/// The parser's words, or better ones for the two commonest slips: a word without quotes, and nothing after the `=`.
fn syntax_help(message: &str, written: &str) -> String {
    match (message.starts_with("string values must be quoted"), written.trim()) {
        (true, "") => "a value is missing".into(),
        (true, word) => format!("a text needs quotes: \"{}\"", Shown(word)),
        (false, _) => message.trim_end_matches(", expected nothing").replace('\n', " "),
    }
}
