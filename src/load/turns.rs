//! core: which sound answers which question, and what each took
//! In:    the mouth (an utterance's first and last audible packet), asks, sound as it is heard, what the server tells.
//! Out:   when the answer to a question is audible, and one [`Request`] per question once its answer is over.
//! Law:   [`Turns::handle_timeout`] at [`Turns::deadline`].
//! Never: believes the server about when sound came: it is heard. The server's events say only which response it was, that
//!        it is over, and how long its steps took.
//!
//! ```text
//!  caller  ┝━ speaks ━┥zero                        ┝━ speaks ━┥zero
//!                     ├── turn ──┤                 │          ├── turn ──┤
//!  sound                         ╞═══ answer ══════╪══╡                  ╞══ answer ══╡
//!                                                  ├──┤ barge-in
//! ```
//!
//! With a server that tells `output_audio_buffer.*`, an answer is over when it says so; with any other, when it has been
//! silent for a while.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::answer::{Answer, Heard, steps};
use super::figure::Figure;
use super::outcome::{Cause, Request};
use super::told::{Segments, Told};

/// Something was said or asked; they count from 1.
pub type Question = u64;

/// What can be set.
#[derive(Clone, Copy, Debug)]
pub struct TurnSettings {
    /// The jitter buffer behind which an answer is judged.
    pub buffer: Duration,
    /// After so much silence an answer is over, where the server does not say so. Less would cut answers at the pauses
    /// between their sentences, more only delays the caller.
    pub silence: Duration,
    /// Zero of [`Request::at_s`].
    pub since: Instant,
}

impl TurnSettings {
    pub fn new(since: Instant) -> Self {
        Self { buffer: Duration::from_millis(60), silence: Duration::from_millis(1500), since }
    }
}

/// The turns of one call.
pub struct Turns {
    settings: TurnSettings,
    /// The last question, until its answer is over or the next question has been asked.
    asked: Option<Asked>,
    answer: Option<Sounding>,
    /// The response whose first sound is on its way.
    announced: Option<String>,
    done: Vec<Done>,
    /// What the server told of responses that are not over.
    notes: VecDeque<(String, Notes)>,
    /// The caller speaks since.
    onset: Option<Instant>,
    caller_spoke: Duration,
    agent_spoke: Duration,
    changes: u64,
}

/// A question without a finished answer.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// What is said before an answer came is one question.
    upto: Question,
    /// The end of speech, or when it was asked for; unknown while the caller speaks.
    zero: Option<Instant>,
    by_speech: bool,
}

/// An answer, and what it answers.
#[derive(Debug)]
struct Sounding {
    answer: Answer,
    to: To,
}

#[derive(Clone, Copy, Debug)]
enum To {
    /// It began while nothing was asked.
    Nothing,
    /// The question of [`Turns::asked`], unless it turns out to have come too early.
    Last,
    /// The question before that: another one has been asked over this answer.
    Before(Asked),
}

struct Done {
    upto: Question,
    first: Option<Instant>,
    request: Request,
}

#[derive(Clone, Copy, Debug, Default)]
struct Notes {
    segments: Option<Segments>,
    underrun_s: Option<f64>,
    /// Of its transcript; 0: not told.
    words: usize,
}

impl Turns {
    pub fn new(settings: TurnSettings) -> Self {
        Self {
            settings,
            asked: None,
            answer: None,
            announced: None,
            done: vec![],
            notes: VecDeque::new(),
            onset: None,
            caller_spoke: Duration::ZERO,
            agent_spoke: Duration::ZERO,
            changes: 0,
        }
    }

    /// The first audible packet of an utterance left.
    pub fn speech_began(&mut self, now: Instant, question: Question) {
        self.handle_timeout(now);
        self.onset = Some(now);
        self.ask(Asked { upto: question, zero: None, by_speech: true });
        if let Some(Sounding { answer, .. }) = &mut self.answer
            && answer.over.is_none()
        {
            answer.interrupted.get_or_insert(now);
        }
    }

