//! The spectrum of a symmetric operator as one vector sees it: a few nodes with weights.

use super::lanczos::{SymmetricOperator, eigen, finite_product, norm, orthogonalize, scale};
use crate::{Error, Result};
use evenkeel_graph::random::Key;

/// How far Lanczos goes, and from where.
#[derive(Clone, Debug, PartialEq)]
pub struct QuadratureOptions {
    /// Products at most: the number of nodes.
    pub steps: usize,
    /// Draws the vector, where none is given.
    pub seed: u64,
    /// Bytes the basis may take: there are as many nodes as vectors fit, at least one.
    pub basis_bytes: usize,
}

impl Default for QuadratureOptions {
    /// 100 steps, 2 GiB.
    fn default() -> Self {
        QuadratureOptions { steps: 100, seed: 0, basis_bytes: 2 << 30 }
    }
}

/// Gauss quadrature of the spectrum: Ritz values with the squares of the first components of their vectors.
///
/// For a unit vector v and m nodes, Σ wᵢ θᵢᵏ = vᵀ Aᵏ v for every k < 2m, so Σ wᵢ f(θᵢ) stands for vᵀ f(A) v. With v drawn from the sphere
/// its mean over draws is tr f(A) / dimension: stochastic Lanczos quadrature.
///
/// Source: Golub, Welsch 1969, "Calculation of Gauss quadrature rules"; Ubaru, Chen, Saad 2017, "Fast estimation of tr(f(A)) via stochastic
/// Lanczos quadrature".
#[derive(Clone, Debug, PartialEq)]
pub struct Quadrature {
    /// The Ritz values θ, the largest first, signed. None is outside the spectrum.
    pub nodes: Vec<f64>,
    /// Their weights w, which add up to 1.
    pub weights: Vec<f64>,
    /// Whether the nodes are all eigenvalues that the vector has a part along: the products stayed in the space of the basis.
    pub invariant: bool,
}

impl Quadrature {
    /// Along a vector that is drawn from the sphere. Cost: a product a node; memory: a vector of f64 a node.
    ///
    /// Every new vector is made orthogonal to all before it, twice, so no Ritz value comes in copies. Deterministic on any number of threads.
    ///
    /// # Errors
    /// When no step is asked for, or a product fails or is not finite.
    pub fn of(operator: &mut impl SymmetricOperator, options: &QuadratureOptions) -> Result<Quadrature> {
        let mut random = Key::new(options.seed, "quadrature", 0).random();
        let start: Vec<f64> = (0..operator.dimension()).map(|_| random.normal_f64()).collect();
        Self::along(operator, start, options)
    }

    /// The same along a vector of any length but 0.
    ///
    /// # Errors
    /// As [`Quadrature::of`], and for a vector that has not one finite number a dimension, or is 0.
    pub fn along(
        operator: &mut impl SymmetricOperator,
        mut start: Vec<f64>,
        options: &QuadratureOptions,
    ) -> Result<Quadrature> {
        let dimension = operator.dimension();
        if options.steps == 0 {
            return Err(Error::input("a quadrature needs at least one step").detail("got", options.steps));
        }
        let length = norm(&start);
        if start.len() != dimension || !length.is_finite() || length == 0.0 {
            return Err(Error::input(
                "a quadrature starts from a vector with one finite number a dimension, not all 0",
            )
            .detail("expected", format!("{dimension} numbers"))
            .detail("got", format!("{} numbers, length {length}", start.len())));
        }
        scale(&mut start, 1.0 / length);
        let room = (options.basis_bytes / (size_of::<f64>() * dimension)).max(1);
        let steps = options.steps.min(room).min(dimension);
        let mut basis = vec![start];
        let mut projected: Vec<Vec<f64>> = Vec::new();
        let mut largest = 0.0_f64;
        loop {
            let mut next = finite_product(operator, &basis[basis.len() - 1])?;
            // What is left of a product in an invariant space is rounding, as large as the operator lets it be.
            largest = largest.max(norm(&next));
            projected.push(orthogonalize(&mut next, &basis));
            let beta = norm(&next);
            let invariant = beta <= 1e-12 * largest || basis.len() == dimension;
            if invariant || basis.len() == steps {
                let (nodes, vectors) = eigen(&projected)?;
                let weights = vectors.iter().map(|vector| vector[0] * vector[0]).collect();
                return Ok(Quadrature { nodes, weights, invariant });
            }
            scale(&mut next, 1.0 / beta);
            basis.push(next);
        }
    }

