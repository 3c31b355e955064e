//! core: the session object: what a client may set, and what that means for the rooms
//!
//! In:    patches of `session.update` (RFC 7396 merge patches, but an object whose `type` changes is replaced whole).
//! Out:   the effective session, and [`Settings`] with a rising revision; or a refusal that names the field and the choices.
//! Never: takes half of a patch.

use serde_json::{Map, Value};

use super::protocol::Setup;
use super::refusal::Refusal;
use crate::agent::flow::{self, Include, Settings};
use crate::wire::realtime::Session;
use crate::wire::realtime::session::{AudioFormat, Eagerness, MaxTokens, Modality, Transcription, TurnDetection};

#[derive(Debug)]
pub struct Configuration {
    session: Session,
    settings: Settings,
    persons: Vec<String>,
    /// The agent has been heard: its voice is fixed.
    spoken: bool,
}

impl Configuration {
    pub fn new(id: &str, setup: &Setup) -> Self {
        let mut session = Session::new(id, &setup.model, &setup.person);
        session.expires_at = setup.expires_at_unix_s;
        session.audio.input.transcription =
            Some(Transcription { model: Some(setup.transcription_model.clone()), ..Transcription::default() });
        let flow::TurnDetection {
            threshold,
            prefix_padding_ms,
            silence_duration_ms,
            create_response,
            interrupt_response,
        } = setup.turn_detection;
        session.audio.input.turn_detection = Some(TurnDetection::ServerVad {
            threshold,
            prefix_padding_ms,
            silence_duration_ms,
            create_response,
            interrupt_response,
            idle_timeout_ms: None,
        });
        let settings = settings(&session, 0);
        Self { session, settings, persons: setup.persons.clone(), spoken: false }
    }

    pub fn session(&self) -> &Session {
        &self.session
    }

    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    pub fn fix_voice(&mut self) {
        self.spoken = true;
    }

    /// Takes a patch whole or not at all. True when the rooms' settings have changed.
    pub fn update(&mut self, patch: &Value) -> Result<bool, Refusal> {
        let Value::Object(patch) = patch else {
            return Err(Refusal::of("invalid_type", "session", "Invalid 'session': expected an object."));
        };
        match patch.get("type").and_then(Value::as_str) {
            Some("realtime") => {}
            None => return Err(Refusal::missing("session.type")),
            Some(_) => {
                let message = "Invalid value for 'session.type'. Supported values are: 'realtime'.";
                return Err(Refusal::of("invalid_value", "session.type", message));
            }
        }
        let mut wanted = serde_json::to_value(&self.session).expect("a session is JSON: its keys are strings");
        let changes: Map<String, Value> = patch
            .iter()
            .filter(|(key, _)| !FIXED.contains(&key.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        merge(&mut wanted, &Value::Object(changes));
        let wanted: Session = serde_path_to_error::deserialize(wanted).map_err(|error| {
            let param = format!("session.{}", error.path());
            Refusal::of("invalid_value", param.clone(), format!("Invalid '{param}': {}.", error.inner()))
        })?;
        self.check(&wanted)?;
        self.session = wanted;
        let changed = Settings { revision: self.settings.revision, ..settings(&self.session, 0) } != self.settings;
        if changed {
            self.settings = settings(&self.session, self.settings.revision + 1);
        }
        Ok(changed)
    }

    /// What the types cannot say.
    fn check(&self, wanted: &Session) -> Result<(), Refusal> {
        if wanted.output_modalities != [Modality::Audio] {
            return Err(only_audio("session.output_modalities"));
        }
        check_max_tokens("session.max_output_tokens", wanted.max_output_tokens)?;
        let output = &wanted.audio.output;
        if !self.persons.contains(&output.voice) {
            let known: Vec<String> = self.persons.iter().map(|name| format!("'{name}'")).collect();
            return Err(Refusal::of(
                "invalid_value",
                "session.audio.output.voice",
                format!("Invalid value: '{}'. Supported values are: {}.", output.voice, known.join(", ")),
            ));
        }
        if self.spoken && output.voice != self.session.audio.output.voice {
            let message = "Cannot update a conversation's voice if assistant audio is present.";
            return Err(Refusal::of("cannot_update_voice", "session.audio.output.voice", message));
        }
        within("session.audio.output.speed", output.speed, 0.25, 1.5)?;
        for (name, format) in [("input", wanted.audio.input.format), ("output", output.format)] {
            if let AudioFormat::Pcm { rate } = format
                && rate != 24_000
            {
                let param = format!("session.audio.{name}.format.rate");
                return Err(Refusal::of(
                    "invalid_value",
                    param.clone(),
                    format!("Invalid '{param}': audio/pcm is 24000."),
                ));
            }
        }
        if let Some(TurnDetection::ServerVad { threshold, prefix_padding_ms, silence_duration_ms, .. }) =
            wanted.audio.input.turn_detection
        {
            let at = "session.audio.input.turn_detection";
            within(&format!("{at}.threshold"), threshold, 0.0, 1.0)?;
            within(&format!("{at}.prefix_padding_ms"), prefix_padding_ms as f32, 0.0, LONGEST_WAIT_MS)?;
            within(&format!("{at}.silence_duration_ms"), silence_duration_ms as f32, 0.0, LONGEST_WAIT_MS)?;
        }
        let unknown = wanted.include.iter().flatten().find(|name| !INCLUDES.contains(&name.as_str()));
        if let Some(name) = unknown {
            return Err(Refusal::of(
                "invalid_value",
                "session.include",
                format!("Invalid value: '{name}'. Supported values are: '{}'.", INCLUDES.join("', '")),
            ));
        }
        Ok(())
    }
}

/// RFC 7396, but an object whose `type` changes starts anew: what was set for one kind of turn detection means nothing in another.
fn merge(base: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *base = patch.clone();
        return;
    };
    let another = changes.get("type").is_some_and(|kind| base.get("type").is_some_and(|old| old != kind));
    if another || !base.is_object() {
        *base = Value::Object(Map::new());
    }
    let fields = base.as_object_mut().expect("it was just made one");
    for (key, change) in changes {
        if change.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key).or_insert(Value::Null), change);
        }
    }
}

