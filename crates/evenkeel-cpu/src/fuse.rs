//! Which values are kept in memory, and which nodes run as one loop.
//!
//! Elementwise nodes, reductions, broadcasts and transposes are *loop* nodes; products, convolutions, windows and row
//! functions are *opaque*; reshapes are other names for the same memory. A loop node is *kept* when somebody needs it in
//! memory (an output, an opaque node, a reduction's result, the source of a view) or when computing it again for every
//! reader would cost more than storing it. All other elementwise nodes are computed again inside each loop that reads
//! them: the normalised activations of batch norm, for example, are never stored, backward reads the convolution's output.
//!
//! Kept loop nodes are then grouped into single loops. Each gets a level: one more than what it reads from memory, but
//! the same as an elementwise value of its own loop space, which can be handed over in a register. Nodes of one level and
//! one space never wait for each other through memory, so those that share an operand run as one loop, without any search
//! for cycles.

use crate::operand::Region;
use crate::order::{find, schedule, union};
use evenkeel_graph::op::{Binary, Comparison, Constant, Op, Reduction, Unary};
use evenkeel_graph::{DType, Function, Node, Pass};
use std::collections::HashMap;

/// A value read by a loop: whose memory, and how far one step along each axis of the loop moves in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    /// The node whose memory is read.
    pub(crate) base: usize,
    /// Elements to move for one step along each axis of the loop space.
    pub(crate) strides: Vec<usize>,
}

/// One function of the loop body.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Scalar {
    Unary(Unary),
    Binary(Binary),
    Compare(Comparison),
    Select,
    /// The same number; what remains of a cast to floats once the operand was read in the loop's own type.
    Copy,
    /// The number as an integer holds it: without its fraction, and within 32 bits.
    Whole,
    /// 1 unless the number is 0.
    Truth,
}

/// What an operand of the loop body is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// The result of an earlier instruction.
    Instruction(usize),
    /// A value in memory, by position in [`Group::leaves`].
    Leaf(usize),
    /// A number.
    Splat(f64),
    /// The position along an axis of the loop space.
    Iota(usize),
}

/// What becomes of a value of the loop.
#[derive(Clone, Debug)]
pub(crate) enum Sink {
    /// Stored whole.
    Store,
    /// Combined over these axes of the loop space.
    Reduce(Reduction, Vec<usize>),
}

/// Nodes that run as one loop over `space`.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) space: Vec<usize>,
    /// The type the body computes in.
    pub(crate) compute: DType,
    pub(crate) leaves: Vec<View>,
    pub(crate) body: Vec<(Scalar, Vec<Source>)>,
    /// What leaves the loop: the node, the value, and how.
    pub(crate) outputs: Vec<(usize, Source, Sink)>,
}

/// One thing to run.
#[derive(Clone, Debug)]
pub(crate) enum Task {
    Loop(Group),
    /// A single node with a kernel of its own.
    Opaque(usize),
    Product(Product),
}

/// A matrix product, and where it reads and writes.
#[derive(Clone, Debug)]
pub(crate) struct Product {
    /// The node of the product.
    pub(crate) node: usize,
    /// The node whose memory the result is written to: the product's own, or its only reader, a transpose.
    pub(crate) value: usize,
    pub(crate) operands: [Region; 2],
}

/// The memory a node's value lives in: reshapes are other names for their operand.
pub(crate) fn base_of(nodes: &[Node], mut node: usize) -> usize {
    while nodes[node].op == Op::Reshape {
        node = nodes[node].inputs[0].index();
    }
    node
}

fn is_loop(op: &Op) -> bool {
    op.is_elementwise()
        || is_view(op)
        || matches!(op, Op::Reduce { .. } | Op::Iota { .. } | Op::Constant(Constant::Splat(_)))
}

fn is_view(op: &Op) -> bool {
    matches!(op, Op::Broadcast { .. } | Op::Transpose { .. })
}

fn is_source(op: &Op) -> bool {
    matches!(op, Op::Input(_) | Op::Constant(Constant::Dense(_)))
}

/// Where nodes meet that run as one loop: level, space, type, what they are computed again for, and an operand they share.
type Meeting = (usize, Vec<usize>, DType, Option<u32>, usize);

