//! The index shows what the folders hold, whatever happened to it or to them.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use evenkeel::store::index::filter::{Filter, SortKey};
use evenkeel::store::index::{Cell, Changes, Found, Listed, Order, Status};
use evenkeel::store::{Index, Record, Run};
use serde_json::json;
use tempfile::TempDir;

/// A run of some steps; `ended` writes a summary.
fn run(base: &Path, name: &str, lr: f64, losses: &[f64], ended: bool) -> Run {
    let config =
        format!("epochs = 2\nmodel = \"mlp:16\"\n[data]\nsource = \"digits\"\n[optimizer]\nlearning_rate = {lr}\n");
    let run = Run::create(&base.join(name), &config).unwrap();
    train(&run, 0, losses);
    if ended {
        let summary = json!({ "steps": losses.len(), "test_loss": losses.last(), "lambda_max": 3.5 });
        run.write_summary(summary.as_object().unwrap()).unwrap();
    }
    run
}

fn train(run: &Run, from: u64, losses: &[f64]) {
    let mut metrics = run.metrics_writer().unwrap();
    for (step, loss) in (from + 1..).zip(losses) {
        let values = vec![("loss".to_owned(), *loss), ("test_accuracy".to_owned(), 1.0 / (1.0 + loss))];
        metrics.append(&Record { step, epoch: step as f64 / 2.0, values }).unwrap();
    }
}

fn three() -> TempDir {
    let base = tempfile::tempdir().unwrap();
    run(base.path(), "a", 0.1, &[3.0, 1.0], true);
    run(base.path(), "b", 0.2, &[3.0], false);
    run(base.path(), "c", 0.3, &[3.0, f64::NAN], false);
    base
}

fn current(base: &Path) -> (Index, Changes) {
    let (index, changes, told) = Index::current(base, &mut |_, _| {}).unwrap();
    assert!(told.is_empty(), "{told:?}");
    (index, changes)
}

fn names(runs: &[Listed]) -> Vec<&str> {
    runs.iter().map(|run| run.name.as_str()).collect()
}

fn by_name() -> Order {
    Order::By { key: SortKey::parse("name").unwrap(), descending: false }
}

fn filtered(index: &Index, filter: &str) -> Vec<String> {
    let runs = index.list(Some(&Filter::parse(filter).unwrap()), &by_name(), None).unwrap();
    names(&runs).into_iter().map(str::to_owned).collect()
}

fn all(index: &Index) -> Vec<Listed> {
    index.list(None, &by_name(), None).unwrap()
}

#[test]
fn a_list_says_of_each_run_how_it_stands_and_what_it_came_to() {
    let base = three();
    let (index, changes) = current(base.path());
    assert_eq!((changes.runs, changes.read), (3, 3));
    let runs = all(&index);
    assert_eq!(names(&runs), ["a", "b", "c"]);
    let status: Vec<Status> = runs.iter().map(|run| run.status).collect();
    assert_eq!(status, [Status::Finished, Status::Interrupted, Status::Diverged]);
    assert_eq!((runs[0].model.as_deref(), runs[0].data.as_deref()), (Some("mlp:16"), Some("digits")));
    assert_eq!((runs[0].steps, runs[0].epochs, runs[0].epochs_wanted), (Some(2), Some(1.0), Some(2)));
    assert_eq!((runs[0].test_accuracy, runs[0].test_loss), (Some(0.5), Some(1.0)));
}

#[test]
fn filters_know_settings_metrics_tags_and_status() {
    let base = three();
    Run::open(&base.path().join("b")).unwrap().tag(&["good".into()], &[]).unwrap();
    let (index, _) = current(base.path());
    let cases: [(&str, &[&str]); 16] = [
        ("optimizer.learning_rate > 0.15", &["b", "c"]),
        ("lr >= 0.2 and test_accuracy >= 0.2 and tag = good", &["b"]),
        ("tag != good", &["a", "c"]),
        ("tag = none", &["a", "c"]),
        ("not tag ~ oo", &["a", "c"]),
        ("status = finished or status = diverged", &["a", "c"]),
        ("model = mlp:16 and data.source != digits", &[]),
        ("model ~ 'MLP*' and name ~ a", &["a"]),
        ("max(loss) = 3 and min(loss) < 3", &["a"]),
        ("last(loss) - lr > 2", &["b"]),
        ("loss = none", &["c"]),
        ("not loss > 2", &["a", "c"]),
        ("lambda_max > 3", &["a"]),
        ("lambda_max = none", &["b", "c"]),
        ("steps * 2 = epochs * 2", &["a", "c"]),
        ("age < 1 and (lr + 1) * 2 < 2.3", &["a"]),
    ];
    for (filter, wanted) in cases {
        assert_eq!(filtered(&index, filter), wanted, "{filter}");
    }
    let order = Order::By { key: SortKey::parse("test_loss - lr").unwrap(), descending: true };
    assert_eq!(names(&index.list(None, &order, Some(2)).unwrap()), ["a", "b"]);
}

