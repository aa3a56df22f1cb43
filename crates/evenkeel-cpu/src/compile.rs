//! From a function to steps: which kernel, which memory.

use crate::bands::{Stage, form, read_whole};
use crate::chain::reads_after;
use crate::error::{Error, Result};
use crate::fuse::{Fusion, Product, Task, base_of};
use crate::kernel::conv::{self, ConvShape};
use crate::kernel::matmul::{self, MatMul};
use crate::kernel::movement::{Gather, Movement, Strided};
use crate::loops::{Loop, OutputKind};
use crate::operand;
use crate::plan::{Life, place};
use crate::program::{Program, Schedule, Step};
use crate::recompute;
use evenkeel_graph::op::{Constant, Convolution, Distribution, Op, Window};
use evenkeel_graph::{DType, Function, Node, Tensor};
use std::sync::Arc;

/// From so many numbers on, a pointwise convolution's weights have their gradient from a matrix product.
const WIDE_WEIGHT: usize = 256 * 512;

/// How a program is compiled.
#[derive(Clone, Debug)]
pub struct Options {
    /// Run chains of elementwise work as one loop. Without it every value is stored: slow, large, and good for finding
    /// out where a number went wrong.
    pub fuse: bool,
    /// Pairs (input, output) that share their memory: the caller gives the input in the output's tensor, and it is
    /// overwritten. Shapes and types must agree.
    pub donations: Vec<(usize, usize)>,
    /// Bytes the arena may take. Where it would take more, values are computed again instead of being kept, see
    /// [`Function::recompute`]; sums may then be added up in another order.
    pub memory_limit: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Options { fuse: true, donations: Vec::new(), memory_limit: None }
    }
}

/// What one step does.
#[derive(Clone, Debug)]
pub(crate) enum Kernel {
    Loop(Box<Loop>),
    MatMul(MatMul),
    Convolution(Direction, ConvShape),
    Move(Movement),
    ScatterAdd(Gather),
    Random(Distribution),
    LogSumExp { columns: usize },
    ArgMax { columns: usize },
    WindowSum(Window),
    WindowSpread(Window),
    WindowArgMax(Window),
    WindowTake(Window),
    WindowPut(Window),
}

/// Which of the three bilinear maps of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    InputGradient,
    WeightGradient,
}

/// Where a value lives.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// In the n-th input.
    Input(usize),
    /// In the n-th output.
    Output(usize),
    /// In the program itself.
    Constant(Arc<Tensor>),
    /// In the arena, at this byte.
    Arena(usize),
    /// Nowhere: it is computed inside loops.
    None,
}

impl Program {
    /// Compiles a function. Cost: grows with the number of nodes; ResNet-20's training step takes some milliseconds.
    ///
    /// # Errors
    /// [`Error::Donation`] when a pair of `options.donations` does not agree in shape and type, or shares its input or
    /// output with another pair; [`Error::MemoryLimit`] when the arena cannot be made as small as asked; [`Error::Memory`]
    /// when the memory a run takes cannot be had.
    pub fn compile(function: &Function, options: &Options) -> Result<Program> {
        check_donations(function, options)?;
        let mut program = Program::lay_out(function, options);
        if let Some(limit) = options.memory_limit.filter(|limit| program.arena_bytes() > *limit) {
            program = recompute::within(program, options, limit)?;
        }
        // A probe: allocating for good would end the process where there is not enough.
        let outputs = function.outputs().iter().map(|(_, id)| &function.nodes()[id.index()]);
        let outputs = outputs.map(|node| node.shape.elements() * node.dtype.bytes());
        let bytes = outputs.fold(program.arena_bytes(), usize::saturating_add);
        if Vec::<u8>::new().try_reserve_exact(bytes).is_err() {
            return Err(Error::Memory { bytes });
        }
        Ok(program)
    }

