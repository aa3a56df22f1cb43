//! Which runs does a sweep consist of, what is left of them to do, and how many fit into memory side by side?

use super::grid::{self, Axis};
use super::state::{State, refuse_other};
use crate::config::{Config, Override, Size};
use crate::experiment::Experiment;
use crate::train::{TrainingPlan, available};
use crate::{Error, ErrorKind, Result, parallel};
use std::fs;
use std::path::{Path, PathBuf};

/// The file of a sweep's base configuration.
pub(crate) const BASE: &str = "sweep.toml";

/// The most runs of a sweep.
const MOST: usize = 10_000;
/// The settings that a run may differ in from what the sweep would make of it now.
const MAY_DIFFER: &[&str] = &["memory_limit"];

/// A base configuration, what varies, and seeds.
#[derive(Clone, Debug)]
pub struct Sweep {
    base: Config,
    pub(super) axes: Vec<Axis>,
    pub(super) seeds: Vec<u64>,
    points: Vec<Point>,
}

/// One combination of values.
#[derive(Clone, Debug)]
pub(super) struct Point {
    /// The values, one an axis, as the configuration has them.
    pub(super) values: Vec<String>,
    /// The folder of its runs, in that of the sweep.
    pub(super) folder: String,
    config: Config,
}

/// A run of a sweep.
#[derive(Clone, Debug)]
pub struct Job {
    /// Which of the combinations.
    pub point: usize,
    /// Its seed.
    pub seed: u64,
    /// Its folder.
    pub dir: PathBuf,
    /// What tells it from the others, as `lr=0.1,momentum=0.9 seed=2`.
    pub name: String,
    /// Steps in all.
    pub steps: u64,
    /// How far it was when the plan was made.
    pub state: State,
    pub(super) config: Config,
}

/// A sweep in its folder: what is there, and what is left to do.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) dir: PathBuf,
    pub(super) base: Config,
    pub(super) axes: Vec<Axis>,
    pub(super) seeds: Vec<u64>,
    pub(super) points: Vec<Point>,
    /// Every run, one seed after another.
    pub jobs: Vec<Job>,
    /// Runs at a time.
    pub workers: usize,
    /// Runs at a time, had there been the memory.
    pub wanted: usize,
    /// Bytes that the runs in work at a time take at most, without measurements where there is no memory limit.
    pub peak_bytes: usize,
    /// Bytes that can be had now, as far as the system tells.
    pub available_bytes: Option<u64>,
}

impl Sweep {
    /// Resolves every combination: the file and the overrides as for a run, and the values of the grid on top. The first seed is that
    /// of the base.
    ///
    /// # Errors
    /// When a value is refused, a setting is both given and varied, two combinations are the same, or there are more than 10,000 runs.
    pub fn new(
        file: Option<(&Path, &str)>,
        overrides: &[Override],
        mut axes: Vec<Axis>,
        seeds: usize,
    ) -> Result<Sweep> {
        grid::tell_apart(&mut axes)?;
        for given in overrides {
            if let Some(axis) = axes.iter().find(|axis| axis.is_set_by(given)) {
                return Err(Error::input(format!("{} is given and varies in the grid as well", axis.key.path))
                    .detail("key", axis.key.path)
                    .detail("got", format!("{} {}", given.origin, given.value))
                    .hint("keep one of them"));
            }
        }
        let runs = grid::count(&axes).and_then(|points| points.checked_mul(seeds)).filter(|runs| *runs <= MOST);
        if runs.is_none() {
            return Err(Error::input("the grid has too many runs")
                .detail("expected", format!("at most {MOST}"))
                .hint("take fewer values or seeds"));
        }
        let base = Config::resolve(file, overrides)?;
        let seeds = (0..seeds as u64).map(|index| base.seed.wrapping_add(index)).collect();
        let mut points: Vec<Point> = Vec::new();
        for chosen in grid::combinations(&axes) {
            let all: Vec<Override> = overrides.iter().cloned().chain(chosen).collect();
            let config = Config::resolve(file, &all)?;
            let values: Vec<String> = axes.iter().map(|axis| axis.value_of(&config)).collect();
            let folder = grid::folder(&axes, &values);
            if points.iter().any(|other| other.folder == folder) {
                return Err(Error::input("two combinations of the grid are the same, or have the same folder")
                    .detail("folder", folder)
                    .hint("give each value once"));
            }
            points.push(Point { values, folder, config });
        }
        Ok(Sweep { base, axes, seeds, points })
    }

