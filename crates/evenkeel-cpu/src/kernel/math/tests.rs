//! Errors against f64 for f32, against 60 digits for f64; special values; the same bits from every instruction set.

use super::super::instruction_set::InstructionSet;
use super::super::real::Real;
use rayon::prelude::*;

const LANES: usize = 16;

/// A function, what it is in f64, and the bounds of its error in units in the last place: in f32 and in f64.
struct Function {
    name: &'static str,
    single: fn(&mut [f32; LANES]),
    double: fn(&mut [f64; LANES]),
    exact: fn(f64) -> f64,
    bounds: [f64; 2],
}

/// The functions as each instruction set compiles them.
macro_rules! functions {
    ($($name:literal, |$x:ident| $call:expr, $exact:expr, $bounds:expr;)*) => {
        fn functions(set: InstructionSet) -> Vec<Function> {
            vec![$({
                #[inline(always)]
                fn body<T: Real>(x: &mut [T; LANES]) {
                    let $x = *x;
                    *x = $call;
                }
                fn portable<T: Real>(x: &mut [T; LANES]) {
                    body(x);
                }
                #[cfg(target_arch = "x86_64")]
                fn avx2<T: Real>(x: &mut [T; LANES]) {
                    #[target_feature(enable = "avx2,fma")]
                    fn with_features<T: Real>(x: &mut [T; LANES]) {
                        body(x);
                    }
                    // SAFETY: only available instruction sets are asked for.
                    unsafe { with_features(x) }
                }
                #[cfg(target_arch = "x86_64")]
                fn avx512<T: Real>(x: &mut [T; LANES]) {
                    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
                    fn with_features<T: Real>(x: &mut [T; LANES]) {
                        body(x);
                    }
                    // SAFETY: only available instruction sets are asked for.
                    unsafe { with_features(x) }
                }
                let (single, double): (fn(&mut [f32; LANES]), fn(&mut [f64; LANES])) = match set {
                    #[cfg(target_arch = "x86_64")]
                    InstructionSet::Avx512 => (avx512, avx512),
                    #[cfg(target_arch = "x86_64")]
                    InstructionSet::Avx2 => (avx2, avx2),
                    InstructionSet::Portable => (portable, portable),
                };
                Function { name: $name, single, double, exact: $exact, bounds: $bounds }
            }),*]
        }
    };
}

functions! {
    "exp", |x| T::exp(x), libm::exp, [1.0, 1.0];
    "expm1", |x| T::expm1(x), libm::expm1, [1.7, 1.7];
    "log", |x| T::log(x), libm::log, [1.0, 1.0];
    "log1p", |x| T::log1p(x), libm::log1p, [1.0, 1.0];
    "tanh", |x| T::tanh(x), libm::tanh, [2.0, 2.0];
    "sigmoid", |x| T::sigmoid(x), sigmoid, [2.0, 2.0];
    "erf", |x| T::erf(x), libm::erf, [1.3, 1.3];
    "sin", |x| T::sin(x), libm::sin, [1.6, 1.0];
    "cos", |x| T::cos(x), libm::cos, [1.6, 1.0];
    "power0.5", |x| T::power(x, 0.5), |x| libm::pow(x, 0.5), [0.51, 0.51];
    "power-0.5", |x| T::power(x, -0.5), |x| libm::pow(x, -0.5), [1.5, 1.5];
    "power-1", |x| T::power(x, -1.0), |x| libm::pow(x, -1.0), [0.51, 0.51];
    "power2", |x| T::power(x, 2.0), |x| libm::pow(x, 2.0), [0.51, 0.51];
    "power3", |x| T::power(x, 3.0), |x| libm::pow(x, 3.0), [1.5, 1.5];
    "power-7", |x| T::power(x, -7.0), |x| libm::pow(x, -7.0), [0.51, 1.0];
    "power2.5", |x| T::power(x, 2.5), |x| libm::pow(x, 2.5), [0.51, 1.0];
    "power1.7", |x| T::power(x, 1.7), |x| libm::pow(x, 1.7), [0.51, 1.0];
    "power-800.3", |x| T::power(x, -800.3), |x| libm::pow(x, -800.3), [0.51, 1.0];
}

fn sigmoid(x: f64) -> f64 {
    if x < 0.0 { libm::exp(x) / (1.0 + libm::exp(x)) } else { 1.0 / (1.0 + libm::exp(-x)) }
}

