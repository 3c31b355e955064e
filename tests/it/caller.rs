//! data: what the native caller must do, over real sockets, against a server that sends everything back

use std::time::Duration;

use serde_json::json;
use visavis::load::{CallSettings, Caller, CallerError, Utterance};
use visavis::media::sound::rms;
use visavis::rtc::{Gone, Identity};

use crate::kit::echo::{Echo, SOON, shade};

/// Two seconds of a gated tone at 16 kHz, then half a second of silence.
fn beeps() -> Utterance {
    let pcm: Vec<f32> = (0..40_000)
        .map(|n| {
            let t = n as f32 / 16_000.0;
            let on = t < 2.0 && (t * 4.0).fract() < 0.5;
            if on { 0.4 * (t * 440.0 * std::f32::consts::TAU).sin() } else { 0.0 }
        })
        .collect();
    Utterance::encode(&pcm, 16_000).unwrap()
}

fn settings(echo: &Echo) -> CallSettings {
    CallSettings::new(echo.served.http(), Identity::generate().unwrap())
}

/// A whole call: speech comes back at its place in time, events too, the film is whole and joined to the sound, and the
/// hang-up leaves nothing on the port.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_from_joining_to_hanging_up() {
    let echo = Echo::start().await;
    let settings = settings(&echo);
    let mut caller = Caller::join(&reqwest::Client::new(), &settings).await.unwrap();
    assert!(caller.answer().contains("a=msid:visavis visavis-video"));
    caller.connected(SOON).await.unwrap();

    caller.send(&json!({"type": "session.update", "session": {"n": 1}})).await.unwrap();
    let event = caller.event("session.update", SOON).await.unwrap();
    assert_eq!(event.value["session"]["n"], 1);

    let utterance = beeps();
    let mut saying = caller.say(&utterance).await.unwrap();
    let began = saying.began().await.unwrap();
    let speech_ended = saying.speech_ended().await.unwrap();
    let finished = saying.finished().await.unwrap();
    assert!(began < speech_ended && speech_ended < finished);
    caller.until("four seconds of film", SOON, |recording| (recording.frames.len() >= 60).then_some(())).await.unwrap();
    assert_eq!(echo.port.calls(), 1);
    let recording = caller.hang_up().await.unwrap();

    assert!(matches!(&recording.ended, Some((_, Gone::Peer))), "{:?}", recording.ended);
    let sound = &recording.tape.sound;
    let loud: Vec<bool> = sound.chunks(480).map(|frame| rms(frame) > 0.05).collect();
    let seconds = loud.iter().filter(|loud| **loud).count() as f32 / 50.0;
    assert!((0.9..1.3).contains(&seconds), "a second of beeps, {seconds} heard: {loud:?}");

    let mut numbers = vec![];
    recording
        .watch(|frame, picture| {
            let grey = picture.y.iter().map(|&y| f64::from(y)).sum::<f64>() / picture.y.len() as f64;
            let number = (0..15).min_by_key(|&n| (grey - f64::from(shade(n))).abs() as u64).unwrap();
            numbers.push((number, recording.second_of_sound(frame.rtp).unwrap()));
        })
        .unwrap();
    assert!(numbers.len() >= 60);
    for (index, (number, second)) in numbers.iter().enumerate() {
        assert_eq!(*number, index as u64 % 15, "every frame is there, in order");
        // The echo's media clock is the caller's own, and its film starts with the first packet.
        let due = index as f64 / 15.0;
        assert!((second - due).abs() < 0.03, "frame {index} is due at {due} of the sound, joined at {second}");
    }

    for _ in 0..100 {
        if echo.port.calls() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(echo.port.calls(), 0);
    assert_eq!(settings.tasks.alive(), 0);
}

/// A refusal carries its status, its advice and its words.
#[tokio::test]
async fn a_full_server_says_so() {
    let echo = Echo::start().await;
    *echo.full.lock().unwrap() = true;
    match Caller::join(&reqwest::Client::new(), &settings(&echo)).await.err() {
        Some(CallerError::Refused { status, retry_after, body }) => {
            assert_eq!((status.as_u16(), retry_after, body.as_str()), (503, Some(7), "full"));
        }
        other => panic!("{other:?}"),
    }
}

/// Audio alone, ended from the caller's side: noticed by the server at once, and nothing stays behind after many calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_come_and_go_without_a_trace() {
    let echo = Echo::start().await;
    let settings = CallSettings { video: false, ..settings(&echo) };
    let http = reqwest::Client::new();
    for _ in 0..10 {
        let mut caller = Caller::join(&http, &settings).await.unwrap();
        caller.connected(SOON).await.unwrap();
        let recording = caller.close().await.unwrap();
        assert!(matches!(recording.ended, Some((_, Gone::Us))));
        for _ in 0..200 {
            if echo.port.calls() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!((echo.port.calls(), settings.tasks.alive()), (0, 0));
    }
}
