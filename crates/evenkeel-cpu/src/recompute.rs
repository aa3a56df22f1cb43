//! Programs that fit a limit of memory, by computing values again instead of keeping them.

use crate::compile::Options;
use crate::error::{Error, Result};
use crate::program::Program;
use evenkeel_graph::Function;

/// Into how many segments the part before the turn is cut. The memory falls up to the square root of the number of layers.
const SEGMENTS: [usize; 11] = [2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64];
/// How many turns are relieved: where the first one is, and where most waits then.
const TURNS: usize = 2;

/// The program of the least work among those that were tried whose arena takes at most `limit` bytes. Cost: some ten
/// compilations a turn.
///
/// # Errors
/// [`Error::MemoryLimit`] with the least that was reached.
pub(crate) fn within(program: Program, options: &Options, limit: usize) -> Result<Program> {
    let mut least = program;
    for _ in 0..TURNS {
        if least.arena_bytes() <= limit {
            return Ok(least);
        }
        match Turn::new(&least, options, limit).relieve() {
            Relief::Enough(program) => return Ok(program),
            Relief::Nearest(program) if program.arena_bytes() < least.arena_bytes() => least = program,
            _ => break,
        }
    }
    Err(Error::MemoryLimit { limit, least: least.arena_bytes() })
}

/// A function at its busiest node.
struct Turn<'f> {
    function: Function,
    options: &'f Options,
    limit: usize,
    at: usize,
}

enum Relief {
    /// The least work that fits.
    Enough(Program),
    /// Nothing fits; this comes nearest.
    Nearest(Program),
}

impl<'f> Turn<'f> {
    /// The turn of a program, with nodes in the order in which it runs them.
    fn new(program: &Program, options: &'f Options, limit: usize) -> Self {
        let function = program.function().in_order(&program.step_of_nodes());
        Turn { at: function.busiest(), function, options, limit }
    }

    fn attempt(&self, segments: usize, again: usize) -> Program {
        Program::lay_out(&self.function.recompute(self.at, segments, again), self.options)
    }

    fn fits(&self, program: &Program) -> bool {
        program.arena_bytes() <= self.limit
    }

    fn relieve(&self) -> Relief {
        let mut nearest = self.attempt(1, 0);
        if self.fits(&nearest) {
            return Relief::Enough(nearest);
        }
        let mut found: Option<Program> = None;
        for segments in SEGMENTS {
            let all = self.attempt(segments, segments - 1);
            if self.fits(&all) {
                let program = self.least_that_fits(segments, all);
                match &found {
                    Some(found) if found.function().flops() <= program.function().flops() => break,
                    _ => found = Some(program),
                }
            } else if all.arena_bytes() < nearest.arena_bytes() {
                nearest = all;
            }
        }
        found.map_or(Relief::Nearest(nearest), Relief::Enough)
    }

    /// How few of the segments need to be computed again; `all` but the last are known to do.
    fn least_that_fits(&self, segments: usize, all: Program) -> Program {
        let (mut from, mut enough, mut found) = (0, segments - 1, all);
        while from < enough {
            let again = from.midpoint(enough);
            let program = self.attempt(segments, again);
            if self.fits(&program) {
                (enough, found) = (again, program);
            } else {
                from = again + 1;
            }
        }
        found
    }
}
