//! core: which final transcript belongs to which pause, and when a turn's text is known
//!
//! In:    pauses, resumptions and ends of speech; finals and marker echoes of the engine.
//! Out:   when to mark; a hypothesis for a pause; the text of a turn that is over.
//! Never: gives a turn the text of an earlier pause; waits for an engine that is gone.

/// The transcript of the turn being spoken.
#[derive(Debug, Default)]
pub struct Transcript {
    marks: i64,
    /// The marker that has been sent for the pause that lasts, and has not come back.
    asked: Option<i64>,
    /// Everything said up to the pause that lasts.
    settled: Option<String>,
    /// The final whose marker has not come back yet.
    last_final: String,
    /// The latest partial: what is left when the engine dies.
    partial: String,
    over: bool,
}

impl Transcript {
    /// Speech paused: send the returned marker.
    pub fn paused(&mut self) -> i64 {
        self.marks += 1;
        self.asked = Some(self.marks);
        self.settled = None;
        self.marks
    }

    /// It went on: what was asked is stale.
    pub fn resumed(&mut self) {
        self.asked = None;
        self.settled = None;
    }

    /// The turn is over. `Some`: send this marker, for none is on its way.
    pub fn over(&mut self) -> Option<i64> {
        self.over = true;
        (self.settled.is_none() && self.asked.is_none()).then(|| self.paused())
    }

    pub fn is_over(&self) -> bool {
        self.over
    }

    pub fn partial(&mut self, text: String) {
        self.partial = text;
    }

    pub fn last_partial(&self) -> &str {
        &self.partial
    }

    pub fn final_text(&mut self, text: String) {
        self.last_final = text;
    }

    /// A marker came back. `Some`: a hypothesis, the text up to the pause that lasts.
    pub fn marker(&mut self, id: i64) -> Option<&str> {
        if self.asked != Some(id) {
            return None;
        }
        self.asked = None;
        Some(self.settled.insert(std::mem::take(&mut self.last_final)))
    }

    /// The text of the turn, once it is over and known; the next turn begins.
    pub fn take(&mut self) -> Option<String> {
        if !self.over {
            return None;
        }
        let text = self.settled.take()?;
        self.forget();
        Some(text)
    }

    /// The turn is forgotten; markers on their way are stale.
    pub fn forget(&mut self) {
        *self = Self { marks: self.marks, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The usual turn: the text is known before the silence is long enough.
    #[test]
    fn known_before_it_is_over() {
        let mut t = Transcript::default();
        let mark = t.paused();
        t.final_text("good morning".into());
        assert_eq!(t.marker(mark), Some("good morning"));
        assert_eq!(t.take(), None);
        assert_eq!(t.over(), None);
        assert_eq!(t.take().as_deref(), Some("good morning"));
        assert!(!t.is_over());
    }

    /// A pause in the middle: its final is not the turn's.
    #[test]
    fn a_stale_final_is_not_taken() {
        let mut t = Transcript::default();
        let first = t.paused();
        t.resumed();
        t.final_text("good".into());
        assert_eq!(t.marker(first), None);
        let second = t.paused();
        assert_eq!(t.over(), None, "one is on its way");
        assert_eq!(t.take(), None);
        t.final_text("good morning".into());
        t.marker(second);
        assert_eq!(t.take().as_deref(), Some("good morning"));
    }

    /// Committed without a pause: it has to be asked for.
    #[test]
    fn an_end_without_a_pause_asks() {
        let mut t = Transcript::default();
        let mark = t.over().unwrap();
        t.final_text("yes".into());
        t.marker(mark);
        assert_eq!(t.take().as_deref(), Some("yes"));
    }
}
