//! core: what of a caller's sound is transcribed when, and what the caller is told
//!
//! ```text
//! chunks ─► current piece ──pause or too long──► closed pieces ──transcribed──► done words
//!                 └── every 400 ms a glance ──► Partial        └── all known ──► Final, Marker
//! ```
//! In:    chunks of sound with the probability that somebody speaks; markers; inits; the model's answers.
//! Out:   pieces of speech to transcribe, one at a time; what to say to the caller.
//! Law:   after every `handle`, `poll` until `None`. Stop feeding sound while `is_behind`.
//! Never: transcribes silence, or the same voice twice for good; grows with silence.

use std::collections::VecDeque;

use super::piece::Piece;
use crate::engine::model::{ModelError, Spoken, SpokenWord, Transcript};
use crate::wire::moshi::SttOut;

pub struct Listener {
    mode: Mode,
    /// Turns finished by `Init`.
    turn: u64,
    current: Piece,
    /// Ended pieces whose words are not all known yet, oldest first.
    closed: VecDeque<Piece>,
    /// Words since the last init that will not change, and up to where they cover the voice.
    done: Vec<SpokenWord>,
    done_until: u64,
    markers: VecDeque<Marker>,
    working: Option<Working>,
    jobs: u64,
    pieces: u64,
    glanced_at: u64,
    /// The current piece's words at the last glance, and the last partial.
    shown: Vec<SpokenWord>,
    said: Option<SttOut>,
    out: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// As moshi-server: words, each said once, when they will not change. A pause ends a piece.
    Words,
    /// Our opt-in: partials while somebody speaks, a final on each marker. A marker ends nothing.
    Partials,
}

#[derive(Debug)]
pub enum Input<'a> {
    /// 16 kHz; `probability` that somebody speaks in it.
    Chunk {
        pcm: &'a [f32],
        probability: f32,
    },
    Marker {
        id: i64,
    },
    Init,
    Answer {
        job: u64,
        answer: Result<Transcript, ModelError>,
    },
}

#[derive(Debug, PartialEq)]
pub enum Output {
    /// Supersedes the job before: nobody waits for that any more. `urgent`: the caller waits for it.
    Transcribe {
        job: u64,
        spoken: Spoken,
        urgent: bool,
    },
    /// Nobody waits for the last job any more.
    Abandon,
    Say(SttOut),
}

/// `until`: where the voice ended when it came.
struct Marker {
    id: i64,
    until: Option<u64>,
}

/// The job before the model.
struct Working {
    job: u64,
    piece: u64,
    until: u64,
    last_word: bool,
}

