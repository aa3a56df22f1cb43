//! What does a figure over seeds and settings show? How it looks is the business of `drawing`.

use crate::statistics::{deviation, mean};
use crate::store::number;
use serde::{Deserialize, Serialize};

/// A figure: lines, points or bars over common axes.
///
/// ```
/// use evenkeel::report::Figure;
/// let depths = [1.0, 2.0, 4.0];
/// let seeds = [vec![4.6, 2.4, 0.6], vec![5.1, 2.5, 0.7]];
/// let figure = Figure::lines("Complexity at the start", "hidden layers", "geometric complexity")
///     .log_y()
///     .over_seeds("LeCun", &depths, &seeds)
///     .dashed("10 · 2⁻ᴸ", &depths, &[5.0, 2.5, 0.625]);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    pub(super) kind: Kind,
    pub(super) title: String,
    #[serde(default)]
    pub(super) caption: String,
    pub(super) x: FigureAxis,
    pub(super) y: FigureAxis,
    /// What stands below the bars or columns, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) categories: Vec<String>,
    /// What the rows of a map are.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) rows: String,
    pub(super) series: Vec<Series>,
    /// Horizontal lines: name and height.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) marks: Vec<Mark>,
    /// What the spread of its series is.
    #[serde(default, skip_serializing_if = "Spread::is_usual")]
    pub(super) spread: Spread,
}

/// What bars and bands around a mean are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Spread {
    /// The standard deviation of single seeds.
    #[default]
    Deviation,
    /// The standard error of the mean.
    StandardError,
}

impl Spread {
    fn is_usual(&self) -> bool {
        *self == Spread::Deviation
    }
}

/// How numbers are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    Lines,
    Points,
    Bars,
    /// One row a series, one column a category, a colour a number.
    Map,
}

/// An axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct FigureAxis {
    pub(super) title: String,
    #[serde(default)]
    pub(super) logarithmic: bool,
    /// Whether numbers are shares, which are written in percent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) shares: bool,
}

/// A named list of numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Series {
    pub(super) name: String,
    /// Places; of bars the index of their category.
    #[serde(with = "number::list")]
    pub(super) x: Vec<f64>,
    #[serde(with = "number::list")]
    pub(super) y: Vec<f64>,
    /// How far the numbers of single seeds lie around `y`, as [`Figure::spread`] says; empty where there is one number each.
    #[serde(with = "number::list", default, skip_serializing_if = "Vec::is_empty")]
    pub(super) spread: Vec<f64>,
    /// Whether it is something to compare with, such as a closed form.
    #[serde(default)]
    pub(super) dashed: bool,
    /// What a map says in its cells beside the numbers or in place of them; empty where there is nothing to say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) remarks: Vec<String>,
}

/// A horizontal line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) name: String,
    #[serde(with = "number")]
    pub(super) y: f64,
}

impl Figure {
    /// A figure of lines; the titles of axes name their units.
    pub fn lines(title: impl Into<String>, x: impl Into<String>, y: impl Into<String>) -> Figure {
        Self::new(Kind::Lines, title, x, y)
    }

    /// A figure of single points.
    pub fn scatter(title: impl Into<String>, x: impl Into<String>, y: impl Into<String>) -> Figure {
        Self::new(Kind::Points, title, x, y)
    }

    /// A figure of bars, one group a category.
    pub fn bars(title: impl Into<String>, categories: &[&str], y: impl Into<String>) -> Figure {
        let categories = categories.iter().map(|&category| category.to_owned()).collect();
        Figure { categories, ..Self::new(Kind::Bars, title, "", y) }
    }

    /// A map of numbers as colours, each written into its cell: columns at values of `x`, and rows at values of `rows`, which
    /// [`Figure::row`] adds from the top down.
    pub fn map(
        title: impl Into<String>,
        x: impl Into<String>,
        columns: &[&str],
        rows: impl Into<String>,
        value: impl Into<String>,
    ) -> Figure {
        let categories = columns.iter().map(|&column| column.to_owned()).collect();
        Figure { categories, rows: rows.into(), ..Self::new(Kind::Map, title, x, value) }
    }

    fn new(kind: Kind, title: impl Into<String>, x: impl Into<String>, y: impl Into<String>) -> Figure {
        let axis = |title| FigureAxis { title, logarithmic: false, shares: false };
        Figure {
            kind,
            title: title.into(),
            caption: String::new(),
            x: axis(x.into()),
            y: axis(y.into()),
            categories: Vec::new(),
            rows: String::new(),
            series: Vec::new(),
            marks: Vec::new(),
            spread: Spread::default(),
        }
    }

    /// One sentence below the title.
    #[must_use]
    pub fn caption(self, caption: impl Into<String>) -> Figure {
        Figure { caption: caption.into(), ..self }
    }

