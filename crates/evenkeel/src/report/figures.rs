//! Which figures does the report show, and what is in each?

use plotly::color::Rgba;
use plotly::common::{DashType, HoverInfo, Line, Marker, MarkerSymbol, Mode};
use plotly::layout::{Axis, AxisRange, RangeMode};
use plotly::{Plot, Scatter};

use super::facts::Facts;
use super::page::Figure;
use super::plot::{
    AMBER, BLUE, GREEN, Hue, PURPLE, Points, VERMILION, axis, configuration, decimate, json, layout, log, mode_for,
    plot, shares, solid, spread, thin, xs, ys,
};
use super::text::{escape, integer, marked, norm_mode, significant};
use crate::Result;
use crate::init::InitMeasurement;
use std::collections::HashMap;

pub(super) fn all(facts: &Facts) -> Result<Vec<Figure>> {
    let mut figures = vec![loss(facts)?];
    if facts.has_accuracy() {
        figures.push(accuracy(facts)?);
    }
    figures.extend([sharpness(facts)?, step_size(facts)?]);
    if !facts.learned.is_empty() {
        figures.push(super::learner::figure(facts, steps(facts))?);
    }
    figures.extend(super::dynamics::figures(facts)?);
    figures.extend(super::layers::figures(&facts.layers)?);
    if let Some(found) = &facts.initialization {
        figures.push(initialization(found)?);
    }
    Ok(figures)
}

/// What a method made of the drawn weights, parameter by parameter.
fn initialization(found: &InitMeasurement) -> Result<Figure> {
    let names: Vec<String> = found.parameters.iter().map(|one| escape(&one.parameter)).collect();
    let finite = |value: f64| value.is_finite().then_some(value);
    let scales: Vec<Option<f64>> = found.parameters.iter().map(|one| finite(one.scale)).collect();
    let y_axis = axis("length after / before");
    let y_axis = match spread(scales.iter().flatten().copied()) {
        Some((low, high)) if high / low > 10.0 => log(y_axis, low, high),
        _ => y_axis.range_mode(RangeMode::ToZero),
    };
    let mut plot = plot(axis("").tick_angle(-45.0), y_axis);
    let marker = Marker::new().color(solid(BLUE)).size(8);
    let trace = Scatter::new(names, scales).name("factor").mode(Mode::Markers).marker(marker);
    plot.add_trace(trace.hover_template("%{x}<br>%{y:.4~g}<extra></extra>"));
    let norm = |one: f64| significant(one, 3);
    Ok(Figure {
        id: "initialization".to_owned(),
        title: "What was made of the drawn weights".to_owned(),
        caption: format!(
            "Factor of each parameter by {}. Over {} samples the loss went from {} to {} and the norm of its gradient from {} to {}.",
            found.method,
            integer(found.samples),
            norm(found.before.loss),
            norm(found.after.loss),
            norm(found.before.gradient_norm),
            norm(found.after.gradient_norm),
        ),
        wide: true,
        plot: json(&plot)?,
        table: "initialization".to_owned(),
        columns: Vec::new(),
    })
}

fn loss(facts: &Facts) -> Result<Figure> {
    let running = points(facts, "loss");
    let (smoothed, window) = smooth(&running);
    let (train, test) = (points(facts, "train_loss"), points(facts, "test_loss"));
    let positive = [&running, &train, &test].iter().all(|line| line.iter().all(|(_, y)| y.is_none_or(|y| y > 0.0)));
    let spread = spread([&smoothed, &train, &test].into_iter().flatten().filter_map(|(_, y)| *y));
    let y_axis = axis(if facts.nats.is_empty() { "loss" } else { "loss (nats)" });
    let y_axis = match spread {
        Some((low, high)) if positive && high / low > 30.0 => log(y_axis, low, high),
        _ => y_axis,
    };
    let mut plot = plot(steps(facts), y_axis);
    add_scattered(&mut plot, "batch", &running, &smoothed, window, AMBER);
    add(&mut plot, "train, per epoch", &train, solid(BLUE), 2.0, Mode::LinesMarkers);
    add_dashed(&mut plot, "test, per epoch", &test, VERMILION);
    let smoothing = if window > 1 { format!("; smoothed: mean of {window} steps") } else { String::new() };
    Ok(Figure {
        id: "loss".to_owned(),
        title: "Loss".to_owned(),
        caption: format!(
            "Mean loss of each training batch; per epoch, its mean over the epoch's batches and the loss over the whole test set{smoothing}."
        ),
        wide: false,
        plot: json(&plot)?,
        table: "metrics".to_owned(),
        columns: vec!["step", "epoch", "loss", "train_loss", "test_loss"],
    })
}

