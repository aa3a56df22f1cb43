//! `evenkeel runs` and what is done with runs.

use super::{Place, Said, TINY};
use evenkeel::store::{Record, Run};
use insta::assert_snapshot;
use serde_json::{Value, json};
use std::fs;
use std::io::Read;
use std::process::{Command, Stdio};

/// A finished run of two steps in `runs/`.
fn made(place: &Place, name: &str, seed: u64, rate: f64, accuracy: f64) -> Run {
    let config = format!(
        "epochs = 1\nmodel = \"mlp:16\"\nseed = {seed}\n[data]\nsource = \"mnist:some/where\"\n[optimizer]\nlearning_rate = {rate}\n"
    );
    let run = Run::create(&place.path("runs").join(name), &config).expect("a run");
    let mut metrics = run.metrics_writer().expect("metrics");
    for step in 1..=2_u64 {
        let values = vec![("loss".to_owned(), 1.0 / step as f64), ("test_accuracy".to_owned(), accuracy)];
        metrics.append(&Record { step, epoch: step as f64 / 2.0, values }).expect("a record");
    }
    let summary = json!({ "steps": 2, "test_loss": 0.25, "test_accuracy": accuracy });
    run.write_summary(summary.as_object().expect("an object")).expect("a summary");
    run
}

fn three() -> Place {
    let place = Place::new();
    made(&place, "a", 1, 0.1, 0.9);
    made(&place, "b", 2, 0.1, 0.8);
    made(&place, "c", 1, 0.2, 0.7);
    place
}

fn ok(said: Said) -> String {
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    said.out
}