    /// A name for its folder that says what varies: `mlp-digits-by-lr-momentum`.
    pub fn name(&self) -> String {
        let source = self.base.data.source.split(':').next().unwrap_or_default();
        let fixed = [("model", self.base.model.name), ("data.source", source)];
        let varies = |path: &str| self.axes.iter().any(|axis| axis.key.path == path);
        let mut words: Vec<&str> = fixed.iter().filter(|(path, _)| !varies(path)).map(|(_, word)| *word).collect();
        words.push(if self.axes.is_empty() { "seeds" } else { "by" });
        words.extend(self.axes.iter().map(|axis| axis.name.as_str()));
        words.join("-")
    }

    /// Looks at what is in the folder, and at what the runs that are left take. Writes nothing.
    ///
    /// At most `jobs` runs go at a time, or as many as there are threads; fewer, where memory is short. A memory limit is one for all:
    /// each run has its part.
    ///
    /// # Errors
    /// When the folder holds something else, a sweep of another base or a run of other settings, and when a combination cannot be
    /// trained: data that cannot be read, a batch that cannot be filled, too little memory.
    pub fn plan(self, dir: &Path, jobs: Option<usize>) -> Result<Plan> {
        let Sweep { base, axes, seeds, points } = self;
        look_into(dir, &base, &axes)?;
        let mut runs = Vec::with_capacity(points.len() * seeds.len());
        let mut surveyed: Vec<(Config, u64)> = Vec::with_capacity(points.len());
        for &seed in &seeds {
            for (index, point) in points.iter().enumerate() {
                // Where classes are balanced, how many samples there are goes with the seed.
                if surveyed.len() == index || point.config.data.balanced {
                    let found = Experiment::survey(Config { seed, ..point.config.clone() });
                    let found = found.map_err(|error| about(error, &point.folder))?;
                    let found = (found.config.clone(), found.steps());
                    match surveyed.get_mut(index) {
                        Some(before) => *before = found,
                        None => surveyed.push(found),
                    }
                }
                let (config, steps) = &surveyed[index];
                runs.push(job(dir, index, point, Config { seed, ..config.clone() }, *steps)?);
            }
        }
        let left = runs.iter().filter(|job| !job.state.is_settled());
        let wanted = jobs.unwrap_or_else(rayon::current_num_threads).min(left.clone().count()).max(1);
        let mut to_do: Vec<usize> = left.map(|job| job.point).collect();
        to_do.sort_unstable();
        to_do.dedup();
        let available_bytes = available();
        let fit = fit(&points, &to_do, base.memory_limit, wanted, available_bytes)?;
        for job in &mut runs {
            job.config.memory_limit = fit.limit;
        }
        Ok(Plan {
            dir: dir.to_owned(),
            base,
            axes,
            seeds,
            points,
            jobs: runs,
            workers: fit.workers,
            wanted,
            peak_bytes: fit.peak_bytes,
            available_bytes,
        })
    }
}

impl Plan {
    /// The folder of the sweep.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Combinations of values.
    pub fn points(&self) -> usize {
        self.points.len()
    }

    /// The memory limit of all runs together.
    pub fn memory_limit(&self) -> Option<Size> {
        self.base.memory_limit
    }

    /// The file of the base configuration.
    pub(super) fn base_path(&self) -> PathBuf {
        base_path(&self.dir)
    }
}

fn base_path(dir: &Path) -> PathBuf {
    dir.join(BASE)
}