/// Bigger bodies than this are cut where a value is read more than once.
const MAXIMAL_RECOMPUTATION: usize = 16;
/// Bigger bodies than this are cut anywhere.
const MAXIMAL_BODY: usize = 64;

/// What computing a node inside a loop would take.
#[derive(Clone, Default)]
struct Cost {
    instructions: usize,
    transcendental: bool,
    /// Large values read from memory.
    reads: Vec<usize>,
}

pub(crate) struct Fusion<'f> {
    nodes: &'f [Node],
    /// The type each loop node computes in.
    compute: Vec<DType>,
    kept: Vec<bool>,
    /// Values the caller wants.
    outputs: Vec<bool>,
    /// Where products read their operands.
    regions: HashMap<usize, [Region; 2]>,
    /// Transposes whose operand, a product nobody else reads, writes its result in their order; with the product.
    absorbed: HashMap<usize, usize>,
}

impl<'f> Fusion<'f> {
    /// Decides what is kept. With `fuse` false every node is, and every loop holds one node: slow, for inspection.
    pub(crate) fn new(function: &'f Function, fuse: bool) -> Self {
        let nodes = function.nodes();
        let mut fusion = Fusion {
            nodes,
            compute: compute_types(nodes),
            kept: vec![!fuse; nodes.len()],
            outputs: vec![false; nodes.len()],
            regions: HashMap::new(),
            absorbed: HashMap::new(),
        };
        let mut used = vec![false; nodes.len()];
        for (_, output) in function.outputs() {
            fusion.keep(output.index());
            fusion.outputs[base_of(nodes, output.index())] = true;
            used[output.index()] = true;
        }
        // From the last reader to the first: what only leads to the memory of a product's operand is never computed.
        for (index, node) in nodes.iter().enumerate().rev().filter(|(_, node)| !is_source(&node.op)) {
            used[index] |= !fuse;
            if !used[index] {
                continue;
            }
            let operand = |place: usize| node.inputs[place].index();
            if let Op::MatMul { .. } = node.op {
                let region = |place: usize| match fuse {
                    true => Region::of_matrices(nodes, operand(place)),
                    false => Region::whole(nodes, operand(place)),
                };
                let regions = [region(0), region(1)];
                regions.iter().for_each(|region| used[region.node] = true);
                fusion.regions.insert(index, regions);
            } else {
                node.inputs.iter().for_each(|id| used[id.index()] = true);
            }
        }
        let mut uses = vec![0usize; nodes.len()];
        for (index, node) in nodes.iter().enumerate().filter(|&(index, _)| used[index]) {
            let body = node.op.is_elementwise() || matches!(node.op, Op::Reduce { .. });
            match &node.op {
                Op::Reduce { .. } => fusion.keep(index),
                op if is_source(op) || !is_loop(op) && *op != Op::Reshape => fusion.keep(index),
                _ => {}
            }
            for input in fusion.operands(index) {
                uses[input] += 1;
                if !body {
                    // Opaque nodes, reshapes and views read memory.
                    let source = if is_view(&node.op) { fusion.view(index).base } else { input };
                    fusion.keep(source);
                } else if nodes[input].op.is_elementwise() && fusion.compute[input] != fusion.compute[index] {
                    fusion.keep(input);
                }
            }
        }
        if fuse {
            fusion.absorb_transposes(&uses);
        }
        fusion.keep_what_is_dear(&uses);
        fusion
    }

    /// The nodes whose values a node reads.
    fn operands(&self, node: usize) -> Vec<usize> {
        match self.regions.get(&node) {
            Some(regions) => regions.iter().map(|region| region.node).collect(),
            None => self.nodes[node].inputs.iter().map(|id| id.index()).collect(),
        }
    }

    /// Lets products write the transposes that alone read them, where rows stay contiguous.
    fn absorb_transposes(&mut self, uses: &[usize]) {
        for (index, node) in self.nodes.iter().enumerate() {
            let Op::Transpose { permutation } = &node.op else { continue };
            let product = node.inputs[0].index();
            let alone =
                self.kept[index] && uses[product] == 1 && !self.outputs[product] && self.regions.contains_key(&product);
            if alone && permutation.last() == Some(&(permutation.len() - 1)) {
                self.absorbed.insert(index, product);
                self.kept[product] = false;
            }
        }
    }

    /// Whether a node runs in a loop rather than in a kernel of its own.
    fn in_loop(&self, node: usize) -> bool {
        is_loop(&self.nodes[node].op) && !self.absorbed.contains_key(&node)
    }

