//! How is a figure over seeds and settings drawn, and which numbers are behind it?

use super::figure::{Figure, Kind, Series, Spread};
use super::page;
use super::plot::{
    AMBER, BLUE, GREEN, GREY, Hue, PERCENT, PURPLE, Points, VERMILION, axis, color_bar, decimate, json, log,
    log_color_bar, mode_for, plot, shares, solid, spread, thin, xs, ys,
};
use super::text::{escape, marked, percent, significant};
use crate::Result;
use crate::store::number::to_json;
use plotly::Plot;
use plotly::common::{
    ColorScale, ColorScalePalette, DashType, ErrorData, ErrorType, Fill, HoverInfo, Line, Marker, MarkerSymbol, Mode,
};
use plotly::layout::{Axis, AxisRange, AxisType, BarMode, HoverMode};
use plotly::{Bar, HeatMap, Scatter};
use serde_json::{Value, json as table_of};

/// Whole numbers that are so far apart at most have a mark each.
const FEW: f64 = 10.0;

/// How far below the least number a logarithmic axis goes for the sake of its spread.
const BELOW: f64 = 3.0;

/// The longest line whose points each get a mark and bars of their spread; a longer one gets a band.
const MARKED: usize = 24;

/// The figure as a page shows it; its numbers are in the table of its name.
pub(crate) fn figure(id: &str, figure: &Figure) -> Result<page::Figure> {
    let mut drawn = json(&drawn(figure))?;
    if let Some(plot) = drawn.as_mut().filter(|_| figure.kind == Kind::Map) {
        // Plotly's own words again: the number in each cell, and the first row on top.
        plot["data"][0]["texttemplate"] = Value::from("%{text}");
        plot["layout"]["yaxis"]["autorange"] = Value::from("reversed");
    }
    Ok(page::Figure {
        id: id.to_owned(),
        title: figure.title.clone(),
        caption: figure.caption.clone(),
        wide: false,
        plot: drawn,
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
    if figure.kind == Kind::Map {
        return map(figure);
    }
    let places = || figure.series.iter().flat_map(|series| &series.x);
    let x_axis = match figure.kind {
        Kind::Bars => axis("").type_(AxisType::Category),
        _ if !figure.x.logarithmic && are_few_counts(places()) => axis(&escape(&figure.x.title)).dtick(1.0),
        _ => scaled(axis(&escape(&figure.x.title)), figure.x.logarithmic, places()),
    };
    let mut plot = plot(x_axis, y_axis(figure));
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
            Kind::Map => {}
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

/// Whether places are whole numbers between which there is nothing, so few that each has a mark.
fn are_few_counts<'v>(places: impl Iterator<Item = &'v f64> + Clone) -> bool {
    let (low, high) = places.clone().fold((f64::INFINITY, 0.0_f64), |(low, high), x| (low.min(*x), high.max(*x)));
    places.clone().all(|x| x.fract() == 0.0 && *x >= 0.0) && (1.0..=FEW).contains(&(high - low))
}

/// The axis of heights. A logarithmic one shows all numbers, and of what lies below them by their spread as much as can be read.
fn y_axis(figure: &Figure) -> Axis {
    let heights = || figure.series.iter().flat_map(|series| &series.y).chain(figure.marks.iter().map(|mark| &mark.y));
    let title = axis(&marked(&escape(&figure.y.title)));
    let axis = scaled(if figure.y.shares { shares(title) } else { title }, figure.y.logarithmic, heights());
    let spreads = || figure.series.iter().flat_map(|series| series.y.iter().zip(&series.spread));
    let positive = heights().copied().filter(|y| *y > 0.0 && y.is_finite());
    let Some((low, high)) = spread(positive).filter(|_| figure.y.logarithmic && spreads().next().is_some()) else {
        return axis;
    };
    let reaches = |(y, spread): (&f64, &f64)| (y + spread).is_finite() && *y > 0.0;
    let high = spreads().filter(|pair| reaches(*pair)).map(|(y, spread)| y + spread).fold(high, f64::max);
    let ends = spreads().filter(|pair| reaches(*pair)).map(|(y, spread)| (y - spread).max(low / BELOW));
    let low = ends.fold(low, f64::min);
    let (low, high) = (low.log10(), high.log10());
    let margin = 0.05 * (high - low).max(0.1);
    axis.range(AxisRange::new(low - margin, high + margin))
}

/// A map with a number in each cell, and words where there is none.
fn map(figure: &Figure) -> Plot {
    let logarithmic = figure.y.logarithmic;
    let known = |value: f64| value.is_finite() && (value > 0.0 || !logarithmic);
    let place = |value: f64| if logarithmic { value.log10() } else { value };
    let written = |value: f64| if figure.y.shares { percent(value) } else { significant(value, 3) };
    let columns: Vec<String> = figure.categories.iter().map(|name| escape(name)).collect();
    let rows: Vec<String> = figure.series.iter().map(|row| escape(&row.name)).collect();
    let remark = |row: &Series, column: usize| row.remarks.get(column).map(|words| escape(words)).unwrap_or_default();
    let colors: Vec<Vec<Option<f64>>> = (figure.series.iter())
        .map(|row| row.y.iter().map(|value| known(*value).then(|| place(*value))).collect())
        .collect();
    let text = |row: &Series, column: usize| match (known(row.y[column]), remark(row, column)) {
        (true, words) if words.is_empty() => written(row.y[column]),
        (true, words) => format!("{}<br>{words}", written(row.y[column])),
        // Plotly takes an empty cell for white.
        (false, _) => String::new(),
    };
    let texts = |row: &Series| (0..row.y.len()).map(|column| text(row, column)).collect::<Vec<String>>();
    let values = figure.series.iter().flat_map(|row| &row.y).copied().filter(|value| known(*value)).map(place);
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), y| (low.min(y), high.max(y)));
    let words = marked(&escape(&figure.y.title));
    let bar = match (logarithmic, figure.y.shares) {
        (true, _) => log_color_bar(&words, low, high),
        (false, true) => color_bar(&words).tick_format(PERCENT),
        (false, false) => color_bar(&words),
    };
    let category = |title: &str| axis(&escape(title)).type_(AxisType::Category).show_grid(false);
    let mut plot = plot(category(&figure.x.title), category(&figure.rows));
    let layout = plot.layout().clone().hover_mode(HoverMode::Closest);
    plot.set_layout(layout.show_legend(false));
    if low > high {
        return plot;
    }
    let hover = format!("%{{y}}, %{{x}}<br>%{{hovertext}}<extra>{words}</extra>");
    let told = |row: &Series| (0..row.y.len()).map(|column| hover_of(figure, row, column)).collect::<Vec<String>>();
    let cells = HeatMap::new(columns.clone(), rows, colors)
        .text_matrix(figure.series.iter().map(texts).collect())
        .hover_text_matrix(figure.series.iter().map(told).collect())
        .hover_template(hover)
        .color_scale(ColorScale::Palette(ColorScalePalette::Viridis))
        .x_gap(2)
        .y_gap(2);
    // Bright is good: much of a share, little of anything else that is drawn as a map.
    plot.add_trace(cells.zmin(low).zmax(high).reverse_scale(!figure.y.shares).color_bar(bar));
    let missing = figure.series.iter().flat_map(|row| (0..row.y.len()).map(move |column| (row, column)));
    let missing: Vec<_> = missing.filter(|(row, column)| !known(row.y[*column])).collect();
    if !missing.is_empty() {
        let at: Vec<String> = missing.iter().map(|(_, column)| columns[*column].clone()).collect();
        let words = missing.iter().map(|(row, column)| remark(row, *column));
        let words = words.map(|words| if words.is_empty() { "–".to_owned() } else { words }).collect();
        let names: Vec<String> = missing.iter().map(|(row, _)| escape(&row.name)).collect();
        plot.add_trace(Scatter::new(at, names).mode(Mode::Text).text_array(words).hover_info(HoverInfo::Skip));
    }
    plot
}

