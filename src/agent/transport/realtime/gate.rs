//! core: which facts about a turn may be told, and when
//!
//! A turn behind the floor's gate (`next`) must leave no event unless it gets the floor: its notices wait here. The floor is a
//! latest-wins lane, so a turn may have come and gone unseen; what only a turn with the floor can cause therefore opens it too.
//! In:    notices; the floor.
//! Out:   the notices that may be told, in their order within a turn.
//! Never: tells of a turn that was dropped; holds more than one `ReplyText` per turn and stretch.

use std::collections::VecDeque;

use crate::agent::flow::{Fact, Floor, Notice, TurnId};

#[derive(Debug, Default)]
pub struct Gate {
    floor: Floor,
    /// The newest turn that any floor has named: whatever is older and not open will never be.
    newest: Option<TurnId>,
    /// Turns that have had the floor, oldest first.
    open: VecDeque<TurnId>,
    held: VecDeque<Notice>,
}

impl Gate {
    /// The notices that may be told now that `notice` has come.
    pub fn notice(&mut self, notice: Notice) -> Vec<Notice> {
        let Some(turn) = notice.turn else { return vec![notice] };
        if self.is_open(turn) {
            return vec![notice];
        }
        if proves_the_floor(&notice.fact) {
            let mut told = self.open(turn);
            told.push(notice);
            return told;
        }
        if !self.is_gone(turn) {
            self.hold(notice);
        }
        Vec::new()
    }

    /// The notices that may be told now that the floor is `floor`.
    pub fn floor(&mut self, floor: Floor) -> Vec<Notice> {
        self.floor = floor;
        self.newest = self.newest.max(floor.now).max(floor.next);
        let told = floor.now.map(|turn| self.open(turn)).unwrap_or_default();
        let held = std::mem::take(&mut self.held);
        self.held = held.into_iter().filter(|notice| notice.turn.is_some_and(|turn| !self.is_gone(turn))).collect();
        told
    }

    /// The turn is being heard, so it has the floor, whatever was seen of the floor.
    pub fn open(&mut self, turn: TurnId) -> Vec<Notice> {
        if !self.is_open(turn) {
            self.open.push_back(turn);
            if self.open.len() > TURNS_REMEMBERED {
                self.open.pop_front();
            }
        }
        let (told, held): (VecDeque<_>, _) = self.held.drain(..).partition(|notice| notice.turn == Some(turn));
        self.held = held;
        told.into()
    }

    /// An open turn's notice that must wait for the end of the reply before it; [`Gate::waiting`] gives it back.
    pub fn wait(&mut self, notice: Notice) {
        self.hold(notice);
    }

    /// The notices of open turns that were made to wait.
    pub fn waiting(&mut self) -> Vec<Notice> {
        let open = std::mem::take(&mut self.open);
        let (told, held): (VecDeque<_>, _) =
            self.held.drain(..).partition(|notice| notice.turn.is_some_and(|turn| open.contains(&turn)));
        self.held = held;
        self.open = open;
        told.into()
    }

    /// The floor has named this turn or a later one, and is not this turn's.
    pub fn has_passed(&self, turn: TurnId) -> bool {
        self.floor.now != Some(turn) && self.newest >= Some(turn)
    }

    fn is_open(&self, turn: TurnId) -> bool {
        self.open.contains(&turn)
    }

    /// Named once or passed over, and no longer wanted.
    fn is_gone(&self, turn: TurnId) -> bool {
        !self.is_open(turn) && !self.floor.wants(turn) && self.newest.is_some_and(|newest| turn <= newest)
    }

    fn hold(&mut self, notice: Notice) {
        if let (Some(last), Fact::ReplyText { delta }) = (self.held.back_mut(), &notice.fact)
            && last.turn == notice.turn
            && let Fact::ReplyText { delta: text } = &mut last.fact
        {
            text.push_str(delta);
            return;
        }
        if self.held.len() == NOTICES_HELD {
            self.held.pop_front();
        }
        self.held.push_back(notice);
    }
}

/// The stage plays only the floor's turn, and what the client asked for is never a guess.
fn proves_the_floor(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::ReplyStarted { asked: Some(_) }
            | Fact::AudioStarted
            | Fact::AudioStopped
            | Fact::AudioCleared { .. }
            | Fact::Captions { .. }
    )
}

/// The last facts about a turn come while the next one speaks; nothing comes of the one before.
const TURNS_REMEMBERED: usize = 8;

/// Two turns tell about ten facts each before they are heard; the rest is room for a stage that lags.
const NOTICES_HELD: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn text(turn: u64, delta: &str) -> Notice {
        Notice { turn: Some(TurnId(turn)), fact: Fact::ReplyText { delta: delta.to_owned() } }
    }

    fn floor(now: Option<u64>, next: Option<u64>) -> Floor {
        Floor { now: now.map(TurnId), next: next.map(TurnId), ..Floor::default() }
    }

    /// Confirmed: the notices come out in order, joined. Dropped: they never do, nor do late ones.
    #[test]
    fn a_held_turn_is_told_when_confirmed_and_forgotten_when_dropped() {
        let mut gate = Gate::default();
        assert_eq!(gate.floor(floor(None, Some(1))), vec![]);
        assert_eq!(gate.notice(text(1, "a")), vec![]);
        assert_eq!(gate.notice(text(1, "b")), vec![]);
        assert_eq!(gate.floor(floor(None, Some(2))), vec![]);
        assert_eq!(gate.notice(text(1, "late")), vec![]);
        assert_eq!(gate.notice(text(2, "c")), vec![]);
        assert_eq!(gate.notice(text(2, "d")), vec![]);
        assert_eq!(gate.floor(floor(Some(2), None)), vec![text(2, "cd")]);
        assert_eq!(gate.notice(text(2, "e")), vec![text(2, "e")]);
        assert!(gate.held.is_empty());
    }

    /// A notice may overtake the floor that names its turn, and the last ones come when the floor has moved on.
    #[test]
    fn notices_may_come_before_and_after_their_floor() {
        let mut gate = Gate::default();
        assert_eq!(gate.notice(text(1, "a")), vec![]);
        assert_eq!(gate.floor(floor(Some(1), None)), vec![text(1, "a")]);
        gate.floor(floor(Some(2), None));
        assert_eq!(gate.notice(text(1, "b")), vec![text(1, "b")]);
    }

    /// The floor named the turn too briefly to be seen, but it was heard.
    #[test]
    fn a_turn_that_is_heard_has_had_the_floor() {
        let mut gate = Gate::default();
        gate.notice(text(1, "a"));
        let started = Notice { turn: Some(TurnId(1)), fact: Fact::AudioStarted };
        assert_eq!(gate.notice(started.clone()), vec![text(1, "a"), started]);
    }
}