    /// Steps and memory, whatever they take.
    pub(crate) fn lay_out(function: &Function, options: &Options) -> Program {
        let nodes = function.nodes();
        let fusion = Fusion::new(function, options.fuse);
        let steps: Vec<Step> = fusion.tasks(options.fuse).iter().map(|task| step(function, task)).collect();
        let (mut steps, stages) = if options.fuse { form(steps, nodes) } else { whole(steps) };
        let mut layout = Layout::new(function, options, &steps, &stages);
        layout.share(&mut steps, nodes);
        let (places, arena_bytes) = layout.place(&mut steps, nodes);
        let schedule = Schedule { steps, stages };
        Program::new(function.clone(), options.donations.clone(), schedule, places, layout.copies, arena_bytes)
    }
}

/// Every step a stage of its own.
fn whole(steps: Vec<Step>) -> (Vec<Step>, Vec<Stage>) {
    let stages = (0..steps.len()).map(|number| Stage { steps: number..number + 1, bands: 1 }).collect();
    (steps, stages)
}

fn check_donations(function: &Function, options: &Options) -> Result<()> {
    for (place, &(input, output)) in options.donations.iter().enumerate() {
        let (Some(info), Some((_, node))) = (function.inputs().get(input), function.outputs().get(output)) else {
            return Err(Error::Donation { name: format!("#{input}"), problem: "or its output does not exist" });
        };
        let node = &function.nodes()[node.index()];
        if info.shape != node.shape || info.dtype != node.dtype {
            return Err(Error::Donation { name: info.name.clone(), problem: "is not shaped like its output" });
        }
        if options.donations[..place].iter().any(|&(from, to)| from == input || to == output) {
            let problem = "is donated twice, or to an output that another one is donated to";
            return Err(Error::Donation { name: info.name.clone(), problem });
        }
    }
    Ok(())
}

fn step(function: &Function, task: &Task) -> Step {
    let nodes = function.nodes();
    match task {
        Task::Loop(group) => {
            let nest = Loop::new(group, nodes);
            Step {
                reads: nest.leaves.iter().map(|leaf| leaf.node).collect(),
                writes: nest.outputs.iter().map(|output| output.node).collect(),
                scratch_bytes: nest.partial_elements() * 8,
                scratch: 0,
                kernel: Kernel::Loop(Box::new(nest)),
            }
        }
        Task::Product(Product { node, value, operands }) => {
            let order = match &nodes[*value].op {
                Op::Transpose { permutation } => Some(&permutation[..]),
                _ => None,
            };
            let product = operand::product(nodes, *node, operands, order);
            let bytes = nodes[*node].dtype.bytes();
            Step {
                reads: operand::reads(nodes, operands),
                writes: vec![*value],
                scratch_bytes: product.scratch_elements(bytes) * bytes,
                scratch: 0,
                kernel: Kernel::MatMul(product),
            }
        }
        Task::Opaque(index) => {
            let node = &nodes[*index];
            let (kernel, scratch_elements) = kernel(node, nodes);
            Step {
                reads: node.inputs.iter().map(|id| base_of(nodes, id.index())).collect(),
                writes: vec![*index],
                scratch_bytes: scratch_elements * node.dtype.bytes(),
                scratch: 0,
                kernel,
            }
        }
    }
}

