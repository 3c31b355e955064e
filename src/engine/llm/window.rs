//! core: what of a conversation fits into a model's window
//!
//! In:    the turns of a chat as tokens, a budget.
//! Out:   the turns to read: what the system said, and as many of the last turns as fit.
//! Law:   the result fits, whatever comes in; the caller's last words are the last to go.
//! Never: refuses. A conversation that has become too long for its model should go on.

use crate::engine::model::Speaker;

/// One turn, tokenised with the marks that its template puts around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub speaker: Speaker,
    pub tokens: Vec<i32>,
}

/// The tokens of the turns that fit into `budget`, in order.
///
/// Whole turns are dropped, oldest first, in steps of half the room that talk has: the beginning then stays the same for
/// several requests, and a model that remembers it reads only what is new. Texts from the system before the first word of
/// talk always stay (cut at half of the budget); a last turn that does not fit by itself loses its beginning.
pub fn fit(turns: Vec<Turn>, budget: usize) -> Vec<i32> {
    let talk_from = turns.iter().position(|t| t.speaker != Speaker::System).unwrap_or(turns.len());
    let mut talk = turns;
    let mut tokens: Vec<i32> = talk.drain(..talk_from).flat_map(|t| t.tokens).collect();
    tokens.truncate(budget / 2);
    let room = budget - tokens.len();

    let total: usize = talk.iter().map(|t| t.tokens.len()).sum();
    let mut from = 0;
    if total > room {
        let step = (room / 2).max(1);
        let drop_below = (total - room).div_ceil(step) * step;
        let last = talk.iter().rposition(|t| t.speaker == Speaker::User).unwrap_or(talk.len().saturating_sub(1));
        let mut before = 0;
        from = last;
        for (at, turn) in talk.iter().enumerate().take(last) {
            if before >= drop_below && turn.speaker == Speaker::User {
                from = at;
                break;
            }
            before += turn.tokens.len();
        }
    }
    let kept: Vec<i32> = talk.drain(from..).flat_map(|t| t.tokens).collect();
    tokens.extend_from_slice(&kept[kept.len().saturating_sub(room)..]);
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn turn(speaker: Speaker, length: usize, first: i32) -> Turn {
        Turn { speaker, tokens: (first..).take(length).collect() }
    }

    /// Everything fits: nothing is touched.
    #[test]
    fn short_talk_is_left_alone() {
        let turns = vec![
            turn(Speaker::System, 3, 0),
            turn(Speaker::User, 3, 10),
            turn(Speaker::Assistant, 3, 20),
            turn(Speaker::User, 2, 30),
        ];
        assert_eq!(fit(turns, 100), [0, 1, 2, 10, 11, 12, 20, 21, 22, 30, 31]);
    }

    /// The oldest whole turns go; the system's words and the last question stay.
    #[test]
    fn whole_turns_go() {
        let mut turns = vec![turn(Speaker::System, 4, 0)];
        for n in 0..10 {
            turns.push(turn(Speaker::User, 5, 1000 + n * 10));
            turns.push(turn(Speaker::Assistant, 5, 2000 + n * 10));
        }
        turns.push(turn(Speaker::User, 5, 3000));
        let kept = fit(turns, 50);
        assert!(kept.len() <= 50);
        assert_eq!(kept[..4], [0, 1, 2, 3]);
        assert_eq!(kept[4] % 10, 0, "begins at the beginning of a turn");
        assert_eq!(kept[4] / 1000, 1, "of the user");
        assert!(kept.ends_with(&[3000, 3001, 3002, 3003, 3004]));
    }

    /// As talk grows, its beginning moves seldom: what a model has read stays useful.
    #[test]
    fn the_beginning_stays_for_several_requests() {
        let mut turns = vec![turn(Speaker::System, 10, 0)];
        let mut beginnings = vec![];
        for n in 0..60 {
            turns.push(turn(Speaker::User, 10, 1000 + n * 20));
            let kept = fit(turns.clone(), 210);
            assert!(kept.len() <= 210);
            beginnings.push(kept[10]);
            turns.push(turn(Speaker::Assistant, 10, 90_000));
        }
        beginnings.dedup();
        assert!(beginnings.len() <= 13, "{} beginnings in 60 requests", beginnings.len());
    }

    proptest! {
        /// Any turns fit into any budget, and the very last tokens are there.
        #[test]
        fn it_always_fits(lengths in prop::collection::vec((0u8..3, 0usize..40), 0..20), budget in 2usize..120) {
            let turns: Vec<Turn> = lengths
                .iter()
                .enumerate()
                .map(|(n, &(who, length))| turn([Speaker::System, Speaker::User, Speaker::Assistant][who as usize], length, n as i32 * 100))
                .collect();
            let talks = turns.iter().any(|t| t.speaker != Speaker::System);
            let last = turns.last().and_then(|t| t.tokens.last().copied());
            let kept = fit(turns, budget);
            prop_assert!(kept.len() <= budget);
            if let (true, Some(last)) = (talks, last) {
                prop_assert_eq!(kept.last(), Some(&last));
            }
        }
    }
}