fn accuracy(facts: &Facts) -> Result<Figure> {
    let batch = points(facts, "accuracy");
    let y_axis = shares(axis("accuracy"));
    let y_axis = if batch.len() < 2 { y_axis.range(AxisRange::new(0.0, 1.05)) } else { y_axis };
    let mut plot = plot(steps(facts), y_axis);
    let (smoothed, window) = smooth(&batch);
    if window > 1 {
        add(&mut plot, "batch, smoothed", &smoothed, thin(AMBER, 0.8), 1.5, Mode::Lines);
    } else {
        add(&mut plot, "batch", &batch, thin(AMBER, 0.8), 1.5, Mode::Lines);
    }
    add(&mut plot, "train, per epoch", &points(facts, "train_accuracy"), solid(BLUE), 2.0, Mode::LinesMarkers);
    add_dashed(&mut plot, "test, per epoch", &points(facts, "test_accuracy"), VERMILION);
    Ok(Figure {
        id: "accuracy".to_owned(),
        title: "Accuracy".to_owned(),
        caption: "Share of samples classified correctly.".to_owned(),
        wide: false,
        plot: json(&plot)?,
        table: "metrics".to_owned(),
        columns: vec!["step", "epoch", "accuracy", "train_accuracy", "test_accuracy"],
    })
}