    /// Its last audible packet left.
    pub fn speech_ended(&mut self, now: Instant) {
        self.handle_timeout(now);
        if let Some(onset) = self.onset.take() {
            self.caller_spoke += now - onset;
        }
        if let Some(asked) = &mut self.asked
            && asked.by_speech
        {
            asked.zero = Some(now);
        }
        self.changes += 1;
    }

    /// An answer was asked for without a word.
    pub fn asked(&mut self, now: Instant, question: Question) {
        self.handle_timeout(now);
        self.ask(Asked { upto: question, zero: Some(now), by_speech: false });
    }

    fn ask(&mut self, next: Asked) {
        let before = self.asked.replace(next);
        if let (Some(Sounding { to: to @ To::Last, .. }), Some(asked)) = (&mut self.answer, before)
            && asked.zero.is_some()
        {
            *to = To::Before(asked);
        }
    }

    /// One packet of sound.
    pub fn heard(&mut self, heard: Heard) {
        self.handle_timeout(heard.arrival);
        if heard.audible && self.gives_way(&heard) {
            self.finish(None);
        }
        match &mut self.answer {
            Some(Sounding { answer, .. }) => {
                let zero = self.asked.and_then(|asked| asked.zero);
                let was_early = zero.is_some_and(|zero| answer.last() < zero);
                answer.hear(heard);
                self.changes += u64::from(was_early && heard.audible);
            }
            None if heard.audible => {
                let answer = Answer::new(heard, self.settings.buffer, self.announced.take());
                let to = if self.asked.is_some() { To::Last } else { To::Nothing };
                self.answer = Some(Sounding { answer, to });
                self.changes += 1;
            }
            None => {}
        }
    }

    /// Whether `heard` begins another answer than the one that sounded last.
    fn gives_way(&self, heard: &Heard) -> bool {
        let Some(Sounding { answer, .. }) = &self.answer else { return false };
        if answer.over.is_some() {
            return answer.silent_until(heard.position) >= BETWEEN_RESPONSES;
        }
        let is_asked = self.asked.is_some_and(|asked| asked.zero.is_some());
        answer.response.is_none()
            && answer.interrupted.is_some()
            && is_asked
            && heard.arrival.saturating_duration_since(answer.last()) >= BETWEEN_ANSWERS
    }

    /// One event of the server.
    pub fn told(&mut self, now: Instant, told: Told) {
        self.handle_timeout(now);
        match told {
            // The first sound may overtake the event that announces it; the end of the response before does not.
            Told::Started { response } => match &mut self.answer {
                Some(Sounding { answer, .. }) if answer.response.is_none() && answer.over.is_none() => {
                    answer.response = Some(response);
                }
                _ => {
                    self.finish(None);
                    self.announced = Some(response);
                }
            },
            Told::Stopped { response } => self.over(now, &response, false),
            Told::Cleared { response } => self.over(now, &response, true),
            Told::Trace { response, segments } => self.note(response, |notes| notes.segments = Some(segments)),
            Told::Playout { response, underrun_s } => self.note(response, |notes| notes.underrun_s = Some(underrun_s)),
            Told::Failed { response } => self.failed(now, Some(&response)),
            Told::Broken => self.failed(now, None),
            Told::Worded { response, words } => self.note(response, |notes| notes.words = words),
            Told::Refused { .. } | Told::Other => {}
        }
    }

    fn over(&mut self, now: Instant, response: &str, cut: bool) {
        if self.announced.as_deref() == Some(response) {
            self.announced = None;
        }
        if let Some(Sounding { answer, .. }) = &mut self.answer
            && answer.response.as_deref() == Some(response)
        {
            answer.over.get_or_insert((now, cut));
        }
    }

