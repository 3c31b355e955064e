//! core: whose turn it is; the only minter of `TurnId` and of the floor
//!
//! In:    what was heard, what the client asks, what the stage has played, how the reply's text ended.
//! Out:   the floor; when to begin and to abandon a reply, and how each ended.
//! Law:   after every `handle`, `poll` until `None`; then sleep until `deadline`.
//! Never: two turns at once; the end of a reply told twice.
//!
//! ```text
//!                    turn ended, asked                first sound
//!   idle / listening ─────────────────► thinking ───────────────────► speaking ──┐
//!        ▲                                  │                            │       │ played
//!        │                                  │     the user speaks        │       ▼
//!        │◄───────────── cut ◄── paused ◄───┴────────────────────────────┘      idle
//!        │   it lasts, or has words    │
//!        │                             └──► on from that very sample: it was a cough
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::agent::flow::{AskId, EarTrace, Floor, Heard, Level, Mood, Outcome, Played, Progress, TurnId, Usage};
use crate::metrics::Interruption;

/// Decides for one call.
#[derive(Debug, Default)]
pub struct Turn {
    last: u64,
    floor: Floor,
    active: Option<Active>,
    /// The user is speaking, since.
    speaking: Option<Instant>,
    /// An answer is owed once the floor is free.
    owed: Option<Why>,
    out: VecDeque<Output>,
}

#[derive(Debug)]
struct Active {
    turn: TurnId,
    /// Told how its text ended.
    done: bool,
    sounded: bool,
    paused: Option<Instant>,
}

/// Why the agent speaks.
#[derive(Clone, Debug, PartialEq)]
pub enum Why {
    /// The user said something.
    Answer(EarTrace),
    /// The client asked, at.
    Asked { id: AskId, at: Instant },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// Answer by itself when the user's turn ends.
    pub create_response: bool,
    /// Speech of the user pauses and cuts the agent.
    pub interrupt_response: bool,
}

