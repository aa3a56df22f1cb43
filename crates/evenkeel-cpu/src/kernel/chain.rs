//! Runs the chains of loop bodies, a few vectors after the other, with the value at hand in registers.

use super::arithmetic::{Arithmetic, Vectors};
use super::instruction_set::InstructionSet;
use crate::chain::{Action, Link};

/// Takes `count` elements of every slot through a chain.
///
/// # Safety
/// The processor has the instruction set; every slot that a link names is valid for `count` elements. Slots may overlap only
/// where they are the same.
pub(crate) type Follow<T> = unsafe fn(&[Link], &[*mut T], usize);

/// The function for the best instruction set of this machine.
pub(crate) fn compiled<T: Vectors>() -> Follow<T> {
    at(InstructionSet::detect())
}

/// The function for an instruction set. Where there are enough registers, more vectors share the choice of what to do.
pub(crate) fn at<T: Vectors>(level: InstructionSet) -> Follow<T> {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
        unsafe fn avx512<T: Vectors>(chain: &[Link], slots: &[*mut T], count: usize) {
            // SAFETY: the features are enabled here; the rest is the caller's promise.
            unsafe { follow::<T::Avx512, 8>(chain, slots, count) }
        }
        #[target_feature(enable = "avx2,fma")]
        unsafe fn avx2<T: Vectors>(chain: &[Link], slots: &[*mut T], count: usize) {
            // SAFETY: as above.
            unsafe { follow::<T::Avx2, 4>(chain, slots, count) }
        }
        match level {
            InstructionSet::Avx512 => return avx512::<T>,
            InstructionSet::Avx2 => return avx2::<T>,
            InstructionSet::Portable => {}
        }
    }
    let _ = level;
    follow::<T::Portable, 2>
}

#[inline(always)]
unsafe fn follow<L: Arithmetic, const V: usize>(chain: &[Link], slots: &[*mut L::Scalar], count: usize) {
    let mut start = 0;
    // SAFETY: the caller's promise; each call stays below `count`.
    unsafe {
        while start + V * L::N <= count {
            block::<L, V, true>(chain, slots, start, L::N);
            start += V * L::N;
        }
        while start + L::N <= count {
            block::<L, 1, true>(chain, slots, start, L::N);
            start += L::N;
        }
        if start < count {
            block::<L, 1, false>(chain, slots, start, count - start);
        }
    }
}