    fn note(&mut self, response: String, write: impl FnOnce(&mut Notes)) {
        match self.notes.iter_mut().find(|(of, _)| *of == response) {
            Some((_, notes)) => write(notes),
            None => {
                if self.notes.len() == MOST_NOTES {
                    self.notes.pop_front();
                }
                let mut notes = Notes::default();
                write(&mut notes);
                self.notes.push_back((response, notes));
            }
        }
    }

    fn failed(&mut self, now: Instant, response: Option<&str>) {
        match &self.answer {
            Some(Sounding { answer, to: To::Before(_) })
                if response.is_some() && answer.response.as_deref() == response =>
            {
                self.finish(Some(Cause::Failed));
            }
            _ => drop(self.give_up(now, |_| Cause::Failed)),
        }
    }

    /// The last question will not be waited for any longer: gives why it failed, `why(whether its answer sounds)`. `None`:
    /// nothing was waited for.
    pub fn give_up(&mut self, now: Instant, why: impl FnOnce(bool) -> Cause) -> Option<Cause> {
        self.handle_timeout(now);
        let asked = self.asked?;
        let zero = asked.zero?;
        let sounds = matches!(self.answer, Some(Sounding { to: To::Last, .. }));
        let cause = why(sounds);
        if sounds && self.answering().is_some() {
            self.finish(Some(cause));
        } else {
            self.asked = None;
            if let Some(Sounding { to: to @ To::Last, .. }) = &mut self.answer {
                *to = To::Nothing;
            }
            let request = Request { at_s: self.second(zero), failure: Some(cause), values: vec![] };
            self.done.push(Done { upto: asked.upto, first: None, request });
            self.changes += 1;
        }
        Some(cause)
    }

