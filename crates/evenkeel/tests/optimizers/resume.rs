//! Runs with all of it that are interrupted end in the bits of those that are not.

use crate::common::StopAfter;
use crate::experiment;
use evenkeel::store::Run;
use evenkeel::train::train;

#[test]
fn every_wrapper_and_form_resumes_to_the_bits_of_a_run_never_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let mut cases: Vec<(String, Vec<String>)> = vec![];
    let mut case = |name: &str, settings: &[&str]| {
        cases.push((name.to_owned(), settings.iter().map(|text| (*text).to_owned()).collect()));
    };
    case("exponential", &["averaging.name=exponential", "averaging.decay=0.9", "averaging.start=4"]);
    case("uniform", &["averaging.name=uniform", "averaging.start=2", "optimizer.name=adam", "optimizer.lr=0.01"]);
    case("micro", &["micro_batch_size=16", "dropout.rate=0.2", "optimizer.clip=1"]);
    case("rescaled", &["weight_rescaling.every=4", "optimizer.weight_decay=1e-3"]);
    case(
        "rescaled-state",
        &["weight_rescaling.every=3", "weight_rescaling.rescale_state=true", "averaging.name=uniform"],
    );
    case("smooth", &["label_smoothing=0.1", "sharpness_aware.rho=0.05", "micro_batch_size=32"]);
    for variant in ["reference", "paper", "port"] {
        let form = format!("entropy_sgd.variant={variant}");
        let more = ["optimizer.name=entropy-sgd", "entropy_sgd.steps=4", "entropy_sgd.noise=0.01", &form];
        case(&format!("entropy-{variant}"), &more);
    }
    for (name, settings) in &cases {
        let mut settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        settings.extend(["norm=batch", "measure.every=5"]);
        let experiment = experiment(&settings);
        let (whole, broken) = (folder.path().join(name), folder.path().join(format!("{name}-broken")));
        let wanted = train(&experiment, &whole, false, &mut ()).unwrap();
        // Ten steps are stopped after 3, 6 and 9.
        let mut resume = false;
        let found = loop {
            match train(&experiment, &broken, resume, &mut StopAfter(3)) {
                Ok(outcome) => break outcome,
                Err(error) => assert_eq!(error.kind(), evenkeel::ErrorKind::Interrupted, "{name}: {error}"),
            }
            resume = true;
        };
        let last = |dir: &std::path::Path| Run::open(dir).unwrap().load_latest().unwrap().found.unwrap().1;
        let (one, other) = (last(&whole), last(&broken));
        assert_eq!(one.parameters, other.parameters, "{name}");
        assert_eq!(one.buffers, other.buffers, "{name}");
        assert_eq!(one.optimizer, other.optimizer, "{name}");
        assert_eq!(wanted.test_loss.to_bits(), found.test_loss.to_bits(), "{name}");
        assert_eq!(wanted.lambda_max, found.lambda_max, "{name}");
    }
}
