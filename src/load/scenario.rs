//! io: what callers do: who calls when, what they say, how they interrupt and how they leave
//!
//! A scenario is a YAML file; `configs/load/conversation.yaml` explains every key. Unknown keys and values that are not
//! allowed are refused with file, line, key and what is allowed; all of a file's problems at once.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::config::{ConfigError, Origin, Problem};

/// The scenarios in the program: name and text.
pub const READY_MADE: [(&str, &str); 3] = [
    ("conversation", include_str!("../../configs/load/conversation.yaml")),
    ("interruptions", include_str!("../../configs/load/interruptions.yaml")),
    ("arrivals", include_str!("../../configs/load/arrivals.yaml")),
];

/// What every caller of a crowd does. Who differs from whom is chance, and the seed decides it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    pub name: String,
    pub arrive: Arrive,
    /// `audio.output.voice`; `None`: the server's first.
    pub person: Option<String>,
    /// Ask for the face.
    pub video: bool,
    /// Silence that ends a turn; `None`: what the server starts with.
    pub silence: Option<Duration>,
    /// Have the agent greet first.
    pub greeting: bool,
    /// Extensions of the protocol to ask for.
    pub include: Vec<String>,
    pub say: Say,
    /// Turns of a call; `None`: until the step is over.
    pub turns: Option<u32>,
    /// Between an answer's end and the next utterance.
    pub pause: Span,
    pub talk_over: Option<TalkOver>,
    pub hang_up: HangUp,
    /// Whoever has left calls again after this; `None`: never.
    pub again_after: Option<Span>,
    pub patience: Patience,
}

/// When the callers of a crowd dial.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrive {
    AtOnce,
    /// Evenly within this time.
    Ramp(Duration),
    /// Independently of each other, so many per second on average.
    Poisson(f64),
}

/// What is said.
#[derive(Clone, Debug, PartialEq)]
pub struct Say {
    pub from: From,
    pub order: Order,
}

/// Which recordings.
#[derive(Clone, Debug, PartialEq)]
pub enum From {
    /// All of a set of `transcripts.json`.
    Set(String),
    /// Files of the speech folder.
    Files(Vec<String>),
}

/// Which of them next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// Round and round, each caller beginning at a place of its own.
    InOrder,
    AtRandom,
}

/// Speaking while the agent does.
#[derive(Clone, Debug, PartialEq)]
pub struct TalkOver {
    /// Of an answer being talked over.
    pub probability: f64,
    /// From the answer's first sound.
    pub after: Span,
    pub say: From,
}

/// How a call ends.
#[derive(Clone, Debug, PartialEq)]
pub struct HangUp {
    pub how: Leave,
    /// The probability that a caller leaves in the middle of an answer, `after` its first sound.
    pub mid_answer: f64,
    pub after: Span,
}

/// The last thing that a caller does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leave {
    /// DELETE of the call, and the server's goodbye.
    HangUp,
    /// As a browser's `pc.close()`.
    Close,
    /// As a phone that falls into a lake.
    Vanish,
}

/// How long a caller waits before it gives up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Patience {
    /// For media to flow, and for the server's first event.
    pub connect: Duration,
    /// For an answer to begin.
    pub answer: Duration,
    /// For an answer that has begun to end.
    pub end: Duration,
}

/// A time, or two between which chance chooses evenly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    pub from: Duration,
    pub to: Duration,
}

impl Scenario {
    /// The ready-made scenario of that name, else the file.
    pub fn load(name_or_file: &str) -> Result<Self, ConfigError> {
        if let Some((name, text)) = READY_MADE.iter().find(|(name, _)| *name == name_or_file) {
            return Self::parse(name, Path::new(name), text);
        }
        let path = Path::new(name_or_file);
        let text = std::fs::read_to_string(path).map_err(|error| {
            let names = READY_MADE.map(|(name, _)| name).join(", ");
            let message = format!("no scenario: {error}; allowed is a file, or one of {names}");
            ConfigError {
                problems: vec![Problem { origin: Origin::File { path: path.to_owned(), line: None }, message }],
            }
        })?;
        let name = path.file_stem().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Self::parse(&name, path, &text)
    }