/// Refuses a folder that holds something else than this sweep.
fn look_into(dir: &Path, base: &Config, axes: &[Axis]) -> Result<()> {
    let file = base_path(dir);
    if file.exists() {
        // What varies has no base, and seeds have folders of their own.
        let free = axes.iter().map(|axis| axis.key.path).chain(["seed"]);
        let free: Vec<&str> = free.chain(MAY_DIFFER.iter().copied()).collect();
        let hint = "leave it as it was, or sweep into another folder with `--out DIR`";
        return refuse_other(&file, base, "the sweep in this folder was started", &free, hint);
    }
    let mut entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("look into the folder of the sweep", dir, &error)),
    };
    match entries.next() {
        None => Ok(()),
        Some(_) => Err(Error::input("the folder for the sweep is not empty, and what it holds is no sweep")
            .detail("file", dir.display())
            .detail("expected", "a new or an empty folder, or one with `sweep.toml`")
            .hint("choose another folder with `--out DIR`")),
    }
}

fn job(dir: &Path, index: usize, point: &Point, config: Config, steps: u64) -> Result<Job> {
    let seed = config.seed;
    let place = dir.join(&point.folder).join(format!("seed={seed}"));
    let state = State::of(&place, steps)?;
    if state != State::Missing {
        let hint = "move it away to have it trained anew, or sweep into another folder with `--out DIR`";
        refuse_other(&place.join("run.toml"), &config, "this run of the sweep was trained", MAY_DIFFER, hint)?;
    }
    let name = format!("{} seed={seed}", point.folder).trim_start().to_owned();
    Ok(Job { point: index, seed, dir: place, name, steps, state, config })
}

/// How many runs go side by side.
struct Fit {
    workers: usize,
    peak_bytes: usize,
    /// The memory limit of each.
    limit: Option<Size>,
}

fn fit(points: &[Point], to_do: &[usize], limit: Option<Size>, wanted: usize, available: Option<u64>) -> Result<Fit> {
    let Some(limit) = limit else {
        let mut peaks = peaks(points, to_do, None, wanted)?;
        peaks.sort_unstable_by(|a, b| b.cmp(a));
        // The largest of the points, each of which may have several seeds in work.
        let largest = |workers: usize| peaks.first().map_or(0, |most| most.saturating_mul(workers));
        let fits = |workers: &usize| available.is_none_or(|available| largest(*workers) as u64 <= available);
        let workers = (1..=wanted).rev().find(fits).unwrap_or(1);
        return Ok(Fit { workers, peak_bytes: largest(workers), limit: None });
    };
    let mut workers = wanted;
    loop {
        let part = part(limit, workers);
        match peaks(points, to_do, Some(part), wanted) {
            Err(error) if error.kind() == ErrorKind::Memory && workers > 1 => workers -= 1,
            Err(error) => return Err(error),
            Ok(_) => return Ok(Fit { workers, peak_bytes: part.bytes().saturating_mul(workers), limit: Some(part) }),
        }
    }
}

/// A part of a memory limit, in whole MiB or KiB where it has many of them.
fn part(limit: Size, of: usize) -> Size {
    let bytes = (limit.0 / of.max(1) as u64).max(1);
    let step = if bytes >= 64 << 20 { 1 << 20 } else { 1 << 10 };
    Size(if bytes > step { bytes / step * step } else { bytes })
}

/// The memory that a run of each point takes.
fn peaks(points: &[Point], to_do: &[usize], limit: Option<Size>, workers: usize) -> Result<Vec<usize>> {
    parallel::each(
        to_do,
        workers,
        || false,
        |&index| {
            let point = &points[index];
            let experiment = Experiment::survey(Config { memory_limit: limit, ..point.config.clone() })?;
            let planned = TrainingPlan::new(&experiment).and_then(|plan| plan.check().map(|()| plan.peak_bytes));
            planned.map_err(|error| about(error, &point.folder))
        },
    )
}

/// Says which combination cannot be trained.
fn about(error: Error, folder: &str) -> Error {
    if folder.is_empty() { error } else { error.detail("grid", folder) }
}
