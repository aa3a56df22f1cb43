//! The graph itself: nodes in the order they were traced, handles to them, and the names of places.

use crate::error::{Error, Operand, Result};
use crate::op::{Constant, Op};
use crate::shape::{DType, Shape};
use crate::tensor::Tensor;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::panic::Location;

use std::sync::Arc;

/// The place of a node in its graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub(crate) u32);

impl NodeId {
    /// The position in the list of nodes.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Which transformation made a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Written by the user.
    Forward,
    /// Appended by [`Graph::vjp`].
    Backward,
    /// Appended by [`Graph::jvp`].
    Tangent,
    /// Computed a second time by [`Function::recompute`](crate::Function::recompute), just before it is needed; an executor
    /// must not join nodes of different numbers, nor these with others.
    Again(u32),
}

/// One operation and what it is applied to.
#[derive(Clone, Debug)]
pub struct Node {
    /// The operation.
    pub op: Op,
    /// Its operands.
    pub inputs: Vec<NodeId>,
    /// The shape of its value.
    pub shape: Shape,
    /// The element type of its value.
    pub dtype: DType,
    /// The place in the model it belongs to, e.g. `layer2.0.conv1`; empty outside any scope.
    pub scope: Arc<str>,
    /// The value's own name, if it was given one.
    pub name: Option<Arc<str>>,
    /// Which transformation made it.
    pub pass: Pass,
}

/// What a program is given at each run.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) node: NodeId,
}

/// A program being written.
pub struct Graph {
    nodes: RefCell<Vec<Node>>,
    inputs: RefCell<Vec<Input>>,
    scope: RefCell<Arc<str>>,
    pass: Cell<Pass>,
    error: RefCell<Option<Error>>,
}

/// A value of a [`Graph`]: a reference and a number, free to copy.
#[derive(Clone, Copy)]
pub struct Var<'g> {
    graph: &'g Graph,
    id: NodeId,
}

/// While this lives, traced values belong to a place in the model; see [`Graph::scope`].
pub struct Scope<'g> {
    graph: &'g Graph,
    outer: Arc<str>,
}

impl Drop for Scope<'_> {
    fn drop(&mut self) {
        *self.graph.scope.borrow_mut() = self.outer.clone();
    }
}

/// The node that stands for a value that could not be traced: it has no meaning and swallows what is done to it.
pub(crate) const POISON: NodeId = NodeId(u32::MAX);

/// What is wrong when values of two graphs meet.
const DIFFERENT_GRAPHS: &str = "the values belong to two different graphs";

impl Default for Graph {
    fn default() -> Self {
        Self::new()
    }
}

impl Graph {
    /// An empty program.
    pub fn new() -> Self {
        Graph {
            nodes: RefCell::default(),
            inputs: RefCell::default(),
            scope: RefCell::new("".into()),
            pass: Cell::new(Pass::Forward),
            error: RefCell::default(),
        }
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.borrow().len()
    }

    /// Whether nothing was traced yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A copy of one node.
    pub fn node(&self, id: NodeId) -> Option<Node> {
        self.nodes.borrow().get(id.index()).cloned()
    }