    /// Reads the text of `path`; the error names lines of it.
    pub fn parse(name: &str, path: &Path, text: &str) -> Result<Self, ConfigError> {
        let at = |line: u64| Origin::File { path: path.to_owned(), line: Some(line as usize).filter(|&line| line > 0) };
        let raw: Raw = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map_or(0, |location| location.line());
            let message = error.without_snippet().to_string().lines().next().unwrap_or_default().to_owned();
            ConfigError { problems: vec![Problem { origin: at(line), message }] }
        })?;
        let mut problems = vec![];
        let mut refuse = |line: u64, message: String| problems.push(Problem { origin: at(line), message });
        let scenario = raw.check(name, &mut refuse);
        if problems.is_empty() { Ok(scenario) } else { Err(ConfigError { problems }) }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    arrive: RawArrive,
    #[serde(default)]
    call: RawCall,
    say: RawSay,
    #[serde(default)]
    turns: Option<Spanned<u32>>,
    #[serde(default)]
    pause_s: Option<Spanned<RawSpan>>,
    #[serde(default)]
    talk_over: Option<RawTalkOver>,
    #[serde(default)]
    hang_up: RawHangUp,
    #[serde(default)]
    again_after_s: Option<Spanned<RawSpan>>,
    #[serde(default)]
    patience: RawPatience,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawArrive {
    how: How,
    over_s: Option<Spanned<f64>>,
    per_s: Option<Spanned<f64>>,
}

