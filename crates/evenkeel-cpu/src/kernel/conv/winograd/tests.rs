//! Against the direct sums, in f64 to the last digits and in f32 by how much larger the error is.

use proptest::prelude::*;

use super::super::tests::{numbers, reference, single};
use super::super::work::Shared;
use super::super::{ConvShape, Real, forward, input_gradient, weight_gradient};
use super::*;
use crate::kernel::instruction_set::InstructionSet;

/// All directions by minimal filtering, whether preferred or not, with outputs and scratch full of garbage before.
fn filtered<T: Real>(level: InstructionSet, shape: &ConvShape, x: &[T], w: &[T], g: &[T], garbage: T) -> [Vec<T>; 3] {
    let size = size_of::<T>();
    let [mut y, mut gx, mut gw] = [vec![garbage; g.len()], vec![garbage; x.len()], vec![garbage; w.len()]];
    let filtering = Filtering::forward(shape, level, size);
    filtering.run(level, x, w, Shared::new(&mut y), &mut vec![garbage; filtering.scratch()]);
    let filtering = Filtering::backward(shape, level, size);
    filtering.run(level, g, w, Shared::new(&mut gx), &mut vec![garbage; filtering.scratch()]);
    let filtering = FilteringWeights::new(shape, level, size);
    filtering.run(level, x, g, &mut gw, &mut vec![garbage; filtering.scratch()]);
    [y, gx, gw]
}

/// The same by direct sums.
fn summed<T: Real>(level: InstructionSet, shape: &ConvShape, x: &[T], w: &[T], g: &[T], garbage: T) -> [Vec<T>; 3] {
    let size = size_of::<T>();
    let [mut y, mut gx, mut gw] = [vec![garbage; g.len()], vec![garbage; x.len()], vec![garbage; w.len()]];
    let mut scratch = vec![garbage; forward::sum_scratch_at(level, shape, size)];
    forward::sum_at(level, shape, x, w, &mut y, &mut scratch);
    let mut scratch = vec![garbage; input_gradient::sum_scratch_at(level, shape, size)];
    input_gradient::sum_at(level, shape, g, w, &mut gx, &mut scratch);
    let mut scratch = vec![garbage; weight_gradient::sum_scratch_at(level, shape, size)];
    weight_gradient::sum_at(level, shape, x, g, &mut gw, &mut scratch);
    [y, gx, gw]
}

fn operands(shape: &ConvShape) -> [Vec<f64>; 3] {
    [numbers(shape.input_len(), 1), numbers(shape.weight_len(), 2), numbers(shape.output_len(), 3)]
}

/// A convolution with 3 × 3 taps.
fn layer(batch: usize, size: [usize; 2], channels: [usize; 2], padding: [[usize; 2]; 2]) -> ConvShape {
    ConvShape {
        batch,
        height: size[0],
        width: size[1],
        in_channels: channels[0],
        out_channels: channels[1],
        kernel: [3; 2],
        stride: [1; 2],
        padding,
        dilation: [1; 2],
        groups: 1,
    }
}

/// Compares every instruction set in f64 with seven loops: no error but rounding.
fn check(shape: &ConvShape) {
    let [x, w, g] = operands(shape);
    let expected = reference(shape, &x, &w, &g);
    for &level in InstructionSet::available() {
        let results = filtered(level, shape, &x, &w, &g, f64::NAN);
        for (direction, (got, want)) in results.iter().zip(&expected).enumerate() {
            for (at, (got, want)) in got.iter().zip(want).enumerate() {
                let fine = (got - want).abs() <= 1e-12 * (shape.output_len() + 9) as f64;
                assert!(fine, "direction {direction}, {level:?}, at {at}: {got} instead of {want} for {shape:?}");
            }
        }
    }
}

#[test]
fn tiles_at_every_border_agree_with_seven_loops() {
    for size in 1..8 {
        for padding in [[[1, 1], [1, 1]], [[0, 0], [2, 1]], [[3, 0], [1, 3]], [[2, 2], [0, 3]]] {
            check(&layer(2, [size, 9 - size], [5, 4], padding));
        }
    }
}

#[test]
fn bands_that_are_cut_into_parts_agree_with_seven_loops() {
    check(&layer(3, [4, 6], [160, 200], [[1; 2]; 2]));
}

