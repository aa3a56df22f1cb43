//! Recurrent networks over texts and over the rows of images.

use crate::nn::{Context, Model, Reads};
use evenkeel_graph::Var;

/// Which recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cell {
    /// See [`Context::gru`].
    Gru,
    /// See [`Context::lstm`].
    Lstm,
}

/// A language model: from the tokens up to each position, logits for the next one.
///
/// `tokens` (learned vectors), recurrent layers `rnn1`, `rnn2`, .. from states of zeros, `head` at every position. Taps: the outputs
/// of each layer, `[N, T, width]`.
///
/// Input `[N, T]`, output `[N, T, vocabulary]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recurrent {
    /// The layers' kind.
    pub cell: Cell,
    /// Channels of a token.
    pub embedding: usize,
    /// Widths of the recurrent layers.
    pub widths: Vec<usize>,
    /// How many tokens there are.
    pub vocabulary: usize,
}

/// A classifier that reads an image row by row: recurrent layers `rnn1`, .. over rows, and `head` from the last output.
///
/// Input `[N, H, W, C]`, H positions of W · C channels, or `[N, T, C]`; output `[N, classes]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowRecurrent {
    /// The layers' kind.
    pub cell: Cell,
    /// Widths of the recurrent layers.
    pub widths: Vec<usize>,
    /// Outputs.
    pub classes: usize,
}

impl Model for Recurrent {
    fn forward<'g>(&self, cx: &Context<'g>, tokens: Var<'g>) -> Var<'g> {
        // Vectors as long on average as those of GRU and LSTM outputs at most: of order one a token.
        let deviation = 1.0 / (self.embedding.max(1) as f64).sqrt();
        let x = cx.embedding("tokens", tokens, self.vocabulary, self.embedding, deviation);
        cx.head_last("head", layers(cx, self.cell, &self.widths, x), self.vocabulary)
    }

    fn reads(&self) -> Reads {
        Reads::Tokens
    }
}

impl Model for RowRecurrent {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let shape = x.shape();
        let (&[samples, positions, ..], true) = (&shape[..], shape.len() > 2 && shape[1] > 0) else {
            cx.fail(
                crate::Error::input("a recurrent network needs images, or samples [T, C] of at least one position")
                    .detail("got", shape),
            );
            return x;
        };
        let rows = x.reshape([samples, positions, shape[2..].iter().product()]);
        cx.head("head", layers(cx, self.cell, &self.widths, rows).at(1, positions - 1), self.classes)
    }
}

/// Recurrent layers on top of each other.
fn layers<'g>(cx: &Context<'g>, cell: Cell, widths: &[usize], mut x: Var<'g>) -> Var<'g> {
    for (number, &width) in (1..).zip(widths) {
        let name = format!("rnn{number}");
        x = match cell {
            Cell::Gru => cx.gru(&name, x, width),
            Cell::Lstm => cx.lstm(&name, x, width),
        };
        x = cx.tap(&name, x);
    }
    x
}
