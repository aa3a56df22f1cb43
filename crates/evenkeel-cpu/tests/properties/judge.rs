//! Whether results are right but for rounding.

use crate::interpreter::Value;
use evenkeel_graph::{DType, Tensor};

/// How many evaluations with noise are made.
const SAMPLES: u64 = 4;
/// How many times their spread a result may be off.
const MARGIN: f64 = 32.0;

/// Right values, and how far off rounding can have put a result.
pub(crate) struct Judge {
    right: Vec<Value>,
    noisy: Vec<Vec<Value>>,
}

impl Judge {
    /// `evaluate` interprets the program, with noise of the seed given or without.
    pub(crate) fn new(evaluate: impl Fn(Option<u64>) -> Vec<Value>) -> Judge {
        Judge { right: evaluate(None), noisy: (0..SAMPLES).map(|seed| evaluate(Some(seed))).collect() }
    }

    /// Whether these are the right values.
    pub(crate) fn accept(&self, results: &[Tensor]) -> Result<(), String> {
        self.accept_values(&results.iter().map(Value::from).collect::<Vec<_>>())
    }

    /// Whether these are the right values.
    pub(crate) fn accept_values(&self, results: &[Value]) -> Result<(), String> {
        assert_eq!(results.len(), self.right.len());
        for (number, (result, right)) in results.iter().zip(&self.right).enumerate() {
            if (&result.shape, result.dtype) != (&right.shape, right.dtype) {
                return Err(format!("output {number} is {} {:?}", result.dtype, result.shape));
            }
            let allowed = self.allowed(number);
            for (place, (&got, &right)) in result.data.iter().zip(&right.data).enumerate() {
                let noisy = || self.noisy.iter().map(move |values| values[number].data[place]);
                // Where noise decides whether there is a number at all, nothing can be said.
                let settled = noisy().all(|noisy| class(noisy) == class(right));
                let agrees = class(got) == class(right) && (!right.is_finite() || (got - right).abs() <= allowed);
                if settled && !agrees {
                    return Err(format!(
                        "output {number} at {place}: {right} wanted, {got} got, ± {allowed:e} allowed"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether two scalar results, computed in two ways, are equal.
    pub(crate) fn equal(&self, results: &[Tensor], one: usize, other: usize) -> Result<(), String> {
        let (a, b) = (results[one].item().unwrap(), results[other].item().unwrap());
        let allowed = self.allowed(one) + self.allowed(other);
        let finite = [one, other].iter().all(|&which| self.right[which].data[0].is_finite());
        if finite && ((a - b).abs() > allowed || !a.is_finite() || !b.is_finite()) {
            return Err(format!("{a} and {b}, ± {allowed:e} allowed"));
        }
        Ok(())
    }

    /// How far an element of an output may be off: some times what noise does to the output, and a few units of rounding.
    fn allowed(&self, number: usize) -> f64 {
        let right = &self.right[number];
        let spread = |values: &Vec<Value>| {
            let off = values[number].data.iter().zip(&right.data).map(|(noisy, right)| (noisy - right).abs());
            off.filter(|off| off.is_finite()).fold(0.0, f64::max)
        };
        let size = right.data.iter().filter(|x| x.is_finite()).fold(0.0, |size: f64, x| size.max(x.abs()));
        let unit = match right.dtype {
            DType::F32 => f64::from(f32::EPSILON),
            DType::F64 => f64::EPSILON,
            DType::I32 | DType::Bool => 0.0,
        };
        MARGIN * self.noisy.iter().map(spread).fold(0.0, f64::max) + 4.0 * unit * size
    }
}

/// Finite, infinite with its sign, or NaN.
fn class(x: f64) -> (bool, bool, bool) {
    (x.is_finite(), x.is_nan(), x.is_infinite() && x > 0.0)
}

/// Whether two runs gave the same bits; any NaN is as good as another.
pub(crate) fn same_bits(a: &[Tensor], b: &[Tensor]) -> Result<(), String> {
    for (number, (a, b)) in a.iter().zip(b).enumerate() {
        let differs = |(x, y): &(f64, f64)| x.to_bits() != y.to_bits() && !(x.is_nan() && y.is_nan());
        let pairs = || a.to_f64().into_iter().zip(b.to_f64());
        if let Some(place) = pairs().position(|pair| differs(&pair)) {
            return Err(format!("output {number} at {place}: {:?} and {:?}", a.get(place), b.get(place)));
        }
    }
    if a.len() == b.len() { Ok(()) } else { Err(format!("{} and {} outputs", a.len(), b.len())) }
}
