//! core: the Realtime protocol as golden scores, and what holds in whatever order the rooms speak

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;
use serde_json::{Value, json};
use visavis::agent::flow::*;
use visavis::agent::transport::realtime::{Input, Link, Output, Protocol, Setup};
use visavis::media::time::{MediaTime, Samples};
use visavis::wire::realtime::{ServerBody, ServerEvent};

fn setup(link: Link) -> Setup {
    Setup {
        link,
        seed: 1,
        model: "visavis".to_owned(),
        transcription_model: "whisper-tiny.en".to_owned(),
        person: "theo".to_owned(),
        persons: vec!["theo".to_owned(), "maya".to_owned()],
        turn_detection: Default::default(),
        expires_at_unix_s: 0,
    }
}

// ---------------------------------------------------------------------------------------------------- the score

/// A session that writes down what comes out, one line per output, and checks the laws that hold for every event.
struct Score {
    protocol: Protocol,
    lines: Vec<String>,
    names: HashMap<String, String>,
    laws: Laws,
}

impl Score {
    fn new(link: Link) -> Self {
        let protocol = Protocol::new(setup(link), None).unwrap();
        let mut score = Self { protocol, lines: Vec::new(), names: HashMap::new(), laws: Laws::default() };
        score.drain();
        assert_eq!(score.take(), "session.created");
        score
    }

    fn input(&mut self, input: Input<'_>) -> &mut Self {
        self.protocol.handle(input);
        self.drain();
        self
    }

    fn client(&mut self, event: Value) -> &mut Self {
        self.input(Input::Client(&event.to_string()))
    }

    fn notice(&mut self, turn: Option<u64>, fact: Fact) -> &mut Self {
        self.input(Input::Notice(Notice { turn: turn.map(TurnId), fact }))
    }

    fn floor(&mut self, now: Option<u64>, next: Option<u64>) -> &mut Self {
        self.input(Input::Floor(floor(now, next)))
    }

    /// The id that stands for a name of the score.
    fn id(&self, name: &str) -> String {
        self.names.iter().find(|(_, known)| *known == name).map(|(id, _)| id.clone()).unwrap()
    }

    /// What came out since the last take.
    fn take(&mut self) -> String {
        std::mem::take(&mut self.lines).join("\n")
    }

    fn expect(&mut self, score: &str) -> &mut Self {
        let wanted: Vec<&str> = score.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        assert_eq!(self.take(), wanted.join("\n"));
        self
    }

    fn drain(&mut self) {
        while let Some(output) = self.protocol.poll() {
            let line = match output {
                Output::Event(text) => {
                    self.laws.check(&text);
                    self.line(&serde_json::from_str(&text).unwrap())
                }
                Output::Ask { ask, .. } => format!("ask {}", self.named(&format!("{ask:?}"))),
                Output::Mic(mic) => format!("mic {mic:?}"),
                Output::Sound(bytes) => format!("sound of {} bytes", bytes.len()),
                Output::Settings(settings) => format!("settings {}", settings.revision),
            };
            self.lines.push(line);
        }
    }

    fn line(&mut self, event: &Value) -> String {
        let mut line = event["type"].as_str().unwrap().to_owned();
        for key in ["previous_item_id", "item_id", "response_id"] {
            if let Some(id) = event[key].as_str() {
                let name = self.name(id);
                line += &format!(" {}{name}", if key == "previous_item_id" { "after " } else { "" });
            }
        }
        for key in [
            "audio_start_ms",
            "audio_end_ms",
            "delta",
            "transcript",
            "state",
            "words",
            "segments",
            "played_ms",
            "underrun_ms",
        ] {
            if !event[key].is_null() {
                line += &format!(" {}", event[key]);
            }
        }
        if let Some(id) = event["item"]["id"].as_str() {
            let said = &event["item"]["content"][0];
            let said = if said["text"].is_null() { &said["transcript"] } else { &said["text"] };
            line += &format!(" [{} {} {said}]", self.name(id), event["item"]["status"].as_str().unwrap());
        }
        if let Some(id) = event["response"]["id"].as_str() {
            let response = &event["response"];
            line += &format!(" {} {}", self.name(id), response["status"].as_str().unwrap());
            for detail in [
                &response["status_details"]["reason"],
                &response["status_details"]["error"]["message"],
                &response["metadata"],
            ] {
                if !detail.is_null() {
                    line += &format!(" {detail}");
                }
            }
        }
        if let Some(code) = event["error"]["code"].as_str() {
            line += &format!(" {code} {} {}", event["error"]["param"], event["error"]["event_id"]);
        }
        line
    }

    fn name(&mut self, id: &str) -> String {
        let kind = id.split('_').next().unwrap().to_owned();
        let count = self.names.values().filter(|name| name.starts_with(&kind)).count();
        self.names.entry(id.to_owned()).or_insert_with(|| format!("{kind}{}", count + 1)).clone()
    }

