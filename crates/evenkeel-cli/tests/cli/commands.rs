//! `models`, `data`, `measure`, `report` and `export`.

use super::{Place, TINY, checkpoint, metrics, steady};
use insta::assert_snapshot;
use serde_json::{Value, json};

fn document(place: &Place, arguments: &str) -> Value {
    let said = place.run(arguments);
    assert_eq!(said.code, 0, "{}", said.err);
    serde_json::from_str(&said.out).expect("one JSON document")
}

#[test]
fn models_and_data_list_what_there_is() {
    let place = Place::new();
    assert_snapshot!(place.run("models").out, @r"
    mlp[:WIDTH-WIDTH-..]                     fully connected, hidden widths 512-512 unless given, 1000x500 for 500 of 1000; `--set activation=..`
    deep-linear[:WIDTH-WIDTH-..]             a product of matrices, no activation, no bias; 64-64 unless given
    plain-conv[:CHANNELS-CHANNELS-..]        3×3 convolutions without shortcuts or pools; 8x18 unless given, `--set activation=..`
    vgg11                                    8 convolutions of 3×3 and 5 max pools, for images of 32×32 and larger
    vgg16                                    the same with 13 convolutions
    vgg19                                    the same with 16 convolutions
    resnet20                                 3 stages of 3 residual blocks, widths 16, 32, 64, for small images
    resnet32                                 the same with 5 blocks a stage
    resnet44                                 the same with 7 blocks a stage
    resnet56                                 the same with 9 blocks a stage
    resnet110                                the same with 18 blocks a stage
    preresnet20                              as resnet20, with norm and relu before each convolution
    preresnet32                              the same with 5 blocks a stage
    preresnet44                              the same with 7 blocks a stage
    preresnet56                              the same with 9 blocks a stage
    preresnet110                             the same with 18 blocks a stage
    preresnet164                             the same with 18 blocks a stage of 1×1, 3×3 and 1×1 convolutions
    autoencoder[:WIDTH-..-CODE]              gives back its input from a code, the decoder mirrors the encoder; 256-10 unless given
    vae[:WIDTH-..-LATENT]                    variational autoencoder of images with pixels from 0 to 1; 128-8 unless given
    encoder[:LAYERS-WIDTH-HEADS-PATCH]       transformer over patches of an image, mean over positions; 4-64-4-4 unless given
    row-gru[:WIDTH-WIDTH-..]                 gated recurrent units over the rows of an image; 64 unless given
    row-lstm[:WIDTH-WIDTH-..]                the same with long short-term memory
    transformer[:LAYERS-WIDTH-HEADS-TOKENS]  decoder-only, over sequences of tokens; 4-128-4-64 unless given
    gru[:EMBEDDING-WIDTH-..]                 gated recurrent units over sequences of tokens; 32-128 unless given
    lstm[:EMBEDDING-WIDTH-..]                the same with long short-term memory
    ");
    assert_snapshot!(place.run("data").out, @r"
    digits             8×8×1, 10 classes,  1,438 training and    359 test samples
                       handwritten digits, built in; a fifth is drawn for the test unless told otherwise
    mnist:DIR          28×28×1, 10 classes, 60,000 training and 10,000 test samples
                       handwritten digits; DIR holds train-images-idx3-ubyte and the other three, with or without .gz
    fashion-mnist:DIR  28×28×1, 10 classes, 60,000 training and 10,000 test samples
                       clothing; DIR holds files named as those of MNIST
    cifar10:DIR        32×32×3, 10 classes, 50,000 training and 10,000 test samples
                       photographs; DIR holds cifar-10-binary.tar.gz or the .bin files unpacked from it
    csv:FILE           as many classes and samples as there are
                       a table of numbers and a column of labels, or of what is predicted; FILE may be packed, or a folder with train.csv and test.csv
    npy:DIR            as many classes and samples as there are
                       NumPy's arrays; DIR holds x_train.npy, y_train.npy, x_test.npy and y_test.npy
    npz:FILE           as many classes and samples as there are
                       the same arrays in one archive of NumPy, as Keras' mnist.npz has them
    safetensors:FILE   as many classes and samples as there are
                       the tensors train/x, train/y, test/x and test/y
    images:DIR         as many classes and samples as there are
                       PNG and JPEG pictures of one size; DIR holds train/CLASS/ and test/CLASS/, or CLASS/ alone
    text:FILE          as many classes and samples as there are
                       each character of a text in UTF-8 and the one after it; FILE may be packed, or a folder of .txt files
    ");
    assert_eq!(document(&place, "models --json")["models"][6]["name"], "resnet20");
    assert_eq!(document(&place, "data --json")["data"][0]["train"], 1438);
}

#[test]
fn measure_prints_a_table_and_keeps_the_measurement() {
    let place = Place::with_run();
    let said = place.run("measure run hessian --top 2 --samples 30 --norm-mode running");
    assert_eq!(said.code, 0);
    let lines: Vec<String> = steady(&said.out).lines().map(str::to_string).collect();
    assert_eq!(lines[0], "largest Hessian eigenvalues at step 44, 30 samples, norm mode running, f32");
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), ["1", "#", "residual", "#", "converged"]);
    assert!(lines[3].starts_with("sharpness # is # of 2/lr = "), "{}", lines[3]);
    assert!(said.err.starts_with("measuring run at step 44: 30 samples, norm mode running\n"), "{}", said.err);
    assert!(place.path("run/measurements/hessian-000044-running-30.json").is_file());
}