fn settings(session: &Session, revision: u64) -> Settings {
    let includes = |name: &str| session.include.iter().flatten().any(|included| included == name);
    Settings {
        revision,
        person: session.audio.output.voice.clone(),
        instructions: Some(session.instructions.clone()).filter(|text| !text.is_empty()),
        turn_detection: session.audio.input.turn_detection.as_ref().map(turn_detection),
        max_output_tokens: session.max_output_tokens.limit(),
        speed: session.audio.output.speed,
        include: Include {
            state: includes("visavis.state"),
            captions: includes("visavis.captions"),
            trace: includes("visavis.trace"),
        },
    }
}

fn turn_detection(wanted: &TurnDetection) -> flow::TurnDetection {
    let usual = flow::TurnDetection::default();
    match *wanted {
        TurnDetection::ServerVad {
            threshold,
            prefix_padding_ms,
            silence_duration_ms,
            create_response,
            interrupt_response,
            ..
        } => flow::TurnDetection {
            threshold,
            prefix_padding_ms,
            silence_duration_ms,
            create_response,
            interrupt_response,
        },
        TurnDetection::SemanticVad { eagerness, create_response, interrupt_response } => flow::TurnDetection {
            silence_duration_ms: match eagerness {
                Eagerness::Low => 1000,
                Eagerness::Medium | Eagerness::Auto => usual.silence_duration_ms,
                Eagerness::High => 300,
            },
            create_response,
            interrupt_response,
            ..usual
        },
    }
}

pub fn check_max_tokens(param: &str, tokens: MaxTokens) -> Result<(), Refusal> {
    match tokens {
        MaxTokens::Limit(0 | 4097..) => {
            Err(Refusal::of("invalid_value", param, format!("Invalid '{param}': expected 1 to 4096, or \"inf\".")))
        }
        _ => Ok(()),
    }
}