#[test]
fn the_error_in_f32_is_less_than_twice_that_of_direct_sums() {
    for (size, channels) in [(32, [16, 16]), (16, [32, 32]), (8, [64, 64]), (8, [128, 256]), (4, [512, 512])] {
        let shape = layer(2, [size; 2], channels, [[1; 2]; 2]);
        let [x, w, g] = operands(&shape).map(|values| single(&values));
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
        let exact = reference(&shape, &wide(&x), &wide(&w), &wide(&g));
        let level = InstructionSet::detect();
        let directly = summed(level, &shape, &x, &w, &g, f32::NAN);
        for (direction, values) in filtered(level, &shape, &x, &w, &g, f32::NAN).iter().enumerate() {
            let error = |values: &[f32]| {
                let square = |(&value, exact): (&f32, &f64)| (f64::from(value) - exact).powi(2);
                values.iter().zip(&exact[direction]).map(square).sum::<f64>().sqrt()
            };
            let ratio = error(values) / error(&directly[direction]);
            assert!(ratio < 2.0, "{ratio} times the error in direction {direction} for {shape:?}");
        }
    }
}

#[test]
fn every_number_of_threads_filters_to_the_same_bits() {
    for shape in [layer(40, [16; 2], [16, 16], [[1; 2]; 2]), layer(9, [7, 4], [130, 140], [[1; 2]; 2])] {
        let [x, w, g] = operands(&shape).map(|values| single(&values));
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| filtered(InstructionSet::detect(), &shape, &x, &w, &g, f32::NAN))
                .map(|values| values.into_iter().map(f32::to_bits).collect::<Vec<_>>())
        };
        let one = on(1);
        assert!(one == on(2), "2 threads differ for {shape:?}");
        assert!(one == on(3), "3 threads differ for {shape:?}");
    }
}

#[test]
fn layers_of_the_zoo_are_filtered_and_the_others_are_not() {
    let same = [[1; 2]; 2];
    for (size, channels) in [(32, [16, 16]), (16, [32, 32]), (8, [64, 64]), (16, [64, 128]), (8, [256, 256])] {
        assert!(preferred(&layer(128, [size; 2], channels, same), 4), "{size} {channels:?}");
        assert!(!preferred(&layer(128, [size; 2], channels, same), 8), "{size} {channels:?} in f64");
    }
    assert!(!preferred(&layer(128, [32; 2], [3, 16], same), 4), "three channels");
    assert!(!preferred(&layer(128, [2; 2], [512, 512], same), 4), "mostly padding");
    assert!(!preferred(&layer(1, [1; 2], [64, 64], same), 4), "one pixel");
    let layer = layer(128, [32; 2], [16, 16], same);
    assert!(!preferred(&ConvShape { stride: [2; 2], ..layer.clone() }, 4), "stride 2");
    assert!(!preferred(&ConvShape { dilation: [1, 2], ..layer.clone() }, 4), "dilation 2");
    assert!(!preferred(&ConvShape { kernel: [3, 1], ..layer.clone() }, 4), "a kernel of 3 × 1");
    assert!(!preferred(&ConvShape { groups: 2, ..layer }, 4), "two groups");
}

fn shapes() -> impl Strategy<Value = ConvShape> {
    let axis = || (1usize..=20, 0usize..4, 0usize..4);
    (1usize..=5, 1usize..=70, 1usize..=70, axis(), axis())
        .prop_map(|(batch, c_in, c_out, h, w)| layer(batch, [h.0, w.0], [c_in, c_out], [[h.1, h.2], [w.1, w.2]]))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn random_shapes_are_filtered_as_summed(shape in shapes()) {
        let [x, w, g] = operands(&shape);
        for &level in InstructionSet::available() {
            let directly = summed(level, &shape, &x, &w, &g, f64::NAN);
            for (got, want) in filtered(level, &shape, &x, &w, &g, f64::NAN).iter().zip(&directly) {
                for (got, want) in got.iter().zip(want) {
                    let fine = (got - want).abs() <= 1e-11 * (1.0 + want.abs());
                    prop_assert!(fine, "{:?}: {} instead of {}", level, got, want);
                }
            }
        }
    }

    #[test]
    fn filtered_directions_are_adjoint(shape in shapes()) {
        let [x, w, g] = operands(&shape);
        let [y, gx, gw] = filtered(InstructionSet::detect(), &shape, &x, &w, &g, f64::NAN);
        let size = 1.0 + y.iter().zip(&g).map(|(a, b)| (a * b).abs()).sum::<f64>();
        let [forward, input, weight] = [dot(&y, &g), dot(&x, &gx), dot(&w, &gw)];
        prop_assert!((forward - input).abs() <= 1e-11 * size, "{} {}", forward, input);
        prop_assert!((forward - weight).abs() <= 1e-11 * size, "{} {}", forward, weight);
    }
}
