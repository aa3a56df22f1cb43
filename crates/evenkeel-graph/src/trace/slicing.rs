//! Parts of a value, and values put together from parts: slice, reverse, pad, split and concat.

use crate::error::Error;
use crate::graph::{Graph, Var};
use crate::op::{Op, Progression};
use crate::shape::Shape;
use std::ops::Range;

impl<'g> Var<'g> {
    /// The elements within a range of every axis.
    #[track_caller]
    pub fn slice(self, ranges: &[Range<usize>]) -> Var<'g> {
        let whole = |range: &Range<usize>| Progression::new(range.start, 1, range.end.saturating_sub(range.start));
        match ranges.iter().find(|range| range.start > range.end) {
            Some(range) => self.refuse("slice", format!("{range:?} ends before it starts")),
            None => self.slice_at(ranges.iter().map(whole).collect()),
        }
    }

    /// The elements within a range of one axis.
    #[track_caller]
    pub fn slice_along(self, axis: usize, range: Range<usize>) -> Var<'g> {
        self.slice_along_by(axis, range, 1)
    }

    /// Every `step`-th element of a range of one axis, from its start on.
    #[track_caller]
    pub fn slice_along_by(self, axis: usize, range: Range<usize>, step: usize) -> Var<'g> {
        if self.is_poison() {
            return self;
        }
        let shape = self.shape();
        let Some(signed) = isize::try_from(step).ok().filter(|&step| step > 0) else {
            return self.refuse("slice", format!("a step of {step}"));
        };
        if axis >= shape.len() || range.start > range.end || range.end > shape[axis] {
            return self.refuse("slice", format!("{range:?} is no range of axis {axis} of {shape}"));
        }
        let mut along: Vec<Progression> = shape.iter().map(|&extent| Progression::whole(extent)).collect();
        along[axis] = Progression::new(range.start, signed, range.len().div_ceil(step));
        self.slice_at(along)
    }

    /// The slice at one place of an axis, which vanishes.
    #[track_caller]
    pub fn at(self, axis: usize, place: usize) -> Var<'g> {
        let part = self.slice_along(axis, place..place.saturating_add(1));
        if part.is_poison() { part } else { part.reshape(part.shape().without(&[axis])) }
    }

    /// The elements at positions of every axis: what the other slices are written with.
    #[track_caller]
    pub fn slice_at(self, along: Vec<Progression>) -> Var<'g> {
        if self.is_poison() {
            return self;
        }
        let shape = self.shape();
        let fits =
            along.len() == shape.len() && along.iter().zip(shape.iter()).all(|(along, &extent)| along.fits(extent));
        if !fits {
            return self.refuse("slice", format!("{} do not lie in {shape}", list(&along)));
        }
        if along.iter().zip(shape.iter()).all(|(along, &extent)| along.is_whole(extent)) {
            return self;
        }
        let result: Vec<usize> = along.iter().map(Progression::count).collect();
        self.graph().push(Op::Slice(along), &[self.id()], result.into(), self.dtype())
    }

    /// The same elements with some axes read backwards.
    #[track_caller]
    pub fn reverse(self, axes: &[usize]) -> Var<'g> {
        if self.is_poison() {
            return self;
        }
        let shape = self.shape();
        if axes.iter().any(|&axis| axis >= shape.len()) {
            return self.refuse("reverse", format!("axes {axes:?} are not axes of {shape}"));
        }
        let along = shape.iter().enumerate().map(|(axis, &extent)| {
            if axes.contains(&axis) && extent > 0 {
                Progression::new(extent - 1, -1, extent)
            } else {
                Progression::whole(extent)
            }
        });
        self.slice_at(along.collect())
    }

    /// Zeros around: `margins[axis]` is how many come before and after.
    #[track_caller]
    pub fn pad(self, margins: &[[usize; 2]]) -> Var<'g> {
        self.pad_with(margins, &vec![0; margins.len()])
    }

    /// Zeros around, and `gaps[axis]` of them between neighbours.
    #[track_caller]
    pub fn pad_with(self, margins: &[[usize; 2]], gaps: &[usize]) -> Var<'g> {
        if self.is_poison() {
            return self;
        }
        let shape = self.shape();
        if margins.len() != shape.len() || gaps.len() != shape.len() {
            return self.refuse("pad", format!("margins {margins:?} and gaps {gaps:?} do not go with {shape}"));
        }
        let axes = shape.iter().zip(margins).zip(gaps).map(|((&count, &[low, high]), &gap)| {
            let step = gap.checked_add(1).and_then(|step| isize::try_from(step).ok())?;
            let reach = step.unsigned_abs().checked_mul(count.saturating_sub(1))?.checked_add(count.min(1))?;
            Some((Progression::new(low, step, count), low.checked_add(reach)?.checked_add(high)?))
        });
        let Some(axes) = axes.collect::<Option<Vec<_>>>() else {
            return self.refuse("pad", format!("margins {margins:?} and gaps {gaps:?} are too large"));
        };
        let (along, result): (Vec<_>, Vec<_>) = axes.into_iter().unzip();
        self.pad_at(along, &result.into())
    }

    /// Zeros of a shape with this value written at positions of every axis: what the other pads are written with, and the
    /// transpose of [`Var::slice_at`].
    #[track_caller]
    pub fn pad_at(self, along: Vec<Progression>, shape: &Shape) -> Var<'g> {
        if self.is_poison() {
            return self;
        }
        let own = self.shape();
        let fits = along.len() == own.len()
            && shape.len() == own.len()
            && along.iter().zip(own.iter()).all(|(along, &extent)| along.count() == extent)
            && along.iter().zip(shape.iter()).all(|(along, &extent)| along.fits(extent));
        if !fits {
            return self.refuse("pad", format!("{own} cannot be written at {} of {shape}", list(&along)));
        }
        if along.iter().zip(shape.iter()).all(|(along, &extent)| along.is_whole(extent)) {
            return self;
        }
        self.graph().push(Op::Pad(along), &[self.id()], shape.clone(), self.dtype())
    }

    /// Equal parts along an axis, in order; 65,536 at most.
    #[track_caller]
    pub fn split(self, axis: usize, parts: usize) -> Vec<Var<'g>> {
        const MOST: usize = 1 << 16;
        let shape = self.shape();
        let extent = shape.get(axis).copied().unwrap_or(0);
        if !(1..=extent.clamp(1, MOST)).contains(&parts) || axis >= shape.len() || !extent.is_multiple_of(parts) {
            let problem = format!("axis {axis} of {shape} does not fall into {parts} equal parts");
            // As many as were asked for, so that what takes them apart goes on, but no absurd number.
            return vec![self.refuse("split", problem); parts.min(MOST)];
        }
        let size = extent / parts;
        (0..parts).map(|part| self.slice_along(axis, part * size..(part + 1) * size)).collect()
    }

    #[track_caller]
    fn refuse(self, operation: &str, problem: String) -> Var<'g> {
        if self.is_poison() { self } else { self.graph().fail(Error::new(operation, problem, vec![self.operand()])) }
    }
}