#[derive(Debug)]
pub enum Input<'a> {
    Heard(&'a Heard, Manners),
    Respond(AskId),
    Cancel,
    Progress(&'a Progress),
    /// The reply's text is complete, or its model failed.
    TextDone {
        turn: TurnId,
        outcome: Outcome,
        usage: Usage,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Publish before anything that follows.
    Floor(Floor),
    Begin {
        turn: TurnId,
        why: Why,
    },
    /// Drop the streams of this reply.
    Abandon {
        turn: TurnId,
    },
    /// Tell the caller how the text of the reply ended.
    Done {
        turn: TurnId,
        outcome: Outcome,
        usage: Usage,
    },
    /// Another reply has the floor.
    Refuse(AskId),
    /// Its first sound has left.
    FirstSound {
        played: Played,
    },
    /// For the count.
    Interrupt(Interruption),
}

impl Turn {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn floor(&self) -> Floor {
        self.floor
    }

    /// Never fails: what concerns a turn that is over is ignored.
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Heard(heard, manners) => self.heard(now, heard, manners),
            Input::Respond(id) => self.respond(now, id),
            Input::Cancel => self.cut(Outcome::Cancelled),
            Input::Progress(progress) => self.played(progress),
            Input::TextDone { turn, outcome, usage } => {
                if let Some(active) = self.active.as_mut().filter(|a| a.turn == turn && !a.done) {
                    active.done = true;
                    self.out.push_back(Output::Done { turn, outcome, usage });
                }
            }
        }
    }

    fn heard(&mut self, now: Instant, heard: &Heard, manners: Manners) {
        match heard {
            Heard::SpeechStarted { .. } => {
                self.speaking = Some(now);
                if manners.interrupt_response {
                    self.pause(now);
                }
                self.publish();
            }
            Heard::Partial { text, .. } => {
                if self.is_paused() && says_something(text) {
                    self.cut(Outcome::Interrupted);
                }
            }
            Heard::SpeechPaused { .. } => self.speaking = None,
            Heard::Hypothesis { text } => {
                if self.is_paused() && says_something(text) {
                    self.cut(Outcome::Interrupted);
                }
            }
            Heard::TurnEnded { text, ears, .. } => {
                self.speaking = None;
                if text.is_empty() {
                    self.resume();
                    return;
                }
                if manners.interrupt_response {
                    self.cut(Outcome::Interrupted);
                }
                if manners.create_response {
                    self.owe(Why::Answer(*ears));
                } else {
                    self.publish();
                }
            }
        }
    }

    fn respond(&mut self, now: Instant, id: AskId) {
        if self.active.as_ref().is_some_and(|a| !a.done) || self.owed.is_some() {
            self.out.push_back(Output::Refuse(id));
        } else {
            self.owe(Why::Asked { id, at: now });
        }
    }

    /// Begins to answer, now or when what is being said has been played.
    fn owe(&mut self, why: Why) {
        if let Some(Why::Asked { id, .. }) = self.owed.replace(why) {
            self.out.push_back(Output::Refuse(id));
        }
        self.begin_if_free();
    }

    fn begin_if_free(&mut self) {
        if self.active.is_some() {
            return self.publish();
        }
        let Some(why) = self.owed.take() else { return self.publish() };
        self.last += 1;
        let turn = TurnId(self.last);
        self.active = Some(Active { turn, done: false, sounded: false, paused: None });
        self.publish();
        self.out.push_back(Output::Begin { turn, why });
    }

    fn is_paused(&self) -> bool {
        self.active.as_ref().is_some_and(|a| a.paused.is_some())
    }

    fn pause(&mut self, now: Instant) {
        if let Some(active) = self.active.as_mut().filter(|a| a.paused.is_none()) {
            active.paused = Some(now);
            self.out.push_back(Output::Interrupt(Interruption::Paused));
        }
    }

    fn resume(&mut self) {
        if let Some(active) = self.active.as_mut()
            && active.paused.take().is_some()
        {
            self.out.push_back(Output::Interrupt(Interruption::Resumed));
        }
        self.publish();
    }

    fn cut(&mut self, outcome: Outcome) {
        let Some(active) = self.active.take() else { return };
        let turn = active.turn;
        if !active.done {
            self.out.push_back(Output::Done { turn, outcome, usage: Usage::default() });
        }
        self.out.push_back(Output::Interrupt(Interruption::Cut));
        self.out.push_back(Output::Abandon { turn });
        // The floor still names it, so that everybody can tell a cut from a reply that ended.
        self.floor.now = Some(turn);
        self.floor.level = Level::Cut;
        self.floor.mood = self.mood();
        self.out.push_back(Output::Floor(self.floor));
    }

    fn played(&mut self, progress: &Progress) {
        let Some(active) = &mut self.active else { return };
        let Some(played) = progress.turns.iter().find(|p| p.turn == active.turn) else { return };
        if played.first_sound.is_some() && !active.sounded {
            active.sounded = true;
            self.out.push_back(Output::FirstSound { played: played.clone() });
        }
        if played.ended.is_some() {
            let (turn, done) = (active.turn, active.done);
            if !done {
                // The voice gave up before the text did.
                self.out.push_back(Output::Done { turn, outcome: Outcome::Failed, usage: Usage::default() });
                self.out.push_back(Output::Abandon { turn });
            }
            self.active = None;
            self.begin_if_free();
        } else {
            self.publish();
        }
    }

    /// Drain to `None` after every `handle`.
    pub fn poll(&mut self, now: Instant) -> Option<Output> {
        if self.out.is_empty() && self.deadline().is_some_and(|at| at <= now) {
            if self.speaking.is_some() {
                self.cut(Outcome::Interrupted);
            } else {
                self.resume();
            }
        }
        self.out.pop_front()
    }

    /// When a pause becomes a cut because the user goes on, or is over because nothing came of it.
    pub fn deadline(&self) -> Option<Instant> {
        let paused = self.active.as_ref()?.paused?;
        Some(paused + if self.speaking.is_some() { CONFIRM } else { FALSE_INTERRUPTION })
    }

    fn mood(&self) -> Mood {
        match &self.active {
            _ if self.speaking.is_some() => Mood::Listening,
            Some(active) if active.paused.is_some() => Mood::Listening,
            Some(active) if active.sounded => Mood::Speaking,
            Some(_) => Mood::Thinking,
            None if self.owed.is_some() => Mood::Thinking,
            None => Mood::Idle,
        }
    }

    fn publish(&mut self) {
        let level = match &self.active {
            Some(active) if active.paused.is_some() => Level::Paused,
            _ => Level::Full,
        };
        let floor = Floor { now: self.active.as_ref().map(|a| a.turn), next: None, level, mood: self.mood() };
        if floor != self.floor {
            self.floor = floor;
            self.out.push_back(Output::Floor(floor));
        }
    }
}

