//! Loop bodies as chains: instructions that follow each other hand their values on in registers.
//!
//! A chain has one value at hand, a few vectors of it at a time. Each link loads it, combines it with a slot or stores it in one.
//! A value that the next instruction alone reads never reaches memory, and one operand of most instructions is at hand already.
//! Dear functions and casts stay instructions of their own, over whole slots.

use crate::fuse::Scalar;
use crate::loops::{Instruction, Output};
use evenkeel_graph::op::{Binary, Comparison, Unary};

/// A part of a loop body.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// Links over a few vectors after the other.
    Chain(Vec<Link>),
    /// One instruction over a whole slot.
    Alone(Instruction),
}

/// One step of a chain: what happens to the value at hand, and the slots that takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Link {
    pub(crate) action: Action,
    pub(crate) slots: [usize; 2],
}

/// What happens to the value at hand, v, with slots a and b.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Action {
    /// a
    Load,
    /// Stays, and a becomes v.
    Store,
    /// −v
    Negate,
    /// |v|
    Absolute,
    /// √v
    Root,
    /// v²
    Square,
    /// v + a
    Add,
    /// v − a
    Subtract,
    /// a − v
    SubtractFrom,
    /// v · a
    Multiply,
    /// v / a
    Divide,
    /// a / v
    DivideInto,
    /// The larger of v and a.
    Maximum,
    /// The larger of a and v: of equal ones, v.
    MaximumOf,
    /// The smaller of v and a.
    Minimum,
    /// The smaller of a and v: of equal ones, v.
    MinimumOf,
    /// 1 or 0.
    Compare(Comparison),
    /// a where v is not 0, else b.
    Select,
    /// v where a is not 0, else b.
    Keep,
    /// b where a is not 0, else v.
    Replace,
}

/// Cuts a body into pieces. `outputs` read the slots they name at the end.
pub(crate) fn pieces(body: &[Instruction], outputs: &[Output]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut chain: Vec<Link> = Vec::new();
    // The slot whose value is at hand.
    let mut at_hand: Option<usize> = None;
    for (number, instruction) in body.iter().enumerate() {
        let Some(links) = links(instruction, at_hand) else {
            if !chain.is_empty() {
                pieces.push(Piece::Chain(std::mem::take(&mut chain)));
            }
            at_hand = None;
            pieces.push(Piece::Alone(instruction.clone()));
            continue;
        };
        chain.extend(links);
        at_hand = Some(instruction.to);
        if is_stored(number, body, outputs) {
            chain.push(Link { action: Action::Store, slots: [instruction.to; 2] });
        }
    }
    if !chain.is_empty() {
        pieces.push(Piece::Chain(chain));
    }
    pieces
}

/// Whether `slot` is read by anything that comes after the value of `stored` is there, or while it is written.
pub(crate) fn reads_after(pieces: &[Piece], slot: usize, stored: usize) -> bool {
    let mut is_there = false;
    for piece in pieces {
        match piece {
            Piece::Chain(links) => {
                for link in links {
                    if is_there && link.reads(slot) {
                        return true;
                    }
                    is_there |= link.action == Action::Store && link.slots[0] == stored;
                }
            }
            Piece::Alone(instruction) => {
                // Operands that a function does not have are looked at all the same.
                is_there |= instruction.to == stored;
                if is_there && instruction.from.contains(&slot) {
                    return true;
                }
            }
        }
    }
    !is_there
}

/// Whether anybody needs the result of an instruction in its slot.
fn is_stored(number: usize, body: &[Instruction], outputs: &[Output]) -> bool {
    let slot = body[number].to;
    for (later, instruction) in body.iter().enumerate().skip(number + 1) {
        let operands = &instruction.from[..operand_count(instruction.scalar)];
        // The next one finds it at hand.
        let handed_over = later == number + 1
            && links(instruction, Some(slot)).is_some_and(|links| !links.iter().any(|link| link.reads(slot)));
        if operands.contains(&slot) && !handed_over {
            return true;
        }
        if instruction.to == slot {
            return false;
        }
    }
    outputs.iter().any(|output| output.slot == slot)
}

pub(crate) fn operand_count(scalar: Scalar) -> usize {
    match scalar {
        Scalar::Unary(_) | Scalar::Copy | Scalar::Whole | Scalar::Truth => 1,
        Scalar::Binary(_) | Scalar::Compare(_) => 2,
        Scalar::Select => 3,
    }
}

