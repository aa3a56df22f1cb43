//! The range of several runs.

use std::ops::Range;

/// The smallest and the largest number of several runs at each step, such as the training losses of runs at different rates.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// The smallest.
    pub low: Vec<f64>,
    /// The largest.
    pub high: Vec<f64>,
}

impl Band {
    /// The band of runs, as long as the shortest of them. A number that is not finite makes it infinitely wide there.
    pub fn of<R: AsRef<[f64]>>(runs: &[R]) -> Band {
        let steps = runs.iter().map(|run| run.as_ref().len()).min().unwrap_or(0);
        let at = |step: usize, extreme: fn(f64, f64) -> f64, worst: f64| {
            let numbers = runs.iter().map(|run| run.as_ref()[step]);
            numbers.map(|number| if number.is_finite() { number } else { worst }).reduce(extreme).unwrap_or(worst)
        };
        Band {
            low: (0..steps).map(|step| at(step, f64::min, f64::NEG_INFINITY)).collect(),
            high: (0..steps).map(|step| at(step, f64::max, f64::INFINITY)).collect(),
        }
    }

    /// How wide it is at each step.
    pub fn widths(&self) -> Vec<f64> {
        self.high.iter().zip(&self.low).map(|(high, low)| high - low).collect()
    }

    /// The mean width over some steps, counted from 0; NaN where there are none of them.
    pub fn mean_width(&self, steps: Range<usize>) -> f64 {
        let widths = self.widths();
        let chosen = widths.get(steps.start..steps.end.min(widths.len())).unwrap_or_default();
        chosen.iter().sum::<f64>() / chosen.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_is_the_range_at_each_step_of_the_shortest_run() {
        let band = Band::of(&[vec![1.0, 5.0, 2.0], vec![3.0, 4.0], vec![2.0, 9.0, 0.0]]);
        assert_eq!(band, Band { low: vec![1.0, 4.0], high: vec![3.0, 9.0] });
        assert_eq!(band.widths(), [2.0, 5.0]);
        assert_eq!((band.mean_width(0..2), band.mean_width(1..9)), (3.5, 5.0));
        assert!(band.mean_width(2..2).is_nan() && band.mean_width(7..9).is_nan());
    }

    #[test]
    fn a_run_that_diverged_is_infinitely_far_from_the_others() {
        let band = Band::of(&[[1.0, f64::NAN], [1.5, 1.0]]);
        assert_eq!(band.widths(), [0.5, f64::INFINITY]);
        assert!(Band::of::<Vec<f64>>(&[]).widths().is_empty());
    }
}
