//! How do facts, words and figures become one HTML page that needs nothing else?

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use plotly::Plot;
use serde_json::{Map, Value, json};

use super::facts::Facts;
use super::figures::{self, Figure};
use super::reading::{ratio, sentences};
use super::tables;
use super::text::{duration, escape, integer, marked, percent, significant};
use crate::{Error, Result};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

pub(super) fn render(facts: &Facts) -> Result<String> {
    let figures = figures::all(facts)?;
    let version = facts.version.clone().unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned());
    let seed = facts.seed.as_ref().map(|seed| format!(" · seed {}", escape(seed))).unwrap_or_default();
    let reading: Vec<String> = sentences(facts).iter().map(|sentence| marked(&with_code(&escape(sentence)))).collect();
    let state = match (facts.diverged_at, facts.ended) {
        (Some(_), _) => "<span class=\"state bad\">diverged</span>",
        (None, false) => "<span class=\"state\">not ended</span>",
        (None, true) => "",
    };
    let data = json!({ "name": facts.name, "tables": tables::data(facts), "figures": embedded(&figures) });
    fill(&[
        ("name", &escape(&facts.name)),
        ("state", state),
        ("style", STYLE),
        ("numbers", &numbers(facts)),
        ("reading", &reading.join(" ")),
        ("figures", &figures.iter().map(figure_html).collect::<String>()),
        ("measurements", &tables::html(facts)),
        ("config", &escape(&facts.config)),
        ("version", &escape(&version)),
        ("seed", &seed),
        ("data", &inert(&data)),
        ("plotly", packed_plotly()?),
        ("script", SCRIPT),
    ])
}

/// Puts values into the places `{{name}}` of the template, in one pass: a value is never searched for places.
fn fill(values: &[(&str, &str)]) -> Result<String> {
    let mut page = String::with_capacity(TEMPLATE.len() + values.iter().map(|(_, value)| value.len()).sum::<usize>());
    let mut rest = TEMPLATE;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        let value = values.iter().find(|(known, _)| *known == name);
        let (_, value) = value.ok_or_else(|| Error::input(format!("the report's template asks for `{name}`")))?;
        page.push_str(before);
        page.push_str(value);
        rest = after;
    }
    page.push_str(rest);
    Ok(page)
}

/// Backquoted parts of escaped text as code.
fn with_code(text: &str) -> String {
    let mut html = String::new();
    for (index, part) in text.split('`').enumerate() {
        let _ = if index % 2 == 1 { write!(html, "<code>{part}</code>") } else { write!(html, "{part}") };
    }
    html
}

/// JSON that can stand in a script element: no `<` can end it or open a comment.
fn inert(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

fn numbers(facts: &Facts) -> String {
    let series = facts.main_series().map(|(_, series)| series).unwrap_or_default();
    let sharpness = |one: Option<&&crate::store::HessianMeasurement>| one.and_then(|one| Some(one.top()?.value));
    let step = |one: Option<&&crate::store::HessianMeasurement>| {
        one.map(|one| format!("step {}", integer(one.step))).unwrap_or_default()
    };
    let last_ratio = series.last().map(|one| ratio(one)).filter(|ratio| ratio.is_finite());
    let four = |number: f64| significant(number, 4);
    let tiles: [(&str, Option<String>, String); 9] = [
        ("Test accuracy", facts.test_accuracy.map(percent), String::new()),
        ("Test loss", facts.test_loss.map(four), "nats".to_owned()),
        ("Train loss", facts.train_loss.map(four), "nats".to_owned()),
        ("λ<sub>max</sub>, start", sharpness(series.first()).map(four), step(series.first())),
        ("λ<sub>max</sub>, end", sharpness(series.last()).or(facts.lambda_max).map(four), step(series.last())),
        ("λ<sub>max</sub> · lr / 2", last_ratio.map(|ratio| significant(ratio, 3)), step(series.last())),
        ("Steps", facts.steps.map(integer), String::new()),
        ("Wall time", facts.seconds.map(duration), String::new()),
        ("Parameters", facts.parameters.map(integer), String::new()),
    ];
    let mut html = String::new();
    for (label, value, unit) in tiles {
        let (value, unit) = value.map_or(("–".to_owned(), String::new()), |value| (value, unit));
        let _ = write!(html, "<div><dt>{label}</dt><dd>{value}<small>{unit}</small></dd></div>");
    }
    html
}

fn figure_html(figure: &Figure) -> String {
    let Figure { id, title, .. } = figure;
    let caption = marked(&escape(&figure.caption));
    let wide = if figure.wide { " class=\"wide\"" } else { "" };
    let (body, buttons) = match &figure.plot {
        None => ("<p class=\"empty\">No numbers were recorded for this figure.</p>".to_owned(), String::new()),
        Some(_) => (
            format!("<div class=\"plot\" id=\"plot-{id}\" role=\"img\" aria-label=\"{title}\"></div>"),
            format!(
                "<div class=\"buttons\"><button type=\"button\" data-csv=\"{id}\">CSV</button>\
                 <button type=\"button\" data-json=\"{id}\">Copy JSON</button></div>"
            ),
        ),
    };
    format!(
        "<figure{wide}><header><h2>{title}</h2>{buttons}</header><figcaption>{caption}</figcaption>{body}</figure>\n"
    )
}

fn embedded(figures: &[Figure]) -> Value {
    let drawn = figures.iter().filter_map(|figure| {
        let plot = figure.plot.as_ref()?;
        Some((figure.id.to_owned(), json!({ "plot": plot, "table": figure.table, "columns": figure.columns })))
    });
    Value::Object(drawn.collect::<Map<String, Value>>())
}

/// Plotly's script, gzipped and in base64: a third of its size, the same for every report.
fn packed_plotly() -> Result<&'static str> {
    static PACKED: OnceLock<Option<String>> = OnceLock::new();
    let packed = PACKED.get_or_init(|| {
        let scripts = Plot::offline_js_sources();
        // The second script typesets formulas, which these figures have none of.
        let plotly = scripts.split_once('>')?.1.split_once("</script>")?.0;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plotly.as_bytes()).ok()?;
        Some(base64(&encoder.finish().ok()?))
    });
    packed.as_deref().ok_or_else(|| Error::input("Plotly's script is not where the library had it"))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for part in bytes.chunks(3) {
        let group = part.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for index in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * index) & 63) as usize];
            text.push(if index <= part.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        let texts = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map(|text| base64(text.as_bytes()));
        assert_eq!(texts, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"]);
    }

    #[test]
    fn the_packed_script_is_plotly_alone() {
        let packed = packed_plotly().unwrap();
        assert!(packed.len() < 2_500_000, "{} bytes", packed.len());
        assert!(Plot::offline_js_sources().split_once('>').unwrap().1.contains("plotly.js v"));
    }

    #[test]
    fn a_value_with_a_place_in_it_stays_as_it_is() {
        let names = ["name", "state", "style", "numbers", "reading", "figures", "measurements", "config", "version"];
        let more = ["seed", "data", "plotly", "script"];
        let values: Vec<(&str, &str)> = names.into_iter().chain(more).map(|name| (name, "{{config}}")).collect();
        assert!(fill(&values).unwrap().contains("<title>{{config}}"));
    }
}
