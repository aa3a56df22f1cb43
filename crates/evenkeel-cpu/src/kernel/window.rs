//! Sliding windows over `[N, H, W, C]`: sums, maxima and their transposes. Channels are the inner loop.
//!
//! All five maps are one: each place of the result meets some places of the source, each through one tap of a window, and takes
//! their sum, or the largest, or those that were chosen. Which meet is the same for all samples and separate for the two axes, so
//! it is written down once ([`Axis`]) and nothing is compared with an edge afterwards. Results are computed where they lie, rows
//! of them a unit of work, always in the order of the source: the same bits for any cut.

use super::instruction_set::dispatch;
use super::real::Real;
use evenkeel_graph::op::Window;
use rayon::prelude::*;

/// Channels handled at once.
const LANES: usize = 16;

/// Elements a unit of work should have at least.
const UNIT_ELEMENTS: usize = 16 * 1024;

/// The tap of each window that holds its first largest element; a NaN counts as the largest.
pub(crate) fn argmax<T: Real>(window: &Window, x: &[T], taps: &mut [i32]) {
    let plan = &Plan::of_windows(window);
    plan.each_unit(taps, |first, taps| {
        dispatch!(argmax_rows::<T>(plan: &Plan, x: &[T], first: usize, taps: &mut [i32]));
    });
}

/// The chosen element of each window.
pub(crate) fn take<T: Real>(window: &Window, x: &[T], taps: &[i32], y: &mut [T]) {
    let plan = &Plan::of_windows(window);
    plan.each_unit(y, |first, y| {
        dispatch!(take_rows::<T>(plan: &Plan, x: &[T], taps: &[i32], first: usize, y: &mut [T]));
    });
}

/// Each element of `y` added at the chosen place of its window.
pub(crate) fn put<T: Real>(window: &Window, y: &[T], taps: &[i32], x: &mut [T]) {
    let plan = &Plan::of_places(window);
    plan.each_unit(x, |first, x| {
        dispatch!(put_rows::<T>(plan: &Plan, y: &[T], taps: &[i32], first: usize, x: &mut [T]));
    });
}

/// The sum of each window.
pub(crate) fn sum<T: Real>(window: &Window, x: &[T], y: &mut [T]) {
    let plan = &Plan::of_windows(window);
    plan.each_unit(y, |first, y| {
        dispatch!(sum_rows::<T>(plan: &Plan, x: &[T], first: usize, y: &mut [T]));
    });
}

/// Each element of `y` added at every place its window covers.
pub(crate) fn spread<T: Real>(window: &Window, y: &[T], x: &mut [T]) {
    let plan = &Plan::of_places(window);
    plan.each_unit(x, |first, x| {
        dispatch!(sum_rows::<T>(plan: &Plan, y: &[T], first: usize, x: &mut [T]));
    });
}

/// A place of the source, and the tap through which it is seen.
#[derive(Clone, Copy)]
struct Meeting {
    place: usize,
    tap: usize,
}

/// For each place of the result along one axis, what it meets in the source, in the source's order.
struct Axis(Vec<Vec<Meeting>>);

impl Axis {
    /// Windows meet the places they cover, but for those in the padding.
    fn of_windows(window: &Window, axis: usize) -> Axis {
        let covered = |position: usize| {
            let meeting = |tap: usize| {
                let padded = position * window.stride[axis] + tap * window.dilation[axis];
                let place = padded.checked_sub(window.padding[axis][0])?;
                (place < window.input[axis + 1]).then_some(Meeting { place, tap })
            };
            (0..window.size[axis]).filter_map(meeting).collect()
        };
        Axis((0..window.output()[axis + 1]).map(covered).collect())
    }

    /// Places meet the windows that cover them.
    fn of_places(window: &Window, axis: usize) -> Axis {
        let mut meetings = vec![Vec::new(); window.input[axis + 1]];
        for (position, covered) in Axis::of_windows(window, axis).0.iter().enumerate() {
            for &Meeting { place, tap } in covered {
                meetings[place].push(Meeting { place: position, tap });
            }
        }
        Axis(meetings)
    }
}

