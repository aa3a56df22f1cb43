//! Random programs: any list of bytes is one, and a shorter list of smaller bytes is a simpler one.

mod operations;

use evenkeel_graph::random::Key;
use evenkeel_graph::{DType, Graph, Shape, Tensor, Var};
use proptest::prelude::*;

/// One operation: its kind, its operands, and the details.
pub(crate) type Choice = [u8; 8];

/// What a random program is written from.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) choices: Vec<Choice>,
    /// Which values become outputs besides the last one.
    pub(crate) picks: Vec<u8>,
    /// What the inputs' numbers are drawn from.
    pub(crate) seed: u8,
}

/// Recipes of up to twelve operations.
pub(crate) fn recipes() -> impl Strategy<Value = Recipe> {
    let choices = proptest::collection::vec(any::<Choice>(), 1..=12);
    let picks = proptest::collection::vec(any::<u8>(), 0..4);
    (choices, picks, any::<u8>()).prop_map(|(choices, picks, seed)| Recipe { choices, picks, seed })
}

/// Which operations a program may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Those that have all derivatives everywhere.
    Smooth,
    /// Those in which a small change of the inputs makes a small change of the outputs.
    Continuous,
    /// All.
    Any,
}

/// How a recipe is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) dtype: DType,
    pub(crate) kind: Kind,
    /// Extents that fill several chunks of work instead of a few numbers.
    pub(crate) large: bool,
    /// Numbers that are infinite, NaN or zero among the inputs, and functions outside their domain.
    pub(crate) wild: bool,
}

impl Style {
    pub(crate) fn new(dtype: DType, kind: Kind) -> Style {
        Style { dtype, kind, large: false, wild: false }
    }

    /// The largest number of elements a value may have.
    fn limit(self) -> usize {
        if self.large { 200_000 } else { 256 }
    }
}

/// What an input's elements are.
#[derive(Clone, Copy, Debug)]
enum Draw {
    /// Floats in (−2, 2).
    Floats,
    /// Integers below this, and now and then one outside.
    Labels(usize),
    /// The key of random numbers.
    Key,
}

/// A program written from a recipe.
pub(crate) struct Written<'g> {
    style: Style,
    pub(crate) inputs: Vec<Var<'g>>,
    draws: Vec<Draw>,
    pub(crate) outputs: Vec<Var<'g>>,
    values: Vec<Value<'g>>,
}

/// A floating-point value and a bound of its elements.
#[derive(Clone, Copy)]
struct Value<'g> {
    var: Var<'g>,
    reach: f64,
}

/// Writes the program into the graph.
pub(crate) fn write<'g>(graph: &'g Graph, recipe: &Recipe, style: Style) -> Written<'g> {
    let mut written = Written { style, inputs: vec![], draws: vec![], outputs: vec![], values: vec![] };
    let first = recipe.choices.first().copied().unwrap_or_default();
    written.fresh(graph, extents(style, [first[5], first[6], first[7]]));
    for &choice in &recipe.choices {
        written.step(graph, choice);
    }
    written.pick(graph, &recipe.picks);
    graph.check().unwrap();
    written
}

/// A random shape: mostly small and full, now and then empty or a scalar.
fn extents(style: Style, bytes: [u8; 3]) -> Vec<usize> {
    const SMALL: [usize; 16] = [2, 3, 1, 4, 2, 3, 5, 1, 2, 3, 4, 1, 2, 7, 3, 0];
    const LARGE: [usize; 16] = [40, 3, 1, 64, 17, 2, 100, 1, 33, 8, 128, 5, 16, 300, 9, 1000];
    let rank = [2, 3, 4, 1, 0, 5, 4, 3][usize::from(bytes[0] % 8)];
    let table = if style.large { LARGE } else { SMALL };
    let digits = (0..rank).map(|axis| {
        let bits = usize::from(bytes[1]) + 256 * usize::from(bytes[2]);
        (bits >> (3 * axis)) % 16
    });
    let mut shape: Vec<usize> = digits.map(|digit| table[digit]).collect();
    while shape.iter().product::<usize>() > style.limit() {
        shape.pop();
    }
    shape
}

