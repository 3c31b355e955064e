//! io: who can speak: persona, language, voice, face, greeting
//!
//! The fields are explained at the head of `voices.yaml`, which is also compiled in for a program without its file.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::error::{ConfigError, Origin, Problem};

const BUILT_IN: &str = include_str!("../../voices.yaml");

/// At least one person, with different names, one of them good.
#[derive(Clone, Debug, PartialEq)]
pub struct Voices(Vec<Arc<Person>>);

/// A voice, a persona and a face.
#[derive(Clone, Debug, PartialEq)]
pub struct Person {
    /// Small letters, digits, `-` and `_`.
    pub name: String,
    /// Listed for callers.
    pub good: bool,
    /// BCP 47.
    pub language: String,
    pub instructions: String,
    /// What a demo brain is told instead; `None`: the same.
    pub demo: Option<String>,
    /// What a caller may say and how this person answers, shown to a demo brain: it learns more from two examples than
    /// from ten rules.
    pub examples: Vec<PersonExample>,
    /// Word for word; `None`: the model opens.
    pub greeting: Option<String>,
    /// `None`: no video.
    pub face: Option<String>,
    /// sRGB, behind the face.
    pub background: [u8; 3],
    pub tts: PersonTts,
    /// 0 to 2, of the first reply of a call.
    pub temperature_first: f32,
    /// 0 to 2, of every other.
    pub temperature: f32,
    /// Nobody speaking for this long is a silence to speak into.
    pub silence: Duration,
    /// A reply that ends with these words ends the call.
    pub goodbye: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct PersonTts {
    pub provider: Provider,
    /// The engine's name for the voice.
    pub voice: String,
    /// 0.25 to 1.5.
    pub speed: f32,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonExample {
    pub user: String,
    pub agent: String,
}

/// Who makes the voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// `/api/tts_streaming` of `[tts]`.
    Moshi,
}

impl Voices {
    /// The people of the `voices.yaml` that is compiled in.
    pub fn built_in() -> Self {
        Self::parse(Path::new("voices.yaml"), BUILT_IN).expect("the shipped voices.yaml is allowed: a test loads it")
    }

    /// Reads `path`; without that file the built-in people, unless the user named the file.
    pub(super) fn load(path: &Path, named: bool) -> Result<Self, ConfigError> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(path, &text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && !named => Ok(Self::built_in()),
            Err(e) => {
                let origin = Origin::File { path: path.to_owned(), line: None };
                Err(ConfigError::one(origin, format!("voices cannot be read: {e}")))
            }
        }
    }

