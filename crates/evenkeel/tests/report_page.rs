//! The report of every kind of run is one whole page that asks for nothing and says what happened.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use evenkeel::report::{report_html, write_report};
use evenkeel::store::{Eigenvalue, HessianMeasurement, Record, Run, layer_metrics};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What a fabricated run looks like.
struct Shape {
    steps: u64,
    diverges_at: Option<u64>,
    measured: bool,
    ends: bool,
    momentum: f64,
}

const USUAL: Shape = Shape { steps: 1200, diverges_at: None, measured: true, ends: true, momentum: 0.9 };

const CONFIG: &str = r#"version = "0.1.0"
seed = 7
model = "mlp:256-256"
data = "digits"
note = "a </script><script>alert(1)</script> & {{config}} in a value"

[optimizer]
name = "sgd"
lr = 0.1
momentum = 0.9

[train]
epochs = 24
batch_size = 32
"#;

/// A repeatable number in [-1, 1).
fn noise(index: u64) -> f64 {
    let mixed = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn rate(step: u64, steps: u64) -> f64 {
    let done = step as f64 / steps.max(1) as f64;
    0.1 * (0.02 + 0.98 * 0.5 * (1.0 + (std::f64::consts::PI * done).cos()))
}

fn hessian(step: u64, shape: &Shape, mode: &str, samples: u64, top: f64, converged: bool) -> HessianMeasurement {
    let eigenvalues = (0..5)
        .map(|k| Eigenvalue {
            value: top * 0.72_f64.powi(k),
            residual: if converged { 2.3e-5 * f64::from(k + 1) } else { 0.031 },
            converged,
        })
        .collect();
    HessianMeasurement {
        probe: "hessian".to_owned(),
        step,
        norm_mode: mode.to_owned(),
        samples,
        dtype: "f32".to_owned(),
        seed: 0,
        learning_rate: rate(step, shape.steps),
        momentum: shape.momentum,
        loss: 2.3 * (-(step as f64) / 260.0).exp() + 0.02,
        eigenvalues,
        iterations: 40,
        products: 41,
        seconds: 0.84,
        version: "0.1.0".to_owned(),
    }
}

fn fabricate(folder: &Path, shape: &Shape) -> Run {
    let run = Run::create(folder, CONFIG).unwrap();
    let per_epoch = 50;
    let mut writer = run.metrics_writer().unwrap();
    for step in 1..=shape.steps {
        let fit = (-(step as f64) / 260.0).exp();
        let lost = shape.diverges_at.is_some_and(|from| step >= from);
        let number = |value: f64| if lost { f64::NAN } else { value };
        let mut values = vec![
            ("loss".to_owned(), number((2.2 * fit + 0.03) * (1.0 + 0.35 * noise(step)))),
            ("accuracy".to_owned(), number((1.0 - 0.88 * fit + 0.05 * noise(step + 5000)).clamp(0.0, 1.0))),
            ("learning_rate".to_owned(), rate(step, shape.steps)),
            ("gradient_norm".to_owned(), number((1.9 * fit + 0.12) * (1.0 + 0.4 * noise(step + 9000)))),
            ("seconds".to_owned(), 0.031 * step as f64),
        ];
        if step % per_epoch == 0 {
            values.extend([
                ("train_loss".to_owned(), number(2.2 * fit + 0.02)),
                ("train_accuracy".to_owned(), number(1.0 - 0.86 * fit)),
                ("test_loss".to_owned(), number(2.1 * fit + 0.11 + 0.00002 * step as f64)),
                ("test_accuracy".to_owned(), number(0.972 - 0.84 * fit + 0.003 * noise(step))),
            ]);
        }
        writer.append(&Record { step, epoch: step as f64 / per_epoch as f64, values }).unwrap();
    }
    if shape.measured {
        for step in (0..=shape.steps).step_by(100) {
            let rise = 1.0 - (-(step as f64) / 180.0).exp();
            let top = 6.0 + 27.0 * rise + 1.5 * noise(step) + 0.01 * step as f64;
            run.write_hessian(&hessian(step, shape, "batch", 500, top, step != 300)).unwrap();
            if step % 300 == 0 {
                run.write_hessian(&hessian(step, shape, "running", 1437, 0.7 * top, step != 900)).unwrap();
            }
        }
        run.write_measurement("batch-entropy-001200", &json!({ "probe": "batch-entropy", "layers": { "fc1": 3.1 } }))
            .unwrap();
    }
    if shape.ends {
        let summary = json!({ "steps": shape.steps, "seconds": 47.2, "parameters": 85_002, "train_loss": 0.0421 });
        run.write_summary(summary.as_object().unwrap()).unwrap();
    }
    run
}

fn page(shape: &Shape) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let run = fabricate(&folder.path().join("digits-mlp-001"), shape);
    let html = report_html(&run).unwrap();
    (folder, html)
}

