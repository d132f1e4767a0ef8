//! Cost models: what something costs as a function of the number of Services, fitted to one value a
//! size.
//!
//! Fits by weighted least squares, each point by its relative error, for costs span orders of
//! magnitude. Which model is used is decided in `cost`.

use std::fmt::Write as _;

use schemars::JsonSchema;
use serde::Serialize;

/// Most parameters of a model that is fitted.
const PARAMETERS_MAX: usize = 3;
/// Steps at which a model is checked to never fall.
const STEPS: u32 = 64;

type Matrix = [[f64; PARAMETERS_MAX]; PARAMETERS_MAX];
type Vector = [f64; PARAMETERS_MAX];

/// The models, simplest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    /// `a`
    Constant,
    /// `a + b n`
    Linear,
    /// `a + b n log2 n`
    NLogN,
    /// `a + b n + c n^2`
    Quadratic,
    /// Straight lines from each measured size to the next.
    PiecewiseLinear,
}

impl Model {
    /// Simplest first.
    pub(super) const ALL: [Self; 5] =
        [Self::Constant, Self::Linear, Self::NLogN, Self::Quadratic, Self::PiecewiseLinear];

    /// `linear`, `n log n`.
    pub fn name(self) -> &'static str {
        self.in_words().0
    }

    /// What each parameter but the first is multiplied by.
    fn factors(self) -> &'static [&'static str] {
        self.in_words().1
    }

    /// Its name and factors.
    fn in_words(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Constant => ("constant", &[]),
            Self::Linear => ("linear", &["n"]),
            Self::NLogN => ("n log n", &["n log₂ n"]),
            Self::Quadratic => ("quadratic", &["n", "n²"]),
            Self::PiecewiseLinear => ("piecewise linear", &[]),
        }
    }

    /// The terms at `n` Services, in units of `scale` Services so that they are of one order.
    fn terms(self, n: f64, scale: f64) -> Vector {
        let share = n / scale;
        match self {
            Self::Constant | Self::PiecewiseLinear => [1.0, 0.0, 0.0],
            Self::Linear => [1.0, share, 0.0],
            Self::NLogN => [1.0, share * n.max(1.0).log2(), 0.0],
            Self::Quadratic => [1.0, share, share * share],
        }
    }
}

/// A model with its parameters.
#[derive(Debug, Clone)]
pub(super) struct Fit {
    pub model: Model,
    /// Relative standard deviation of the points around the model; none for one that goes through
    /// every point.
    pub misfit: Option<f64>,
    form: Form,
}

#[derive(Debug, Clone)]
enum Form {
    /// Parameters of the terms, and their covariance for a relative error of 1.
    Terms { scale: f64, parameters: Vector, covariance: Matrix },
    /// Size and cost of each node, ascending; at least two.
    Nodes(Vec<(f64, f64)>),
}

impl Fit {
    /// Fits `model` to points of size and cost, ascending in size, both above 0. `None` with fewer
    /// sizes than parameters, or when the numbers cannot be solved.
    pub fn of(model: Model, points: &[(f64, f64)]) -> Option<Self> {
        if model == Model::PiecewiseLinear {
            let form = Form::Nodes(points.to_vec());
            return (points.len() >= 2).then_some(Self { model, misfit: None, form });
        }
        let count = model.factors().len() + 1;
        let freedom = points.len().checked_sub(count)?;
        let scale = points.last()?.0;
        let (mut normal, mut right) = (Matrix::default(), Vector::default());
        // A cost of the order of 1 keeps the matrix well conditioned.
        let unit = points.iter().map(|point| point.1).fold(0.0, f64::max);
        for &(n, cost) in points {
            let terms = model.terms(n, scale).map(|term| term * unit / cost);
            for ((row, sum), term) in normal.iter_mut().zip(&mut right).zip(terms) {
                *sum += term;
                for (cell, other) in row.iter_mut().zip(terms) {
                    *cell += term * other;
                }
            }
        }
        let inverse = inverse(&normal, count)?;
        let parameters = inverse.map(|row| unit * dot(row, right));
        let covariance = inverse.map(|row| row.map(|cell| cell * unit * unit));
        let form = Form::Terms { scale, parameters, covariance };
        let mut fit = Self { model, misfit: None, form };
        let squares: f64 = points.iter().map(|(n, cost)| (fit.at(*n) / cost - 1.0).powi(2)).sum();
        fit.misfit = (freedom > 0).then(|| (squares / freedom as f64).sqrt());
        fit.at(scale).is_finite().then_some(fit)
    }

