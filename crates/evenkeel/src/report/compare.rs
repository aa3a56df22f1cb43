//! In what do some runs differ, in their settings and in what became of them?
//!
//! Runs whose settings differ in the seed alone are one line: their mean, with a band of one standard deviation.

use std::collections::HashSet;
use std::fmt::Write;

use serde_json::{Map, Value};

use super::facts::count;
use super::page::{Page, figure_html};
use super::text::{escape, significant};
use super::{Figure, drawing};
use crate::store::settings::plain;
use crate::store::{Metrics, Run, layer_metrics};
use crate::{Error, Result};

/// Keys that tell neither what was trained nor how.
const NOT_COMPARED: [&str; 2] = ["seed", "version"];
/// What is shown first.
const FIRST: [&str; 4] = ["test_accuracy", "test_loss", "train_accuracy", "train_loss"];
/// The most points of a line; a longer one has the means of stretches of equal length.
const DRAWN: usize = 600;
/// A range over which an axis becomes logarithmic.
const WIDE: f64 = 30.0;

/// Some runs, side by side.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// What they are called.
    pub names: Vec<String>,
    /// Keys whose values are not the same in all runs, with the value of each; `None` where a run has none.
    pub settings: Vec<(String, Vec<Option<String>>)>,
    /// All metrics, with the last value of each run.
    pub last: Vec<(String, Vec<Option<f64>>)>,
    /// Runs that differ in the seed alone, by index.
    groups: Vec<Vec<usize>>,
    metrics: Vec<Metrics>,
}

impl Comparison {
    /// Reads the runs.
    ///
    /// # Errors
    /// When there are fewer than two, or one cannot be read.
    pub fn of(runs: &[Run]) -> Result<Comparison> {
        if runs.len() < 2 {
            return Err(Error::input("a comparison needs at least two runs").detail("got", runs.len()));
        }
        let tables = runs.iter().map(Run::settings).collect::<Result<Vec<_>>>()?;
        let tables: Vec<Vec<(String, String)>> = tables
            .into_iter()
            .map(|rows| rows.into_iter().map(|(key, value)| (key, plain(&value))).collect())
            .collect();
        let metrics = runs.iter().map(Run::metrics).collect::<Result<Vec<_>>>()?;
        let of = |table: &[(String, String)], key: &str| {
            table.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
        };
        let mut settings = Vec::new();
        for key in union(tables.iter().flatten().map(|(key, _)| key.as_str())) {
            let values: Vec<_> = tables.iter().map(|table| of(table, &key)).collect();
            if values.windows(2).any(|pair| pair[0] != pair[1]) {
                settings.push((key, values));
            }
        }
        let compared = settings.iter().filter(|(key, _)| !NOT_COMPARED.contains(&key.as_str()));
        let groups = grouped(runs.len(), &compared.map(|(_, values)| values.as_slice()).collect::<Vec<_>>());
        let recorded = metrics.iter().flat_map(|metrics| &metrics.records).flat_map(|record| &record.values);
        let mut names = union(recorded.map(|(name, _)| name.as_str()));
        names.sort_by_key(|name| FIRST.iter().position(|first| first == name).unwrap_or(FIRST.len()));
        let last = names.into_iter().map(|name| {
            let values = metrics.iter().map(|metrics| metrics.last(&name)).collect();
            (name, values)
        });
        let last = last.collect();
        Ok(Comparison { names: distinct(runs), settings, last, groups, metrics })
    }

    /// Runs that differ in the seed alone, by their index.
    pub fn groups(&self) -> &[Vec<usize>] {
        &self.groups
    }