/// What is told of a cell that is pointed at.
fn hover_of(figure: &Figure, row: &Series, column: usize) -> String {
    let written = |value: f64| if figure.y.shares { percent(value) } else { significant(value, 4) };
    let error = row.spread.get(column).filter(|error| error.is_finite());
    let error = error.map(|error| format!(" ± {}", written(*error))).unwrap_or_default();
    let remark = row.remarks.get(column).filter(|words| !words.is_empty());
    let value = row.y[column];
    match (value.is_finite(), remark.map(|words| escape(words))) {
        (true, Some(words)) => format!("{}{error}<br>{words}", written(value)),
        (true, None) => written(value) + &error,
        (false, words) => words.unwrap_or_else(|| "–".to_owned()),
    }
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
    let name = marked(&escape(&series.name));
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
    let hover = if figure.y.shares { "%{y:.2%}" } else { "%{y:.4~g}" };
    let trace = trace.marker(Marker::new().color(solid(hue)).size(7)).hover_template(hover);
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
    let trace = Bar::new(names, ys(&heights)).name(marked(&escape(&series.name))).marker(Marker::new().color(color));
    let trace = match error_bars(figure, series, hue) {
        Some(bars) => trace.error_y(bars),
        None => trace,
    };
    plot.add_trace(trace.hover_template(if figure.y.shares { "%{y:.2%}" } else { "%{y:.4~g}" }));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(drawn: &Figure) -> Value {
        figure("one", drawn).unwrap().plot.unwrap()["layout"].clone()
    }

    #[test]
    fn few_counts_have_a_mark_each_unless_their_ratios_count() {
        let epochs = Figure::lines("", "epoch", "loss").series("a", &[1.0, 2.0, 3.0], &[3.0, 2.0, 1.0]);
        assert_eq!(layout(&epochs)["xaxis"]["dtick"], 1.0);
        let depths = Figure::lines("", "depth", "loss").log_x().series("a", &[1.0, 2.0, 4.0], &[3.0, 2.0, 1.0]);
        assert_eq!(layout(&depths)["xaxis"]["type"], "log");
        assert_eq!(layout(&depths)["xaxis"]["dtick"], Value::Null);
    }

    #[test]
    fn a_band_that_reaches_to_zero_does_not_stretch_a_logarithmic_axis() {
        let seeds = [vec![10.0, 0.1], vec![10.0, 2.9]];
        let spread = Figure::lines("", "step", "loss").log_y().over_seeds("a", &[1.0, 2.0], &seeds);
        let range = layout(&spread)["yaxis"]["range"].clone();
        let (low, high) = (range[0].as_f64().unwrap(), range[1].as_f64().unwrap());
        assert!((0.4..0.5).contains(&10_f64.powf(low)) && (10.0..12.0).contains(&10_f64.powf(high)), "{range}");
    }
}
