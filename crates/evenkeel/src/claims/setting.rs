//! What an experiment is given: seeds, data, and a way to run many trainings at once.

use crate::data::{self, DataSpec, Dataset, LoadOptions};
use crate::{Error, ErrorKind, Result, parallel};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// How large an experiment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Minutes on a few cores.
    Cpu,
    /// The sizes of the papers.
    Gpu,
}

impl Scale {
    /// Every scale.
    pub const ALL: &'static [Scale] = &[Scale::Cpu, Scale::Gpu];

    /// How it is written.
    pub fn word(self) -> &'static str {
        match self {
            Scale::Cpu => "cpu",
            Scale::Gpu => "gpu",
        }
    }
}

/// Watches experiments, and may stop them.
pub trait Watch: Send + Sync {
    /// Is told how many of an experiment's jobs are done.
    fn jobs(&self, _done: usize, _all: usize) {}

    /// Whether to stop.
    fn interrupted(&self) -> bool {
        false
    }
}

/// Neither looks nor stops.
impl Watch for () {}

/// What an experiment is given.
#[derive(Clone)]
pub struct Setting {
    /// How large it is.
    pub scale: Scale,
    /// How many seeds.
    pub seeds: usize,
    /// The first of them.
    pub seed: u64,
    /// Folders that hold the folders of data sets; the first that has one is taken.
    pub data: Vec<PathBuf>,
    /// Is told of progress, and may stop it.
    pub watch: Arc<dyn Watch>,
}

impl Setting {
    /// A setting on a CPU, with nobody watching and the embedded data alone.
    pub fn new(seeds: usize, seed: u64) -> Setting {
        Setting { scale: Scale::Cpu, seeds, seed, data: Vec::new(), watch: Arc::new(()) }
    }

