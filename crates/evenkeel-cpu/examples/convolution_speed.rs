//! Prints the speed of convolutions in each direction, and its share of the multiply-add peak of this machine.
//!
//! `cargo run --release -p evenkeel-cpu --example convolution_speed [key=value ..]`
//!
//! with the keys `batch` (128), `threads` (`1,2`), `seconds` for each number (0.1), `scalar` (`f32` or `f64`) and `layers`
//! (a part of the names wanted). GFLOP/s count two operations for each weight and output pixel, multiplications with the
//! padding included, as is usual, so that layers that skip them may pass 100%. The share is of the fastest fused
//! multiply-adds measured on the same threads right before and after the layer. Minima over repetitions.

use std::time::Instant;

use evenkeel_cpu::kernel::conv::{self, ConvShape};
use evenkeel_cpu::multiply_add_peak;
use evenkeel_graph::DType;

/// Bytes of a cache line.
const LINE: usize = 64;

/// A square convolution with "same" padding, written `size² in→out, kernel/stride`.
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

/// The layers of the zoo at a batch, and what else convolutions are used for at an eighth of it.
fn layers(batch: usize) -> Vec<(&'static str, ConvShape)> {
    let eighth = batch.div_ceil(8);
    let grouped = |groups: usize, shape: ConvShape| ConvShape { groups, ..shape };
    vec![
        ("resnet20 conv1", layer(batch, 32, [3, 16], 3, 1)),
        ("resnet20 layer1", layer(batch, 32, [16, 16], 3, 1)),
        ("resnet20 layer2.0", layer(batch, 32, [16, 32], 3, 2)),
        ("resnet20 layer2.0 down", layer(batch, 32, [16, 32], 1, 2)),
        ("resnet20 layer2", layer(batch, 16, [32, 32], 3, 1)),
        ("resnet20 layer3.0", layer(batch, 16, [32, 64], 3, 2)),
        ("resnet20 layer3.0 down", layer(batch, 16, [32, 64], 1, 2)),
        ("resnet20 layer3", layer(batch, 8, [64, 64], 3, 1)),
        ("vgg11 conv1", layer(batch, 32, [3, 64], 3, 1)),
        ("vgg11 conv2", layer(batch, 16, [64, 128], 3, 1)),
        ("vgg11 conv3", layer(batch, 8, [128, 256], 3, 1)),
        ("vgg11 conv4", layer(batch, 8, [256, 256], 3, 1)),
        ("vgg11 conv5", layer(batch, 4, [256, 512], 3, 1)),
        ("vgg11 conv6", layer(batch, 4, [512, 512], 3, 1)),
        ("vgg11 conv7", layer(batch, 2, [512, 512], 3, 1)),
        ("stem", layer(eighth, 224, [3, 64], 7, 2)),
        ("five", layer(eighth, 28, [48, 64], 5, 1)),
        ("dilated", ConvShape { padding: [[2; 2]; 2], dilation: [2; 2], ..layer(eighth, 28, [64, 64], 3, 1) }),
        ("uneven", ConvShape { padding: [[0, 1]; 2], ..layer(eighth, 56, [64, 64], 3, 2) }),
        ("odd channels", layer(eighth, 28, [17, 24], 3, 1)),
        ("odd channels wide", layer(eighth, 28, [100, 100], 3, 1)),
        ("one channel in", layer(eighth, 28, [1, 32], 5, 1)),
        ("one channel out", layer(eighth, 28, [32, 1], 5, 1)),
        ("pointwise", layer(batch, 16, [128, 128], 1, 1)),
        ("pointwise wide", layer(eighth, 7, [512, 2048], 1, 1)),
        ("pointwise narrow", layer(eighth, 7, [2048, 512], 1, 1)),
        ("groups of 4", grouped(32, layer(eighth, 56, [128, 128], 3, 1))),
        ("groups of 16", grouped(16, layer(eighth, 28, [256, 256], 3, 1))),
        ("depthwise", grouped(144, layer(eighth, 56, [144, 144], 3, 1))),
        ("depthwise stride", grouped(100, layer(eighth, 56, [100, 100], 3, 2))),
        ("depthwise small", grouped(960, layer(eighth, 7, [960, 960], 5, 1))),
    ]
}

