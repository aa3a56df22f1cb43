//! What is asked for in the wrong words: exit code 2, and nothing left behind.

use super::{Place, TINY};
use insta::assert_snapshot;

#[test]
fn an_unknown_model_shows_the_nearest_one() {
    assert_snapshot!(Place::new().refused("train --model resnet2O"), @r"
    error: model 'resnet2O' is not in the zoo
      --> --model
        | resnet2O
        | ^^^^^^^^ did you mean 'resnet20'?
    hint: `evenkeel models` lists them
    ");
}

#[test]
fn an_unknown_norm_shows_the_nearest_one() {
    assert_snapshot!(Place::new().refused("train --norm bach"), @r"
    error: unknown norm 'bach'
      --> --norm
        | bach
        | ^^^^ did you mean 'batch'?
    ");
}

#[test]
fn an_unknown_key_shows_the_nearest_one() {
    assert_snapshot!(Place::new().refused("train --set optimizer.lrr=1"), @r"
    error: unknown key 'optimizer.lrr'
      --> --set optimizer.lrr
        | optimizer.lrr
        | ^^^^^^^^^^^^^ did you mean 'optimizer.learning_rate'?
    ");
}

#[test]
fn numbers_out_of_range_are_refused_with_the_range() {
    let place = Place::new();
    let ranges = [
        ("--epochs 0", "must be at least 1"),
        ("--epochs 1.5", "this is a number with a fraction"),
        ("--lr -1", "must be above 0"),
        ("--lr nan", "must be finite and above 0"),
        ("--batch-size 0", "must be at least 1"),
        ("--seed -1", "must be at least 0"),
        ("--seed x", "this is a text"),
        ("--threads 0", "0 is not in 1..=1024"),
        ("--threads 100000000", "100000000 is not in 1..=1024"),
        ("--epochs 9223372036854775807", "more steps than can be counted"),
        ("--set measure.samples=0", "must be at least 1"),
        ("--set data.limit=99999", "at most 1,438"),
    ];
    for (flags, words) in ranges {
        let error = place.refused(&format!("train {flags}"));
        assert!(error.contains(words), "`{flags}`: {error}");
    }
    assert_eq!(place.names("."), Vec::<String>::new());
}

#[test]
fn a_batch_larger_than_the_data_is_refused_before_anything_is_written() {
    let place = Place::new();
    assert_snapshot!(place.refused("train --batch-size 5000 --out run"), @r"
    error: the batch is larger than the training data
      key       batch_size
      expected  at most 1438
      got       5000
    hint: use `--batch-size 64`
    ");
    assert_eq!(place.names("."), Vec::<String>::new());
}

#[test]
fn a_mistake_in_a_configuration_is_shown_in_its_line() {
    let place = Place::new();
    place.write("c.toml", "model = \"mlp\"\n\n[optimizer]\nlr = -0.5\n");
    assert_snapshot!(place.run("train c.toml").err, @r"
    error: optimizer.learning_rate is out of range
      --> c.toml:4:6
      4 | lr = -0.5
        |      ^^^^ must be above 0
    ");
}

#[test]
fn what_is_no_configuration_is_refused() {
    let place = Place::new();
    place.write("latin1.toml", b"# caf\xe9\n");
    assert_snapshot!(place.refused("train latin1.toml"), @r"
    error: the configuration is not a text file
      file      latin1.toml
      byte      5
      expected  UTF-8
    hint: give a TOML file, or save this one as UTF-8
    ");
    assert!(place.refused("train missing.toml").contains("hint: check the path"));
    assert!(place.refused("train .").starts_with("error: cannot read the configuration"));
}

#[test]
fn unknown_commands_and_flags_show_the_nearest_ones() {
    let place = Place::new();
    assert!(place.refused("tran").contains("'train'"));
    assert!(place.refused("train --epoch 3").contains("'--epochs'"));
    assert!(place.refused("measure run hesian").contains("'hessian'"));
}

#[test]
fn a_folder_that_holds_a_run_or_anything_else_is_left_as_it_is() {
    let place = Place::with_run();
    let before = std::fs::read(place.path("run/metrics")).expect("metrics");
    assert_snapshot!(place.refused(&format!("{TINY} --out run")), @r"
    error: the folder holds a run already
      file      run
    hint: choose another folder with `--out DIR`, or continue this run with `--resume`
    ");
    assert_eq!(std::fs::read(place.path("run/metrics")).expect("metrics"), before);
    place.write("file", "");
    assert!(place.refused(&format!("{TINY} --out file")).starts_with("error: a run needs a folder"));
    assert!(place.refused(&format!("{TINY} --out .")).contains("is not empty"));
}

// A measurement that could not be taken used to leave a run behind that could not be resumed either.
#[test]
fn a_run_that_cannot_start_leaves_nothing_behind() {
    let place = Place::new();
    let one_sample = "train --model mlp:16 --set measure.samples=1";
    assert!(place.refused(&format!("{one_sample} --out run")).contains("needs more than one value per channel"));
    assert!(place.refused(one_sample).contains("needs more than one value per channel"));
    assert_eq!(place.names("."), Vec::<String>::new());
}

#[test]
fn help_goes_to_stdout() {
    let place = Place::new();
    let said = place.run("measure --help");
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    assert_snapshot!(said.out, @r"
    Measure a run, e.g. `evenkeel measure RUN hessian --top 5`

    Usage: evenkeel measure [OPTIONS] <RUN> <PROBE>

    Probes:
      hessian               The largest eigenvalues of the loss Hessian, exact over the chosen samples
      batch-entropy         The batch entropy of every layer: how much of the samples it still tells
                            apart
      geometric-complexity  How much the logits vary with the inputs: the mean squared Jacobian over the
                            chosen samples
      help                  Print this message or the help of the given subcommand(s)

    Arguments:
      <RUN>  The run's folder

    Options:
      -h, --help  Print help

    Everywhere:
          --json         Print one JSON document on stdout
      -q, --quiet        No progress and no notes on stderr, only warnings and errors
          --threads <N>  Threads to use, results do not depend on it [default: all cores]
          --seed <N>     Seed of every random choice [default: 0, or the run's]
    ");
    for command in [
        "",
        "train",
        "report",
        "reproduce",
        "models",
        "data",
        "data check",
        "data fetch",
        "export",
        "bench",
        "measure run hessian",
    ] {
        assert_eq!(place.run(&format!("{command} --help")).code, 0, "{command}");
    }
    assert!(place.run("--version").out.starts_with("evenkeel "));
    assert_eq!(place.run("").code, 2);
}