#[test]
fn only_what_has_grown_is_read_again() {
    let base = three();
    current(base.path());
    assert_eq!(current(base.path()).1.read, 0);
    train(&Run::open(&base.path().join("b")).unwrap(), 1, &[0.5]);
    let (mut index, changes) = current(base.path());
    assert_eq!(changes.read, 1);
    assert_eq!(filtered(&index, "steps = 2 and min(loss) = 0.5 and max(loss) = 3"), ["b"]);
    let points =
        index.query("SELECT name, points FROM runs JOIN metrics USING (run) WHERE metric = 'loss' AND name = 'b'");
    assert_eq!(points.unwrap().rows, [[Cell::Text("b".into()), Cell::Integer(2)]]);
}

#[test]
fn a_run_cut_back_by_a_resume_and_grown_longer_is_read_anew() {
    let base = three();
    current(base.path());
    let run = Run::open(&base.path().join("a")).unwrap();
    run.metrics_writer().unwrap().truncate_after(1).unwrap();
    train(&run, 1, &[2.0, 1.5, 1.25]);
    let (index, _) = current(base.path());
    assert_eq!(filtered(&index, "min(loss) = 1.25 and steps = 4 and status = interrupted"), ["a"]);
}

#[test]
fn a_run_that_somebody_trains_is_running_until_he_ends() {
    let base = three();
    let run = Run::open(&base.path().join("b")).unwrap();
    let claim = run.claim().unwrap();
    assert_eq!(filtered(&current(base.path()).0, "status = running"), ["b"]);
    drop(claim);
    assert_eq!(filtered(&current(base.path()).0, "status = running"), Vec::<String>::new());
    assert_eq!(filtered(&current(base.path()).0, "status = interrupted"), ["b"]);
}

#[test]
fn a_run_that_was_moved_is_found_and_one_that_was_deleted_is_missing() {
    let base = three();
    let id = all(&current(base.path()).0)[0].id.clone();
    fs::create_dir(base.path().join("old")).unwrap();
    fs::rename(base.path().join("a"), base.path().join("old/first")).unwrap();
    fs::remove_dir_all(base.path().join("b")).unwrap();
    let (mut index, changes) = current(base.path());
    assert_eq!(changes.moved, [("a".to_owned(), "old/first".to_owned())]);
    assert_eq!(changes.gone, ["b"]);
    let runs = all(&index);
    assert_eq!(names(&runs), ["b", "c", "old/first"]);
    assert_eq!((runs[0].status, runs[2].status, &runs[2].id), (Status::Missing, Status::Finished, &id));
    assert!(matches!(index.find(&id[..6]).unwrap(), Found::Run(run) if run.name() == "first"));
    let Found::Missing { id, .. } = index.find("b").unwrap() else { panic!("b is gone") };
    index.forget(&id).unwrap();
    assert_eq!(names(&all(&current(base.path()).0)), ["c", "old/first"]);
    assert!(current(base.path()).1.gone.is_empty());
}

#[test]
fn a_run_that_comes_back_is_no_longer_missing() {
    let base = three();
    current(base.path());
    let elsewhere = tempfile::tempdir().unwrap();
    fs::rename(base.path().join("a"), elsewhere.path().join("a")).unwrap();
    assert_eq!(current(base.path()).1.gone, ["a"]);
    fs::rename(elsewhere.path().join("a"), base.path().join("a")).unwrap();
    let (index, _) = current(base.path());
    assert_eq!(filtered(&index, "status = missing"), Vec::<String>::new());
    assert_eq!(filtered(&index, "max(loss) = 3 and status = finished"), ["a"]);
}

