//! task: one caller's stream: words in, sound with its times out, in order

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::clauses::{Clauses, Unit};
use super::speaker::{Seat, Sounding, TtsEngine};
use crate::engine::model::{ClauseEnd, ClauseText, ModelError};
use crate::media::time::Samples;
use crate::runtime::clock;

/// What a stream gives. Times are 24 kHz samples from the start of its sound.
#[derive(Clone, Debug, PartialEq)]
pub enum Voiced {
    /// When the phones of the coming sound are heard.
    Phones(Vec<(u64, u64, String)>),
    /// When a word is heard; one for every word received, in order, starts rising.
    Word { text: String, start: u64, stop: u64 },
    /// 24 kHz mono, at most [`PIECE`] samples.
    Sound(Vec<f32>),
}

/// 80 ms: moshi-server's step.
pub const PIECE: usize = 1920;

/// One seat of the engine. Dropping it frees the seat and saves the rest of the work.
pub struct Stream {
    engine: TtsEngine,
    _seat: Seat,
    speed: f32,
    clauses: Clauses,
    current: Option<Box<dyn Sounding>>,
    ready: VecDeque<Voiced>,
    /// Samples of the clauses and pauses so far: where the next one begins.
    planned: u64,
    /// Samples given out, and when the first were.
    given: u64,
    first_given: Option<Instant>,
}

impl Stream {
    pub(super) fn new(engine: TtsEngine, seat: Seat, speed: f32) -> Self {
        Self {
            engine,
            _seat: seat,
            speed,
            clauses: Clauses::default(),
            current: None,
            ready: VecDeque::new(),
            planned: 0,
            given: 0,
            first_given: None,
        }
    }

    /// Words to speak, one or more.
    pub fn text(&mut self, text: &str) {
        self.clauses.text(text);
    }

    /// No text follows.
    pub fn finish(&mut self) {
        self.clauses.finish();
    }

    /// The next thing to send; `None`: nothing can be said before more text comes, the text ends, or [`Stream::wake`] has come.
    /// Not cancel safe: whoever drops this future drops the stream, too.
    pub async fn next(&mut self) -> Result<Option<Voiced>, ModelError> {
        loop {
            if let Some(spoken) = self.ready.pop_front() {
                if let Voiced::Sound(pcm) = &spoken {
                    self.given += pcm.len() as u64;
                    self.first_given.get_or_insert_with(clock::now);
                }
                return Ok(Some(spoken));
            }
            if let Some(clause) = &mut self.current {
                let due = due(self.first_given, self.given);
                match clause.next(due).await? {
                    Some(pcm) => self.ready.extend(pcm.chunks(PIECE).map(|piece| Voiced::Sound(piece.to_vec()))),
                    None => self.current = None,
                }
                continue;
            }
            match self.clauses.poll(self.is_in_a_hurry()) {
                Some(Unit::Clause { words, end, first }) => self.begin(words, end, first).await?,
                Some(Unit::Pause(length)) => self.pause(length),
                None => return Ok(None),
            }
        }
    }

    /// Whether all that will ever be said has been given out.
    pub fn is_over(&self) -> bool {
        self.clauses.is_over() && self.current.is_none() && self.ready.is_empty()
    }

    /// When it is worth asking [`Stream::next`] again although no text has come: what was said is nearly over then.
    pub fn wake(&self) -> Option<Instant> {
        let hurry = due(self.first_given, self.given).checked_sub(HURRY)?;
        self.first_given.filter(|_| hurry > clock::now()).map(|_| hurry)
    }

    fn is_in_a_hurry(&self) -> bool {
        due(self.first_given, self.given) <= clock::now() + HURRY
    }

    async fn begin(&mut self, words: Vec<String>, end: ClauseEnd, first: bool) -> Result<(), ModelError> {
        let clause = ClauseText { words: words.clone(), end, speed: self.speed, first };
        let plan = self.engine.speaker().plan(due(self.first_given, self.given), clause).await?;
        debug_assert_eq!(plan.words.len(), words.len(), "every word has its time");
        let at = self.planned;
        if !plan.phones.is_empty() {
            let spans = plan.phones.into_iter().map(|(start, stop, ipa)| (at + start, at + stop, ipa)).collect();
            self.ready.push_back(Voiced::Phones(spans));
        }
        let times = plan.words.into_iter().chain(std::iter::repeat((plan.length, plan.length)));
        for (text, (start, stop)) in words.into_iter().zip(times) {
            self.ready.push_back(Voiced::Word { text, start: at + start, stop: at + stop });
        }
        self.planned += plan.length;
        self.current = Some(plan.clause);
        Ok(())
    }

    fn pause(&mut self, length: Duration) {
        let samples = Samples::<24_000>::from_duration(length).0;
        let (start, stop) = (self.planned, self.planned + samples);
        // A break is a text as well, so it is answered as one.
        self.ready.push_back(Voiced::Word { text: String::new(), start, stop });
        let mut left = samples as usize;
        while left > 0 {
            let piece = left.min(PIECE);
            self.ready.push_back(Voiced::Sound(vec![0.0; piece]));
            left -= piece;
        }
        self.planned = stop;
    }
}

/// When a listener who began with the first piece has heard all of `given`; at once, when nothing was given yet.
fn due(first_given: Option<Instant>, given: u64) -> Instant {
    first_given.map_or_else(clock::now, |first| first + Samples::<24_000>(given).as_duration())
}

/// So much sound in hand is enough to wait for the end of a sentence: planning and the first piece of a clause take a
/// quarter of it.
const HURRY: Duration = Duration::from_millis(700);
