//! What did a learner of rate and momentum see, and what did it make of it?

use plotly::common::Mode;
use plotly::layout::{Axis, RangeMode};

use super::facts::Facts;
use super::figures::add;
use super::page::Figure;
use super::plot::{AMBER, BLUE, Points, axis, json, log, plot, solid, spread};
use super::text::integer;
use crate::Result;
use crate::store::LearnerMeasurement;

/// The extremes of the curvature at each look; what was made of them is among the rates of the steps.
pub(super) fn figure(facts: &Facts, steps: Axis) -> Result<Figure> {
    let line = |of: fn(&LearnerMeasurement) -> f64| -> Points {
        facts.learned.iter().map(|one| (one.step as f64, Some(of(one)).filter(|value| value.is_finite()))).collect()
    };
    let (largest, least) = (line(|one| one.largest), line(|one| one.least));
    let curvature = axis("|Ritz value|");
    let positive = largest.iter().chain(&least).filter_map(|(_, y)| *y).filter(|y| *y > 0.0);
    let curvature = match spread(positive) {
        Some((low, high)) if high / low > 30.0 => log(curvature, low, high),
        _ => curvature.range_mode(RangeMode::ToZero),
    };
    let mut plot = plot(steps, curvature);
    add(&mut plot, "largest", &largest, solid(BLUE), 2.0, Mode::LinesMarkers);
    add(&mut plot, "least", &least, solid(AMBER), 2.0, Mode::LinesMarkers);
    let (first, clipped) = (facts.learned.first(), facts.learned.iter().filter(|one| one.clipped).count());
    let how = first.map_or_else(String::new, |one| {
        format!(
            "Rule {}, {} Hessian products over {} samples in norm mode {}. ",
            one.kind,
            one.values.len(),
            integer(one.samples),
            one.norm_mode
        )
    });
    Ok(Figure {
        id: "learner".to_owned(),
        title: "What rate and momentum were learned from".to_owned(),
        caption: format!(
            "{how}The largest and the least size of the Hessian's Ritz values along one random vector at each look; rate and momentum are in the \
             figure before. {clipped} of {} looks ended at a bound of the rate or the momentum.",
            facts.learned.len()
        ),
        wide: true,
        plot: json(&plot)?,
        table: "learner".to_owned(),
        columns: Vec::new(),
    })
}
