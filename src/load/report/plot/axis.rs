//! core: an axis: what it spans, and its ticks at round numbers
//! In:    the values to show, and how many ticks there is room for.
//! Out:   a place between 0 and 1 for each value, and ticks with labels.
//! Never: gives a place that is no number, whatever the values.

/// From its beginning (place 0) to its end (place 1).
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What it counts, with the unit.
    pub title: String,
    /// In the unit of the values.
    pub ticks: Vec<(f64, String)>,
    from: f64,
    to: f64,
}

impl Axis {
    /// From 0 to a round number at or above `most`, with about `wanted` ticks.
    pub fn from_zero(title: &str, most: f64, wanted: usize) -> Self {
        Self::scaled(title, most, wanted, 1.0)
    }

    /// Times in seconds, labelled in milliseconds, seconds or minutes, whichever reads best.
    pub fn of_time(title: &str, most_s: f64, wanted: usize) -> Self {
        let (unit, scale) = match most_s {
            _ if most_s > 600.0 => ("min", 1.0 / 60.0),
            _ if most_s < 1.2 => ("ms", 1000.0),
            _ => ("s", 1.0),
        };
        Self::scaled(&format!("{title}{unit}"), most_s, wanted, scale)
    }

    fn scaled(title: &str, most: f64, wanted: usize, scale: f64) -> Self {
        let most = if most.is_finite() && most > 0.0 { most * scale } else { 1.0 };
        let step = round_step(most / wanted.max(1) as f64);
        // A value that stands on a tick does not need another one, in spite of rounding.
        let count = (most / step - 1e-9).ceil().max(1.0) as usize;
        let decimals = (-step.log10().floor()).max(0.0) as usize;
        let tick = |number: usize| (number as f64 * step / scale, format!("{:.decimals$}", number as f64 * step));
        Self {
            title: title.to_string(),
            ticks: (0..=count).map(tick).collect(),
            from: 0.0,
            to: count as f64 * step / scale,
        }
    }

    /// The same, cut off at `end`, for what is as long as it is.
    pub fn ending_at(mut self, end: f64) -> Self {
        if end.is_finite() && end > self.from {
            self.to = end;
            self.ticks.retain(|(value, _)| *value <= end);
        }
        self
    }

    /// Places 0, 1, 2 … with a name each and half a place of room at both ends.
    pub fn of_names(title: &str, names: &[String]) -> Self {
        let ticks = names.iter().enumerate().map(|(place, name)| (place as f64, name.clone())).collect();
        Self { title: title.to_string(), ticks, from: -0.5, to: names.len().max(1) as f64 - 0.5 }
    }

    /// Shares of `count` values, drawn so that the last 10 % take as much room as the 90 % before, and the last 1 % again as
    /// much: the tail of a wait is what its users remember. Values are what [`nines`] gives.
    pub fn of_tail(title: &str, count: usize) -> Self {
        let to = nines(1.0 - 0.5 / count.max(2) as f64);
        let shares = [(0.0, "0"), (0.5, "50"), (0.75, "75"), (0.9, "90"), (0.95, "95"), (0.99, "99"), (0.999, "99.9")];
        let ticks = shares.into_iter().map(|(share, label)| (nines(share), label.to_string()));
        Self { title: title.to_string(), ticks: ticks.filter(|(place, _)| *place <= to).collect(), from: 0.0, to }
    }

    /// Where a value lies: 0 at the beginning, 1 at the end; values beyond lie on the edge.
    pub fn place(&self, value: f64) -> f64 {
        let place = (value - self.from) / (self.to - self.from);
        if place.is_finite() { place.clamp(0.0, 1.0) } else { 0.0 }
    }
}

/// How many nines a share has: 0.9 → 1, 0.99 → 2.
pub fn nines(share: f64) -> f64 {
    -(1.0 - share.clamp(0.0, 0.999_999)).log10()
}

/// 1, 2 or 5 times a power of ten: the smallest that is not below `least`.
fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 5.0]
        .into_iter()
        .map(|digit| digit * power)
        .find(|step| *step >= least * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|(_, label)| label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(labels(&Axis::from_zero("users", 24.0, 5)), ["0", "5", "10", "15", "20", "25"]);
        assert_eq!(labels(&Axis::from_zero("share", 0.3, 3)), ["0.0", "0.1", "0.2", "0.3"]);
        let time = Axis::of_time("", 0.9, 5);
        assert_eq!((labels(&time), time.title.as_str()), (vec!["0", "200", "400", "600", "800", "1000"], "ms"));
        let time = Axis::of_time("", 2.33, 5);
        assert_eq!((labels(&time), time.title.as_str()), (vec!["0.0", "0.5", "1.0", "1.5", "2.0", "2.5"], "s"));
        let minutes = Axis::of_time("", 1140.0, 4);
        assert_eq!(labels(&minutes), ["0", "5", "10", "15", "20"]);
        assert_eq!(labels(&minutes.clone().ending_at(1140.0)), ["0", "5", "10", "15"]);
        assert_eq!(minutes.ending_at(1140.0).place(1140.0), 1.0);
    }

    #[test]
    fn a_tail_has_room() {
        let tail = Axis::of_tail("%", 200);
        assert_eq!(labels(&tail), ["0", "50", "75", "90", "95", "99"]);
        assert!((nines(0.99) - 2.0).abs() < 1e-9);
        assert_eq!(labels(&Axis::of_tail("%", 1)), ["0", "50", "75"]);
    }

    proptest! {
        /// Whatever is shown: a handful of ticks in order, the first at 0, the largest value on the axis, places in 0 to 1.
        #[test]
        fn everything_has_a_place(most in prop::num::f64::ANY, wanted in 1usize..12, value in prop::num::f64::ANY) {
            // No figure is that large or that small, and a double has no round steps there.
            let most = if (1e-100..1e100).contains(&most.abs()) || most.is_nan() { most } else { 0.0 };
            for axis in [Axis::from_zero("", most, wanted), Axis::of_time("", most, wanted), Axis::of_tail("", wanted)] {
                prop_assert!((1..=2 * wanted + 7).contains(&axis.ticks.len()), "{:?}", axis.ticks);
                prop_assert!(axis.ticks.windows(2).all(|pair| pair[0].0 < pair[1].0), "{:?}", axis.ticks);
                prop_assert!((0.0..=1.0).contains(&axis.place(value)));
            }
            prop_assert!(most.is_nan() || Axis::from_zero("", most, wanted).to >= most * (1.0 - 1e-6));
        }
    }
}