/// How far y is from high + low, in units in the last place of a format with so many mantissa bits and that least exponent.
/// Infinity counts as the number after the largest; NaN and the sign of zero must agree.
fn error(y: f64, [high, low]: [f64; 2], [mantissa, least, most]: [i32; 3]) -> f64 {
    let right = high.is_nan() && y.is_nan() || high == y && (y != 0.0 || low != 0.0 || y.signum() == high.signum());
    if right && (y.is_nan() || y == 0.0 || y.is_infinite()) {
        return 0.0;
    }
    if y.is_nan() || high.is_nan() || y == 0.0 && y.signum() != high.signum() {
        return f64::INFINITY;
    }
    let exponent = if high == 0.0 { least } else { libm::ilogb(high).clamp(least, most) };
    // In units already, because the numbers themselves may be at the end of f64.
    let units = |x: f64| libm::scalbn(x, mantissa - exponent);
    let end = f64::INFINITY;
    match (y.abs() == end, high.abs() == end) {
        (true, false) => (libm::scalbn(y.signum(), mantissa + 1 + most - exponent) - units(high)).abs(),
        (false, true) => end,
        _ => ((units(y) - units(high)) - units(low)).abs(),
    }
}

const SINGLE: [i32; 3] = [23, -126, 127];
const DOUBLE: [i32; 3] = [52, -1022, 1023];

/// The largest error over the f32 whose bits are multiples of a stride, and where it is.
fn worst(function: &Function, stride: usize) -> (f64, f32) {
    let numbers = (1usize << 32).div_ceil(stride);
    let lines = numbers.div_ceil(LANES);
    let line = |line: usize| {
        let x: [f32; LANES] = std::array::from_fn(|lane| f32::from_bits(((line * LANES + lane) * stride) as u32));
        let mut y = x;
        (function.single)(&mut y);
        let errors = (0..LANES)
            .map(|lane| (error(f64::from(y[lane]), rounded((function.exact)(f64::from(x[lane]))), SINGLE), x[lane]));
        errors.fold((0.0, 0.0), larger)
    };
    (0..lines).into_par_iter().map(line).reduce(|| (0.0, 0.0), larger)
}

/// An exact result as f32 sees it: infinite where it rounds to infinity.
fn rounded(exact: f64) -> [f64; 2] {
    let single = exact as f32;
    if single.is_infinite() || single == 0.0 && exact != 0.0 && exact.abs() < 1e-300 {
        [f64::from(single), 0.0]
    } else {
        [exact, 0.0]
    }
}

fn larger(a: (f64, f32), b: (f64, f32)) -> (f64, f32) {
    if b.0 > a.0 { b } else { a }
}

#[test]
fn in_f32_every_function_is_as_exact_as_stated() {
    for function in functions(InstructionSet::detect()) {
        let (error, x) = worst(&function, 2503);
        assert!(error <= function.bounds[0], "{} of {x:e} is {error} units wrong", function.name);
    }
}

/// All 2³² numbers; run it optimised and after any change of a formula or coefficient.
#[test]
#[ignore = "takes a good part of an hour"]
fn in_f32_every_function_is_as_exact_as_stated_for_every_number() {
    let functions = functions(InstructionSet::detect());
    let exact = functions.iter().filter(|function| {
        let (error, x) = worst(function, 1);
        println!("{:12} {error:.4} units at {x:e}", function.name);
        error <= function.bounds[0]
    });
    assert_eq!(exact.count(), functions.len());
}

#[test]
fn in_f64_every_function_is_as_exact_as_stated() {
    let functions = functions(InstructionSet::detect());
    let mut checked = vec![0; functions.len()];
    for line in include_str!("golden.txt").lines() {
        let (name, numbers) = line.split_once(' ').unwrap();
        let numbers: Vec<f64> =
            numbers.split(' ').map(|word| f64::from_bits(u64::from_str_radix(word, 16).unwrap())).collect();
        let place = functions.iter().position(|function| function.name == name).unwrap();
        let mut y = [numbers[0]; LANES];
        (functions[place].double)(&mut y);
        let error = error(y[0], [numbers[1], numbers[2]], DOUBLE);
        assert!(error <= functions[place].bounds[1], "{name} of {:e} is {error} units wrong", numbers[0]);
        assert!(y.iter().all(|&lane| lane.to_bits() == y[0].to_bits()), "{name} of {:e}", numbers[0]);
        checked[place] += 1;
    }
    assert!(functions.iter().zip(checked).all(|(function, n)| n >= 100 || function.name.starts_with("power")));
}

