//! How do words and figures become one HTML page that needs nothing else?

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use plotly::Plot;
use serde_json::{Map, Value, json};

use super::text::{escape, prose};
use crate::{Error, Result};

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What a page shows. The page asks for nothing from outside, and its content policy forbids it to.
pub(crate) struct Page<'a> {
    /// What kind of page this is, above its name.
    pub(crate) kicker: &'a str,
    /// The name, plain text.
    pub(crate) name: &'a str,
    /// A word beside the name, as HTML.
    pub(crate) state: &'a str,
    /// Everything between head and foot, as HTML.
    pub(crate) body: &'a str,
    /// The version that made what is shown; this one where none is known.
    pub(crate) version: Option<&'a str>,
    /// What the foot says after the version, as HTML.
    pub(crate) footer: &'a str,
    /// The numbers behind the figures: tables of columns of equal length.
    pub(crate) tables: Value,
    /// The figures, in the order in which they are drawn; `body` holds their places, see [`figure_html`].
    pub(crate) figures: &'a [Figure],
}

/// A figure of a page.
pub(crate) struct Figure {
    /// Its name in the page.
    pub(crate) id: String,
    /// Its heading, plain text.
    pub(crate) title: String,
    /// One sentence, plain text.
    pub(crate) caption: String,
    /// Whether it takes the whole width.
    pub(crate) wide: bool,
    /// What Plotly draws; `None` when there is no number to draw.
    pub(crate) plot: Option<Value>,
    /// The table of the page that holds the figure's numbers.
    pub(crate) table: String,
    /// The columns of it; all of them when there are none here.
    pub(crate) columns: Vec<&'static str>,
}

impl Page<'_> {
    /// The page as HTML.
    pub(crate) fn render(&self) -> Result<String> {
        let data = json!({ "name": self.name, "tables": self.tables, "figures": embedded(self.figures) });
        fill(
            TEMPLATE,
            &[
                ("kicker", &escape(self.kicker)),
                ("name", &escape(self.name)),
                ("state", self.state),
                ("style", STYLE),
                ("body", self.body),
                ("version", &escape(self.version.unwrap_or(env!("CARGO_PKG_VERSION")))),
                ("footer", self.footer),
                ("data", &inert(&data)),
                ("plotly", packed_plotly()?),
                ("script", SCRIPT),
            ],
        )
    }
}

/// Puts values into the places `{{name}}` of a template, in one pass: a value is never searched for places.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> Result<String> {
    let mut page = String::with_capacity(template.len() + values.iter().map(|(_, value)| value.len()).sum::<usize>());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").unwrap_or((after, ""));
        let value = values.iter().find(|(known, _)| *known == name);
        let (_, value) = value.ok_or_else(|| Error::input(format!("the page's template asks for `{name}`")))?;
        page.push_str(before);
        page.push_str(value);
        rest = after;
    }
    page.push_str(rest);
    Ok(page)
}

/// JSON that can stand in a script element: no `<` can end it or open a comment.
fn inert(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029")
}

/// Key numbers side by side: label as HTML, value (a dash where there is none) and unit.
pub(crate) fn tiles(tiles: &[(&str, Option<String>, String)]) -> String {
    let mut html = String::from("<dl class=\"numbers\">");
    for (label, value, unit) in tiles {
        let (value, unit) = value.as_deref().map_or(("–", ""), |value| (value, unit));
        let _ = write!(html, "<div><dt>{label}</dt><dd>{value}<small>{unit}</small></dd></div>");
    }
    html + "</dl>"
}

/// A figure with its caption, its place for the plot and the buttons for its numbers.
pub(crate) fn figure_html(figure: &Figure) -> String {
    let (id, title) = (escape(&figure.id), escape(&figure.title));
    let caption = prose(&figure.caption);
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
        Some((figure.id.clone(), json!({ "plot": plot, "table": figure.table, "columns": figure.columns })))
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
        let names = ["kicker", "name", "state", "style", "body", "version", "footer", "data", "plotly", "script"];
        let values: Vec<(&str, &str)> = names.into_iter().map(|name| (name, "{{body}}")).collect();
        assert!(fill(TEMPLATE, &values).unwrap().contains("<title>{{body}}"));
    }
}