impl<'g> Written<'g> {
    /// Tensors for the inputs.
    pub(crate) fn tensors(&self, seed: u64) -> Vec<Tensor> {
        let draw = |(number, (var, draw)): (usize, (&Var<'g>, &Draw))| {
            let mut random = Key::new(seed, "recipe", number as u64).random();
            let count = var.shape().elements();
            match *draw {
                Draw::Key => Key::new(seed, "recipe/key", number as u64).tensor(),
                Draw::Labels(bound) => {
                    let labels = (0..count).map(|_| random.below(bound as u64 + 2) as i32 - 1).collect();
                    Tensor::new(var.shape(), labels).unwrap()
                }
                Draw::Floats => {
                    let mut float = || {
                        let value = 4.0 * random.uniform_f64() - 2.0;
                        let special = if self.style.wild { random.below(12) } else { 12 };
                        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0]
                            .get(special as usize)
                            .copied()
                            .unwrap_or(value)
                    };
                    let values: Vec<f64> = (0..count).map(|_| float()).collect();
                    Tensor::from_f64(var.shape(), var.dtype(), &values).unwrap()
                }
            }
        };
        self.inputs.iter().zip(&self.draws).enumerate().map(draw).collect()
    }

    /// The inputs that are floats: what derivatives are taken in.
    pub(crate) fn float_inputs(&self) -> Vec<Var<'g>> {
        self.inputs.iter().copied().filter(|var| var.dtype().is_float()).collect()
    }

    fn input(&mut self, graph: &'g Graph, shape: impl Into<Shape>, dtype: DType, draw: Draw) -> Var<'g> {
        let var = graph.input(format!("x{}", self.inputs.len()), shape, dtype);
        self.inputs.push(var);
        self.draws.push(draw);
        var
    }

    /// A new floating-point input, which later operations may use as well.
    fn fresh(&mut self, graph: &'g Graph, shape: impl Into<Shape>) -> Value<'g> {
        let value = Value { var: self.input(graph, shape, self.style.dtype, Draw::Floats), reach: 2.0 };
        self.values.push(value);
        value
    }

    /// An earlier value; 0 is the latest.
    fn value(&self, byte: u8) -> Value<'g> {
        self.values[self.values.len() - 1 - usize::from(byte) % self.values.len()]
    }

    /// A value that broadcasts with `a`: an earlier one if it does, else a new input.
    fn partner(&mut self, graph: &'g Graph, a: Value<'g>, choice: Choice) -> Value<'g> {
        let b = self.value(choice[2]);
        let (left, right) = (a.var.shape(), b.var.shape());
        let agree = |(&a, &b): (&usize, &usize)| a == b || a == 1 || b == 1;
        let common: usize = (0..left.len().max(right.len()))
            .map(|axis| {
                let extent = |shape: &Shape| shape.iter().rev().nth(axis).copied().unwrap_or(1);
                if extent(&left) == 1 { extent(&right) } else { extent(&left) }
            })
            .product();
        if left.iter().rev().zip(right.iter().rev()).all(agree) && common <= self.style.limit() {
            return b;
        }
        let drop = usize::from(choice[7]) % (left.len() + 1);
        let thin = |(axis, &extent): (usize, &usize)| if choice[6] >> axis & 1 == 1 { 1 } else { extent };
        let shape: Vec<usize> = left.iter().enumerate().map(thin).skip(drop).collect();
        self.fresh(graph, shape)
    }

    /// Remembers a result, scaled down when its numbers could be large.
    fn keep(&mut self, var: Var<'g>, reach: f64) {
        let tame = self.style.wild || reach <= 16.0;
        let value = if tame { Value { var, reach } } else { Value { var: var * (4.0 / reach), reach: 4.0 } };
        self.values.push(value);
    }

    /// The last value, and some others: values, inputs, the same again, other names of the same memory, constants.
    fn pick(&mut self, graph: &'g Graph, picks: &[u8]) {
        self.outputs = vec![self.value(0).var];
        for &pick in picks {
            let value = self.value(pick / 6).var;
            let input = self.inputs[usize::from(pick / 6) % self.inputs.len()];
            let output = match pick % 6 {
                0 | 1 => value,
                2 => input,
                3 => value.reshape([value.shape().elements()]),
                4 => graph.splat(f64::from(pick), [2], self.style.dtype),
                _ => self.outputs[usize::from(pick / 6) % self.outputs.len()],
            };
            self.outputs.push(output);
        }
    }
}