    /// A logarithmic x axis; places that are not positive are left out.
    #[must_use]
    pub fn log_x(mut self) -> Figure {
        self.x.logarithmic = true;
        self
    }

    /// Numbers are shares of 1, and are written in percent.
    #[must_use]
    pub fn shares(mut self) -> Figure {
        self.y.shares = true;
        self
    }

    /// A logarithmic y axis, or logarithmic colours of a map; numbers that are not positive are left out.
    #[must_use]
    pub fn log_y(mut self) -> Figure {
        self.y.logarithmic = true;
        self
    }

    /// Numbers at places, one each.
    #[must_use]
    pub fn series(self, name: impl Into<String>, x: &[f64], y: &[f64]) -> Figure {
        self.with(name, x.to_vec(), y.to_vec(), Vec::new(), false)
    }

    /// Numbers to compare with, such as a closed form: drawn dashed.
    #[must_use]
    pub fn dashed(self, name: impl Into<String>, x: &[f64], y: &[f64]) -> Figure {
        self.with(name, x.to_vec(), y.to_vec(), Vec::new(), true)
    }

    /// Mean and standard deviation over seeds at each place; `seeds` holds a list a seed, as long as `x`.
    #[must_use]
    pub fn over_seeds(self, name: impl Into<String>, x: &[f64], seeds: &[Vec<f64>]) -> Figure {
        let at = |place: usize| seeds.iter().filter_map(|seed| seed.get(place).copied()).collect::<Vec<f64>>();
        let values: Vec<Vec<f64>> = (0..x.len()).map(at).collect();
        let y = values.iter().map(|values| mean(values)).collect();
        let spread = if seeds.len() > 1 { values.iter().map(|values| deviation(values)).collect() } else { Vec::new() };
        self.with(name, x.to_vec(), y, spread, false)
    }

    /// Means and their standard errors at places; there is nothing to show of an error that is not finite. All series of the figure
    /// are then taken to have standard errors.
    #[must_use]
    pub fn means(self, name: impl Into<String>, x: &[f64], y: &[f64], errors: &[f64]) -> Figure {
        let errors = if errors.iter().any(|error| error.is_finite()) { errors.to_vec() } else { Vec::new() };
        Figure { spread: Spread::StandardError, ..self }.with(name, x.to_vec(), y.to_vec(), errors, false)
    }

    /// The heights of one bar a category.
    #[must_use]
    pub fn heights(self, name: impl Into<String>, heights: &[f64]) -> Figure {
        let x = (0..heights.len()).map(|index| index as f64).collect();
        self.with(name, x, heights.to_vec(), Vec::new(), false)
    }

    /// Mean heights and standard deviations over seeds; `seeds` holds a list a seed, a number a category.
    #[must_use]
    pub fn heights_over_seeds(self, name: impl Into<String>, seeds: &[Vec<f64>]) -> Figure {
        let x: Vec<f64> = (0..self.categories.len()).map(|index| index as f64).collect();
        self.over_seeds(name, &x, seeds)
    }

    /// A row of a map: a number a column, NaN where there is none, the standard error of each, and what to say in each cell.
    #[must_use]
    pub fn row(self, name: impl Into<String>, values: &[f64], errors: &[f64], remarks: Vec<String>) -> Figure {
        let x: Vec<f64> = (0..values.len()).map(|index| index as f64).collect();
        let mut figure = self.means(name, &x, values, errors);
        if let Some(row) = figure.series.last_mut() {
            row.remarks = remarks;
        }
        figure
    }

    /// A horizontal line, such as a threshold.
    #[must_use]
    pub fn mark(mut self, name: impl Into<String>, y: f64) -> Figure {
        self.marks.push(Mark { name: name.into(), y });
        self
    }

    fn with(mut self, name: impl Into<String>, x: Vec<f64>, y: Vec<f64>, spread: Vec<f64>, dashed: bool) -> Figure {
        self.series.push(Series { name: name.into(), x, y, spread, dashed, remarks: Vec::new() });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_become_a_mean_and_a_deviation_at_each_place() {
        let figure = Figure::lines("", "", "").over_seeds("a", &[1.0, 2.0], &[vec![1.0, 5.0], vec![3.0, 5.0]]);
        assert_eq!((&figure.series[0].y, &figure.series[0].spread), (&vec![2.0, 5.0], &vec![2.0_f64.sqrt(), 0.0]));
        let figure = Figure::bars("", &["a", "b"], "").heights_over_seeds("one", &[vec![1.0, 2.0]]);
        assert_eq!((&figure.series[0].x, figure.series[0].spread.len()), (&vec![0.0, 1.0], 0));
    }
}