fn sharpness(facts: &Facts) -> Result<Figure> {
    let mut measured: Vec<f64> = facts.hessians.iter().filter_map(|one| Some(one.top()?.value)).collect();
    measured.retain(|value| value.is_finite());
    let mut rates = points(facts, "learning_rate");
    if rates.is_empty() {
        rates = facts.hessians.iter().map(|one| (one.step as f64, Some(one.learning_rate))).collect();
    }
    let momenta: HashMap<u64, f64> = facts.metrics.series("momentum").into_iter().collect();
    let lines: Vec<(String, Points, DashType)> = thresholds(facts.momentum, !momenta.is_empty())
        .into_iter()
        .map(|(name, share, dash)| {
            // A learner gives each step a momentum of its own.
            let momentum = |step: f64| momenta.get(&(step as u64)).copied().unwrap_or(facts.momentum);
            let over =
                |step, rate: f64| (rate > 0.0 && rate.is_finite()).then(|| (2.0 + 2.0 * share * momentum(step)) / rate);
            (name, rates.iter().map(|(step, rate)| (*step, rate.and_then(|rate| over(*step, rate)))).collect(), dash)
        })
        .collect();
    let (y_axis, logarithmic) = sharpness_axis(&measured, &lines);
    let mut plot = plot(steps(facts), y_axis);
    if !measured.is_empty() {
        for (name, line, dash) in &lines {
            let style = Line::new().color(solid(VERMILION)).width(2.0).dash(dash.clone());
            add_line(&mut plot, name, line, style);
        }
    }
    let styles = [
        (BLUE, MarkerSymbol::Circle, MarkerSymbol::CircleOpen),
        (GREEN, MarkerSymbol::Square, MarkerSymbol::SquareOpen),
        (PURPLE, MarkerSymbol::Diamond, MarkerSymbol::DiamondOpen),
        (AMBER, MarkerSymbol::TriangleUp, MarkerSymbol::TriangleUpOpen),
    ];
    for (group, (color, filled, open)) in facts.groups().iter().zip(styles.iter().cycle()) {
        let series = facts.measured(group);
        let several_types = facts.groups().iter().any(|other| other.dtype != group.dtype);
        let dtype = if several_types { format!(", {}", group.dtype) } else { String::new() };
        let name = format!("λ_max: {}, {} samples{dtype}", norm_mode(&group.norm_mode), integer(group.samples));
        let line = series.iter().map(|one| (one.step as f64, one.top().map(|top| top.value))).collect::<Points>();
        let joined = Scatter::new(xs(&line), ys(&line))
            .mode(Mode::Lines)
            .line(Line::new().color(solid(*color)).width(1.5))
            .legend_group(&name)
            .show_legend(false)
            .hover_info(HoverInfo::Skip);
        plot.add_trace(joined);
        for (converged, symbol) in [(true, filled), (false, open)] {
            let part: Vec<_> =
                series.iter().filter(|one| one.top().is_some_and(|top| top.converged == converged)).collect();
            if part.is_empty() {
                continue;
            }
            let hover = part.iter().map(|one| hover_of(one)).collect();
            let shown = part.iter().map(|one| (one.step as f64, one.top().map(|top| top.value))).collect::<Points>();
            let label = if converged { name.clone() } else { format!("{name}, not converged") };
            let marker = Marker::new().color(solid(*color)).size(9).symbol(symbol.clone());
            let marks = Scatter::new(xs(&shown), ys(&shown))
                .mode(Mode::Markers)
                .marker(marker.line(Line::new().width(2.0).color(solid(*color))))
                .name(marked(&escape(&label)))
                .legend_group(&name)
                .hover_text_array(hover)
                .hover_template("%{hovertext}<extra></extra>");
            plot.add_trace(marks);
        }
    }
    let momentum = if facts.momentum > 0.0 { ", and with momentum β below (2 + 2β)/lr" } else { "" };
    let stable = if facts.descends_the_gradient() {
        "On a quadratic, gradient descent is stable below 2/lr"
    } else {
        "The line 2/lr is for orientation: this optimiser rescales the gradient"
    };
    let scale = if logarithmic { " Logarithmic scale." } else { "" };
    Ok(Figure {
        id: "sharpness".to_owned(),
        title: "Sharpness against the learning rate".to_owned(),
        caption: format!(
            "Largest eigenvalue λ_max of the Hessian of the loss. {stable}{momentum}. Open marks had not converged.{scale}"
        ),
        wide: true,
        plot: if measured.is_empty() { None } else { json(&plot)? },
        table: "measurements".to_owned(),
        columns: Vec::new(),
    })
}

/// Name, share of the momentum that counts, and dash of the lines above which gradient descent is unstable on a quadratic.
fn thresholds(momentum: f64, learned: bool) -> Vec<(String, f64, DashType)> {
    let mut lines = vec![("2/lr".to_owned(), 0.0, DashType::Solid)];
    if learned {
        lines.push(("(2 + 2β)/lr, β learned".to_owned(), 1.0, DashType::Dash));
    } else if momentum > 0.0 {
        lines.push((format!("(2 + 2β)/lr, β = {momentum}"), 1.0, DashType::Dash));
    }
    lines
}