/// Seconds of one run: the shortest within `seconds`.
fn measure(seconds: f64, mut run: impl FnMut()) -> f64 {
    let (begin, mut least, mut rounds) = (Instant::now(), f64::INFINITY, 0);
    run();
    while rounds < 3 || begin.elapsed().as_secs_f64() < seconds {
        let start = Instant::now();
        run();
        least = least.min(start.elapsed().as_secs_f64());
        rounds += 1;
    }
    least
}

/// The `len` elements from the first cache line on, which is where a program's values lie.
fn from_line<T>(data: &mut [T], len: usize) -> &mut [T] {
    let skip = data.as_ptr().align_offset(LINE);
    &mut data[skip..skip + len]
}

/// Seconds of the three directions, and the scratch of each in bytes.
fn directions<T: conv::Real + From<f32>>(shape: &ConvShape, seconds: f64) -> ([f64; 3], [usize; 3]) {
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
        measure(seconds, || conv::forward(shape, x, w, y, &mut scratch)),
        measure(seconds, || conv::input_gradient(shape, g, w, gx, &mut scratch)),
        measure(seconds, || conv::weight_gradient(shape, x, g, gw, &mut scratch)),
    ];
    (times, lengths.map(|length| length * size))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |key: &str, default: &str| {
        let given = arguments.iter().filter_map(|argument| argument.split_once('=')).find(|(name, _)| *name == key);
        given.map_or(default, |(_, value)| value).to_string()
    };
    let number = |text: &str| text.parse::<f64>().unwrap_or_else(|_| usage(text));
    let (batch, seconds) = (number(&value("batch", "128")) as usize, number(&value("seconds", "0.1")));
    let double = value("scalar", "f32") == "f64";
    let wanted = value("layers", "");
    for threads in value("threads", "1,2").split(',').map(|text| number(text) as usize) {
        let Ok(pool) = rayon::ThreadPoolBuilder::new().num_threads(threads).build() else {
            usage(&format!("{threads} threads"));
        };
        println!("batch {batch}, {}, threads {threads}: GFLOP/s and share of the peak", value("scalar", "f32"));
        println!("{:44}{:>16}{:>16}{:>16}{:>8}   scratch in KiB", "", "forward", "input grad", "weight grad", "peak");
        for (name, shape) in layers(batch).into_iter().filter(|(name, _)| name.contains(&wanted)) {
            let peak = || pool.install(|| multiply_add_peak(if double { DType::F64 } else { DType::F32 }));
            let before = peak();
            let (times, scratch) = pool.install(|| match double {
                true => directions::<f64>(&shape, seconds),
                false => directions::<f32>(&shape, seconds),
            });
            let peak = before.max(peak());
            let operations = 2.0 * shape.output_len() as f64 * (shape.weight_len() / shape.out_channels) as f64;
            let [kernel, stride] = [shape.kernel[0], shape.stride[0]];
            let geometry = format!("{}²x{}→{} {kernel}/{stride}", shape.height, shape.in_channels, shape.out_channels);
            print!("{name:24}{geometry:20}");
            for time in times {
                let speed = operations / time / 1e9;
                print!("{speed:>10.1} {:>4.0}%", 100.0 * speed / peak);
            }
            println!("{peak:>9.0}   {:?}", scratch.map(|bytes| bytes / 1024));
        }
    }
}

fn usage(wrong: &str) -> ! {
    eprintln!(
        "error: cannot use '{wrong}'\nhint: convolution_speed batch=128 threads=1,2 seconds=0.1 scalar=f32 layers=vgg11"
    );
    std::process::exit(2);
}
