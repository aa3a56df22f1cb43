//! The few statistics that claims and sweeps are judged by.
//!
//! Nothing is left out silently: a number that is not finite, or too few numbers, make the result NaN, and a check of NaN makes a
//! claim inconclusive.

/// The arithmetic mean; NaN for no numbers.
pub fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

/// The sample standard deviation, dividing by n − 1; NaN for fewer than two numbers.
pub fn deviation(numbers: &[f64]) -> f64 {
    if numbers.len() < 2 {
        return f64::NAN;
    }
    let mean = mean(numbers);
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    (squares / (numbers.len() - 1) as f64).sqrt()
}

/// The standard error of the mean; NaN for fewer than two numbers.
pub fn standard_error(numbers: &[f64]) -> f64 {
    deviation(numbers) / (numbers.len() as f64).sqrt()
}

/// The middle number, or the mean of the two middle ones; NaN for no numbers.
pub fn median(numbers: &[f64]) -> f64 {
    quantile(numbers, 0.5)
}

/// The quantile at `share` of the way from the smallest (0) to the largest (1), linear between neighbours; NaN for no numbers.
pub fn quantile(numbers: &[f64], share: f64) -> f64 {
    if numbers.is_empty() || numbers.iter().any(|number| number.is_nan()) || !(0.0..=1.0).contains(&share) {
        return f64::NAN;
    }
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    // Equal neighbours may be infinite, whose difference is NaN.
    if low == high { low } else { low + (high - low) * place.fract() }
}

/// The largest number; NaN for no numbers, or where one is NaN.
pub fn largest(numbers: impl IntoIterator<Item = f64>) -> f64 {
    numbers.into_iter().reduce(|a, b| if a.is_nan() || a > b { a } else { b }).unwrap_or(f64::NAN)
}

/// The least number; NaN for no numbers, or where one is NaN.
pub fn least(numbers: impl IntoIterator<Item = f64>) -> f64 {
    -largest(numbers.into_iter().map(|number| -number))
}

/// The mean at each place of several lists, over those that go so far.
pub fn mean_list<'l>(lists: impl IntoIterator<Item = &'l [f64]>) -> Vec<f64> {
    let lists: Vec<&[f64]> = lists.into_iter().collect();
    let longest = lists.iter().map(|list| list.len()).max().unwrap_or(0);
    let at = |place: usize| mean(&lists.iter().filter_map(|list| list.get(place).copied()).collect::<Vec<_>>());
    (0..longest).map(at).collect()
}

/// The median of `a` over the median of `b`.
pub fn ratio_of_medians(a: &[f64], b: &[f64]) -> f64 {
    median(a) / median(b)
}

/// Pearson's correlation; NaN for lists of different lengths, fewer than two pairs, or a list without variation.
pub fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let Some(moments) = Moments::of(x, y) else { return f64::NAN };
    moments.xy / (moments.xx * moments.yy).sqrt()
}

/// Spearman's rank correlation, equal numbers sharing their mean rank; NaN as for [`correlation`].
pub fn rank_correlation(x: &[f64], y: &[f64]) -> f64 {
    if x.iter().chain(y).any(|number| number.is_nan()) {
        return f64::NAN;
    }
    correlation(&ranks(x), &ranks(y))
}

/// Ranks from 1, equal numbers sharing the mean of theirs.
fn ranks(numbers: &[f64]) -> Vec<f64> {
    let rank = |number: &f64| {
        let below = numbers.iter().filter(|other| *other < number).count();
        let equal = numbers.iter().filter(|other| *other == number).count();
        below as f64 + (equal as f64 + 1.0) / 2.0
    };
    numbers.iter().map(rank).collect()
}

/// A straight line through points, with the share of the variation that it explains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// The change of y for a change of 1 in x.
    pub slope: f64,
    /// y at x = 0.
    pub intercept: f64,
    /// R²: 1 − residual squares / squares about the mean.
    pub r_squared: f64,
}

/// The line of least squares; NaN for lists of different lengths, fewer than two points or a single x. R² of a constant y is NaN.
pub fn linear_fit(x: &[f64], y: &[f64]) -> Fit {
    let Some(moments) = Moments::of(x, y) else {
        return Fit { slope: f64::NAN, intercept: f64::NAN, r_squared: f64::NAN };
    };
    let slope = moments.xy / moments.xx;
    Fit { slope, intercept: mean(y) - slope * mean(x), r_squared: moments.xy * moments.xy / (moments.xx * moments.yy) }
}