    /// Enters a place in the model; values traced until the guard is dropped carry its path (`outer.name`).
    #[must_use = "the scope ends when the guard is dropped"]
    pub fn scope(&self, name: &str) -> Scope<'_> {
        let outer = self.scope.borrow().clone();
        let inner: Arc<str> = if outer.is_empty() { name.into() } else { format!("{outer}.{name}").into() };
        *self.scope.borrow_mut() = inner;
        Scope { graph: self, outer }
    }

    /// The path of the current scope with `name` at its end.
    pub fn path(&self, name: &str) -> String {
        let scope = self.scope.borrow();
        if scope.is_empty() { name.to_string() } else { format!("{scope}.{name}") }
    }

    /// A value the program is given at each run: data, labels, a parameter, a direction.
    #[track_caller]
    pub fn input(&self, name: impl Into<String>, shape: impl Into<Shape>, dtype: DType) -> Var<'_> {
        let name = name.into();
        let index = self.inputs.borrow().len();
        let var = self.push(Op::Input(index), &[], shape.into(), dtype);
        if !var.is_poison() {
            var.named(&name);
            self.inputs.borrow_mut().push(Input { name, node: var.id });
        }
        var
    }

    /// The input of this name, where there is one of this shape and type, else a new one: what is traced twice is given once.
    #[track_caller]
    pub fn shared_input(&self, name: impl Into<String>, shape: impl Into<Shape>, dtype: DType) -> Var<'_> {
        let (name, shape) = (name.into(), shape.into());
        let same = |id: &NodeId| self.node(*id).is_some_and(|node| node.shape == shape && node.dtype == dtype);
        let known = self.inputs.borrow().iter().find(|input| input.name == name).map(|input| input.node).filter(same);
        known.map_or_else(|| self.input(name, shape, dtype), |node| self.var(node))
    }

    /// The same number everywhere.
    #[track_caller]
    pub fn splat(&self, value: f64, shape: impl Into<Shape>, dtype: DType) -> Var<'_> {
        let value = crate::op::round_to(value, dtype);
        self.push(Op::Constant(Constant::Splat(value)), &[], shape.into(), dtype)
    }

    /// An array known now.
    #[track_caller]
    pub fn constant(&self, tensor: Tensor) -> Var<'_> {
        let (shape, dtype) = (tensor.shape().clone(), tensor.dtype());
        self.push(Op::Constant(Constant::Dense(Arc::new(tensor))), &[], shape, dtype)
    }

    /// 0, 1, 2, .. along one axis.
    #[track_caller]
    pub fn iota(&self, shape: impl Into<Shape>, axis: usize, dtype: DType) -> Var<'_> {
        let shape = shape.into();
        if axis >= shape.len() {
            return self.fail(Error::new("iota", format!("axis {axis} of a value of shape {shape}"), vec![]));
        }
        if dtype == DType::Bool {
            return self.fail(Error::new("iota", "masks do not count", vec![]));
        }
        self.push(Op::Iota { axis }, &[], shape, dtype)
    }

    /// Reports the first mistake of tracing, if there was one.
    ///
    /// # Errors
    /// The first operation that did not fit, with its operands and the line it was written on.
    pub fn check(&self) -> Result<()> {
        match &*self.error.borrow() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// Refuses values that are not this graph's, or that could not be traced.
    pub(crate) fn owns<'a, 'g: 'a>(&self, operation: &str, vars: impl IntoIterator<Item = &'a Var<'g>>) -> Result<()> {
        for var in vars {
            if !std::ptr::eq(self, var.graph) {
                return Err(Error::new(operation, DIFFERENT_GRAPHS, vec![var.operand()]));
            }
            if var.is_poison() {
                return Err(Error::new(operation, "a value could not be traced", vec![var.operand()]));
            }
        }
        Ok(())
    }

    #[track_caller]
    pub(crate) fn push(&self, op: Op, inputs: &[NodeId], shape: Shape, dtype: DType) -> Var<'_> {
        if inputs.contains(&POISON) {
            return Var { graph: self, id: POISON };
        }
        if shape.checked_elements().is_none() {
            let operands = inputs.iter().map(|&id| self.operand(id)).collect();
            return self.fail(Error::new(op.name(), format!("the result {shape} has too many elements"), operands));
        }
        let mut nodes = self.nodes.borrow_mut();
        let id = NodeId(nodes.len() as u32);
        nodes.push(Node {
            op,
            inputs: inputs.to_vec(),
            shape,
            dtype,
            scope: self.scope.borrow().clone(),
            name: None,
            pass: self.pass.get(),
        });
        Var { graph: self, id }
    }

    /// Remembers the first mistake and hands out a value that swallows what is done to it.
    #[track_caller]
    pub(crate) fn fail(&self, error: Error) -> Var<'_> {
        let mut slot = self.error.borrow_mut();
        if slot.is_none() {
            *slot = Some(error.at(Location::caller()));
        }
        Var { graph: self, id: POISON }
    }

    /// Runs `build` with new nodes belonging to the place of `node` and to a transformation.
    pub(crate) fn on_behalf_of<R>(&self, node: &Node, pass: Pass, build: impl FnOnce() -> R) -> R {
        let outer_scope = self.scope.replace(node.scope.clone());
        let outer_pass = self.pass.replace(pass);
        let result = build();
        self.scope.replace(outer_scope);
        self.pass.set(outer_pass);
        result
    }

    pub(crate) fn operand(&self, id: NodeId) -> Operand {
        match self.nodes.borrow().get(id.index()) {
            Some(node) => Operand { name: describe(node, id), dtype: node.dtype, shape: node.shape.clone() },
            None => Operand { name: "(invalid)".into(), dtype: DType::F32, shape: Shape::default() },
        }
    }

    pub(crate) fn var(&self, id: NodeId) -> Var<'_> {
        Var { graph: self, id }
    }

    pub(crate) fn nodes(&self) -> std::cell::Ref<'_, Vec<Node>> {
        self.nodes.borrow()
    }

    pub(crate) fn inputs(&self) -> std::cell::Ref<'_, Vec<Input>> {
        self.inputs.borrow()
    }

    fn set_name(&self, id: NodeId, name: &str) {
        if let Some(node) = self.nodes.borrow_mut().get_mut(id.index()) {
            node.name = Some(name.into());
        }
    }
}

/// A value's name, or what it is and where.
fn describe(node: &Node, id: NodeId) -> String {
    let place = if node.scope.is_empty() { String::new() } else { format!(" in {}", node.scope) };
    match &node.name {
        Some(name) => format!("{name}{place}"),
        None => format!("{} %{}{place}", node.op.name(), id.0),
    }
}

impl<'g> Var<'g> {
    /// The graph this value belongs to.
    pub fn graph(self) -> &'g Graph {
        self.graph
    }

    /// The node this value is.
    pub fn id(self) -> NodeId {
        self.id
    }

    /// The shape; `[]` for a value that could not be traced.
    pub fn shape(self) -> Shape {
        self.graph.nodes.borrow().get(self.id.index()).map(|node| node.shape.clone()).unwrap_or_default()
    }

    /// The element type.
    pub fn dtype(self) -> DType {
        self.graph.nodes.borrow().get(self.id.index()).map_or(DType::F32, |node| node.dtype)
    }

    /// Gives the value a name, which errors then use.
    pub fn named(self, name: &str) -> Var<'g> {
        self.graph.set_name(self.id, name);
        self
    }

    /// Whether both values can be operands of one operation; values of two graphs are a mistake that is remembered.
    #[track_caller]
    pub(crate) fn meets(self, operation: &str, other: Var<'g>) -> bool {
        let together = std::ptr::eq(self.graph, other.graph);
        if !together {
            self.graph.fail(Error::new(operation, DIFFERENT_GRAPHS, vec![self.operand(), other.operand()]));
        }
        together && !self.is_poison() && !other.is_poison()
    }

    pub(crate) fn is_poison(self) -> bool {
        self.id == POISON
    }

    pub(crate) fn operand(self) -> Operand {
        self.graph.operand(self.id)
    }
}

impl fmt::Debug for Var<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operand = self.operand();
        write!(f, "{} {} {}", operand.name, operand.dtype, operand.shape)
    }
}
