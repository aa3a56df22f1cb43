//! What a choice means: one operation on earlier values, with their numbers kept tame.

use super::{Choice, Draw, Kind, Value, Written, extents};
use evenkeel_graph::{DType, Graph, Tensor, Var};

impl<'g> Written<'g> {
    /// Writes one operation.
    pub(super) fn step(&mut self, graph: &'g Graph, choice: Choice) {
        let a = self.value(choice[1]);
        match choice[0] % 20 {
            0 => self.function(a, choice[3]),
            1 | 2 => {
                let b = self.partner(graph, a, choice);
                self.arithmetic(a, b, choice[3]);
            }
            3 if self.style.kind == Kind::Any => {
                let b = self.partner(graph, a, choice);
                self.choose(graph, a, b, choice[3]);
            }
            4 if self.style.kind == Kind::Any => self.through_another_type(a, choice[3]),
            5 => self.transpose(a, choice[3]),
            6 => self.reshape(a, choice[3]),
            7 => self.broadcast(a, choice),
            8 | 9 => self.reduce(a, choice),
            10 => self.rows(graph, a, choice[3]),
            11 | 12 => self.product(graph, a, choice),
            13 if !self.style.wild => self.convolution(graph, a, choice),
            14 if !self.style.wild => self.window(a, choice),
            15 => self.leaf(graph, choice),
            16 => self.slice(a, choice),
            17 => self.pad(a, choice),
            18 => self.join(graph, a, choice),
            19 => self.look_up(graph, a, choice),
            _ => self.function(a, choice[3].wrapping_add(7)),
        }
    }

    /// A function of each element.
    fn function(&mut self, a: Value<'g>, which: u8) {
        let (x, reach) = (a.var, a.reach);
        let rough = if self.style.kind == Kind::Smooth { 0 } else { 4 };
        if self.style.wild {
            // Nothing here tells the two zeros apart: their sign is not kept.
            let y = match which % 8 {
                0 => x.log(),
                1 => x.sqrt(),
                2 => x.abs().rsqrt(),
                3 => x.exp(),
                4 => x.log1p(),
                5 => x.abs().power(-1.5),
                6 => x.sign(),
                _ => x.relu(),
            };
            return self.keep(y, reach);
        }
        let (y, reach) = match which % (19 + rough) {
            0 => (x.tanh(), 1.0),
            1 => (-x, reach),
            2 => (x.sigmoid(), 1.0),
            3 => (x.sin(), 1.0),
            4 => (x.cos(), 1.0),
            5 => (x.erf(), 1.0),
            6 => ((x * (2.0 / reach)).exp(), 8.0),
            7 => ((x * (2.0 / reach)).expm1(), 7.0),
            8 => ((x.square() + 0.5).log(), (reach * reach + 0.5).ln().max(0.7)),
            9 => (x.square().log1p(), (reach * reach).ln_1p()),
            10 => ((x.square() + 0.5).sqrt(), reach + 1.0),
            11 => ((x.square() + 0.5).rsqrt(), 1.5),
            12 => ((x.square() + 0.5).power(0.75), reach * reach + 1.0),
            13 => ((x.sin() + 1.5).power(-1.5), 3.0),
            14 => (x.power(3.0), reach.powi(3)),
            15 => (x.gelu(), reach),
            16 => (x.square(), reach * reach),
            17 => (x * 0.5 + 1.0, reach + 1.0),
            18 => (x.power(2.0) - x.power(1.0), reach * reach + reach),
            19 => (x.abs(), reach),
            20 => (x.relu(), reach),
            21 => (x.minimum(x.like(0.5)), reach),
            _ if self.style.kind == Kind::Any => (x.sign(), 1.0),
            _ => ((x.abs() + 0.25).sqrt() * x, reach * reach + reach),
        };
        self.keep(y, reach);
    }

    /// Arithmetic of two values.
    fn arithmetic(&mut self, a: Value<'g>, b: Value<'g>, which: u8) {
        let (x, y) = (a.var, b.var);
        let (result, reach) = match which % if self.style.kind == Kind::Smooth { 6 } else { 8 } {
            0 => (x + y, a.reach + b.reach),
            1 => (x * y, a.reach * b.reach),
            2 => (x - y, a.reach + b.reach),
            3 if self.style.wild => (x / y.abs(), a.reach),
            3 => (x / (y.square() + 0.5), 2.0 * a.reach),
            4 => (x * 2.0 - y.square(), 2.0 * a.reach + b.reach * b.reach),
            5 if self.style.wild => (x.abs().raised_to(y), a.reach),
            5 => ((x.square() + 0.5).raised_to(y / b.reach), 2.0 + a.reach * a.reach),
            6 => (x.maximum(y), a.reach.max(b.reach)),
            _ => (x.minimum(y), a.reach.max(b.reach)),
        };
        self.keep(result, reach);
    }

