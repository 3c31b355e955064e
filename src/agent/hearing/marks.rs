//! core: when each mark that is out was set, so that every answer is timed from its own question
//!
//! In:    marks as they are sent to the engine, and as they come back.
//! Out:   how long the answer took.
//! Never: holds more than a few; times a mark twice.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Marks that the engine has been sent and has not answered, oldest first.
#[derive(Debug, Default)]
pub struct Marks(VecDeque<(i64, Instant)>);

impl Marks {
    pub fn sent(&mut self, now: Instant, id: i64) {
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((id, now));
    }

    /// How long the answer to this mark took; `None` when nobody waits for it. Answers come in the order of the marks:
    /// one that was passed over is not waited for any more.
    pub fn answered(&mut self, now: Instant, id: i64) -> Option<Duration> {
        let at = self.0.iter().position(|(out, _)| *out == id)?;
        let (_, sent) = self.0.drain(..=at).next_back()?;
        Some(now.saturating_duration_since(sent))
    }

    /// The engine has been told to forget, or is gone: none of them is answered.
    pub fn forget(&mut self) {
        self.0.clear();
    }
}

/// A pause every few hundred milliseconds against an engine that answers within three seconds.
const MOST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// With two out each is timed from itself, once; what was forgotten, passed over or pushed out is not timed.
    #[test]
    fn each_answer_has_its_own_question() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut marks = Marks::default();
        marks.sent(start, 1);
        marks.sent(start + ms(400), 2);
        assert_eq!(marks.answered(start + ms(500), 1), Some(ms(500)));
        assert_eq!(marks.answered(start + ms(550), 1), None);
        assert_eq!(marks.answered(start + ms(700), 2), Some(ms(300)));
        marks.sent(start, 3);
        marks.forget();
        assert_eq!(marks.answered(start + ms(9), 3), None);
        for id in 10..20 {
            marks.sent(start, id);
        }
        assert_eq!(marks.answered(start, 11), None, "only so many are remembered");
        assert_eq!(marks.answered(start + ms(5), 15), Some(ms(5)));
        assert_eq!(marks.answered(start, 14), None, "passed over");
    }
}