/// The kernel of an opaque node, and the elements of scratch it takes.
fn kernel(node: &Node, nodes: &[Node]) -> (Kernel, usize) {
    let operand = |place: usize| &nodes[node.inputs[place].index()];
    let columns = || operand(0).shape.last().copied().unwrap_or(1);
    match &node.op {
        Op::Slice(along) => (Kernel::Move(Movement::Slice(Strided::new(along, &operand(0).shape))), 0),
        Op::Pad(along) => (Kernel::Move(Movement::Pad(Strided::new(along, &node.shape))), 0),
        Op::Concat { axis } => {
            let block = |part: &evenkeel_graph::NodeId| nodes[part.index()].shape[*axis..].iter().product();
            (Kernel::Move(Movement::Concat(node.inputs.iter().map(block).collect())), 0)
        }
        Op::Gather { axis } => (Kernel::Move(Movement::Gather(gather(&operand(0).shape, *axis))), 0),
        Op::ScatterAdd { axis } => (Kernel::ScatterAdd(gather(&node.shape, *axis)), 0),
        Op::Random(distribution) => (Kernel::Random(*distribution), 0),
        Op::Conv(geometry) => convolution(Direction::Forward, geometry, node.dtype),
        Op::ConvInputGradient(geometry) => convolution(Direction::InputGradient, geometry, node.dtype),
        Op::ConvWeightGradient(geometry) => match pointwise_product(geometry) {
            Some(product) => {
                let scratch = product.scratch_elements(node.dtype.bytes());
                (Kernel::MatMul(product), scratch)
            }
            None => convolution(Direction::WeightGradient, geometry, node.dtype),
        },
        Op::ArgMax => (Kernel::ArgMax { columns: columns() }, 0),
        Op::WindowSum(window) => (Kernel::WindowSum(window.clone()), 0),
        Op::WindowSpread(window) => (Kernel::WindowSpread(window.clone()), 0),
        Op::WindowArgMax(window) => (Kernel::WindowArgMax(window.clone()), 0),
        Op::WindowTake(window) => (Kernel::WindowTake(window.clone()), 0),
        Op::WindowPut(window) => (Kernel::WindowPut(window.clone()), 0),
        // All that is left over: elementwise nodes and moves are loops, inputs and reshapes are no steps.
        _ => (Kernel::LogSumExp { columns: columns() }, 0),
    }
}

/// The weight gradient of a pointwise convolution as the product xᵀ · g over all pixels, where that is the faster: with
/// weights too many for bands it runs at 1.3 to 1.4 times the speed, with fewer a little slower.
fn pointwise_product(geometry: &Convolution) -> Option<MatMul> {
    let Convolution { input: [batch, height, width, inputs], weight: [.., outputs], .. } = *geometry;
    let pointwise = Convolution { stride: [1, 1], padding: [[0, 0], [0, 0]], groups: 1, ..geometry.clone() };
    let wide = inputs.saturating_mul(outputs) >= WIDE_WEIGHT;
    (wide && geometry.weight[..2] == [1, 1] && pointwise == *geometry).then(|| MatMul {
        batch: vec![],
        m: inputs,
        k: batch * height * width,
        n: outputs,
        lhs: matmul::Layout { row: 1, column: inputs, ..matmul::Layout::default() },
        rhs: matmul::Layout { row: outputs, column: 1, ..matmul::Layout::default() },
        result: matmul::Layout { row: outputs, column: 1, ..matmul::Layout::default() },
    })
}

/// Slices of a shape that a gather along `axis` takes.
fn gather(whole: &[usize], axis: usize) -> Gather {
    Gather { extent: whole[axis], inner: whole[axis + 1..].iter().product() }
}

fn convolution(direction: Direction, geometry: &Convolution, dtype: DType) -> (Kernel, usize) {
    let [batch, height, width, in_channels] = geometry.input;
    let [kernel_height, kernel_width, _, out_channels] = geometry.weight;
    let shape = ConvShape {
        batch,
        height,
        width,
        in_channels,
        out_channels,
        kernel: [kernel_height, kernel_width],
        stride: geometry.stride,
        padding: geometry.padding,
        dilation: geometry.dilation,
        groups: geometry.groups,
    };
    let scratch = direction.scratch(&shape, dtype);
    (Kernel::Convolution(direction, shape), scratch)
}

impl Direction {
    /// Elements of scratch that a convolution in this direction takes.
    pub(crate) fn scratch(self, shape: &ConvShape, dtype: DType) -> usize {
        match self {
            Direction::Forward => conv::forward_scratch(shape, dtype.bytes()),
            Direction::InputGradient => conv::input_gradient_scratch(shape, dtype.bytes()),
            Direction::WeightGradient => conv::weight_gradient_scratch(shape, dtype.bytes()),
        }
    }
}

