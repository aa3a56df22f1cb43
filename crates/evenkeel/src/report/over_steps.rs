//! How is a quantity of every layer drawn over the steps of a run: as lines where layers are few, else as a map?

use plotly::common::{ColorScale, ColorScaleElement, ColorScalePalette, DashType, Line, Mode};
use plotly::layout::{Axis, AxisRange, AxisType, HoverMode, RangeMode};
use plotly::{HeatMap, Plot, Scatter};

use super::figures::add;
use super::plot::{
    AMBER, BLUE, GREEN, GREY, Hue, PURPLE, Points, VERMILION, axis, color_bar, configuration, layout, log,
    log_color_bar, plot, solid, spread,
};
use super::text::{escape, significant};
use crate::store::layer_metrics::LayerSeries;

/// Layers that are drawn as lines, at most.
const LINES: usize = 10;
/// Steps of a map that are drawn, at most: columns that can be told apart.
const COLUMNS: usize = 80;

/// Shares below this are drawn on an axis of their own size.
const SOME: f64 = 0.3;
/// Between two colours of a map.
const PALE: Hue = (206, 210, 214);

/// How numbers lie on an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Scale {
    /// By their decades where they spread over more than one.
    Lengths,
    /// The same, above and below a number that is as it should be.
    Around(f64, &'static str),
    /// From 0 to 1.
    Shares,
}

/// Whether layers are so many that they are drawn as a map.
pub(super) fn is_map(series: &LayerSeries) -> bool {
    series.layers.len() > LINES
}

/// A figure of a quantity with the words of its axis; without numbers it is empty.
pub(super) fn draw(series: &LayerSeries, words: &str, scale: Scale, steps: Axis) -> Plot {
    if is_map(series) { map(series, words, scale, steps) } else { lines(series, words, scale, steps) }
}

/// The layers as they are called in figures: without `.weight` where all of them end in it.
pub(super) fn labels(layers: &[String]) -> Vec<&str> {
    let short: Vec<&str> = layers.iter().filter_map(|layer| layer.strip_suffix(".weight")).collect();
    if short.len() == layers.len() { short } else { layers.iter().map(String::as_str).collect() }
}

/// What can be drawn of a number: on a logarithmic scale nothing that is not positive.
fn drawable(scale: Scale, value: f64) -> Option<f64> {
    (value.is_finite() && (scale == Scale::Shares || value > 0.0)).then_some(value)
}

fn range(series: &LayerSeries, scale: Scale) -> Option<(f64, f64)> {
    spread(series.values.iter().flatten().filter_map(|value| drawable(scale, *value)))
}

fn lines(series: &LayerSeries, words: &str, scale: Scale, steps: Axis) -> Plot {
    let y_axis = axis(words);
    let y_axis = match (scale, range(series, scale)) {
        (Scale::Shares, _) => {
            let most = series.values.iter().flatten().filter(|share| share.is_finite()).fold(0.0_f64, |a, b| a.max(*b));
            // All of it where that says more than how lines cross.
            let top = if most < SOME { 1.2 * most } else { 1.05 };
            y_axis.tick_format(".0%").hover_format(".1%").range(AxisRange::new(0.0, top.max(0.05)))
        }
        (Scale::Around(usual, _), Some((low, high))) => {
            let (low, high) = (low.min(usual), high.max(usual));
            log(y_axis, low, high).range(AxisRange::new((low / 1.5).log10(), (high * 1.5).log10()))
        }
        (_, Some((low, high))) if high / low > 10.0 => log(y_axis, low, high),
        _ => y_axis.range_mode(RangeMode::ToZero),
    };
    let mut plot = plot(steps.range_mode(RangeMode::ToZero), y_axis);
    // A single line has to say whose it is as well.
    plot.set_layout(plot.layout().clone().show_legend(true));
    let layers = labels(&series.layers);
    for (place, layer) in layers.iter().enumerate() {
        let line: Points = (series.steps.iter().zip(&series.values))
            .map(|(step, row)| (*step as f64, row.get(place).and_then(|value| drawable(scale, *value))))
            .collect();
        add(&mut plot, &escape(layer), &line, solid(hue(place, layers.len())), 2.0, Mode::Lines);
    }
    if let (Scale::Around(usual, name), Some(&first), Some(&last)) = (scale, series.steps.first(), series.steps.last())
    {
        let style = Line::new().color(solid(GREY)).width(1.5).dash(DashType::Dash);
        let trace =
            Scatter::new(vec![first as f64, last as f64], vec![usual; 2]).mode(Mode::Lines).line(style).name(name);
        plot.add_trace(trace.hover_template("%{y}"));
    }
    plot
}

