//! How does any figure of any page look: colours, axes, lines, and what Plotly is given?

use plotly::color::Rgba;
use plotly::common::{Anchor, ColorBar, ExponentFormat, Mode, Orientation, Side, ThicknessMode, TickMode, Title};
use plotly::configuration::DisplayModeBar;
use plotly::layout::{Axis, AxisType, HoverMode, Legend, Margin, TicksDirection};
use plotly::{Configuration, Layout, Plot};
use serde_json::Value;

use super::text::significant;
use crate::{Error, Result};

/// The most points of a line that are drawn; a longer one keeps the extremes of each stretch.
const DRAWN: usize = 3000;

/// Red, green and blue.
pub(crate) type Hue = (u8, u8, u8);

// After Okabe and Ito: told apart with any colour vision, and moved to a lightness that reads on white and on black.
pub(crate) const BLUE: Hue = (38, 132, 204);
pub(crate) const VERMILION: Hue = (214, 94, 20);
pub(crate) const GREEN: Hue = (10, 150, 116);
pub(crate) const PURPLE: Hue = (190, 105, 160);
pub(crate) const AMBER: Hue = (204, 136, 0);
/// For what the others are compared with.
pub(crate) const GREY: Hue = (128, 137, 147);

/// A line: places, and values where there are some.
pub(crate) type Points = Vec<(f64, Option<f64>)>;

/// At most about [`DRAWN`] points; each stretch keeps its smallest, its largest and a gap.
pub(crate) fn decimate(line: &Points) -> Points {
    let stretch = line.len().div_ceil(DRAWN / 3);
    if stretch <= 3 {
        return line.clone();
    }
    let mut kept = Vec::with_capacity(DRAWN);
    for part in line.chunks(stretch) {
        let known = || part.iter().enumerate().filter_map(|(index, (_, y))| Some((index, (*y)?)));
        let least = known().min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index);
        let most = known().max_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| index);
        let gap = part.iter().position(|(_, y)| y.is_none());
        let mut chosen: Vec<usize> = [least, most, gap].into_iter().flatten().collect();
        chosen.sort_unstable();
        chosen.dedup();
        kept.extend(chosen.into_iter().map(|index| part[index]));
    }
    kept
}

/// The smallest and the largest value, when all are positive.
pub(crate) fn spread(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), y| (low.min(y), high.max(y)));
    (low > 0.0 && low.is_finite()).then_some((low, high))
}

pub(crate) fn solid((red, green, blue): Hue) -> Rgba {
    Rgba::new(red, green, blue, 1.0)
}

pub(crate) fn thin((red, green, blue): Hue, opacity: f64) -> Rgba {
    Rgba::new(red, green, blue, opacity)
}

pub(crate) fn xs(line: &Points) -> Vec<f64> {
    line.iter().map(|(x, _)| *x).collect()
}

pub(crate) fn ys(line: &Points) -> Vec<Option<f64>> {
    line.iter().map(|(_, y)| *y).collect()
}

/// A line of one point would not be seen: it gets a mark.
pub(crate) fn mode_for(line: &Points, mode: Mode) -> Mode {
    if line.iter().filter(|(_, y)| y.is_some()).count() == 1 { Mode::Markers } else { mode }
}

/// An axis whose values are shown with four digits.
pub(crate) fn axis(title: &str) -> Axis {
    // Ticks that are not seen keep the numbers of two axes apart where they meet. Neither 10k nor 5μ is how a rate is written.
    let axis = Axis::new().title(title).auto_margin(true).zero_line(false).show_line(false).hover_format(".4~g");
    axis.ticks(TicksDirection::Outside)
        .tick_length(4)
        .tick_color(thin(GREY, 0.0))
        .exponent_format(ExponentFormat::SmallE)
}

/// How marks are written in percent: `95%`, `92.5%`.
pub(crate) const PERCENT: &str = ".1~%";

/// An axis of shares, written in percent.
pub(crate) fn shares(axis: Axis) -> Axis {
    axis.tick_format(PERCENT).hover_format(".2%")
}

/// Decades that have a mark each, at most; of more every second or third has one, and so on.
const MARKED_DECADES: f64 = 12.0;

/// Decades that are written plainly beside others that are not.
const PLAIN: (f64, f64) = (0.9e-4, 0.9e5);

/// A logarithmic axis with [`marks`].
pub(crate) fn log(axis: Axis, low: f64, high: f64) -> Axis {
    let (marks, texts) = marks(low, high);
    axis.type_(AxisType::Log).tick_mode(TickMode::Array).tick_values(marks).tick_text(texts)
}