    /// When to call [`Self::handle_timeout`].
    pub fn deadline(&self) -> Option<Instant> {
        let Sounding { answer, .. } = self.answer.as_ref()?;
        match (answer.over, &answer.response) {
            (Some((over, _)), _) => Some(over + GRACE),
            (None, Some(_)) => None,
            (None, None) => Some(answer.last() + self.settings.silence),
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.deadline().is_some_and(|at| now >= at) {
            self.finish(None);
        }
    }

    /// The question that what sounds now is taken to answer.
    fn answering(&self) -> Option<Asked> {
        let Sounding { answer, to } = self.answer.as_ref()?;
        match to {
            To::Nothing => None,
            To::Before(asked) => Some(*asked),
            // What began before the caller had finished, and then gave way, took a pause for the end.
            To::Last => self.asked.filter(|asked| {
                asked.zero.is_some_and(|zero| answer.first() >= zero || (!answer.was_cut() && answer.last() >= zero))
            }),
        }
    }

    /// The answer that sounded is over.
    fn finish(&mut self, failure: Option<Cause>) {
        let asked = self.answering();
        let Some(Sounding { answer, to }) = self.answer.take() else { return };
        self.agent_spoke += answer.length();
        let notes = answer.response.as_ref().and_then(|response| {
            let at = self.notes.iter().position(|(of, _)| of == response)?;
            Some(self.notes.remove(at)?.1)
        });
        let Some(Asked { upto, zero: Some(zero), by_speech }) = asked else { return };
        if matches!(to, To::Last) {
            self.asked = None;
        }
        let mut values = vec![];
        // Who is answered in the middle of a sentence is not answered fast.
        let is_early = answer.first() < zero;
        if !is_early {
            values.push((Figure::Turn, (answer.first() - zero).as_secs_f64()));
        }
        if by_speech {
            values.push((Figure::Premature, f64::from(u8::from(is_early))));
        }
        let notes = notes.unwrap_or_default();
        // A transcript is of all that was to be said: of an answer that broke off nobody knows how much of it was.
        let is_whole = failure.is_none() && answer.interrupted.is_none() && answer.over.is_some_and(|(_, cut)| !cut);
        if is_whole && notes.words > 0 {
            values.push((Figure::Words, notes.words as f64 / answer.length().as_secs_f64()));
        }
        if let Some(segments) = notes.segments {
            steps(&segments, by_speech, &mut values);
        }
        answer.values(notes.underrun_s.unwrap_or_default(), &mut values);
        let request = Request { at_s: self.second(zero), failure, values };
        self.done.push(Done { upto, first: Some(answer.first()), request });
        self.changes += 1;
    }

    /// The call is over: what sounds is over too, and the last question stays open only if `unanswered` is no failure.
    pub fn end(&mut self, now: Instant, unanswered: Option<Cause>) {
        if let Some(cause) = unanswered {
            self.give_up(now, |_| cause);
        }
        self.finish(None);
        self.speech_ended(now);
    }

    /// When the answer to `question` became audible, once it has and the question is out; `Err` when it failed without.
    pub fn first_sound(&self, question: Question) -> Option<Result<Instant, Cause>> {
        if let Some(done) = self.finished(question) {
            return Some(done.first.ok_or(done.request.failure.unwrap_or(Cause::NoAnswer)));
        }
        let asked = self.answering().filter(|asked| asked.upto >= question)?;
        let Sounding { answer, .. } = self.answer.as_ref()?;
        asked.zero.filter(|&zero| answer.last() >= zero).map(|_| Ok(answer.first()))
    }

    /// What came of `question`, once its answer is over.
    pub fn request(&self, question: Question) -> Option<&Request> {
        Some(&self.finished(question)?.request)
    }

    fn finished(&self, question: Question) -> Option<&Done> {
        self.done.iter().find(|done| done.upto >= question)
    }

    /// Rises whenever [`Self::first_sound`] or [`Self::request`] may say something new.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What came of all questions, in order, and how long the caller and the agent spoke.
    pub fn into_parts(self) -> (Vec<Request>, Duration, Duration) {
        let requests = self.done.into_iter().map(|done| done.request).collect();
        (requests, self.caller_spoke, self.agent_spoke)
    }

    fn second(&self, at: Instant) -> f64 {
        at.saturating_duration_since(self.settings.since).as_secs_f64()
    }
}

/// From the server's word that an answer is over until nothing more of it comes: the last packets, and what is told of it.
const GRACE: Duration = Duration::from_millis(150);

/// The stage sends silence between two responses: what follows the end of one without any still belongs to it.
const BETWEEN_RESPONSES: Duration = Duration::from_millis(100);

/// Without the server's word: sound that comes after such a pause, when the caller has spoken over the answer and finished,
/// is the next answer. Longer than the pauses between a voice's sentences; whoever gives way is silent for longer, since the
/// caller still speaks.
const BETWEEN_ANSWERS: Duration = Duration::from_millis(500);

/// Responses that something is known of and that never sounded.
const MOST_NOTES: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::jitter::Position;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// A call whose sound is told in words: everything at its ms.
    struct Call {
        turns: Turns,
        t0: Instant,
        /// Packets come every 20 ms from 0 on, in step; audible in these times.
        sounds: Vec<std::ops::Range<u64>>,
        now: u64,
    }

    impl Call {
        fn new(sounds: &[std::ops::Range<u64>]) -> Self {
            let t0 = Instant::now();
            Self { turns: Turns::new(TurnSettings::new(t0)), t0, sounds: sounds.to_vec(), now: 0 }
        }

        /// Lets the sound before `at` be heard, then does what is to be done at `at`.
        fn at(&mut self, at: u64, what: impl FnOnce(&mut Turns, Instant)) -> &mut Self {
            while self.now < at {
                let audible = self.sounds.iter().any(|range| range.contains(&self.now));
                let (arrival, position) = (self.t0 + ms(self.now), Position::from_ms(self.now));
                self.turns.heard(Heard { arrival, position, length: Position::from_ms(20), audible });
                self.now += 20;
            }
            what(&mut self.turns, self.t0 + ms(at));
            self
        }

        fn says(&mut self, from: u64, to: u64, question: Question) -> &mut Self {
            self.at(from, |turns, now| turns.speech_began(now, question)).at(to, |turns, now| turns.speech_ended(now))
        }