impl Graph {
    /// Values one after the other along an axis; all their other extents and their types are the same.
    #[track_caller]
    pub fn concat<'g>(&'g self, values: &[Var<'g>], axis: usize) -> Var<'g> {
        if values.iter().any(|value| value.is_poison()) {
            return self.var(crate::graph::POISON);
        }
        let refuse = |problem: String| {
            let operands = values.iter().map(|value| value.operand()).collect();
            self.fail(Error::new("concat", problem, operands))
        };
        let Some((first, rest)) = values.split_first() else { return refuse("needs at least one value".into()) };
        if values.iter().any(|value| !std::ptr::eq(value.graph(), self)) {
            return refuse("the values belong to two different graphs".into());
        }
        let shape = first.shape();
        if axis >= shape.len() {
            return refuse(format!("{shape} has no axis {axis}"));
        }
        let goes_with = |value: &Var<'_>| {
            let other = value.shape();
            other.len() == shape.len()
                && other.without(&[axis]) == shape.without(&[axis])
                && value.dtype() == first.dtype()
        };
        if let Some(other) = rest.iter().find(|value| !goes_with(value)) {
            let problem = format!(
                "{} {shape} and {} {} do not join along axis {axis}",
                first.dtype(),
                other.dtype(),
                other.shape()
            );
            return refuse(problem);
        }
        let total = values.iter().try_fold(0usize, |total, value| total.checked_add(value.shape()[axis]));
        let Some(total) = total else { return refuse("too many elements".into()) };
        if rest.is_empty() {
            return *first;
        }
        let mut extents = shape.to_vec();
        extents[axis] = total;
        let ids: Vec<_> = values.iter().map(|value| value.id()).collect();
        self.push(Op::Concat { axis }, &ids, extents.into(), first.dtype())
    }
}

/// Positions as an error shows them: `0, 2, .. 8` becomes `0..9 by 2`.
fn list(along: &[Progression]) -> String {
    let one = |along: &Progression| match along.step() {
        1 => format!("{}..{}", along.first(), along.first().saturating_add(along.count())),
        step => format!("{} positions from {} by {step}", along.count(), along.first()),
    };
    format!("[{}]", along.iter().map(one).collect::<Vec<_>>().join(", "))
}
