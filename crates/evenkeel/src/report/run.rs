//! What is on the page of a run?

use super::facts::Facts;
use super::figures;
use super::page::{Page, figure_html, fill, tiles};
use super::reading::{peak, ratio, sentences};
use super::tables;
use super::text::{duration, escape, integer, percent, prose, significant};
use crate::Result;

const TEMPLATE: &str = include_str!("run.html");

pub(super) fn render(facts: &Facts) -> Result<String> {
    let figures = figures::all(facts)?;
    let seed = facts.seed.as_ref().map(|seed| format!(" · seed {}", escape(seed))).unwrap_or_default();
    let reading: Vec<String> = sentences(facts).iter().map(|sentence| prose(sentence)).collect();
    let state = match (facts.diverged_at, facts.ended) {
        (Some(_), _) => "<span class=\"state bad\">diverged</span>",
        (None, false) => "<span class=\"state\">not ended</span>",
        (None, true) => "",
    };
    let body = fill(
        TEMPLATE,
        &[
            ("numbers", &numbers(facts)),
            ("reading", &reading.join(" ")),
            ("figures", &figures.iter().map(figure_html).collect::<String>()),
            ("measurements", &tables::html(facts)),
            ("config", &escape(&facts.config)),
        ],
    )?;
    let page = Page {
        kicker: "Evenkeel run",
        name: &facts.name,
        state,
        body: &body,
        version: facts.version.as_deref(),
        footer: &seed,
        tables: tables::data(facts),
        figures: &figures,
    };
    page.render()
}

fn numbers(facts: &Facts) -> String {
    let series = facts.main_series().map(|(_, series)| series).unwrap_or_default();
    let sharpness = |one: Option<&&crate::store::HessianMeasurement>| one.and_then(|one| Some(one.top()?.value));
    let step = |one: Option<&&crate::store::HessianMeasurement>| {
        one.map(|one| format!("step {}", integer(one.step))).unwrap_or_default()
    };
    // At the end of a schedule that falls to 0 the ratio says nothing; how near it came to 1 does.
    let most = peak(&series);
    let four = |number: f64| significant(number, 4);
    let numbers: [(&str, Option<String>, String); 9] = [
        ("Test accuracy", facts.test_accuracy.map(percent), String::new()),
        ("Test loss", facts.test_loss.map(four), facts.nats.to_owned()),
        ("Train loss", facts.train_loss.map(four), facts.nats.to_owned()),
        ("λ<sub>max</sub>, start", sharpness(series.first()).map(four), step(series.first())),
        ("λ<sub>max</sub>, end", sharpness(series.last()).or(facts.lambda_max).map(four), step(series.last())),
        ("λ<sub>max</sub> · lr / 2, most", most.map(|one| significant(ratio(one), 3)), step(most.as_ref())),
        ("Steps", facts.steps.map(integer), String::new()),
        ("Wall time", facts.seconds.map(duration), String::new()),
        ("Parameters", facts.parameters.map(integer), String::new()),
    ];
    tiles(&numbers[usize::from(!facts.has_accuracy())..])
}