    fn keep(&mut self, node: usize) {
        let base = base_of(self.nodes, node);
        self.kept[base] = true;
    }

    /// Keeps values that several readers would have to compute again at a price.
    fn keep_what_is_dear(&mut self, uses: &[usize]) {
        let mut costs: Vec<Cost> = vec![Cost::default(); self.nodes.len()];
        for (index, node) in self.nodes.iter().enumerate() {
            if !node.op.is_elementwise() {
                continue;
            }
            let mut cost = Cost { instructions: 1, transcendental: node.op.is_transcendental(), reads: Vec::new() };
            for input in node.inputs.iter().map(|id| id.index()) {
                if self.is_inlined(input) {
                    cost.instructions += costs[input].instructions;
                    cost.transcendental |= costs[input].transcendental;
                    cost.reads.extend(&costs[input].reads);
                } else if let Some(view) = self.read(input)
                    && self.nodes[view.base].shape.elements() * 2 > node.shape.elements()
                {
                    cost.reads.push(view.base);
                }
            }
            cost.reads.sort_unstable();
            cost.reads.dedup();
            let dear = cost.transcendental || cost.reads.len() > 2 || cost.instructions > MAXIMAL_RECOMPUTATION;
            if uses[index] > 1 && dear || cost.instructions > MAXIMAL_BODY {
                self.kept[index] = true;
            }
            costs[index] = cost;
        }
    }

    /// Whether a node is computed inside the loops that read it.
    fn is_inlined(&self, node: usize) -> bool {
        self.nodes[node].op.is_elementwise() && !self.kept[node]
    }

    /// How a loop over the node's own shape reads it from memory; `None` for numbers and positions.
    fn read(&self, node: usize) -> Option<View> {
        match &self.nodes[node].op {
            Op::Constant(Constant::Splat(_)) | Op::Iota { .. } => None,
            op if is_view(op) => Some(self.view(node)),
            _ => Some(View { base: base_of(self.nodes, node), strides: self.nodes[node].shape.strides() }),
        }
    }

    /// A chain of broadcasts and transposes as strides into the memory of what they look at.
    fn view(&self, node: usize) -> View {
        let operand = |node: &Node| node.inputs[0].index();
        match &self.nodes[node].op {
            _ if self.absorbed.contains_key(&node) => View { base: node, strides: self.nodes[node].shape.strides() },
            Op::Broadcast { axes } => {
                let inner = self.view(operand(&self.nodes[node]));
                let mut strides = vec![0; self.nodes[node].shape.len()];
                for (&axis, stride) in axes.iter().zip(inner.strides) {
                    strides[axis] = stride;
                }
                View { base: inner.base, strides }
            }
            Op::Transpose { permutation } => {
                let inner = self.view(operand(&self.nodes[node]));
                View { base: inner.base, strides: permutation.iter().map(|&axis| inner.strides[axis]).collect() }
            }
            _ => View { base: base_of(self.nodes, node), strides: self.nodes[node].shape.strides() },
        }
    }

    /// The loop space of a kept loop node.
    fn space(&self, node: usize) -> &[usize] {
        match &self.nodes[node].op {
            Op::Reduce { .. } => &self.nodes[self.nodes[node].inputs[0].index()].shape,
            _ => &self.nodes[node].shape,
        }
    }

    /// The memory that computing a kept loop node reads, with everything inlined that is not kept.
    fn reads(&self, node: usize) -> Vec<View> {
        let mut found = Vec::new();
        let mut seen = vec![];
        let mut open = if is_view(&self.nodes[node].op) {
            return vec![self.view(node)];
        } else {
            self.nodes[node].inputs.iter().map(|id| id.index()).collect::<Vec<_>>()
        };
        while let Some(next) = open.pop() {
            if seen.contains(&next) {
                continue;
            }
            seen.push(next);
            if self.is_inlined(next) {
                open.extend(self.nodes[next].inputs.iter().map(|id| id.index()));
            } else if let Some(view) = self.read(next) {
                found.push(view);
            }
        }
        found
    }