/// The JSON the page embeds, read as a browser would find it.
fn data(html: &str) -> Value {
    let (_, rest) = html.split_once("id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// The paragraph in plain words.
fn reading(html: &str) -> &str {
    html.split_once("<h2>Reading</h2>").unwrap().1.split_once("</section>").unwrap().0
}

#[test]
fn a_usual_run_gets_four_figures_and_a_page_that_asks_for_nothing() {
    let (_folder, html) = page(&USUAL);
    let data = data(&html);
    assert_eq!(
        data["figures"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["loss", "accuracy", "sharpness", "step-size"]
    );
    assert_eq!(data["tables"]["metrics"]["loss"].as_array().unwrap().len(), 1200);
    let outside = html.split_once("id=\"plotly\">").unwrap();
    let outside = format!("{}{}", outside.0, outside.1.split_once("</script>").unwrap().1);
    for request in [" src=", " href=", "url(", "@import", "http:", "https:", "fetch("] {
        assert!(!outside.contains(request), "{request}");
    }
    assert!(html.len() < 3_000_000, "{} bytes", html.len());
    assert!(reading(&html).contains("(2 + 2β)/lr"), "{}", reading(&html));
}

#[test]
fn text_of_the_user_cannot_leave_its_place() {
    let (_folder, html) = page(&USUAL);
    assert!(!html.contains("<script>alert"));
    assert!(html.contains("a &lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt; &amp; {{config}} in a value"));
    assert_eq!(html.matches("</script>").count(), 3);
    let folder = tempfile::tempdir().unwrap();
    let run = Run::create(&folder.path().join("x<b>'\"&"), CONFIG).unwrap();
    let values = vec![("</script><!--".to_owned(), 1.0), ("loss".to_owned(), 1.0)];
    run.metrics_writer().unwrap().append(&Record { step: 1, epoch: 1.0, values }).unwrap();
    let mut odd = hessian(1, &USUAL, "batch", 5, 3.0, true);
    odd.norm_mode = "</script><img src=x>".to_owned();
    run.write_measurement("odd", &odd).unwrap();
    run.write_measurement("other", &json!({ "probe": "<i>", "x": "</pre></script>" })).unwrap();
    let html = report_html(&run).unwrap();
    assert_eq!(html.matches("</script>").count(), 3);
    assert!(!html.contains("<img") && !html.contains("<i>") && !html.contains("<b>'"));
}

#[test]
fn a_run_without_measurements_says_how_to_make_one() {
    let (_folder, html) = page(&Shape { measured: false, ..USUAL });
    assert!(html.contains("<code>evenkeel measure RUN hessian</code>"));
    assert!(data(&html)["figures"].get("sharpness").is_none());
}

#[test]
fn for_an_optimiser_that_rescales_the_gradient_two_over_lr_is_no_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::create(&folder.path().join("run"), "[optimizer]\nname = \"adam\"\n").unwrap();
    run.write_hessian(&hessian(0, &USUAL, "batch", 500, 9.0, true)).unwrap();
    let html = report_html(&run).unwrap();
    assert!(reading(&html).contains("no threshold") && !html.contains("(2 + 2β)"), "{}", reading(&html));
}

#[test]
fn a_diverged_run_has_gaps_and_says_from_where() {
    let (_folder, html) = page(&Shape { diverges_at: Some(700), ends: false, ..USUAL });
    assert!(reading(&html).contains("no finite number from step 700 on"), "{}", reading(&html));
    assert!(html.contains(">diverged</span>"));
    let data = data(&html);
    assert_eq!(data["tables"]["metrics"]["loss"][1199], "NaN");
    assert!(data["figures"]["loss"]["plot"]["data"][0]["y"][1199].is_null());
}

#[test]
fn a_loss_that_scatters_more_than_it_moves_is_not_said_to_rise() {
    // Regression: one bad batch at the end of three epochs was a loss that rose by 91 %.
    let folder = tempfile::tempdir().unwrap();
    let run = Run::create(&folder.path().join("short"), CONFIG).unwrap();
    let mut writer = run.metrics_writer().unwrap();
    for step in 1..=66 {
        let loss = if step == 66 { 0.2 } else { 0.06 * (1.0 + 0.9 * noise(step)) };
        let values = vec![("loss".to_owned(), loss)];
        writer.append(&Record { step, epoch: step as f64 / 22.0, values }).unwrap();
    }
    let html = report_html(&run).unwrap();
    assert!(reading(&html).contains("no more than chance would have it"), "{}", reading(&html));
    let (_folder, html) = page(&Shape { steps: 200, ..USUAL });
    assert!(reading(&html).contains("still improving"), "{}", reading(&html));
}

#[test]
fn an_interrupted_run_is_reported_from_its_last_record() {
    let (_folder, html) = page(&Shape { steps: 437, ends: false, ..USUAL });
    assert!(reading(&html).contains("its last record is step 437"), "{}", reading(&html));
    assert!(html.contains("<dt>Steps</dt><dd>437"));
}

#[test]
fn a_run_of_one_step_and_a_run_of_none_are_reported() {
    let (_folder, html) = page(&Shape { steps: 1, ..USUAL });
    assert_eq!(data(&html)["figures"]["loss"]["plot"]["data"][0]["mode"], "markers");
    let (_folder, html) = page(&Shape { steps: 0, measured: false, ends: false, ..USUAL });
    assert!(reading(&html).contains("no metrics yet"));
    assert_eq!(data(&html)["figures"], json!({}));
}

#[test]
fn what_is_broken_is_left_out_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let run = fabricate(&folder.path().join("run"), &Shape { steps: 60, ..USUAL });
    std::fs::write(run.measurements_dir().join("hessian-broken.json"), "{").unwrap();
    std::fs::write(run.dir().join("summary.json"), "{").unwrap();
    let mut metrics = std::fs::read(run.metrics_path()).unwrap();
    metrics[0] = b'x';
    std::fs::write(run.metrics_path(), metrics).unwrap();
    let html = report_html(&run).unwrap();
    for part in ["1 line of the metrics could not be read (line 1)", "hessian-broken could not", "summary could not"] {
        assert!(reading(&html).contains(part), "{}", reading(&html));
    }
}

#[test]
fn the_report_is_the_same_bytes_each_time_and_replaces_the_older_one() {
    let folder = tempfile::tempdir().unwrap();
    let run = fabricate(&folder.path().join("run"), &Shape { steps: 120, ..USUAL });
    let path = write_report(&run).unwrap();
    let first = std::fs::read(&path).unwrap();
    write_report(&run).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), first);
}