    /// The cost of `n` Services.
    pub fn at(&self, n: f64) -> f64 {
        match &self.form {
            Form::Terms { scale, parameters, .. } => dot(*parameters, self.model.terms(n, *scale)),
            Form::Nodes(nodes) => {
                let (low, high, share) = segment(nodes, n);
                low * (1.0 - share) + high * share
            }
        }
    }

    /// Variance of the fitted cost at `n` when each point has a relative variance of 1.
    pub fn variance_at(&self, n: f64) -> f64 {
        match &self.form {
            Form::Terms { scale, covariance, .. } => {
                let terms = self.model.terms(n, *scale);
                dot(terms, covariance.map(|row| dot(row, terms)))
            }
            Form::Nodes(nodes) => {
                let (low, high, share) = segment(nodes, n);
                (low * (1.0 - share)).powi(2) + (high * share).powi(2)
            }
        }
    }

    /// Whether it is above 0 at `from` Services and never falls up to `to`: more Services do not
    /// cost less. A piecewise line says only what was measured, and has to pass beyond the last
    /// size alone.
    pub fn is_plausible(&self, from: f64, to: f64) -> bool {
        let begin = match &self.form {
            Form::Terms { .. } => from,
            Form::Nodes(nodes) => nodes.last().map_or(from, |node| node.0),
        };
        let costs: Vec<f64> = spaced(begin, to, STEPS).map(|n| self.at(n)).collect();
        let rises = costs.is_sorted_by(|low, high| *high >= low * (1.0 - 1e-9));
        rises && costs.first().is_some_and(|cost| *cost > 0.0 && cost.is_finite())
    }

    /// The model in words, `number` giving a cost its unit: `49,800 + 26.6 n`.
    pub fn words(&self, number: &dyn Fn(f64) -> String) -> String {
        let Form::Terms { scale, parameters: [first, others @ ..], .. } = &self.form else {
            return "straight lines between the measured sizes".to_owned();
        };
        let mut words = number(*first);
        for ((factor, parameter), power) in self.model.factors().iter().zip(others).zip(1..) {
            let sign = if *parameter < 0.0 { "−" } else { "+" };
            let each = number((parameter / scale.powi(power)).abs());
            let _ = write!(words, " {sign} {each} {factor}");
        }
        words
    }
}

/// Numbers from one to another in equal ratios, one more than there are steps.
pub(super) fn spaced(from: f64, to: f64, steps: u32) -> impl Iterator<Item = f64> {
    let step = (to / from).powf(1.0 / f64::from(steps));
    (0..=steps).map(move |at| from * step.powf(f64::from(at)))
}

/// Costs of the two nodes around `n` and where between them it is, 0 to 1; beyond an end the last
/// segment goes on.
fn segment(nodes: &[(f64, f64)], n: f64) -> (f64, f64, f64) {
    let upper =
        nodes.partition_point(|node| node.0 < n).clamp(1, nodes.len().saturating_sub(1).max(1));
    match (nodes.get(upper - 1), nodes.get(upper)) {
        (Some(low), Some(high)) => (low.1, high.1, (n - low.0) / (high.0 - low.0)),
        (Some(only), None) => (only.1, only.1, 0.0),
        _ => (f64::NAN, f64::NAN, 0.0),
    }
}

