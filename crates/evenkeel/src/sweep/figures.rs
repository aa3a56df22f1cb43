//! Which figures does the page of a sweep show?

use super::results::{Mean, Results, Row};
use super::state::State;
use crate::report::Figure;
use crate::statistics::{mean, standard_error};
use crate::store::{Metrics, Run};

/// Courses of the loss that are shown, those of the best combinations.
const COURSES: usize = 5;
/// From this ratio on, two values are shown on a logarithmic axis.
const DECADE: f64 = 10.0;

/// A number of a row that figures show.
struct Quantity {
    title: &'static str,
    name: &'static str,
    of: fn(&Row) -> Option<&Mean>,
}

const ACCURACY: Quantity =
    Quantity { title: "Test accuracy", name: "test accuracy", of: |row| row.test_accuracy.as_ref() };
const LOSS: Quantity = Quantity { title: "Test loss", name: "test loss", of: |row| row.test_loss.as_ref() };
const SHARPNESS: Quantity =
    Quantity { title: "Sharpness at the end", name: "largest eigenvalue", of: |row| row.lambda_max.as_ref() };

/// Name and content.
pub(super) fn all(results: &Results) -> Vec<(&'static str, Figure)> {
    let mut figures = Vec::new();
    if results.points.len() > 1 {
        let quantities = [("accuracy", ACCURACY), ("loss", LOSS), ("sharpness", SHARPNESS)];
        let known = quantities.into_iter().filter(|(_, one)| results.points.iter().any(|row| (one.of)(row).is_some()));
        figures.extend(known.map(|(id, quantity)| (id, against_values(results, &quantity))));
    }
    figures.extend(course(results).map(|figure| ("course", figure)));
    figures
}

/// A quantity against the values of one setting, a line for each combination of the others.
fn against_values(results: &Results, quantity: &Quantity) -> Figure {
    let names: Vec<&str> = results.axes.keys().map(String::as_str).collect();
    let values = |axis: usize| {
        let mut values: Vec<&str> = Vec::new();
        // Where nothing came to its end, there is nothing to draw, and no place is left for it.
        for value in
            results.points.iter().filter(|row| (quantity.of)(row).is_some()).filter_map(|row| row.values().nth(axis))
        {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    };
    let numbers = |axis: usize| values(axis).iter().map(|value| value.parse().ok()).collect::<Option<Vec<f64>>>();
    // Along numbers a line says most; along the setting with most of them there are fewest lines.
    let along = (0..names.len())
        .filter(|axis| numbers(*axis).is_some())
        .max_by_key(|axis| (values(*axis).len(), names.len() - axis));
    let (axis, places) = match along.filter(|axis| values(*axis).len() > 1) {
        Some(axis) => (axis, numbers(axis)),
        None => (0, None),
    };
    let categories = values(axis);
    let mut figure = match &places {
        Some(places) => {
            let figure = Figure::lines(quantity.title, names[axis], quantity.name);
            if are_geometric(places) { figure.log_x() } else { figure }
        }
        None => Figure::bars(quantity.title, &categories, quantity.name),
    };
    let means: Vec<f64> = results.points.iter().filter_map(|row| Some((quantity.of)(row)?.mean)).collect();
    if places.is_some() && spans_decades(&means) {
        figure = figure.log_y();
    }
    let x = places.unwrap_or_else(|| (0..categories.len()).map(|index| index as f64).collect());
    let line_of = |row: &Row| named(row, |place| place != axis);
    let mut lines: Vec<String> = Vec::new();
    for line in results.points.iter().map(line_of) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    for line in lines {
        let of_line: Vec<&Row> = results.points.iter().filter(|row| line_of(row) == line).collect();
        let at = |value: &&str| {
            of_line.iter().find(|row| row.values().nth(axis) == Some(value)).and_then(|row| (quantity.of)(row))
        };
        let means: Vec<Option<&Mean>> = categories.iter().map(at).collect();
        let y: Vec<f64> = means.iter().map(|mean| mean.map_or(f64::NAN, |mean| mean.mean)).collect();
        let error = |mean: &Option<&Mean>| mean.and_then(|mean| mean.standard_error).unwrap_or(f64::NAN);
        let errors: Vec<f64> = means.iter().map(error).collect();
        let mut order: Vec<usize> = (0..x.len()).collect();
        order.sort_by(|a, b| x[*a].total_cmp(&x[*b]));
        let sorted = |values: &[f64]| order.iter().map(|index| values[*index]).collect::<Vec<f64>>();
        let name = if line.is_empty() { quantity.name.to_owned() } else { line };
        figure = figure.means(name, &sorted(&x), &sorted(&y), &sorted(&errors));
    }
    figure.caption(format!("Mean over the seeds that finished{}.", with_errors(results)))
}

/// The settings of a row that are wanted, by their place: `lr=0.1, norm=batch`.
fn named(row: &Row, wanted: impl Fn(usize) -> bool) -> String {
    let settings = row.settings.iter().enumerate().filter(|(place, _)| wanted(*place));
    let words = settings.map(|(_, (name, value))| format!("{name}={}", value.as_str().unwrap_or_default()));
    words.collect::<Vec<_>>().join(", ")
}

fn with_errors(results: &Results) -> &'static str {
    if results.seeds.len() > 1 { ", with its standard error" } else { "" }
}