/// From which places of the source a result is computed.
struct Plan {
    vertical: Axis,
    horizontal: Axis,
    /// Rows and columns of the source.
    source: [usize; 2],
    channels: usize,
    /// Taps in a row of a window.
    row_of_taps: usize,
}

impl Plan {
    /// The result has an element for each window.
    fn of_windows(window: &Window) -> Plan {
        Plan::new(window, Axis::of_windows, window.input)
    }

    /// The result has an element for each place that windows move over.
    fn of_places(window: &Window) -> Plan {
        Plan::new(window, Axis::of_places, window.output())
    }

    fn new(window: &Window, axis: impl Fn(&Window, usize) -> Axis, source: [usize; 4]) -> Plan {
        Plan {
            vertical: axis(window, 0),
            horizontal: axis(window, 1),
            source: [source[1], source[2]],
            channels: source[3],
            row_of_taps: window.size[1],
        }
    }

    /// Calls `f` with units of whole rows of the result and the number of their first row, over all samples.
    fn each_unit<R: Send>(&self, result: &mut [R], f: impl Fn(usize, &mut [R]) + Sync) {
        let row = self.horizontal.0.len() * self.channels;
        if row == 0 {
            return;
        }
        let rows = UNIT_ELEMENTS.div_ceil(row);
        if result.len() <= rows * row || super::is_alone() {
            f(0, result);
        } else {
            result.par_chunks_mut(rows * row).enumerate().for_each(|(unit, part)| f(unit * rows, part));
        }
    }

    /// What the pixel at this row of all samples and this column meets.
    #[inline(always)]
    fn pixel(&self, row: usize, column: usize) -> Pixel<'_> {
        let at = (row * self.horizontal.0.len() + column) * self.channels;
        let (sample, row) = (row / self.vertical.0.len(), row % self.vertical.0.len());
        Pixel {
            plan: self,
            at,
            vertical: &self.vertical.0[row],
            horizontal: &self.horizontal.0[column],
            first_row: sample * self.source[0],
        }
    }
}

/// What one pixel of the result meets.
struct Pixel<'a> {
    plan: &'a Plan,
    /// Its first channel in the result.
    at: usize,
    vertical: &'a [Meeting],
    horizontal: &'a [Meeting],
    /// Where the sample starts in the source, in rows.
    first_row: usize,
}

/// Runs a block for each pixel it meets, in order, with the tap and the place of its first channel.
macro_rules! each_meeting {
    ($pixel:ident, |$tap:ident, $place:ident| $body:block) => {
        for vertical in $pixel.vertical {
            for horizontal in $pixel.horizontal {
                let row = ($pixel.first_row + vertical.place) * $pixel.plan.source[1];
                let $place = (row + horizontal.place) * $pixel.plan.channels;
                let $tap = (vertical.tap * $pixel.plan.row_of_taps + horizontal.tap) as i32;
                $body
            }
        }
    };
}

/// Computes rows of a result: `LANES` channels of one pixel after the other by a function of the pixel, the first channel and
/// their number, which is known to the compiler but for the last ones. The function must be `#[inline(always)]`.
macro_rules! each_pixel {
    ($plan:ident, $first:ident, $result:ident, $lanes:ident($($operand:expr),*)) => {
        let channels = $plan.channels;
        for (number, row) in $result.chunks_exact_mut($plan.horizontal.0.len() * channels).enumerate() {
            for (column, result) in row.chunks_exact_mut(channels).enumerate() {
                let pixel = $plan.pixel($first + number, column);
                let mut blocks = result.chunks_exact_mut(LANES);
                let mut channel = 0;
                for block in &mut blocks {
                    block.copy_from_slice(&$lanes(&pixel, $($operand,)* channel, LANES));
                    channel += LANES;
                }
                let rest = blocks.into_remainder();
                if !rest.is_empty() {
                    let lanes = $lanes(&pixel, $($operand,)* channel, rest.len());
                    for (result, lane) in rest.iter_mut().zip(lanes) {
                        *result = lane;
                    }
                }
            }
        }
    };
}

/// `width` elements from a place, filled up.
#[inline(always)]
fn load<S: Copy>(from: &[S], place: usize, width: usize, filler: S) -> [S; LANES] {
    let mut lanes = [filler; LANES];
    for (lane, &element) in lanes.iter_mut().zip(&from[place..place + width]) {
        *lane = element;
    }
    lanes
}

