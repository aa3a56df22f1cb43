//! Against seven plain loops, against each other, and against themselves on other numbers of threads.

use proptest::prelude::*;

use super::*;
use crate::kernel::instruction_set::InstructionSet;

/// Numbers in (−1, 1) that look random and are always the same.
pub(super) fn numbers(len: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Calls `visit(input, weight, output)` for every multiply-add of the convolution.
fn for_each_product(shape: &ConvShape, mut visit: impl FnMut(usize, usize, usize)) {
    let [oh, ow] = shape.output();
    let (cin, cout) = (shape.in_channels / shape.groups, shape.out_channels / shape.groups);
    for n in 0..shape.batch {
        for i in 0..oh {
            for j in 0..ow {
                for a in 0..shape.kernel[0] {
                    for b in 0..shape.kernel[1] {
                        let h = (i * shape.stride[0] + a * shape.dilation[0]).wrapping_sub(shape.padding[0][0]);
                        let w = (j * shape.stride[1] + b * shape.dilation[1]).wrapping_sub(shape.padding[1][0]);
                        if h >= shape.height || w >= shape.width {
                            continue;
                        }
                        for c in 0..cin {
                            for o in 0..shape.out_channels {
                                visit(
                                    ((n * shape.height + h) * shape.width + w) * shape.in_channels + o / cout * cin + c,
                                    ((a * shape.kernel[1] + b) * cin + c) * shape.out_channels + o,
                                    ((n * oh + i) * ow + j) * shape.out_channels + o,
                                );
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Forward, input gradient and weight gradient from seven loops.
pub(super) fn reference(shape: &ConvShape, x: &[f64], w: &[f64], g: &[f64]) -> [Vec<f64>; 3] {
    let [mut y, mut gx, mut gw] = [vec![0.0; g.len()], vec![0.0; x.len()], vec![0.0; w.len()]];
    for_each_product(shape, |i, k, o| {
        y[o] += x[i] * w[k];
        gx[i] += g[o] * w[k];
        gw[k] += g[o] * x[i];
    });
    [y, gx, gw]
}

/// All three directions at a level, with outputs and scratch full of garbage before.
fn compute<T: Real>(level: InstructionSet, shape: &ConvShape, x: &[T], w: &[T], g: &[T], garbage: T) -> [Vec<T>; 3] {
    let size = size_of::<T>();
    let [mut y, mut gx, mut gw] = [vec![garbage; g.len()], vec![garbage; x.len()], vec![garbage; w.len()]];
    let mut scratch = vec![garbage; forward::scratch_at(level, shape, size)];
    forward::forward_at(level, shape, x, w, &mut y, &mut scratch);
    let mut scratch = vec![garbage; input_gradient::scratch_at(level, shape, size)];
    input_gradient::input_gradient_at(level, shape, g, w, &mut gx, &mut scratch);
    let mut scratch = vec![garbage; weight_gradient::scratch_at(level, shape, size)];
    weight_gradient::weight_gradient_at(level, shape, x, g, &mut gw, &mut scratch);
    [y, gx, gw]
}

fn operands(shape: &ConvShape) -> [Vec<f64>; 3] {
    [numbers(shape.input_len(), 1), numbers(shape.weight_len(), 2), numbers(shape.output_len(), 3)]
}

pub(super) fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

/// Compares all levels and both scalars with the reference; the tolerance grows with the length of the longest sum.
fn check(shape: &ConvShape) {
    let [x, w, g] = operands(shape);
    let [x32, w32, g32] = [single(&x), single(&w), single(&g)];
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
    let expected = reference(shape, &x, &w, &g);
    let expected32 = reference(shape, &wide(&x32), &wide(&w32), &wide(&g32));
    let longest = 1
        + shape.output_len() / shape.out_channels.max(1)
        + shape.kernel[0] * shape.kernel[1] * shape.in_channels.max(shape.out_channels);
    let scale = longest as f64;
    for &level in InstructionSet::available() {
        let double = compute(level, shape, &x, &w, &g, f64::NAN);
        let float = compute(level, shape, &x32, &w32, &g32, f32::NAN);
        for (direction, name) in ["forward", "input gradient", "weight gradient"].into_iter().enumerate() {
            for (at, (&got, &want)) in double[direction].iter().zip(&expected[direction]).enumerate() {
                let fine = (got - want).abs() <= scale * f64::EPSILON;
                assert!(fine, "{name} f64 {level:?} at {at}: {got} instead of {want} for {shape:?}");
            }
            for (at, (&got, &want)) in float[direction].iter().zip(&expected32[direction]).enumerate() {
                let fine = (f64::from(got) - want).abs() <= scale * f64::from(f32::EPSILON);
                assert!(fine, "{name} f32 {level:?} at {at}: {got} instead of {want} for {shape:?}");
            }
        }
    }
}

/// A square convolution with stride 1 and "same" padding, to vary.
fn square(batch: usize, size: usize, channels: [usize; 2], kernel: usize) -> ConvShape {
    let before = kernel.saturating_sub(1) / 2;
    let pad = [before, kernel.saturating_sub(1) - before];
    ConvShape {
        batch,
        height: size,
        width: size,
        in_channels: channels[0],
        out_channels: channels[1],
        kernel: [kernel; 2],
        stride: [1; 2],
        padding: [pad; 2],
        dilation: [1; 2],
        groups: 1,
    }
}

#[test]
fn odd_channels_agree_with_seven_loops() {
    for cin in [1, 3, 5, 17, 33] {
        for cout in [1, 3, 5, 17, 33] {
            check(&square(2, 7, [cin, cout], 3));
        }
    }
}

#[test]
fn layers_of_the_zoo_agree_with_seven_loops() {
    for (size, channels, stride) in
        [(32, [3, 16], 1), (32, [16, 16], 1), (16, [32, 32], 1), (8, [64, 64], 1), (32, [16, 32], 2), (16, [32, 64], 2)]
    {
        check(&ConvShape { stride: [stride; 2], ..square(3, size, channels, 3) });
    }
    check(&ConvShape { stride: [2; 2], ..square(3, 32, [16, 32], 1) });
    check(&ConvShape { stride: [2; 2], ..square(9, 8, [16, 32], 1) });
    check(&square(1, 4, [96, 80], 3));
    check(&square(21, 4, [64, 48], 3));
    check(&square(70, 2, [40, 48], 3));
    check(&square(9, 1, [130, 31], 3));
    check(&square(130, 1, [16, 10], 1));
    check(&square(1, 28, [1, 8], 5));
    check(&ConvShape { stride: [2; 2], ..square(1, 45, [3, 20], 7) });
    check(&ConvShape { height: 3, width: 300, ..square(2, 3, [2, 40], 3) });
}

#[test]
fn every_instruction_set_agrees_with_the_portable_code() {
    for shape in [square(3, 12, [20, 50], 3), square(9, 4, [40, 70], 3)] {
        let [x, w, g] = operands(&shape);
        let portable = compute(InstructionSet::Portable, &shape, &x, &w, &g, f64::NAN);
        for &level in InstructionSet::available() {
            let other = compute(level, &shape, &x, &w, &g, f64::NAN);
            for (a, b) in portable.iter().flatten().zip(other.iter().flatten()) {
                assert!((a - b).abs() <= 1e-12, "{level:?}: {b} instead of {a} for {shape:?}");
            }
        }
    }
}

#[test]
#[should_panic(expected = "scratch is too short")]
fn scratch_that_is_too_short_is_refused() {
    let shape = square(3, 9, [5, 7], 3);
    let [x, w, mut y] = operands(&shape);
    forward(&shape, &x, &w, &mut y, &mut vec![0.0; forward_scratch(&shape, 8) - 1]);
}

#[test]
fn strides_dilation_and_uneven_padding_agree_with_seven_loops() {
    for stride in [[1, 1], [2, 2], [1, 2], [3, 1], [5, 4]] {
        for dilation in [[1, 1], [2, 1], [1, 3]] {
            for padding in [[[0, 0], [0, 0]], [[1, 0], [0, 2]], [[0, 3], [4, 1]], [[5, 6], [7, 5]]] {
                for kernel in [[1, 1], [3, 3], [2, 3], [1, 4]] {
                    let base = square(2, 9, [3, 5], 1);
                    check(&ConvShape { width: 11, stride, dilation, padding, kernel, ..base });
                }
            }
        }
    }
}

#[test]
fn groups_and_depthwise_agree_with_seven_loops() {
    for (channels, groups) in [([6, 4], 2), ([8, 8], 8), ([5, 15], 5), ([36, 72], 2), ([12, 3], 3)] {
        for stride in [1, 2] {
            for batch in [2, 9] {
                let shape = ConvShape { groups, stride: [stride; 2], ..square(batch, 8, channels, 3) };
                check(&shape);
                check(&ConvShape { padding: [[0; 2]; 2], ..shape.clone() });
                check(&ConvShape { height: 4, width: 4, ..shape });
            }
        }
    }
}

#[test]
fn empty_shapes_write_zeros_or_nothing() {
    let base = square(2, 5, [3, 4], 3);
    check(&ConvShape { batch: 0, ..base.clone() });
    check(&ConvShape { height: 0, padding: [[0; 2]; 2], ..base.clone() });
    check(&ConvShape { height: 0, width: 0, ..base.clone() });
    check(&ConvShape { height: 0, padding: [[3; 2]; 2], ..base.clone() });
    check(&ConvShape { kernel: [7, 7], padding: [[0; 2]; 2], ..base.clone() });
    check(&ConvShape { kernel: [0, 3], ..base.clone() });
    check(&ConvShape { in_channels: 0, ..base.clone() });
    check(&ConvShape { in_channels: 0, out_channels: 70, ..base.clone() });
    check(&ConvShape { in_channels: 70, out_channels: 0, ..base.clone() });
    check(&ConvShape { out_channels: 0, ..base.clone() });
    check(&ConvShape { batch: 9, height: 1, width: 1, padding: [[4; 2]; 2], ..base });
}

#[test]
fn every_number_of_threads_gives_the_same_bits() {
    let shapes = [
        square(5, 32, [16, 16], 3),
        square(16, 4, [64, 128], 3),
        square(33, 2, [128, 96], 3),
        square(1, 16, [33, 70], 3),
        square(4, 16, [24, 3], 5),
        square(9, 7, [100, 70], 1),
        ConvShape { groups: 100, ..square(7, 14, [100, 100], 3) },
        ConvShape { stride: [2; 2], ..square(7, 16, [16, 40], 3) },
        ConvShape { groups: 4, ..square(6, 16, [16, 32], 3) },
    ];
    for shape in shapes {
        let one = bits(&shape, 1);
        assert!(one == bits(&shape, 2), "2 threads differ for {shape:?}");
        assert!(one == bits(&shape, 4), "4 threads differ for {shape:?}");
    }
}

#[test]
fn the_public_entries_take_the_scratch_they_ask_for() {
    let shape = square(3, 9, [5, 7], 3);
    let [x, w, g] = operands(&shape);
    let [mut y, mut gx, mut gw] = [g.clone(), x.clone(), w.clone()];
    let scratch = |len: usize| vec![f64::NAN; len];
    forward(&shape, &x, &w, &mut y, &mut scratch(forward_scratch(&shape, 8)));
    input_gradient(&shape, &g, &w, &mut gx, &mut scratch(input_gradient_scratch(&shape, 8)));
    weight_gradient(&shape, &x, &g, &mut gw, &mut scratch(weight_gradient_scratch(&shape, 8)));
    assert_eq!([y, gx, gw], compute(InstructionSet::detect(), &shape, &x, &w, &g, 0.0));
}

#[test]
fn the_input_gradient_of_one_channel_reads_its_weights_backwards() {
    check(&ConvShape { kernel: [1, 2], padding: [[0; 2]; 2], ..square(1, 3, [32, 1], 1) });
}

#[test]
fn pixels_as_lanes_agree_with_seven_loops() {
    for cout in [1, 2, 3, 4, 5, 6, 7, 8] {
        check(&square(2, 12, [20, cout], 3));
        check(&ConvShape { padding: [[1, 2], [0, 3]], dilation: [2, 1], ..square(1, 17, [18, cout], 3) });
    }
    check(&ConvShape { groups: 5, ..square(2, 9, [20, 15], 3) });
    check(&ConvShape { padding: [[4; 2]; 2], ..square(2, 3, [20, 2], 3) });
}

#[test]
fn pointwise_and_depthwise_convolutions_agree_with_seven_loops() {
    for (size, channels) in [(7, [24, 100]), (3, [130, 17]), (1, [5, 40]), (13, [1, 1])] {
        check(&square(2, size, channels, 1));
        check(&ConvShape { stride: [2, 3], ..square(2, size, channels, 1) });
    }
    for (channels, kernel, stride) in [(17, 3, 1), (40, 5, 2), (100, 3, 3), (1, 7, 1)] {
        check(&ConvShape { groups: channels, stride: [stride; 2], ..square(2, 9, [channels; 2], kernel) });
        check(&ConvShape { groups: channels, dilation: [2; 2], ..square(1, 5, [channels; 2], kernel) });
    }
}

fn shapes() -> impl Strategy<Value = ConvShape> {
    let axis = || (0usize..9, 1usize..5, 1usize..4, 1usize..4, 0usize..5, 0usize..5);
    (0usize..12, 1usize..4, 1usize..41, 1usize..41, axis(), axis()).prop_map(|(batch, groups, cin, cout, h, w)| {
        ConvShape {
            batch,
            height: h.0,
            width: w.0,
            in_channels: cin * groups,
            out_channels: cout * groups,
            kernel: [h.1, w.1],
            stride: [h.2, w.2],
            dilation: [h.3, w.3],
            padding: [[h.4, h.5], [w.4, w.5]],
            groups,
        }
    })
}

/// Bits of the three directions on a number of threads.
fn bits(shape: &ConvShape, threads: usize) -> [Vec<u32>; 3] {
    let [x, w, g] = operands(shape).map(|values| single(&values));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
    pool.install(|| compute(InstructionSet::detect(), shape, &x, &w, &g, f32::NAN))
        .map(|values| values.into_iter().map(f32::to_bits).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn random_shapes_have_the_same_bits_on_two_threads(
        shape in shapes(),
        size in (8usize..24, 8usize..24),
        channels in 8usize..41,
    ) {
        let [in_channels, out_channels] = [shape.in_channels, shape.out_channels].map(|count| count + channels * shape.groups);
        let shape = ConvShape { height: size.0, width: size.1, in_channels, out_channels, ..shape };
        prop_assert!(bits(&shape, 1) == bits(&shape, 2), "2 threads differ for {shape:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_shapes_agree_with_seven_loops(shape in shapes()) {
        check(&shape);
    }

    #[test]
    fn the_three_directions_are_adjoint(shape in shapes()) {
        let [x, w, g] = operands(&shape);
        let [y, gx, gw] = compute(InstructionSet::detect(), &shape, &x, &w, &g, f64::NAN);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let [forward, input, weight] = [dot(&y, &g), dot(&x, &gx), dot(&w, &gw)];
        let size = 1.0 + y.iter().zip(&g).map(|(a, b)| (a * b).abs()).sum::<f64>();
        prop_assert!((forward - input).abs() <= 1e-11 * size, "{forward} {input}");
        prop_assert!((forward - weight).abs() <= 1e-11 * size, "{forward} {weight}");
    }
}
