//! Recurrent layers, unrolled in time.

use super::{Context, Initial};
use crate::Error;
use evenkeel_graph::Var;

impl<'g> Context<'g> {
    /// A gated recurrent unit over time: states of every position, from a state of zeros.
    ///
    /// With r, z, n from the columns of `weight_ih` `[C, 3 H]`, `bias_ih`, `weight_hh` `[H, 3 H]` and `bias_hh`, in this order:
    ///
    /// r = σ(xᵣ + hᵣ), z = σ(x_z + h_z), n = tanh(xₙ + r ⊙ hₙ), h ← (1 − z) ⊙ n + z ⊙ h
    ///
    /// * input `[N, T, C]`, output `[N, T, hidden]`
    /// * cost: one product for all inputs, then one a position
    ///
    /// Source: Cho et al. 2014, arXiv 1406.1078, with the reset gate after the product, as cuDNN and PyTorch have it.
    pub fn gru(&self, name: &str, x: Var<'g>, hidden: usize) -> Var<'g> {
        let start = |zeros: Var<'g>| [zeros];
        self.recurrent(name, x, hidden, 3, start, |inputs, states, [h]| {
            let (x, s) = (inputs.split(1, 3), states.split(1, 3));
            let (reset, keep) = ((x[0] + s[0]).sigmoid(), (x[1] + s[1]).sigmoid());
            let new = (x[2] + reset * s[2]).tanh();
            [new + keep * (h - new)]
        })
    }

    /// Long short-term memory over time: outputs of every position, from a state and a memory of zeros.
    ///
    /// With i, f, g, o from the columns of `weight_ih` `[C, 4 H]`, `bias_ih`, `weight_hh` `[H, 4 H]` and `bias_hh`, in this
    /// order, each x + h:
    ///
    /// c ← σ(f) ⊙ c + σ(i) ⊙ tanh(g), h ← σ(o) ⊙ tanh(c)
    ///
    /// * input `[N, T, C]`, output `[N, T, hidden]`
    /// * cost: one product for all inputs, then one a position
    ///
    /// Source: Hochreiter, Schmidhuber 1997, with the forget gate of Gers et al. 2000; gates in PyTorch's order.
    pub fn lstm(&self, name: &str, x: Var<'g>, hidden: usize) -> Var<'g> {
        let start = |zeros: Var<'g>| [zeros, zeros];
        self.recurrent(name, x, hidden, 4, start, |inputs, states, [_, memory]| {
            let gates = (inputs + states).split(1, 4);
            let memory = gates[1].sigmoid() * memory + gates[0].sigmoid() * gates[2].tanh();
            [gates[3].sigmoid() * memory.tanh(), memory]
        })
    }

    /// Unrolls a cell: from the linear maps of an input and of the last output, and the last state, to the next state, whose
    /// first part is the output.
    fn recurrent<const PARTS: usize>(
        &self,
        name: &str,
        x: Var<'g>,
        hidden: usize,
        gates: usize,
        start: impl FnOnce(Var<'g>) -> [Var<'g>; PARTS],
        cell: impl Fn(Var<'g>, Var<'g>, [Var<'g>; PARTS]) -> [Var<'g>; PARTS],
    ) -> Var<'g> {
        let _scope = self.scope(name);
        let &[samples, positions, channels] = &x.shape()[..] else {
            self.fail(Error::input("a recurrent layer needs activations [N, T, C]").detail("got", x.shape()));
            return x;
        };
        let width = gates * hidden;
        let weight = |name: &str, inputs: usize| {
            self.weight(name, [inputs, width], Initial::Recurrent { fan_in: inputs, hidden })
        };
        let (weight_ih, weight_hh) = (weight("weight_ih", channels), weight("weight_hh", hidden));
        let bias = |name: &str| self.param(name, [width], Initial::Bias { fan_in: hidden });
        let (bias_ih, bias_hh) = (bias("bias_ih"), bias("bias_hh"));
        let inputs = x.reshape([samples * positions, channels]).matmul(weight_ih) + bias_ih;
        let inputs = inputs.reshape([samples, positions, width]);
        let mut state = start(self.graph().splat(0.0, [samples, hidden], x.dtype()));
        let mut outputs = Vec::with_capacity(positions);
        for position in 0..positions {
            let states = state[0].matmul(weight_hh) + bias_hh;
            state = cell(inputs.at(1, position), states, state);
            outputs.push(state[0].reshape([samples, 1, hidden]));
        }
        if outputs.is_empty() {
            return self.graph().splat(0.0, [samples, 0, hidden], x.dtype());
        }
        self.graph().concat(&outputs, 1)
    }
}