/// An instruction as links, given the slot whose value is at hand; `None` when it has to stand alone.
fn links(instruction: &Instruction, at_hand: Option<usize>) -> Option<Vec<Link>> {
    let [a, b, c] = instruction.from;
    let held = |slot: usize| at_hand == Some(slot);
    let link = |action: Action, slots: [usize; 2]| Link { action, slots };
    // Where nothing is at hand, the first operand is loaded.
    let first = |action: Action, slots: [usize; 2]| match held(a) {
        true => vec![link(action, slots)],
        false => vec![link(Action::Load, [a; 2]), link(action, slots)],
    };
    let both = |action: Action, swapped: Action| match held(b) && !held(a) {
        true => vec![link(swapped, [a; 2])],
        false => first(action, [b; 2]),
    };
    Some(match instruction.scalar {
        Scalar::Copy if held(a) => vec![],
        Scalar::Copy => vec![link(Action::Load, [a; 2])],
        Scalar::Unary(Unary::Negate) => first(Action::Negate, [a; 2]),
        Scalar::Unary(Unary::Abs) => first(Action::Absolute, [a; 2]),
        Scalar::Unary(Unary::Sqrt) => first(Action::Root, [a; 2]),
        Scalar::Binary(Binary::Multiply) if a == b => first(Action::Square, [a; 2]),
        Scalar::Binary(Binary::Add) => both(Action::Add, Action::Add),
        Scalar::Binary(Binary::Subtract) => both(Action::Subtract, Action::SubtractFrom),
        Scalar::Binary(Binary::Multiply) => both(Action::Multiply, Action::Multiply),
        Scalar::Binary(Binary::Divide) => both(Action::Divide, Action::DivideInto),
        Scalar::Binary(Binary::Maximum) => both(Action::Maximum, Action::MaximumOf),
        Scalar::Binary(Binary::Minimum) => both(Action::Minimum, Action::MinimumOf),
        Scalar::Compare(comparison) => both(Action::Compare(comparison), Action::Compare(swapped(comparison))),
        Scalar::Select if held(a) || !(held(b) || held(c)) => first(Action::Select, [b, c]),
        Scalar::Select if held(b) => vec![link(Action::Keep, [a, c])],
        Scalar::Select => vec![link(Action::Replace, [a, b])],
        Scalar::Unary(_) | Scalar::Binary(Binary::Power) | Scalar::Whole | Scalar::Truth => return None,
    })
}

/// What b is to a where a is so to b.
fn swapped(comparison: Comparison) -> Comparison {
    match comparison {
        Comparison::Greater => Comparison::Less,
        Comparison::Less => Comparison::Greater,
        Comparison::GreaterOrEqual => Comparison::LessOrEqual,
        Comparison::LessOrEqual => Comparison::GreaterOrEqual,
        Comparison::Equal | Comparison::NotEqual => comparison,
    }
}

impl Link {
    /// Whether it reads a slot.
    fn reads(&self, slot: usize) -> bool {
        match self.action {
            Action::Store | Action::Negate | Action::Absolute | Action::Root | Action::Square => false,
            Action::Select | Action::Keep | Action::Replace => self.slots.contains(&slot),
            _ => self.slots[0] == slot,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loops::OutputKind;
    use evenkeel_graph::DType;

    fn instruction(scalar: Scalar, to: usize, from: [usize; 3]) -> Instruction {
        Instruction { scalar, to, from }
    }

    fn actions(pieces: &[Piece]) -> Vec<Vec<Action>> {
        let one = |piece: &Piece| match piece {
            Piece::Chain(links) => links.iter().map(|link| link.action).collect(),
            Piece::Alone(_) => vec![],
        };
        pieces.iter().map(one).collect()
    }

    fn stored(slot: usize) -> Output {
        Output { node: 0, dtype: DType::F32, slot, kind: OutputKind::Store { deferred: false } }
    }

    #[test]
    fn a_value_that_the_next_instruction_alone_reads_is_never_stored() {
        let (subtract, multiply) = (Scalar::Binary(Binary::Subtract), Scalar::Binary(Binary::Multiply));
        let body = [instruction(subtract, 3, [0, 1, 0]), instruction(multiply, 4, [2, 3, 0])];
        let pieces = pieces(&body, &[stored(4)]);
        assert_eq!(actions(&pieces), [[Action::Load, Action::Subtract, Action::Multiply, Action::Store]]);
        // The result may lie over any operand but one that is read after it.
        assert!((0..3).all(|slot| !reads_after(&pieces, slot, 4)));
    }

    #[test]
    fn what_is_read_twice_or_leaves_the_loop_is_stored() {
        let (add, negate) = (Scalar::Binary(Binary::Add), Scalar::Unary(Unary::Negate));
        let body = [instruction(add, 2, [0, 1, 0]), instruction(negate, 3, [2, 0, 0]), instruction(add, 4, [2, 0, 0])];
        let pieces = pieces(&body, &[stored(3), stored(4)]);
        let expected = [
            [Action::Load, Action::Add, Action::Store].as_slice(),
            &[Action::Negate, Action::Store],
            &[Action::Load, Action::Add, Action::Store],
        ];
        assert_eq!(actions(&pieces), [expected.concat()]);
        assert!(reads_after(&pieces, 0, 3) && !reads_after(&pieces, 1, 3) && !reads_after(&pieces, 0, 4));
    }

    #[test]
    fn a_dear_function_takes_whole_slots_from_memory() {
        let (add, exp) = (Scalar::Binary(Binary::Add), Scalar::Unary(Unary::Exp));
        let body = [instruction(add, 2, [0, 1, 0]), instruction(exp, 3, [2, 0, 0]), instruction(add, 4, [3, 3, 0])];
        let pieces = pieces(&body, &[stored(4)]);
        let first = vec![Action::Load, Action::Add, Action::Store];
        assert_eq!(actions(&pieces), [first.clone(), vec![], first]);
        assert!(reads_after(&pieces, 2, 3) && !reads_after(&pieces, 1, 3));
    }
}
