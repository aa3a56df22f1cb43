//! Linear predictors whose coefficients are products of parameters: noise in the parameters is a penalty on the coefficients.
//!
//! All are trained on numbers with [`crate::config::Loss::Squared`]: L = 1/2n Σ |y − x φ|². With every parameter moved by normal noise
//! of deviation σ, the mean of L rises by a polynomial in σ that is known exactly; the least rise over all parameters with the
//! same φ is a norm of φ. Both are functions of the parameters and of Σ = XᵀX / n, the [`SecondMoment`] of the inputs.
//!
//! Source: Orvieto, Raj, Kersting, Bach 2022, arXiv 2206.04613, section 3.

use crate::nn::{Context, Initial, Model, Targets};
use crate::{Error, Result};
use evenkeel_graph::{DType, Tensor, Var};

/// φ = w₁² − w₂², number by number: `w1` and `w2` `[d]`. Input `[N, d]`, output `[N, 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct DiagonalNet {
    /// What all parameters start as.
    pub initial: f64,
}

/// φ_g = u_g v_g for each group: `u` a number a group, `v` `[d]` a number a coefficient. Input `[N, d]`, output `[N, 1]`.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupFactorNet {
    /// Coefficients of each group; together as many as the inputs.
    pub groups: Vec<usize>,
    /// What all parameters start as.
    pub initial: f64,
}

/// φ = W₁ W₂: `w1` `[d, width]` and `w2` `[width, outputs]`. Input `[N, d]`, output `[N, outputs]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactorizedLinear {
    /// Numbers between the factors.
    pub width: usize,
    /// Outputs.
    pub outputs: usize,
}

impl Model for DiagonalNet {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let (x, inputs) = rows(x);
        let [w1, w2] = ["w1", "w2"].map(|name| cx.param(name, [inputs], Initial::Constant(self.initial)));
        x.matmul((w1.square() - w2.square()).reshape([inputs, 1]))
    }

    fn targets(&self) -> Targets {
        Targets::Numbers
    }
}

impl Model for GroupFactorNet {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let (x, inputs) = rows(x);
        if self.groups.iter().sum::<usize>() != inputs {
            cx.fail(
                Error::input("the groups do not add up to the inputs")
                    .detail("expected", inputs)
                    .detail("got", self.groups.iter().map(usize::to_string).collect::<Vec<_>>().join(" + ")),
            );
            return x;
        }
        let group = self.groups.iter().zip(0..).flat_map(|(&size, group)| vec![group; size]).collect::<Vec<i32>>();
        let Some(group) = Tensor::new([inputs], group) else { return x };
        let u = cx.param("u", [self.groups.len()], Initial::Constant(self.initial));
        let v = cx.param("v", [inputs], Initial::Constant(self.initial));
        x.matmul((u.gather(0, cx.graph().constant(group)) * v).reshape([inputs, 1]))
    }

    fn targets(&self) -> Targets {
        Targets::Numbers
    }
}

impl Model for FactorizedLinear {
    fn forward<'g>(&self, cx: &Context<'g>, x: Var<'g>) -> Var<'g> {
        let (x, inputs) = rows(x);
        let weight = |name: &str, from: usize, to: usize| {
            cx.param(name, [from, to], Initial::Weight { fan_in: from, fan_out: to })
        };
        x.matmul(weight("w1", inputs, self.width)).matmul(weight("w2", self.width, self.outputs))
    }

    fn targets(&self) -> Targets {
        Targets::Numbers
    }
}

fn rows(x: Var<'_>) -> (Var<'_>, usize) {
    let x = x.flatten();
    (x, x.shape().last().copied().unwrap_or(0))
}

/// Σ = XᵀX / n of inputs `[n, d]`, all that the rises below know of the data.
#[derive(Clone, Debug, PartialEq)]
pub struct SecondMoment {
    dimension: usize,
    /// Row after row.
    elements: Vec<f64>,
}

impl SecondMoment {
    /// Of samples `[n, ..]`. Cost: n d² operations.
    ///
    /// # Errors
    /// Without samples.
    pub fn of(inputs: &Tensor) -> Result<SecondMoment> {
        let samples = inputs.shape().first().copied().unwrap_or(0);
        let values = inputs.to_f64();
        if samples == 0 || values.is_empty() || inputs.dtype() == DType::Bool {
            return Err(Error::input("a second moment needs samples").detail("got", inputs.shape()));
        }
        let dimension = values.len() / samples;
        let mut elements = vec![0.0; dimension * dimension];
        for row in values.chunks_exact(dimension) {
            for (line, a) in elements.chunks_exact_mut(dimension).zip(row) {
                line.iter_mut().zip(row).for_each(|(element, b)| *element += a * b);
            }
        }
        elements.iter_mut().for_each(|element| *element /= samples as f64);
        Ok(SecondMoment { dimension, elements })
    }

    /// Σ of whitened inputs.
    pub fn identity(dimension: usize) -> SecondMoment {
        let elements = (0..dimension * dimension).map(|place| f64::from(u8::from(place % (dimension + 1) == 0)));
        SecondMoment { dimension, elements: elements.collect() }
    }

    fn at(&self, row: usize, column: usize) -> f64 {
        self.elements[row * self.dimension + column]
    }

    /// The trace of the block of some coordinates.
    fn trace(&self, block: std::ops::Range<usize>) -> f64 {
        block.map(|place| self.at(place, place)).sum()
    }

    /// vᵀ Σ v, for v at the coordinates of a block and 0 elsewhere.
    fn square(&self, block: std::ops::Range<usize>, v: &[f64]) -> f64 {
        let pairs = block.clone().zip(v).flat_map(|a| block.clone().zip(v).map(move |b| (a, b)));
        pairs.map(|((row, a), (column, b))| a * self.at(row, column) * b).sum()
    }
}

