//! How is a figure over seeds and settings drawn, and which numbers are behind it?

use super::figure::{Figure, Kind, Series, Spread};
use super::page;
use super::plot::{
    AMBER, BLUE, GREEN, GREY, Hue, PURPLE, Points, VERMILION, axis, decimate, json, log, mode_for, plot, solid, spread,
    thin, xs, ys,
};
use super::text::escape;
use crate::Result;
use crate::store::number::to_json;
use plotly::Plot;
use plotly::common::{DashType, ErrorData, ErrorType, Fill, HoverInfo, Line, Marker, MarkerSymbol, Mode};
use plotly::layout::{Axis, AxisType, BarMode, HoverMode};
use plotly::{Bar, Scatter};
use serde_json::{Value, json as table_of};

/// The longest line whose points each get a mark and bars of their spread; a longer one gets a band.
const MARKED: usize = 24;

/// The figure as a page shows it; its numbers are in the table of its name.
pub(crate) fn figure(id: &str, figure: &Figure) -> Result<page::Figure> {
    Ok(page::Figure {
        id: id.to_owned(),
        title: figure.title.clone(),
        caption: figure.caption.clone(),
        wide: false,
        plot: json(&drawn(figure))?,
        table: id.to_owned(),
        columns: Vec::new(),
    })
}

/// The numbers behind the figure, by column.
pub(crate) fn table(figure: &Figure) -> Value {
    let (mut names, mut places, mut values, mut spreads) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for series in &figure.series {
        for (index, (x, y)) in series.x.iter().zip(&series.y).enumerate() {
            names.push(Value::from(series.name.as_str()));
            places.push(figure.categories.get(index).map_or_else(|| to_json(*x), |name| Value::from(name.as_str())));
            values.push(to_json(*y));
            spreads.push(series.spread.get(index).map_or(Value::Null, |spread| to_json(*spread)));
        }
    }
    let spread = match figure.spread {
        Spread::Deviation => "deviation",
        Spread::StandardError => "standard_error",
    };
    table_of!({ "series": names, "x": places, "y": values, spread: spreads })
}

fn drawn(figure: &Figure) -> Plot {
    let x_axis = match figure.kind {
        Kind::Bars => axis("").type_(AxisType::Category),
        _ => scaled(axis(&escape(&figure.x.title)), figure.x.logarithmic, figure.series.iter().flat_map(|s| &s.x)),
    };
    let heights = figure.series.iter().flat_map(|series| &series.y).chain(figure.marks.iter().map(|mark| &mark.y));
    let y_axis = scaled(axis(&escape(&figure.y.title)), figure.y.logarithmic, heights);
    let mut plot = plot(x_axis, y_axis);
    let layout = plot.layout().clone().bar_mode(BarMode::Group);
    plot.set_layout(if figure.kind == Kind::Points { layout.hover_mode(HoverMode::Closest) } else { layout });
    let hues = [BLUE, VERMILION, GREEN, PURPLE, AMBER];
    let mut solid_ones = 0;
    for series in &figure.series {
        if !series.dashed {
            solid_ones += 1;
        }
        // What is compared with has the colour of what it is compared with.
        let hue = if solid_ones == 0 { GREY } else { hues[(solid_ones - 1) % hues.len()] };
        match figure.kind {
            Kind::Bars => bars(&mut plot, figure, series, hue),
            Kind::Points => points(&mut plot, figure, series, hue),
            Kind::Lines => line(&mut plot, figure, series, hue),
        }
    }
    for mark in &figure.marks {
        let name = escape(&mark.name);
        let style = Line::new().color(solid(GREY)).width(1.5).dash(DashType::Dash);
        let hover = format!("{name} = %{{y:.4~g}}<extra></extra>");
        match figure.kind {
            Kind::Bars => {
                let ends = [figure.categories.first(), figure.categories.last()];
                let ends: Vec<_> = ends.iter().map(|end| end.map(|name| escape(name))).collect();
                let trace = Scatter::new(ends, vec![mark.y; 2]).name(&name).mode(Mode::Lines).line(style);
                plot.add_trace(trace.hover_template(hover));
            }
            _ => {
                let places = || figure.series.iter().flat_map(|series| &series.x).copied().filter(|x| x.is_finite());
                let ends = vec![places().fold(f64::INFINITY, f64::min), places().fold(f64::NEG_INFINITY, f64::max)];
                let trace = Scatter::new(ends, vec![mark.y; 2]).name(&name).mode(Mode::Lines).line(style);
                plot.add_trace(trace.hover_template(hover));
            }
        }
    }
    plot
}

/// A logarithmic axis around the positive values, when it is asked for and there are some.
fn scaled<'v>(axis: Axis, logarithmic: bool, values: impl Iterator<Item = &'v f64>) -> Axis {
    match spread(values.copied().filter(|value| *value > 0.0 && value.is_finite())) {
        Some((low, high)) if logarithmic => log(axis, low, high),
        _ => axis,
    }
}