    /// Everything to run, in an order that respects what reads what and follows the order of tracing.
    pub(crate) fn tasks(&self, fuse: bool) -> Vec<Task> {
        let count = self.nodes.len();
        let reads: Vec<Vec<View>> = (0..count)
            .map(|node| match &self.nodes[node].op {
                op if is_source(op) || *op == Op::Reshape || !self.kept[node] => vec![],
                _ if self.in_loop(node) => self.reads(node),
                _ => {
                    let operands = self.operands(self.absorbed.get(&node).copied().unwrap_or(node));
                    operands.iter().map(|&read| View { base: base_of(self.nodes, read), strides: vec![] }).collect()
                }
            })
            .collect();
        let runs =
            |node: usize| self.kept[node] && !is_source(&self.nodes[node].op) && self.nodes[node].op != Op::Reshape;

        // Levels; and the parents of a union-find over nodes of one level and one space.
        let mut level = vec![0usize; count];
        let mut parent: Vec<usize> = (0..count).collect();
        // What is computed again must wait until it is needed, and not join what computes it first.
        let again = |node: usize| match self.nodes[node].pass {
            Pass::Again(number) => Some(number),
            _ => None,
        };
        let mut partners: HashMap<Meeting, usize> = HashMap::new();
        for node in (0..count).filter(|&node| runs(node)) {
            let handed_over = |view: &View| fuse && again(view.base) == again(node) && self.hands_over(view, node);
            level[node] = reads[node]
                .iter()
                .map(|view| match (runs(view.base), handed_over(view)) {
                    (false, _) => 1,
                    (true, true) => level[view.base],
                    (true, false) => level[view.base] + 1,
                })
                .max()
                .unwrap_or(1);
            if !self.in_loop(node) || !fuse {
                continue;
            }
            let elements: usize = self.space(node).iter().product();
            for view in &reads[node] {
                if runs(view.base) && level[view.base] == level[node] {
                    union(&mut parent, node, view.base);
                }
                if self.nodes[view.base].shape.elements() * 2 > elements && elements > 1 {
                    let key = (level[node], self.space(node).to_vec(), self.compute[node], again(node), view.base);
                    let partner = *partners.entry(key).or_insert(node);
                    union(&mut parent, node, partner);
                }
            }
        }

        let mut members: HashMap<usize, Vec<usize>> = HashMap::new();
        for node in (0..count).filter(|&node| runs(node)) {
            members.entry(find(&mut parent, node)).or_default().push(node);
        }
        let order = schedule(&members, &reads, &mut parent, &runs);
        let read_elsewhere = self.read_elsewhere(&members, &reads, &mut parent);
        order
            .into_iter()
            .map(|root| {
                let nodes = &members[&root];
                let value = nodes[0];
                if self.in_loop(value) {
                    return Task::Loop(self.group(nodes, &read_elsewhere));
                }
                let node = self.absorbed.get(&value).copied().unwrap_or(value);
                match self.regions.get(&node) {
                    Some(operands) => Task::Product(Product { node, value, operands: operands.clone() }),
                    None => Task::Opaque(value),
                }
            })
            .collect()
    }

    /// Whether `reader`'s loop can take the value from the loop that computes it, without memory in between.
    fn hands_over(&self, view: &View, reader: usize) -> bool {
        let node = &self.nodes[view.base];
        node.op.is_elementwise()
            && is_loop(&self.nodes[reader].op)
            && !is_view(&self.nodes[reader].op)
            && self.compute[view.base] == self.compute[reader]
            && node.shape[..] == *self.space(reader)
            && view.strides == node.shape.strides()
    }

    /// Kept nodes whose memory somebody reads outside their own loop.
    fn read_elsewhere(
        &self,
        members: &HashMap<usize, Vec<usize>>,
        reads: &[Vec<View>],
        parent: &mut [usize],
    ) -> Vec<bool> {
        let mut elsewhere = vec![false; self.nodes.len()];
        for (&root, nodes) in members {
            for view in nodes.iter().flat_map(|&node| &reads[node]) {
                if find(parent, view.base) != root {
                    elsewhere[view.base] = true;
                }
            }
        }
        elsewhere
    }