    /// The comparison as a page that opens offline: the settings, the curves of all metrics over the same steps, those of single layers
    /// folded, and the last values.
    ///
    /// # Errors
    /// When a figure cannot be laid out.
    pub fn html(&self) -> Result<String> {
        let mut figures = Vec::new();
        let mut tables = Map::new();
        for (index, (name, _)) in self.last.iter().enumerate() {
            let figure = self.figure(name);
            // Names of metrics hold what an identifier cannot.
            let id = format!("metric-{index}");
            tables.insert(id.clone(), drawing::table(&figure));
            figures.push(drawing::figure(&id, &figure)?);
        }
        let text = |value: &Option<String>| value.as_deref().map_or_else(|| "–".to_owned(), escape);
        let number = |value: &Option<f64>| value.map_or_else(|| "–".to_owned(), |value| significant(value, 5));
        let mut body = self.table("Settings that differ", "Setting", &self.settings, text);
        let is_of_layers = |place: usize| layer_metrics::parts(&self.last[place].0).is_some();
        let places = |of_layers: bool| -> String {
            let wanted = figures.iter().enumerate().filter(|(place, _)| is_of_layers(*place) == of_layers);
            wanted.map(|(_, figure)| figure_html(figure)).collect()
        };
        let of_layers = (0..figures.len()).filter(|place| is_of_layers(*place)).count();
        let _ = write!(body, "<section class=\"figures\">{}</section>", places(false));
        if of_layers > 0 {
            // There may be hundreds of them: they are drawn when they are asked for.
            let all = count(of_layers, "figure", "figures");
            let _ = write!(
                body,
                "<section><h2>Layers</h2><details><summary>{all} of single layers</summary><div class=\"figures\">{}</div>\
                 </details></section>",
                places(true)
            );
        }
        body.push_str(&self.table("Last values", "Metric", &self.last, number));
        let page = Page {
            kicker: "Evenkeel runs",
            name: &title(&self.names),
            state: "",
            body: &body,
            version: None,
            footer: "",
            tables: Value::Object(tables),
            figures: &figures,
        };
        page.render()
    }

    /// The courses of one metric, a line a group.
    fn figure(&self, metric: &str) -> Figure {
        let quantity = layer_metrics::parts(metric).map_or(metric, |(quantity, _)| quantity).replace('_', " ");
        let mut figure = Figure::lines(capital(&in_words(metric)), "step", quantity);
        let shares = metric.ends_with("accuracy");
        let (mut stretch, mut banded) = (1, false);
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for group in &self.groups {
            let courses: Vec<Vec<(u64, f64)>> =
                group.iter().map(|run| self.metrics[*run].series(metric)).filter(|course| !course.is_empty()).collect();
            let Some((steps, values)) = aligned(&courses) else { continue };
            let thinned = steps.len().div_ceil(DRAWN);
            stretch = stretch.max(thinned);
            banded |= courses.len() > 1;
            let means = |list: &[f64]| -> Vec<f64> {
                list.chunks(thinned).map(|part| part.iter().sum::<f64>() / part.len() as f64).collect()
            };
            let values: Vec<Vec<f64>> = values.iter().map(|list| means(list)).collect();
            for value in values.iter().flatten().filter(|value| value.is_finite()) {
                (least, most) = (least.min(*value), most.max(*value));
            }
            figure = figure.over_seeds(self.label(group), &means(&steps), &values);
        }
        let mut caption = match (stretch, banded) {
            (1, false) => String::new(),
            (1, true) => "Mean over seeds, and one standard deviation on both sides.".to_owned(),
            (_, false) => format!("Means of up to {stretch} points."),
            (_, true) => {
                format!("Means of up to {stretch} points and over seeds; one standard deviation on both sides.")
            }
        };
        if shares {
            figure = figure.shares();
        } else if least > 0.0 && most / least > WIDE {
            figure = figure.log_y();
            caption = format!("{caption} Logarithmic scale.").trim_start().to_owned();
        }
        figure.caption(caption)
    }

