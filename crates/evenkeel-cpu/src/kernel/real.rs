//! The two floating-point types, and what kernels need of them.

use super::arithmetic::Vectors;
use super::math;
use evenkeel_graph::DType;

/// `f32` or `f64`.
pub(crate) trait Real:
    Vectors
    + Copy
    + Send
    + Sync
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + std::ops::Mul<Output = Self>
    + std::ops::Div<Output = Self>
    + std::ops::Neg<Output = Self>
    + std::ops::AddAssign
    + std::fmt::Debug
    + 'static
{
    const ZERO: Self;
    const ONE: Self;
    const LOWEST: Self;
    const DTYPE: DType;
    fn of(value: f64) -> Self;
    fn f64(self) -> f64;
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
    /// eˣ of each lane; this and the others are defined in [`math`].
    fn exp<const N: usize>(x: [Self; N]) -> [Self; N];
    fn expm1<const N: usize>(x: [Self; N]) -> [Self; N];
    fn log<const N: usize>(x: [Self; N]) -> [Self; N];
    fn log1p<const N: usize>(x: [Self; N]) -> [Self; N];
    fn tanh<const N: usize>(x: [Self; N]) -> [Self; N];
    fn sigmoid<const N: usize>(x: [Self; N]) -> [Self; N];
    fn erf<const N: usize>(x: [Self; N]) -> [Self; N];
    fn sin<const N: usize>(x: [Self; N]) -> [Self; N];
    fn cos<const N: usize>(x: [Self; N]) -> [Self; N];
    fn power<const N: usize>(x: [Self; N], exponent: f64) -> [Self; N];

    #[inline(always)]
    fn is_nan(self) -> bool {
        self.partial_cmp(&self).is_none()
    }
}

macro_rules! real {
    ($type:ident, $dtype:ident) => {
        impl Real for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const LOWEST: Self = <$type>::NEG_INFINITY;
            const DTYPE: DType = DType::$dtype;
            #[inline(always)]
            fn of(value: f64) -> Self {
                value as $type
            }
            #[inline(always)]
            fn f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                <$type>::sqrt(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                <$type>::abs(self)
            }
            real!(@lanes exp expm1 log log1p tanh sigmoid erf sin cos);
            #[inline(always)]
            fn power<const N: usize>(x: [Self; N], exponent: f64) -> [Self; N] {
                math::power(x, exponent)
            }
        }
    };
    (@lanes $($function:ident)*) => {
        $(
            #[inline(always)]
            fn $function<const N: usize>(x: [Self; N]) -> [Self; N] {
                math::$function(x)
            }
        )*
    };
}
real!(f32, F32);
real!(f64, F64);