/// Decides for every kept value where it lives.
struct Layout {
    /// Inputs and outputs are fixed by the caller; the others are the arena's.
    fixed: Vec<Option<Place>>,
    /// For a value, the value whose memory it takes over.
    takes_over: Vec<Option<usize>>,
    /// First step that writes a value and last step that reads it.
    written: Vec<Option<usize>>,
    read: Vec<Option<usize>>,
    /// Values that must be copied into outputs at the end of a run.
    copies: Vec<(usize, usize)>,
    /// The stage of each step, and one more for the end of a run: memory is handed on between stages.
    stage: Vec<usize>,
    /// Values that a stage reads as a whole, band after band.
    whole: Vec<Vec<usize>>,
}

impl Layout {
    fn new(function: &Function, options: &Options, steps: &[Step], stages: &[Stage]) -> Layout {
        let nodes = function.nodes();
        let numbered = stages.iter().enumerate();
        let stage = numbered.flat_map(|(number, stage)| stage.steps.clone().map(move |_| number));
        let whole = |stage: &Stage| match stage.bands {
            1 => vec![],
            _ => steps[stage.steps.clone()].iter().flat_map(|step| read_whole(step, nodes)).collect(),
        };
        let mut layout = Layout {
            fixed: vec![None; nodes.len()],
            takes_over: vec![None; nodes.len()],
            written: vec![None; nodes.len()],
            read: vec![None; nodes.len()],
            copies: Vec::new(),
            stage: stage.chain([stages.len()]).collect(),
            whole: stages.iter().map(whole).collect(),
        };
        for (number, step) in steps.iter().enumerate() {
            for &value in &step.writes {
                layout.written[value] = Some(number);
            }
            for &value in &step.reads {
                layout.read[value] = Some(number);
            }
        }
        let mut input_node = vec![None; function.inputs().len()];
        for (index, node) in nodes.iter().enumerate() {
            match &node.op {
                Op::Input(input) => {
                    let donated = options.donations.iter().find(|(donated, _)| donated == input);
                    layout.fixed[index] =
                        Some(donated.map_or(Place::Input(*input), |&(_, output)| Place::Output(output)));
                    input_node[*input] = Some(index);
                }
                Op::Constant(Constant::Dense(tensor)) => {
                    layout.fixed[index] = Some(Place::Constant(tensor.clone()));
                }
                _ => {}
            }
        }
        // Inputs that are also outputs are copied at the end, so nothing may overwrite them before.
        for (_, node) in function.outputs() {
            let value = base_of(nodes, node.index());
            if layout.fixed[value].is_some() {
                layout.read[value] = Some(steps.len());
            }
        }
        for (output, (_, node)) in function.outputs().iter().enumerate() {
            let value = base_of(nodes, node.index());
            let donated =
                options.donations.iter().find(|&&(_, to)| to == output).and_then(|&(from, _)| input_node[from]);
            let free = match donated {
                Some(input) if input == value => continue,
                Some(input) => layout.may_overwrite(input, value, steps),
                None => true,
            };
            if layout.fixed[value].is_none() && free {
                layout.fixed[value] = Some(Place::Output(output));
            } else {
                layout.copies.push((value, output));
                // A copied value lives to the end.
                layout.read[value] = Some(steps.len());
            }
        }
        layout
    }

    /// Whether `value` may be written where `old` is: nobody reads `old` later, and its own step reads it in step.
    fn may_overwrite(&self, old: usize, value: usize, steps: &[Step]) -> bool {
        let Some(writes) = self.written[value] else { return false };
        match self.read[old] {
            None => true,
            Some(reads) if self.stage[reads] < self.stage[writes] => true,
            Some(reads) => {
                reads == writes
                    && !self.whole[self.stage[writes]].contains(&old)
                    && reads_in_step(&steps[writes], old, value)
            }
        }
    }