#[derive(Clone, Copy, Deserialize, Default, PartialEq)]
#[serde(rename_all = "snake_case")]
enum How {
    #[default]
    AtOnce,
    Ramp,
    Poisson,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawCall {
    person: Option<String>,
    video: bool,
    silence_ms: Option<Spanned<u32>>,
    greeting: bool,
    include: Vec<String>,
}

impl Default for RawCall {
    fn default() -> Self {
        Self { person: None, video: true, silence_ms: None, greeting: true, include: vec!["visavis.trace".into()] }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSay {
    from: Spanned<RawFrom>,
    #[serde(default = "in_order")]
    order: Order,
}

fn in_order() -> Order {
    Order::InOrder
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`phrases`, `long`, or a list of files of the speech folder")]
enum RawFrom {
    Set(String),
    Files(Vec<String>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTalkOver {
    probability: Spanned<f64>,
    after_s: Spanned<RawSpan>,
    say: Spanned<RawFrom>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawHangUp {
    how: Leave,
    mid_answer: Option<Spanned<f64>>,
    after_s: Option<Spanned<RawSpan>>,
}

impl Default for RawHangUp {
    fn default() -> Self {
        Self { how: Leave::HangUp, mid_answer: None, after_s: None }
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RawPatience {
    connect_s: Option<Spanned<f64>>,
    answer_s: Option<Spanned<f64>>,
    end_s: Option<Spanned<f64>>,
}

/// Seconds.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged, expecting = "seconds, or two of them: [0.5, 1.5]")]
enum RawSpan {
    One(f64),
    Two([f64; 2]),
}

impl Raw {
    fn check(self, name: &str, refuse: &mut impl FnMut(u64, String)) -> Scenario {
        let arrive = self.arrive.check(refuse);
        if let Some(turns) = self.turns.as_ref().filter(|turns| !(1..=100_000).contains(&turns.value)) {
            refuse(
                turns.referenced.line(),
                format!("turns = {}: allowed is 1 to 100000, or nothing for as long as the step lasts", turns.value),
            );
        }
        if let Some(silence) = self.call.silence_ms.as_ref().filter(|silence| !(50..=10_000).contains(&silence.value)) {
            refuse(silence.referenced.line(), format!("call.silence_ms = {}: allowed is 50 to 10000", silence.value));
        }
        let one = Span::of(1.0, 1.0);
        let pause = self.pause_s.map_or(one, |span| span_of("pause_s", &span, refuse));
        let again_after = self.again_after_s.map(|span| span_of("again_after_s", &span, refuse));
        let talk_over = self.talk_over.map(|raw| TalkOver {
            probability: probability("talk_over.probability", &raw.probability, refuse),
            after: span_of("talk_over.after_s", &raw.after_s, refuse),
            say: from("talk_over.say", raw.say, refuse),
        });
        let hang_up = HangUp {
            how: self.hang_up.how,
            mid_answer: self.hang_up.mid_answer.map_or(0.0, |value| probability("hang_up.mid_answer", &value, refuse)),
            after: self.hang_up.after_s.map_or(one, |span| span_of("hang_up.after_s", &span, refuse)),
        };
        let mut patience = |key, value: Option<Spanned<f64>>, usual| {
            value.map_or(Duration::from_secs_f64(usual), |value| seconds(key, &value, 0.1..=600.0, refuse))
        };
        let patience = Patience {
            connect: patience("patience.connect_s", self.patience.connect_s, 15.0),
            answer: patience("patience.answer_s", self.patience.answer_s, 15.0),
            end: patience("patience.end_s", self.patience.end_s, 90.0),
        };
        Scenario {
            name: name.to_owned(),
            arrive,
            person: self.call.person,
            video: self.call.video,
            silence: self.call.silence_ms.map(|silence| Duration::from_millis(silence.value.into())),
            greeting: self.call.greeting,
            include: self.call.include,
            say: Say { from: from("say.from", self.say.from, refuse), order: self.say.order },
            turns: self.turns.map(|turns| turns.value),
            pause,
            talk_over,
            hang_up,
            again_after,
            patience,
        }
    }
}

impl RawArrive {
    fn check(self, refuse: &mut impl FnMut(u64, String)) -> Arrive {
        let lines = [&self.over_s, &self.per_s].map(|value| value.as_ref().map_or(0, |value| value.referenced.line()));
        match (self.how, self.over_s, self.per_s) {
            (How::AtOnce, None, None) => Arrive::AtOnce,
            (How::Ramp, Some(over), None) => Arrive::Ramp(seconds("arrive.over_s", &over, 0.0..=3600.0, refuse)),
            (How::Poisson, None, Some(per_s)) if (0.001..=10_000.0).contains(&per_s.value) => {
                Arrive::Poisson(per_s.value)
            }
            (How::Poisson, None, Some(per_s)) => {
                refuse(lines[1], format!("arrive.per_s = {}: allowed is 0.001 to 10000", per_s.value));
                Arrive::AtOnce
            }
            _ => {
                let line = lines.into_iter().max().unwrap_or_default();
                refuse(
                    line,
                    "arrive: allowed are `how: at_once`, `how: ramp` with over_s, `how: poisson` with per_s".into(),
                );
                Arrive::AtOnce
            }
        }
    }
}

impl Span {
    pub fn of(from_s: f64, to_s: f64) -> Self {
        Self { from: Duration::from_secs_f64(from_s), to: Duration::from_secs_f64(to_s) }
    }
}

fn span_of(key: &str, raw: &Spanned<RawSpan>, refuse: &mut impl FnMut(u64, String)) -> Span {
    let (from, to) = match raw.value {
        RawSpan::One(both) => (both, both),
        RawSpan::Two([from, to]) => (from, to),
    };
    if !(0.0..=3600.0).contains(&from) || !(from..=3600.0).contains(&to) {
        let message = format!("{key}: allowed are 0 to 3600 seconds, or two such, the smaller first: [0.5, 1.5]");
        refuse(raw.referenced.line(), message);
        return Span::of(0.0, 0.0);
    }
    Span::of(from, to)
}

fn seconds(
    key: &str,
    raw: &Spanned<f64>,
    allowed: std::ops::RangeInclusive<f64>,
    refuse: &mut impl FnMut(u64, String),
) -> Duration {
    if !allowed.contains(&raw.value) {
        let message = format!("{key} = {}: allowed is {} to {}", raw.value, allowed.start(), allowed.end());
        refuse(raw.referenced.line(), message);
        return Duration::ZERO;
    }
    Duration::from_secs_f64(raw.value)
}

fn probability(key: &str, raw: &Spanned<f64>, refuse: &mut impl FnMut(u64, String)) -> f64 {
    if !(0.0..=1.0).contains(&raw.value) {
        refuse(raw.referenced.line(), format!("{key} = {}: allowed is 0 to 1", raw.value));
        return 0.0;
    }
    raw.value
}

fn from(key: &str, raw: Spanned<RawFrom>, refuse: &mut impl FnMut(u64, String)) -> From {
    match raw.value {
        RawFrom::Set(set) if SETS.contains(&set.as_str()) => From::Set(set),
        RawFrom::Files(files) if !files.is_empty() => From::Files(files),
        _ => {
            let message = format!("{key}: allowed are {}, or a list of files of the speech folder", SETS.join(", "));
            refuse(raw.referenced.line(), message);
            From::Files(vec![])
        }
    }
}

/// The sets of recordings that `transcripts.json` tells apart.
const SETS: [&str; 2] = ["phrases", "long"];

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "say: { from: phrases }\n";

    fn problems(text: &str) -> String {
        Scenario::parse("s", Path::new("s.yaml"), text).expect_err("this scenario is wrong").to_string()
    }

    /// What the program brings can be read, and differs as its names say.
    #[test]
    fn the_ready_made_ones_are_good() {
        let all = READY_MADE.map(|(name, _)| Scenario::load(name).unwrap_or_else(|error| panic!("{error}")));
        let [conversation, interruptions, arrivals] = all;
        assert!(conversation.turns.is_none() && conversation.talk_over.is_none());
        assert!(interruptions.talk_over.is_some_and(|over| over.probability > 0.2));
        assert!(matches!(arrivals.arrive, Arrive::Poisson(_)) && arrivals.again_after.is_some());
    }

    /// What may be left out has the documented default.
    #[test]
    fn little_is_enough() {
        let scenario = Scenario::parse("s", Path::new("s.yaml"), LEAST).unwrap();
        assert_eq!(scenario.arrive, Arrive::AtOnce);
        assert_eq!(scenario.say, Say { from: From::Set("phrases".into()), order: Order::InOrder });
        assert_eq!((scenario.pause, scenario.turns), (Span::of(1.0, 1.0), None));
        assert_eq!(scenario.hang_up.how, Leave::HangUp);
        assert!(scenario.video && scenario.greeting && scenario.include == ["visavis.trace"]);
    }

    /// Each mistake names file, line, key and what is allowed; several are told at once.
    #[test]
    fn mistakes_are_named() {
        for (more, said) in [
            ("turns: 0\n", "s.yaml:2: turns = 0: allowed is 1 to 100000"),
            ("pause_s: [2, 1]\n", "s.yaml:2: pause_s: allowed are 0 to 3600 seconds"),
            ("pause_s: soon\n", "s.yaml:2: "),
            ("arrive: { how: ramp }\n", "s.yaml: arrive: allowed are"),
            ("arrive: { how: poisson, per_s: -1 }\n", "s.yaml:2: arrive.per_s = -1: allowed is 0.001 to 10000"),
            ("arrive: { how: never }\n", "s.yaml:2: "),
            ("call: { silence_ms: 3 }\n", "s.yaml:2: call.silence_ms = 3: allowed is 50 to 10000"),
            ("hang_up: { mid_answer: 2 }\n", "s.yaml:2: hang_up.mid_answer = 2: allowed is 0 to 1"),
            (
                "talk_over: { probability: 0.5, after_s: 1, say: loud }\n",
                "s.yaml:2: talk_over.say: allowed are phrases, long",
            ),
            ("patience: { answer_s: 0 }\n", "s.yaml:2: patience.answer_s = 0: allowed is 0.1 to 600"),
            ("think_s: 3\n", "s.yaml:2: "),
        ] {
            let said_really = problems(&format!("{LEAST}{more}"));
            assert!(said_really.starts_with(said), "{more}: {said_really}");
        }
        assert!(problems(&format!("{LEAST}think_s: 3\n")).contains("think_s"));
        assert!(problems(&format!("{LEAST}hang_up: {{ how: never }}\n")).contains("vanish"), "it says what is allowed");
        assert_eq!(problems(&format!("{LEAST}turns: 0\nhang_up: {{ mid_answer: 2 }}\n")).lines().count(), 2);
        assert!(problems("say: { from: [] }\n").starts_with("s.yaml:1: say.from: allowed are"));
        assert!(Scenario::load("no-such-scenario").unwrap_err().to_string().contains("conversation"));
    }
}