    /// Masks, and what is chosen by them.
    fn choose(&mut self, graph: &'g Graph, a: Value<'g>, b: Value<'g>, which: u8) {
        let (x, y) = (a.var, b.var);
        let dtype = self.style.dtype;
        let reach = a.reach.max(b.reach);
        let (result, reach) = match which % 9 {
            0 => (x.greater(y).select(x, y * 0.5), reach),
            1 => (x.less(y).cast(dtype) * y, b.reach),
            2 => {
                let (one, two) = (x.greater(y), y.less(y.like(0.25)));
                (one.select(two, one.equal(two)).cast(dtype), 1.0)
            }
            3 => (x.equal(y).select(y, x), reach),
            4 => {
                let (i, j) = ((x * 3.0).cast(DType::I32), (y * 2.0).cast(DType::I32));
                ((i * j - i.maximum(-j)).cast(dtype) * x, a.reach * (8.0 * a.reach * b.reach + 8.0 * reach))
            }
            5 => (x.greater_or_equal(y).select(y, x.like(-0.5)), reach.max(0.5)),
            6 => {
                let (one, two) = (x.less_or_equal(y), x.not_equal(y.cast(DType::I32).cast(dtype)));
                (one.not_equal(two).select(x * 0.5, y), reach)
            }
            7 => {
                let (i, j) = (x.cast(DType::I32), y.cast(DType::I32));
                (i.less_or_equal(j).cast(dtype) - i.not_equal(j).cast(dtype) + j.greater_or_equal(-i).cast(dtype), 2.0)
            }
            _ => {
                let (shape, rank) = (x.shape(), x.shape().len());
                if rank == 0 || shape[rank - 1] == 0 {
                    return self.keep(x.greater(x.like(0.0)).select(x, x.sin()), a.reach);
                }
                let columns = shape[rank - 1];
                let labels = self.input(graph, &shape[..rank - 1], DType::I32, Draw::Labels(columns));
                let kept = [&shape[..rank - 1], &[1]].concat();
                let picked = graph.iota(&shape, rank - 1, DType::I32).equal(labels.reshape(kept));
                (picked.select(x, x.like(0.0)), a.reach)
            }
        };
        self.keep(result, reach);
    }

    /// To another type and back.
    fn through_another_type(&mut self, a: Value<'g>, which: u8) {
        let dtype = self.style.dtype;
        let other = if dtype == DType::F64 { DType::F32 } else { DType::F64 };
        let x = a.var;
        let backwards: Vec<usize> = (0..x.shape().len()).collect();
        let result = match which % 8 {
            0 => x.cast(DType::I32).cast(dtype),
            1 => x.cast(DType::Bool).cast(dtype),
            2 => x.cast(other).tanh().cast(dtype) + x,
            3 => x.cast(DType::I32).cast(DType::Bool).cast(other).cast(dtype) - x,
            4 => (-(x * 2.0).cast(DType::I32).abs()).cast(dtype),
            // Movements are the same for every type.
            5 => (x * 2.0).cast(DType::I32).reverse(&backwards).cast(dtype),
            6 => x.greater(x.like(0.0)).reverse(&backwards).cast(dtype),
            _ => x.cast(other).reverse(&backwards).cast(dtype),
        };
        self.keep(result, 2.0 * a.reach + 1.0);
    }

    fn transpose(&mut self, a: Value<'g>, which: u8) {
        let rank = a.var.shape().len();
        let mut rest: Vec<usize> = (0..rank).rev().collect();
        let mut code = usize::from(which);
        let permutation: Vec<usize> = (0..rank)
            .map(|_| {
                let place = code % rest.len();
                code /= rest.len();
                rest.remove(place)
            })
            .collect();
        self.keep(a.var.transpose(&permutation), a.reach);
    }