#[test]
fn a_copied_run_becomes_a_run_of_its_own_and_keeps_the_tags() {
    let base = three();
    let original = Run::open(&base.path().join("a")).unwrap();
    let id = original.tag(&["good".into()], &[]).unwrap().id;
    let copy = |to: &str| {
        fs::create_dir(base.path().join(to)).unwrap();
        for file in ["run.toml", "metrics", "summary.json", "identity.json"] {
            fs::copy(original.dir().join(file), base.path().join(to).join(file)).unwrap();
        }
    };
    // One beside a run that is known, and one before anything is.
    copy("0");
    current(base.path());
    copy("1");
    let (index, changes) = current(base.path());
    assert!(changes.moved.is_empty(), "{changes:?}");
    let runs = all(&index);
    assert_eq!(names(&runs), ["0", "1", "a", "b", "c"]);
    let mut ids: Vec<&str> = runs.iter().map(|run| run.id.as_str()).collect();
    assert!(ids.contains(&id.as_str()));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 5);
    assert_eq!(filtered(&index, "tag = good"), ["0", "1", "a"]);
}

#[test]
fn a_damaged_database_is_moved_aside_and_made_again() {
    let base = three();
    current(base.path());
    let file = base.path().join("evenkeel.db");
    for (number, damage) in
        [b"this is no database".to_vec(), vec![0xff; 20_000], b"SQLite format 3\0".repeat(500)].iter().enumerate()
    {
        for ending in ["-wal", "-shm"] {
            let _ = fs::remove_file(base.path().join(format!("evenkeel.db{ending}")));
        }
        fs::write(&file, damage).unwrap();
        let error = Index::open(base.path()).unwrap_err().to_string();
        assert!(error.contains("damaged") && error.contains("evenkeel runs"), "{error}");
        let (index, _, told) = Index::current(base.path(), &mut |_, _| {}).unwrap();
        assert_eq!(names(&all(&index)), ["a", "b", "c"]);
        assert!(told[0].to_string().contains(&format!("evenkeel.db.broken-{}", number + 1)), "{told:?}");
    }
    // Damage deep inside shows when it is met.
    let pages = fs::read(&file).unwrap();
    let broken: Vec<u8> = pages.iter().enumerate().map(|(at, byte)| if at > 4096 { !byte } else { *byte }).collect();
    fs::write(&file, broken).unwrap();
    let (index, _, told) = Index::current(base.path(), &mut |_, _| {}).unwrap();
    assert_eq!((names(&all(&index)), told.len()), (vec!["a", "b", "c"], 1));
}

#[test]
fn a_database_of_another_program_or_of_a_newer_version_is_not_written_to() {
    let base = three();
    let file = base.path().join("evenkeel.db");
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("CREATE TABLE thesis (page TEXT)").unwrap();
    drop(other);
    let (_, _, told) = Index::current(base.path(), &mut |_, _| {}).unwrap();
    assert!(told[0].to_string().contains("another program"), "{told:?}");
    let kept = rusqlite::Connection::open(base.path().join("evenkeel.db.broken-1")).unwrap();
    kept.execute("INSERT INTO thesis VALUES ('1')", []).unwrap();
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let (index, _, told) = Index::current(base.path(), &mut |_, _| {}).unwrap();
    assert!(told[0].to_string().contains("newer version"), "{told:?}");
    assert_eq!((names(&all(&index)), index.file()), (vec!["a", "b", "c"], None));
}

#[test]
fn a_database_of_an_older_layout_is_made_again_in_its_place() {
    let base = three();
    current(base.path());
    let file = base.path().join("evenkeel.db");
    let older = rusqlite::Connection::open(&file).unwrap();
    older.execute_batch("DROP VIEW metrics; DROP TABLE summary; ALTER TABLE runs ADD COLUMN host TEXT").unwrap();
    older.pragma_update(None, "user_version", 0).unwrap();
    drop(older);
    let (index, changes) = current(base.path());
    assert_eq!((changes.read, names(&all(&index))), (3, vec!["a", "b", "c"]));
}

#[test]
fn two_that_write_at_once_both_succeed() {
    let base = tempfile::tempdir().unwrap();
    let writer = |who: usize| {
        for number in 0..15 {
            let run = run(base.path(), &format!("{who}-{number}"), 0.1, &[3.0, 2.0], true);
            Index::open(base.path()).and_then(|mut index| index.update(&run.name())).unwrap();
        }
    };
    std::thread::scope(|scope| {
        (0..3).for_each(|who| drop(scope.spawn(move || writer(who))));
        scope.spawn(|| (0..10).for_each(|_| drop(Index::current(base.path(), &mut |_, _| {}).unwrap())));
    });
    let (index, changes) = current(base.path());
    assert_eq!(changes.runs, 45);
    assert_eq!(filtered(&index, "status = finished and max(loss) = 3").len(), 45);
}

