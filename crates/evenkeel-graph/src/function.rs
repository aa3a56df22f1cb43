//! A finished program: what an executor compiles.

use crate::error::Result;
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
    /// The first mistake of tracing.
    pub fn function(&self, outputs: &[(&str, Var<'_>)]) -> Result<Function> {
        self.check()?;
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
}

impl Function {
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
        let flops = |node: &Node| match &node.op {
            Op::Conv(geometry) | Op::ConvInputGradient(geometry) | Op::ConvWeightGradient(geometry) => geometry.flops(),
            &Op::MatMul { transpose_lhs, .. } => {
                let lhs = &self.nodes[node.inputs[0].index()].shape;
                let inner = lhs[lhs.len() - if transpose_lhs { 2 } else { 1 }];
                2 * (node.shape.elements() as u64).saturating_mul(inner as u64)
            }
            _ => 0,
        };
        self.nodes.iter().map(flops).fold(0, u64::saturating_add)
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