#[test]
fn a_long_run_is_drawn_with_its_extremes_and_kept_whole_for_the_download() {
    let folder = tempfile::tempdir().unwrap();
    let run = Run::create(&folder.path().join("run"), "").unwrap();
    let mut writer = run.metrics_writer().unwrap();
    for step in 1..=20_000 {
        let loss = if step == 12_345 { 99.0 } else { 1.0 + 0.1 * noise(step) };
        writer.append(&Record { step, epoch: 0.0, values: vec![("loss".to_owned(), loss)] }).unwrap();
    }
    let data = data(&report_html(&run).unwrap());
    let drawn = data["figures"]["loss"]["plot"]["data"][0]["y"].as_array().unwrap();
    assert!(drawn.len() < 3200 && drawn.contains(&json!(99.0)), "{}", drawn.len());
    assert_eq!(data["tables"]["metrics"]["loss"].as_array().unwrap().len(), 20_000);
}

/// Layers of a made-up run, and what was found of them at some steps.
fn with_layers(run: &Run, layers: usize, value: impl Fn(&str, usize, u64) -> f64) {
    let mut writer = run.metrics_writer().unwrap();
    let weights = ["weight_norm", "gradient_norm", "update_norm", "update_ratio", "effective_learning_rate"];
    let activations =
        ["activation_mean", "activation_deviation", "activation_zeros", "activation_dead", "activation_largest"];
    for step in (1..=1200).step_by(60) {
        let named = |quantities: [&'static str; 5], path: &dyn Fn(usize) -> String| {
            let all = (1..=layers).flat_map(|layer| quantities.map(|quantity| (quantity, layer)));
            all.map(|(quantity, layer)| (layer_metrics::name(quantity, &path(layer)), value(quantity, layer, step)))
                .collect::<Vec<_>>()
        };
        let values =
            [named(weights, &|layer| format!("fc{layer}.weight")), named(activations, &|layer| format!("act{layer}"))]
                .concat();
        for part in values.chunks(1000) {
            writer.append(&Record { step, epoch: 0.0, values: part.to_vec() }).unwrap();
        }
    }
}