/// Takes `V` vectors from `start` on through the chain: whole ones, or the first `lanes` of one.
#[inline(always)]
unsafe fn block<L: Arithmetic, const V: usize, const WHOLE: bool>(
    chain: &[Link],
    slots: &[*mut L::Scalar],
    start: usize,
    lanes: usize,
) {
    // SAFETY: the processor has the instructions, and the slots hold these elements, by the caller's promise.
    unsafe {
        let mut value = [L::zero(); V];
        for link in chain {
            let [a, b] = link.slots.map(|slot| slots[slot].wrapping_add(start));
            let load = |from: *mut L::Scalar, vector: usize| match WHOLE {
                true => L::load(from.add(vector * L::N)),
                false => L::load_first(from, lanes),
            };
            macro_rules! each {
                (|$v:ident| $result:expr) => {
                    for vector in 0..V {
                        let $v = value[vector];
                        value[vector] = $result;
                    }
                };
                (|$v:ident, $a:ident| $result:expr) => {
                    for vector in 0..V {
                        let ($v, $a) = (value[vector], load(a, vector));
                        value[vector] = $result;
                    }
                };
                (|$v:ident, $a:ident, $b:ident| $result:expr) => {
                    for vector in 0..V {
                        let ($v, $a, $b) = (value[vector], load(a, vector), load(b, vector));
                        value[vector] = $result;
                    }
                };
            }
            match link.action {
                Action::Load => each!(|_v, a| a),
                Action::Store => {
                    for (vector, value) in value.iter().enumerate() {
                        if WHOLE {
                            value.store(a.add(vector * L::N));
                        } else {
                            value.store_first(a, lanes);
                        }
                    }
                }
                Action::Negate => each!(|v| v.negate()),
                Action::Absolute => each!(|v| v.absolute()),
                Action::Root => each!(|v| v.root()),
                Action::Square => each!(|v| v.multiply(v)),
                Action::Add => each!(|v, a| v.add(a)),
                Action::Subtract => each!(|v, a| v.subtract(a)),
                Action::SubtractFrom => each!(|v, a| a.subtract(v)),
                Action::Multiply => each!(|v, a| v.multiply(a)),
                Action::Divide => each!(|v, a| v.divide(a)),
                Action::DivideInto => each!(|v, a| a.divide(v)),
                Action::Maximum => each!(|v, a| v.maximum(a)),
                Action::MaximumOf => each!(|v, a| a.maximum(v)),
                Action::Minimum => each!(|v, a| v.minimum(a)),
                Action::MinimumOf => each!(|v, a| a.minimum(v)),
                Action::Compare(comparison) => each!(|v, a| v.compare(comparison, a)),
                Action::Select => each!(|v, a, b| v.select(a, b)),
                Action::Keep => each!(|v, a, b| a.select(v, b)),
                Action::Replace => each!(|v, a, b| a.select(b, v)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{Piece, operand_count, pieces};
    use crate::fuse::Scalar;
    use crate::kernel::elementwise;
    use crate::kernel::real::Real;
    use crate::loops::Instruction;
    use evenkeel_graph::op::{Binary, Comparison, Unary};
    use proptest::prelude::*;

    const SCALARS: [Scalar; 17] = [
        Scalar::Copy,
        Scalar::Unary(Unary::Negate),
        Scalar::Unary(Unary::Abs),
        Scalar::Unary(Unary::Sqrt),
        Scalar::Unary(Unary::Sign),
        Scalar::Binary(Binary::Add),
        Scalar::Binary(Binary::Subtract),
        Scalar::Binary(Binary::Multiply),
        Scalar::Binary(Binary::Divide),
        Scalar::Binary(Binary::Maximum),
        Scalar::Binary(Binary::Minimum),
        Scalar::Compare(Comparison::Greater),
        Scalar::Compare(Comparison::Less),
        Scalar::Compare(Comparison::Equal),
        Scalar::Compare(Comparison::LessOrEqual),
        Scalar::Compare(Comparison::NotEqual),
        Scalar::Select,
    ];
    const SLOTS: usize = 6;

    /// Bits of the slots after a body, all NaN as one: by instructions where `level` is not given.
    fn slots_after<T: Real>(body: &[Instruction], count: usize, level: Option<InstructionSet>) -> Vec<Vec<u64>> {
        let special = [0.0, -0.0, 1.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -2.5, 1e-3, 3.0, -7.0, 1e30];
        let element = |slot: usize, n: usize| T::of(special[(slot * 5 + n * (slot + 1)) % special.len()]);
        let mut slots: Vec<Vec<T>> = (0..SLOTS).map(|slot| (0..count).map(|n| element(slot, n)).collect()).collect();
        let at: Vec<*mut T> = slots.iter_mut().map(|slot| slot.as_mut_ptr()).collect();
        let execute = elementwise::compiled::<T>();
        // SAFETY: every slot has `count` elements, they are apart, and no instruction of the test writes where it reads.
        let alone =
            |step: &Instruction| unsafe { execute(step.scalar, count, at[step.to], step.from.map(|slot| at[slot])) };
        match level {
            None => body.iter().for_each(alone),
            // Outputs that read every slot.
            Some(level) => pieces(body, &outputs()).iter().for_each(|piece| match piece {
                // SAFETY: as above; the level is one that this machine has.
                Piece::Chain(links) => unsafe { super::at::<T>(level)(links, &at, count) },
                Piece::Alone(step) => alone(step),
            }),
        }
        let bits = |x: &T| if x.is_nan() { u64::MAX } else { x.f64().to_bits() };
        slots.iter().map(|slot| slot.iter().map(bits).collect()).collect()
    }

    fn outputs() -> Vec<crate::loops::Output> {
        let kind = || crate::loops::OutputKind::Store { deferred: false };
        (0..SLOTS)
            .map(|slot| crate::loops::Output { node: 0, dtype: evenkeel_graph::DType::F32, slot, kind: kind() })
            .collect()
    }

    proptest! {
        #[test]
        fn chains_give_the_bits_of_one_instruction_after_the_other(
            steps in proptest::collection::vec((0..SCALARS.len(), 0..SLOTS, [0..SLOTS, 0..SLOTS, 0..SLOTS]), 1..12),
            count in 1usize..300,
        ) {
            let instruction = |(scalar, to, from): (usize, usize, [usize; 3])| {
                Instruction { scalar: SCALARS[scalar], to, from }
            };
            let body: Vec<Instruction> = steps.into_iter().map(instruction).filter(|step| {
                !step.from[..operand_count(step.scalar)].contains(&step.to)
            }).map(|step| {
                // Operands that a function does not have repeat its first.
                let count = operand_count(step.scalar);
                let from = std::array::from_fn(|place| step.from[if place < count { place } else { 0 }]);
                Instruction { from, ..step }
            }).collect();
            for &level in InstructionSet::available() {
                prop_assert_eq!(slots_after::<f32>(&body, count, Some(level)), slots_after::<f32>(&body, count, None));
                prop_assert_eq!(slots_after::<f64>(&body, count, Some(level)), slots_after::<f64>(&body, count, None));
            }
        }
    }
}
