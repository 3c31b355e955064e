//! door: golden scores: whole conversations in virtual time, one event per line
//!
//! The cores of every room are laid in a row as `session/line.rs` lays their tasks; scripted engines answer after known
//! delays. What happens when is compared with `scores/*.txt` to the millisecond. `VISAVIS_WRITE_SCORES=1` writes them
//! anew: read the difference before committing it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use visavis::agent::dialogue::clauses::Clauses;
use visavis::agent::dialogue::history::History;
use visavis::agent::dialogue::turn::{self, Manners, Turn};
use visavis::agent::flow::*;
use visavis::agent::hearing::endpoint::{self, Endpoint};
use visavis::agent::hearing::transcript::Transcript;
use visavis::agent::stage::{self, Playout};
use visavis::agent::transport::realtime::{self, Protocol};
use visavis::media::sound::Pcm;
use visavis::media::time::{MediaTime, Samples};

use crate::kit::setup;

/// What the caller does.
#[derive(Clone, Debug)]
enum Act {
    /// Speaks from `from` to `to`; the engine hears `text`.
    Speak { from: u64, to: u64, text: &'static str },
    /// Sends a client event.
    Send { at: u64, event: &'static str },
}

/// What an engine has on its way.
#[derive(Debug)]
enum Due {
    Final { mark: i64, text: String },
    Token(TurnId, String),
    TextDone(TurnId),
    Speech(Arc<Speech>),
    HungUp(TurnId),
}

struct Conversation {
    t0: Instant,
    acts: Vec<Act>,
    /// What the language model answers, in order.
    replies: Vec<&'static str>,
    endpoint: Endpoint,
    transcript: Transcript,
    user: u64,
    /// The start of the user's turn, and its end once that is decided.
    spoken: (u64, Option<Samples<16_000>>),
    turn: Turn,
    history: History,
    playout: Playout,
    protocol: Protocol,
    /// The reply being generated: its clauses, the words of the clause in the making, and where its sound ends.
    speaking: Option<(TurnId, Clauses, Vec<String>, MediaTime)>,
    due: BTreeMap<(u64, u64), Due>,
    dues: u64,
    score: Vec<String>,
}

impl Conversation {
    fn new(acts: Vec<Act>, replies: Vec<&'static str>) -> Self {
        let t0 = Instant::now();
        let protocol = Protocol::new(setup::scripted(), None).unwrap();
        Self {
            t0,
            acts,
            replies,
            endpoint: Endpoint::new(protocol.settings().turn_detection),
            transcript: Transcript::default(),
            user: 0,
            spoken: (0, None),
            turn: Turn::new(),
            history: History::new(),
            playout: Playout::new(t0, 15),
            protocol,
            speaking: None,
            due: BTreeMap::new(),
            dues: 0,
            score: vec![],
        }
    }

    fn play(mut self, until: u64) -> Vec<String> {
        for ms in 0..=until {
            for act in self.acts.clone() {
                if let Act::Send { at, event } = act
                    && at == ms
                {
                    self.note(ms, "client", event.to_owned());
                    self.protocol.handle(realtime::Input::Client(event));
                }
            }
            if ms > 0 && ms % 32 == 0 {
                self.hear(ms);
            }
            while let Some(entry) = self.due.first_entry().filter(|e| e.key().0 <= ms) {
                let due = entry.remove();
                self.arrive(ms, due);
            }
            self.settle(ms);
        }
        self.score
    }

    fn now(&self, ms: u64) -> Instant {
        self.t0 + Duration::from_millis(ms)
    }

    fn note(&mut self, ms: u64, room: &str, what: String) {
        self.score.push(format!("{}.{:03} {room} {what}", ms / 1000, ms % 1000));
    }

    fn later(&mut self, ms: u64, due: Due) {
        self.dues += 1;
        self.due.insert((ms, self.dues), due);
    }

    fn tell(&mut self, turn: Option<TurnId>, fact: Fact) {
        self.protocol.handle(realtime::Input::Notice(Notice { turn, fact }));
    }

    /// The 32 ms that end now.
    fn hear(&mut self, ms: u64) {
        let middle = ms - 16;
        let speaks =
            self.acts.iter().any(|a| matches!(a, Act::Speak { from, to, .. } if (*from..*to).contains(&middle)));
        self.endpoint.set(self.protocol.settings().turn_detection);
        let Some(pause) = self.endpoint.chunk(if speaks { 0.95 } else { 0.02 }) else { return };
        let user = UserTurn(self.user);
        match pause {
            endpoint::Fact::Started { at } => {
                self.user += 1;
                let user = UserTurn(self.user);
                self.spoken = (ms, None);
                self.note(ms, "hearing", "speech started".into());
                self.tell(None, Fact::SpeechStarted { user, at });
                self.heard(ms, Heard::SpeechStarted { user, at, onset: self.now(ms) });
            }
            endpoint::Fact::Paused { at } => {
                self.note(ms, "hearing", "speech paused".into());
                let mark = self.transcript.paused();
                self.ask_engine(ms, mark);
                self.heard(ms, Heard::SpeechPaused { at });
            }
            endpoint::Fact::Resumed => self.transcript.resumed(),
            endpoint::Fact::Over { at } => {
                self.note(ms, "hearing", "turn over".into());
                self.tell(None, Fact::SpeechStopped { user, at });
                self.spoken.1 = Some(at);
                if let Some(mark) = self.transcript.over() {
                    self.ask_engine(ms, mark);
                }
                self.finish_turn(ms);
            }
        }
    }

    /// 60 ms for a final.
    fn ask_engine(&mut self, ms: u64, mark: i64) {
        let text: Vec<&str> = self
            .acts
            .iter()
            .filter_map(|a| match a {
                Act::Speak { from, to, text }
                    if *to <= ms && *to + 2_000 > self.spoken.0 && from + 200 > self.spoken.0 =>
                {
                    Some(*text)
                }
                _ => None,
            })
            .collect();
        self.later(ms + 60, Due::Final { mark, text: text.join(" ").trim().to_owned() });
    }

    fn finish_turn(&mut self, ms: u64) {
        let Some(text) = self.transcript.take() else { return };
        let (user, at) = (UserTurn(self.user), self.spoken.1.take().expect("only a turn that is over has a text"));
        if !text.is_empty() {
            self.tell(None, Fact::Committed { user });
            self.tell(None, Fact::Transcribed { user, text: text.clone(), heard: Samples::from_ms(500) });
            self.history.insert(Place::End, Entry::User(user), Role::User, text.clone()).unwrap();
        }
        let now = self.now(ms);
        let ears = EarTrace { speech_ended: now, decided: now, transcribed: now };
        self.heard(ms, Heard::TurnEnded { user, text, at, ears });
    }

    fn heard(&mut self, ms: u64, heard: Heard) {
        let manners = Manners { create_response: true, interrupt_response: true };
        self.turn.handle(self.now(ms), turn::Input::Heard(&heard, manners));
    }

    fn arrive(&mut self, ms: u64, due: Due) {
        match due {
            Due::Final { mark, text } => {
                self.transcript.final_text(text);
                if let Some(text) = self.transcript.marker(mark).map(str::to_owned) {
                    self.note(ms, "hearing", format!("hypothesis {text:?}"));
                    self.heard(ms, Heard::Hypothesis { text });
                }
                if self.transcript.is_over() {
                    self.finish_turn(ms);
                }
            }
            Due::Token(turn, text) => {
                let Some((of, clauses, ..)) = &mut self.speaking else { return };
                if *of != turn {
                    return;
                }
                clauses.handle(&text);
                self.tell(Some(turn), Fact::ReplyText { delta: text });
                self.say(ms);
            }
            Due::TextDone(turn) => {
                let Some((of, clauses, ..)) = &mut self.speaking else { return };
                if *of != turn {
                    return;
                }
                clauses.end();
                self.say(ms);
                self.note(ms, "dialogue", format!("text of {} done", turn.0));
                let done = turn::Input::TextDone { turn, outcome: Outcome::Completed, usage: Usage::default() };
                self.turn.handle(self.now(ms), done);
            }
            Due::Speech(speech) => self.playout.handle(self.now(ms), stage::Input::Speech(speech)),
            Due::HungUp(turn) => {
                self.tell(Some(turn), Fact::SpeechMade);
                self.playout.handle(self.now(ms), stage::Input::HungUp(turn));
            }
        }
    }

    /// Words to the voice: a clause is sound 80 ms after its boundary, 50 ms a letter.
    fn say(&mut self, ms: u64) {
        let Some((turn, mut clauses, mut words, mut end)) = self.speaking.take() else { return };
        let mut over = false;
        while let Some(say) = clauses.poll() {
            match say {
                Say::Word(word) => words.push(word),
                Say::Boundary | Say::End => {
                    over = say == Say::End;
                    let at = end;
                    let mut times = vec![];
                    for word in words.drain(..) {
                        let start = end;
                        end += Samples::from_ms(50 * word.len() as u64);
                        times.push(WordTime { text: word, start, stop: end });
                    }
                    let pcm = Pcm(vec![0.1; (end - at).0 as usize]);
                    let speech = Speech { turn, at, pcm, words: times, phones: vec![], end: over };
                    self.later(ms + 80, Due::Speech(Arc::new(speech)));
                }
            }
        }
        if over {
            self.later(ms + 81, Due::HungUp(turn));
        } else {
            self.speaking = Some((turn, clauses, words, end));
        }
    }

    fn settle(&mut self, ms: u64) {
        let now = self.now(ms);
        loop {
            let mut idle = true;
            while let Some(output) = self.turn.poll(now) {
                idle = false;
                self.decide(ms, output);
            }
            while let Some(output) = self.playout.poll(now) {
                idle = false;
                self.perform(ms, output);
            }
            while let Some(output) = self.protocol.poll() {
                idle = false;
                self.transport(ms, output);
            }
            if idle {
                return;
            }
        }
    }

    fn decide(&mut self, ms: u64, output: turn::Output) {
        match output {
            turn::Output::Floor(floor) => {
                let named = |t: Option<TurnId>| t.map_or("-".into(), |t| t.0.to_string());
                self.note(
                    ms,
                    "floor",
                    format!("now {} next {} {:?} {:?}", named(floor.now), named(floor.next), floor.level, floor.mood),
                );
                self.playout.handle(self.now(ms), stage::Input::Floor { floor, unsent: vec![] });
                self.protocol.handle(realtime::Input::Floor(floor));
            }
            turn::Output::Begin { turn, why } => {
                let asked = match why {
                    turn::Why::Asked { id, .. } => Some(id),
                    turn::Why::Answer(_) => None,
                };
                self.tell(Some(turn), Fact::ReplyStarted { asked });
                let opening = self.history.is_empty();
                self.history.begin_reply(turn).unwrap();
                self.speaking = Some((turn, Clauses::new(), vec![], MediaTime::ZERO));
                // A greeting is there at once; the model's first token after 120 ms, then one word in 30 ms.
                let (text, first, step) =
                    if opening { ("Hello there.", 0, 0) } else { (self.replies.remove(0), 120, 30) };
                let words: Vec<&str> = text.split_inclusive(' ').collect();
                for (n, word) in words.iter().enumerate() {
                    self.later(ms + first + step * n as u64, Due::Token(turn, (*word).to_owned()));
                }
                self.later(ms + first + step * words.len() as u64, Due::TextDone(turn));
            }
            turn::Output::Abandon { turn } => {
                self.note(ms, "dialogue", format!("abandon {}", turn.0));
                self.speaking = self.speaking.take().filter(|(of, ..)| *of != turn);
                self.due.retain(|_, due| {
                    !matches!(due, Due::Speech(s) if s.turn == turn) && !matches!(due, Due::HungUp(t) if *t == turn)
                });
            }
            turn::Output::Done { turn, outcome, usage } => self.tell(Some(turn), Fact::ReplyDone { outcome, usage }),
            turn::Output::Refuse(asked) => self.tell(None, Fact::ReplyRefused { asked }),
            turn::Output::FirstSound { played } => self.note(ms, "stage", format!("first sound of {}", played.turn.0)),
            turn::Output::Interrupt(kind) => self.note(ms, "dialogue", kind.label().to_owned()),
        }
    }

    fn perform(&mut self, ms: u64, output: stage::Output) {
        match output {
            stage::Output::Progress(progress) => {
                for played in &progress.turns {
                    self.history.played(played);
                    if let Some(ended) = played.ended
                        && self.turn.floor().now == Some(played.turn)
                    {
                        let words: Vec<&str> = played.words.iter().map(|w| w.text.as_str()).collect();
                        self.note(ms, "stage", format!("{} {ended:?} after {:?}", played.turn.0, words.join(" ")));
                    }
                }
                self.turn.handle(self.now(ms), turn::Input::Progress(&progress));
            }
            stage::Output::Notice(notice) => self.protocol.handle(realtime::Input::Notice(notice)),
            stage::Output::FramesAfterFloor(n) => self.note(ms, "stage", format!("{n} frame after the floor changed")),
            stage::Output::Sound(_) | stage::Output::Cue(_) => {}
        }
    }

    fn transport(&mut self, ms: u64, output: realtime::Output) {
        match output {
            realtime::Output::Event(text) => {
                let event: serde_json::Value = serde_json::from_str(&text).unwrap();
                let mut line = event["type"].as_str().unwrap().to_owned();
                for key in ["delta", "transcript", "audio_end_ms"] {
                    if let Some(value) = event.get(key) {
                        line.push_str(&format!(" {value}"));
                    }
                }
                if let Some(status) = event.pointer("/response/status") {
                    line.push_str(&format!(" {status}"));
                }
                self.note(ms, "event", line);
            }
            realtime::Output::Ask { ask: Ask::Respond(respond), .. } => {
                self.turn.handle(self.now(ms), turn::Input::Respond(respond.id));
            }
            realtime::Output::Ask { ask: Ask::Cancel, .. } => self.turn.handle(self.now(ms), turn::Input::Cancel),
            _ => {}
        }
    }
}

fn compare(name: &str, score: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/scores").join(name);
    let played = score.join("\n") + "\n";
    if std::env::var_os("VISAVIS_WRITE_SCORES").is_some() {
        std::fs::write(&path, &played).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    for (n, (a, b)) in golden.lines().zip(played.lines()).enumerate() {
        assert_eq!(a, b, "{name}, line {}", n + 1);
    }
    assert_eq!(golden.lines().count(), played.lines().count(), "{name} is as long as it was");
}

/// The page's way: session.update, the greeting, a question and its answer.
#[test]
fn a_greeting_and_a_question() {
    let acts = vec![
        Act::Send {
            at: 10,
            event: r#"{"type":"session.update","session":{"type":"realtime","audio":{"input":{"turn_detection":{"type":"server_vad","silence_duration_ms":300}}}}}"#,
        },
        Act::Send { at: 20, event: r#"{"type":"response.create"}"# },
        Act::Speak { from: 2_000, to: 3_000, text: "How are you?" },
    ];
    compare("question.txt", &Conversation::new(acts, vec!["Very well, thank you. And you?"]).play(6_000));
}

/// A cough pauses and resumes; speech cuts, and history keeps what was heard.
#[test]
fn a_cough_and_an_interruption() {
    let acts = vec![
        Act::Speak { from: 0, to: 800, text: "Tell me a story." },
        Act::Speak { from: 2_500, to: 2_650, text: "" },
        Act::Speak { from: 4_500, to: 5_500, text: "Stop, please." },
    ];
    let replies =
        vec!["Once upon a time there was a king, who had three daughters, and they all loved to sing.", "Of course."];
    compare("interruption.txt", &Conversation::new(acts, replies).play(9_000));
}
