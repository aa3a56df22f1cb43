//! Sliding windows over `[N, H, W, C]`: sums, maxima and their transposes. Channels are the inner loop.

use super::real::Real;
use evenkeel_graph::op::Window;
use rayon::prelude::*;

/// The tap of each window that holds its first largest element; a NaN counts as the largest.
pub(crate) fn argmax<T: Real>(window: &Window, x: &[T], taps: &mut [i32]) {
    let channels = window.input[3];
    each_sample(window.output(), taps, |sample, taps| {
        let x = part(x, window.input, sample);
        let mut best = vec![T::ZERO; channels];
        each_window(window, |place, sources| {
            let taps = &mut taps[place * channels..(place + 1) * channels];
            for (first, (tap, source)) in sources.iter().enumerate().map(|(n, s)| (n == 0, s)) {
                let line = &x[source * channels..(source + 1) * channels];
                for ((value, best), chosen) in line.iter().zip(&mut best).zip(&mut *taps) {
                    if first || *value > *best || (value.is_nan() && !best.is_nan()) {
                        *best = *value;
                        *chosen = *tap as i32;
                    }
                }
            }
        });
    });
}

/// The chosen element of each window.
pub(crate) fn take<T: Real>(window: &Window, x: &[T], taps: &[i32], y: &mut [T]) {
    let channels = window.input[3];
    each_sample(window.output(), y, |sample, y| {
        let x = part(x, window.input, sample);
        let taps = part(taps, window.output(), sample);
        each_window(window, |place, sources| {
            for (tap, source) in sources {
                for channel in 0..channels {
                    if taps[place * channels + channel] == *tap as i32 {
                        y[place * channels + channel] = x[source * channels + channel];
                    }
                }
            }
        });
    });
}

/// Each element of `y` added at the chosen place of its window.
pub(crate) fn put<T: Real>(window: &Window, y: &[T], taps: &[i32], x: &mut [T]) {
    let channels = window.input[3];
    each_sample(window.input, x, |sample, x| {
        x.fill(T::ZERO);
        let y = part(y, window.output(), sample);
        let taps = part(taps, window.output(), sample);
        each_window(window, |place, sources| {
            for (tap, source) in sources {
                for channel in 0..channels {
                    if taps[place * channels + channel] == *tap as i32 {
                        x[source * channels + channel] += y[place * channels + channel];
                    }
                }
            }
        });
    });
}

/// The sum of each window.
pub(crate) fn sum<T: Real>(window: &Window, x: &[T], y: &mut [T]) {
    let channels = window.input[3];
    each_sample(window.output(), y, |sample, y| {
        y.fill(T::ZERO);
        let x = part(x, window.input, sample);
        each_window(window, |place, sources| {
            for (_, source) in sources {
                for channel in 0..channels {
                    y[place * channels + channel] += x[source * channels + channel];
                }
            }
        });
    });
}

/// Each element of `y` added at every place its window covers.
pub(crate) fn spread<T: Real>(window: &Window, y: &[T], x: &mut [T]) {
    let channels = window.input[3];
    each_sample(window.input, x, |sample, x| {
        x.fill(T::ZERO);
        let y = part(y, window.output(), sample);
        each_window(window, |place, sources| {
            for (_, source) in sources {
                for channel in 0..channels {
                    x[source * channels + channel] += y[place * channels + channel];
                }
            }
        });
    });
}

fn part<S>(all: &[S], shape: [usize; 4], sample: usize) -> &[S] {
    let length = shape[1] * shape[2] * shape[3];
    &all[sample * length..(sample + 1) * length]
}

/// Samples are the chunks: they never share a result.
fn each_sample<R: Send>(shape: [usize; 4], result: &mut [R], f: impl Fn(usize, &mut [R]) + Sync) {
    let length = shape[1] * shape[2] * shape[3];
    if length > 0 {
        result.par_chunks_mut(length).enumerate().for_each(|(sample, part)| f(sample, part));
    }
}

/// Calls `f` with each window's place and its taps that lie inside the sample, as (tap, pixel).
fn each_window(window: &Window, mut f: impl FnMut(usize, &[(usize, usize)])) {
    let [_, rows, columns, _] = window.output();
    let mut sources = Vec::with_capacity(window.size[0] * window.size[1]);
    for row in 0..rows {
        for column in 0..columns {
            sources.clear();
            for vertical in 0..window.size[0] {
                for horizontal in 0..window.size[1] {
                    let y = (row * window.stride[0] + vertical * window.dilation[0]).checked_sub(window.padding[0][0]);
                    let x =
                        (column * window.stride[1] + horizontal * window.dilation[1]).checked_sub(window.padding[1][0]);
                    if let (Some(y), Some(x)) = (y, x)
                        && y < window.input[1]
                        && x < window.input[2]
                    {
                        sources.push((vertical * window.size[1] + horizontal, y * window.input[2] + x));
                    }
                }
            }
            f(row * columns + column, &sources);
        }
    }
}
