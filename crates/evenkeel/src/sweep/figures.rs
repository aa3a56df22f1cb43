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
    /// Whether it is a share of 1.
    shares: bool,
}

const ACCURACY: Quantity =
    Quantity { title: "Test accuracy", name: "test accuracy", of: |row| row.test_accuracy.as_ref(), shares: true };
const LOSS: Quantity =
    Quantity { title: "Test loss", name: "test loss", of: |row| row.test_loss.as_ref(), shares: false };
const SHARPNESS: Quantity =
    Quantity { title: "Sharpness at the end", name: "λ_max", of: |row| row.lambda_max.as_ref(), shares: false };

/// Name and content.
pub(super) fn all(results: &Results) -> Vec<(&'static str, Figure)> {
    let mut figures = Vec::new();
    let maps = [("accuracy-map", ACCURACY), ("loss-map", LOSS)];
    figures.extend(maps.into_iter().filter_map(|(id, quantity)| Some((id, map(results, &quantity)?))));
    if results.points.len() > 1 {
        let quantities = [("accuracy", ACCURACY), ("loss", LOSS), ("sharpness", SHARPNESS)];
        let known = quantities.into_iter().filter(|(_, one)| results.points.iter().any(|row| (one.of)(row).is_some()));
        figures.extend(known.map(|(id, quantity)| (id, against_values(results, &quantity))));
    }
    figures.extend(course(results).map(|figure| ("course", figure)));
    figures
}

/// A quantity over the values of two settings; nothing where there are not just two, each with several values.
fn map(results: &Results, quantity: &Quantity) -> Option<Figure> {
    let names: Vec<&str> = results.axes.keys().map(String::as_str).collect();
    let values = |axis: usize| {
        let mut values: Vec<&str> = Vec::new();
        for value in results.points.iter().filter_map(|row| row.values().nth(axis)) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        // Numbers go up to the right and downwards, whatever their order in the grid.
        if let Some(mut numbers) =
            values.iter().map(|value| Some((value.parse::<f64>().ok()?, *value))).collect::<Option<Vec<_>>>()
        {
            numbers.sort_by(|a, b| a.0.total_cmp(&b.0));
            values = numbers.into_iter().map(|(_, value)| value).collect();
        }
        values
    };
    let [first, second] = &names[..] else { return None };
    let (mut rows, mut columns) = ((0, *first, values(0)), (1, *second, values(1)));
    if rows.2.len().min(columns.2.len()) < 2 {
        return None;
    }
    // The page is long rather than wide.
    if columns.2.len() > rows.2.len() {
        (rows, columns) = (columns, rows);
    }
    let means: Vec<f64> = results.points.iter().filter_map(|row| Some((quantity.of)(row)?.mean)).collect();
    if means.is_empty() {
        return None;
    }
    let title = format!("{} by {} and {}", quantity.title, rows.1, columns.1);
    let mut figure = Figure::map(title, columns.1, &columns.2, rows.1, quantity.name);
    for value in &rows.2 {
        let at = |column: &&str| {
            let is =
                |row: &&Row| row.values().nth(rows.0) == Some(*value) && row.values().nth(columns.0) == Some(*column);
            results.points.iter().find(is)
        };
        let cells: Vec<Option<&Row>> = columns.2.iter().map(at).collect();
        let mean = |of: fn(&Mean) -> Option<f64>| -> Vec<f64> {
            let number = |row: &Option<&Row>| row.and_then(quantity.of).and_then(of).unwrap_or(f64::NAN);
            cells.iter().map(number).collect()
        };
        let remarks = cells.iter().map(|row| row.map(remark).unwrap_or_default()).collect();
        figure = figure.row(*value, &mean(|mean| Some(mean.mean)), &mean(|mean| mean.standard_error), remarks);
    }
    let figure = if quantity.shares { figure.shares() } else { figure };
    let (figure, scale) = match !quantity.shares && spans_decades(&means) {
        true => (figure.log_y(), ", on a logarithmic scale"),
        false => (figure, ""),
    };
    Some(figure.caption(format!("Mean over the seeds that finished; brighter is better{scale}.")))
}