/// # Safety
/// None is needed; `unsafe` is what `dispatch!` expects. So below.
#[inline(always)]
unsafe fn argmax_rows<T: Real>(plan: &Plan, x: &[T], first: usize, taps: &mut [i32]) {
    each_pixel!(plan, first, taps, argmax_lanes(x));
}

#[inline(always)]
fn argmax_lanes<T: Real>(pixel: &Pixel<'_>, x: &[T], channel: usize, width: usize) -> [i32; LANES] {
    let mut best = [T::LOWEST; LANES];
    // No tap yet, so that the first wins even with −∞.
    let mut chosen = [-1; LANES];
    each_meeting!(pixel, |tap, place| {
        let line = load(x, place + channel, width, T::ZERO);
        for lane in 0..LANES {
            let (value, largest) = (line[lane], best[lane]);
            let wins = (value > largest) | (value.is_nan() & !largest.is_nan()) | (chosen[lane] < 0);
            best[lane] = if wins { value } else { largest };
            chosen[lane] = if wins { tap } else { chosen[lane] };
        }
    });
    chosen
}

/// # Safety
/// As [`argmax_rows`].
#[inline(always)]
unsafe fn take_rows<T: Real>(plan: &Plan, x: &[T], taps: &[i32], first: usize, y: &mut [T]) {
    each_pixel!(plan, first, y, take_lanes(x, taps));
}

#[inline(always)]
fn take_lanes<T: Real>(pixel: &Pixel<'_>, x: &[T], taps: &[i32], channel: usize, width: usize) -> [T; LANES] {
    let chosen = load(taps, pixel.at + channel, width, -1);
    let mut taken = [T::ZERO; LANES];
    each_meeting!(pixel, |tap, place| {
        let line = load(x, place + channel, width, T::ZERO);
        for lane in 0..LANES {
            taken[lane] = if chosen[lane] == tap { line[lane] } else { taken[lane] };
        }
    });
    taken
}

/// # Safety
/// As [`argmax_rows`].
#[inline(always)]
unsafe fn put_rows<T: Real>(plan: &Plan, y: &[T], taps: &[i32], first: usize, x: &mut [T]) {
    each_pixel!(plan, first, x, put_lanes(y, taps));
}

#[inline(always)]
fn put_lanes<T: Real>(pixel: &Pixel<'_>, y: &[T], taps: &[i32], channel: usize, width: usize) -> [T; LANES] {
    let mut sum = [T::ZERO; LANES];
    each_meeting!(pixel, |tap, place| {
        let line = load(y, place + channel, width, T::ZERO);
        let chosen = load(taps, place + channel, width, -1);
        for lane in 0..LANES {
            sum[lane] += if chosen[lane] == tap { line[lane] } else { T::ZERO };
        }
    });
    sum
}

/// # Safety
/// As [`argmax_rows`].
#[inline(always)]
unsafe fn sum_rows<T: Real>(plan: &Plan, x: &[T], first: usize, y: &mut [T]) {
    each_pixel!(plan, first, y, sum_lanes(x));
}

