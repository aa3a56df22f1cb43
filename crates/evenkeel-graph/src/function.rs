//! A finished program: what an executor compiles.

use crate::error::{Error, Result};
use crate::graph::{Graph, Node, NodeId, Var};
use crate::op::{Constant, Op};
use crate::shape::{DType, Shape};
use crate::simplify;
use std::fmt;

/// What a program is given at each run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputInfo {
    /// The name it was traced with.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// Its element type.
    pub dtype: DType,
}

/// A pure function: inputs, simplified nodes in an order they can be computed in, named outputs.
#[derive(Clone, Debug)]
pub struct Function {
    pub(crate) nodes: Vec<Node>,
    pub(crate) inputs: Vec<InputInfo>,
    pub(crate) outputs: Vec<(String, NodeId)>,
}

impl Graph {
    /// Extracts what the outputs need, simplified (constant folding, common subexpressions, dead code).
    ///
    /// The function takes every input of the graph in the order they were made, used or not, so that its signature does
    /// not depend on what simplification finds.
    ///
    /// # Errors
    /// The first mistake of tracing, or an output of another graph.
    pub fn function(&self, outputs: &[(&str, Var<'_>)]) -> Result<Function> {
        self.check()?;
        self.owns("function", outputs.iter().map(|(_, var)| var))?;
        let roots: Vec<NodeId> = outputs.iter().map(|(_, var)| var.id()).collect();
        let (nodes, roots) = simplify::simplify(&self.nodes(), &roots);
        let inputs = self
            .inputs()
            .iter()
            .filter_map(|input| {
                let node = self.node(input.node)?;
                Some(InputInfo { name: input.name.clone(), shape: node.shape, dtype: node.dtype })
            })
            .collect();
        let outputs = outputs.iter().zip(roots).map(|((name, _), id)| ((*name).to_string(), id)).collect();
        Ok(Function { nodes, inputs, outputs })
    }

    /// Appends a function applied to values of this graph; gives back its outputs in order.
    ///
    /// # Errors
    /// When tracing had failed before, or the values are not shaped as the function's inputs.
    pub fn call<'g>(&'g self, function: &Function, inputs: &[Var<'g>]) -> Result<Vec<Var<'g>>> {
        self.check()?;
        self.owns("call", inputs)?;
        let fits = |(info, var): (&InputInfo, &Var<'_>)| info.shape == var.shape() && info.dtype == var.dtype();
        if inputs.len() != function.inputs.len() || !function.inputs.iter().zip(inputs).all(fits) {
            let expected: Vec<String> =
                function.inputs.iter().map(|info| format!("{} {} {}", info.name, info.dtype, info.shape)).collect();
            let problem = format!("the function takes {}", expected.join(", "));
            return Err(Error::new("call", problem, inputs.iter().map(|var| var.operand()).collect()));
        }
        let mut values: Vec<Var<'g>> = Vec::with_capacity(function.nodes.len());
        for node in &function.nodes {
            values.push(match node.op {
                Op::Input(input) => inputs[input],
                _ => self.on_behalf_of(node, node.pass, || {
                    let operands: Vec<NodeId> = node.inputs.iter().map(|id| values[id.index()].id()).collect();
                    self.push(node.op.clone(), &operands, node.shape.clone(), node.dtype)
                }),
            });
        }
        self.check()?;
        Ok(function.outputs.iter().map(|(_, id)| values[id.index()]).collect())
    }
}

impl Function {
    /// The function with `count` values, along a new leading axis, of each input that `over` chooses; every output has the
    /// axis, too. See [`Graph::map`].
    ///
    /// # Errors
    /// When `over` chooses no input, or `count` is 0.
    pub fn map(&self, count: usize, over: impl Fn(&InputInfo) -> bool) -> Result<Function> {
        let graph = Graph::new();
        let (mut inputs, mut single, mut stacked) = (vec![], vec![], vec![]);
        for info in &self.inputs {
            if over(info) {
                let shape: Vec<usize> = std::iter::once(count).chain(info.shape.iter().copied()).collect();
                stacked.push(graph.input(&info.name, shape, info.dtype));
                // Stands for one value of the stack; nothing reads it in the end.
                let placeholder = graph.splat(0.0, &info.shape, info.dtype);
                single.push(placeholder);
                inputs.push(placeholder);
            } else {
                inputs.push(graph.input(&info.name, &info.shape, info.dtype));
            }
        }
        let outputs = graph.call(self, &inputs)?;
        let outputs = graph.map(&outputs, &single, &stacked)?;
        let named: Vec<(&str, Var<'_>)> =
            self.outputs.iter().map(|(name, _)| name.as_str()).zip(outputs.iter().copied()).collect();
        graph.function(&named)
    }

    /// The nodes, operands before their users.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// What the function is given.
    pub fn inputs(&self) -> &[InputInfo] {
        &self.inputs
    }

    /// What it gives back: names and the nodes that hold the values.
    pub fn outputs(&self) -> &[(String, NodeId)] {
        &self.outputs
    }

    /// Floating-point operations of all products and convolutions, a multiply-add counted as two.
    pub fn flops(&self) -> u64 {
        (0..self.nodes.len()).map(|node| self.node_flops(node)).fold(0, u64::saturating_add)
    }

    /// Those of one node: 0 where it is neither a product nor a convolution.
    pub fn node_flops(&self, node: usize) -> u64 {
        let node = &self.nodes[node];
        match &node.op {
            Op::Conv(geometry) | Op::ConvInputGradient(geometry) | Op::ConvWeightGradient(geometry) => geometry.flops(),
            &Op::MatMul { transpose_lhs, .. } => {
                let lhs = &self.nodes[node.inputs[0].index()].shape;
                let inner = lhs[lhs.len() - if transpose_lhs { 2 } else { 1 }];
                2 * (node.shape.elements() as u64).saturating_mul(inner as u64)
            }
            _ => 0,
        }
    }

    /// The position of an input by name.
    pub fn input_index(&self, name: &str) -> Option<usize> {
        self.inputs.iter().position(|input| input.name == name)
    }

    /// The position of an output by name.
    pub fn output_index(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|(output, _)| output == name)
    }
}

/// One line a node: `%3 = multiply(%1, %2) f32 [128, 10] in head`.
impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, node) in self.nodes.iter().enumerate() {
            let operands: Vec<String> = node.inputs.iter().map(|id| format!("%{}", id.0)).collect();
            write!(f, "%{index} = {}({}) {} {}", node.op.name(), operands.join(", "), node.dtype, node.shape)?;
            match &node.op {
                Op::Constant(Constant::Splat(value)) => write!(f, " = {value}")?,
                Op::Input(input) => write!(f, " = {}", self.inputs[*input].name)?,
                _ => {}
            }
            writeln!(f, "{}{}", if node.scope.is_empty() { "" } else { " in " }, node.scope)?;
        }
        for (name, id) in &self.outputs {
            writeln!(f, "{name} <- %{}", id.0)?;
        }
        Ok(())
    }
}
