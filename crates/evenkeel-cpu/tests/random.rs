//! Random numbers in programs: those of the host's stream, on any number of threads, cut off and rounded in f32.
#![allow(clippy::unwrap_used)]

mod support;

use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Graph, Tensor};
use support::run;

const KEY: (u64, &str, u64) = (7, "layer1.dropout", 1 << 40 | 5);

fn key() -> Key {
    Key::new(KEY.0, KEY.1, KEY.2)
}

/// Uniform and normal numbers in f64, then in f32.
fn draw(count: usize, threads: usize) -> Vec<Tensor> {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
        let graph = Graph::new();
        let key_input = graph.input("key", [4], DType::I32);
        let of = |dtype| [graph.uniform(key_input, [count], dtype), graph.normal(key_input, [count], dtype)];
        run(&graph, &[of(DType::F64), of(DType::F32)].concat(), &[key().tensor()], true)
    })
}

#[test]
fn a_program_draws_what_the_host_draws_with_the_same_key() {
    for count in [0, 1, 2, 33, 40_001] {
        let drawn = draw(count, 2);
        let (mut uniform, mut normal) = (key().random(), key().random());
        assert_eq!(drawn[0].to_f64(), (0..count).map(|_| uniform.uniform_f64()).collect::<Vec<_>>());
        assert_eq!(drawn[1].to_f64(), (0..count).map(|_| normal.normal_f64()).collect::<Vec<_>>());
    }
}

#[test]
fn single_precision_draws_the_same_numbers_cut_off_or_rounded() {
    let drawn = draw(3_000_000, 2);
    for (double, single) in drawn[0].to_f64().iter().zip(drawn[2].to_f64()) {
        assert_eq!((double * f64::from(1 << 24)).floor() / f64::from(1 << 24), single);
    }
    for (double, single) in drawn[1].to_f64().iter().zip(drawn[3].to_f64()) {
        assert_eq!(f64::from(*double as f32), single);
    }
}

#[test]
fn draws_are_the_same_bits_on_any_number_of_threads() {
    assert_eq!(draw(100_001, 1), draw(100_001, 2));
    assert_eq!(draw(100_001, 1), draw(100_001, 4));
}

#[test]
fn a_key_comes_back_from_its_words() {
    let words: [i32; 4] = key().tensor().as_slice::<i32>().unwrap().try_into().unwrap();
    assert_eq!(Key::from_words(words), key());
}
