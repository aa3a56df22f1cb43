//! What programs mean: nodes evaluated one by one in f64, each as plainly as its definition reads.
//!
//! Nothing is shared with the executor: no fusion, no layout, no kernels, no function library where the standard one has
//! the function. After each operation numbers are rounded to the node's type.
//!
//! How far a correct program may be off is found by doing the same with *noise*: every number that a machine would have
//! to round is moved by up to two units of its type at random. What several such evaluations differ by is what rounding
//! can do to this program at this point; cancellation and steep functions show up in it without any analysis.

use evenkeel_graph::op::{Binary, Comparison, Constant, Convolution, Distribution, Op, Reduction, Unary, Window};
use evenkeel_graph::random::{Key, Random};
use evenkeel_graph::{DType, Function, Graph, Node, NodeId, Tensor, Var};
use std::collections::{BTreeMap, BTreeSet};

/// A value, in f64 whatever its type.
#[derive(Clone, Debug)]
pub(crate) struct Value {
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: DType,
    pub(crate) data: Vec<f64>,
}

/// Evaluates `outputs` on the graph's inputs in order, with noise drawn from `noise` if it is given.
pub(crate) fn of_graph(graph: &Graph, outputs: &[Var<'_>], inputs: &[Tensor], noise: Option<u64>) -> Vec<Value> {
    let mut needed = BTreeSet::new();
    let mut open: Vec<NodeId> = outputs.iter().map(|var| var.id()).collect();
    while let Some(id) = open.pop() {
        if needed.insert(id) {
            open.extend(graph.node(id).unwrap().inputs);
        }
    }
    // Nodes are numbered in the order they were traced, so operands come first.
    let mut machine = Machine::new(inputs, noise);
    let mut known: BTreeMap<NodeId, Value> = BTreeMap::new();
    for id in needed {
        let node = graph.node(id).unwrap();
        let operands: Vec<&Value> = node.inputs.iter().map(|input| &known[input]).collect();
        let value = machine.evaluate(&node, &operands);
        known.insert(id, value);
    }
    outputs.iter().map(|var| known[&var.id()].clone()).collect()
}

/// Evaluates a function's outputs.
pub(crate) fn of_function(function: &Function, inputs: &[Tensor], noise: Option<u64>) -> Vec<Value> {
    let mut machine = Machine::new(inputs, noise);
    let mut values: Vec<Value> = Vec::new();
    for node in function.nodes() {
        let operands: Vec<&Value> = node.inputs.iter().map(|input| &values[input.index()]).collect();
        values.push(machine.evaluate(node, &operands));
    }
    function.outputs().iter().map(|(_, id)| values[id.index()].clone()).collect()
}

impl From<&Tensor> for Value {
    fn from(tensor: &Tensor) -> Value {
        Value { shape: tensor.shape().to_vec(), dtype: tensor.dtype(), data: tensor.to_f64() }
    }
}

impl Value {
    /// The element at an index.
    fn at(&self, index: &[usize]) -> f64 {
        self.data[flat(&self.shape, index)]
    }
}

/// The row-major position of an index.
fn flat(shape: &[usize], index: &[usize]) -> usize {
    shape.iter().zip(index).fold(0, |position, (extent, index)| position * extent + index)
}

/// Calls `f` with each index of a shape in row-major order.
fn each_index(shape: &[usize], mut f: impl FnMut(&[usize])) {
    let mut index = vec![0; shape.len()];
    for _ in 0..shape.iter().product() {
        f(&index);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            if index[axis] < shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
}

struct Machine<'a> {
    inputs: &'a [Tensor],
    noise: Option<Random>,
}

impl<'a> Machine<'a> {
    fn new(inputs: &'a [Tensor], noise: Option<u64>) -> Self {
        Machine { inputs, noise: noise.map(|seed| Key::new(seed, "noise", 0).random()) }
    }

    /// A number as some machine might have rounded it.
    fn rounded(&mut self, value: f64, dtype: DType) -> f64 {
        let unit = match dtype {
            DType::F32 => f64::from(f32::EPSILON),
            DType::F64 => f64::EPSILON,
            DType::I32 | DType::Bool => return value,
        };
        let noise = self.noise.as_mut().map_or(0.0, |random| 4.0 * random.uniform_f64() - 2.0);
        if noise == 0.0 { value } else { value * (1.0 + unit * noise) }
    }

    fn evaluate(&mut self, node: &Node, x: &[&Value]) -> Value {
        let shape = &node.shape[..];
        let dtype = node.dtype;
        let each = |f: &mut dyn FnMut(&[usize]) -> f64| -> Vec<f64> {
            let mut elements = Vec::with_capacity(node.shape.elements());
            each_index(shape, |index| elements.push(f(index)));
            elements
        };
        let data = match &node.op {
            Op::Input(input) => self.inputs[*input].to_f64(),
            Op::Constant(Constant::Splat(value)) => each(&mut |_| *value),
            Op::Constant(Constant::Dense(tensor)) => tensor.to_f64(),
            Op::Iota { axis } => each(&mut |index| index[*axis] as f64),
            Op::Random(distribution) => {
                let mut random = Key::from_words([0, 1, 2, 3].map(|word| x[0].data[word] as i32)).random();
                let leading = f64::from(1 << 24);
                each(&mut |_| match (distribution, dtype) {
                    (Distribution::Uniform, DType::F32) => (random.uniform_f64() * leading).floor() / leading,
                    (Distribution::Uniform, _) => random.uniform_f64(),
                    (Distribution::Normal, _) => held(random.normal_f64(), dtype),
                })
            }
            Op::Unary(unary) => each(&mut |index| {
                let exact = matches!(unary, Unary::Negate | Unary::Abs | Unary::Sign);
                let value = function(*unary, x[0].at(index));
                if exact { value } else { self.rounded(value, dtype) }
            }),
            Op::Binary(binary) => each(&mut |index| {
                let exact = matches!(binary, Binary::Maximum | Binary::Minimum);
                let value = combined(*binary, x[0].at(index), x[1].at(index));
                if exact { value } else { self.rounded(value, dtype) }
            }),
            Op::Compare(comparison) => each(&mut |index| {
                let (a, b) = (x[0].at(index), x[1].at(index));
                f64::from(u8::from(match comparison {
                    Comparison::Greater => a > b,
                    Comparison::Less => a < b,
                    Comparison::Equal => a == b,
                    Comparison::GreaterOrEqual => a >= b,
                    Comparison::LessOrEqual => a <= b,
                    Comparison::NotEqual => a != b,
                }))
            }),
            Op::Select => each(&mut |index| x[if x[0].at(index) != 0.0 { 1 } else { 2 }].at(index)),
            // Only the step from f64 to f32 rounds.
            Op::Cast if (x[0].dtype, dtype) == (DType::F64, DType::F32) => {
                x[0].data.iter().map(|&value| self.rounded(value, dtype)).collect()
            }
            Op::Cast => x[0].data.clone(),
            Op::Reduce { kind, axes } => self.reduce(x[0], *kind, axes, node),
            Op::LogSumExp => each(&mut |index| self.log_sum_exp(x[0], index, dtype)),
            Op::ArgMax => each(&mut |index| first_largest(row(x[0], index).into_iter().enumerate()).unwrap() as f64),
            Op::Reshape => x[0].data.clone(),
            Op::Transpose { permutation } => each(&mut |index| {
                let mut from = vec![0; index.len()];
                for (to, &axis) in permutation.iter().enumerate() {
                    from[axis] = index[to];
                }
                x[0].at(&from)
            }),
            Op::Broadcast { axes } => {
                each(&mut |index| x[0].at(&axes.iter().map(|&axis| index[axis]).collect::<Vec<_>>()))
            }
            Op::Slice(along) => each(&mut |index| {
                let from: Vec<usize> = along.iter().zip(index).map(|(along, &number)| along.at(number)).collect();
                x[0].at(&from)
            }),
            Op::Pad(along) => {
                let mut padded = vec![0.0; node.shape.elements()];
                each_index(&x[0].shape, |index| {
                    let to: Vec<usize> = along.iter().zip(index).map(|(along, &number)| along.at(number)).collect();
                    padded[flat(shape, &to)] = x[0].at(index);
                });
                padded
            }
            Op::Concat { axis } => each(&mut |index| {
                let mut from = index.to_vec();
                let mut parts = x.iter();
                loop {
                    let part = parts.next().unwrap();
                    if from[*axis] < part.shape[*axis] {
                        return part.at(&from);
                    }
                    from[*axis] -= part.shape[*axis];
                }
            }),
            Op::Gather { axis } => each(&mut |index| {
                let (outer, rest) = index.split_at(*axis);
                let (places, inner) = rest.split_at(x[1].shape.len());
                let place = x[1].at(places);
                let inside = (0.0..x[0].shape[*axis] as f64).contains(&place);
                if inside { x[0].at(&[outer, &[place as usize], inner].concat()) } else { 0.0 }
            }),
            Op::ScatterAdd { axis } => self.scatter(node, |add| {
                each_index(&x[0].shape, |index| {
                    let (outer, rest) = index.split_at(*axis);
                    let (places, inner) = rest.split_at(x[1].shape.len());
                    let place = x[1].at(places);
                    if (0.0..shape[*axis] as f64).contains(&place) {
                        add(flat(shape, &[outer, &[place as usize], inner].concat()), x[0].at(index));
                    }
                });
            }),
            &Op::MatMul { transpose_lhs, transpose_rhs } => {
                let lhs = &x[0].shape;
                let inner = lhs[lhs.len() - if transpose_lhs { 2 } else { 1 }];
                let element = |value: &Value, batch: &[usize], row: usize, column: usize, turned: bool| {
                    let place = if turned { [column, row] } else { [row, column] };
                    value.at(&[batch, &place].concat())
                };
                each(&mut |index| {
                    let (batch, place) = index.split_at(index.len() - 2);
                    let terms = (0..inner).map(|k| {
                        element(x[0], batch, place[0], k, transpose_lhs)
                            * element(x[1], batch, k, place[1], transpose_rhs)
                    });
                    self.sum(terms, dtype)
                })
            }
            Op::Conv(geometry) => {
                self.scatter(node, |add| taps(geometry, |at, w, y| add(y, x[0].data[at] * x[1].data[w])))
            }
            Op::ConvInputGradient(geometry) => {
                self.scatter(node, |add| taps(geometry, |at, w, y| add(at, x[0].data[y] * x[1].data[w])))
            }
            Op::ConvWeightGradient(geometry) => {
                self.scatter(node, |add| taps(geometry, |at, w, y| add(w, x[0].data[at] * x[1].data[y])))
            }
            Op::WindowSum(window) => self.scatter(node, |add| windows(window, |at, _, y| add(y, x[0].data[at]))),
            Op::WindowSpread(window) => self.scatter(node, |add| windows(window, |at, _, y| add(at, x[0].data[y]))),
            Op::WindowArgMax(window) => {
                let mut found: Vec<Vec<(usize, f64)>> = vec![Vec::new(); node.shape.elements()];
                windows(window, |at, tap, y| found[y].push((tap, x[0].data[at])));
                found.into_iter().map(|window| first_largest(window.into_iter()).unwrap() as f64).collect()
            }
            Op::WindowTake(window) => {
                let mut taken = vec![f64::NAN; node.shape.elements()];
                windows(window, |at, tap, y| {
                    if x[1].data[y] == tap as f64 {
                        taken[y] = x[0].data[at];
                    }
                });
                taken
            }
            Op::WindowPut(window) => self.scatter(node, |add| {
                windows(window, |at, tap, y| {
                    if x[1].data[y] == tap as f64 {
                        add(at, x[0].data[y]);
                    }
                });
            }),
        };
        let data = data.into_iter().map(|value| held(value, dtype)).collect();
        Value { shape: shape.to_vec(), dtype, data }
    }

    fn sum(&mut self, terms: impl Iterator<Item = f64>, dtype: DType) -> f64 {
        let mut total = 0.0;
        for term in terms {
            let term = self.rounded(term, dtype);
            total = self.rounded(total + term, dtype);
        }
        total
    }

    /// Adds up terms at places of the node's value.
    fn scatter(&mut self, node: &Node, terms: impl FnOnce(&mut dyn FnMut(usize, f64))) -> Vec<f64> {
        let mut total = vec![0.0; node.shape.elements()];
        terms(&mut |place, term| {
            let term = self.rounded(term, node.dtype);
            total[place] = self.rounded(total[place] + term, node.dtype);
        });
        total
    }

    fn reduce(&mut self, x: &Value, kind: Reduction, axes: &[usize], node: &Node) -> Vec<f64> {
        let place = |index: &[usize]| {
            let kept: Vec<usize> =
                (0..index.len()).filter(|axis| !axes.contains(axis)).map(|axis| index[axis]).collect();
            flat(&node.shape, &kept)
        };
        match kind {
            Reduction::Sum => self.scatter(node, |add| {
                each_index(&x.shape, |index| add(place(index), x.at(index)));
            }),
            Reduction::Maximum => {
                let mut largest = vec![f64::NEG_INFINITY; node.shape.elements()];
                each_index(&x.shape, |index| {
                    let slot = &mut largest[place(index)];
                    *slot = combined(Binary::Maximum, *slot, x.at(index));
                });
                largest
            }
        }
    }

    fn log_sum_exp(&mut self, x: &Value, index: &[usize], dtype: DType) -> f64 {
        let row = row(x, index);
        let largest = row.iter().copied().fold(f64::NEG_INFINITY, |a, b| combined(Binary::Maximum, a, b));
        if !largest.is_finite() {
            return largest;
        }
        let sum = self.sum(row.iter().map(|x| (x - largest).exp()), dtype);
        let (largest, log) = (self.rounded(largest, dtype), self.rounded(sum.ln(), dtype));
        self.rounded(largest + log, dtype)
    }
}

/// A number as the type holds it.
fn held(value: f64, dtype: DType) -> f64 {
    match dtype {
        DType::F32 => f64::from(value as f32),
        DType::F64 => value,
        DType::I32 => f64::from(value as i32),
        DType::Bool => f64::from(u8::from(value != 0.0)),
    }
}

fn function(unary: Unary, x: f64) -> f64 {
    match unary {
        Unary::Negate => -x,
        Unary::Exp => x.exp(),
        Unary::Expm1 => x.exp_m1(),
        Unary::Log => x.ln(),
        Unary::Log1p => x.ln_1p(),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => 1.0 / x.sqrt(),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::Erf => libm::erf(x),
        Unary::Abs => x.abs(),
        Unary::Sign if x == 0.0 || x.is_nan() => x,
        Unary::Sign => x.signum(),
        Unary::Sin => x.sin(),
        Unary::Cos => x.cos(),
        Unary::Power(exponent) => x.powf(exponent),
    }
}

fn combined(binary: Binary, a: f64, b: f64) -> f64 {
    match binary {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide => a / b,
        Binary::Maximum | Binary::Minimum if a.is_nan() || b.is_nan() => f64::NAN,
        Binary::Maximum => a.max(b),
        Binary::Minimum => a.min(b),
        Binary::Power => a.powf(b),
    }
}

/// The elements along the last axis at an index of the other axes.
fn row(x: &Value, index: &[usize]) -> Vec<f64> {
    (0..*x.shape.last().unwrap()).map(|column| x.at(&[index, &[column]].concat())).collect()
}

/// The name of the first largest number; a NaN is larger than all.
fn first_largest(numbers: impl Iterator<Item = (usize, f64)>) -> Option<usize> {
    let larger = |a: f64, b: f64| a > b || a.is_nan() && !b.is_nan();
    numbers.reduce(|best, next| if larger(next.1, best.1) { next } else { best }).map(|(name, _)| name)
}

/// Calls `f` for each product of a convolution with the flat places of activation, weight and result.
fn taps(geometry: &Convolution, mut f: impl FnMut(usize, usize, usize)) {
    let window = Window {
        input: geometry.input,
        size: [geometry.weight[0], geometry.weight[1]],
        stride: geometry.stride,
        padding: geometry.padding,
        dilation: geometry.dilation,
    };
    let [.., channels_in, channels_out] = geometry.weight;
    let [_, _, _, channels] = geometry.input;
    pixels(&window, |pixel, tap, place| {
        for out in 0..channels_out {
            let group = out / (channels_out / geometry.groups);
            for within in 0..channels_in {
                let channel = group * channels_in + within;
                f(
                    pixel * channels + channel,
                    (tap * channels_in + within) * channels_out + out,
                    place * channels_out + out,
                );
            }
        }
    });
}

/// Calls `f` for each element a window covers: its flat place, its tap, and the flat place of the result.
fn windows(window: &Window, mut f: impl FnMut(usize, usize, usize)) {
    let channels = window.input[3];
    pixels(window, |pixel, tap, place| {
        for channel in 0..channels {
            f(pixel * channels + channel, tap, place * channels + channel);
        }
    });
}

/// Calls `f` for each pixel a window covers: its number, the tap, and the window's number.
fn pixels(window: &Window, mut f: impl FnMut(usize, usize, usize)) {
    let [samples, height, width, _] = window.input;
    let [_, rows, columns, _] = window.output();
    each_index(&[samples, rows, columns, window.size[0], window.size[1]], |index| {
        let &[sample, row, column, down, right] = index else { unreachable!() };
        let y = (row * window.stride[0] + down * window.dilation[0]) as i64 - window.padding[0][0] as i64;
        let x = (column * window.stride[1] + right * window.dilation[1]) as i64 - window.padding[1][0] as i64;
        if (0..height as i64).contains(&y) && (0..width as i64).contains(&x) {
            let pixel = (sample * height + y as usize) * width + x as usize;
            f(pixel, down * window.size[1] + right, (sample * rows + row) * columns + column);
        }
    });
}