#[test]
fn every_point_of_every_run_can_be_queried_while_it_is_written() {
    let base = three();
    let (mut index, _) = current(base.path());
    let mut one = |sql: &str| index.query(sql).unwrap().rows;
    assert_eq!(one("SELECT count(*) FROM points"), [[Cell::Integer(10)]]);
    let curve = "SELECT step, epoch, value FROM points JOIN runs USING (run) WHERE name = 'a' AND metric = 'loss' ORDER BY step";
    let row = |step: i64, epoch: f64, value: f64| vec![Cell::Integer(step), Cell::Real(epoch), Cell::Real(value)];
    assert_eq!(one(curve), [row(1, 0.5, 3.0), row(2, 1.0, 1.0)]);
    assert_eq!(one("SELECT value FROM points WHERE metric = 'loss' AND step = 2 AND value IS NULL"), [[Cell::Null]]);
    train(&Run::open(&base.path().join("a")).unwrap(), 2, &[0.5]);
    assert_eq!(one(curve).len(), 3);
    let means =
        "SELECT name, avg(value) FROM runs JOIN points USING (run) WHERE metric = 'loss' GROUP BY name ORDER BY name";
    assert_eq!(one(means)[0], [Cell::Text("a".into()), Cell::Real(1.5)]);
    assert_eq!(one("SELECT count(*) FROM points WHERE run = 99 OR run = 'x' OR metric = 3"), [[Cell::Integer(0)]]);
}

#[test]
fn a_query_cannot_change_anything() {
    let base = three();
    let (mut index, _) = current(base.path());
    let before = fs::read(base.path().join("evenkeel.db")).unwrap();
    for sql in [
        "DELETE FROM runs",
        "UPDATE runs SET name = 'x'",
        "DROP TABLE runs",
        "ATTACH 'other.db' AS other",
        "VACUUM INTO 'copy.db'",
        "PRAGMA query_only = OFF",
        "CREATE TEMP TABLE t (x)",
        "SELECT 1; DELETE FROM runs",
        "INSERT INTO points VALUES (1, 'x', 1, 1.0, 1.0)",
        "SELEC 1",
        "SELECT nme FROM runs",
        "",
    ] {
        assert!(index.query(sql).is_err(), "{sql}");
    }
    assert_eq!(fs::read(base.path().join("evenkeel.db")).unwrap(), before);
    assert!(!Path::new("copy.db").exists() && !Path::new("other.db").exists());
    let error = index.query("SELECT nme FROM runs").unwrap_err().to_string();
    assert!(error.contains("^^^ no such column: nme"), "{error}");
}

#[test]
fn an_empty_folder_gets_no_database_and_one_that_is_not_there_is_an_error() {
    let base = tempfile::tempdir().unwrap();
    assert!(all(&current(base.path()).0).is_empty());
    assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    assert!(Index::current(&base.path().join("nowhere"), &mut |_, _| {}).is_err());
}

#[test]
fn a_run_that_cannot_be_read_is_told_and_the_others_are_listed() {
    let base = three();
    fs::write(base.path().join("b/run.toml"), [0xff, 0xfe]).unwrap();
    let (index, changes) = current(base.path());
    assert_eq!(names(&all(&index)), ["a", "c"]);
    assert!(changes.unreadable[0].to_string().contains("UTF-8"), "{changes:?}");
}

#[cfg(unix)]
#[test]
fn a_folder_that_cannot_be_written_is_listed_from_memory() {
    // The super-user writes everywhere, so a folder in the place of the database stands for it.
    let base = three();
    fs::create_dir_all(base.path().join("evenkeel.db/in-use")).unwrap();
    let error = Index::open(base.path()).unwrap_err().to_string();
    assert!(error.contains("a folder"), "{error}");
    let (index, _, told) = Index::current(base.path(), &mut |_, _| {}).unwrap();
    assert_eq!((names(&all(&index)), told.len()), (vec!["a", "b", "c"], 1));
}