/// Where functions end, begin, jump or change their formula.
fn special() -> Vec<f64> {
    let mut all =
        vec![0.0, f64::INFINITY, f64::NAN, f64::MAX, f64::MIN_POSITIVE, 5e-324, 1e-310, 3e38, 3.5e38, 1e-45, 1e-40];
    for x in [
        0.5, 1.0, 2.0, 0.2049013, 0.34657, 0.52, 1.6e6, 88.72, 88.73, 89.0, 103.9, 104.0, 709.78, 709.79, 745.1, 745.2,
        746.0,
    ] {
        all.extend([x, x * (1.0 + 1e-7), x * (1.0 - 1e-7), x * (1.0 + 2e-16), x * (1.0 - 1e-16)]);
    }
    all.extend([1e3, 1e10, 1e22, 1e100, 1e300, 20.0, 40.0, 6.0, 4.0, 3.9, 17.0]);
    all.iter().flat_map(|&x| [x, -x]).collect()
}

#[test]
fn special_values_are_those_of_the_standard_library() {
    for function in functions(InstructionSet::detect()) {
        for x in special() {
            let mut y = [x; LANES];
            (function.double)(&mut y);
            // The reference is wrong by up to one unit itself.
            let exact = (function.exact)(x);
            let wrong = error(y[3], [exact, 0.0], DOUBLE);
            assert!(wrong <= function.bounds[1] + 1.0, "{} of {x:e} is {:e}, not {exact:e}", function.name, y[3]);
            let x = x as f32;
            let mut y = [x; LANES];
            (function.single)(&mut y);
            let exact = (function.exact)(f64::from(x));
            let wrong = error(f64::from(y[3]), rounded(exact), SINGLE);
            assert!(wrong <= function.bounds[0], "{} of {x:e} is {:e}, not {exact:e}", function.name, y[3]);
        }
    }
}

#[test]
fn special_exponents_are_those_of_the_standard_library() {
    let exponents =
        [0.0, 1.0, 2.0, 3.0, -1.0, -2.0, 4.0, 0.5, -0.5, 1.5, -1.5, 2.5, 31.5, 33.0, 34.0, 1.0 / 3.0, 1e5, -1e5];
    let ends = [1e300, -1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 9007199254740993.0];
    for exponent in exponents.into_iter().chain(ends) {
        for x in special() {
            let [y] = <f64 as Real>::power([x], exponent);
            let exact = libm::pow(x, exponent);
            assert!(error(y, [exact, 0.0], DOUBLE) <= 3.0, "{x:e} to the {exponent} is {y:e}, not {exact:e}");
            let [y] = <f32 as Real>::power([x as f32], exponent);
            let exact = libm::pow(f64::from(x as f32), exponent);
            assert!(
                error(f64::from(y), rounded(exact), SINGLE) <= 1.5,
                "{x:e} to the {exponent} is {y:e}, not {exact:e}"
            );
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_bits() {
    let expected = functions(InstructionSet::Portable);
    let special = special();
    let bits_of = |number: u64| f64::from_bits(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for &set in InstructionSet::available() {
        for (function, expected) in functions(set).iter().zip(&expected) {
            for line in 0..20_000u64 {
                // Bits of all sorts, moderate numbers, special ones.
                let x: [f64; LANES] = std::array::from_fn(|lane| {
                    let number = line * LANES as u64 + lane as u64;
                    match line % 3 {
                        0 => bits_of(number),
                        1 => (bits_of(number).to_bits() >> 11) as f64 / (1u64 << 53) as f64 * 40.0 - 20.0,
                        _ => special[number as usize % special.len()],
                    }
                });
                let (mut a, mut b) = (x, x);
                (function.double)(&mut a);
                (expected.double)(&mut b);
                let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                assert!(a.iter().zip(b).all(|(&a, b)| same(a, b)), "{} of {x:?} by {set:?}", function.name);
                let (mut a, mut b) = (x.map(|x| x as f32), x.map(|x| x as f32));
                (function.single)(&mut a);
                (expected.single)(&mut b);
                let same = |a: f32, b: f32| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                assert!(a.iter().zip(b).all(|(&a, b)| same(a, b)), "{} of {x:?} by {set:?}", function.name);
            }
        }
    }
}