    fn reshape(&mut self, a: Value<'g>, which: u8) {
        let mut shape = a.var.shape().to_vec();
        let place = usize::from(which / 4) % (shape.len() + 1);
        match which % 4 {
            0 => shape = vec![shape.iter().product()],
            1 if shape.len() < 5 => shape.insert(place, 1),
            2 if place + 1 < shape.len() => {
                let extent = shape.remove(place);
                shape[place] *= extent;
            }
            3 if place < shape.len() && shape.len() < 5 => {
                let extent = shape[place];
                let divisor = (2..=extent).find(|divisor| extent.is_multiple_of(*divisor)).unwrap_or(1);
                shape[place] /= divisor;
                shape.insert(place, divisor);
            }
            _ => shape.retain(|&extent| extent != 1),
        }
        self.keep(a.var.reshape(shape), a.reach);
    }

    fn broadcast(&mut self, a: Value<'g>, choice: Choice) {
        let mut shape = a.var.shape().to_vec();
        let mut axes: Vec<usize> = (0..shape.len()).collect();
        for byte in &choice[3..4 + usize::from(choice[5] % 2)] {
            let extent = [2, 3, 1, 4, 0][usize::from(byte % 5)];
            if shape.len() < 5 && shape.iter().product::<usize>() * extent <= self.style.limit() {
                let place = usize::from(byte / 5) % (shape.len() + 1);
                shape.insert(place, extent);
                axes.iter_mut().filter(|axis| **axis >= place).for_each(|axis| *axis += 1);
            }
        }
        self.keep(a.var.broadcast_along(axes, &shape.into()), a.reach);
    }

    fn reduce(&mut self, a: Value<'g>, choice: Choice) {
        let shape = a.var.shape();
        let axes: Vec<usize> = (0..shape.len()).filter(|axis| choice[3] >> axis & 1 == 1).collect();
        let count: usize = axes.iter().map(|&axis| shape[axis]).product();
        match choice[4] % 3 {
            0 => self.keep(a.var.sum(&axes), a.reach * count as f64),
            1 if count > 0 && self.style.kind != Kind::Smooth => self.keep(a.var.max(&axes), a.reach),
            _ if count > 0 => self.keep(a.var.mean(&axes), a.reach),
            _ => self.keep(a.var.square().sum(&axes), a.reach * a.reach),
        }
    }

    /// Part of an axis, every so many places, forwards or backwards.
    fn slice(&mut self, a: Value<'g>, choice: Choice) {
        let shape = a.var.shape();
        if shape.is_empty() {
            return self.function(a, choice[3]);
        }
        let axis = usize::from(choice[3]) % shape.len();
        let start = usize::from(choice[4]) % (shape[axis] + 1);
        let end = shape[axis] - usize::from(choice[5]) % (shape[axis] - start + 1);
        let part = a.var.slice_along_by(axis, start..end, 1 + usize::from(choice[6] % 3));
        self.keep(if choice[7] % 2 == 1 { part.reverse(&[axis]) } else { part }, a.reach);
    }

    /// Zeros around and in between.
    fn pad(&mut self, a: Value<'g>, choice: Choice) {
        let mut margins = vec![[0, 0]; a.var.shape().len()];
        let mut gaps = vec![0; margins.len()];
        for (axis, (margin, gap)) in margins.iter_mut().zip(&mut gaps).enumerate() {
            if choice[3] >> axis & 1 == 1 {
                *margin = [usize::from(choice[4] % 3), usize::from(choice[5] % 3)];
                *gap = usize::from(choice[6] % 3);
            }
        }
        let grown: usize =
            a.var.shape().iter().zip(&margins).zip(&gaps).map(|((e, m), g)| e * (g + 1) + m[0] + m[1]).product();
        if grown <= 4 * self.style.limit() {
            self.keep(a.var.pad_with(&margins, &gaps), a.reach);
        }
    }

    /// Values one after the other: itself, what is like it, or a new one that is longer.
    fn join(&mut self, graph: &'g Graph, a: Value<'g>, choice: Choice) {
        let shape = a.var.shape();
        if shape.is_empty() || 3 * shape.elements() > self.style.limit() {
            return self.function(a, choice[3]);
        }
        let axis = usize::from(choice[3]) % shape.len();
        let other = self.value(choice[2]);
        let b =
            if other.var.shape().len() == shape.len() && other.var.shape().without(&[axis]) == shape.without(&[axis]) {
                other
            } else {
                let mut longer = shape.to_vec();
                longer[axis] += usize::from(choice[5] % 3);
                self.fresh(graph, longer)
            };
        let parts = [a.var, b.var, a.var];
        let count = 2 + usize::from(choice[4] % 2);
        self.keep(graph.concat(&parts[..count], axis), a.reach.max(b.reach));
    }

