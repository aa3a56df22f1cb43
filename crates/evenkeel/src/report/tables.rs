//! Which tables does the page hold: for the downloads as data, and for the eye as HTML?

use std::fmt::Write;

use serde_json::{Value, json};

use super::facts::Facts;
use super::reading::ratio;
use super::text::{duration, escape, integer, norm_mode, significant};
use super::{dynamics, layers};
use crate::init::ParameterChange;
use crate::store::number::to_json;
use crate::store::{HessianMeasurement, LearnerMeasurement};

/// The longest text of another probe's measurement that is shown whole, in bytes.
const SHOWN: usize = 20_000;

/// The numbers behind the figures, by table and column.
pub(super) fn data(facts: &Facts) -> Value {
    let mut tables = json!({ "metrics": metrics(facts), "measurements": measurements(facts) });
    tables["initialization"] = initialization(facts);
    tables["learner"] = learner(facts);
    for (name, table) in layers::data(&facts.layers).into_iter().chain(dynamics::data(&facts.dynamics)) {
        tables[name] = table;
    }
    tables
}

fn initialization(facts: &Facts) -> Value {
    let parameters = facts.initialization.as_ref().map(|found| &found.parameters[..]).unwrap_or_default();
    let column = |of: fn(&ParameterChange) -> Value| parameters.iter().map(of).collect::<Vec<Value>>();
    json!({
        "parameter": column(|one| one.parameter.as_str().into()),
        "scale": column(|one| to_json(one.scale)),
        "gradient_before": column(|one| to_json(one.gradient_before)),
        "gradient_after": column(|one| to_json(one.gradient_after)),
    })
}

fn learner(facts: &Facts) -> Value {
    let column = |of: fn(&LearnerMeasurement) -> Value| facts.learned.iter().map(of).collect::<Vec<Value>>();
    json!({
        "step": column(|one| one.step.into()),
        "largest": column(|one| to_json(one.largest)),
        "least": column(|one| to_json(one.least)),
        "learning_rate": column(|one| to_json(one.learning_rate)),
        "momentum": column(|one| to_json(one.momentum)),
        "clipped": column(|one| one.clipped.into()),
    })
}

fn metrics(facts: &Facts) -> Value {
    let records = &facts.metrics.records;
    let mut names: Vec<&str> = Vec::new();
    for record in records {
        for (name, _) in &record.values {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    let mut columns = serde_json::Map::new();
    for name in names {
        let column = records.iter().map(|record| record.get(name).map_or(Value::Null, to_json)).collect();
        columns.insert(name.to_owned(), Value::Array(column));
    }
    columns.insert("step".to_owned(), records.iter().map(|record| Value::from(record.step)).collect());
    columns.insert("epoch".to_owned(), records.iter().map(|record| to_json(record.epoch)).collect());
    Value::Object(columns)
}

fn measurements(facts: &Facts) -> Value {
    let column = |of: fn(&HessianMeasurement) -> Value| facts.hessians.iter().map(of).collect::<Vec<Value>>();
    json!({
        "step": column(|one| one.step.into()),
        "norm_mode": column(|one| one.norm_mode.as_str().into()),
        "samples": column(|one| one.samples.into()),
        "dtype": column(|one| one.dtype.as_str().into()),
        "lambda_max": column(|one| one.top().map_or(Value::Null, |top| to_json(top.value))),
        "residual": column(|one| one.top().map_or(Value::Null, |top| to_json(top.residual))),
        "converged": column(|one| one.top().map_or(Value::Null, |top| top.converged.into())),
        "learning_rate": column(|one| to_json(one.learning_rate)),
        "momentum": column(|one| to_json(one.momentum)),
        "threshold": column(|one| to_json(2.0 / one.learning_rate)),
        "threshold_momentum": column(|one| to_json((2.0 + 2.0 * one.momentum) / one.learning_rate)),
    })
}

/// All measurements as HTML.
pub(super) fn html(facts: &Facts) -> String {
    let mut html = String::new();
    if facts.hessians.is_empty() && facts.layers.is_empty() && facts.others.is_empty() {
        html.push_str(
            "<p class=\"empty\">The run has no measurements. <code>evenkeel measure RUN hessian</code> makes one, and \
             <code>evenkeel report RUN</code> then shows it here.</p>",
        );
    }
    if !facts.hessians.is_empty() {
        html.push_str(&hessians(&facts.hessians));
    }
    html.push_str(&dynamics::tables(&facts.dynamics));
    facts.layers.iter().for_each(|one| html.push_str(&layers::table(one)));
    for (name, value) in &facts.others {
        let probe = value.get("probe").and_then(Value::as_str).unwrap_or("unknown probe");
        let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
        if text.len() > SHOWN {
            let end = (0..=SHOWN).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
            text.truncate(end);
            text.push_str("\n…");
        }
        let (name, probe, text) = (escape(name), escape(probe), escape(&text));
        let _ = write!(
            html,
            "<details><summary>{name} <span class=\"quiet\">({probe})</span></summary><pre>{text}</pre></details>"
        );
    }
    html
}

fn hessians(measurements: &[HessianMeasurement]) -> String {
    let most = measurements.iter().map(|one| one.eigenvalues.len()).max().unwrap_or(0);
    let mut html = String::from(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Measurements of the Hessian\"><table><thead><tr>\
         <th>Step</th><th class=\"words\">Statistics</th><th>Samples</th><th class=\"words\">Numbers</th><th>Loss</th>\
         <th>λ<sub>max</sub>·lr/2</th>",
    );
    for index in 1..=most {
        let _ = write!(html, "<th>λ<sub>{index}</sub></th>");
    }
    html.push_str("<th>Converged</th><th>Time</th></tr></thead><tbody>");
    for one in measurements {
        let _ = write!(
            html,
            "<tr><td>{}</td><td class=\"words\">{}</td><td>{}</td><td class=\"words\">{}</td><td>{}</td><td>{}</td>",
            integer(one.step),
            escape(&norm_mode(&one.norm_mode)),
            integer(one.samples),
            escape(&one.dtype),
            significant(one.loss, 4),
            significant(ratio(one), 3)
        );
        for index in 0..most {
            match one.eigenvalues.get(index) {
                Some(value) => {
                    let class = if value.converged { "" } else { " class=\"open\"" };
                    let _ = write!(
                        html,
                        "<td><span{class}>{}</span><small>±\u{a0}{}</small></td>",
                        significant(value.value, 5),
                        significant(value.residual * value.value.abs(), 2)
                    );
                }
                None => html.push_str("<td class=\"quiet\">–</td>"),
            }
        }
        let converged = one.eigenvalues.iter().filter(|value| value.converged).count();
        let all = one.eigenvalues.len();
        let _ = write!(html, "<td>{converged}/{all}</td><td>{}</td></tr>", duration(one.seconds));
    }
    html.push_str(
        "</tbody></table></div><p class=\"note\">± is the residual |Hv − λv|: some eigenvalue of H lies that near. \
         <span class=\"open\">Underlined</span>: stopped before it met its tolerance. λ<sub>max</sub>·lr/2 above 1: beyond \
         2/lr.</p>",
    );
    html
}