fn dot(a: Vector, b: Vector) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Inverse of the upper left `count` rows and columns, the rest 0, by Gauss and Jordan with pivots.
fn inverse(matrix: &Matrix, count: usize) -> Option<Matrix> {
    // Each row of the matrix with its row of the identity.
    let mut rows = matrix.map(|[a, b, c]| [a, b, c, 0.0, 0.0, 0.0]);
    (0..count).for_each(|at| rows[at][PARAMETERS_MAX + at] = 1.0);
    for column in 0..count {
        let pivot = (column..count)
            .max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        rows.swap(column, pivot);
        let head = rows[column][column];
        if head.abs() < 1e-14 || !head.is_finite() {
            return None;
        }
        rows[column] = rows[column].map(|cell| cell / head);
        let solved = rows[column];
        for row in (0..count).filter(|row| *row != column) {
            let factor = rows[row][column];
            rows[row].iter_mut().zip(solved).for_each(|(cell, one)| *cell -= factor * one);
        }
    }
    Some(rows.map(|[.., a, b, c]| [a, b, c]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SIZES: [f64; 5] = [100.0, 1_000.0, 5_000.0, 10_000.0, 20_000.0];

    fn points(cost: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        SIZES.map(|n| (n, cost(n))).to_vec()
    }

    #[test]
    fn each_model_finds_its_own_parameters_again() {
        let quadratic = |n: f64| 7e6 + 50_000.0 * n + 15.6 * n * n;
        let cases: [(Model, &dyn Fn(f64) -> f64); 4] = [
            (Model::Constant, &|_| 70_000.0),
            (Model::Linear, &|n| 61_000.0 + 26.0 * n),
            (Model::NLogN, &|n: f64| 1e6 + 300.0 * n * n.log2()),
            (Model::Quadratic, &quadratic),
        ];
        for (model, cost) in cases {
            let fit = Fit::of(model, &points(cost)).unwrap();
            for n in [1.0, 2_500.0, 80_000.0] {
                assert!(
                    (fit.at(n) / cost(n) - 1.0).abs() < 1e-6,
                    "{model:?} at {n}: {}",
                    fit.at(n)
                );
            }
            assert!(fit.misfit.unwrap() < 1e-7, "{model:?}");
            assert!(fit.is_plausible(100.0, 80_000.0), "{model:?}");
        }
    }

    #[test]
    fn small_and_large_costs_weigh_the_same() {
        // 10% too much at the smallest and at the largest size pull equally hard in relative terms.
        let noisy = points(|n| (1e6 + 2e5 * n) * if n < 200.0 { 1.1 } else { 1.0 });
        let fit = Fit::of(Model::Linear, &noisy).unwrap();
        assert!((fit.at(20_000.0) / (1e6 + 4e9) - 1.0).abs() < 0.03);
    }

    #[test]
    fn a_falling_model_is_not_plausible() {
        let fit = Fit::of(Model::Linear, &points(|n| 90_000.0 - n)).unwrap();
        assert!(!fit.is_plausible(100.0, 80_000.0));
    }

    #[test]
    fn too_few_sizes_fit_nothing() {
        assert!(Fit::of(Model::Quadratic, &points(|n| n)[..2]).is_none());
        assert!(Fit::of(Model::Linear, &[(1.0, 1.0), (1.0, 2.0)]).is_none());
        assert!(Fit::of(Model::PiecewiseLinear, &[(1.0, 1.0)]).is_none());
        assert!(Fit::of(Model::Constant, &[]).is_none());
    }

    #[test]
    fn a_piecewise_line_goes_through_its_points_and_on() {
        let fit =
            Fit::of(Model::PiecewiseLinear, &[(10.0, 1.0), (20.0, 2.0), (40.0, 8.0)]).unwrap();
        for (n, cost) in
            [(5.0, 0.5), (10.0, 1.0), (15.0, 1.5), (20.0, 2.0), (30.0, 5.0), (50.0, 11.0)]
        {
            assert!((fit.at(n) - cost).abs() < 1e-12, "{n}: {}", fit.at(n));
        }
        assert!(fit.variance_at(50.0) > fit.variance_at(40.0));
    }

    #[test]
    fn a_model_is_said_in_the_units_of_its_costs() {
        let fit = Fit::of(Model::Quadratic, &points(|n| 7e6 + 50_000.0 * n - 2.0 * n * n)).unwrap();
        assert_eq!(fit.words(&|value| format!("{value:.0}")), "7000000 + 50000 n − 2 n²");
    }

    proptest! {
        #[test]
        fn whatever_is_fitted_has_finite_costs(values in prop::collection::vec(1.0..1e12_f64, 2..6)) {
            let points: Vec<_> = SIZES.into_iter().zip(values).collect();
            for model in Model::ALL {
                if let Some(fit) = Fit::of(model, &points) {
                    prop_assert!(fit.at(7.0).is_finite() && fit.variance_at(7.0) >= -1e-6, "{model:?}");
                }
            }
        }
    }
}