    /// Σ w θᵏ, which is vᵀ Aᵏ v for k below twice the number of nodes.
    pub fn moment(&self, k: i32) -> f64 {
        self.nodes.iter().zip(&self.weights).map(|(node, weight)| weight * node.powi(k)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dense(Vec<Vec<f64>>);

    impl Dense {
        fn diagonal(values: &[f64]) -> Dense {
            let row = |i: usize| (0..values.len()).map(|j| if i == j { values[i] } else { 0.0 }).collect();
            Dense((0..values.len()).map(row).collect())
        }

        fn random(size: usize) -> Dense {
            let mut random = Key::new(3, "test", 0).random();
            let lower: Vec<Vec<f64>> = (0..size).map(|row| (0..=row).map(|_| random.normal_f64()).collect()).collect();
            let row = |row: usize| (0..size).map(|column| lower[row.max(column)][row.min(column)]).collect();
            let rows: Vec<Vec<f64>> = (0..size).map(row).collect();
            Dense(rows)
        }

        fn times(&self, vector: &[f64]) -> Vec<f64> {
            self.0.iter().map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
        }
    }

    impl SymmetricOperator for Dense {
        fn dimension(&self) -> usize {
            self.0.len()
        }
        fn apply(&mut self, vector: &[f64]) -> Result<Vec<f64>> {
            Ok(self.times(vector))
        }
    }

    #[test]
    fn as_many_steps_as_dimensions_give_every_eigenvalue() {
        let mut dense = Dense::random(50);
        let lower: Vec<Vec<f64>> = dense.0.iter().enumerate().map(|(i, row)| row[..=i].to_vec()).collect();
        let (expected, _) = eigen(&lower).unwrap();
        let found = Quadrature::of(&mut dense, &QuadratureOptions { steps: 80, ..Default::default() }).unwrap();
        assert!(found.invariant && found.nodes.len() == 50);
        assert!(found.nodes.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-10));
        assert!((found.weights.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_vector_with_equal_parts_gives_equal_weights() {
        let mut dense = Dense::diagonal(&[1.0, 2.0, 3.0]);
        let found = Quadrature::along(&mut dense, vec![1.0; 3], &QuadratureOptions::default()).unwrap();
        let pairs = found.nodes.iter().zip([3.0, 2.0, 1.0]).chain(found.weights.iter().zip([1.0 / 3.0; 3]));
        assert!(pairs.into_iter().all(|(got, wanted)| (got - wanted).abs() < 1e-14));
    }

    #[test]
    fn moments_up_to_twice_the_nodes_are_those_of_the_matrix_and_no_further() {
        let mut dense = Dense::random(30);
        let start: Vec<f64> = (0..30).map(|n| f64::from(n).sin()).collect();
        let options = QuadratureOptions { steps: 4, ..Default::default() };
        let found = Quadrature::along(&mut dense, start.clone(), &options).unwrap();
        let length = norm(&start);
        let unit: Vec<f64> = start.iter().map(|value| value / length).collect();
        let mut power = unit.clone();
        let mut apart = Vec::new();
        for k in 0..=8 {
            let exact: f64 = unit.iter().zip(&power).map(|(a, b)| a * b).sum();
            apart.push((found.moment(k) / exact - 1.0).abs());
            power = dense.times(&power);
        }
        assert!(apart[..8].iter().all(|apart| *apart < 1e-11), "{apart:?}");
        assert!(apart[8] > 1e-4, "{apart:?}");
    }

    #[test]
    fn nodes_stay_inside_the_spectrum_and_lanczos_stops_in_an_invariant_space() {
        let mut values = vec![0.0; 40];
        (values[0], values[1]) = (-7.0, 5.0);
        let mut dense = Dense::diagonal(&values);
        let found = Quadrature::of(&mut dense, &QuadratureOptions::default()).unwrap();
        assert!(found.invariant && found.nodes.len() == 3, "{found:?}");
        assert!(found.nodes.iter().zip([5.0, 0.0, -7.0]).all(|(got, wanted)| (got - wanted).abs() < 1e-12));
        let few =
            Quadrature::of(&mut Dense::random(60), &QuadratureOptions { steps: 6, ..Default::default() }).unwrap();
        let all = Quadrature::of(&mut Dense::random(60), &QuadratureOptions::default()).unwrap();
        assert!(few.nodes[0] <= all.nodes[0] + 1e-12 && few.nodes[5] >= all.nodes[59] - 1e-12);
    }

    #[test]
    fn a_basis_that_must_stay_small_has_fewer_nodes() {
        let options = QuadratureOptions { basis_bytes: 3 * 60 * 8 + 5, ..Default::default() };
        let found = Quadrature::of(&mut Dense::random(60), &options).unwrap();
        assert!(found.nodes.len() == 3 && !found.invariant);
        let one = Quadrature::of(&mut Dense::random(60), &QuadratureOptions { basis_bytes: 0, ..options }).unwrap();
        assert_eq!(one.nodes.len(), 1);
    }

    #[test]
    fn a_zero_matrix_has_one_node_and_bad_input_is_refused() {
        let found = Quadrature::of(&mut Dense::diagonal(&[0.0; 4]), &QuadratureOptions::default()).unwrap();
        assert_eq!((found.nodes, found.weights), (vec![0.0], vec![1.0]));
        let mut dense = Dense::diagonal(&[1.0, 2.0]);
        let options = QuadratureOptions::default();
        assert!(Quadrature::of(&mut dense, &QuadratureOptions { steps: 0, ..options.clone() }).is_err());
        for start in [vec![0.0, 0.0], vec![1.0], vec![f64::NAN, 1.0]] {
            assert!(Quadrature::along(&mut dense, start, &options).is_err());
        }
        assert!(Quadrature::of(&mut Dense(vec![]), &options).is_err());
        assert!(Quadrature::along(&mut Dense::diagonal(&[f64::NAN]), vec![1.0], &options).is_err());
    }
}