        fn told(&mut self, at: u64, told: Told) -> &mut Self {
            self.at(at, |turns, now| turns.told(now, told))
        }

        fn first_ms(&self, question: Question) -> Option<u64> {
            Some((self.turns.first_sound(question)?.ok()? - self.t0).as_millis() as u64)
        }

        fn value(&self, question: Question, figure: Figure) -> Option<f64> {
            Some((self.turns.request(question)?.value(figure)? * 1e6).round() / 1e6)
        }
    }

    fn started(response: &str) -> Told {
        Told::Started { response: response.into() }
    }

    fn stopped(response: &str) -> Told {
        Told::Stopped { response: response.into() }
    }

    fn cleared(response: &str) -> Told {
        Told::Cleared { response: response.into() }
    }

    /// A server that tells nothing: the answer is over when it has been silent for 1.5 s, not at the pause between its
    /// sentences.
    #[test]
    fn sound_alone_tells_a_turn() {
        let mut call = Call::new(&[2_000..3_000, 4_000..5_000]);
        call.says(200, 1_500, 1);
        assert_eq!(call.at(2_000, |_, _| {}).first_ms(1), None);
        assert_eq!(call.at(2_040, |_, _| {}).first_ms(1), Some(2_000));
        assert_eq!(call.at(6_460, |_, _| {}).turns.request(1), None);
        call.at(6_500, |_, _| {});
        assert_eq!(call.value(1, Figure::Turn), Some(0.5));
        assert_eq!(call.turns.request(1).unwrap().at_s, 1.5);
        assert_eq!(call.value(1, Figure::Underrun), Some(0.0));
        let (requests, caller, agent) = call.turns.into_parts();
        assert_eq!((requests.len(), caller, agent), (1, ms(1_300), ms(3_000)));
    }

    /// A server that tells: its word ends the answer, its trace gives the steps, its playout the silence it put in. The sound
    /// may overtake the event that announces it.
    #[test]
    fn events_name_the_answer_and_its_steps() {
        for started_at in [1_980, 2_030] {
            let mut call = Call::new(&[2_000..4_000]);
            call.says(0, 1_500, 1).told(started_at, started("r"));
            let segments = Segments {
                decided_ms: Some(310.0),
                transcribed_ms: Some(290.0),
                first_token_ms: Some(250.0),
                first_sound_ready_ms: Some(400.0),
                first_sound_ms: Some(480.0),
            };
            call.told(2_050, Told::Trace { response: "r".into(), segments });
            call.told(4_000, stopped("r")).told(4_010, Told::Playout { response: "r".into(), underrun_s: 0.1 });
            assert_eq!(call.turns.request(1), None);
            call.at(4_200, |_, _| {});
            for (figure, value) in [
                (Figure::Turn, 0.5),
                (Figure::Decision, 0.31),
                (Figure::SttFinal, 0.29),
                // The turn was held: the first token was there before the turn was decided.
                (Figure::Ttft, 0.0),
                (Figure::Ttfb, 0.15),
                (Figure::Play, 0.08),
                (Figure::Underrun, 0.05),
                (Figure::Gaps, 0.0),
            ] {
                assert_eq!(call.value(1, figure), Some(value), "{figure}");
            }
            assert_eq!(call.value(1, Figure::BargeIn), None);
        }
    }

    /// A greeting is asked for, not spoken for: its turn counts from the ask, and nothing was decided.
    #[test]
    fn an_ask_is_a_question() {
        let mut call = Call::new(&[400..1_000]);
        call.at(100, |turns, now| turns.asked(now, 1)).told(390, started("r"));
        let segments = Segments { decided_ms: Some(0.0), first_token_ms: Some(20.0), ..Segments::default() };
        call.told(400, Told::Trace { response: "r".into(), segments }).told(1_000, stopped("r")).at(1_200, |_, _| {});
        assert_eq!(call.value(1, Figure::Turn), Some(0.3));
        assert_eq!((call.value(1, Figure::Decision), call.value(1, Figure::Ttft)), (None, Some(0.02)));
    }

