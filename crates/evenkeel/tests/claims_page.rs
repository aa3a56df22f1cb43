//! The page of claims is whole, asks for nothing, and tells what was left out.

#![allow(clippy::unwrap_used)]

use evenkeel::claims::{Check, Figure, Outcome, Results, Scale, Verdict};
use serde_json::Value;

fn outcome(paper: &str, claim: &str) -> Outcome {
    let checks = vec![
        Check::at_most("error on the test set", [1.5, 2.0], 3.0).unit(" %"),
        Check::decreasing("a control", [1.0, 2.0]).for_the_record(),
    ];
    let (verdict, reason) = Verdict::of(&checks);
    Outcome {
        paper: paper.to_owned(),
        claim: claim.to_owned(),
        paper_title: format!("Paper {paper}"),
        title: "it is so".to_owned(),
        verdict,
        reason,
        measured: "error: 1.5".to_owned(),
        wanted: "at most 3 %".to_owned(),
        seconds: 1.25,
        seeds: 3,
        seed: 0,
        scale: Scale::Cpu,
        recipe: "digits".to_owned(),
        checks,
        notes: vec!["a note".to_owned()],
        figure: None,
        version: "0.1.0".to_owned(),
    }
}

fn lines() -> Figure {
    Figure::lines("Curve", "step", "loss")
        .log_y()
        .over_seeds("plain", &[1.0, 2.0], &[vec![1.0, 0.5], vec![3.0, 0.1]])
        .dashed("closed form", &[1.0, 2.0], &[2.0, -1.0])
        .mark("threshold", 0.3)
}

fn page(outcomes: &[Outcome]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let results = Results::in_dir(folder.path());
    outcomes.iter().for_each(|outcome| results.write(outcome).unwrap());
    let (path, passed_over) = results.write_page().unwrap();
    assert!(passed_over.is_empty());
    std::fs::read_to_string(path).unwrap()
}

fn data(html: &str) -> Value {
    let (_, rest) = html.split_once("id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

#[test]
fn claims_are_listed_by_paper_and_number_and_drawn_below() {
    let drawn = Outcome { figure: Some(lines()), ..outcome("03", "2b") };
    let html = page(&[outcome("14", "1"), drawn, outcome("03", "10"), outcome("03", "2")]);
    let articles: Vec<&str> = html.split("<article").skip(1).map(|part| part.split('"').nth(3).unwrap()).collect();
    assert_eq!(articles, ["claim-03.2", "claim-03.2b", "claim-03.10", "claim-14.1"]);
    assert!(html.find("<h2>Verdicts").unwrap() < html.find("<article").unwrap());
    assert_eq!(html.matches("<h2>03 Paper 03</h2>").count(), 1);
    let data = data(&html);
    assert_eq!(data["figures"].as_object().unwrap().keys().collect::<Vec<_>>(), ["03.2b"]);
    assert_eq!(data["tables"]["03.2b"]["series"], serde_json::json!(["plain", "plain", "closed form", "closed form"]));
    assert_eq!(data["tables"]["03.2b"]["y"], serde_json::json!([2.0, 0.3, 2.0, -1.0]));
    assert!(html.contains("(fails)") && html.contains("In brackets: for the record"));
}

#[test]
fn what_a_logarithmic_axis_cannot_show_is_a_gap_and_error_bars_stay_above_zero() {
    let html = page(&[Outcome { figure: Some(lines()), ..outcome("03", "1") }]);
    let traces = &data(&html)["figures"]["03.1"]["plot"]["data"];
    assert_eq!(traces[1]["y"], serde_json::json!([2.0, null]));
    let below: Vec<f64> = serde_json::from_value(traces[0]["error_y"]["arrayminus"].clone()).unwrap();
    assert!(below[0] < 2.0 && (below[1] - 0.2828).abs() < 1e-3, "{below:?}");
    assert_eq!(
        (traces[2]["name"].as_str(), traces[2]["x"].clone()),
        (Some("threshold"), serde_json::json!([1.0, 2.0]))
    );
}

#[test]
fn a_long_line_over_seeds_has_a_band_and_bars_have_their_categories() {
    let x: Vec<f64> = (0..100).map(f64::from).collect();
    let seeds = [x.clone(), x.iter().map(|x| 2.0 * x).collect()];
    let long = Figure::lines("Long", "step", "y").over_seeds("a", &x, &seeds);
    let bars =
        Figure::bars("Bars", &["plain", "bn"], "error").heights_over_seeds("test", &[vec![1.0, 2.0], vec![2.0, 4.0]]);
    let html = page(&[
        Outcome { figure: Some(long), ..outcome("03", "1") },
        Outcome { figure: Some(bars), ..outcome("03", "2") },
    ]);
    let figures = &data(&html)["figures"];
    let fills: Vec<&Value> =
        figures["03.1"]["plot"]["data"].as_array().unwrap().iter().map(|trace| &trace["fill"]).collect();
    assert_eq!(fills, [&Value::Null, &Value::from("tonexty"), &Value::Null]);
    assert_eq!(figures["03.2"]["plot"]["data"][0]["x"], serde_json::json!(["plain", "bn"]));
    assert_eq!(figures["03.2"]["plot"]["data"][0]["y"], serde_json::json!([1.5, 3.0]));
}

#[test]
fn the_page_asks_for_nothing_and_foreign_text_stays_in_its_place() {
    let evil = "</script><b>{{body}}".to_owned();
    let figure = Figure::bars(&evil, &[&evil], &evil).caption(&evil).heights(&evil, &[1.0]).mark(&evil, 0.5);
    let mut hostile =
        Outcome { figure: Some(figure), title: evil.clone(), paper_title: evil.clone(), ..outcome("03", "1") };
    hostile.notes = vec![evil.clone()];
    hostile.recipe = evil.clone();
    hostile.wanted = evil.clone();
    hostile.checks = vec![Check::holds(&evil, true).unit(&evil)];
    let html = page(&[hostile]);
    assert!(!html.contains("<b>"));
    assert_eq!(html.matches("</script>").count(), 3);
    let (before, packed) = html.split_once("id=\"plotly\">").unwrap();
    let outside = format!("{before}{}", packed.split_once("</script>").unwrap().1);
    for request in [" src=", "url(", "@import", "http:", "https:", "fetch("] {
        assert!(!outside.contains(request), "{request}");
    }
    assert!(outside.split(" href=\"").skip(1).all(|link| link.starts_with('#')));
}

#[test]
fn a_folder_without_results_has_a_page_that_says_how_to_make_some() {
    let html = page(&[]);
    assert!(html.contains("<code>evenkeel reproduce</code>"));
    assert_eq!(data(&html)["figures"], serde_json::json!({}));
}
