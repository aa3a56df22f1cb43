//! Prints the speed of matrix products, and its share of the multiply-add peak of this machine.
//!
//! `cargo run --release -p evenkeel-cpu --example product_speed [key=value ..]`
//!
//! with the keys `threads` (`1,2`), `seconds` for each number (0.1), `scalar` (`f32` or `f64`) and `products` (a part of the
//! names wanted), and `sweep` (0): MiB that every thread reads before each run, so that operands come from a cache further
//! away. A product `[m, k] · [k, n]` is timed plain, with the right and with the left side stored transposed: the
//! three that a linear layer of a training step is made of. Minima over repetitions.

use evenkeel_cpu::{Input, Options, Program, multiply_add_peak};
use evenkeel_graph::{DType, Graph, Tensor};
use std::hint::black_box;
use std::time::Instant;

/// Name, batch and extents m, k, n.
const PRODUCTS: &[(&str, usize, [usize; 3])] = &[
    ("mlp fc1", 1, [128, 784, 512]),
    ("mlp fc1 weights", 1, [784, 128, 512]),
    ("mlp fc2", 1, [128, 512, 512]),
    ("mlp fc2 weights", 1, [512, 128, 512]),
    ("mlp head", 1, [128, 512, 10]),
    ("mlp head weights", 1, [512, 128, 10]),
    ("transformer qkv", 1, [2048, 128, 384]),
    ("transformer qkv weights", 1, [128, 2048, 384]),
    ("transformer fc1", 1, [2048, 128, 512]),
    ("transformer fc1 input", 1, [2048, 512, 128]),
    ("transformer fc1 weights", 1, [128, 2048, 512]),
    ("transformer fc2 weights", 1, [512, 2048, 128]),
    ("transformer head", 1, [2048, 128, 65]),
    ("attention scores", 128, [64, 32, 64]),
    ("attention mix", 128, [64, 64, 32]),
    ("square", 1, [1024, 1024, 1024]),
    ("square of 4096 bytes", 1, [1000, 1024, 1024]),
    ("large", 1, [2048, 2048, 2048]),
    ("pointwise weights", 1, [512, 6272, 2048]),
    ("small", 1, [32, 64, 64]),
    ("wide", 1, [128, 1000, 1000]),
    ("odd", 1, [101, 333, 77]),
    ("one row", 1, [1, 1024, 1024]),
    ("few rows", 1, [8, 1024, 1024]),
    ("one column", 1, [1024, 1024, 1]),
    ("few columns", 1, [1024, 1024, 8]),
    ("outer", 1, [1024, 1, 1024]),
    ("inner", 1, [8, 100_000, 8]),
    ("inner of more", 1, [64, 20_000, 64]),
];

/// Seconds of one run: the shortest within `seconds`.
fn measure(seconds: f64, sweep: usize, dtype: DType, batch: usize, [m, k, n]: [usize; 3], turned: [bool; 2]) -> f64 {
    let graph = Graph::new();
    let sides =
        [if turned[0] { [batch, k, m] } else { [batch, m, k] }, if turned[1] { [batch, n, k] } else { [batch, k, n] }];
    let x = sides.map(|shape| graph.input("x", shape, dtype));
    let function =
        graph.function(&[("y", x[0].matmul_with(x[1], turned[0], turned[1]))]).expect("the product is right");
    let mut program = Program::compile(&function, &Options::default()).expect("the options are right");
    let numbers = |shape: [usize; 3]| {
        let numbers: Vec<f64> = (0..shape.iter().product()).map(|i| ((i * 37 % 101) as f64 - 50.0) / 50.0).collect();
        Tensor::from_f64(shape, dtype, &numbers).expect("as many as the shape takes")
    };
    let values = sides.map(numbers);
    let inputs = [Input::Read(&values[0]), Input::Read(&values[1])];
    let mut outputs = program.new_outputs();
    let (begin, mut least, mut rounds) = (Instant::now(), f64::INFINITY, 0);
    let other = vec![1u64; sweep << 17];
    while rounds < 5 || begin.elapsed().as_secs_f64() < seconds {
        rayon::broadcast(|_| black_box(other.iter().sum::<u64>()));
        let start = Instant::now();
        program.run(&inputs, &mut outputs).expect("the inputs are as compiled");
        least = least.min(start.elapsed().as_secs_f64());
        rounds += 1;
    }
    least
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |key: &str, default: &str| {
        let given = arguments.iter().filter_map(|argument| argument.split_once('=')).find(|(name, _)| *name == key);
        given.map_or(default, |(_, value)| value).to_string()
    };
    let seconds: f64 = value("seconds", "0.1").parse().unwrap_or(0.1);
    let dtype = if value("scalar", "f32") == "f64" { DType::F64 } else { DType::F32 };
    let sweep: usize = value("sweep", "0").parse().unwrap_or(0);
    let wanted = value("products", "");
    for threads in value("threads", "1,2").split(',').filter_map(|text| text.parse().ok()) {
        let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else { continue };
        let peak = pool.install(|| multiply_add_peak(dtype));
        println!("{dtype}, threads {threads}, peak {peak:.0} GFLOP/s: speed and share of the peak");
        println!("{:48}{:>16}{:>16}{:>16}", "", "plain", "right turned", "left turned");
        for &(name, batch, extents) in PRODUCTS.iter().filter(|(name, ..)| name.contains(&wanted)) {
            let [m, k, n] = extents;
            print!("{name:24}{:24}", format!("{batch} x {m} x {k} x {n}"));
            for turned in [[false, false], [false, true], [true, false]] {
                let time = pool.install(|| measure(seconds, sweep, dtype, batch, extents, turned));
                let speed = (2 * batch * m * k * n) as f64 / time / 1e9;
                print!("{speed:>10.1} {:>4.0}%", 100.0 * speed / peak);
            }
            println!();
        }
    }
}