/// Layers as they are where all goes well: deeper ones have longer gradients.
fn healthy(quantity: &str, layer: usize, step: u64) -> f64 {
    let scatter = 1.0 + 0.2 * noise(step + 31 * layer as u64);
    match quantity {
        "weight_norm" => 8.0 + 0.002 * step as f64 + layer as f64,
        "gradient_norm" => 0.02 * (1.0 + layer as f64) * scatter,
        "update_norm" => 0.01 * scatter,
        "update_ratio" => 0.001 * scatter,
        "effective_learning_rate" => 0.1 / (8.0 + 0.002 * step as f64).powi(2),
        "activation_zeros" => 0.4 + 0.05 * scatter,
        "activation_dead" => 0.02 * layer as f64 / 3.0,
        _ => scatter,
    }
}

fn layered(layers: usize, value: impl Fn(&str, usize, u64) -> f64) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let run = fabricate(&folder.path().join("run"), &Shape { measured: false, ..USUAL });
    with_layers(&run, layers, value);
    let html = report_html(&run).unwrap();
    (folder, html)
}

#[test]
fn layers_that_were_looked_at_are_drawn_told_and_kept_out_of_the_metrics_of_the_run() {
    let (_folder, html) = layered(3, healthy);
    let data = data(&html);
    let figures: Vec<&String> = data["figures"].as_object().unwrap().keys().collect();
    let wanted = ["gradients", "updates", "weights", "rates", "activations", "zeros", "dead"];
    assert_eq!(figures[3..], wanted.map(|name| format!("layer-{name}")).iter().collect::<Vec<_>>());
    let updates = &data["figures"]["layer-updates"]["plot"];
    assert_eq!(updates["data"].as_array().unwrap().len(), 4, "three layers and the usual size");
    assert_eq!((&updates["data"][0]["name"], &updates["layout"]["yaxis"]["type"]), (&json!("fc1"), &json!("log")));
    let table = &data["tables"]["layer-weights"];
    assert_eq!(table["step"].as_array().unwrap().len(), 20);
    assert_eq!(table["fc2.weight"][0], json!(healthy("weight_norm", 2, 1)));
    let metrics = data["tables"]["metrics"].as_object().unwrap();
    assert_eq!(metrics["step"].as_array().unwrap().len(), 1200);
    assert!(metrics.keys().all(|name| !name.contains('/')), "{:?}", metrics.keys());
    assert!(reading(&html).contains("Layer by layer nothing stands out: steps were typically"), "{}", reading(&html));
    assert!(html.contains("Layers at step 1,141: weights") && html.contains("Layers at step 1,141: activations"));
}

#[test]
fn many_layers_are_a_map_with_a_row_each_and_a_page_that_is_not_too_large() {
    let (_folder, html) = layered(500, healthy);
    let data = data(&html);
    let map = &data["figures"]["layer-gradients"]["plot"]["data"][0];
    assert_eq!((&map["type"], &map["y"][499]), (&json!("heatmap"), &json!("fc500")));
    let (rows, columns) = (map["z"].as_array().unwrap().len(), map["z"][0].as_array().unwrap().len());
    assert_eq!((rows, columns), (500, 20));
    let gradient = healthy("gradient_norm", 1, 1);
    assert!((map["z"][0][0].as_f64().unwrap() - gradient.log10()).abs() < 1e-3);
    let updates = &data["figures"]["layer-updates"]["plot"]["data"][0];
    let middle = (updates["zmin"].as_f64().unwrap() + updates["zmax"].as_f64().unwrap()) / 2.0;
    assert!((middle + 3.0).abs() < 1e-12, "a usual update is in the middle of the colours");
    assert!(html.len() < 6_000_000, "{} bytes", html.len());
}

#[test]
fn layers_that_die_vanish_or_stand_still_are_named() {
    let told = |value: &dyn Fn(&str, usize, u64) -> f64| {
        let (_folder, html) = layered(4, value);
        reading(&html).to_owned()
    };
    let but = |off: &'static str, at: usize, number: f64| {
        move |quantity: &str, layer: usize, step: u64| match quantity == off && layer == at {
            true => number,
            false => healthy(quantity, layer, step),
        }
    };
    let dying = told(&but("activation_dead", 3, 0.8));
    assert!(dying.contains("At step 1,141 most units were 0 for the whole batch in <code>act3</code> (80"), "{dying}");
    let vanishing = told(&but("gradient_norm", 1, 1e-9));
    assert!(
        vanishing.contains("that of <code>fc4.weight</code>") && vanishing.contains("<code>fc1.weight</code> (1.0e−9)")
    );
    let large = told(&but("update_ratio", 2, 0.4));
    assert!(large.contains("Steps were large for <code>fc2.weight</code> (0.40)"), "{large}");
    let still = told(&|quantity: &str, layer: usize, step: u64| match quantity {
        "update_ratio" => 1e-7 * layer as f64,
        _ => healthy(quantity, layer, step),
    });
    let named = "<code>fc1.weight</code> (1.0e−7), <code>fc2.weight</code> (2.0e−7), <code>fc3.weight</code> (3.0e−7) and 1 more";
    assert!(still.contains(named), "{still}");
    for text in [dying, vanishing, large, still] {
        assert!(!text.contains("nothing stands out"), "{text}");
    }
}

