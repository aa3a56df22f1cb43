//! Networks for use: norms whose statistics are constants become part of the layers before them.

use crate::batch::Batch;
use crate::config::{NormMode, WeightNorm};
use crate::network::{Network, State, Tracing};
use crate::nn::{Context, Model, NormSettings, Reads, Targets};
use crate::runner::{Build, Feed, Runner};
use crate::{Error, Result};
use evenkeel_graph::op::{Binary, Op};
use evenkeel_graph::{Graph, NodeId, Tensor, Var};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

/// Norms that are folded away, by path, and the bias that stands in the place of each: none where the layer before has its own.
pub(crate) type Folds = BTreeMap<String, Option<String>>;

/// A norm with running statistics, which are constants: y = scale · x + shift for each channel.
#[derive(Clone, Debug)]
pub(crate) struct ConstantNorm<'g> {
    /// Where it is.
    pub(crate) path: String,
    /// x
    pub(crate) input: Var<'g>,
    /// The scale, where it is not 1, and the shift; nothing where it is no such map.
    pub(crate) map: Option<(Option<Var<'g>>, Var<'g>)>,
}

/// The network as it is used in norm mode [`NormMode::Running`], without its norms: each is folded into the weights and the bias of the
/// linear layer or convolution before it. Batch, mean-only, l1, l2 and linf normalization are; weights that are made of others
/// are merged on the way ([`merge_weights`](super::merge_weights)). Layers that look at one sample alone have no constants to fold and stay.
///
/// W ← W · a and b ← a · (b − μ) + β, with a = γ / √(σ² + ε) for batch normalization. What the folded network computes is the same
/// but for rounding. A layer without a bias gets one, called as its weight is.
///
/// The layer before a norm is what the graph says: its output must go into the norm and nowhere else, and its weights into
/// the layer.
///
/// # Errors
/// The first norm that has no such layer before it, or that is no linear map of it (improved group normalization), by path: a norm
/// at the input, after an activation, after a sum. What stands before a convolution is never folded into that: a shift does not
/// pass the zeros around an image.
///
/// Source: Ioffe, Szegedy 2015, arXiv 1502.03167, section 3.1: the composition is a single linear transform.
pub fn fold(network: &Network, state: &State) -> Result<(Network, State)> {
    let graph = Graph::new();
    let traced = network.trace(&graph, Tracing::quiet(Fed::SAMPLES, NormMode::Running))?;
    let made = traced.cx.made_weights();
    let weights = traced.cx.parameters().into_iter().map(|(info, var)| (info.path, var));
    let weights: Vec<(String, Var<'_>)> =
        weights.chain(made.iter().map(|made| (made.path.clone(), made.value))).collect();
    let uses = Uses::of(&graph, traced.logits);
    let mut values: Vec<(String, Var<'_>)> = made.into_iter().map(|made| (made.path, made.value)).collect();
    let mut folds = Folds::new();
    for norm in traced.cx.constant_norms() {
        let layer = uses.layer_before(&norm, &weights)?;
        let Some((scale, shift)) = norm.map else { continue };
        let scaled = |value| scale.map_or(value, |scale| value * scale);
        let (weight_path, weight) = layer.weight;
        values.retain(|(path, _)| *path != weight_path);
        let own = layer.bias.as_ref().map(|(path, _)| path.clone());
        let bias = own.clone().unwrap_or_else(|| bias_of(&weight_path));
        values.push((bias.clone(), layer.bias.map_or(shift, |(_, bias)| scaled(bias) + shift)));
        values.push((weight_path, scaled(weight)));
        folds.insert(norm.path, own.is_none().then_some(bias));
    }
    let values = Fed::new(network, state).values(&graph, &values)?;
    let plain = NormSettings { weights: WeightNorm::None, ..network.norm_settings() };
    remade(network, state, folds, plain, values)
}

/// `conv1.bias` for `conv1.weight`.
fn bias_of(weight: &str) -> String {
    match weight.strip_suffix("weight") {
        Some(layer) => format!("{layer}bias"),
        None => format!("{weight}_bias"),
    }
}

/// A network with some norms folded away.
struct Folded {
    model: Rc<dyn Model>,
    folds: Rc<Folds>,
}

impl Model for Folded {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        cx.fold(&self.folds);
        self.model.forward(cx, x)
    }

    fn reads(&self) -> Reads {
        self.model.reads()
    }

    fn targets(&self) -> Targets {
        self.model.targets()
    }
}

/// The network with folded norms and other settings, and its state: some new values, the others as they were.
pub(super) fn remade(
    network: &Network,
    state: &State,
    folds: Folds,
    settings: NormSettings,
    mut values: BTreeMap<String, Tensor>,
) -> Result<(Network, State)> {
    let model = Folded { model: network.model(), folds: Rc::new(folds) };
    let new = network.with_model(Box::new(model), settings)?;
    let missing = |path: &str| Error::input("the network asks for another parameter than before").detail("layer", path);
    let mut take =
        |path: &str, old: Option<&Tensor>| values.remove(path).or_else(|| old.cloned()).ok_or_else(|| missing(path));
    let old = |path: &str| network.parameters().iter().position(|info| info.path == path);
    let parameters =
        new.parameters().iter().map(|info| take(&info.path, old(&info.path).and_then(|at| state.parameters.get(at))));
    let parameters = parameters.collect::<Result<Vec<_>>>()?;
    let old = |path: &str| network.buffers().iter().position(|info| info.path == path);
    let buffers =
        new.buffers().iter().map(|info| take(&info.path, old(&info.path).and_then(|at| state.buffers.get(at))));
    let buffers = buffers.collect::<Result<Vec<_>>>()?;
    Ok((new, State { parameters, buffers }))
}

/// What programs over parameters and buffers alone are fed.
pub(super) struct Fed<'a> {
    state: &'a State,
    blank: Batch,
}