    /// What a line is called: by the run, or by what its group has in common.
    fn label(&self, group: &[usize]) -> String {
        let first = group.first().copied().unwrap_or(0);
        let own = self.settings.iter().filter(|(key, _)| !NOT_COMPARED.contains(&key.as_str()));
        let own: Vec<String> =
            own.filter_map(|(key, values)| Some(format!("{key} {}", values.get(first)?.as_deref()?))).collect();
        let who = match group {
            [one] => self.names[*one].clone(),
            several => format!("{} seeds like {}", several.len(), self.names[first]),
        };
        match own.len() {
            1 | 2 => format!("{who} ({})", own.join(", ")),
            _ => who,
        }
    }

    fn table<T>(&self, title: &str, what: &str, rows: &[(String, Vec<T>)], shown: impl Fn(&T) -> String) -> String {
        if rows.is_empty() {
            return format!("<section><h2>{title}</h2><p class=\"empty\">None.</p></section>");
        }
        let mut html = format!(
            "<section><h2>{title}</h2><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\"><table>\
             <thead><tr><th class=\"words\">{what}</th>"
        );
        for name in &self.names {
            let _ = write!(html, "<th>{}</th>", escape(name));
        }
        html.push_str("</tr></thead><tbody>");
        for (name, values) in rows {
            let _ = write!(html, "<tr><td class=\"words\">{}</td>", escape(name));
            for value in values {
                let _ = write!(html, "<td>{}</td>", shown(value));
            }
            html.push_str("</tr>");
        }
        html + "</tbody></table></div></section>"
    }
}

/// Each once, in the order they are met.
fn union<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = HashSet::new();
    names.filter(|name| seen.insert(*name)).map(str::to_owned).collect()
}

/// Indices with equal values in every column, in order.
fn grouped(count: usize, columns: &[&[Option<String>]]) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for index in 0..count {
        let alike = |other: usize| columns.iter().all(|values| values.get(index) == values.get(other));
        match groups.iter_mut().find(|group| group.first().is_some_and(|first| alike(*first))) {
            Some(group) => group.push(index),
            None => groups.push(vec![index]),
        }
    }
    groups
}

/// The steps that all courses have, and the values of each there; a mean over other members elsewhere would jump.
fn aligned(courses: &[Vec<(u64, f64)>]) -> Option<(Vec<f64>, Vec<Vec<f64>>)> {
    let (first, others) = courses.split_first()?;
    let sets: Vec<HashSet<u64>> = others.iter().map(|course| course.iter().map(|(step, _)| *step).collect()).collect();
    let common: HashSet<u64> =
        first.iter().map(|(step, _)| *step).filter(|step| sets.iter().all(|set| set.contains(step))).collect();
    let mut steps: Vec<u64> = common.iter().copied().collect();
    steps.sort_unstable();
    let values = courses.iter().map(|course| {
        // Of a step that was recorded twice, the last word counts.
        let known: std::collections::HashMap<u64, f64> = course.iter().copied().collect();
        steps.iter().map(|step| known.get(step).copied().unwrap_or(f64::NAN)).collect()
    });
    let values = values.collect();
    Some((steps.into_iter().map(|step| step as f64).collect(), values))
}

/// The runs' names, or their folders where two are called the same.
fn distinct(runs: &[Run]) -> Vec<String> {
    let names: Vec<String> = runs.iter().map(Run::name).collect();
    let unique: HashSet<&str> = names.iter().map(String::as_str).collect();
    if unique.len() == names.len() {
        return names;
    }
    runs.iter().map(|run| run.dir().display().to_string()).collect()
}