    /// Lets results of loops take over the memory of operands that nobody reads afterwards.
    fn share(&mut self, steps: &mut [Step], nodes: &[Node]) {
        for (number, step) in steps.iter().enumerate() {
            let mut given: Vec<usize> = Vec::new();
            for value in step.writes.iter().copied() {
                let same = |old: usize| {
                    nodes[old].dtype == nodes[value].dtype
                        && nodes[old].shape.elements() == nodes[value].shape.elements()
                };
                if self.fixed[value].is_none() {
                    let candidate = step.reads.iter().copied().find(|&old| {
                        self.fixed[old].is_none()
                            && self.written[old].is_some()
                            && self.read[old] == Some(number)
                            && !self.whole[self.stage[number]].contains(&old)
                            && same(old)
                            && !given.contains(&old)
                            && reads_in_step(step, old, value)
                    });
                    if let Some(old) = candidate {
                        self.takes_over[value] = Some(old);
                        given.push(old);
                    }
                }
            }
        }
        // Stores into memory that the same loop reads again come after all else of a tile.
        for step in steps.iter_mut() {
            let Kernel::Loop(nest) = &mut step.kernel else { continue };
            let Loop { leaves, outputs, pieces, .. } = &mut **nest;
            let combined: Vec<usize> =
                outputs.iter().filter(|output| output.is_reduction()).map(|output| output.slot).collect();
            for output in outputs {
                let place = self.fixed[output.node].clone();
                let shares = |old: usize| match (&place, &self.fixed[old]) {
                    (Some(Place::Output(a)), Some(Place::Output(b))) => a == b,
                    _ => self.takes_over[output.node] == Some(old),
                };
                if let OutputKind::Store { deferred } = &mut output.kind {
                    *deferred = leaves.iter().enumerate().any(|(slot, leaf)| {
                        shares(leaf.node) && (combined.contains(&slot) || reads_after(pieces, slot, output.slot))
                    });
                }
            }
        }
    }

    /// Gives the arena's values their offsets.
    fn place(&self, steps: &mut [Step], nodes: &[Node]) -> (Vec<Place>, usize) {
        let mut root: Vec<usize> = (0..nodes.len()).collect();
        let mut lives: Vec<Life> = Vec::new();
        let mut life_of: Vec<Option<usize>> = vec![None; nodes.len()];
        for (number, step) in steps.iter().enumerate() {
            for &value in &step.writes {
                let last = self.stage[self.read[value].unwrap_or(number).max(number)];
                if self.fixed[value].is_some() {
                    continue;
                }
                if let Some(old) = self.takes_over[value] {
                    root[value] = root[old];
                    life_of[value] = life_of[root[old]];
                    if let Some(life) = life_of[value] {
                        lives[life].to = lives[life].to.max(last);
                    }
                } else {
                    let bytes = nodes[value].shape.elements() * nodes[value].dtype.bytes();
                    life_of[value] = Some(lives.len());
                    lives.push(Life { bytes, from: self.stage[number], to: last });
                }
            }
        }
        let values = lives.len();
        lives.extend(steps.iter().enumerate().map(|(number, step)| Life {
            bytes: step.scratch_bytes,
            from: self.stage[number],
            to: self.stage[number],
        }));
        let (offsets, size) = place(&lives);
        for (step, &offset) in steps.iter_mut().zip(&offsets[values..]) {
            step.scratch = offset;
        }
        let places = (0..nodes.len())
            .map(|value| match (&self.fixed[value], life_of[value]) {
                (Some(place), _) => place.clone(),
                (None, Some(life)) => Place::Arena(offsets[life]),
                (None, None) => Place::None,
            })
            .collect();
        (places, size)
    }
}

/// Whether a step is a loop that reads `old` exactly where it stores `value`, and nowhere else.
fn reads_in_step(step: &Step, old: usize, value: usize) -> bool {
    let Kernel::Loop(nest) = &step.kernel else { return false };
    let mut dense = vec![1; nest.extents.len()];
    for axis in (1..dense.len()).rev() {
        dense[axis - 1] = dense[axis] * nest.extents[axis];
    }
    let stored =
        nest.outputs.iter().any(|output| output.node == value && matches!(output.kind, OutputKind::Store { .. }));
    let mut reads = nest.leaves.iter().filter(|leaf| leaf.node == old);
    let in_step = |strides: &[usize]| {
        strides.iter().zip(&dense).zip(&nest.extents).all(|((a, b), &extent)| a == b || extent <= 1)
    };
    stored && reads.next().is_some_and(|leaf| in_step(&leaf.strides)) && reads.next().is_none()
}
