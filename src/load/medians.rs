//! core: a quantity measured often, kept as one median per five seconds
//! In:    values with their times.
//! Out:   a value per window: few enough to keep for a call of any length, enough to show its bad moments.

use std::time::{Duration, Instant};

/// See the file's head.
#[derive(Clone, Debug, Default)]
pub struct Medians {
    began: Option<Instant>,
    open: Vec<f64>,
    closed: Vec<f64>,
}

impl Medians {
    pub fn note(&mut self, now: Instant, value: f64) {
        let began = *self.began.get_or_insert(now);
        if now.saturating_duration_since(began) >= WINDOW {
            self.closed.extend(median(&mut self.open));
            self.open.clear();
            self.began = Some(now);
        }
        if self.open.len() < MOST_VALUES {
            self.open.push(value);
        }
    }

    /// The median of each window, that of the last one included.
    pub fn values(&self) -> Vec<f64> {
        let mut values = self.closed.clone();
        values.extend(median(&mut self.open.clone()));
        values
    }
}

/// The middle one; of an even number the mean of the middle two. `None`: of nothing.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let count = values.len();
    (count > 0).then(|| (values[(count - 1) / 2] + values[count / 2]) / 2.0)
}

const WINDOW: Duration = Duration::from_secs(5);

/// Nothing that is measured comes a hundred times a second; a sender that says otherwise is not believed.
const MOST_VALUES: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    /// One outlier changes no median; each window has its own.
    #[test]
    fn every_window_has_its_median() {
        let t0 = Instant::now();
        let mut medians = Medians::default();
        assert!(medians.values().is_empty());
        for (ms, value) in [(0, 1.0), (1_000, 90.0), (4_999, 2.0), (5_000, 7.0), (6_000, 8.0), (60_000, 3.0)] {
            medians.note(t0 + Duration::from_millis(ms), value);
        }
        assert_eq!(medians.values(), [2.0, 7.5, 3.0]);
    }
}