/// `gradient_norm/fc1.weight` as it is said: `gradient norm of fc1.weight`.
fn in_words(metric: &str) -> String {
    match layer_metrics::parts(metric) {
        Some((quantity, layer)) => format!("{} of {layer}", quantity.replace('_', " ")),
        None => metric.replace('_', " "),
    }
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn title(names: &[String]) -> String {
    match names {
        [one, two] => format!("{one} and {two}"),
        [first, rest @ ..] => format!("{first} and {} others", rest.len()),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Record;

    fn run(folder: &std::path::Path, name: &str, config: &str, losses: &[f64]) -> Run {
        let run = Run::create(&folder.join(name), config).unwrap();
        let mut metrics = run.metrics_writer().unwrap();
        for (index, loss) in losses.iter().enumerate() {
            let record = Record { step: index as u64 + 1, epoch: 0.5, values: vec![("loss".into(), *loss)] };
            metrics.append(&record).unwrap();
        }
        run
    }

    #[test]
    fn runs_that_differ_in_the_seed_alone_are_one_line_with_a_band() {
        let folder = tempfile::tempdir().unwrap();
        let runs = [
            run(folder.path(), "a", "seed = 1\nlr = 0.1\n", &[4.0, 2.0]),
            run(folder.path(), "b", "seed = 2\nlr = 0.1\n", &[2.0, 4.0, 9.0]),
            run(folder.path(), "c", "seed = 1\nlr = 0.2\n", &[1.0]),
        ];
        let found = Comparison::of(&runs).unwrap();
        assert_eq!(found.groups(), [vec![0, 1], vec![2]]);
        let differing: Vec<&str> = found.settings.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(differing, ["seed", "lr"]);
        assert_eq!(found.last, [("loss".to_owned(), vec![Some(2.0), Some(9.0), Some(1.0)])]);
        let table = drawing::table(&found.figure("loss"));
        assert_eq!(table["y"], serde_json::json!([3.0, 3.0, 1.0]));
        assert_eq!(table["x"], serde_json::json!([1.0, 2.0, 1.0]));
        assert_eq!(table["series"][0], "2 seeds like a (lr 0.1)");
        assert_eq!(table["deviation"][2], Value::Null);
        let page = found.html().unwrap();
        let place = |words: &str| page.find(words).unwrap();
        assert!(
            place("Settings that differ") < place("<h2>Loss</h2>") && place("<h2>Loss</h2>") < place("Last values")
        );
    }

    #[test]
    fn long_courses_are_drawn_as_means_of_stretches() {
        let folder = tempfile::tempdir().unwrap();
        let losses: Vec<f64> = (0..1500).map(f64::from).collect();
        let runs = ["a", "b"].map(|name| run(folder.path(), name, &format!("x = \"{name}\"\n"), &losses));
        let figure = Comparison::of(&runs).unwrap().figure("loss");
        let table = drawing::table(&figure);
        assert_eq!(table["y"].as_array().unwrap().len(), 1000);
        assert_eq!(table["y"][0], 1.0);
    }

    #[test]
    fn what_single_layers_did_is_folded_and_shares_are_in_percent() {
        let folder = tempfile::tempdir().unwrap();
        let runs = ["a", "b"].map(|name| {
            let run = Run::create(&folder.path().join(name), &format!("x = \"{name}\"\n")).unwrap();
            let values = ["test_accuracy", "weight_norm/fc1.weight"].map(|metric| (metric.to_owned(), 0.01)).to_vec();
            run.metrics_writer().unwrap().append(&Record { step: 1, epoch: 1.0, values }).unwrap();
            run
        });
        let found = Comparison::of(&runs).unwrap();
        let page = found.html().unwrap();
        let (open, folded) = page.split_once("<summary>1 figure of single layers</summary>").unwrap();
        assert!(open.contains("<h2>Test accuracy</h2>") && !open.contains("<h2>Weight norm of fc1.weight</h2>"));
        assert!(folded.contains("<h2>Weight norm of fc1.weight</h2>"));
        let figure = drawing::figure("one", &found.figure("test_accuracy")).unwrap().plot.unwrap();
        assert_eq!(figure["layout"]["yaxis"]["tickformat"], ".1~%");
    }

    #[test]
    fn one_run_is_no_comparison() {
        assert!(Comparison::of(&[]).is_err());
    }
}