    /// Rows that labels name, or rows added where labels say.
    fn look_up(&mut self, graph: &'g Graph, a: Value<'g>, choice: Choice) {
        let shape = a.var.shape();
        if shape.is_empty() {
            return self.function(a, choice[3]);
        }
        let axis = usize::from(choice[3]) % shape.len();
        if choice[4] < 128 {
            let extents: &[usize] = [&[3][..], &[2, 2], &[], &[0]][usize::from(choice[5] % 4)];
            let labels = self.input(graph, extents, DType::I32, Draw::Labels(shape[axis]));
            let fits = shape.elements() * extents.iter().product::<usize>() <= 4 * self.style.limit();
            if fits && shape.len() + extents.len() <= 6 {
                self.keep(a.var.gather(axis, labels), a.reach);
            }
        } else {
            let extent = 1 + usize::from(choice[5] % 4);
            let labels = self.input(graph, [shape[axis]], DType::I32, Draw::Labels(extent));
            self.keep(a.var.scatter_add(axis, labels, extent), a.reach * shape[axis].max(1) as f64);
        }
    }

    /// Functions of whole rows.
    fn rows(&mut self, graph: &'g Graph, a: Value<'g>, which: u8) {
        let x = a.var;
        let columns = match x.shape().last() {
            Some(&columns) if columns > 0 => columns as f64,
            _ => return self.leaf(graph, [15, 0, 0, which, 0, 0, 1, 2]),
        };
        match which % if self.style.kind == Kind::Any { 4 } else { 3 } {
            0 => self.keep(x.log_sum_exp(), a.reach + columns.ln()),
            1 => self.keep(x.softmax(), 1.0),
            2 => self.keep(x.log_softmax(), 2.0 * a.reach + columns.ln()),
            _ => self.keep(x.argmax().cast(self.style.dtype), columns),
        }
    }

    /// A matrix product, with either side read transposed, or given transposed.
    fn product(&mut self, graph: &'g Graph, a: Value<'g>, choice: Choice) {
        let [left, right, given_left, given_right] = [0, 1, 2, 3].map(|bit| choice[3] >> bit & 1 == 1);
        let mut x = a.var;
        if x.shape().len() < 2 {
            x = if left { x.reshape([1, x.shape().elements()]) } else { x.reshape([x.shape().elements(), 1]) };
        }
        if given_left {
            x = turned(x);
        }
        let shape = x.shape();
        let (batch, matrix) = shape.split_at(shape.len() - 2);
        let (rows, inner) = if left { (matrix[1], matrix[0]) } else { (matrix[0], matrix[1]) };
        let columns = if self.style.large { [70, 1, 300] } else { [3, 1, 0] }[usize::from(choice[4] % 3)];
        let batches: usize = batch.iter().product();
        if batches * rows.max(inner) * columns > self.style.limit() || batches * rows * rows > self.style.limit() {
            return self.function(a, choice[3]);
        }
        let (y, reach) = if choice[5].is_multiple_of(3) {
            (x, a.reach)
        } else {
            let stored = if right { [columns, inner] } else { [inner, columns] };
            let stored = if given_right { [stored[1], stored[0]] } else { stored };
            let fresh = self.fresh(graph, [batch, &stored].concat());
            (if given_right { turned(fresh.var) } else { fresh.var }, fresh.reach)
        };
        // A value times itself: rows with rows.
        let right = if choice[5].is_multiple_of(3) { !left } else { right };
        self.keep(x.matmul_with(y, left, right), a.reach * reach * inner.max(1) as f64);
    }