impl DiagonalNet {
    /// 2σ² Σ cⱼ (w₁ⱼ² + w₂ⱼ²) + 2σ⁴ Σ cⱼ with c the diagonal of Σ: exact.
    pub fn rise(moment: &SecondMoment, w1: &[f64], w2: &[f64], sigma: f64) -> f64 {
        let sizes = w1.iter().zip(w2).map(|(a, b)| a * a + b * b + sigma * sigma);
        2.0 * sigma * sigma * sizes.enumerate().map(|(place, size)| moment.at(place, place) * size).sum::<f64>()
    }

    /// The least σ² part of [`DiagonalNet::rise`] over all parameters with these coefficients: 2σ² Σ cⱼ |φⱼ|, a weighted lasso.
    pub fn penalty(moment: &SecondMoment, phi: &[f64], sigma: f64) -> f64 {
        let weighted = phi.iter().enumerate().map(|(place, phi)| moment.at(place, place) * phi.abs());
        2.0 * sigma * sigma * weighted.sum::<f64>()
    }
}

impl GroupFactorNet {
    fn blocks(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.groups.iter().scan(0, |end, &size| {
            *end += size;
            Some(*end - size..*end)
        })
    }

    /// σ²/2 Σ (u_g² tr Σ_gg + v_gᵀ Σ_gg v_g) + σ⁴/2 Σ tr Σ_gg: exact.
    pub fn rise(&self, moment: &SecondMoment, u: &[f64], v: &[f64], sigma: f64) -> f64 {
        let of_group = |(block, u): (std::ops::Range<usize>, &f64)| {
            (u * u + sigma * sigma) * moment.trace(block.clone()) + moment.square(block.clone(), &v[block])
        };
        0.5 * sigma * sigma * self.blocks().zip(u).map(of_group).sum::<f64>()
    }

    /// The least σ² part of [`GroupFactorNet::rise`] over all parameters with these coefficients: σ² Σ √(tr Σ_gg) |Σ_gg^½ φ_g|, a
    /// group lasso.
    pub fn penalty(&self, moment: &SecondMoment, phi: &[f64], sigma: f64) -> f64 {
        let of_group = |block: std::ops::Range<usize>| {
            (moment.trace(block.clone()) * moment.square(block.clone(), &phi[block])).sqrt()
        };
        sigma * sigma * self.blocks().map(of_group).sum::<f64>()
    }
}

impl FactorizedLinear {
    /// tr Σ · |W₂|² + p tr(W₁ᵀ Σ W₁), for p outputs; the factors row after row.
    fn bracket(&self, moment: &SecondMoment, w1: &[f64], w2: &[f64]) -> f64 {
        let all = 0..moment.dimension;
        let column = |unit: usize| w1.iter().skip(unit).step_by(self.width).copied().collect::<Vec<f64>>();
        let first: f64 = (0..self.width).map(|unit| moment.square(all.clone(), &column(unit))).sum();
        moment.trace(all) * w2.iter().map(|w| w * w).sum::<f64>() + self.outputs as f64 * first
    }

    /// With noise in both factors: σ²/2 (tr Σ · |W₂|² + p tr(W₁ᵀ Σ W₁)) + σ⁴/2 m p tr Σ, exact for p outputs and width m. The last part
    /// grows with the width, whatever the coefficients.
    pub fn rise(&self, moment: &SecondMoment, w1: &[f64], w2: &[f64], sigma: f64) -> f64 {
        let square = sigma * sigma;
        let explosion = (self.width * self.outputs) as f64 * moment.trace(0..moment.dimension);
        0.5 * square * (self.bracket(moment, w1, w2) + square * explosion)
    }

    /// With noise in one factor at a time, each half of the times: σ²/4 (tr Σ · |W₂|² + p tr(W₁ᵀ Σ W₁)), exact, whatever the width.
    pub fn rise_by_factor(&self, moment: &SecondMoment, w1: &[f64], w2: &[f64], sigma: f64) -> f64 {
        0.25 * sigma * sigma * self.bracket(moment, w1, w2)
    }

    /// The least σ² part of [`FactorizedLinear::rise`] over all factors of these coefficients `[d, p]`: σ² √(p tr Σ) |Σ^½ φ|₊, a sum of
    /// singular values (nuclear norm).
    ///
    /// # Errors
    /// When the coefficients are not finite.
    pub fn penalty(&self, moment: &SecondMoment, phi: &[f64], sigma: f64) -> Result<f64> {
        let outputs = self.outputs;
        let column = |output: usize| (0..moment.dimension).map(move |row| phi[row * outputs + output]);
        // φᵀ Σ φ, whose eigenvalues are the squares of those singular values.
        let mut gram = vec![0.0; outputs * outputs];
        for a in 0..outputs {
            let moved: Vec<f64> = (0..moment.dimension)
                .map(|row| column(a).enumerate().map(|(place, phi)| moment.at(row, place) * phi).sum())
                .collect();
            for b in 0..outputs {
                gram[a * outputs + b] = column(b).zip(&moved).map(|(phi, moved)| phi * moved).sum();
            }
        }
        let squares = faer::Mat::from_fn(outputs, outputs, |a, b| gram[a * outputs + b])
            .self_adjoint_eigenvalues(faer::Side::Lower)
            .map_err(|error| Error::numerical(format!("the coefficients have no singular values: {error:?}")))?;
        let nuclear: f64 = squares.iter().map(|square| square.max(0.0).sqrt()).sum();
        Ok(sigma * sigma * (outputs as f64 * moment.trace(0..moment.dimension)).sqrt() * nuclear)
    }
}