impl<'a> Fed<'a> {
    /// Samples that networks are traced for where none matters; one alone would have no statistics.
    pub(super) const SAMPLES: usize = 2;

    pub(super) fn new(network: &Network, state: &'a State) -> Self {
        Fed { state, blank: network.blank(Self::SAMPLES) }
    }

    /// Named values of a traced network.
    pub(super) fn values(&self, graph: &Graph, outputs: &[(String, Var<'_>)]) -> Result<BTreeMap<String, Tensor>> {
        if outputs.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut runner = Runner::new(graph, outputs, &Build::default())?;
        let mut found = runner.new_outputs();
        let feed = Feed { parameters: &self.state.parameters, buffers: &self.state.buffers, ..Feed::of(&self.blank) };
        runner.run(&feed, &mut found)?;
        Ok(outputs.iter().map(|(path, _)| path.clone()).zip(found).collect())
    }
}

/// A linear layer or convolution: its weight, and its bias where it has one, with their paths.
struct Layer<'g> {
    weight: (String, Var<'g>),
    bias: Option<(String, Var<'g>)>,
}

/// How often each value is read on the way to the logits.
struct Uses<'g> {
    graph: &'g Graph,
    counts: HashMap<NodeId, usize>,
}

impl<'g> Uses<'g> {
    fn of(graph: &'g Graph, logits: Var<'g>) -> Self {
        let mut counts = HashMap::from([(logits.id(), 1)]);
        let mut open = vec![logits.id()];
        while let Some(node) = open.pop().and_then(|id| graph.node(id)) {
            for input in node.inputs {
                let count = counts.entry(input).or_insert(0);
                *count += 1;
                if *count == 1 {
                    open.push(input);
                }
            }
        }
        Uses { graph, counts }
    }

    fn once(&self, id: NodeId) -> bool {
        self.counts.get(&id) == Some(&1)
    }

    /// The layer whose output the norm takes.
    fn layer_before(&self, norm: &ConstantNorm<'g>, weights: &[(String, Var<'g>)]) -> Result<Layer<'g>> {
        let refusal = |why: &str| {
            Error::input("a norm cannot be folded into the layer before it")
                .detail("layer", &norm.path)
                .detail("got", why)
        };
        if norm.map.is_none() {
            return Err(refusal("a norm that takes statistics of each sample as well")
                .hint("use `--norm batch` for networks to fold"));
        }
        let named = |id: NodeId| weights.iter().find(|(_, var)| var.id() == id).cloned();
        let channels = norm.input.shape().last().copied();
        let mut bias = None;
        let mut at = norm.input.id();
        loop {
            if !self.once(at) {
                return Err(refusal("an output that is read elsewhere, too"));
            }
            let Some(node) = self.graph.node(at) else { return Err(refusal("a value of another graph")) };
            match node.op {
                Op::Reshape
                    if self.graph.node(node.inputs[0]).is_some_and(|from| from.shape.last().copied() == channels) =>
                {
                    at = node.inputs[0];
                }
                Op::Binary(Binary::Add) if bias.is_none() => {
                    let repeated = self.graph.node(node.inputs[1]).filter(
                        |node| matches!(&node.op, Op::Broadcast { axes } if axes[..] == [node.shape.len() - 1]),
                    );
                    bias = repeated.and_then(|node| named(node.inputs[0])).filter(|(_, bias)| self.once(bias.id()));
                    if bias.is_none() {
                        return Err(refusal("a sum that is no layer's with its bias"));
                    }
                    at = node.inputs[0];
                }
                Op::Conv(_) | Op::MatMul { transpose_lhs: false, transpose_rhs: false } => {
                    let weight = named(node.inputs[1]).filter(|(_, weight)| self.once(weight.id()));
                    let weight = weight.ok_or_else(|| refusal("a product whose weights are used elsewhere, too"))?;
                    return Ok(Layer { weight, bias });
                }
                op => {
                    let what = format!("{} in the place of a linear layer or a convolution", op.name());
                    return Err(refusal(&what).hint("norms fold where they follow such a layer directly"));
                }
            }
        }
    }
}