    /// Speech over an answer: the answer's request says when it fell silent, and the new question gets its own answer, with
    /// events and without.
    #[test]
    fn a_barge_in_ends_one_turn_and_begins_another() {
        for tells in [true, false] {
            let mut call = Call::new(&[1_000..2_240, 4_000..5_000]);
            let tell = |call: &mut Call, at, told| {
                if tells {
                    call.told(at, told);
                }
            };
            call.says(0, 500, 1);
            tell(&mut call, 990, started("a"));
            call.at(2_000, |turns, now| turns.speech_began(now, 2));
            tell(&mut call, 2_300, cleared("a"));
            call.at(3_500, |turns, now| turns.speech_ended(now));
            tell(&mut call, 3_990, started("b"));
            assert_eq!(call.at(4_100, |_, _| {}).first_ms(2), Some(4_000), "events: {tells}");
            tell(&mut call, 5_000, stopped("b"));
            call.at(7_000, |_, _| {});
            assert_eq!((call.value(1, Figure::Turn), call.value(2, Figure::Turn)), (Some(0.5), Some(0.5)));
            // The last audible packet came at 2220.
            assert_eq!((call.value(1, Figure::BargeIn), call.value(2, Figure::BargeIn)), (Some(0.22), None));
            assert_eq!(call.turns.into_parts().0.len(), 2);
        }
    }

    /// The server takes a pause of the caller's for the end, begins to answer, and gives way: that was no answer.
    #[test]
    fn a_false_start_is_no_answer() {
        let mut call = Call::new(&[1_000..1_400, 3_000..4_000]);
        call.at(0, |turns, now| turns.speech_began(now, 1)).told(1_000, started("a")).told(1_400, cleared("a"));
        call.at(2_500, |turns, now| turns.speech_ended(now)).told(2_990, started("b"));
        assert_eq!(call.at(2_980, |_, _| {}).first_ms(1), None);
        call.told(4_000, stopped("b")).at(4_200, |_, _| {});
        assert_eq!((call.first_ms(1), call.value(1, Figure::Turn)), (Some(3_000), Some(0.5)));
        assert_eq!(call.turns.into_parts().0.len(), 1);
    }

    /// An answer that begins in a pause of the caller's and goes on is one, and not a fast one: it has no turn's time.
    #[test]
    fn who_answers_too_early_is_not_fast() {
        let mut call = Call::new(&[1_000..4_000]);
        call.says(0, 2_000, 1).told(4_000, Told::Other).at(6_000, |_, _| {});
        assert_eq!((call.value(1, Figure::Turn), call.value(1, Figure::Premature)), (None, Some(1.0)));
        assert_eq!(call.turns.request(1).unwrap().failure, None);
        let mut call = Call::new(&[2_000..4_000]);
        call.says(0, 2_000, 1).at(6_000, |_, _| {});
        assert_eq!((call.value(1, Figure::Turn), call.value(1, Figure::Premature)), (Some(0.0), Some(0.0)));
    }

    /// How fast an answer was spoken: the words of its transcript by its length; not of one that was cut.
    #[test]
    fn answers_have_a_pace() {
        for (end, pace) in [(stopped("r"), Some(3.0)), (cleared("r"), None)] {
            let mut call = Call::new(&[2_000..4_000]);
            call.says(0, 1_500, 1).told(1_990, started("r"));
            call.told(2_500, Told::Worded { response: "r".into(), words: 6 }).told(4_000, end).at(4_200, |_, _| {});
            assert_eq!(call.value(1, Figure::Words), pace);
        }
    }

