//! What did a learner of rate and momentum see, and what did it make of it?

use plotly::common::{Line, Mode};
use plotly::layout::{Axis, RangeMode};
use plotly::{Plot, Scatter};

use super::facts::Facts;
use super::figures::add;
use super::page::Figure;
use super::plot::{
    AMBER, BLUE, GREEN, Points, axis, configuration, decimate, json, layout, log, mode_for, solid, spread, xs, ys,
};
use super::text::integer;
use crate::Result;
use crate::store::LearnerMeasurement;

/// The extremes of the curvature at each look, and the momentum of each step; the rate has a figure of its own.
pub(super) fn figure(facts: &Facts, steps: Axis) -> Result<Figure> {
    let line = |of: fn(&LearnerMeasurement) -> f64| -> Points {
        facts.learned.iter().map(|one| (one.step as f64, Some(of(one)).filter(|value| value.is_finite()))).collect()
    };
    let (largest, least) = (line(|one| one.largest), line(|one| one.least));
    let momentum: Points =
        facts.metrics.series("momentum").into_iter().map(|(step, value)| (step as f64, Some(value))).collect();
    let curvature = axis("|Ritz value|").domain(&[0.0, 0.46]).anchor("x");
    let positive = largest.iter().chain(&least).filter_map(|(_, y)| *y).filter(|y| *y > 0.0);
    let curvature = match spread(positive) {
        Some((low, high)) if high / low > 30.0 => log(curvature, low, high),
        _ => curvature,
    };
    let mut plot = Plot::new();
    let upper = axis("momentum").domain(&[0.56, 1.0]).anchor("x").range_mode(RangeMode::ToZero);
    plot.set_layout(layout(steps.anchor("y"), curvature).y_axis2(upper));
    plot.set_configuration(configuration());
    add(&mut plot, "largest", &largest, solid(BLUE), 2.0, Mode::LinesMarkers);
    add(&mut plot, "least", &least, solid(AMBER), 2.0, Mode::LinesMarkers);
    if !momentum.is_empty() {
        let drawn = decimate(&momentum);
        let line = Scatter::new(xs(&drawn), ys(&drawn)).name("momentum").y_axis("y2");
        let line = line.mode(mode_for(&momentum, Mode::Lines)).line(Line::new().color(solid(GREEN)).width(2.0));
        plot.add_trace(line.hover_template("%{y:.4~g}"));
    }
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
            "{how}Below: the largest and the least size of the Hessian's Ritz values along one random vector at each look. Above: the momentum of \
             each step. {clipped} of {} looks ended at a bound of the rate or the momentum.",
            facts.learned.len()
        ),
        wide: true,
        plot: json(&plot)?,
        table: "learner".to_owned(),
        columns: Vec::new(),
    })
}