#[test]
fn measure_gives_the_numbers_of_training_again() {
    let place = Place::with_run();
    let summary: Value =
        serde_json::from_slice(&std::fs::read(place.path("run/summary.json")).expect("a summary")).expect("JSON");
    let measured = document(&place, "measure run hessian --json");
    assert_eq!(measured["eigenvalues"][0]["value"], summary["lambda_max"]);
    assert_eq!((measured["run"].as_str(), measured["step"].as_u64()), (Some("run"), Some(44)));
}

#[test]
fn batch_entropy_is_trained_with_measured_and_goes_on_after_a_checkpoint_in_the_same_bits() {
    let place = Place::new();
    let trained = place.run(&format!("{TINY} --set batch_entropy.weight=0.1 --set batch_entropy.alpha=0.7 --out run"));
    assert_eq!(trained.code, 0, "{}", trained.err);
    let kept = ["batch-entropy-000000-batch-20.json", "batch-entropy-000044-batch-20.json"];
    assert!(kept.iter().all(|name| place.path("run/measurements").join(name).is_file()));
    let (before, record) = (checkpoint(&place.path("run"), "000044"), metrics(&place.path("run")));
    std::fs::remove_dir_all(place.path("run/checkpoints/000044")).expect("a checkpoint");
    assert_eq!(place.run("train --resume --out run").code, 0);
    assert!(before == checkpoint(&place.path("run"), "000044") && record == metrics(&place.path("run")));
    assert!(place.refused("train --resume --out run --set batch_entropy.weight=0.2").contains("batch_entropy"));

    let said = place.run("measure run batch-entropy --samples 30");
    assert_eq!(said.code, 0, "{}", said.err);
    let lines: Vec<String> = steady(&said.out).lines().map(str::to_string).collect();
    assert_eq!(lines[0], "batch entropy (nats) at step 44, 30 samples, norm mode batch, f32");
    assert_eq!(
        lines[1].split_whitespace().collect::<Vec<_>>(),
        ["layer", "entropy", "target", "units", "constant", "largest"]
    );
    assert_eq!(lines[2].split_whitespace().take(4).collect::<Vec<_>>(), ["act1", "#", "#", "16"]);
    assert!(lines[3].starts_with("0 of 1 layers collapsed"), "{}", lines[3]);
    let page = std::fs::read_to_string(place.path("run/report.html")).expect("a report");
    assert!(page.contains("Batch entropy, layer by layer") && page.contains("plot-layers-batch-entropy"));
    assert!(place.refused("measure run batch-entropy --samples 1").contains("at least 2"));
    assert!(place.refused("measure run batch-entropy --norm-mode frozen").contains("one of batch, running"));
}

#[test]
fn measure_tells_geometric_complexity_exactly_and_by_probes_and_keeps_it() {
    let place = Place::with_run();
    let exact = document(&place, "measure run geometric-complexity --samples 30 --json");
    assert_eq!(
        (exact["samples"].as_u64(), exact["norm_mode"].as_str(), exact["outputs"].as_u64()),
        (Some(30), Some("running"), Some(10))
    );
    let probed = document(&place, "measure run geometric-complexity --samples 30 --probes 400 --json");
    let ratio = probed["mean"].as_f64().unwrap_or(0.0) / exact["mean"].as_f64().unwrap_or(f64::NAN);
    assert!((ratio - 1.0).abs() < 0.1, "{ratio}");
    assert!(place.path("run/measurements/geometric-complexity-000044-running-30.json").is_file());
    assert!(place.path("run/measurements/geometric-complexity-000044-running-30-400.json").is_file());
    let said = place.run("measure run geometric-complexity --samples 30");
    assert!(
        said.out.starts_with("geometric complexity at step 44, 30 training samples, norm mode running, exact\n"),
        "{}",
        said.out
    );
    assert!(place.refused("measure run geometric-complexity --probes 0").contains("--probes cannot be '0'"));
}

