//! Killed at any moment, hundreds of times, a run ends in the same bits.
//!
//! `cargo test -p evenkeel-cli --test cli kill -- --ignored` kills a thousand times.

use super::resume::start;
use super::{Place, checkpoint, metrics};
use evenkeel::graph::random::{Key, Random};
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// A run that saves at every step and measures on the way.
const RUN: &str = "train --model mlp:8 --epochs 2 --set measure.samples=10 --set measure.every=15 \
                   --set checkpoint.every_steps=1 --set checkpoint.keep=2 --set data.test_limit=40 --threads 1";
const LAST: &str = "000044";
const STEPS: usize = 44;
/// What takes part in the state of a run, in different mixtures.
const MIXTURES: [&str; 9] = [
    "",
    "--set averaging.name=exponential --set averaging.decay=0.9 --set weight_rescaling.every=4 --set micro_batch_size=32",
    "--optimizer adam --set optimizer.clip=1 --set dropout.rate=0.3 --set checkpoint.best=test_loss",
    "--norm noisy-batch --set sharpness_aware.rho=0.05 --set schedule.name=one-cycle --set noise_injection.sigma=0.01",
    "--optimizer rmsprop --set optimizer.momentum=0.9 --set batch_entropy.weight=0.1 --set spectral.weight=0.01 \
     --set optimizer.lr=0.001",
    "--set augment.crop=1 --set augment.flip=true --set augment.cutout=2 --set augment.mixup=0.2 --set data.label_noise=0.1 \
     --set label_smoothing=0.1",
    "--set learner.kind=heavy-ball --set learner.every=1 --set learner.samples=100 --set learner.steps=6 \
     --set measure.layers_every=7",
    "--optimizer entropy-sgd --set entropy_sgd.steps=5 --set checkpoint.every_steps=2",
    "--optimizer adamw --set averaging.name=uniform --set averaging.start=9 --set optimizer.decays=weights",
];

/// A run and the same one that nobody killed.
struct Victim<'p> {
    place: &'p Place,
    arguments: &'p str,
    reference: &'p str,
    name: String,
}

impl Victim<'_> {
    /// Lets it run and kills it until it ends by itself; says how often that was.
    fn killed_to_the_end(&self, random: &mut Random) -> usize {
        let run = self.place.path(&self.name);
        let (mut kills, mut ends) = (0, 0);
        while ends < 3 {
            let arguments = match run.join("run.toml").exists() {
                true => format!("train --resume --threads 1 --out {}", self.name),
                false => format!("{} --out {}", self.arguments, self.name),
            };
            let mut child = start(self.place, &arguments);
            wait_for_a_moment(&mut child, &run, random);
            let is_done = child.try_wait().expect("a child").is_some();
            if !is_done {
                child.kill().expect("a child that can be killed");
            }
            let status = child.wait().expect("the command ends");
            let mut said = String::new();
            child.stderr.take().expect("stderr").read_to_string(&mut said).expect("UTF-8");
            // No checkpoint is passed over, and nothing is refused.
            assert!(!said.contains("warning") && !said.contains("error"), "{arguments} after {kills} kills: {said}");
            if is_done {
                // A finished run is still read, evaluated, measured and reported on: it is killed in that, too.
                assert!(status.success(), "{said}");
                ends += 1;
            } else {
                kills += 1;
            }
        }
        kills
    }

    fn assert_same(&self) {
        let (reference, run) = (self.place.path(self.reference), self.place.path(&self.name));
        assert!(checkpoint(&reference, LAST) == checkpoint(&run, LAST), "{}: another end", self.arguments);
        let state = Path::new("checkpoints").join(LAST).join("state.json");
        assert_eq!(timeless(&reference.join(&state)), timeless(&run.join(&state)));
        assert!(metrics(&reference) == metrics(&run), "{}: other metrics", self.arguments);
        for folder in ["checkpoints", "measurements", "."] {
            let [expected, got] = [self.reference, &self.name].map(|run| self.place.names(&format!("{run}/{folder}")));
            assert_eq!(expected, got, "{}: other names", self.arguments);
        }
        for name in self.place.names(&format!("{}/measurements", self.reference)) {
            let [expected, got] = [&reference, &run].map(|run| timeless(&run.join("measurements").join(&name)));
            assert_eq!(expected, got, "{name}");
        }
        assert_eq!(timeless(&reference.join("summary.json")), timeless(&run.join("summary.json")));
    }
}

