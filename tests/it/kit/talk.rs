//! io: what a caller does in tests: join, listen to the greeting, say a recording, and look where in the sound things fell

use std::time::Duration;

use serde_json::{Value, json};
use visavis::load::{Caller, EventNote, Recording, Utterance};

use super::house::Running;
use super::speech::Clip;

/// Long enough for a busy machine; nothing that is well takes as long.
pub const SOON: Duration = Duration::from_secs(40);

/// A caller whose call is up and who has said what our page says: who, how, and what to be told.
pub async fn call(server: &Running) -> Caller {
    let mut caller = Caller::join(&reqwest::Client::new(), &server.caller()).await.unwrap();
    caller.connected(SOON).await.unwrap();
    caller.event("session.created", SOON).await.unwrap();
    let session = json!({
        "type": "realtime",
        "audio": { "input": { "turn_detection": { "type": "server_vad", "silence_duration_ms": 300 } } },
        "include": ["visavis.state", "visavis.captions", "visavis.trace"],
    });
    caller.send(&json!({ "type": "session.update", "session": session })).await.unwrap();
    caller.event("session.updated", SOON).await.unwrap();
    caller
}

/// Has the agent greet, and waits until it has.
pub async fn greeting(caller: &mut Caller) {
    caller.send(&json!({ "type": "response.create" })).await.unwrap();
    caller.event("output_audio_buffer.started", SOON).await.unwrap();
    caller.event("output_audio_buffer.stopped", SOON).await.unwrap();
}

pub fn utterance(clip: &Clip) -> Utterance {
    Utterance::encode(&clip.samples(), 16_000).unwrap()
}

/// Says `clip` and waits until the agent has answered it. Gives what it was understood as.
pub async fn say(caller: &mut Caller, clip: &Clip) -> String {
    caller.say(&utterance(clip)).await.unwrap();
    let heard = caller.event("conversation.item.input_audio_transcription.completed", SOON).await.unwrap();
    caller.event("output_audio_buffer.started", SOON).await.unwrap();
    caller.event("output_audio_buffer.stopped", SOON).await.unwrap();
    heard.value["transcript"].as_str().unwrap_or_default().to_owned()
}

/// Where in the sound of `recording` an event falls, in seconds: the end of what had arrived by then.
pub fn second_of(recording: &Recording, event: &EventNote) -> f64 {
    let before = recording.tape.packets.iter().take_while(|packet| packet.arrival <= event.arrival).last();
    before.map_or(0.0, |packet| packet.position.as_secs_f64())
}

/// The words that the agent was heard to say between two events, by its captions.
pub fn captions(events: &[EventNote]) -> Vec<String> {
    events
        .iter()
        .filter(|event| event.kind() == "visavis.captions")
        .flat_map(|event| event.value["words"].as_array().cloned().unwrap_or_default())
        .filter_map(|word: Value| word["text"].as_str().map(str::to_owned))
        .collect()
}