/// The test loss of the best combinations over the epochs.
fn course(results: &Results) -> Option<Figure> {
    let ranking = results.ranking();
    let shown: Vec<usize> = ranking.iter().copied().take(COURSES).collect();
    let mut figure = Figure::lines("Test loss in training", "epoch", "test loss");
    let (mut all, mut any) = (Vec::new(), false);
    for index in shown {
        let row = &results.points[index];
        let finished = row.runs.iter().filter(|run| matches!(run.state, State::Finished(_)));
        // A run whose metrics cannot be read has no course to show; its page says why.
        let metrics = finished.filter_map(|run| Run::open(&run.run).ok()?.metrics().ok());
        let courses: Vec<Vec<(f64, f64)>> = metrics.map(|metrics| losses(&metrics)).collect();
        let Some(epochs) = courses.iter().min_by_key(|course| course.len()).filter(|course| !course.is_empty()) else {
            continue;
        };
        let x: Vec<f64> = epochs.iter().map(|(epoch, _)| *epoch).collect();
        let at = |place: usize| courses.iter().map(|course| course[place].1).collect::<Vec<f64>>();
        let y: Vec<f64> = (0..x.len()).map(|place| mean(&at(place))).collect();
        let errors: Vec<f64> = (0..x.len()).map(|place| standard_error(&at(place))).collect();
        let name = named(row, |_| true);
        let name = if name.is_empty() { "test loss".to_owned() } else { name };
        all.extend(&y);
        any = true;
        figure = figure.means(name, &x, &y, &errors);
    }
    let which = match (ranking.len(), results.points.len()) {
        (_, 1) => String::new(),
        (known, _) if known > COURSES => format!("of the best {COURSES} combinations, "),
        _ => "of each combination, the best first, ".to_owned(),
    };
    let figure =
        figure.caption(format!("After each epoch, {which}mean over the seeds that finished{}.", with_errors(results)));
    any.then(|| if spans_decades(&all) { figure.log_y() } else { figure })
}

fn losses(metrics: &Metrics) -> Vec<(f64, f64)> {
    metrics.records.iter().filter_map(|record| Some((record.epoch, record.get("test_loss")?))).collect()
}

/// Whether equal ratios describe the values better than equal steps do.
fn are_geometric(values: &[f64]) -> bool {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(&first), Some(&last)) = (sorted.first(), sorted.last()) else { return false };
    if first <= 0.0 || !last.is_finite() {
        return false;
    }
    if sorted.len() < 3 {
        return last / first >= DECADE;
    }
    let unevenness = |of: fn(f64) -> f64| {
        let steps: Vec<f64> = sorted.windows(2).map(|pair| of(pair[1]) - of(pair[0])).collect();
        let most = steps.iter().copied().fold(0.0, f64::max);
        most / (steps.iter().sum::<f64>() / steps.len() as f64)
    };
    unevenness(f64::ln) < unevenness(|value| value)
}

/// Whether all values are positive and far apart.
fn spans_decades(values: &[f64]) -> bool {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    least > 0.0 && most.is_finite() && most / least > 3.0 * DECADE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_grow_by_a_factor_are_told_from_those_that_grow_by_steps() {
        for values in [&[0.01, 0.1][..], &[0.4, 0.1, 0.2], &[0.001, 0.003, 0.01, 0.03], &[1.0, 2.0, 4.0, 8.0]] {
            assert!(are_geometric(values), "{values:?}");
        }
        for values in
            [&[][..], &[0.1], &[0.1, 0.2], &[0.0, 0.1, 1.0], &[1.0, 2.0, 3.0], &[0.0, 0.5, 0.9], &[-1.0, 10.0]]
        {
            assert!(!are_geometric(values), "{values:?}");
        }
    }
}