    fn named(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (id, name)| text.replace(id, name))
    }
}

fn floor(now: Option<u64>, next: Option<u64>) -> Floor {
    Floor { now: now.map(TurnId), next: next.map(TurnId), ..Floor::default() }
}

fn text(delta: &str) -> Fact {
    Fact::ReplyText { delta: delta.to_owned() }
}

fn done(outcome: Outcome) -> Fact {
    Fact::ReplyDone { outcome, usage: Usage { input_tokens: 12, output_tokens: 3 } }
}

fn ms(ms: u64) -> Samples<16_000> {
    Samples::from_ms(ms)
}

fn user(turn: u64) -> UserTurn {
    UserTurn(turn)
}

/// The user says something and stops.
fn spoken_turn(score: &mut Score) {
    score
        .notice(None, Fact::SpeechStarted { user: user(0), at: ms(480) })
        .notice(None, Fact::Transcript { user: user(0), text: "what is".to_owned(), stable: 1 })
        .notice(None, Fact::SpeechStopped { user: user(0), at: ms(1480) })
        .notice(None, Fact::Committed { user: user(0) });
}

// ---------------------------------------------------------------------------------------------------- golden scores

/// A spoken turn over WebRTC, from the first sound of the user to the last of the agent. The reply was begun behind the gate.
#[test]
fn a_spoken_turn() {
    let mut score = Score::new(Link::WebRtc);
    score
        .floor(None, Some(1))
        .notice(Some(1), Fact::ReplyStarted { asked: None })
        .notice(Some(1), text("I am"))
        .expect("");
    spoken_turn(&mut score);
    score
        .expect(
            r#"input_audio_buffer.speech_started item1 480
               conversation.item.input_audio_transcription.delta item1 "what"
               input_audio_buffer.speech_stopped item1 1480
               input_audio_buffer.committed item1
               conversation.item.added [item1 completed null]
               conversation.item.done [item1 completed null]"#,
        )
        .floor(Some(1), None)
        .expect(
            r#"response.created resp1 in_progress
               response.output_item.added resp1 [item2 in_progress null]
               conversation.item.added after item1 [item2 in_progress null]
               response.content_part.added item2 resp1
               response.output_audio_transcript.delta item2 resp1 "I am""#,
        )
        .notice(None, Fact::Transcribed { user: user(0), text: "What is it?".to_owned(), heard: ms(1000) })
        .notice(Some(1), text(" Theo."))
        .notice(Some(1), done(Outcome::Completed))
        .notice(Some(1), Fact::SpeechMade)
        .expect(
            r#"conversation.item.input_audio_transcription.completed item1 "What is it?"
               response.output_audio_transcript.delta item2 resp1 " Theo.""#,
        )
        .notice(Some(1), Fact::AudioStarted)
        .expect(
            r#"output_audio_buffer.started resp1
               response.output_audio.done item2 resp1
               response.output_audio_transcript.done item2 resp1 "I am Theo."
               response.content_part.done item2 resp1
               conversation.item.done after item1 [item2 completed "I am Theo."]
               response.output_item.done resp1 [item2 completed "I am Theo."]
               response.done resp1 completed"#,
        )
        .notice(Some(1), Fact::AudioStopped)
        .floor(None, None)
        .expect("output_audio_buffer.stopped resp1");
}

/// The final words continue what was told of them, when they agree.
#[test]
fn the_users_words_are_told_as_they_become_certain() {
    let mut score = Score::new(Link::WebRtc);
    score.notice(None, Fact::Transcript { user: user(0), text: "not yet told".to_owned(), stable: 3 }).expect("");
    spoken_turn(&mut score);
    score.take();
    score
        .notice(None, Fact::Transcript { user: user(0), text: "what is it".to_owned(), stable: 2 })
        .notice(None, Fact::Transcribed { user: user(0), text: "what is it?".to_owned(), heard: ms(1000) })
        .expect(
            r#"conversation.item.input_audio_transcription.delta item1 " is"
               conversation.item.input_audio_transcription.delta item1 " it?"
               conversation.item.input_audio_transcription.completed item1 "what is it?""#,
        )
        .notice(None, Fact::SpeechStarted { user: user(1), at: ms(3000) })
        .notice(None, Fact::Committed { user: user(1) })
        .notice(None, Fact::TranscriptionFailed { user: user(1), message: "gone".to_owned() })
        .expect(
            r#"input_audio_buffer.speech_started item2 3000
               input_audio_buffer.committed after item1 item2
               conversation.item.added after item1 [item2 completed null]
               conversation.item.done after item1 [item2 completed null]
               conversation.item.input_audio_transcription.failed item2 transcription_failed null null"#,
        );
}

fn replying(score: &mut Score) {
    score
        .floor(Some(1), None)
        .notice(Some(1), Fact::ReplyStarted { asked: None })
        .notice(Some(1), text("One two three four."))
        .notice(Some(1), Fact::AudioStarted);
    score.take();
}