/// What a cell says of runs that did not come to their end: `diverged`, `1 of 3 seeds`.
fn remark(row: &Row) -> String {
    let is = |wanted: fn(&State) -> bool| row.runs.iter().any(|run| wanted(&run.state));
    match row.finished {
        0 if is(|state| matches!(state, State::Diverged { .. })) => "diverged".to_owned(),
        0 if is(|state| matches!(state, State::Failed { .. })) => "failed".to_owned(),
        0 => "to do".to_owned(),
        some if some < row.runs.len() => format!("{some} of {} seeds", row.runs.len()),
        _ => String::new(),
    }
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
    if quantity.shares {
        figure = figure.shares();
    } else if places.is_some() && spans_decades(&means) {
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
    let lost = match results.points.iter().filter(|row| row.finished == 0).count() {
        0 => String::new(),
        1 => " One combination has no number, as none of its runs came to its end.".to_owned(),
        lost => format!(" {lost} combinations have no number, as none of their runs came to its end."),
    };
    figure.caption(format!("Mean over the seeds that finished{}.{lost}", with_errors(results)))
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
    use super::super::results::Ran;
    use super::super::state::Numbers;
    use super::*;
    use crate::report::drawing;
    use serde_json::json;

    /// A sweep of two settings with two seeds each: accuracies of those that finished.
    fn results(points: &[(&str, &str, &[Option<f64>])]) -> Results {
        let row = |(lr, norm, seeds): &(&str, &str, &[Option<f64>])| {
            let known: Vec<f64> = seeds.iter().flatten().copied().collect();
            let number = |value: f64| Numbers {
                seconds: 1.0,
                train_loss: 0.1,
                test_loss: 0.1,
                test_accuracy: Some(value),
                lambda_max: None,
            };
            let state = |value: &Option<f64>| match value {
                Some(value) => State::Finished(number(*value)),
                None => State::Diverged { step: 3 },
            };
            let ran =
                |(seed, value): (usize, &Option<f64>)| Ran { seed: seed as u64, run: "".into(), state: state(value) };
            Row {
                settings: [("lr".to_owned(), json!(lr)), ("norm".to_owned(), json!(norm))].into_iter().collect(),
                folder: String::new(),
                finished: known.len(),
                best: false,
                test_accuracy: (!known.is_empty()).then(|| Mean { mean: mean(&known), standard_error: None }),
                test_loss: None,
                train_loss: None,
                lambda_max: None,
                seconds: None,
                runs: seeds.iter().enumerate().map(ran).collect(),
            }
        };
        Results {
            sweep: "".into(),
            axes: [("lr".to_owned(), json!("optimizer.learning_rate")), ("norm".to_owned(), json!("norm"))]
                .into_iter()
                .collect(),
            seeds: vec![0, 1],
            points: points.iter().map(row).collect(),
        }
    }

    #[test]
    fn two_settings_are_a_map_with_a_number_in_each_cell_and_words_where_there_is_none() {
        let found = results(&[
            ("0.3", "none", &[None, None]),
            ("0.3", "batch", &[Some(0.9), None]),
            ("0.1", "none", &[Some(0.5), Some(0.7)]),
            ("0.1", "batch", &[Some(0.8), Some(0.8)]),
            ("0.03", "none", &[Some(0.25), Some(0.25)]),
            ("0.03", "batch", &[Some(0.4), Some(0.4)]),
        ]);
        let figures = all(&found);
        assert_eq!(figures.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["accuracy-map", "accuracy"]);
        let drawn = drawing::figure("accuracy-map", &figures[0].1).unwrap().plot.unwrap();
        let (cells, words) = (&drawn["data"][0], &drawn["data"][1]);
        // The setting with more values goes down the page, numbers from the least to the largest.
        assert_eq!((&cells["y"], &cells["x"]), (&json!(["0.03", "0.1", "0.3"]), &json!(["none", "batch"])));
        assert_eq!(cells["z"], json!([[0.25, 0.4], [0.6, 0.8], [null, 0.9]]));
        assert_eq!((&cells["zmin"], &cells["zmax"]), (&json!(0.25), &json!(0.9)));
        assert_eq!(cells["text"][1], json!(["60.0\u{a0}%", "80.0\u{a0}%"]));
        assert_eq!(cells["text"][2], json!(["", "90.0\u{a0}%<br>1 of 2 seeds"]));
        let place = [&words["y"], &words["x"], &words["text"]];
        assert_eq!(place, [&json!(["0.3"]), &json!(["none"]), &json!(["diverged"])]);
        assert_eq!(cells["texttemplate"], "%{text}");
        let table = drawing::table(&figures[0].1);
        assert_eq!((&table["series"][2], &table["x"][2], &table["y"][2]), (&json!("0.1"), &json!("none"), &json!(0.6)));
    }

    #[test]
    fn one_setting_with_several_values_is_no_map() {
        let found = results(&[("0.3", "none", &[Some(0.9)]), ("0.1", "none", &[Some(0.5)])]);
        assert_eq!(all(&found).iter().map(|(id, _)| *id).collect::<Vec<_>>(), ["accuracy"]);
    }

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