/// A file without its clocks.
fn timeless(path: &Path) -> serde_json::Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    value.as_object_mut().expect("an object").remove("seconds");
    value
}

/// Bytes that a process has read and written so far: how far it is, whatever the machine does beside.
fn bytes_moved(child: &Child, run: &Path) -> u64 {
    let counted = fs::read_to_string(format!("/proc/{}/io", child.id())).unwrap_or_default();
    let number = |name: &str| counted.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok());
    match number("rchar:").zip(number("wchar:")) {
        Some((read, written)) => read + written,
        None => fs::metadata(run.join("metrics")).map_or(0, |metadata| metadata.len()),
    }
}

fn records(run: &Path) -> usize {
    fs::read(run.join("metrics")).map_or(0, |text| text.iter().filter(|byte| **byte == b'\n').count())
}

/// Waits until the process is at a moment that nobody foresees: in its start, between two steps, in a checkpoint, at its end.
fn wait_for_a_moment(child: &mut Child, run: &Path, random: &mut Random) {
    let start = Instant::now();
    // Thirty seconds are for a command that hangs; it is then killed like any other.
    let is_over =
        |child: &mut Child| child.try_wait().expect("a child").is_some() || start.elapsed() > Duration::from_secs(30);
    let before = records(run);
    if before < STEPS && random.below(4) > 0 {
        // Some steps first.
        let wanted = (before + 1 + random.below(6) as usize).min(STEPS);
        while records(run) < wanted && !is_over(child) {
            thread::sleep(Duration::from_micros(300));
        }
    }
    // And some of the bytes of the next checkpoint, of what a start reads, or, after the last step, of the report.
    let most = if before < STEPS { 10_000 << random.below(6) } else { 8_000_000 };
    let wanted = bytes_moved(child, run) + random.below(most);
    while bytes_moved(child, run) < wanted && !is_over(child) {
        thread::sleep(Duration::from_micros(50));
    }
}

fn kill_so_often(wanted: usize) {
    // What a killed process has written stays with the system, so any disk will do.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a temporary folder");
    let place = Place { dir };
    let references: Vec<(String, String)> = MIXTURES
        .iter()
        .enumerate()
        .map(|(number, mixture)| {
            let (arguments, reference) = (format!("{RUN} {mixture}"), format!("reference{number}"));
            let said = place.run(&format!("{arguments} --out {reference}"));
            assert_eq!(said.code, 0, "{}", said.err);
            (arguments, reference)
        })
        .collect();
    let (kills, runs) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while kills.load(Ordering::SeqCst) < wanted || runs.load(Ordering::SeqCst) < MIXTURES.len() {
                    let number = runs.fetch_add(1, Ordering::SeqCst);
                    let (arguments, reference) = &references[number % references.len()];
                    let victim = Victim { place: &place, arguments, reference, name: format!("run{number}") };
                    let mut random = Key::new(number as u64, "kills", 0).random();
                    kills.fetch_add(victim.killed_to_the_end(&mut random), Ordering::SeqCst);
                    victim.assert_same();
                }
            });
        }
    });
    println!("{} kills in {} runs", kills.into_inner(), runs.into_inner());
}

#[test]
fn a_run_killed_two_hundred_times_ends_in_the_same_bits() {
    kill_so_often(200);
}

#[test]
#[ignore = "takes minutes"]
fn a_run_killed_a_thousand_times_ends_in_the_same_bits() {
    kill_so_often(1_000);
}