#[test]
fn runs_are_listed_filtered_and_sorted() {
    let place = three();
    assert_eq!(ok(place.run("runs tag b +good +v1")), "b  good v1\n");
    assert_snapshot!(ok(place.run("runs --sort test_accuracy")), @r"
    run  status    model   data   epochs  steps  test_accuracy  test_loss  age  tags
    c    finished  mlp:16  mnist     1/1      2         0.7000     0.2500  now
    b    finished  mlp:16  mnist     1/1      2         0.8000     0.2500  now  good v1
    a    finished  mlp:16  mnist     1/1      2         0.9000     0.2500  now
    ");
    let filtered = |filter: &str, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(["runs", "--where", filter, "--json"]).args(more).current_dir(place.dir.path());
        let output = command.output().expect("the command starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let document: Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
        let names = document["runs"].as_array().expect("a list").iter().map(|run| run["name"].as_str().unwrap_or(""));
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(filtered("data ~ mnist", &["--sort", "test_accuracy"]), ["c", "b", "a"]);
    assert_eq!(filtered("lr > 0.05 and test_accuracy >= 0.8 and tag = good", &[]), ["b"]);
    assert_eq!(filtered("lr < 0.15", &["--sort", "test_accuracy", "--descending", "--limit", "1"]), ["a"]);
    let said = place.run("runs --where lr>5");
    assert_eq!((said.code, said.out.as_str(), said.err.as_str()), (0, "", "none of 3 runs is left by the filter\n"));
    assert_snapshot!(place.refused("runs --where test_acuracy>0.5"), @r#"
    error: there is nothing called 'test_acuracy' in the runs
      --> --where
        | test_acuracy>#
        | ^^^^^^^^^^^^ did you mean 'test_accuracy'?
    hint: settings are in docs/configuration.md; metrics: `evenkeel runs sql "SELECT DISTINCT metric FROM metrics"`
    "#);
    place.refused("runs --limit 0");
    place.refused("runs --descending");
    place.refused("runs nowhere");
    place.refused("runs --limit 3 sql x");
    assert_snapshot!(place.refused("runs runs/a"), @r"
    error: this is a run, not a folder of runs
      file      runs/a
    hint: `evenkeel runs runs` lists what is beside it
    ");
}

#[test]
fn without_runs_the_list_is_empty_and_says_how_to_get_one() {
    let place = Place::new();
    let said = place.run("runs");
    assert_eq!((said.code, said.out.as_str()), (0, ""));
    assert_eq!(said.err, "there are no runs yet; `evenkeel train` makes one in runs/\n");
    assert_eq!(place.run("runs --json").out, "{\n  \"runs\": []\n}\n");
    assert_eq!(place.names("."), Vec::<String>::new());
}

#[test]
fn training_shows_in_the_list_and_in_the_database() {
    let place = Place::new();
    assert_eq!(place.run(&format!("{TINY} -q")).code, 0);
    assert_eq!(place.names("runs"), ["evenkeel.db", "mlp-digits-001"]);
    let database = rusqlite::Connection::open(place.path("runs/evenkeel.db")).expect("a database");
    let found: (String, String, i64) = database
        .query_row("SELECT name, status, steps FROM runs", [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .expect("a row");
    assert_eq!(found, ("mlp-digits-001".to_owned(), "finished".to_owned(), 44));
    drop(database);
    let document: Value = serde_json::from_str(&place.run("runs --json").out).expect("JSON");
    let run = &document["runs"][0];
    assert_eq!(
        (run["model"].as_str(), run["data"].as_str(), run["steps"].as_u64()),
        (Some("mlp:16"), Some("digits"), Some(44))
    );
}

#[test]
fn training_goes_on_where_the_index_cannot_be_written() {
    let place = Place::new();
    fs::create_dir(place.path("runs")).expect("a folder");
    place.write("runs/evenkeel.db", "no database at all, but long enough to be looked at");
    let said = place.run(TINY);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(said.err.matches("warning: the list of runs does not show this one yet; training goes on").count(), 1);
    let said = place.run("runs");
    assert!(said.out.contains("mlp-digits-001  finished"), "{}", said.out);
    assert!(said.err.contains("kept      runs/evenkeel.db.broken-1"), "{}", said.err);
    assert_eq!(place.run("runs").err, "");
}

#[test]
fn two_trainings_at_once_are_both_in_the_database() {
    let place = Place::new();
    let start = || {
        Command::new(env!("CARGO_BIN_EXE_evenkeel"))
            .args(TINY.split_whitespace())
            .arg("-q")
            .current_dir(place.dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts")
    };
    let children: Vec<_> = (0..3).map(|_| start()).collect();
    for mut child in children {
        let mut err = String::new();
        child.stderr.take().expect("stderr").read_to_string(&mut err).expect("UTF-8");
        assert!(child.wait().expect("the command ends").success() && err.is_empty(), "{err}");
    }
    let database = rusqlite::Connection::open(place.path("runs/evenkeel.db")).expect("a database");
    let finished: i64 = database
        .query_row("SELECT count(*) FROM runs WHERE status = 'finished'", [], |row| row.get(0))
        .expect("a number");
    assert_eq!(finished, 3);
}

#[cfg(unix)]
#[test]
fn a_killed_training_leaves_a_usable_database_and_is_interrupted() {
    let place = Place::new();
    let mut child = Command::new(env!("CARGO_BIN_EXE_evenkeel"))
        .args("train --model mlp:32 --epochs 2000 --set measure.start_and_end=false -q".split_whitespace())
        .current_dir(place.dir.path())
        .spawn()
        .expect("the command starts");
    let metrics = place.path("runs/mlp-digits-001/metrics");
    let database = place.path("runs/evenkeel.db");
    let start = std::time::Instant::now();
    while start.elapsed().as_secs() < 120
        && !(database.exists() && fs::metadata(&metrics).is_ok_and(|metadata| metadata.len() > 5000))
    {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert!(place.run("runs").out.contains("mlp-digits-001  running"));
    // Where it is in its work is left to chance.
    child.kill().expect("a signal");
    child.wait().expect("the command ends");
    let said = place.run("runs");
    assert_eq!(said.err, "");
    assert!(said.out.contains("mlp-digits-001  interrupted"), "{}", said.out);
    let points = ok(place.run("runs sql SELECT(count(*)>20)FROM(points)"));
    assert_eq!(points.lines().last().map(str::trim), Some("1"), "{points}");
}

#[test]
fn sql_answers_in_a_table_or_as_json_and_refuses_to_write() {
    let place = three();
    let sql = |query: &str, json: bool| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evenkeel"));
        command.args(["runs", "sql", query]).args(json.then_some("--json")).current_dir(place.dir.path());
        let output = command.output().expect("the command starts");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Said { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    };
    assert_snapshot!(ok(sql("SELECT name, metric, last, min_step FROM runs JOIN metrics USING (run) WHERE name <> 'c' ORDER BY name, metric", false)), @r"
    name  metric         last  min_step
    a     loss            0.5         2
    a     test_accuracy   0.9         1
    b     loss            0.5         2
    b     test_accuracy   0.8         1
    ");
    let document: Value = serde_json::from_str(&ok(sql(
        "SELECT step, value FROM points JOIN runs USING (run) WHERE name = 'a' AND metric = 'loss'",
        true,
    )))
    .expect("JSON");
    assert_eq!(document, json!({ "columns": ["step", "value"], "rows": [[1, 1.0], [2, 0.5]] }));
    let said = sql("DELETE FROM runs", false);
    assert_eq!((said.code, said.out.as_str()), (2, ""));
    assert_snapshot!(said.err, @r"
    error: a query can only read
      expected  a SELECT
    hint: `evenkeel runs tag` and `evenkeel runs delete` change runs; the index itself is made from their folders
    ");
    let said = sql("SELECT nme FROM runs", false);
    assert_snapshot!(said.err, @r"
    error: SQLite does not understand the query
      --> the query
        | SELECT nme FROM runs
        |        ^^^ no such column: nme
    hint: tables: runs, config, tags, summary, metrics, points; `SELECT name, sql FROM sqlite_schema` shows their columns
    ");
}

#[test]
fn runs_are_compared_side_by_side_and_on_a_page() {
    let place = three();
    let said = place.run("runs compare a b c --report out/compare.html");
    assert_eq!((said.code, said.err.as_str()), (0, "report  out/compare.html\n"));
    assert_snapshot!(said.out, @r"
                                  a       b       c
    seed                          1       2       1
    optimizer.learning_rate     0.1     0.1     0.2
    test_accuracy            0.9000  0.8000  0.7000
    loss                     0.5000  0.5000  0.5000
    ");
    let page = fs::read_to_string(place.path("out/compare.html")).expect("a page");
    assert!(page.contains("2 seeds like a (optimizer.learning_rate 0.1)") && page.contains("default-src 'none'"));
    let document: Value = serde_json::from_str(&place.run("runs compare a runs/c --json").out).expect("JSON");
    assert_eq!(document["settings"], json!({ "optimizer.learning_rate": ["0.1", "0.2"] }));
    assert_eq!(document["groups"], json!([["a"], ["c"]]));
    place.refused("runs compare a");
    assert_snapshot!(place.refused("runs compare a bb"), @r"
    error: there is no run 'bb'
      folder    runs
      expected  a run's folder, its name in `evenkeel runs`, or the beginning of its id
    hint: did you mean 'b'?
    ");
}

#[test]
fn deleting_needs_a_yes_and_takes_the_run_off_the_list() {
    let place = three();
    let refusal = place.refused("runs delete a b");
    assert!(refusal.contains("there is nobody to ask") && refusal.contains("--yes"), "{refusal}");
    assert_eq!(place.names("runs"), ["a", "b", "c", "evenkeel.db"]);
    // Nothing goes where one of them is not there.
    place.refused("runs delete a nobody --yes");
    assert_eq!(ok(place.run("runs delete a runs/b a --yes")), "deleted a\ndeleted b\n");
    assert_eq!(place.names("runs"), ["c", "evenkeel.db"]);
    assert_eq!(ok(place.run("runs")).lines().count(), 2);
    // A run whose folder was removed by hand is told once, listed as missing, and then forgotten.
    fs::remove_dir_all(place.path("runs/c")).expect("a folder");
    let said = place.run("runs");
    assert_eq!(said.err, "c is gone; `evenkeel runs delete c` takes it off the list\n");
    assert!(said.out.contains("c    missing"), "{}", said.out);
    assert!(place.refused("runs tag c +x").contains("the folder of c is gone"));
    assert_eq!(ok(place.run("runs delete c --yes")), "deleted c\n");
    assert_eq!(place.run("runs").out, "");
}

#[test]
fn a_run_that_is_trained_is_not_deleted() {
    let place = three();
    let run = Run::open(&place.path("runs/a")).expect("a run");
    let claim = run.claim().expect("a claim");
    assert!(place.refused("runs delete a --yes").contains("another process is training this run"));
    drop(claim);
    assert_eq!(ok(place.run("runs delete a --yes")), "deleted a\n");
}

#[test]
fn a_run_moved_by_hand_is_known_again() {
    let place = three();
    ok(place.run("runs tag a +kept"));
    fs::create_dir(place.path("runs/old")).expect("a folder");
    fs::rename(place.path("runs/a"), place.path("runs/old/first")).expect("a rename");
    let said = place.run("runs --sort name --where tag=kept");
    assert_eq!(said.err, "a is now old/first\n");
    assert!(said.out.contains("old/first  finished"), "{}", said.out);
}

#[test]
fn odd_tags_and_formats_are_refused() {
    let place = three();
    assert_snapshot!(place.refused("runs tag a good"), @r"
    error: 'good' neither adds nor takes away a tag
      expected  +TAG or -TAG
      got       good
    hint: write it as in `evenkeel runs tag a +good -bad`; other flags come first
    ");
    place.refused("runs tag a +two,words");
    place.refused("runs tag a");
    assert_snapshot!(place.refused("runs export a --format csw --out x"), @r"
    error: --format does not know 'csw'
      expected  one of csv, parquet, tensorboard
      got       csw
    hint: did you mean 'csv'?
    ");
    assert_eq!(place.names("."), ["runs"]);
}

#[test]
fn points_are_exported_in_every_format() {
    let place = three();
    assert_eq!(ok(place.run("runs export a b --format csv --out t.csv")), "t.csv: 8 points in 4 records of 2 runs\n");
    assert_snapshot!(fs::read_to_string(place.path("t.csv")).expect("a table"), @r"
    run,step,epoch,loss,test_accuracy
    a,1,0.5,1.0,0.9
    a,2,1.0,0.5,0.9
    b,1,0.5,1.0,0.8
    b,2,1.0,0.5,0.8
    ");
    let document: Value =
        serde_json::from_str(&place.run("runs export a --format parquet --out t.parquet --json").out).expect("JSON");
    assert_eq!((document["points"].as_u64(), document["files"][0].as_str()), (Some(4), Some("t.parquet")));
    let said = place.run("runs export a b --format tensorboard --out board");
    assert_eq!((said.code, said.err.as_str()), (0, "see it with `tensorboard --logdir board`\n"));
    assert_eq!(place.names("board"), ["a", "b"]);
}