/// Colours by depth, from the input to the output.
fn hue(place: usize, of: usize) -> Hue {
    const DEPTHS: [Hue; 5] = [BLUE, GREEN, AMBER, VERMILION, PURPLE];
    let at = place as f64 / (of.max(2) - 1) as f64 * (DEPTHS.len() - 1) as f64;
    let (below, above) = (DEPTHS[at.floor() as usize], DEPTHS[(at.ceil() as usize).min(DEPTHS.len() - 1)]);
    let between = |a: u8, b: u8| (f64::from(a) + at.fract() * (f64::from(b) - f64::from(a))).round() as u8;
    (between(below.0, above.0), between(below.1, above.1), between(below.2, above.2))
}

/// One row a layer with the first at the bottom, one column a step.
fn map(series: &LayerSeries, words: &str, scale: Scale, steps: Axis) -> Plot {
    let every = series.steps.len().div_ceil(COLUMNS).max(1);
    let drawn: Vec<usize> = (0..series.steps.len()).step_by(every).collect();
    let place = |value: f64| if scale == Scale::Shares { value } else { value.log10() };
    let rounded = |value: f64| (value * 1e3).round() / 1e3;
    let rows = |of: &dyn Fn(f64) -> Option<f64>| -> Vec<Vec<Option<f64>>> {
        let row = |layer: usize| drawn.iter().map(|&step| of(series.values[step][layer])).collect();
        (0..series.layers.len()).map(row).collect()
    };
    let colors = rows(&|value| drawable(scale, value).map(|value| rounded(place(value))));
    let told =
        |value: f64| if scale == Scale::Shares { format!("{:.0} %", 100.0 * value) } else { significant(value, 3) };
    let texts: Vec<Vec<String>> = (0..series.layers.len())
        .map(|layer| drawn.iter().map(|&step| told(series.values[step][layer])).collect())
        .collect();
    let xs: Vec<f64> = drawn.iter().map(|&step| series.steps[step] as f64).collect();
    let names: Vec<String> = labels(&series.layers).into_iter().map(escape).collect();
    let trace = HeatMap::new(xs, names, colors)
        .text_matrix(texts)
        .hover_template("%{y}<br>step %{x:,}: %{text}<extra></extra>")
        .color_scale(colors_of(scale));
    let (low, high) = range(series, scale).unwrap_or((1.0, 1.0));
    let (low, high) = match scale {
        Scale::Shares => (0.0, 1.0),
        Scale::Lengths => (low.log10().min(high.log10() - 0.5), high.log10()),
        Scale::Around(usual, _) => {
            let far = (low / usual).log10().abs().max((high / usual).log10().abs()).max(1.0);
            (usual.log10() - far, usual.log10() + far)
        }
    };
    let bar = match scale {
        Scale::Shares => color_bar(words).tick_format(".0%"),
        _ => log_color_bar(words, low, high),
    };
    let mut plot = Plot::new();
    let y_axis = axis("").type_(AxisType::Category).show_grid(false);
    plot.set_layout(layout(steps.show_grid(false), y_axis).hover_mode(HoverMode::Closest));
    plot.set_configuration(configuration());
    plot.add_trace(trace.zmin(low).zmax(high).color_bar(bar));
    plot
}

/// Dark is little and bright is much; around a usual number, blue is less and red is more.
fn colors_of(scale: Scale) -> ColorScale {
    let element = |place: f64, (red, green, blue): Hue| ColorScaleElement(place, format!("rgb({red},{green},{blue})"));
    match scale {
        Scale::Around(..) => ColorScale::Vector(vec![element(0.0, BLUE), element(0.5, PALE), element(1.0, VERMILION)]),
        _ => ColorScale::Palette(ColorScalePalette::Viridis),
    }
}