    /// The value seen as samples of images with channels.
    fn image(&self, a: Value<'g>) -> Var<'g> {
        let mut shape = a.var.shape().to_vec();
        while shape.len() < 4 {
            shape.insert(0, 1);
        }
        if shape.len() == 5 {
            let first = shape.remove(0);
            shape[0] *= first;
        }
        a.var.reshape(shape)
    }

    fn convolution(&mut self, graph: &'g Graph, a: Value<'g>, choice: Choice) {
        let x = self.image(a);
        let channels = x.shape()[3];
        let digit = |byte: u8, place: u32, base: usize| usize::from(byte) / base.pow(place) % base;
        let kernel = [1 + digit(choice[3], 0, 3), 1 + digit(choice[3], 1, 3)];
        let stride = [1 + digit(choice[4], 0, 3), 1 + digit(choice[4], 1, 3)];
        let padding = [[0, 1], [2, 3]].map(|side| side.map(|place| digit(choice[5], place, 3)));
        let dilation = [1 + digit(choice[6], 0, 2), 1 + digit(choice[6], 1, 2)];
        let divisors: Vec<usize> = (1..=channels.max(1)).filter(|divisor| channels.is_multiple_of(*divisor)).collect();
        let groups = divisors[usize::from(choice[7]) % divisors.len()];
        let per_group = [1, 2, 3, 0][digit(choice[6] / 4, 0, 4)];
        let within = channels / groups;
        if kernel[0] * kernel[1] * within * groups * per_group > self.style.limit() {
            return self.function(a, choice[3]);
        }
        let weight = self.fresh(graph, [kernel[0], kernel[1], within, groups * per_group]);
        let y = x.conv_general(weight.var, stride, padding, dilation, groups);
        if y.shape().elements() > 2 * self.style.limit() {
            return;
        }
        let terms = (kernel[0] * kernel[1] * within).max(1) as f64;
        self.keep(y, a.reach * weight.reach * terms);
    }

    fn window(&mut self, a: Value<'g>, choice: Choice) {
        let x = self.image(a);
        let digit = |byte: u8, place: u32| usize::from(byte) / 3usize.pow(place) % 3;
        let size = [1 + digit(choice[3], 0), 1 + digit(choice[3], 1)];
        let stride = [1 + digit(choice[4], 0), 1 + digit(choice[4], 1)];
        let padding = [[0, 1], [2, 3]].map(|side| side.map(|place| digit(choice[5], place)));
        let full = x.shape()[1] > 0 && x.shape()[2] > 0;
        let dilation = [1 + usize::from(choice[7] % 2), 1 + usize::from(choice[7] / 2 % 2)];
        // A tap of every window lies in the sample where less is padded than one tap reaches, and taps lie side by side.
        let within = [0, 1].map(|axis| padding[axis].map(|extent| extent.min(size[axis] - 1)));
        let corners = self.style.kind != Kind::Smooth;
        let bins = [0, 1].map(|axis| size[axis].min(x.shape()[axis + 1]));
        let y = match choice[6] % 8 {
            0 => x.window_sum(size, stride, padding),
            1 if full && corners => x.max_pool(size, stride, within),
            2 if full && corners => x.max_pool_general(size, stride, [[0, 0]; 2], dilation),
            3 => x.average_pool_general(size, stride, padding, dilation, true),
            4 if full => x.average_pool_general(size, stride, within, [1, 1], false),
            5 if full => x.adaptive_average_pool(bins),
            6 if full && corners => x.adaptive_max_pool(bins),
            _ => x.average_pool(size, stride, padding),
        };
        if y.shape().elements() <= 2 * self.style.limit() {
            self.keep(y, a.reach * 9.0);
        }
    }

    /// A value that is not computed from others.
    fn leaf(&mut self, graph: &'g Graph, choice: Choice) {
        let shape = extents(self.style, [choice[5], choice[6], choice[7]]);
        let dtype = self.style.dtype;
        match choice[3] % 6 {
            0 => {
                self.fresh(graph, shape);
            }
            1 => self.keep(graph.splat(f64::from(choice[4]) / 64.0 - 1.0, shape, dtype), 3.0),
            2 if !shape.is_empty() => {
                let axis = usize::from(choice[4]) % shape.len();
                let reach = shape[axis] as f64;
                self.keep(graph.iota(shape, axis, dtype), reach);
            }
            3 => {
                let key = self.input(graph, [4], DType::I32, Draw::Key);
                self.keep(graph.uniform(key, shape, dtype), 1.0);
            }
            4 => {
                let key = self.input(graph, [4], DType::I32, Draw::Key);
                // Box and Muller's radius ends at √(2 · 53 ln 2).
                self.keep(graph.normal(key, shape, dtype), 8.6);
            }
            _ => {
                let count = shape.iter().product::<usize>();
                let values: Vec<f64> = (0..count).map(|n| (n as f64 * 0.7 + 0.1).sin()).collect();
                self.keep(graph.constant(Tensor::from_f64(shape, dtype, &values).unwrap()), 1.0);
            }
        }
    }
}

/// The last two axes exchanged.
fn turned(x: Var<'_>) -> Var<'_> {
    let rank = x.shape().len();
    let mut permutation: Vec<usize> = (0..rank).collect();
    permutation.swap(rank - 2, rank - 1);
    x.transpose(&permutation)
}