/// Sums of products about the means.
struct Moments {
    xx: f64,
    xy: f64,
    yy: f64,
}

impl Moments {
    fn of(x: &[f64], y: &[f64]) -> Option<Moments> {
        if x.len() != y.len() || x.len() < 2 {
            return None;
        }
        let (middle_x, middle_y) = (mean(x), mean(y));
        let mut moments = Moments { xx: 0.0, xy: 0.0, yy: 0.0 };
        for (x, y) in x.iter().zip(y) {
            let (x, y) = (x - middle_x, y - middle_y);
            moments.xx += x * x;
            moments.xy += x * y;
            moments.yy += y * y;
        }
        Some(moments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_to_five_have_the_moments_of_the_textbook() {
        let numbers = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!(mean(&numbers), 3.0);
        assert_eq!(deviation(&numbers), 2.5_f64.sqrt());
        assert!((standard_error(&numbers) - 0.5_f64.sqrt()).abs() < 1e-15);
        assert_eq!(median(&numbers), 3.0);
        assert_eq!(median(&numbers[1..]), 2.5);
        assert_eq!([0.0, 0.25, 0.6, 1.0].map(|share| quantile(&numbers, share)), [1.0, 2.0, 3.4, 5.0]);
        assert_eq!(ratio_of_medians(&numbers, &[1.0, 2.0]), 2.0);
    }

    #[test]
    fn too_few_numbers_and_numbers_that_are_none_give_none() {
        assert!(mean(&[]).is_nan() && median(&[]).is_nan() && deviation(&[1.0]).is_nan());
        assert!(median(&[1.0, f64::NAN]).is_nan() && quantile(&[1.0], 1.5).is_nan());
        assert!(correlation(&[1.0, 2.0], &[1.0]).is_nan() && rank_correlation(&[1.0, 2.0], &[3.0, f64::NAN]).is_nan());
        assert!(rank_correlation(&[1.0, 2.0], &[3.0, 3.0]).is_nan());
        assert_eq!(median(&[1.0, f64::INFINITY, f64::INFINITY]), f64::INFINITY);
        for hidden in [[f64::NAN, 1.0, 2.0], [1.0, f64::NAN, 2.0], [1.0, 2.0, f64::NAN]] {
            assert!(largest(hidden).is_nan() && least(hidden).is_nan());
        }
        assert!(largest([]).is_nan() && least([]).is_nan());
        assert_eq!((largest([-2.0, -1.0, -3.0]), least([2.0, 1.0, 3.0])), (-1.0, 1.0));
    }

    #[test]
    fn lists_of_different_lengths_have_a_mean_as_far_as_the_longest_goes() {
        assert_eq!(mean_list([&[1.0, 2.0][..], &[3.0]]), [2.0, 2.0]);
        assert!(mean_list([]).is_empty());
    }

    #[test]
    fn a_rising_curve_has_rank_correlation_one_and_ties_share_their_rank() {
        let x = [1.0, 2.0, 3.0, 4.0];
        assert!((rank_correlation(&x, &x.map(f64::exp)) - 1.0).abs() < 1e-15);
        assert!((rank_correlation(&x, &x.map(|x| -x * x)) + 1.0).abs() < 1e-15);
        assert_eq!(ranks(&[10.0, 20.0, 10.0, 5.0]), [2.5, 4.0, 2.5, 1.0]);
        // 1 − 6 Σ d² / (n (n² − 1)) with differences of rank 1, 1, 0, 0.
        assert!((rank_correlation(&x, &[2.0, 1.0, 3.0, 4.0]) - 0.8).abs() < 1e-15);
    }

    #[test]
    fn points_on_a_line_give_the_line() {
        let x = [0.0, 1.0, 2.0, 5.0];
        let fit = linear_fit(&x, &x.map(|x| 3.0 - 2.0 * x));
        assert!(
            (fit.slope + 2.0).abs() < 1e-12
                && (fit.intercept - 3.0).abs() < 1e-12
                && (fit.r_squared - 1.0).abs() < 1e-12
        );
        // About the means Σxy = 1, Σxx = 2, Σyy = 2/3: R² = 3/4.
        let fit = linear_fit(&[0.0, 1.0, 2.0], &[0.0, 1.0, 1.0]);
        assert!((fit.slope - 0.5).abs() < 1e-15 && (fit.r_squared - 0.75).abs() < 1e-15);
        assert!(linear_fit(&[1.0, 1.0], &[0.0, 1.0]).slope.is_nan());
    }
}
