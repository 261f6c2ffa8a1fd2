//! One row of a report: a figure of ours beside that of a baseline.
use serde::Serialize;

/// The metric that a row is about.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Metric {
    /// Its name, as a person reads it.
    pub name: &'static str,
    /// The unit of the figures.
    pub unit: &'static str,
    /// Which of two figures is the better one.
    pub better: Better,
}

/// Which of two figures is the better one.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// The lower one: it is a cost.
    Less,
    /// The higher one: it is a yield.
    More,
}

/// A figure over all rounds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Half of the rounds were below it.
    pub median: f64,
    /// The lowest of all rounds.
    pub low: f64,
    /// The highest of all rounds.
    pub high: f64,
}

/// One row: ours, a baseline, and how they compare.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The group it belongs to.
    pub group: &'static str,
    /// Under which circumstances it was measured.
    pub case: String,
    /// The metric.
    #[serde(flatten)]
    pub metric: Metric,
    /// The product's figure.
    pub ours: Spread,
    /// The name of the baseline.
    pub baseline: &'static str,
    /// The baseline's figure.
    pub theirs: Spread,
    /// Ours over theirs, round by round: what slows both down cancels out.
    pub ratio: Spread,
    /// How many rounds there were.
    pub rounds: usize,
}

impl Row {
    /// Compares what two sides of a contest did.
    #[must_use]
    pub fn new(
        (group, case): (&'static str, impl Into<String>),
        metric: Metric,
        ours: &[f64],
        (baseline, theirs): (&'static str, &[f64]),
    ) -> Self {
        let ratios: Vec<_> = ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        Self {
            group,
            case: case.into(),
            metric,
            ours: Spread::of(ours),
            baseline,
            theirs: Spread::of(theirs),
            ratio: Spread::of(&ratios),
            rounds: ratios.len(),
        }
    }
}

impl Spread {
    /// The spread of `figures`; all zeros if there are none.
    #[must_use]
    pub fn of(figures: &[f64]) -> Self {
        let sorted = sorted(figures);
        Self {
            median: quantile(&sorted, 0.5),
            low: quantile(&sorted, 0.0),
            high: quantile(&sorted, 1.0),
        }
    }
}

/// The figures in ascending order.
#[must_use]
pub fn sorted(figures: &[f64]) -> Vec<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

/// The figure below which that share of the `sorted` ones lies, by nearest rank; 0 if there are
/// none.
#[must_use]
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a position in a list of at most some million figures"
    )]
    let at = (share * last as f64).round() as usize;
    sorted.get(at.min(last)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_compares_round_by_round() {
        let metric = Metric { name: "p50", unit: "µs", better: Better::Less };
        // The machine was three times slower in the second round, for both.
        let row = Row::new(("get", ""), metric, &[1.0, 3.0, 1.0], ("floor", &[2.0, 6.0, 2.0]));
        assert_eq!(row.ratio, Spread { median: 0.5, low: 0.5, high: 0.5 });
        assert_eq!(row.ours, Spread { median: 1.0, low: 1.0, high: 3.0 });
    }

    #[test]
    fn quantiles_of_few_figures_are_among_them() {
        let hundred: Vec<f64> = (0..=100_u8).map(f64::from).collect();
        assert!((quantile(&hundred, 0.99) - 99.0).abs() < f64::EPSILON);
        assert!(quantile(&[], 0.5).abs() < f64::EPSILON);
        assert!((quantile(&[7.0], 0.99) - 7.0).abs() < f64::EPSILON);
    }
}