/// An axis that shows all of λ_max and the thresholds as far as they are near it: 2/lr has no bound as lr goes to 0.
fn sharpness_axis(measured: &[f64], lines: &[(String, Points, DashType)]) -> (Axis, bool) {
    let bound =
        |line: &Points| line.iter().filter_map(|(_, y)| *y).filter(|y| y.is_finite()).fold(f64::INFINITY, f64::min);
    let nearest: Vec<f64> = lines.iter().map(|(_, line, _)| bound(line)).filter(|y| y.is_finite()).collect();
    let farthest = lines.iter().flat_map(|(_, line, _)| line.iter().filter_map(|(_, y)| *y)).fold(0.0, f64::max);
    let top = measured.iter().chain(&nearest).copied().fold(0.0, f64::max);
    let positive = measured.iter().all(|value| *value > 0.0);
    let bottom = measured.iter().chain(&nearest).copied().fold(f64::INFINITY, f64::min);
    let y_axis = axis("λ<sub>max</sub>");
    if positive && (top / bottom > 20.0 || farthest / bottom > 20.0) {
        let high = farthest.max(top).min(8.0 * top);
        let range = AxisRange::new((bottom / 1.6).log10(), (high * 1.6).log10());
        (log(y_axis, bottom, high).range(range), true)
    } else {
        let low = bottom.min(0.0);
        let high = farthest.max(top).min(2.0 * top);
        (y_axis.range(AxisRange::new(low * 1.08, high * 1.08)), false)
    }
}

fn hover_of(one: &crate::store::HessianMeasurement) -> String {
    let Some(top) = one.top() else { return String::new() };
    format!(
        "<b>λ<sub>max</sub> = {}</b><br>step {}<br>{}, {} samples, {}<br>residual {}, {}<br>λ<sub>max</sub> · lr / 2 = {}",
        significant(top.value, 5),
        integer(one.step),
        escape(&norm_mode(&one.norm_mode)),
        integer(one.samples),
        escape(&one.dtype),
        significant(top.residual, 2),
        if top.converged { "converged" } else { "<b>not converged</b>" },
        significant(super::reading::ratio(one), 3)
    )
}

fn step_size(facts: &Facts) -> Result<Figure> {
    let (rates, norms) = (points(facts, "learning_rate"), points(facts, "gradient_norm"));
    let momenta = points(facts, "momentum");
    let (smoothed, window) = smooth(&norms);
    // Where each step has a momentum of its own, it lies between the two.
    let [below, between, above]: [[f64; 2]; 3] = if momenta.is_empty() {
        [[0.0, 0.46], [0.5; 2], [0.56, 1.0]]
    } else {
        [[0.0, 0.32], [0.43, 0.68], [0.77, 1.0]]
    };
    let norm_axis = axis("gradient norm").domain(&below).anchor("x");
    let norm_axis = match spread(smoothed.iter().filter_map(|(_, y)| *y)) {
        // A low panel has room for a mark a decade.
        Some((low, high)) if high / low > 100.0 && !momenta.is_empty() => log(norm_axis, low, high.max(2e4 * low)),
        Some((low, high)) if high / low > 30.0 => log(norm_axis, low, high),
        _ => norm_axis,
    };
    let mut plot = Plot::new();
    let rate_axis = axis("learning rate").domain(&above).anchor("x").range_mode(RangeMode::ToZero);
    let mut axes = layout(steps(facts).anchor("y"), norm_axis).y_axis2(rate_axis);
    if !momenta.is_empty() {
        let momentum_axis = axis("momentum").domain(&between).anchor("x");
        axes = axes.y_axis3(momentum_axis.range(AxisRange::new(0.0, 1.0)).dtick(0.5));
    }
    plot.set_layout(axes);
    plot.set_configuration(configuration());
    add_scattered(&mut plot, "gradient norm", &norms, &smoothed, window, GREEN);
    for (name, of_steps, hue, y_axis) in [("momentum", &momenta, BLUE, "y3"), ("learning rate", &rates, PURPLE, "y2")] {
        if !of_steps.is_empty() {
            let drawn = decimate(of_steps);
            let line = Scatter::new(xs(&drawn), ys(&drawn)).name(name).y_axis(y_axis);
            let line = line.mode(mode_for(of_steps, Mode::Lines)).line(Line::new().color(solid(hue)).width(2.0));
            plot.add_trace(line.hover_template("%{y:.4~g}"));
        }
    }
    let title = match momenta.is_empty() {
        true => "Learning rate and gradient norm",
        false => "Learning rate, momentum and gradient norm",
    };
    Ok(Figure {
        id: "step-size".to_owned(),
        title: title.to_owned(),
        caption: "What the optimiser was given and what it saw, per step; the norm is Euclidean, over all parameters."
            .to_owned(),
        wide: true,
        plot: json(&plot)?,
        table: "metrics".to_owned(),
        columns: vec!["step", "epoch", "learning_rate", "momentum", "gradient_norm"],
    })
}