#[inline(always)]
fn sum_lanes<T: Real>(pixel: &Pixel<'_>, x: &[T], channel: usize, width: usize) -> [T; LANES] {
    let mut sum = [T::ZERO; LANES];
    each_meeting!(pixel, |_tap, place| {
        let line = load(x, place + channel, width, T::ZERO);
        for lane in 0..LANES {
            sum[lane] += line[lane];
        }
    });
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Calls `f` with the elements of each window, by the definition: the window's, the source's, the tap.
    fn each_element(window: &Window, mut f: impl FnMut(usize, usize, usize)) {
        let ([samples, rows, columns, channels], [_, height, width, _]) = (window.output(), window.input);
        for (sample, row, column) in product([samples, rows, columns]) {
            for (vertical, horizontal, channel) in product([window.size[0], window.size[1], channels]) {
                let y = row * window.stride[0] + vertical * window.dilation[0];
                let x = column * window.stride[1] + horizontal * window.dilation[1];
                let inside = |at: usize, before: usize, extent: usize| at >= before && at - before < extent;
                let [top, left] = [window.padding[0][0], window.padding[1][0]];
                if inside(y, top, height) && inside(x, left, width) {
                    let element = ((sample * rows + row) * columns + column) * channels + channel;
                    let source = ((sample * height + y - top) * width + x - left) * channels + channel;
                    f(element, source, vertical * window.size[1] + horizontal);
                }
            }
        }
    }

    fn product([a, b, c]: [usize; 3]) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..a).flat_map(move |i| (0..b).flat_map(move |j| (0..c).map(move |k| (i, j, k))))
    }

    /// Numbers with ties, both zeros, infinities and NaN.
    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        let special = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0];
        let number = |i: usize| {
            let bits = (i + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
            if bits % 29 < special.len() { special[bits % 29] } else { (bits % 1000) as f32 / 8.0 - 60.0 }
        };
        (0..count).map(number).collect()
    }

    fn bits(x: &[f32]) -> Vec<u32> {
        x.iter().map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }).collect()
    }

    fn windows() -> impl Strategy<Value = Window> {
        let axis = || (1usize..4, 1usize..4, [0usize..3, 0usize..3], 1usize..3);
        let channels = prop::sample::select(vec![1usize, 3, 15, 16, 17, 40]);
        ((1usize..4, 1usize..9, 1usize..9, channels), axis(), axis()).prop_map(
            |((n, h, w, c), vertical, horizontal)| Window {
                input: [n, h, w, c],
                size: [vertical.0, horizontal.0],
                stride: [vertical.1, horizontal.1],
                padding: [vertical.2, horizontal.2],
                dilation: [vertical.3, horizontal.3],
            },
        )
    }

    fn agrees_with_the_definition(window: &Window) {
        let count = |shape: [usize; 4]| shape.iter().product::<usize>();
        let (x, y) = (numbers(count(window.input), 1), numbers(count(window.output()), 2));
        let mut expected =
            (vec![-1; y.len()], vec![0.0; y.len()], vec![0.0; y.len()], vec![0.0; x.len()], vec![0.0; x.len()]);
        each_element(window, |element, source, tap| {
            let value = x[source];
            let (taps, taken, sums, _, spread) =
                (&mut expected.0, &mut expected.1, &mut expected.2, 0, &mut expected.4);
            let largest: f32 = taken[element];
            if taps[element] < 0 || value > largest || value.is_nan() && !largest.is_nan() {
                (taps[element], taken[element]) = (tap as i32, value);
            }
            sums[element] += value;
            spread[source] += y[element];
        });
        each_element(window, |element, source, tap| {
            if expected.0[element] == tap as i32 {
                expected.3[source] += y[element];
            }
        });

        let mut taps = vec![7; y.len()];
        argmax(window, &x, &mut taps);
        assert_eq!(taps, expected.0, "{window:?}");
        let (mut result, mut back) = (vec![7.0; y.len()], vec![7.0; x.len()]);
        take(window, &x, &taps, &mut result);
        assert_eq!(bits(&result), bits(&expected.1), "{window:?}");
        sum(window, &x, &mut result);
        assert_eq!(bits(&result), bits(&expected.2), "{window:?}");
        put(window, &y, &taps, &mut back);
        assert_eq!(bits(&back), bits(&expected.3), "{window:?}");
        spread(window, &y, &mut back);
        assert_eq!(bits(&back), bits(&expected.4), "{window:?}");
    }

    proptest! {
        #[test]
        fn windows_of_any_geometry_agree_with_the_definition_in_every_bit(window in windows()) {
            agrees_with_the_definition(&window);
        }
    }

    #[test]
    fn windows_over_several_units_of_work_agree_with_the_definition_in_every_bit() {
        let pool =
            Window { input: [3, 34, 32, 65], size: [2, 2], stride: [2, 2], padding: [[0; 2]; 2], dilation: [1; 2] };
        agrees_with_the_definition(&pool);
        agrees_with_the_definition(&Window { size: [3, 3], padding: [[1; 2]; 2], ..pool.clone() });
        agrees_with_the_definition(&Window { size: [3, 2], stride: [1, 3], dilation: [2, 1], ..pool });
    }
}
