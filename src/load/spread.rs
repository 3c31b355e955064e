//! core: the values of one figure in order, and what they say: percentiles, mean, ends
//! In:    values in any order; what is not a finite number is not a measurement and is left out.
//! Out:   any percentile by nearest rank, so that each one named is a value that really was measured.
//! Never: interpolates; gives a number where there was no value.

use std::fmt;
use std::str::FromStr;

/// Values from small to large. Never empty: a figure without a value has no spread.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread(Vec<f64>);

/// One number of a spread, as a target or a table names it: `p99`, `mean`, `min`, `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stat {
    Min,
    Mean,
    Max,
    /// 1 to 99: the smallest value that at least so many percent of all values do not exceed.
    Percentile(u8),
}

impl Spread {
    /// `None` where nothing was measured.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().filter(|value| value.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        (!values.is_empty()).then_some(Self(values))
    }

    /// How many values there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// From small to large.
    pub fn values(&self) -> &[f64] {
        &self.0
    }

    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }

    pub fn min(&self) -> f64 {
        self.0[0]
    }

    pub fn max(&self) -> f64 {
        self.0[self.0.len() - 1]
    }

    /// By nearest rank: the value at place ⌈percent / 100 × count⌉, counted from 1. Of fewer than 100 values the p99 is the
    /// largest: a short run does not hide its worst answer.
    pub fn percentile(&self, percent: u8) -> f64 {
        let rank = (usize::from(percent) * self.0.len()).div_ceil(100);
        self.0[rank.clamp(1, self.0.len()) - 1]
    }

    pub fn at(&self, stat: Stat) -> f64 {
        match stat {
            Stat::Min => self.min(),
            Stat::Mean => self.mean(),
            Stat::Max => self.max(),
            Stat::Percentile(percent) => self.percentile(percent),
        }
    }

    /// The same values without their signs, for a figure that is bad on both sides of zero.
    pub fn magnitudes(&self) -> Self {
        let mut values: Vec<f64> = self.0.iter().map(|value| value.abs()).collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }
}

impl fmt::Display for Stat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Min => f.write_str("min"),
            Self::Mean => f.write_str("mean"),
            Self::Max => f.write_str("max"),
            Self::Percentile(percent) => write!(f, "p{percent:02}"),
        }
    }
}

impl FromStr for Stat {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "min" => Ok(Self::Min),
            "mean" => Ok(Self::Mean),
            "max" => Ok(Self::Max),
            _ => {
                let digits = text.strip_prefix('p').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
                let percent =
                    digits.and_then(|digits| digits.parse().ok()).filter(|percent| (1..100).contains(percent));
                percent.map(Self::Percentile).ok_or(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, by hand: of 1 to 20, one value is 5 %.
    #[test]
    fn percentiles_are_by_nearest_rank() {
        let spread = Spread::of((1..=20).rev().map(f64::from)).unwrap();
        let wanted =
            [(1, 1.0), (5, 1.0), (6, 2.0), (50, 10.0), (51, 11.0), (90, 18.0), (95, 19.0), (96, 20.0), (99, 20.0)];
        for (percent, value) in wanted {
            assert_eq!(spread.percentile(percent), value, "p{percent}");
        }
        assert_eq!((spread.min(), spread.mean(), spread.max(), spread.count()), (1.0, 10.5, 20.0, 20));
    }

    /// What never came has no place in an order.
    #[test]
    fn only_numbers_are_measurements() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([f64::NAN, f64::INFINITY]), None);
        let spread = Spread::of([f64::NAN, -3.0, 1.0]).unwrap();
        assert_eq!((spread.count(), spread.max()), (2, 1.0));
        assert_eq!(spread.magnitudes().values(), [1.0, 3.0]);
    }

    #[test]
    fn stats_are_read_as_they_are_written() {
        for stat in [Stat::Min, Stat::Mean, Stat::Max, Stat::Percentile(5), Stat::Percentile(99)] {
            assert_eq!(stat.to_string().parse(), Ok(stat));
        }
        assert_eq!("p5".parse(), Ok(Stat::Percentile(5)));
        for wrong in ["", "p", "p0", "p100", "p+5", "99", "median"] {
            assert_eq!(wrong.parse::<Stat>(), Err(()), "{wrong}");
        }
    }

    proptest! {
        /// The definition, counted out: at least so many percent are no larger, and no smaller value has that property.
        #[test]
        fn a_percentile_splits_the_values(values in prop::collection::vec(-1e6f64..1e6, 1..300), percent in 1u8..100) {
            let found = Spread::of(values.iter().copied()).unwrap().percentile(percent);
            let share_up_to = |limit: f64| values.iter().filter(|value| **value <= limit).count() * 100;
            let needed = usize::from(percent) * values.len();
            prop_assert!(values.contains(&found));
            prop_assert!(share_up_to(found) >= needed);
            prop_assert!(values.iter().filter(|value| **value < found).all(|smaller| share_up_to(*smaller) < needed));
        }
    }
}
