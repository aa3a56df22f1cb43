//! What is on the page of all results?

use super::outcome::Outcome;
use super::results::Found;
use super::{Check, Scale, Verdict};
use crate::Result;
use crate::report::drawing;
use crate::report::page::{Figure, Page, figure_html, tiles};
use crate::report::text::{duration, escape, integer, prose};
use serde_json::{Map, Value};
use std::fmt::Write;

pub(super) fn render(found: &Found) -> Result<String> {
    let outcomes = &found.outcomes;
    let mut figures: Vec<Figure> = Vec::new();
    let mut tables = Map::new();
    let mut body = numbers(outcomes);
    if outcomes.is_empty() {
        body.push_str("<p class=\"empty\">There are no results yet. <code>evenkeel reproduce</code> makes them.</p>");
    } else {
        body.push_str(&verdicts(outcomes));
    }
    for error in &found.passed_over {
        let _ = write!(body, "<p class=\"note\">Left out: {}</p>", escape(&error.to_string()));
    }
    for (index, outcome) in outcomes.iter().enumerate() {
        if index == 0 || outcomes[index - 1].paper != outcome.paper {
            let end = if index == 0 { "" } else { "</section>" };
            let _ = write!(body, "{end}<section><h2>{} {}</h2>", escape(&outcome.paper), escape(&outcome.paper_title));
        }
        let id = outcome.id();
        let figure = outcome.figure.as_ref().map(|figure| drawing::figure(&id, figure)).transpose()?;
        body.push_str(&claim(outcome, figure.as_ref()));
        if let (Some(drawn), Some(source)) = (figure, &outcome.figure) {
            tables.insert(id, drawing::table(source));
            figures.push(drawn);
        }
    }
    if !outcomes.is_empty() {
        body.push_str("</section>");
    }
    let page = Page {
        kicker: "Evenkeel",
        name: "Claims",
        state: "",
        body: &body,
        version: None,
        footer: "",
        tables: Value::Object(tables),
        figures: &figures,
    };
    page.render()
}

fn numbers(outcomes: &[Outcome]) -> String {
    let count = |verdict| outcomes.iter().filter(|one| one.verdict == verdict).count();
    let mut papers: Vec<&str> = outcomes.iter().map(|one| one.paper.as_str()).collect();
    papers.dedup();
    let seconds: f64 = outcomes.iter().map(|one| one.seconds).sum();
    let shown = |count: usize| Some(integer(count as u64));
    tiles(&[
        ("Claims", shown(outcomes.len()), String::new()),
        ("Papers", shown(papers.len()), String::new()),
        ("Reproduced", shown(count(Verdict::Reproduced)), String::new()),
        ("Not reproduced", shown(count(Verdict::NotReproduced)), String::new()),
        ("Inconclusive", shown(count(Verdict::Inconclusive)), String::new()),
        ("Time", Some(duration(seconds)), String::new()),
    ])
}

fn badge(verdict: Verdict) -> String {
    let class = match verdict {
        Verdict::Reproduced => "state good",
        Verdict::NotReproduced => "state bad",
        Verdict::Inconclusive => "state",
    };
    format!("<span class=\"{class}\">{verdict}</span>")
}

/// One row a claim, grouped by paper.
fn verdicts(outcomes: &[Outcome]) -> String {
    let mut html = String::from(
        "<section><h2>Verdicts</h2><div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Verdicts\">\
         <table class=\"verdicts\"><tbody>",
    );
    for (index, outcome) in outcomes.iter().enumerate() {
        let (paper, id) = (escape(&outcome.paper), escape(&outcome.id()));
        if index == 0 || outcomes[index - 1].paper != outcome.paper {
            let title = escape(&outcome.paper_title);
            let _ = write!(
                html,
                "<tr class=\"paper\"><td class=\"words\">{paper}</td><td class=\"words\" colspan=\"3\">{title}</td></tr>"
            );
        }
        let _ = write!(
            html,
            "<tr><td class=\"words\"><a href=\"#claim-{id}\">{id}</a></td><td class=\"words\">{}</td><td class=\"words\">{}</td>\
             <td>{}</td></tr>",
            prose(&outcome.title),
            badge(outcome.verdict),
            duration(outcome.seconds)
        );
    }
    html + "</tbody></table></div></section>"
}

fn claim(outcome: &Outcome, figure: Option<&Figure>) -> String {
    let id = escape(&outcome.id());
    let mut html = format!(
        "<article class=\"claim\" id=\"claim-{id}\"><header><h3><span class=\"quiet\">{id}</span> {}</h3>{}</header>\
         <p class=\"quiet\">{}</p>",
        prose(&outcome.title),
        badge(outcome.verdict),
        prose(&outcome.recipe),
    );
    if let (Verdict::Inconclusive, Some(reason)) = (outcome.verdict, &outcome.reason) {
        let _ = write!(html, "<p>Inconclusive: {}.</p>", prose(reason));
    }
    let left = format!("<div>{}{}</div>", checks(outcome), notes(outcome));
    let _ = match figure {
        Some(figure) => write!(html, "<div class=\"pair\">{left}{}</div>", figure_html(figure)),
        None => write!(html, "{left}"),
    };
    html + "</article>"
}

fn checks(outcome: &Outcome) -> String {
    let wanted = format!("<p class=\"note\">Wanted: {}</p>", prose(&outcome.wanted));
    if outcome.checks.is_empty() {
        return wanted;
    }
    let mut html = String::from(
        "<div class=\"scroll\"><table class=\"checks\"><thead><tr><th>Measured</th><th></th><th>Wanted</th><th></th></tr>\
         </thead><tbody>",
    );
    let none_decides = !outcome.checks.iter().any(Check::decides);
    for check in &outcome.checks {
        let (class, mark) = mark(check, none_decides);
        let _ = write!(
            html,
            "<tr class=\"{class}\"><td>{}</td><td>{}</td><td>{}</td><td class=\"mark\">{mark}</td></tr>",
            prose(check.what()),
            escape(&check.measured().split(", ").map(|one| one.replace(' ', "\u{a0}")).collect::<Vec<_>>().join(", ")),
            escape(&check.wanted()),
        );
    }
    html + "</tbody></table></div>" + &wanted
}

/// The class of a check's row and the word at its end. Where no check decides, those for the record do.
fn mark(check: &Check, none_decides: bool) -> (&'static str, &'static str) {
    match (check.decides() || none_decides, check.outcome()) {
        (true, Some(true)) => ("", "holds"),
        (true, Some(false)) => ("fails", "fails"),
        (true, None) => ("fails", "open"),
        (false, Some(true)) => ("record", "(holds)"),
        (false, Some(false)) => ("record", "(fails)"),
        (false, None) => ("record", "(open)"),
    }
}

fn notes(outcome: &Outcome) -> String {
    let mut html: String = outcome.notes.iter().map(|note| format!("<p class=\"note\">{}</p>", prose(note))).collect();
    let deciding = outcome.checks.iter().filter(|check| check.decides()).count();
    if deciding > 0 && deciding < outcome.checks.len() {
        html.push_str("<p class=\"note\">In brackets: for the record, without a part in the verdict.</p>");
    }
    let seeds = match outcome.seeds {
        1 => format!("seed {}", outcome.seed),
        seeds => format!("{seeds} seeds from {}", outcome.seed),
    };
    let scale = if outcome.scale == Scale::Gpu { " · GPU scale" } else { "" };
    let _ = write!(
        html,
        "<p class=\"note\">{seeds} · {} · Evenkeel {}{scale}</p>",
        duration(outcome.seconds),
        escape(&outcome.version)
    );
    html
}
