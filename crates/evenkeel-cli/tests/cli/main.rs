//! The command as its users meet it: what it prints, what it leaves behind, and how it ends.
//!
//! Numbers with a decimal point are shown as `#`: their last digits depend on the instruction set, and times on the machine.

mod bench;
mod commands;
mod config;
mod data;
#[cfg(unix)]
mod disk;
mod failures;
mod init;
#[cfg(unix)]
mod kill;
mod reproduce;
mod resume;
mod runs;
mod sweep;
mod training;
mod usage;

use assert_cmd::Command;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The smallest run that has everything: two epochs of 22 steps on the embedded digits.
const TINY: &str = "train --model mlp:16 --epochs 2 --set measure.samples=20";

/// A folder of its own for each test.
struct Place {
    dir: TempDir,
}

/// How a command ended.
struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Place {
        Place { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.path(name), content).expect("a file in a temporary folder");
    }

    /// Runs the command in this folder; arguments are separated by spaces.
    fn run(&self, arguments: &str) -> Said {
        let output = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(arguments.split_whitespace())
            .current_dir(self.dir.path())
            .output()
            .expect("the command starts");
        let said = Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
            err: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
        };
        assert!(!said.err.contains("panicked"), "`{arguments}` panicked: {}", said.err);
        said
    }

    /// A finished tiny run called `run`.
    fn with_run() -> Place {
        let place = Place::new();
        assert_eq!(place.run(&format!("{TINY} --out run")).code, 0);
        place
    }

    /// What the command says on stderr when it refuses; nothing may be on stdout.
    fn refused(&self, arguments: &str) -> String {
        let said = self.run(arguments);
        assert_eq!((said.code, said.out.as_str()), (2, ""), "{}", said.err);
        steady(&said.err)
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).expect("a folder");
        let mut names: Vec<String> =
            entries.filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned())).collect();
        names.sort();
        names
    }
}

/// The text with every number that has a decimal point as `#`.
fn steady(text: &str) -> String {
    let mut result = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let whole = digits(rest);
        let fraction = rest[whole..].strip_prefix('.').map_or(0, digits);
        if whole > 0 && fraction > 0 {
            rest = &rest[whole + 1 + fraction..];
            let exponent = rest.strip_prefix('e').map(|power| power.trim_start_matches('-'));
            rest = exponent.filter(|power| digits(power) > 0).map_or(rest, |power| &power[digits(power)..]);
            result.push('#');
        } else {
            let taken = whole.max(first.len_utf8());
            result.push_str(&rest[..taken]);
            rest = &rest[taken..];
        }
    }
    result
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// The metrics without their times.
fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(run.join("metrics")).expect("metrics");
    let record = |line: &str| {
        let mut record: serde_json::Value = serde_json::from_str(line).expect("a record");
        // Records of single layers have no time.
        record["values"].as_object_mut().expect("an object").remove("seconds");
        record
    };
    text.lines().map(record).collect()
}

/// The tensors of a checkpoint, file by file.
fn checkpoint(run: &Path, step: &str) -> Vec<Vec<u8>> {
    let folder = run.join("checkpoints").join(step);
    let read = |name| fs::read(folder.join(name)).expect("a file of the checkpoint");
    ["parameters.safetensors", "buffers.safetensors", "optimizer.safetensors"].map(read).to_vec()
}