/// What of a series can be drawn on the figure's axes.
fn drawable(figure: &Figure, series: &Series) -> Points {
    let shown = |value: f64, logarithmic: bool| value.is_finite() && (value > 0.0 || !logarithmic);
    let pairs = series.x.iter().zip(&series.y).filter(|(x, _)| shown(**x, figure.x.logarithmic));
    pairs.map(|(x, y)| (*x, Some(*y).filter(|y| shown(*y, figure.y.logarithmic)))).collect()
}

fn line(plot: &mut Plot, figure: &Figure, series: &Series, hue: Hue) {
    let line = drawable(figure, series);
    let name = escape(&series.name);
    let whole = line.len() == series.y.len();
    if !series.spread.is_empty() && whole && line.len() > MARKED {
        band(plot, figure, series, hue);
    }
    let style = Line::new().color(solid(hue)).width(if series.dashed { 1.5 } else { 2.0 });
    let style = if series.dashed { style.dash(DashType::Dash) } else { style };
    let marked = line.len() <= MARKED && !series.dashed;
    let mode = mode_for(&line, if marked { Mode::LinesMarkers } else { Mode::Lines });
    let shown = decimate(&line);
    let trace = Scatter::new(xs(&shown), ys(&shown)).name(&name).mode(mode).line(style);
    let trace = trace.marker(Marker::new().color(solid(hue)).size(7)).hover_template("%{y:.4~g}");
    let trace = match error_bars(figure, series, hue) {
        Some(bars) if marked && whole => trace.error_y(bars),
        _ => trace,
    };
    plot.add_trace(trace);
}

/// How far down from a number its spread reaches at most where an axis has no place for 0.
const LEAST: f64 = 0.999;

/// The area of the spread on both sides of a long line.
fn band(plot: &mut Plot, figure: &Figure, series: &Series, hue: Hue) {
    let side = |sign: f64| {
        // On a logarithmic axis the lower side ends above 0, as that of error bars.
        let reach = |y: f64, spread: f64| match figure.y.logarithmic && sign < 0.0 {
            true => spread.min(LEAST * y),
            false => spread,
        };
        let y = series.y.iter().zip(&series.spread).map(|(y, spread)| y + sign * reach(*y, *spread)).collect();
        let side = Series { y, ..series.clone() };
        let drawable = drawable(figure, &side);
        let trace = Scatter::new(xs(&drawable), ys(&drawable)).mode(Mode::Lines).show_legend(false);
        trace.line(Line::new().color(thin(hue, 0.0)).width(0.0)).hover_info(HoverInfo::Skip)
    };
    plot.add_trace(side(-1.0));
    plot.add_trace(side(1.0).fill(Fill::ToNextY).fill_color(thin(hue, 0.18)));
}

fn points(plot: &mut Plot, figure: &Figure, series: &Series, hue: Hue) {
    let points = drawable(figure, series);
    let symbol = if series.dashed { MarkerSymbol::CircleOpen } else { MarkerSymbol::Circle };
    let marker = Marker::new().color(thin(hue, 0.75)).size(7).symbol(symbol);
    let trace = Scatter::new(xs(&points), ys(&points)).name(escape(&series.name)).mode(Mode::Markers).marker(marker);
    plot.add_trace(trace.hover_template("%{x:.4~g}, %{y:.4~g}"));
}

fn bars(plot: &mut Plot, figure: &Figure, series: &Series, hue: Hue) {
    let heights = drawable(figure, series);
    let names: Vec<String> = figure.categories.iter().map(|name| escape(name)).collect();
    let color = if series.dashed { thin(hue, 0.35) } else { thin(hue, 0.9) };
    let trace = Bar::new(names, ys(&heights)).name(escape(&series.name)).marker(Marker::new().color(color));
    let trace = match error_bars(figure, series, hue) {
        Some(bars) => trace.error_y(bars),
        None => trace,
    };
    plot.add_trace(trace.hover_template("%{y:.4~g}"));
}

/// The spread on both sides; on a logarithmic axis the lower side ends above 0.
fn error_bars(figure: &Figure, series: &Series, hue: Hue) -> Option<ErrorData> {
    if series.spread.is_empty() {
        return None;
    }
    let finite = |value: f64| if value.is_finite() { value } else { 0.0 };
    let above: Vec<f64> = series.spread.iter().map(|spread| finite(*spread)).collect();
    let below = above.iter().zip(&series.y).map(|(spread, y)| match figure.y.logarithmic {
        true => finite(spread.min(LEAST * y).max(0.0)),
        false => *spread,
    });
    let bars = ErrorData::new(ErrorType::Data).array(above.clone()).array_minus(below.collect()).symmetric(false);
    Some(bars.color(thin(hue, 0.8)).thickness(1.4).width(3))
}