pub fn only_audio(param: &str) -> Refusal {
    Refusal::of("invalid_value", param, format!("Invalid '{param}'. Supported values are: [\"audio\"]."))
}

fn within(param: &str, value: f32, least: f32, most: f32) -> Result<(), Refusal> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Refusal::of(
        "invalid_value",
        param,
        format!("Invalid '{param}': expected a value from {least} to {most}, but got {value}."),
    ))
}

/// Given by the server: a client that sends them back (stock ones send `model`) changes nothing.
const FIXED: [&str; 4] = ["id", "object", "model", "expires_at"];

/// What a client may ask to be told. The first is OpenAI's; our recognizer has no log probabilities, so it brings nothing.
const INCLUDES: [&str; 4] =
    ["item.input_audio_transcription.logprobs", "visavis.state", "visavis.captions", "visavis.trace"];

/// Longer waits are not turn detection; a client that wants them turns it off and commits itself.
const LONGEST_WAIT_MS: f32 = 10_000.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::transport::realtime::Link;
    use serde_json::json;

    fn configuration() -> Configuration {
        Configuration::new("sess_a", &Setup::example(Link::WebRtc))
    }

    fn detection(configuration: &Configuration) -> flow::TurnDetection {
        configuration.settings().turn_detection.unwrap()
    }

    /// Only what is present changes; every default is written out, `interrupt_response` above all.
    #[test]
    fn an_update_is_a_deep_merge() {
        let mut configuration = configuration();
        let patch = json!({"type": "realtime", "audio": {"input": {"turn_detection": {"type": "server_vad", "threshold": 0.7}}}});
        assert!(configuration.update(&patch).unwrap());
        assert_eq!(detection(&configuration).threshold, 0.7);
        assert_eq!(detection(&configuration).silence_duration_ms, 500);
        let patch = json!({"type": "realtime", "instructions": "Sing.", "audio": {"input": {"turn_detection": {"silence_duration_ms": 300}}}});
        assert!(configuration.update(&patch).unwrap());
        assert_eq!(detection(&configuration).threshold, 0.7);
        assert_eq!(detection(&configuration).silence_duration_ms, 300);
        assert_eq!(configuration.settings().instructions.as_deref(), Some("Sing."));
        assert_eq!(configuration.settings().revision, 2);
        let written = serde_json::to_value(configuration.session()).unwrap();
        assert_eq!(written["audio"]["input"]["turn_detection"]["interrupt_response"], true);
        assert!(!configuration.update(&json!({"type": "realtime", "instructions": "Sing."})).unwrap());
        assert_eq!(configuration.settings().revision, 2, "nothing changed");
    }

    /// `null` turns a thing off, `""` clears the instructions, another `type` forgets the settings of the first.
    #[test]
    fn null_clears_and_a_new_type_starts_anew() {
        let mut configuration = configuration();
        let semantic = json!({"type": "realtime", "audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}}});
        configuration.update(&semantic).unwrap();
        assert_eq!(detection(&configuration).silence_duration_ms, 1000);
        let written = serde_json::to_value(configuration.session()).unwrap();
        assert_eq!(written["audio"]["input"]["turn_detection"].get("threshold"), None);
        configuration.update(&json!({"type": "realtime", "instructions": "Sing."})).unwrap();
        let clear = json!({"type": "realtime", "instructions": "", "audio": {"input": {"turn_detection": null, "transcription": null}}});
        assert!(configuration.update(&clear).unwrap());
        assert_eq!(configuration.settings().turn_detection, None);
        assert_eq!(configuration.settings().instructions, None);
        assert_eq!(configuration.session().audio.input.transcription, None);
    }

    /// What stock clients send by default is taken: their model's name, tracing, tools, `semantic_vad`.
    #[test]
    fn stock_clients_defaults_are_taken() {
        let mut configuration = configuration();
        let agents = json!({
            "type": "realtime", "model": "gpt-realtime", "output_modalities": ["audio"], "tool_choice": "auto",
            "tools": [{"type": "function", "name": "time", "description": "", "parameters": {"type": "object"}}],
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24000}, "noise_reduction": null,
                    "transcription": {"model": "gpt-4o-mini-transcribe"}, "turn_detection": {"type": "semantic_vad"}
                },
                "output": {"format": {"type": "audio/pcm", "rate": 24000}, "speed": 1}
            },
            "avatar": {"unknown": "extra"}
        });
        configuration.update(&agents).unwrap();
        assert_eq!(configuration.session().model, "visavis");
        configuration.update(&json!({"type": "realtime", "tracing": "auto"})).unwrap();
        assert_eq!(configuration.session().tools.len(), 1);
    }

    /// A refusal names the field and the choices, and changes nothing.
    #[test]
    fn a_bad_patch_is_refused_whole() {
        let cases = [
            (json!({"instructions": "x"}), "session.type"),
            (json!({"type": "transcription"}), "session.type"),
            (json!({"type": "realtime", "instructions": 7}), "session.instructions"),
            (
                json!({"type": "realtime", "instructions": "x", "output_modalities": ["text"]}),
                "session.output_modalities",
            ),
            (json!({"type": "realtime", "instructions": "x", "max_output_tokens": 0}), "session.max_output_tokens"),
            (json!({"type": "realtime", "max_output_tokens": "lots"}), "session.max_output_tokens"),
            (json!({"type": "realtime", "audio": {"output": {"voice": "marin"}}}), "session.audio.output.voice"),
            (json!({"type": "realtime", "audio": {"output": {"speed": 3}}}), "session.audio.output.speed"),
            (
                json!({"type": "realtime", "audio": {"input": {"format": {"type": "audio/pcm", "rate": 16000}}}}),
                "session.audio.input.format.rate",
            ),
            (
                json!({"type": "realtime", "audio": {"input": {"turn_detection": {"threshold": 2}}}}),
                "session.audio.input.turn_detection.threshold",
            ),
            (
                json!({"type": "realtime", "audio": {"input": {"turn_detection": {"type": "magic"}}}}),
                "session.audio.input.turn_detection.type",
            ),
            (json!({"type": "realtime", "include": ["visavis.weather"]}), "session.include"),
        ];
        for (patch, param) in cases {
            let mut configuration = configuration();
            let before = configuration.session().clone();
            let refusal = configuration.update(&patch).unwrap_err();
            assert_eq!(refusal.param.as_deref(), Some(param), "{patch}: {refusal}");
            assert_eq!(configuration.session(), &before);
            assert_eq!(configuration.settings().revision, 0);
        }
    }

    /// The person is chosen by the voice, by name or by object, until it has been heard.
    #[test]
    fn the_voice_is_the_person_until_it_has_spoken() {
        let mut configuration = configuration();
        let voice = |name: &str| json!({"type": "realtime", "audio": {"output": {"voice": name}}});
        let refusal = configuration.update(&voice("marin")).unwrap_err();
        assert!(refusal.message.contains("'theo', 'maya'"), "{refusal}");
        configuration.update(&json!({"type": "realtime", "audio": {"output": {"voice": {"id": "maya"}}}})).unwrap();
        assert_eq!(configuration.settings().person, "maya");
        configuration.fix_voice();
        assert_eq!(configuration.update(&voice("theo")).unwrap_err().code, "cannot_update_voice");
        assert!(!configuration.update(&voice("maya")).unwrap(), "the same voice again is no change");
    }

    /// Extensions reach the rooms only when asked for.
    #[test]
    fn extensions_are_asked_for() {
        let mut configuration = configuration();
        assert_eq!(configuration.settings().include, Include::default());
        configuration.update(&json!({"type": "realtime", "include": ["visavis.captions", "visavis.trace"]})).unwrap();
        assert_eq!(configuration.settings().include, Include { state: false, captions: true, trace: true });
    }

    /// A patch of nulls and odd kinds is refused or taken, never a panic: the path of the error is within the session.
    #[test]
    fn odd_patches_are_survived() {
        for patch in
            [json!({"type": "realtime", "audio": null}), json!({"type": "realtime", "audio": []}), json!([]), json!(7)]
        {
            assert!(configuration().update(&patch).is_err(), "{patch}");
        }
    }
}