/// Whether somebody who says this wants the word, or only shows that they listen.
fn says_something(text: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '\'')
        .filter(|word| !word.is_empty())
        .any(|word| !BACKCHANNELS.contains(&word.to_lowercase().as_str()))
}

/// What listeners say without wanting the word.
const BACKCHANNELS: [&str; 16] =
    ["uh", "um", "hm", "hmm", "mm", "mhm", "mmm", "uhm", "er", "ah", "oh", "huh", "yeah", "okay", "ok", "right"];

/// Speech that lasts this long after it paused the agent wants the word, whatever it says: with the detector's 96 ms, half a
/// second. Shorter, and coughs cut; longer, and people feel ignored.
const CONFIRM: Duration = Duration::from_millis(400);

/// An interruption of which nothing came is over after this long (LiveKit's default is the same order).
const FALSE_INTERRUPTION: Duration = Duration::from_millis(1_500);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::flow::{Ended, UserTurn};
    use crate::media::time::Samples;
    use proptest::prelude::*;

    const POLITE: Manners = Manners { create_response: true, interrupt_response: true };

    struct Bench {
        t0: Instant,
        turn: Turn,
        out: Vec<Output>,
    }

    impl Bench {
        fn new() -> Self {
            Self { t0: Instant::now(), turn: Turn::new(), out: vec![] }
        }

        fn at(&mut self, ms: u64, input: Option<Input<'_>>) -> Vec<Output> {
            let now = self.t0 + Duration::from_millis(ms);
            let mut out = vec![];
            while let Some(output) = self.turn.poll(now) {
                out.push(output);
            }
            if let Some(input) = input {
                self.turn.handle(now, input);
            }
            while let Some(output) = self.turn.poll(now) {
                out.push(output);
            }
            self.out.extend(out.iter().cloned());
            out
        }

        fn heard(&mut self, ms: u64, heard: Heard) -> Vec<Output> {
            self.at(ms, Some(Input::Heard(&heard, POLITE)))
        }

        fn said(&mut self, ms: u64, text: &str) -> Vec<Output> {
            let t = self.t0 + Duration::from_millis(ms);
            let ears = EarTrace { speech_ended: t, decided: t, transcribed: t };
            self.heard(ms, Heard::TurnEnded { user: UserTurn(1), text: text.into(), at: Samples(0), ears })
        }

        fn played(&mut self, ms: u64, turn: u64, ended: Option<Ended>) -> Vec<Output> {
            let played = Played {
                turn: TurnId(turn),
                words: vec![],
                played: Samples(480),
                first_sound: Some(self.t0),
                ready: Some(self.t0),
                faded: None,
                ended,
            };
            self.at(ms, Some(Input::Progress(&Progress { turns: vec![played] })))
        }
    }

    fn started() -> Heard {
        Heard::SpeechStarted { user: UserTurn(1), at: Samples(0), onset: Instant::now() }
    }

    fn paused() -> Heard {
        Heard::SpeechPaused { at: Samples(0) }
    }

    /// Speaks, is answered, and the floor is free again.
    #[test]
    fn a_question_and_its_answer() {
        let mut b = Bench::new();
        b.heard(0, started());
        assert_eq!(b.turn.floor().mood, Mood::Listening);
        b.said(900, "hello");
        assert_eq!(b.turn.floor(), Floor { now: Some(TurnId(1)), mood: Mood::Thinking, ..Floor::default() });
        b.played(1_200, 1, None);
        assert_eq!(b.turn.floor().mood, Mood::Speaking);
        b.at(1_300, Some(Input::TextDone { turn: TurnId(1), outcome: Outcome::Completed, usage: Usage::default() }));
        b.played(2_000, 1, Some(Ended::Complete));
        assert_eq!(b.turn.floor(), Floor::default());
        assert_eq!(b.out.iter().filter(|o| matches!(o, Output::Done { .. })).count(), 1);
    }

    /// Speech that lasts: paused at its first sound, cut 400 ms later, without waiting for a word.
    #[test]
    fn lasting_speech_cuts() {
        let mut b = Bench::new();
        b.said(0, "hello");
        b.played(300, 1, None);
        b.heard(1_000, started());
        assert_eq!(b.turn.floor().level, Level::Paused);
        assert_eq!(b.at(1_399, None), []);
        let out = b.at(1_400, None);
        assert!(out.contains(&Output::Abandon { turn: TurnId(1) }));
        assert!(matches!(out[0], Output::Done { outcome: Outcome::Interrupted, .. }));
        assert_eq!(b.turn.floor().level, Level::Cut);
        b.said(3_000, "stop");
        assert_eq!(b.turn.floor().now, Some(TurnId(2)));
    }

    /// A cough: nothing was said, and it goes on; also when the endpoint never tells.
    #[test]
    fn a_cough_resumes() {
        for told in [true, false] {
            let mut b = Bench::new();
            b.said(0, "hello");
            b.played(300, 1, None);
            b.heard(1_000, started());
            b.heard(1_200, paused());
            if told {
                b.said(1_500, "");
            } else {
                b.at(2_500, None);
            }
            assert_eq!(b.turn.floor(), Floor { now: Some(TurnId(1)), mood: Mood::Speaking, ..Floor::default() });
            assert!(b.out.contains(&Output::Interrupt(Interruption::Resumed)));
            assert!(!b.out.contains(&Output::Interrupt(Interruption::Cut)));
        }
    }

    /// "Mhm" does not take the word; "wait" does, at once.
    #[test]
    fn words_decide_before_time_does() {
        for (text, cut) in [("Mhm.", false), ("Yeah, okay", false), ("wait", true), ("um, no", true)] {
            let mut b = Bench::new();
            b.said(0, "hello");
            b.played(300, 1, None);
            b.heard(1_000, started());
            b.heard(1_200, Heard::Partial { text: text.into(), stable: 0 });
            assert_eq!(b.turn.floor().level == Level::Cut, cut, "{text}");
        }
    }

    /// A second `response.create` is refused while the first is being generated, and waits while it is only being played.
    #[test]
    fn asking_twice() {
        let mut b = Bench::new();
        b.at(0, Some(Input::Respond(AskId(1))));
        assert!(b.at(10, Some(Input::Respond(AskId(2)))).contains(&Output::Refuse(AskId(2))));
        b.played(20, 1, None);
        b.at(30, Some(Input::TextDone { turn: TurnId(1), outcome: Outcome::Completed, usage: Usage::default() }));
        assert_eq!(b.at(40, Some(Input::Respond(AskId(3)))), []);
        let out = b.played(500, 1, Some(Ended::Complete));
        assert!(matches!(out.last(), Some(Output::Begin { turn: TurnId(2), why: Why::Asked { id: AskId(3), .. } })));
    }

    /// The user speaks before an owed answer to the client could begin: their words are answered, and the client is told.
    #[test]
    fn an_overtaken_ask_is_refused() {
        let mut b = Bench::new();
        b.said(0, "hello");
        b.played(100, 1, None);
        b.at(150, Some(Input::TextDone { turn: TurnId(1), outcome: Outcome::Completed, usage: Usage::default() }));
        b.at(200, Some(Input::Respond(AskId(7))));
        let ears = EarTrace { speech_ended: b.t0, decided: b.t0, transcribed: b.t0 };
        let ended = Heard::TurnEnded { user: UserTurn(2), text: "and you".into(), at: Samples(0), ears };
        let rude = Manners { interrupt_response: false, create_response: true };
        assert!(b.at(300, Some(Input::Heard(&ended, rude))).contains(&Output::Refuse(AskId(7))));
        let out = b.played(900, 1, Some(Ended::Complete));
        assert!(matches!(out.last(), Some(Output::Begin { turn: TurnId(2), why: Why::Answer(_) })));
    }

    /// Talking while the answer is still being thought of drops it unheard; the next words are answered.
    #[test]
    fn thinking_can_be_interrupted() {
        let mut b = Bench::new();
        b.said(0, "tell me");
        b.heard(200, started());
        assert_eq!(b.turn.floor().level, Level::Paused, "nothing may be heard of it");
        b.said(1_500, "about cats");
        assert_eq!(b.turn.floor().now, Some(TurnId(2)));
    }

    /// A client that said not to be interrupted by speech is answered after the reply.
    #[test]
    fn without_interruption_the_answer_waits() {
        let mut b = Bench::new();
        b.said(0, "hello");
        b.played(100, 1, None);
        let rude = Manners { interrupt_response: false, create_response: true };
        b.at(200, Some(Input::Heard(&started(), rude)));
        let ears = EarTrace { speech_ended: b.t0, decided: b.t0, transcribed: b.t0 };
        let ended = Heard::TurnEnded { user: UserTurn(2), text: "and you".into(), at: Samples(0), ears };
        b.at(900, Some(Input::Heard(&ended, rude)));
        assert_eq!((b.turn.floor().now, b.turn.floor().level), (Some(TurnId(1)), Level::Full));
        b.at(950, Some(Input::TextDone { turn: TurnId(1), outcome: Outcome::Completed, usage: Usage::default() }));
        b.played(1_000, 1, Some(Ended::Complete));
        assert_eq!(b.turn.floor().now, Some(TurnId(2)));
    }

    proptest! {
        /// Whatever happens: turn numbers rise, a new turn begins only when the one before was abandoned or played, and each
        /// is told done exactly once when it is over.
        #[test]
        fn one_turn_at_a_time(ops in prop::collection::vec((0u8..9, 1u64..700), 1..60)) {
            let mut b = Bench::new();
            let mut now = 0;
            for (op, wait) in ops {
                now += wait;
                let turn = b.turn.last;
                match op {
                    0 => drop(b.heard(now, started())),
                    1 => drop(b.heard(now, paused())),
                    2 => drop(b.said(now, "something")),
                    3 => drop(b.said(now, "")),
                    4 => drop(b.at(now, Some(Input::Respond(AskId(now))))),
                    5 => drop(b.at(now, Some(Input::Cancel))),
                    6 => drop(b.played(now, turn, None)),
                    7 => drop(b.played(now, turn, Some(Ended::Complete))),
                    _ => drop(b.at(now, Some(Input::TextDone {
                        turn: TurnId(turn), outcome: Outcome::Completed, usage: Usage::default(),
                    }))),
                }
            }
            let (mut active, mut done) = (None::<TurnId>, vec![]);
            for output in &b.out {
                match output {
                    Output::Begin { turn, .. } => {
                        prop_assert!(active.is_none_or(|a| a < *turn && done.contains(&a)));
                        active = Some(*turn);
                    }
                    Output::Done { turn, .. } => {
                        prop_assert!(!done.contains(turn));
                        done.push(*turn);
                    }
                    Output::Floor(floor) => prop_assert!(floor.next.is_none()),
                    _ => {}
                }
            }
        }
    }
}