    /// The loop that computes `nodes`.
    fn group(&self, nodes: &[usize], read_elsewhere: &[bool]) -> Group {
        let mut group = Group {
            space: self.space(nodes[0]).to_vec(),
            compute: self.compute[nodes[0]],
            leaves: Vec::new(),
            body: Vec::new(),
            outputs: Vec::new(),
        };
        let mut known: HashMap<usize, Source> = HashMap::new();
        for &node in nodes {
            let op = &self.nodes[node].op;
            let operand = || self.nodes[node].inputs[0].index();
            let (value, sink) = match op {
                Op::Reduce { kind, axes } => {
                    (self.source(operand(), &mut group, &mut known), Sink::Reduce(*kind, axes.clone()))
                }
                op if op.is_elementwise() => {
                    let value = self.instruction(node, &mut group, &mut known);
                    known.insert(node, value.clone());
                    (value, Sink::Store)
                }
                _ => (self.memory_or_number(node, &mut group), Sink::Store),
            };
            if read_elsewhere[node] || self.is_output_or_reduction(node) {
                group.outputs.push((node, value, sink));
            }
        }
        // Stores may overwrite what the loop reads, so whatever is combined comes first.
        group.outputs.sort_by_key(|(_, _, sink)| matches!(sink, Sink::Store));
        group
    }

    fn is_output_or_reduction(&self, node: usize) -> bool {
        self.outputs[node] || !self.nodes[node].op.is_elementwise()
    }

    /// Where a loop body finds the value of `node`.
    fn source(&self, node: usize, group: &mut Group, known: &mut HashMap<usize, Source>) -> Source {
        if let Some(source) = known.get(&node) {
            return source.clone();
        }
        let source = if self.is_inlined(node) {
            self.instruction(node, group, known)
        } else {
            self.memory_or_number(node, group)
        };
        known.insert(node, source.clone());
        source
    }

    fn memory_or_number(&self, node: usize, group: &mut Group) -> Source {
        match &self.nodes[node].op {
            Op::Constant(Constant::Splat(value)) => Source::Splat(*value),
            Op::Iota { axis } => Source::Iota(*axis),
            _ => {
                let view = if is_view(&self.nodes[node].op) {
                    self.view(node)
                } else {
                    View { base: base_of(self.nodes, node), strides: self.nodes[node].shape.strides() }
                };
                let position = group.leaves.iter().position(|leaf| *leaf == view);
                Source::Leaf(position.unwrap_or_else(|| {
                    group.leaves.push(view);
                    group.leaves.len() - 1
                }))
            }
        }
    }

    fn instruction(&self, node: usize, group: &mut Group, known: &mut HashMap<usize, Source>) -> Source {
        let operands =
            self.nodes[node].inputs.iter().map(|id| self.source(id.index(), group, known)).collect::<Vec<_>>();
        let scalar = match &self.nodes[node].op {
            Op::Unary(unary) => Scalar::Unary(*unary),
            Op::Binary(binary) => Scalar::Binary(*binary),
            Op::Compare(comparison) => Scalar::Compare(*comparison),
            Op::Select => Scalar::Select,
            _ => cast_to(self.nodes[node].dtype),
        };
        group.body.push((scalar, operands));
        // Loops compute integers as floats; what is not stored in between must be cut all the same.
        if self.nodes[node].dtype == DType::I32 && matches!(scalar, Scalar::Unary(_) | Scalar::Binary(_)) {
            group.body.push((Scalar::Whole, vec![Source::Instruction(group.body.len() - 1)]));
        }
        Source::Instruction(group.body.len() - 1)
    }
}

/// What a cast does to a number that was read in the loop's own type.
fn cast_to(dtype: DType) -> Scalar {
    match dtype {
        DType::F32 | DType::F64 => Scalar::Copy,
        DType::I32 => Scalar::Whole,
        DType::Bool => Scalar::Truth,
    }
}

/// The type each loop node computes in: floats in their own, masks in that of what was compared, integers in f64, which
/// holds all of them exactly.
fn compute_types(nodes: &[Node]) -> Vec<DType> {
    let mut types = Vec::with_capacity(nodes.len());
    for node in nodes {
        let own = match (node.dtype, node.op.is_elementwise()) {
            (DType::F32, _) => DType::F32,
            (DType::Bool, true) => match node.inputs.iter().map(|id| nodes[id.index()].dtype).next_back() {
                Some(DType::F32) => DType::F32,
                Some(DType::Bool) => node.inputs.last().map_or(DType::F64, |id| types[id.index()]),
                _ => DType::F64,
            },
            _ => DType::F64,
        };
        types.push(own);
    }
    types
}
