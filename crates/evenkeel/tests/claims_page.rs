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

/// Writes a page to look at: `EVENKEEL_PAGES=DIR cargo test -p evenkeel --test claims_page -- --ignored`.
#[test]
#[ignore = "for the eye"]
fn a_page_to_look_at() {
    let folder = std::env::var_os("EVENKEEL_PAGES").expect("a folder");
    let results = Results::in_dir(folder);
    let steps: Vec<f64> = (0..200).map(|step| f64::from(step) * 10.0).collect();
    let curve = |rate: f64, seed: f64| -> Vec<f64> {
        steps.iter().map(|step| 2.3 * (-step * rate).exp() + 0.02 + 0.01 * (step * 0.7 + seed).sin().abs()).collect()
    };
    let seeds =
        |rate: f64| (0..5).map(|seed| curve(rate * (1.0 + 0.1 * f64::from(seed)), f64::from(seed))).collect::<Vec<_>>();
    let long = Figure::lines("Training loss", "step", "loss (nats)")
        .log_y()
        .over_seeds("plain", &steps, &seeds(0.002))
        .over_seeds("batch norm", &steps, &seeds(0.008))
        .mark("0.3", 0.3)
        .caption("Mean and standard deviation over seeds. Logarithmic scale.");
    let bars = Figure::bars("Error on the test set", &["none", "dropout", "batch norm", "both"], "error (%)")
        .heights_over_seeds("MNIST", &[vec![15.5, 15.9, 15.5, 15.4], vec![15.1, 15.2, 16.0, 15.0]])
        .heights_over_seeds("Fashion-MNIST", &[vec![19.5, 19.1, 20.1, 19.4], vec![19.3, 19.4, 19.6, 19.9]])
        .mark("chance", 90.0);
    let cloud: Vec<f64> = (0..60).map(|index| (f64::from(index) * 0.618).fract() * 100.0 + 1.0).collect();
    let scatter = Figure::scatter("Complexity and loss", "geometric complexity", "test loss (nats)")
        .log_x()
        .series("trained", &cloud, &cloud.iter().map(|x| x.sqrt() + (x * 3.0).sin()).collect::<Vec<_>>())
        .dashed("at the start", &cloud, &cloud.iter().map(|x| 5.0 + x.cos()).collect::<Vec<_>>());
    let copies = std::env::var("EVENKEEL_COPIES").ok().and_then(|copies| copies.parse().ok()).unwrap_or(1);
    for copy in 0..copies {
        for (index, figure) in [lines(), long.clone(), bars.clone(), scatter.clone()].into_iter().enumerate() {
            let mut one = outcome(&format!("{:02}", 3 + 4 * copy + index), &format!("{}", index + 1));
            one.title = "the same accuracy in a fourteenth of the steps, with a much higher learning rate".to_owned();
            one.recipe =
                "digits, 64-[100 × 3]-10 sigmoid, plain SGD, batch 60; rates tuned for each of `none` and `batch`"
                    .to_owned();
            one.paper_title = "Batch normalization (Ioffe, Szegedy 2015)".to_owned();
            if index == 1 {
                one.verdict = Verdict::NotReproduced;
                one.checks.push(Check::at_least("steps without over steps with", [22.0, 23.0, 8.0], 10.0).unit("×"));
            } else if index == 2 {
                one.verdict = Verdict::Inconclusive;
                one.reason = Some("the data set 'mnist' is not there".to_owned());
            }
            one.figure = Some(figure);
            results.write(&one).expect("a result");
        }
    }
    results.write_page().expect("a page");
}
