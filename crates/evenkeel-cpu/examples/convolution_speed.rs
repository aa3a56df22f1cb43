//! Prints the speed of every convolution of the zoo in each direction, and its share of the multiply-add peak of this machine.
//!
//! `cargo run --release -p evenkeel-cpu --example convolution_speed [BATCH] [THREADS] [SECONDS] [f32|f64]`
//!
//! GFLOP/s count two operations for each weight and output pixel, multiplications with the padding included, as is usual; the
//! share is of the fastest fused multiply-adds measured on the same threads between the layers. Minima over repetitions.

use std::time::Instant;

use evenkeel_cpu::kernel::conv::{self, ConvShape};
use evenkeel_cpu::multiply_add_peak;
use evenkeel_graph::DType;

/// Bytes of a cache line.
const LINE: usize = 64;

fn layer(batch: usize, size: usize, channels: [usize; 2], kernel: usize, stride: usize) -> ConvShape {
    ConvShape {
        batch,
        height: size,
        width: size,
        in_channels: channels[0],
        out_channels: channels[1],
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [[kernel / 2; 2]; 2],
        dilation: [1; 2],
        groups: 1,
    }
}

/// Seconds: with one thread its time on a processor, which other programs disturb less, otherwise the clock on the wall.
fn now(threads: usize) -> f64 {
    static BEGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let spent = || std::fs::read_to_string("/proc/thread-self/schedstat").ok()?.split(' ').next()?.parse::<f64>().ok();
    match if threads == 1 { spent() } else { None } {
        Some(nanoseconds) => nanoseconds / 1e9,
        None => BEGIN.get_or_init(Instant::now).elapsed().as_secs_f64(),
    }
}

/// Seconds of one run: the shortest within `seconds` on the wall, or the average of the processor's time, whose clock is coarse.
fn measure(seconds: f64, threads: usize, mut run: impl FnMut()) -> f64 {
    let (begin, mut least, mut rounds) = (now(threads), f64::INFINITY, 0.0);
    run();
    let first = now(threads);
    while rounds < 3.0 || now(threads) - begin < seconds {
        let start = now(threads);
        run();
        least = least.min(now(threads) - start);
        rounds += 1.0;
    }
    if threads == 1 { (now(threads) - first) / rounds } else { least }
}

/// The `len` elements from the first cache line on, which is where a program's values lie.
fn from_line<T>(data: &mut [T], len: usize) -> &mut [T] {
    let skip = data.as_ptr().align_offset(LINE);
    &mut data[skip..skip + len]
}

/// Seconds of the three directions and the scratch of each in elements.
fn directions<T: conv::Real + From<f32>>(shape: &ConvShape, seconds: f64, threads: usize) -> ([f64; 3], [usize; 3]) {
    let numbers =
        |len: usize| (0..len + LINE).map(|i| T::from(((i * 37 % 101) as f32 - 50.0) / 50.0)).collect::<Vec<T>>();
    let sizes = [shape.input_len(), shape.weight_len(), shape.output_len()];
    let (mut read, mut written) = (sizes.map(numbers), sizes.map(numbers));
    let [x, w, g] = &mut read;
    let (x, w, g) = (from_line(x, sizes[0]), from_line(w, sizes[1]), from_line(g, sizes[2]));
    let [gx, gw, y] = &mut written;
    let (gx, gw, y) = (from_line(gx, sizes[0]), from_line(gw, sizes[1]), from_line(y, sizes[2]));
    let size = size_of::<T>();
    let lengths = [
        conv::forward_scratch(shape, size),
        conv::input_gradient_scratch(shape, size),
        conv::weight_gradient_scratch(shape, size),
    ];
    let mut scratch = vec![T::default(); lengths.into_iter().max().unwrap_or(0)];
    let times = [
        measure(seconds, threads, || conv::forward(shape, x, w, y, &mut scratch)),
        measure(seconds, threads, || conv::input_gradient(shape, g, w, gx, &mut scratch)),
        measure(seconds, threads, || conv::weight_gradient(shape, x, g, gw, &mut scratch)),
    ];
    (times, lengths)
}

fn main() {
    let arguments: Vec<f64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let argument = |index: usize, default: f64| arguments.get(index).copied().unwrap_or(default);
    let (batch, threads, seconds) = (argument(0, 128.0) as usize, argument(1, 2.0) as usize, argument(2, 0.5));
    let double = std::env::args().any(|word| word == "f64");
    let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else {
        eprintln!("error: cannot start {threads} threads");
        std::process::exit(1);
    };
    let layers = [
        ("resnet20 conv1", layer(batch, 32, [3, 16], 3, 1)),
        ("resnet20 layer1", layer(batch, 32, [16, 16], 3, 1)),
        ("resnet20 layer2.0", layer(batch, 32, [16, 32], 3, 2)),
        ("resnet20 layer2.0 1x1", layer(batch, 32, [16, 32], 1, 2)),
        ("resnet20 layer2", layer(batch, 16, [32, 32], 3, 1)),
        ("resnet20 layer3.0", layer(batch, 16, [32, 64], 3, 2)),
        ("resnet20 layer3", layer(batch, 8, [64, 64], 3, 1)),
        ("vgg11 conv1", layer(batch, 32, [3, 64], 3, 1)),
        ("vgg11 conv2", layer(batch, 16, [64, 128], 3, 1)),
        ("vgg11 conv3", layer(batch, 8, [128, 256], 3, 1)),
        ("vgg11 conv4", layer(batch, 8, [256, 256], 3, 1)),
        ("vgg11 conv5", layer(batch, 4, [256, 512], 3, 1)),
        ("vgg11 conv6", layer(batch, 4, [512, 512], 3, 1)),
        ("vgg11 conv7", layer(batch, 2, [512, 512], 3, 1)),
        ("1x1", layer(batch, 16, [128, 128], 1, 1)),
    ];
    let mut peak: f64 = 0.0;
    let mut rows = Vec::new();
    for (name, shape) in layers {
        peak = peak.max(pool.install(|| multiply_add_peak(if double { DType::F64 } else { DType::F32 })));
        let operations = 2.0 * shape.output_len() as f64 * (shape.weight_len() / shape.out_channels) as f64;
        let (times, lengths) = pool.install(|| match double {
            true => directions::<f64>(&shape, seconds, threads),
            false => directions::<f32>(&shape, seconds, threads),
        });
        rows.push((name, shape, operations, times, lengths));
    }
    let scalar = if double { "f64" } else { "f32" };
    println!(
        "batch {batch}, {threads} threads, {scalar}, peak {peak:.0} GFLOP/s; GFLOP/s and share of the peak; scratch in Ki elements"
    );
    println!("{:38}{:>16}{:>16}{:>16}   scratch", "", "forward", "input grad", "weight grad");
    for (name, shape, operations, times, lengths) in rows {
        let [h, w, cin, cout] = [shape.height, shape.width, shape.in_channels, shape.out_channels];
        print!("{:38}", format!("{name:22}{h}x{w}x{cin}→{cout}"));
        for time in times {
            let speed = operations / time / 1e9;
            print!("{speed:>9.0} {:>5.0}%", 100.0 * speed / peak);
        }
        println!("   {:?}", lengths.map(|length| length / 1024));
    }
}
