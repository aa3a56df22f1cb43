use super::{Layout, MatMul};
use proptest::prelude::*;

/// Small numbers whose sums and products f32 holds exactly.
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 37 + seed * 11) % 15) as f32 - 7.0).collect()
}

/// Elements that the layout of a batch reaches.
fn reach(layout: &Layout, batch: &[usize], [rows, columns]: [usize; 2]) -> usize {
    let steps = layout.batch.iter().copied().chain([layout.row, layout.column]);
    let extents = batch.iter().copied().chain([rows, columns]);
    layout.start + extents.zip(steps).map(|(extent, step)| extent.saturating_sub(1) * step).sum::<usize>() + 1
}

fn expected(product: &MatMul, lhs: &[f32], rhs: &[f32], result: &mut [f32]) {
    for number in 0..product.count() {
        let [a, b, y] = [&product.lhs, &product.rhs, &product.result].map(|layout| layout.at(&product.batch, number));
        for (i, j) in (0..product.m).flat_map(|i| (0..product.n).map(move |j| (i, j))) {
            let term = |k: usize| {
                lhs[a + i * product.lhs.row + k * product.lhs.column]
                    * rhs[b + k * product.rhs.row + j * product.rhs.column]
            };
            result[y + i * product.result.row + j] = (0..product.k).map(term).sum();
        }
    }
}

fn check(product: &MatMul) {
    let &MatMul { m, k, n, .. } = product;
    let lhs = numbers(reach(&product.lhs, &product.batch, [m, k]), 1);
    let rhs = numbers(reach(&product.rhs, &product.batch, [k, n]), 2);
    let before = numbers(reach(&product.result, &product.batch, [m, n]), 3);
    let mut wanted = before.clone();
    expected(product, &lhs, &rhs, &mut wanted);
    let mut bits: Vec<Vec<f32>> = Vec::new();
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads start");
        let mut result = before.clone();
        let mut scratch = vec![f32::NAN; product.scratch_elements(size_of::<f32>())];
        pool.install(|| product.run(&lhs, &rhs, &mut result, &mut scratch));
        assert_eq!(result, wanted, "{product:?} on {threads} threads");
        bits.push(result);
    }
    let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<f64>>();
    let mut result = wide(&before);
    let mut scratch = vec![f64::NAN; product.scratch_elements(size_of::<f64>())];
    product.run(&wide(&lhs), &wide(&rhs), &mut result, &mut scratch);
    assert_eq!(result, wide(&wanted), "{product:?} in f64");
}

/// Dense matrices of `rows` × `columns`, stored transposed or not.
fn matrices(batch: &[usize], rows: usize, columns: usize, transposed: bool) -> Layout {
    let mut steps = vec![rows * columns; batch.len()];
    for axis in (1..batch.len()).rev() {
        steps[axis - 1] = steps[axis] * batch[axis];
    }
    let (row, column) = if transposed { (1, rows) } else { (columns, 1) };
    Layout { start: 0, batch: steps, row, column }
}

fn dense(batch: &[usize], [m, k, n]: [usize; 3], turned: [bool; 2]) -> MatMul {
    MatMul {
        batch: batch.to_vec(),
        m,
        k,
        n,
        lhs: matrices(batch, m, k, turned[0]),
        rhs: matrices(batch, k, n, turned[1]),
        result: matrices(batch, m, n, false),
    }
}

#[test]
fn products_of_every_size_and_storage_are_those_of_the_sums() {
    let sizes = [
        [1, 1, 1],
        [5, 3, 7],
        [16, 16, 16],
        [31, 40, 17],
        [30, 64, 32],
        [40, 512, 10],
        [100, 30, 130],
        [29, 1024, 33],
        [3, 600, 50],
        [50, 600, 3],
        [14, 2, 40],
        [12, 0, 20],
        [0, 5, 6],
        [6, 5, 0],
    ];
    for size in sizes {
        for turned in [[false, false], [false, true], [true, false], [true, true]] {
            check(&dense(&[], size, turned));
            check(&dense(&[2, 3], size, turned));
        }
    }
}

#[test]
fn work_for_several_threads_is_cut_by_columns_by_rows_and_along_the_inner_axis() {
    for size in [[130, 300, 300], [1500, 90, 40], [40, 9000, 30], [90, 3000, 70], [700, 70, 300]] {
        for turned in [[false, false], [false, true], [true, false]] {
            check(&dense(&[], size, turned));
        }
    }
    check(&dense(&[40], [33, 32, 65], [false, true]));
    check(&dense(&[2], [130, 200, 150], [true, false]));
}

#[test]
fn products_that_share_their_right_side_are_one_of_more_rows() {
    let mut product = dense(&[3, 4], [5, 6, 7], [false, true]);
    product.rhs.batch = vec![42, 0];
    product.fold();
    assert_eq!((&product.batch[..], product.m), (&[3][..], 20));
    check(&product);
    // Rows that do not follow each other stay apart.
    let mut product = dense(&[4], [5, 6, 7], [true, false]);
    product.rhs.batch = vec![0];
    product.fold();
    assert_eq!((&product.batch[..], product.m), (&[4][..], 5));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn operands_are_read_and_results_written_wherever_they_lie(
        size in [1usize..40, 0usize..50, 1usize..70],
        batch in [1usize..4, 1usize..4],
        gaps in [1usize..4, 1usize..4, 0usize..9],
        shared in [any::<bool>(), any::<bool>()],
        turned in [any::<bool>(), any::<bool>()],
    ) {
        let [m, k, n] = size;
        let mut product = dense(&batch, size, turned);
        // Every other column, rows further apart, a matrix for all of an axis of the batch.
        let spread = |layout: &mut Layout, inner: usize| {
            layout.start = gaps[2];
            layout.row *= inner;
            layout.column *= inner;
            layout.batch.iter_mut().for_each(|step| *step *= inner);
        };
        spread(&mut product.lhs, gaps[0]);
        spread(&mut product.rhs, gaps[1]);
        if shared[0] {
            product.lhs.batch[0] = 0;
        }
        if shared[1] {
            product.rhs.batch[1] = 0;
        }
        // Results of the batch's last axis next to each other within a row.
        product.result = Layout { start: gaps[2], batch: vec![m * batch[1] * n, n], row: batch[1] * n, column: 1 };
        let _ = k;
        check(&product);
    }
}