    /// Reads the text of `path`; the error names lines of it.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        let at = |line: Option<u64>| Origin::File { path: path.to_owned(), line: line.map(|line| line as usize) };
        let raw: Vec<Spanned<Raw>> = serde_saphyr::from_str(text).map_err(|error| {
            let line = error.location().map(|l| l.line());
            ConfigError::one(at(line), first_line(&error.without_snippet().to_string()))
        })?;
        let mut problems = Vec::new();
        let mut refuse = |line: u64, message: String| problems.push(Problem { origin: at(Some(line)), message });
        let mut names = BTreeSet::new();
        let mut people = Vec::new();
        for raw in raw {
            let line = raw.referenced.line();
            if !names.insert(raw.value.name.value.clone()) {
                refuse(
                    raw.value.name.referenced.line(),
                    format!("name: there are two of the name {}", raw.value.name.value),
                );
            }
            people.push(Arc::new(raw.value.check(line, &mut refuse)));
        }
        if !people.iter().any(|p| p.good) {
            problems.push(Problem {
                origin: at(None),
                message: "nobody to speak: allowed is a list with at least one `good: true`".to_owned(),
            });
        }
        if problems.is_empty() { Ok(Self(people)) } else { Err(ConfigError { problems }) }
    }

    /// Everybody, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Person>> {
        self.0.iter()
    }

    /// The person of that name.
    pub fn find(&self, name: &str) -> Option<&Arc<Person>> {
        self.0.iter().find(|p| p.name == name)
    }

    /// Who answers when nobody was asked for, or somebody unknown: the first good one.
    pub fn usual(&self) -> &Arc<Person> {
        self.0.iter().find(|p| p.good).expect("a file without a good person is refused")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: Spanned<String>,
    #[serde(default = "yes")]
    good: bool,
    language: Spanned<String>,
    instructions: Spanned<String>,
    #[serde(default)]
    demo: String,
    #[serde(default)]
    examples: Vec<PersonExample>,
    #[serde(default)]
    greeting: String,
    #[serde(default)]
    face: String,
    #[serde(default = "slate")]
    background: Spanned<String>,
    tts: RawTts,
    #[serde(default)]
    llm: RawLlm,
    #[serde(default = "seven")]
    silence_s: Spanned<f64>,
    #[serde(default)]
    goodbye: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTts {
    provider: Provider,
    voice: String,
    #[serde(default = "plain_speed")]
    speed: Spanned<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawLlm {
    temperature_first: Spanned<f32>,
    temperature: Spanned<f32>,
}

impl Default for RawLlm {
    fn default() -> Self {
        Self { temperature_first: nowhere(0.7), temperature: nowhere(0.3) }
    }
}

impl Raw {
    fn check(self, line: u64, refuse: &mut impl FnMut(u64, String)) -> Person {
        let name = &self.name.value;
        let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || name.len() > 64 || !name.chars().all(fine) {
            refuse(
                self.name.referenced.line(),
                format!("name = {name:?}: allowed are 1 to 64 small letters, digits, - and _"),
            );
        }
        if self.language.value != "en" && !self.language.value.starts_with("en-") {
            refuse(self.language.referenced.line(), format!("language = {:?}: allowed is en", self.language.value));
        }
        if self.instructions.value.trim().is_empty() {
            refuse(
                self.instructions.referenced.line(),
                "instructions: allowed is a text that says who speaks".to_owned(),
            );
        }
        let background = colour(&self.background.value).unwrap_or_else(|| {
            let line = if self.background.referenced.line() > 0 { self.background.referenced.line() } else { line };
            refuse(line, format!("background = {:?}: allowed is a colour such as \"#20262e\"", self.background.value));
            [0; 3]
        });
        let mut number = |key: &str, at: &Spanned<f32>, low: f32, high: f32| {
            if !(low..=high).contains(&at.value) {
                refuse(at.referenced.line(), format!("{key} = {}: allowed is {low} to {high}", at.value));
            }
            at.value
        };
        let speed = number("tts.speed", &self.tts.speed, 0.25, 1.5);
        let temperature_first = number("llm.temperature_first", &self.llm.temperature_first, 0.0, 2.0);
        let temperature = number("llm.temperature", &self.llm.temperature, 0.0, 2.0);
        let silence_s = self.silence_s.value;
        let silence = if (1.0..=600.0).contains(&silence_s) {
            Duration::from_secs_f64(silence_s)
        } else {
            refuse(self.silence_s.referenced.line(), format!("silence_s = {silence_s}: allowed is 1 to 600"));
            Duration::from_secs(7)
        };
        let some = |text: String| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        Person {
            name: self.name.value,
            good: self.good,
            language: self.language.value,
            instructions: self.instructions.value.trim().to_owned(),
            demo: some(self.demo),
            examples: self.examples,
            greeting: some(self.greeting),
            face: some(self.face),
            background,
            tts: PersonTts { provider: self.tts.provider, voice: self.tts.voice, speed },
            temperature_first,
            temperature,
            silence,
            goodbye: some(self.goodbye),
        }
    }
}

fn colour(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').filter(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    let channel = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
    Some([channel(0)?, channel(2)?, channel(4)?])
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn nowhere<T>(value: T) -> Spanned<T> {
    Spanned { value, referenced: serde_saphyr::Location::UNKNOWN, defined: serde_saphyr::Location::UNKNOWN }
}

fn yes() -> bool {
    true
}

fn slate() -> Spanned<String> {
    nowhere("#20262e".to_owned())
}

fn seven() -> Spanned<f64> {
    nowhere(7.0)
}

fn plain_speed() -> Spanned<f32> {
    nowhere(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> String {
        Voices::parse(Path::new("voices.yaml"), text).expect_err("this file is wrong").to_string()
    }

    const LEAST: &str =
        "- name: ada\n  language: en\n  instructions: You are Ada.\n  tts: {provider: moshi, voice: joe}\n";

    /// The shipped person is the one that the documents speak of, with the numbers that were settled.
    #[test]
    fn theo_is_there() {
        let voices = Voices::built_in();
        let theo = voices.usual();
        assert_eq!((theo.name.as_str(), theo.face.as_deref()), ("theo", Some("theo")));
        assert_eq!((theo.temperature_first, theo.temperature, theo.silence), (0.7, 0.3, Duration::from_secs(7)));
        assert!(theo.greeting.is_some() && theo.goodbye.is_some());
        assert!(theo.demo.is_some() && theo.examples.len() >= 8, "the demo model has a part to play");
    }

    /// What may be left out has the documented default.
    #[test]
    fn little_is_enough() {
        let voices = Voices::parse(Path::new("v"), LEAST).unwrap();
        let ada = voices.find("ada").unwrap();
        assert!(ada.good && ada.greeting.is_none() && ada.face.is_none() && ada.goodbye.is_none());
        assert_eq!((ada.tts.speed, ada.temperature_first, ada.temperature), (1.0, 0.7, 0.3));
        assert_eq!(voices.find("eve"), None);
    }

    /// Each mistake names its line, its field and what is allowed.
    #[test]
    fn mistakes_are_named() {
        for (what, wrong, said) in [
            ("language: en", "language: fr", "voices.yaml:2: language = \"fr\": allowed is en"),
            ("name: ada", "name: Ada L", "voices.yaml:1: name = \"Ada L\": allowed are 1 to 64 small letters"),
            ("You are Ada.", "\"\"", "voices.yaml:3: instructions: allowed is a text"),
            ("voice: joe", "voice: joe, speed: 9", "voices.yaml:4: tts.speed = 9: allowed is 0.25 to 1.5"),
            ("provider: moshi", "provider: acme", "voices.yaml:4: "),
            ("language: en", "langage: en", "voices.yaml:2: "),
        ] {
            let text = LEAST.replace(what, wrong);
            let said_really = problems(&text);
            assert!(said_really.starts_with(said), "{wrong}: {said_really}");
        }
        assert!(problems(&LEAST.replace("language: en", "langage: en")).contains("langage"));
        assert!(problems(&LEAST.replace("provider: moshi", "provider: acme")).contains("acme"));
        for (more, said) in [
            ("  background: blue\n", "voices.yaml:5: background = \"blue\": allowed is a colour such as"),
            ("  silence_s: 0.5\n", "voices.yaml:5: silence_s = 0.5: allowed is 1 to 600"),
            ("  llm: {temperature: 3}\n", "voices.yaml:5: llm.temperature = 3: allowed is 0 to 2"),
            ("  good: false\n", "voices.yaml: nobody to speak"),
        ] {
            let said_really = problems(&format!("{LEAST}{more}"));
            assert!(said_really.starts_with(said), "{more}: {said_really}");
        }
        assert!(problems(&LEAST.repeat(2)).starts_with("voices.yaml:5: name: there are two of the name ada"));
        assert!(problems("name: [").starts_with("voices.yaml:"));
        assert!(problems("[]").starts_with("voices.yaml: nobody to speak"));
    }
}
