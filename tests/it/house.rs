//! io: a whole server and a native caller: calls come, are talked with, and leave nothing behind

use std::time::Duration;

use serde_json::json;
use visavis::config::voices::Voices;
use visavis::load::{Caller, CallerError, Recording, Utterance};
use visavis::media::sound::rms;

use crate::kit::house::Running;
use crate::kit::speech::clip;

/// Long: machines that test are busy.
const SOON: Duration = Duration::from_secs(60);

fn speech(file: &str) -> Utterance {
    Utterance::encode(&clip(file).samples(), 16_000).expect("16 kHz can be encoded")
}

async fn join(running: &Running) -> Caller {
    let mut caller = Caller::join(&reqwest::Client::new(), &running.caller()).await.expect("there is room");
    caller.connected(SOON).await.expect("loopback connects");
    caller
}

/// The words of the next event of that kind.
async fn words(caller: &mut Caller, kind: &str) -> String {
    let event = caller.event(kind, SOON).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
    event.value["transcript"].as_str().expect("it carries a transcript").to_owned()
}

const HEARD: &str = "conversation.item.input_audio_transcription.completed";
const SAID: &str = "response.output_audio_transcript.done";

/// Waits until no call holds a place, a task or a line.
async fn nothing_is_left(running: &Running) {
    for _ in 0..500 {
        if running.desk.taken() == 0 && running.tasks.alive() == 0 && running.calls.ids().is_empty() {
            assert_eq!(running.metrics.sessions_active(), 0);
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("left: {} places, {} tasks, {:?}", running.desk.taken(), running.tasks.alive(), running.calls.ids());
}

fn heard_something(recording: &Recording) {
    let voiced = recording.tape.sound.chunks(480).filter(|frame| rms(frame) > 0.01).count();
    assert!(voiced > 25, "half a second of speech at least: {voiced} frames");
    assert!(recording.frames.len() > 15, "a second of film at least: {}", recording.frames.len());
}

/// Greeting, a turn of the caller, its answer, hang-up: through every room, with scripts for engines.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_with_scripts() {
    let running = Running::scripted(|config| {
        config.scripted.heard = vec!["what is this".into()];
        config.scripted.replies = vec!["This is a test, and it goes well.".into()];
    })
    .await;
    let mut caller = join(&running).await;
    let line = running.calls.line(&running.calls.ids()[0]).expect("the call is up");
    caller.send(&json!({"type": "response.create"})).await.unwrap();
    let greeting = Voices::built_in().usual().greeting.clone().expect("theo greets");
    assert_eq!(words(&mut caller, SAID).await, greeting);
    caller.event("output_audio_buffer.stopped", SOON).await.unwrap();

    caller.say(&speech("cities-00.wav")).await.unwrap();
    assert_eq!(words(&mut caller, HEARD).await, "what is this");
    assert_eq!(words(&mut caller, SAID).await, "This is a test, and it goes well.");
    caller.event("output_audio_buffer.stopped", SOON).await.unwrap();
    heard_something(&caller.hang_up().await.unwrap());
    nothing_is_left(&running).await;
    assert!(line.upgrade().is_none(), "somebody still holds the call");
    assert_eq!(running.metrics.resampled_seconds(), 0.0);
    running.stop().await.unwrap();
}

/// A full house refuses the next caller with words, and takes them when somebody has left, however they left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_house_refuses_until_somebody_leaves() {
    let running = Running::scripted(|config| {
        config.server.max_sessions = 1;
        config.rtc.idle_timeout = Duration::from_secs(2);
    })
    .await;
    let first = join(&running).await;
    match Caller::join(&reqwest::Client::new(), &running.caller()).await {
        Err(CallerError::Refused { status, retry_after, body }) => {
            assert_eq!((status.as_u16(), retry_after), (503, Some(5)));
            assert!(body.contains("server_full"), "{body}");
        }
        other => panic!("not refused but {:?}", other.map(|_| "admitted")),
    }
    first.vanish().await;
    nothing_is_left(&running).await;
    join(&running).await.close().await.unwrap();
    nothing_is_left(&running).await;
}

/// A server that is told to stop says goodbye to its callers, and is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_house_hangs_up_first() {
    let running = Running::scripted(|_| {}).await;
    let (mut caller, tasks, desk) = (join(&running).await, running.tasks.clone(), running.desk.clone());
    assert!(tasks.alive() > 0);
    let url = running.url.clone();
    running.stop().await.unwrap();
    caller.ended(SOON).await.expect("the caller is told");
    assert_eq!((tasks.alive(), desk.taken()), (0, 0));
    assert!(reqwest::get(format!("{url}/healthz")).await.is_err(), "somebody still listens");
}
