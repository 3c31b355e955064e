//! core: somebody who listens to a stream from its first sound on, without a buffer in hand
//! In:    when each piece came, and how long it lasts.
//! Out:   how long there was nothing to hear, and how often.
//! Law:   pieces come in the order of their times.

use std::time::{Duration, Instant};

/// Plays what has come; stands still when nothing is left.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Listener {
    /// When all that has come so far will have been heard; `None` before the first piece.
    runs_dry: Option<Instant>,
    heard: Duration,
    waited: Duration,
    gaps: usize,
}

impl Listener {
    pub(super) fn handle(&mut self, now: Instant, lasts: Duration) {
        let dry = self.runs_dry.unwrap_or(now);
        let wait = now.saturating_duration_since(dry);
        self.waited += wait;
        self.gaps += usize::from(wait > A_GAP);
        self.heard += lasts;
        self.runs_dry = Some(dry.max(now) + lasts);
    }

    /// How long all of it lasts.
    pub(super) fn heard(&self) -> Duration {
        self.heard
    }

    /// The share of the time of listening in which there was nothing to hear.
    pub(super) fn underrun(&self) -> f64 {
        let whole = (self.heard + self.waited).as_secs_f64();
        if whole > 0.0 { self.waited.as_secs_f64() / whole } else { 0.0 }
    }

    /// Waits that anybody notices.
    pub(super) fn gaps(&self) -> usize {
        self.gaps
    }
}

/// As in calls: what a jitter buffer of a good line hides is no gap.
const A_GAP: Duration = Duration::from_millis(60);

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes early waits for its turn, what comes late is waited for.
    #[test]
    fn it_hears_dry_moments() {
        let (t0, ms) = (Instant::now(), Duration::from_millis);
        let mut listener = Listener::default();
        for (at, lasts) in [(0, 100), (10, 100), (180, 100), (340, 100), (740, 200)] {
            listener.handle(t0 + ms(at), ms(lasts));
        }
        // Dry at 300: 40 ms, no gap. Dry at 440: 300 ms, a gap.
        assert_eq!((listener.heard(), listener.gaps()), (ms(600), 1));
        assert!((listener.underrun() - 340.0 / 940.0).abs() < 1e-9);
        assert_eq!(Listener::default().underrun(), 0.0);
    }
}