    /// Two utterances before an answer are one question; its end is the end of the second.
    #[test]
    fn what_is_said_before_an_answer_is_one_question() {
        let mut call = Call::new(&[3_000..4_000]);
        call.says(0, 1_000, 1).says(1_300, 2_000, 2).at(6_000, |_, _| {});
        assert_eq!((call.value(1, Figure::Turn), call.value(2, Figure::Turn)), (Some(1.0), Some(1.0)));
        assert_eq!(call.turns.into_parts().0.len(), 1);
    }

    /// Who gives up, and on what: silence is no answer, sound without end is endless. What still comes is nobody's answer.
    #[test]
    fn giving_up_says_on_what() {
        let why = |sounds| if sounds { Cause::Endless } else { Cause::NoAnswer };
        let mut call = Call::new(&[2_000..9_000]);
        call.says(0, 500, 1).at(1_500, |turns, now| assert_eq!(turns.give_up(now, why), Some(Cause::NoAnswer)));
        assert_eq!(call.turns.first_sound(1), Some(Err(Cause::NoAnswer)));
        call.at(3_000, |turns, now| turns.asked(now, 2)).at(4_000, |turns, now| {
            assert_eq!(turns.give_up(now, why), Some(Cause::NoAnswer), "what sounds began before it was asked");
        });
        let mut call = Call::new(&[2_000..60_000]);
        call.says(0, 500, 1).at(30_000, |turns, now| assert_eq!(turns.give_up(now, why), Some(Cause::Endless)));
        assert_eq!(
            (call.value(1, Figure::Turn), call.turns.request(1).unwrap().failure),
            (Some(1.5), Some(Cause::Endless))
        );
        call.at(31_000, |turns, now| assert_eq!(turns.give_up(now, why), None, "nothing is waited for"));
    }

    /// An engine breaks: the question fails at once, whether its answer has begun or not; a broken answer leaves the next
    /// question its own.
    #[test]
    fn errors_fail_the_question_they_are_about() {
        let failed = |response: &str| Told::Failed { response: response.into() };
        let mut call = Call::new(&[3_000..4_000]);
        call.says(0, 500, 1).told(600, Told::Broken);
        assert_eq!(call.turns.first_sound(1), Some(Err(Cause::Failed)));
        call.says(1_000, 1_500, 2).told(2_990, started("b")).told(3_500, failed("b")).told(3_510, cleared("b"));
        let request = call.turns.request(2).unwrap();
        assert_eq!((request.failure, request.value(Figure::Turn)), (Some(Cause::Failed), Some(1.5)));

        let mut call = Call::new(&[1_000..2_500, 4_000..5_000]);
        call.says(0, 500, 1).told(990, started("a")).at(2_000, |turns, now| turns.speech_began(now, 2));
        call.told(2_100, failed("a")).at(3_000, |turns, now| turns.speech_ended(now)).at(7_000, |_, _| {});
        assert_eq!(call.turns.request(1).unwrap().failure, Some(Cause::Failed));
        assert_eq!(call.value(2, Figure::Turn), Some(1.0));
    }

    /// The end of the call ends what sounds; what nobody answered is a failure only when the caller did not want to go.
    #[test]
    fn the_end_of_a_call_settles_everything() {
        for (dropped, count) in [(None, 1), (Some(Cause::Dropped), 2)] {
            let mut call = Call::new(&[1_000..2_000]);
            call.says(0, 500, 1).says(3_000, 3_500, 2).at(4_000, |turns, now| turns.end(now, dropped));
            let (requests, ..) = call.turns.into_parts();
            assert_eq!((requests.len(), requests[0].failure), (count, None));
            assert_eq!(requests.get(1).and_then(|request| request.failure), dropped);
        }
    }

    /// What the server says of responses that never sound is forgotten in time.
    #[test]
    fn notes_do_not_pile_up() {
        let mut call = Call::new(&[]);
        for n in 0..1_000 {
            call.told(n, Told::Playout { response: format!("r{n}"), underrun_s: 0.0 });
        }
        assert_eq!(call.turns.notes.len(), MOST_NOTES);
    }
}