/// The user interrupts: what was heard is told before the response is ended, whichever room speaks first.
#[test]
fn an_interruption() {
    for dialogue_first in [true, false] {
        let mut score = Score::new(Link::WebRtc);
        replying(&mut score);
        score.notice(None, Fact::SpeechStarted { user: user(0), at: ms(2000) });
        let cleared = Fact::AudioCleared { played: MediaTime::from_ms(640), words: 2 };
        if dialogue_first {
            score.notice(Some(1), done(Outcome::Interrupted)).floor(None, None).notice(Some(1), cleared);
        } else {
            score.notice(Some(1), cleared).floor(None, None).notice(Some(1), done(Outcome::Interrupted));
        }
        score.expect(
            r#"input_audio_buffer.speech_started item2 2000
               output_audio_buffer.cleared resp1
               conversation.item.truncated item1 640
               response.output_audio.done item1 resp1
               response.output_audio_transcript.done item1 resp1 "One two three four."
               response.content_part.done item1 resp1
               conversation.item.done [item1 incomplete "One two"]
               response.output_item.done resp1 [item1 incomplete "One two"]
               response.done resp1 cancelled "turn_detected""#,
        );
    }
}

/// Everything was generated, and the user interrupts what still plays: the response stays completed, the item is truncated.
#[test]
fn an_interruption_after_the_end_of_generation() {
    let mut score = Score::new(Link::WebRtc);
    replying(&mut score);
    score.notice(Some(1), done(Outcome::Completed)).notice(Some(1), Fact::SpeechMade);
    assert!(score.take().ends_with("response.done resp1 completed"));
    let item = score.id("item1");
    score
        .notice(Some(1), Fact::AudioCleared { played: MediaTime::from_ms(300), words: 1 })
        .notice(Some(1), Fact::AudioStopped)
        .expect("output_audio_buffer.cleared resp1\nconversation.item.truncated item1 300")
        .client(json!({"type": "conversation.item.retrieve", "item_id": item}))
        .notice(None, Fact::Retrieved { entry: Entry::Reply(TurnId(1)), text: None })
        .expect(
            r#"ask Retrieve { entry: Reply(TurnId(1)) }
               conversation.item.retrieved [item1 incomplete "One"]"#,
        );
}

/// Words were told, but cut before the first sound: the client forgets them too.
#[test]
fn an_interruption_before_the_first_sound() {
    let mut score = Score::new(Link::WebRtc);
    score
        .floor(Some(1), None)
        .notice(Some(1), Fact::ReplyStarted { asked: None })
        .notice(Some(1), text("One two"))
        .notice(Some(1), done(Outcome::Interrupted));
    let told = score.take();
    assert!(told.contains("conversation.item.truncated item1 0\nresponse.output_audio.done"), "{told}");
    assert!(told.ends_with("response.done resp1 cancelled \"turn_detected\""), "{told}");
    score.notice(Some(1), Fact::AudioStarted).notice(Some(1), Fact::AudioStopped).expect("");
}