/// Marks of a logarithmic scale at 1, 2, 5 (or 1, 3, or 1 alone) of decades around the values, written plainly.
pub(crate) fn marks(low: f64, high: f64) -> (Vec<f64>, Vec<String>) {
    let decades = (high / low).log10();
    let digits: &[f64] = match decades {
        d if d <= 2.4 => &[1.0, 2.0, 5.0],
        d if d <= 4.0 => &[1.0, 3.0],
        _ => &[1.0],
    };
    let every = (decades / MARKED_DECADES).ceil().max(1.0) as i32;
    let exponents = low.log10().floor() as i32 - 2..=high.log10().ceil() as i32 + 2;
    let exponents = exponents.filter(|exponent| exponent % every == 0);
    let marks: Vec<f64> =
        exponents.flat_map(|exponent| digits.iter().map(move |digit| digit * 10_f64.powi(exponent))).collect();
    // Where each mark is a decade, what is far from 1 is written as a power of ten: 10,000, 1e5, 1e6.
    let power = |mark: &f64| digits.len() == 1 && !(PLAIN.0..PLAIN.1).contains(mark);
    let texts = marks
        .iter()
        .map(|mark| if power(mark) { format!("{mark:.0e}").replace('-', "−") } else { significant(*mark, 1) });
    let texts = texts.collect();
    (marks, texts)
}

/// What the colours of a map mean.
pub(crate) fn color_bar(words: &str) -> ColorBar {
    let bar = ColorBar::new().thickness_mode(ThicknessMode::Pixels).thickness(12).outline_width(0);
    bar.title(Title::with_text(words).side(Side::Right))
}

/// The same where colours go by logarithms, between the logarithms of two numbers.
pub(crate) fn log_color_bar(words: &str, low: f64, high: f64) -> ColorBar {
    let (marks, texts) = marks(10_f64.powf(low), 10_f64.powf(high));
    color_bar(words).tick_vals(marks.into_iter().map(f64::log10).collect()).tick_text(texts)
}

/// What all figures have in common: clear backgrounds, the legend on top, one label for all lines at a place.
pub(crate) fn layout(x_axis: Axis, y_axis: Axis) -> Layout {
    let clear = Rgba::new(0, 0, 0, 0.0);
    Layout::new()
        .auto_size(true)
        .paper_background_color(clear)
        .plot_background_color(clear)
        .margin(Margin::new().left(56).right(12).top(12).bottom(44))
        .hover_mode(HoverMode::XUnified)
        .legend(Legend::new().orientation(Orientation::Horizontal).x(0.0).y(0.0).y_anchor(Anchor::Bottom))
        .x_axis(x_axis)
        .y_axis(y_axis)
}

/// Figures fit their place and have no bar of buttons.
pub(crate) fn configuration() -> Configuration {
    Configuration::new().responsive(true).display_logo(false).display_mode_bar(DisplayModeBar::False).scroll_zoom(false)
}

/// An empty figure with two axes.
pub(crate) fn plot(x_axis: Axis, y_axis: Axis) -> Plot {
    let mut plot = Plot::new();
    plot.set_layout(layout(x_axis, y_axis));
    plot.set_configuration(configuration());
    plot
}

/// What Plotly is given; `None` for a plot without lines.
pub(crate) fn json(plot: &Plot) -> Result<Option<Value>> {
    if plot.data().is_empty() {
        return Ok(None);
    }
    let mut value = serde_json::to_value(plot)
        .map_err(|error| Error::input("cannot write a figure as JSON").detail("got", error))?;
    // Settings of Plotly that the library has no words for: where the legend is measured from, that it keeps the order of the
    // lines where an area is filled, and how far an axis title stands from its numbers.
    let layout = &mut value["layout"];
    layout["legend"]["yref"] = Value::from("container");
    layout["legend"]["traceorder"] = Value::from("normal");
    for axis in ["xaxis", "yaxis", "yaxis2", "yaxis3"] {
        if layout.get(axis).is_some() {
            layout[axis]["title"]["standoff"] = Value::from(8);
        }
    }
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_over_many_decades_has_marks_that_can_be_read() {
        for (low, high) in [(1.0, 9.0), (1e-3, 1e3), (1e-8, 1e8), (0.1, 1e38)] {
            let axis = serde_json::to_value(log(axis("loss"), low, high)).unwrap();
            let marks = axis["tickvals"].as_array().unwrap().iter().filter_map(Value::as_f64);
            let seen: Vec<f64> = marks.filter(|mark| (low..=high).contains(mark)).collect();
            assert!((3..=13).contains(&seen.len()), "{low} to {high}: {seen:?}");
            let texts = axis["ticktext"].as_array().unwrap().iter().filter_map(Value::as_str);
            assert!(texts.map(|text| text.chars().count()).max() <= Some(6), "{low} to {high}: {}", axis["ticktext"]);
        }
    }
}