#[test]
fn flags_of_a_measurement_out_of_range_are_refused() {
    let place = Place::with_run();
    assert_snapshot!(place.refused("measure run hessian --norm-mode bach"), @r"
    error: --norm-mode does not know 'bach'
      expected  one of batch, running, frozen
      got       bach
    hint: did you mean 'batch'?
    ");
    assert_snapshot!(place.refused("measure run hessian --samples 0"), @r"
    error: --samples cannot be '0'
      expected  a whole number of at least 1
      got       0
    ");
    assert_snapshot!(place.refused("measure run hessian --samples 99999"), @r"
    error: cannot take that many samples
      expected  1 to 1438 training samples
      got       99999
    hint: take fewer, or all of them; a run with data.limit has only so many
    ");
    assert_snapshot!(place.refused("measure run hessian --step 7"), @r"
    error: the run has no checkpoint of step 7
      file      run/checkpoints/000007
      expected  one of 0, 22, 44
    hint: leave out `--step` for the newest
    ");
    for flags in
        ["--tolerance nan", "--tolerance -1", "--top 0", "--top -3", "--top 400000", "--seed -1", "--dtype f16"]
    {
        place.refused(&format!("measure run hessian {flags}"));
    }
    place.refused("export run --oracle o.safetensors --batch 0");
    place.refused("export run --oracle o.safetensors --norm-mode frozen");
    assert_eq!(place.names("."), ["evenkeel.db", "run"]);
}

#[test]
fn report_writes_one_page() {
    let place = Place::with_run();
    std::fs::remove_file(place.path("run/report.html")).expect("a report");
    assert_eq!(place.run("report run").out, "run/report.html\n");
    assert!(place.path("run/report.html").is_file());
    let found = document(&place, "report run --json");
    assert_eq!(found["report"], "run/report.html");
    assert!(found["reading"].as_array().is_some_and(|sentences| !sentences.is_empty()), "{found}");
    assert_eq!((&found["layers"][0]["of"], &found["layers"][1]["of"]), (&json!("weights"), &json!("activations")));
}

#[test]
fn what_was_found_last_of_each_layer_is_printed_as_tables() {
    let place = Place::with_run();
    let told = place.run("report run --layers");
    let lines: Vec<&str> = told.out.lines().collect();
    assert!(lines[0].starts_with("weights at step "), "{}", told.out);
    let columns = ["layer", "norm", "gradient", "update", "update/norm", "effective", "lr"];
    assert_eq!(lines[1].split_whitespace().collect::<Vec<_>>(), columns);
    assert!(lines.iter().any(|line| line.starts_with("activations at step ")), "{}", told.out);
    assert!(told.out.contains("dead units") && told.err.contains("report  run/report.html"), "{}", told.err);
    assert_eq!(place.run(&format!("{TINY} --set measure.layers_every=0 --out never")).code, 0);
    let refused = place.refused("report never --layers");
    assert!(refused.contains("never looked at") && refused.contains("measure.layers_every"), "{refused}");
}

#[test]
fn export_writes_what_another_program_needs() {
    let place = Place::with_run();
    let document = document(&place, "export run --oracle o.safetensors --batch 8 --dtype f64 --json");
    assert_eq!((document["about"]["batch"].as_u64(), document["about"]["dtype"].as_str()), (Some(8), Some("f64")));
    let file = evenkeel::store::read_safetensors(&place.path("o.safetensors")).expect("a safetensors file");
    let shape = |name: &str| file.tensors.iter().find(|tensor| tensor.name == name).map(|tensor| tensor.shape.clone());
    assert_eq!(shape("output/logits"), Some(vec![8, 10]));
    assert_eq!(shape("hvp/fc1.weight"), Some(vec![64, 16]));
    assert_eq!(document["tensors"], file.tensors.len());
    assert!(file.metadata["evenkeel"].contains("\"model\":\"mlp:16\""), "{:?}", file.metadata);
}