/// A stock client's `interrupt()` sends both commands; the dialogue is asked once, and a second cancel is useless.
#[test]
fn the_client_cancels() {
    let mut score = Score::new(Link::WebRtc);
    replying(&mut score);
    score
        .client(json!({"type": "response.cancel", "event_id": "c1"}))
        .client(json!({"type": "output_audio_buffer.clear"}))
        .expect("ask Cancel")
        .notice(Some(1), done(Outcome::Cancelled))
        .notice(Some(1), Fact::AudioCleared { played: MediaTime::from_ms(200), words: 1 });
    let told = score.take();
    assert!(told.starts_with("output_audio_buffer.cleared resp1\nconversation.item.truncated item1 200\n"), "{told}");
    assert!(told.ends_with("response.done resp1 cancelled \"client_cancelled\""), "{told}");
    score
        .client(json!({"type": "response.cancel", "event_id": "c2"}))
        .client(json!({"type": "output_audio_buffer.clear"}))
        .expect(r#"error response_cancel_not_active null "c2""#);
}

/// `response.create` is answered by name: its metadata comes back, a second one is refused, and what the dialogue refuses names it.
#[test]
fn the_client_asks_for_a_response() {
    let mut score = Score::new(Link::WebRtc);
    score
        .client(json!({"type": "response.create", "event_id": "r1", "response": {"metadata": {"client_event_id": "x"}}}))
        .client(json!({"type": "response.create", "event_id": "r2"}))
        .expect(
            r#"ask Respond(Respond { id: AskId(1), instructions: None, max_output_tokens: None })
               error conversation_already_has_active_response null "r2""#,
        )
        .notice(Some(1), Fact::ReplyStarted { asked: Some(AskId(1)) })
        .expect(r#"response.created resp1 in_progress {"client_event_id":"x"}"#)
        .client(json!({"type": "response.create", "event_id": "r3"}))
        .expect(r#"error conversation_already_has_active_response null "r3""#)
        .notice(Some(1), Fact::Trouble { fault: Fault::Engine, message: "The language model is gone.".to_owned() })
        .notice(Some(1), done(Outcome::Failed))
        .expect(r#"response.done resp1 failed "The language model is gone." {"client_event_id":"x"}"#)
        .client(json!({"type": "response.create", "event_id": "r4", "response": {"instructions": "Sing.", "max_output_tokens": 9}}))
        .notice(None, Fact::ReplyRefused { asked: AskId(2) })
        .expect(
            r#"ask Respond(Respond { id: AskId(2), instructions: Some("Sing."), max_output_tokens: Some(9) })
               error conversation_already_has_active_response null "r4""#,
        )
        .client(json!({"type": "response.create", "event_id": "r5", "response": {"conversation": "none"}}))
        .client(json!({"type": "response.create", "event_id": "r6", "response": {"output_modalities": ["text"]}}))
        .expect(
            r#"error invalid_value "response.conversation" "r5"
               error invalid_value "response.output_modalities" "r6""#,
        );
}

/// A held turn that is dropped leaves no event, and no gap: the next one is told as if it had never been.
#[test]
fn a_dropped_turn_leaves_no_event() {
    let mut score = Score::new(Link::WebRtc);
    score
        .floor(None, Some(1))
        .notice(Some(1), Fact::ReplyStarted { asked: None })
        .notice(Some(1), text("Wrong."))
        .notice(Some(1), Fact::SpeechMade)
        .floor(None, Some(2))
        .notice(Some(1), done(Outcome::Completed))
        .notice(Some(2), Fact::ReplyStarted { asked: None })
        .notice(Some(2), text("Right."))
        .expect("")
        .floor(Some(2), None);
    let told = score.take();
    assert!(told.starts_with("response.created resp1 in_progress"), "{told}");
    assert!(told.contains("Right.") && !told.contains("Wrong."), "{told}");
}

/// Over a WebSocket sound is an event: `response.done` follows the last of it, and the next reply waits for that.
#[test]
fn a_websocket_turn() {
    let mut score = Score::new(Link::WebSocket);
    let sound = [0u8; 960];
    score
        .floor(Some(1), None)
        .notice(Some(1), Fact::ReplyStarted { asked: None })
        .notice(Some(1), text("Hi."))
        .notice(Some(1), done(Outcome::Completed))
        .notice(Some(1), Fact::SpeechMade)
        .notice(Some(1), Fact::AudioStarted)
        .notice(Some(1), Fact::AudioStopped)
        .floor(None, None)
        .floor(Some(2), None)
        .notice(Some(2), Fact::ReplyStarted { asked: None });
    score.take();
    score.input(Input::Sound { turn: TurnId(1), bytes: &sound });
    let delta = score.take();
    assert!(delta.starts_with("response.output_audio.delta item1 resp1 \"AAAA"), "{delta}");
    score.input(Input::SoundEnd { turn: TurnId(1) }).expect(
        r#"response.output_audio.done item1 resp1
           response.output_audio_transcript.done item1 resp1 "Hi."
           response.content_part.done item1 resp1
           conversation.item.done [item1 completed "Hi."]
           response.output_item.done resp1 [item1 completed "Hi."]
           response.done resp1 completed
           response.created resp2 in_progress"#,
    );
    let item = score.id("item1");
    let truncate = |end: u64| json!({"type": "conversation.item.truncate", "event_id": "t", "item_id": item, "content_index": 0, "audio_end_ms": end});
    score.client(truncate(21)).client(truncate(20)).expect(
        r#"error invalid_value "audio_end_ms" "t"
               ask Truncate { turn: TurnId(1), played: 0.020s@24000 }
               conversation.item.truncated item1 20"#,
    );
}

/// The microphone of a WebSocket comes in events; a WebRTC call has a track. Commit wants something to commit.
#[test]
fn the_microphone() {
    let mut score = Score::new(Link::WebSocket);
    score
        .client(json!({"type": "input_audio_buffer.commit", "event_id": "m1"}))
        .client(json!({"type": "input_audio_buffer.append", "audio": "AAA", "event_id": "m2"}))
        .client(json!({"type": "input_audio_buffer.append", "audio": "A".repeat(6400)}))
        .client(json!({"type": "input_audio_buffer.commit"}))
        .client(json!({"type": "input_audio_buffer.clear"}))
        .client(json!({"type": "output_audio_buffer.clear", "event_id": "m3"}))
        .expect(
            r#"error input_audio_buffer_commit_empty null "m1"
               error invalid_value "audio" "m2"
               sound of 4800 bytes
               mic Commit
               mic Clear
               input_audio_buffer.cleared
               error invalid_value "type" "m3""#,
        );
    let mut score = Score::new(Link::WebRtc);
    score
        .client(json!({"type": "input_audio_buffer.append", "audio": "AAAA", "event_id": "m4"}))
        .client(json!({"type": "input_audio_buffer.commit"}))
        .expect("error invalid_value \"type\" \"m4\"\nmic Commit");
}

/// Items: placed, retrieved, deleted, refused; and taken back when the dialogue could not be asked.
#[test]
fn the_conversation() {
    let mut score = Score::new(Link::WebRtc);
    let create = |id: &str, previous: Option<&str>| {
        json!({"type": "conversation.item.create", "event_id": format!("make {id}"), "previous_item_id": previous,
               "item": {"type": "message", "role": "user", "id": id, "content": [{"type": "input_text", "text": id}]}})
    };
    score
        .client(create("a_1", None))
        .client(create("b_1", None))
        .client(create("c_1", Some("root")))
        .client(create("d_1", Some("a_1")))
        .expect(
            r#"ask Item { id: "a_1", place: End, role: User, text: "a_1" }
               conversation.item.added [a1 completed "a_1"]
               conversation.item.done [a1 completed "a_1"]
               ask Item { id: "b_1", place: End, role: User, text: "b_1" }
               conversation.item.added after a1 [b1 completed "b_1"]
               conversation.item.done after a1 [b1 completed "b_1"]
               ask Item { id: "c_1", place: Start, role: User, text: "c_1" }
               conversation.item.added [c1 completed "c_1"]
               conversation.item.done [c1 completed "c_1"]
               ask Item { id: "d_1", place: After(Added("a1")), role: User, text: "d_1" }
               conversation.item.added after a1 [d1 completed "d_1"]
               conversation.item.done after a1 [d1 completed "d_1"]"#,
        )
        .client(create("a_1", None))
        .client(create("e_1", Some("nowhere")))
        .client(json!({"type": "conversation.item.retrieve", "event_id": "x", "item_id": "nowhere"}))
        .client(json!({"type": "conversation.item.delete", "event_id": "y", "item_id": "nowhere"}))
        .client(json!({"type": "conversation.item.truncate", "event_id": "z", "item_id": "a_1", "content_index": 0, "audio_end_ms": 1}))
        .client(json!({"type": "conversation.item.create", "event_id": "i", "item": {"type": "message", "role": "user",
                       "content": [{"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]}}))
        .expect(
            r#"error item_create_duplicate_item_id "item.id" "make a_1"
               error item_create_invalid_previous_item_id "previous_item_id" "make e_1"
               error item_retrieve_invalid_item_id "item_id" "x"
               error item_delete_invalid_item_id "item_id" "y"
               error invalid_value "item_id" "z"
               error invalid_value "item.content" "i""#,
        )
        .client(json!({"type": "conversation.item.delete", "item_id": "a_1"}))
        .client(create("f_1", Some("c_1")))
        .expect(
            r#"ask Delete { entry: Added("a1") }
               conversation.item.deleted a1
               ask Item { id: "f_1", place: After(Added("c1")), role: User, text: "f_1" }
               conversation.item.added after c1 [f1 completed "f_1"]
               conversation.item.done after c1 [f1 completed "f_1"]"#,
        )
        .input(Input::Refused {
            ask: Ask::Item { id: "f_1".into(), place: Place::End, role: Role::User, text: String::new() },
            event_id: Some("make f_1".to_owned()),
        })
        .expect("error server_busy null \"make f_1\"\nconversation.item.deleted f1");
}

/// Settings reach the rooms once per change, extensions only those who ask, and trouble is told as what it is.
#[test]
fn the_session() {
    let mut score = Score::new(Link::WebRtc);
    replying(&mut score);
    let captions = || Fact::Captions {
        words: vec![WordTime { text: "One".to_owned(), start: MediaTime::ZERO, stop: MediaTime::from_ms(250) }],
    };
    let performed = || Fact::Performed { played: MediaTime::from_ms(1_800), underrun: MediaTime::from_ms(40) };
    let trace = || Fact::Trace(Trace { decided_ms: 300.0, ..Trace::default() });
    score
        .notice(Some(1), captions())
        .notice(Some(1), trace())
        .notice(Some(1), performed())
        .notice(None, Fact::State { mood: visavis::agent::flow::Mood::Speaking })
        .expect("")
        .client(json!({"type": "session.update", "event_id": "s1", "session": {"type": "realtime",
                       "include": ["visavis.state", "visavis.captions", "visavis.trace"]}}))
        .client(json!({"type": "session.update", "event_id": "s2", "session": {"type": "realtime", "tracing": "auto"}}))
        .client(json!({"type": "session.update", "event_id": "s3", "session": {"type": "realtime", "audio": {"output": {"voice": "maya"}}}}))
        .client(json!({"type": "session.update", "event_id": "s4", "session": {"instructions": "x"}}))
        .notice(Some(1), captions())
        .notice(Some(1), trace())
        .notice(Some(1), performed())
        .notice(None, Fact::Trouble { fault: Fault::Engine, message: "The recognizer is gone.".to_owned() })
        .expect(
            r#"settings 1
               session.updated
               visavis.state "speaking"
               session.updated
               error cannot_update_voice "session.audio.output.voice" "s3"
               error missing_required_parameter "session.type" "s4"
               visavis.captions item1 resp1 [{"end_ms":250,"start_ms":0,"text":"One"}]
               visavis.trace resp1 {"decided_ms":300.0,"first_sound_ms":0.0,"first_sound_ready_ms":0.0,"first_token_ms":0.0,"transcribed_ms":0.0}
               visavis.playout resp1 1800 40
               error engine_failed null null"#,
        )
        .client(json!({"type": "session.update", "session": {"type": "realtime", "audio": {"input": {"transcription": null}}}}));
    score.take();
    score
        .notice(None, Fact::SpeechStarted { user: user(3), at: ms(1) })
        .notice(None, Fact::Transcript { user: user(3), text: "a b".to_owned(), stable: 2 })
        .expect("input_audio_buffer.speech_started item2 1");
}

/// A call whose session object is bad is refused with the same words as a bad update.
#[test]
fn a_bad_session_object_refuses_the_call() {
    let patch = json!({"type": "realtime", "audio": {"output": {"voice": "nobody"}}});
    let refusal = Protocol::new(setup(Link::WebRtc), Some(&patch)).unwrap_err();
    assert!(refusal.to_string().contains("'theo', 'maya'"), "{refusal}");
    let good = json!({"type": "realtime", "audio": {"output": {"voice": "maya"}}});
    assert_eq!(Protocol::new(setup(Link::WebRtc), Some(&good)).unwrap().settings().person, "maya");
}

// ---------------------------------------------------------------------------------------------------- laws

/// What holds for every session, whatever is sent and in whatever order the rooms speak.
#[derive(Default)]
struct Laws {
    event_ids: HashSet<String>,
    items: HashSet<String>,
    added: HashSet<String>,
    responses: BTreeMap<String, Stage>,
}

#[derive(Default)]
struct Stage {
    /// How far in the order of a response's events.
    reached: usize,
    said: String,
    buffer: Option<&'static str>,
    cancelled: bool,
}

/// The order within one response; deltas may repeat.
const ORDER: [&str; 12] = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
];

impl Laws {
    fn check(&mut self, text: &str) {
        let event: Value = serde_json::from_str(text).unwrap();
        let read: ServerEvent = serde_json::from_str(text).unwrap();
        assert_ne!(read.body, ServerBody::Unknown, "{text}");
        assert_eq!(serde_json::to_string(&read).unwrap(), text, "what we write, we read");
        let kind = event["type"].as_str().unwrap();
        assert!(self.event_ids.insert(read.event_id), "an event id is used once: {text}");
        assert_eq!(kind == "session.created", self.event_ids.len() == 1, "session.created is first: {text}");

        let item = event["item_id"].as_str().or(event["item"]["id"].as_str());
        let announces = [
            "input_audio_buffer.speech_started",
            "input_audio_buffer.committed",
            "conversation.item.added",
            "response.output_item.added",
        ];
        if let Some(item) = item {
            if announces.contains(&kind) {
                self.items.insert(item.to_owned());
            }
            assert!(self.items.contains(item), "an item is announced before it is used: {text}");
            if kind == "conversation.item.added" {
                assert!(self.added.insert(item.to_owned()), "an item is added once: {text}");
            }
        }
        if let Some(previous) = event["previous_item_id"].as_str() {
            assert!(self.added.contains(previous), "an item follows one that was added: {text}");
        }
        self.response(kind, &event, text);
    }

    fn response(&mut self, kind: &str, event: &Value, text: &str) {
        if kind == "response.created" {
            assert!(
                self.responses.values().all(|stage| stage.reached == ORDER.len() - 1),
                "one response at a time: {text}"
            );
            let id = event["response"]["id"].as_str().unwrap();
            assert!(self.responses.insert(id.to_owned(), Stage::default()).is_none(), "{text}");
            return;
        }
        let Some(id) = event["response_id"].as_str().or(event["response"]["id"].as_str()) else { return };
        let stage =
            self.responses.get_mut(id).unwrap_or_else(|| panic!("a response is created before it is used: {text}"));
        let is_delta = |at: usize| ORDER[at].ends_with(".delta");
        if let Some(at) = ORDER.iter().position(|name| *name == kind) {
            // The conversation's events stand between and name no response.
            let back = is_delta(at) && is_delta(stage.reached);
            assert!(at > stage.reached || back, "{kind} after {}: {text}", ORDER[stage.reached]);
            stage.reached = at;
        }
        match kind {
            "response.output_audio_transcript.delta" => stage.said += event["delta"].as_str().unwrap(),
            "response.output_audio_transcript.done" => assert_eq!(event["transcript"], *stage.said, "{text}"),
            "response.done" => {
                assert!(event["response"]["usage"]["total_tokens"].is_u64(), "usage is always told: {text}");
                assert_ne!(event["response"]["status"], "in_progress", "{text}");
                stage.cancelled = event["response"]["status"] == "cancelled";
            }
            "output_audio_buffer.started" => assert_eq!(stage.buffer.replace("started"), None, "{text}"),
            "output_audio_buffer.stopped" => {
                assert_eq!(stage.buffer.replace("stopped"), Some("started"), "{text}");
                assert_eq!(stage.reached, ORDER.len() - 1, "stopped follows done: {text}");
            }
            "output_audio_buffer.cleared" => {
                assert_eq!(stage.buffer.replace("cleared"), Some("started"), "{text}");
                assert!(!stage.cancelled, "what was heard is told before the cancelled response is ended: {text}");
            }
            _ => {}
        }
    }

    fn assert_all_done(&self) {
        assert!(self.responses.values().all(|stage| stage.reached == ORDER.len() - 1), "a response was left open");
    }
}

// ---------------------------------------------------------------------------------------------------- properties

/// How one turn of the agent goes.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// Held, and never given the floor.
    Dropped,
    /// Spoken to the end.
    Spoken,
    /// Cut after its first sound.
    Cut,
    /// Cut before it.
    Silenced,
    /// The model failed before the first word.
    Mute,
    /// The voice failed before the first sound.
    Voiceless,
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        Just(Fate::Dropped),
        Just(Fate::Spoken),
        Just(Fate::Cut),
        Just(Fate::Silenced),
        Just(Fate::Mute),
        Just(Fate::Voiceless)
    ]
}

#[derive(Debug)]
enum Step {
    Tell(Option<u64>, Fact),
    Move(Floor),
    Sound(u64),
    SoundEnd(u64),
}

/// What each room publishes, in its own order, when the turns go as `fates` says. Waits name the turn whose `ReplyStarted`
/// must have been published before: what causes nothing cannot be late.
fn rooms(fates: &[Fate], link: Link) -> Vec<Vec<Step>> {
    let (mut dialogue, mut voice, mut stage, mut hearing, mut wire) = (vec![], vec![], vec![], vec![], vec![]);
    for (turn, fate) in (1..).zip(fates) {
        let heard = user(turn);
        hearing.extend([
            Step::Tell(None, Fact::SpeechStarted { user: heard, at: ms(turn * 1000) }),
            Step::Tell(None, Fact::Transcript { user: heard, text: format!("heard {turn} maybe"), stable: 2 }),
            Step::Tell(None, Fact::SpeechStopped { user: heard, at: ms(turn * 1000 + 500) }),
            Step::Tell(None, Fact::Committed { user: heard }),
            Step::Tell(None, Fact::Transcribed { user: heard, text: format!("heard {turn}"), heard: ms(500) }),
        ]);
        dialogue.push(Step::Move(floor(None, Some(turn))));
        dialogue.push(Step::Tell(Some(turn), Fact::ReplyStarted { asked: None }));
        if !matches!(fate, Fate::Mute) {
            dialogue.push(Step::Tell(Some(turn), text(&format!("turn-{turn}"))));
            dialogue.push(Step::Tell(Some(turn), text(" two three")));
        }
        if !matches!(fate, Fate::Dropped) {
            dialogue.push(Step::Move(floor(Some(turn), None)));
        }
        let outcome = match fate {
            Fate::Dropped | Fate::Spoken | Fate::Voiceless => Outcome::Completed,
            Fate::Cut | Fate::Silenced => Outcome::Interrupted,
            Fate::Mute => Outcome::Failed,
        };
        dialogue.push(Step::Tell(Some(turn), done(outcome)));
        dialogue.push(Step::Move(floor(None, None)));
        match fate {
            Fate::Spoken | Fate::Cut => {
                let played = MediaTime::from_ms(200);
                let end = match fate {
                    Fate::Spoken => Fact::AudioStopped,
                    _ => Fact::AudioCleared { played, words: 1 },
                };
                voice.push(Step::Tell(Some(turn), Fact::SpeechMade));
                stage.extend([Step::Tell(Some(turn), Fact::AudioStarted), Step::Tell(Some(turn), end)]);
                if link == Link::WebSocket {
                    wire.extend([Step::Sound(turn), Step::Sound(turn), Step::SoundEnd(turn)]);
                }
            }
            Fate::Voiceless => voice
                .push(Step::Tell(Some(turn), Fact::Trouble { fault: Fault::Engine, message: "no voice".to_owned() })),
            Fate::Dropped | Fate::Silenced | Fate::Mute => {}
        }
    }
    vec![dialogue, voice, stage, hearing, wire]
}

/// Whether a step may come now: it follows what causes it.
fn is_caused(step: &Step, begun: &HashSet<u64>, ended: u64) -> bool {
    match step {
        // The stage publishes the end of a turn before the first frame of the next, and plays what was begun.
        Step::Tell(Some(turn), Fact::ReplyStarted { .. }) => *turn <= ended + 1,
        Step::Tell(Some(turn), _) | Step::Sound(turn) | Step::SoundEnd(turn) => begun.contains(turn),
        _ => true,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// In any order in which the rooms may speak: the laws hold, nothing of a dropped turn is told, every response ends.
    #[test]
    fn any_order_of_the_rooms_is_told_in_order(
        fates in prop::collection::vec(fate(), 1..5),
        websocket in any::<bool>(),
        choices in prop::collection::vec(any::<prop::sample::Index>(), 200),
        skipped in prop::collection::vec(any::<bool>(), 64),
    ) {
        let link = if websocket { Link::WebSocket } else { Link::WebRtc };
        let mut score = Score::new(link);
        let mut lanes: Vec<_> = rooms(&fates, link).into_iter().map(|lane| lane.into_iter().peekable()).collect();
        let (mut begun, mut ended) = (HashSet::new(), 0);
        let mut skipped = skipped.into_iter().cycle();
        for choice in choices.iter().cycle() {
            let ready: Vec<usize> = (0..lanes.len())
                .filter(|lane| lanes[*lane].peek().is_some_and(|step| is_caused(step, &begun, ended)))
                .collect();
            if ready.is_empty() {
                break;
            }
            match lanes[ready[choice.index(ready.len())]].next().unwrap() {
                Step::Tell(turn, fact) => {
                    if let (Some(turn), Fact::ReplyStarted { .. }) = (turn, &fact) {
                        begun.insert(turn);
                    }
                    if let (Some(turn), Fact::ReplyDone { .. }) = (turn, &fact) {
                        ended = turn;
                    }
                    score.notice(turn, fact);
                }
                // A latest-wins lane: a floor that is overwritten in time is never seen. One that lasts is.
                Step::Move(floor) if floor.now.is_some() || !skipped.next().unwrap() => drop(score.input(Input::Floor(floor))),
                Step::Move(_) => {}
                Step::Sound(turn) => drop(score.input(Input::Sound { turn: TurnId(turn), bytes: &[0; 960] })),
                Step::SoundEnd(turn) => drop(score.input(Input::SoundEnd { turn: TurnId(turn) })),
            }
        }
        prop_assert!(lanes.iter_mut().all(|lane| lane.peek().is_none()), "the test ran dry");
        score.floor(None, None);
        score.laws.assert_all_done();
        let told = score.take();
        for (turn, fate) in (1..).zip(&fates) {
            let words = told.contains(&format!("turn-{turn}"));
            match fate {
                Fate::Dropped | Fate::Mute => prop_assert!(!words, "{told}"),
                _ => prop_assert!(words, "{told}"),
            }
        }
    }

    /// Whatever a client sends, it is obeyed or refused by an error event; nothing panics, and the laws hold.
    #[test]
    fn any_text_of_a_client_is_survived(events in prop::collection::vec(odd_event(), 1..20), websocket in any::<bool>()) {
        let mut score = Score::new(if websocket { Link::WebSocket } else { Link::WebRtc });
        for event in events {
            score.input(Input::Client(&event));
            let answered = !score.take().is_empty();
            prop_assert!(answered || event.contains("output_audio_buffer.clear") || event.contains("cancel"), "unanswered: {event}");
        }
    }
}

/// JSON of any shape, some of it nearly an event.
fn odd_event() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z_.\u{0}é]{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "realtime",
            "server_vad",
            "message",
            "user",
            "input_text",
            "none",
            "root",
            "inf",
            "a"
        ])
        .prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "type",
        "event_id",
        "session",
        "audio",
        "item",
        "item_id",
        "input",
        "output",
        "turn_detection",
        "threshold",
        "voice",
        "role",
        "content",
        "text",
        "response",
        "conversation",
        "metadata",
        "content_index",
        "audio_end_ms",
        "previous_item_id",
        "id",
        "include",
    ]);
    let value = leaf.prop_recursive(4, 24, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    });
    let types: Vec<&str> = visavis::wire::realtime::ClientBody::TYPES.iter().map(|(name, _)| *name).collect();
    let nearly = (prop::sample::select(types), prop::collection::vec(value.clone(), 8)).prop_map(|(kind, values)| {
        let mut event = json!({ "type": kind });
        let fields = ["event_id", "session", "audio", "item", "item_id", "response", "content_index", "audio_end_ms"];
        for (field, value) in fields.iter().zip(values) {
            event[*field] = value;
        }
        if let Some(session) = event["session"].as_object_mut() {
            session.insert("type".to_owned(), "realtime".into());
        }
        event.to_string()
    });
    prop_oneof![".{0,40}", value.prop_map(|value| value.to_string()), nearly]
}
