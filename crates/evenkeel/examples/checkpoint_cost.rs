//! What does a checkpoint cost beside writing and syncing the same bytes to one file?
//!
//! `cargo run --release -p evenkeel --example checkpoint_cost [FOLDER]`, on the disk that matters.
#![allow(clippy::unwrap_used)]

use evenkeel::store::{Checkpoint, ElementType, NamedTensor, Run};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The layers of 25 million parameters, about as a ResNet-50 has them.
const LAYERS: usize = 160;
const PARAMETERS: usize = 25_000_000;
const REPEATS: usize = 9;

fn tensors(prefix: &str, values: &[f32]) -> Vec<NamedTensor<'static>> {
    let layer = values.len() / LAYERS;
    values
        .chunks(layer)
        .enumerate()
        .map(|(number, values)| NamedTensor {
            name: format!("{prefix}layer{number}.weight"),
            dtype: ElementType::F32,
            shape: vec![values.len()],
            bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        })
        .collect()
}

fn plain(path: &Path, checkpoint: &Checkpoint<'_>) -> f64 {
    let start = Instant::now();
    let mut file = File::create(path).unwrap();
    for tensor in checkpoint.parameters.iter().chain(&checkpoint.optimizer) {
        file.write_all(&tensor.bytes).unwrap();
    }
    file.sync_all().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    std::fs::remove_file(path).unwrap();
    seconds
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn main() {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("checkpoint-cost-{}", std::process::id()));
    let run = Run::create(&folder, "").unwrap();
    let values: Vec<f32> = (0..PARAMETERS).map(|n| (n as f32).sin()).collect();
    let checkpoint = Checkpoint {
        parameters: tensors("", &values),
        buffers: vec![],
        optimizer: tensors("velocity/", &values),
        state: serde_json::json!({ "step": 1 }),
    };
    let (mut saved, mut written, mut loaded) = (Vec::new(), Vec::new(), Vec::new());
    for step in 0..REPEATS as u64 {
        written.push(plain(&folder.join("plain"), &checkpoint));
        let start = Instant::now();
        run.save_checkpoint(step, &checkpoint).unwrap();
        saved.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        run.load_checkpoint(step).unwrap();
        loaded.push(start.elapsed().as_secs_f64());
        run.keep_checkpoints(1, |_| false).unwrap();
    }
    let bytes = 8 * PARAMETERS;
    let ratios: Vec<f64> = saved.iter().zip(&written).map(|(saved, written)| saved / written).collect();
    println!("{} MB: {PARAMETERS} parameters and their momentum, medians of {REPEATS}", bytes / 1_000_000);
    println!("written and synced  {:.3} s  each {written:.3?}", median(written.clone()));
    println!("saved               {:.3} s  each {saved:.3?}", median(saved.clone()));
    println!("loaded and checked  {:.3} s", median(loaded));
    println!("saved / written     {:.2}  (each pair: {ratios:.2?})", median(ratios.clone()));
    std::fs::remove_dir_all(folder).unwrap();
}