impl Listener {
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            turn: 0,
            current: Piece::new(0, 0),
            closed: VecDeque::new(),
            done: Vec::new(),
            done_until: 0,
            markers: VecDeque::new(),
            working: None,
            jobs: 0,
            pieces: 0,
            glanced_at: 0,
            shown: Vec::new(),
            said: None,
            out: VecDeque::new(),
        }
    }

    pub fn handle(&mut self, input: Input) {
        match input {
            Input::Chunk { pcm, probability } => {
                self.current.push(pcm, probability);
                self.close_if_ended();
            }
            Input::Marker { id } => self.mark(id),
            Input::Init => self.forget(),
            Input::Answer { job, answer } => self.learn(job, answer),
        }
        self.settle();
        self.answer_markers();
        self.work();
    }

    pub fn poll(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// More speech waits to be transcribed than is reasonable to hold.
    pub fn is_behind(&self) -> bool {
        self.closed.len() >= MOST_CLOSED
    }

    fn mark(&mut self, id: i64) {
        let until = self.current.until().or(self.closed.back().and_then(Piece::until));
        // Ours may only say words that will not change, so what was said up to here ends here.
        if self.mode == Mode::Words && self.current.until().is_some() {
            self.close();
        }
        if self.markers.len() < MOST_MARKERS {
            self.markers.push_back(Marker { id, until });
        }
    }

    fn forget(&mut self) {
        let spoke = self.current.until().is_some() || !self.closed.is_empty() || !self.done.is_empty();
        self.turn += u64::from(spoke);
        self.pieces += 1;
        self.current = Piece::new(self.pieces, self.current.end());
        self.closed.clear();
        self.done.clear();
        self.markers.clear();
        self.shown.clear();
        self.said = None;
        if self.working.take().is_some() {
            self.out.push_back(Output::Abandon);
        }
        self.out.push_back(Output::Say(SttOut::Ready));
    }

    fn learn(&mut self, job: u64, answer: Result<Transcript, ModelError>) {
        let Some(working) = self.working.take_if(|working| working.job == job) else { return };
        let transcript = match answer {
            Ok(transcript) => transcript,
            Err(ModelError::Unwanted) => return,
            // The caller is told and gets the rest: a piece that broke the model once would break it again.
            Err(error) => {
                self.out.push_back(Output::Say(SttOut::Error { message: error.to_string() }));
                Transcript::default()
            }
        };
        if let Some(piece) = self.closed.iter_mut().find(|piece| piece.number == working.piece) {
            piece.learn(working.until, transcript);
        } else if self.current.number == working.piece {
            self.current.learn(working.until, transcript);
            if !working.last_word {
                self.show();
            }
        }
    }

    /// Tells the partial that a glance at the current piece makes, if it is news.
    fn show(&mut self) {
        let Some(known) = &self.current.known else { return };
        if self.mode == Mode::Words || known.words.is_empty() {
            return;
        }
        let agreed = known.words.iter().zip(&self.shown).take_while(|(a, b)| same_word(&a.text, &b.text)).count();
        let partial =
            SttOut::Partial { text: text(self.done.iter().chain(&known.words)), stable: self.done.len() + agreed };
        self.shown = known.words.clone();
        if self.said.as_ref() != Some(&partial) {
            self.said = Some(partial.clone());
            self.out.push_back(Output::Say(partial));
        }
    }

    fn close_if_ended(&mut self) {
        let Some(until) = self.current.until() else { return };
        let pause = self.current.end() - until;
        let ended = match self.mode {
            Mode::Words => pause >= PAUSE_OF_WORDS,
            Mode::Partials => self.current.span() >= LONG && pause >= PAUSE_OF_LONG,
        };
        if ended {
            self.close();
        } else if self.current.span() >= LONGEST {
            self.pieces += 1;
            if let Some(rest) = self.current.split(self.pieces) {
                // What the model has before it reaches beyond the cut.
                if self.working.take_if(|working| working.piece == self.current.number).is_some() {
                    self.out.push_back(Output::Abandon);
                }
                self.closed.push_back(std::mem::replace(&mut self.current, rest));
                self.shown.clear();
            }
        }
    }

    fn close(&mut self) {
        self.pieces += 1;
        let next = self.current.follow(self.pieces);
        self.closed.push_back(std::mem::replace(&mut self.current, next));
        self.shown.clear();
    }

    /// Moves the words of closed pieces that are known for good to the done ones.
    fn settle(&mut self) {
        while let Some(piece) =
            self.closed.pop_front_if(|piece| piece.until().is_none_or(|until| piece.is_known(until)))
        {
            let until = piece.until().unwrap_or_default();
            let words = piece.known.map(|known| known.words).unwrap_or_default();
            if self.mode == Mode::Words {
                for word in &words {
                    let start_time = word.start_s;
                    self.out.push_back(Output::Say(SttOut::Word { text: word.text.clone(), start_time }));
                    self.out.push_back(Output::Say(SttOut::EndWord { stop_time: word.stop_s }));
                }
            }
            self.done_until = self.done_until.max(until);
            self.done.extend(words);
        }
    }

    fn answer_markers(&mut self) {
        if !self.closed.is_empty() {
            return;
        }
        while let Some(marker) = self.markers.front() {
            let covered = marker.until.is_none_or(|until| until <= self.done_until);
            if !covered && !marker.until.is_some_and(|until| self.current.is_known(until)) {
                return;
            }
            if self.mode == Mode::Partials {
                let rest = self.current.known.iter().filter(|_| !covered).flat_map(|known| &known.words);
                let words: Vec<_> = self.done.iter().chain(rest).collect();
                let text = text(words.iter().copied());
                let words = words.into_iter().map(|word| (word.text.clone(), word.start_s, word.stop_s)).collect();
                self.out.push_back(Output::Say(SttOut::Final { text, words }));
            }
            self.out.push_back(Output::Say(SttOut::Marker { id: marker.id }));
            self.markers.pop_front();
        }
    }

    /// Gives the model the most wanted piece, unless it has it already.
    fn work(&mut self) {
        let glance = self.mode == Mode::Partials
            && self.current.span() >= GLANCE_FROM
            && self.current.end() >= self.glanced_at + GLANCE_EVERY
            && self.current.known.as_ref().map(|known| known.until) < self.current.until();
        let (piece, last_word) = match self.closed.front() {
            Some(piece) => (piece, true),
            None if !self.markers.is_empty() => (&self.current, true),
            None if glance => (&self.current, false),
            None => return,
        };
        if let Some(working) = &self.working {
            // What is wanted for good is never given up for something newer: a caller who goes on speaking would
            // wait for ever. A glance at the same voice is nearly always good enough, so it too may finish.
            let same = working.piece == piece.number && Some(working.until) == piece.until();
            if working.last_word || same || !last_word {
                return;
            }
        }
        let Some((until, spoken)) = piece.spoken(self.turn, last_word) else { return };
        self.jobs += 1;
        self.working = Some(Working { job: self.jobs, piece: piece.number, until, last_word });
        self.glanced_at = self.current.end();
        let urgent = !self.markers.is_empty();
        self.out.push_back(Output::Transcribe { job: self.jobs, spoken, urgent });
    }
}

