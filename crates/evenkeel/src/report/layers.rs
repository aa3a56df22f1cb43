//! What does the page show of measurements that have numbers for each layer?

use std::fmt::Write;

use plotly::common::Mode;
use serde_json::{Map, Value};

use super::figures::{add, add_dashed};
use super::page::Figure;
use super::plot::{AMBER, BLUE, GREEN, PURPLE, VERMILION, axis, json, plot, solid};
use super::text::{duration, escape, integer, norm_mode, significant};
use crate::Result;
use crate::store::number::to_json;
use crate::store::{LayerColumn, LayerMeasurement};

/// Steps that are drawn of a probe, at most.
const DRAWN: usize = 4;

/// A figure for each probe: its main number over the depth of the network, at some of the measured steps.
pub(super) fn figures(layers: &[LayerMeasurement]) -> Result<Vec<Figure>> {
    series(layers).into_iter().map(figure).collect()
}

/// The numbers of the figures, by probe: one row a layer and step.
pub(super) fn data(layers: &[LayerMeasurement]) -> Map<String, Value> {
    series(layers).into_iter().map(|measured| (id(measured[0]), rows(&measured))).collect()
}

/// For each probe the measurements that can be compared with its last one, by step. Not empty.
fn series(layers: &[LayerMeasurement]) -> Vec<Vec<&LayerMeasurement>> {
    let same_probe = layers.chunk_by(|a, b| a.probe == b.probe);
    let comparable = same_probe.filter_map(|all| {
        let last = all.last()?;
        let kind = |one: &LayerMeasurement| (one.norm_mode.clone(), one.samples, one.dtype.clone(), one.layers.clone());
        Some(all.iter().filter(|one| kind(one) == kind(last)).collect())
    });
    comparable.collect()
}

fn figure(measured: Vec<&LayerMeasurement>) -> Result<Figure> {
    let last = measured[measured.len() - 1];
    let mut plot = plot(axis("layer"), axis(&escape(&last.title)));
    let points = |values: &[f64]| {
        let places = values.iter().enumerate();
        places.map(|(place, value)| (place as f64 + 1.0, value.is_finite().then_some(*value))).collect()
    };
    let places = measured.len().min(DRAWN);
    for (place, color) in (0..places).zip([BLUE, GREEN, PURPLE, AMBER]) {
        let one = measured[place * (measured.len() - 1) / (places - 1).max(1)];
        if let Some(column) = one.columns.first() {
            let name = format!("step {}", integer(one.step));
            add(&mut plot, &name, &points(&column.values), solid(color), 2.0, Mode::LinesMarkers);
        }
    }
    for column in last.columns.iter().take(last.drawn).skip(1) {
        let name = format!("{}, step {}", escape(&column.name), integer(last.step));
        add_dashed(&mut plot, &name, &points(&column.values), VERMILION);
    }
    let (id, title) = (id(last), last.title.split(" (").next().unwrap_or_default());
    let mut letters = title.chars();
    let title = letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect());
    Ok(Figure {
        table: id.clone(),
        id,
        title: format!("{title}, layer by layer"),
        caption: format!(
            "From the input on, over {} samples, {}; at step {}: {}.",
            integer(last.samples),
            norm_mode(&last.norm_mode),
            integer(last.step),
            last.summary
        ),
        wide: true,
        plot: json(&plot)?,
        columns: Vec::new(),
    })
}

/// The probe's name as an element of the page can be called.
fn id(measured: &LayerMeasurement) -> String {
    let plain = |letter: &char| letter.is_ascii_alphanumeric() || *letter == '-';
    format!("layers-{}", measured.probe.chars().filter(plain).collect::<String>())
}

fn rows(measured: &[&LayerMeasurement]) -> Value {
    let mut table: Map<String, Value> = Map::new();
    let mut push = |name: &str, value: Value| {
        if let Value::Array(column) = table.entry(name).or_insert_with(|| Value::Array(vec![])) {
            column.push(value);
        }
    };
    for one in measured {
        for (place, layer) in one.layers.iter().enumerate() {
            push("step", one.step.into());
            push("layer", layer.as_str().into());
            for column in &one.columns {
                push(&column.name, column.values.get(place).map_or(Value::Null, |value| to_json(*value)));
            }
        }
    }
    Value::Object(table)
}

/// A measurement as HTML, folded.
pub(super) fn table(one: &LayerMeasurement) -> String {
    let head = format!(
        "{} at step {}: {} <span class=\"quiet\">({}, {} samples, {}, {})</span>",
        escape(&one.title),
        integer(one.step),
        escape(&one.summary),
        escape(&norm_mode(&one.norm_mode)),
        integer(one.samples),
        escape(&one.dtype),
        duration(one.seconds),
    );
    folded(&head, &escape(&one.title), &one.layers, &one.columns)
}

/// A row a layer, under a line of HTML.
pub(super) fn folded(head: &str, label: &str, layers: &[String], columns: &[LayerColumn]) -> String {
    let mut html = format!(
        "<details><summary>{head}</summary><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{label}\"><table>\
         <thead><tr><th class=\"words\">Layer</th>"
    );
    for column in columns {
        let _ = write!(html, "<th>{}</th>", escape(&column.name));
    }
    html.push_str("</tr></thead><tbody>");
    for (place, layer) in layers.iter().enumerate() {
        let _ = write!(html, "<tr><td class=\"words\">{}</td>", escape(layer));
        for column in columns {
            match column.values.get(place).filter(|value| !value.is_nan()) {
                Some(value) if value.fract() == 0.0 && (0.0..1e15).contains(value) => {
                    let _ = write!(html, "<td>{}</td>", integer(*value as u64));
                }
                Some(value) => {
                    let _ = write!(html, "<td>{}</td>", significant(*value, 4));
                }
                None => html.push_str("<td class=\"quiet\">–</td>"),
            }
        }
        html.push_str("</tr>");
    }
    html.push_str("</tbody></table></div></details>");
    html
}