#[test]
fn numbers_of_layers_that_are_no_numbers_leave_gaps() {
    let (_folder, html) = layered(12, |quantity, layer, step| match (quantity, layer) {
        ("gradient_norm", 1) => 0.0,
        ("update_ratio", 2) => f64::INFINITY,
        ("effective_learning_rate", _) => f64::NAN,
        _ => healthy(quantity, layer, step),
    });
    let data = data(&html);
    let row = |figure: &str, layer: usize| data["figures"][figure]["plot"]["data"][0]["z"][layer - 1][0].clone();
    assert!(row("layer-gradients", 1).is_null() && row("layer-gradients", 2).is_number());
    assert!(row("layer-updates", 2).is_null() && row("layer-rates", 1).is_null());
    assert_eq!(data["tables"]["layer-updates"]["fc2.weight"][0], "inf");
}

#[test]
fn a_momentum_that_changes_is_drawn_between_rate_and_gradient() {
    let folder = tempfile::tempdir().unwrap();
    let run = fabricate(&folder.path().join("run"), &Shape { momentum: 0.572_565_080_275_266_4, ..USUAL });
    let plain = data(&report_html(&run).unwrap());
    assert_eq!(plain["figures"]["step-size"]["plot"]["layout"]["yaxis3"], Value::Null);
    let mut writer = run.metrics_writer().unwrap();
    for step in 1..=1200 {
        let momentum = if step <= 600 { 0.4 } else { 0.7 };
        writer.append(&Record { step, epoch: 0.0, values: vec![("momentum".to_owned(), momentum)] }).unwrap();
    }
    let html = report_html(&run).unwrap();
    assert!(html.contains("<h2>Learning rate, momentum and gradient norm</h2>"));
    let data = data(&html);
    let figure = &data["figures"]["step-size"];
    let lines = figure["plot"]["data"].as_array().unwrap();
    let line = lines.iter().find(|line| line["name"] == "momentum").unwrap();
    assert_eq!(line["yaxis"], "y3");
    let drawn = line["y"].as_array().unwrap();
    assert_eq!((drawn[0].as_f64(), drawn[drawn.len() - 1].as_f64()), (Some(0.4), Some(0.7)));
    assert!(figure["columns"].as_array().unwrap().contains(&json!("momentum")));
    // Three panels that do not overlap.
    let ends = |axis: &str| {
        let domain = &figure["plot"]["layout"][axis]["domain"];
        (domain[0].as_f64().unwrap(), domain[1].as_f64().unwrap())
    };
    assert!(ends("yaxis").1 < ends("yaxis3").0 && ends("yaxis3").1 < ends("yaxis2").0);
    assert!(reading(&html).contains("momentum β = 0.5726 loses"), "{}", reading(&html));
}

/// Writes reports to look at: `EVENKEEL_PAGES=DIR cargo test -p evenkeel --test report_page -- --ignored`.
#[test]
#[ignore = "for the eye"]
fn pages_to_look_at() {
    let folder = std::env::var("EVENKEEL_PAGES").unwrap();
    let folder = Path::new(&folder);
    for (name, shape) in [
        ("usual", USUAL),
        ("plain-sgd", Shape { momentum: 0.0, ..USUAL }),
        ("diverged", Shape { diverges_at: Some(700), ends: false, ..USUAL }),
        ("not-measured", Shape { measured: false, ..USUAL }),
        ("one-step", Shape { steps: 1, ..USUAL }),
    ] {
        let run = fabricate(&folder.join(name), &shape);
        if name == "usual" {
            with_layers(&run, 4, healthy);
        }
        write_report(&run).unwrap();
    }
    let deep = fabricate(&folder.join("deep"), &USUAL);
    with_layers(&deep, 500, |quantity, layer, step| match quantity {
        "gradient_norm" => 10_f64.powf(-12.0 * (1.0 - layer as f64 / 500.0)) * healthy(quantity, 1, step),
        _ => healthy(quantity, layer.min(60), step),
    });
    write_report(&deep).unwrap();
}