fn text<'a>(words: impl Iterator<Item = &'a SpokenWord>) -> String {
    let words: Vec<&str> = words.map(|word| word.text.as_str()).collect();
    words.join(" ")
}

/// Whether two transcripts mean the same word: capitals and punctuation come and go as the sentence grows.
fn same_word(a: &str, b: &str) -> bool {
    let letters =
        |word: &str| word.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect::<String>();
    letters(a) == letters(b)
}

const MS: u64 = 16;

/// Often enough for captions that live, seldom enough for a third of a core while somebody speaks.
const GLANCE_EVERY: u64 = 400 * MS;
/// In less voice than this the model hears words that are not there.
const GLANCE_FROM: u64 = 400 * MS;
/// From here on the next pause ends the piece: every glance starts at its beginning and costs accordingly.
const LONG: u64 = 8_000 * MS;
const PAUSE_OF_LONG: u64 = 250 * MS;
/// The model hears 30 s at most.
const LONGEST: u64 = 24_000 * MS;
/// As long as moshi-server's own delay until it says a word.
const PAUSE_OF_WORDS: u64 = 500 * MS;
const MOST_CLOSED: usize = 4;
/// More markers than answers: a caller who only asks. Later ones are dropped.
const MOST_MARKERS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNK: usize = 512;

    /// A caller with a model that hears one word per second of sound it is given.
    struct Call {
        listener: Listener,
        job: Option<(u64, Spoken)>,
        /// Seconds of speech transcribed, in all, for good.
        work_s: f64,
        jobs: usize,
    }

    impl Call {
        fn new(mode: Mode) -> Self {
            Self { listener: Listener::new(mode), job: None, work_s: 0.0, jobs: 0 }
        }

        /// `script`: `S` a second of speech, `s` 0.1 s of it; `.` 0.1 s of silence; `M` a marker; `I` an init;
        /// `!` the model answers. Returns what was said, one line each.
        fn play(&mut self, script: &str) -> Vec<String> {
            let mut said = vec![];
            for step in script.chars() {
                match step {
                    'S' => self.sound(31, 0.9),
                    's' => self.sound(3, 0.9),
                    '.' => self.sound(3, 0.02),
                    'M' => self.listener.handle(Input::Marker { id: 7 }),
                    'I' => self.listener.handle(Input::Init),
                    '!' => self.answer(),
                    _ => panic!("no such step: {step}"),
                }
                while let Some(output) = self.listener.poll() {
                    match output {
                        Output::Transcribe { job, spoken, .. } => {
                            self.jobs += 1;
                            if spoken.last_word {
                                self.work_s += spoken.pcm.len() as f64 / 16_000.0;
                            }
                            self.job = Some((job, spoken));
                        }
                        Output::Abandon => self.job = None,
                        Output::Say(SttOut::Partial { text, stable }) => said.push(format!("partial {stable} {text}")),
                        Output::Say(SttOut::Final { text, words }) => {
                            said.push(format!("final {} {text}", words.len()))
                        }
                        Output::Say(SttOut::Marker { id }) => said.push(format!("marker {id}")),
                        Output::Say(SttOut::Word { text, .. }) => said.push(format!("word {text}")),
                        Output::Say(SttOut::EndWord { .. }) => {}
                        Output::Say(other) => said.push(format!("{other:?}")),
                    }
                }
            }
            said
        }

        fn sound(&mut self, chunks: usize, probability: f32) {
            for _ in 0..chunks {
                self.listener.handle(Input::Chunk { pcm: &[0.1; CHUNK], probability });
            }
        }

        fn answer(&mut self) {
            let Some((job, spoken)) = self.job.take() else { return };
            let seconds = (spoken.pcm.len() as f64 / 16_000.0).round() as usize;
            let words = (0..seconds)
                .map(|n| SpokenWord { text: format!("w{n}"), start_s: n as f64, stop_s: n as f64 + 0.5 })
                .collect();
            self.listener.handle(Input::Answer { job, answer: Ok(Transcript { words, doubtful: false }) });
        }
    }

    /// Partials while somebody speaks, the agreed part counted; the final before the marker's echo.
    #[test]
    fn partials_then_a_final() {
        let mut call = Call::new(Mode::Partials);
        assert_eq!(
            call.play("..S!S!..M!"),
            ["partial 0 w0", "partial 1 w0", "partial 1 w0 w1", "final 2 w0 w1", "marker 7"]
        );
    }

    /// Silence is answered at once and never reaches the model.
    #[test]
    fn silence_is_no_work() {
        let mut call = Call::new(Mode::Partials);
        let hour = ".".repeat(36_000);
        assert!(call.play(&hour).is_empty());
        assert_eq!(call.play("M"), ["final 0 ", "marker 7"]);
        assert_eq!(call.jobs, 0);
    }

    /// Two markers in one pause: the second is answered from what the first found out.
    #[test]
    fn the_same_pause_is_transcribed_once() {
        let mut call = Call::new(Mode::Partials);
        assert_eq!(call.play("SSM!").last().unwrap(), "marker 7");
        let jobs = call.jobs;
        assert_eq!(call.play("..M"), ["final 2 w0 w1", "marker 7"]);
        assert_eq!(call.jobs, jobs);
    }

    /// The caller goes on speaking after a marker: the answer still comes, and covers what was before it.
    #[test]
    fn who_goes_on_speaking_is_answered() {
        let mut call = Call::new(Mode::Partials);
        call.play("SS");
        let said = call.play("MsssssssssS!");
        assert_eq!(said, ["final 2 w0 w1", "marker 7"], "the glance in flight may not displace the answer for good");
    }

    /// A marker ends nothing: the next one covers both halves.
    #[test]
    fn a_marker_ends_nothing() {
        let mut call = Call::new(Mode::Partials);
        call.play("SSM!");
        assert_eq!(call.play("..SSM!!").last_chunk::<2>().unwrap(), &["final 4 w0 w1 w2 w3", "marker 7"]);
    }

    /// Init forgets, counts the turn, and drops what the model was about to say.
    #[test]
    fn init_forgets() {
        let mut call = Call::new(Mode::Partials);
        call.play("SS");
        assert_eq!(call.play("I!"), ["Ready"]);
        assert_eq!(call.play("..M"), ["final 0 ", "marker 7"]);
        call.play("SM");
        assert_eq!(call.job.as_ref().unwrap().1.turn, 1);
    }

    /// A long turn is cut at pauses: every second of it is transcribed for good once, whatever its length.
    #[test]
    fn a_long_turn_costs_its_length() {
        let mut call = Call::new(Mode::Partials);
        let said = call.play(&("SSSSSSSSSS...!!".repeat(20) + "M!!"));
        assert!(said.last().unwrap() == "marker 7");
        let Some(line) = said.iter().rfind(|line| line.starts_with("final")) else { panic!("no final") };
        let words: usize = line.split(' ').nth(1).unwrap().parse().unwrap();
        assert!((196..=212).contains(&words), "{words} words of 200 s");
        assert!(call.work_s < 230.0, "{} s transcribed", call.work_s);
    }

    /// Somebody who never pauses is cut at 24 s, and loses no second.
    #[test]
    fn no_pause_is_no_excuse() {
        let mut call = Call::new(Mode::Partials);
        let said = call.play(&("SSSSS!".repeat(12) + "M!!!"));
        let line = said.iter().rfind(|line| line.starts_with("final")).expect("a final");
        let words: usize = line.split(' ').nth(1).unwrap().parse().unwrap();
        assert!((57..=63).contains(&words), "{words} words of 60 s");
    }

    /// Without the opt-in: each word once, after a pause or on a marker, and nothing else.
    #[test]
    fn words_are_said_once() {
        let mut call = Call::new(Mode::Words);
        assert_eq!(call.play("SS!.......!"), ["word w0", "word w1"]);
        assert_eq!(call.play("S.M!"), ["word w0", "marker 7"]);
        assert_eq!(call.play("M"), ["marker 7"]);
    }

    /// The model fails: the caller is told, and gets its marker back all the same.
    #[test]
    fn a_failure_is_told() {
        let mut call = Call::new(Mode::Partials);
        call.play("SSM");
        let job = call.job.take().unwrap().0;
        call.listener.handle(Input::Answer { job, answer: Err(ModelError::Failed("no luck".to_owned())) });
        let said = call.play("");
        assert_eq!(said.len(), 0);
        let mut lines = vec![];
        while let Some(Output::Say(message)) = call.listener.poll() {
            lines.push(message);
        }
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(lines[2], SttOut::Marker { id: 7 });
    }
}