    /// The seeds: `seed`, `seed` + 1, ...
    pub fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        let first = self.seed;
        (0..self.seeds as u64).map(move |index| first.wrapping_add(index))
    }

    /// The embedded digits, normalized, a fifth drawn for the test with seed 0; [`Setting::dataset`] takes other options.
    ///
    /// # Errors
    /// None that is known.
    pub fn digits(&self) -> Result<Dataset> {
        self.dataset("digits", &LoadOptions::default())
    }

    /// A data set by its name: `digits`, `mnist`, `fashion-mnist`, `cifar10` or `tinyshakespeare`, a text.
    ///
    /// # Errors
    /// [`ErrorKind::Absent`] when it is not in any of the folders, which makes the claim inconclusive where it is handed on; else as
    /// for [`data::load`].
    pub fn dataset(&self, name: &str, options: &LoadOptions) -> Result<Dataset> {
        let folders: &[&str] = match name {
            "cifar10" => &["cifar-10", "cifar10"],
            _ => &[name],
        };
        if name == "digits" {
            return data::load(&DataSpec::Digits, options);
        }
        let places = self.data.iter().flat_map(|root| folders.iter().map(move |folder| root.join(folder)));
        let Some(folder) = places.into_iter().find(|place| place.is_dir()) else {
            let roots: Vec<String> = self.data.iter().map(|root| root.display().to_string()).collect();
            let looked = if roots.is_empty() { "nowhere".to_owned() } else { roots.join(", ") };
            return Err(Error::new(ErrorKind::Absent, format!("the data set '{name}' is not there"))
                .detail("expected", format!("a folder {}", folders.join(" or ")))
                .detail("looked in", looked)
                .hint("`--data DIR` names the folder that holds it; `evenkeel data` lists the files it needs"));
        };
        let spec = match name {
            "mnist" => DataSpec::Mnist(folder),
            "fashion-mnist" => DataSpec::FashionMnist(folder),
            "cifar10" => DataSpec::Cifar10(folder),
            "tinyshakespeare" => DataSpec::Text(folder),
            _ => return Err(Error::input(format!("data set '{name}' is not known")).hint("`evenkeel data` lists them")),
        };
        data::load(&spec, options)
    }

    /// Whether somebody asked to stop; long loops ask now and then.
    pub fn interrupted(&self) -> bool {
        self.watch.interrupted()
    }

    /// An error when somebody asked to stop.
    ///
    /// # Errors
    /// [`ErrorKind::Interrupted`].
    pub fn go_on(&self) -> Result<()> {
        if self.interrupted() { Err(Error::new(ErrorKind::Interrupted, "interrupted")) } else { Ok(()) }
    }

    /// Runs independent jobs, such as one training for each seed and rate, and returns their results in the order of the jobs.
    ///
    /// As many run at a time as there are threads, each on threads of its own: no job waits for another one's work, and none depends
    /// on how many there are. Between jobs it is asked whether to stop.
    ///
    /// # Errors
    /// Of the jobs that failed before the others were called off, the first one's error; [`ErrorKind::Interrupted`] when somebody asked
    /// to stop.
    pub fn each<J: Send, T: Send>(
        &self,
        jobs: impl IntoIterator<Item = J>,
        run: impl Fn(J) -> Result<T> + Sync,
    ) -> Result<Vec<T>> {
        let jobs: Vec<J> = jobs.into_iter().collect();
        let all = jobs.len();
        let done = Mutex::new(0);
        let counted = |job: J| {
            let result = run(job)?;
            let mut done = parallel::lock(&done);
            *done += 1;
            self.watch.jobs(*done, all);
            Ok(result)
        };
        let results = parallel::each(jobs, rayon::current_num_threads(), || self.interrupted(), counted);
        self.go_on()?;
        results
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting { scale, seeds, seed, data, watch: _ } = self;
        let mut shown = f.debug_struct("Setting");
        shown
            .field("scale", scale)
            .field("seeds", seeds)
            .field("seed", seed)
            .field("data", data)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn on_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
    }

    #[test]
    fn results_come_in_the_order_of_the_jobs_whatever_the_threads() {
        let setting = Setting::new(3, 5);
        assert_eq!(setting.seeds().collect::<Vec<_>>(), [5, 6, 7]);
        for threads in [1, 2, 3, 8] {
            let squares = on_threads(threads, || setting.each(setting.seeds(), |seed| Ok(seed * seed)).unwrap());
            assert_eq!(squares, [25, 36, 49]);
        }
        assert!(setting.each(Vec::<u8>::new(), Ok).unwrap().is_empty());
    }

    #[test]
    fn threads_are_shared_out_among_the_jobs() {
        let setting = Setting::new(2, 0);
        let own = || setting.each(setting.seeds(), |_| Ok(rayon::current_num_threads())).unwrap();
        assert_eq!(on_threads(4, own), [2, 2]);
        assert_eq!(on_threads(1, own), [1, 1]);
    }

    #[test]
    fn the_first_failure_is_told_and_later_jobs_are_called_off() {
        let setting = Setting::new(100, 0);
        for threads in [1, 4] {
            let ran = AtomicUsize::new(0);
            let failing = |seed: u64| {
                ran.fetch_add(1, Ordering::Relaxed);
                if seed >= 3 { Err(Error::numerical(format!("seed {seed}"))) } else { Ok(()) }
            };
            let error = on_threads(threads, || setting.each(setting.seeds(), failing)).unwrap_err();
            assert_eq!(error.what(), "seed 3");
            assert!(ran.into_inner() < 100);
        }
    }

    /// Asks to stop after three jobs.
    struct Three(AtomicUsize);

    impl Watch for Three {
        fn jobs(&self, done: usize, _: usize) {
            self.0.store(done, Ordering::Relaxed);
        }

        fn interrupted(&self) -> bool {
            self.0.load(Ordering::Relaxed) >= 3
        }
    }

    #[test]
    fn between_jobs_it_is_asked_whether_to_stop() {
        let watch = Arc::new(Three(AtomicUsize::new(0)));
        let setting = Setting { watch: watch.clone(), ..Setting::new(10, 0) };
        let error = on_threads(1, || setting.each(setting.seeds(), |_| Ok(()))).unwrap_err();
        assert_eq!((error.kind(), watch.0.load(Ordering::Relaxed)), (ErrorKind::Interrupted, 3));
    }

    #[test]
    fn data_that_is_not_there_is_absent_and_says_where_it_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let setting = Setting { data: vec![folder.path().to_owned()], ..Setting::new(1, 0) };
        let error = setting.dataset("cifar10", &LoadOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Absent);
        assert!(error.to_string().contains("a folder cifar-10 or cifar10"), "{error}");
        std::fs::create_dir(folder.path().join("mnist")).unwrap();
        let error = setting.dataset("mnist", &LoadOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Input, "a folder without its files is damaged: {error}");
        assert_eq!(setting.digits().unwrap().train.len(), 1438);
    }
}