fn points(facts: &Facts, name: &str) -> Points {
    let series = facts.metrics.series(name).into_iter();
    series.map(|(step, value)| (step as f64, value.is_finite().then_some(value))).collect()
}

/// The mean over a centred window of a fiftieth of the line, and the window's length; gaps stay gaps.
fn smooth(line: &Points) -> (Points, usize) {
    let half = line.len() / 100;
    if half == 0 || line.len() < 100 {
        return (line.clone(), 1);
    }
    let smoothed = (0..line.len()).map(|index| {
        let window = &line[index.saturating_sub(half)..(index + half + 1).min(line.len())];
        let known: Vec<f64> = window.iter().filter_map(|(_, y)| *y).collect();
        let mean = known.iter().sum::<f64>() / known.len() as f64;
        (line[index].0, line[index].1.map(|_| mean))
    });
    (smoothed.collect(), 2 * half + 1)
}

/// A line that scatters, pale behind its means; of a short one there are none, and it stands for itself.
fn add_scattered(plot: &mut Plot, name: &str, line: &Points, smoothed: &Points, window: usize, hue: Hue) {
    if window > 1 {
        add(plot, name, line, thin(hue, 0.4), 1.0, Mode::Lines);
        add(plot, &format!("{name}, smoothed"), smoothed, solid(hue), 2.0, Mode::Lines);
    } else {
        add(plot, name, line, solid(hue), 1.5, Mode::Lines);
    }
}

pub(super) fn add(plot: &mut Plot, name: &str, line: &Points, color: Rgba, width: f64, mode: Mode) {
    if line.is_empty() {
        return;
    }
    let drawn = decimate(line);
    let marker = Marker::new().color(color).size(if line.len() == 1 { 9 } else { 6 });
    let trace = Scatter::new(xs(&drawn), ys(&drawn)).name(name).mode(mode_for(line, mode)).marker(marker);
    plot.add_trace(trace.line(Line::new().color(color).width(width)).hover_template("%{y}"));
}

pub(super) fn add_dashed(plot: &mut Plot, name: &str, line: &Points, color: Hue) {
    if line.is_empty() {
        return;
    }
    let marker = Marker::new().color(solid(color)).size(7).symbol(MarkerSymbol::Diamond);
    let style = Line::new().color(solid(color)).width(2.0).dash(DashType::Dot);
    let trace = Scatter::new(xs(line), ys(line)).name(name).mode(mode_for(line, Mode::LinesMarkers));
    plot.add_trace(trace.marker(marker).line(style).hover_template("%{y}"));
}

fn add_line(plot: &mut Plot, name: &str, line: &Points, style: Line) {
    let drawn = decimate(line);
    let trace = Scatter::new(xs(&drawn), ys(&drawn)).name(name).mode(mode_for(line, Mode::Lines)).line(style);
    plot.add_trace(trace.hover_template(format!("{name} = %{{y:.4~g}}<br>step %{{x:,}}<extra></extra>")));
}

/// The axis of steps; a run of few steps gets a mark at each and none between.
pub(super) fn steps(facts: &Facts) -> Axis {
    let last = facts.metrics.records.last().map_or(0, |record| record.step);
    let axis = axis("step").separate_thousands(true).hover_format(",");
    if last < 8 { axis.dtick(1.0) } else { axis }
}
