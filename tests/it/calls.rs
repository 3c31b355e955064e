//! io: calls with scripted engines: what a clumsy client is told, what is left of a call, what a line does with paused and held turns

use std::time::Duration;

use serde_json::json;
use tokio::sync::{mpsc, watch};
use visavis::agent::flow::*;
use visavis::agent::{stage, voice};
use visavis::engine::scripted::tts::Script;
use visavis::engine::tts::TtsEngine;
use visavis::load::Caller;
use visavis::metrics::{LaneName, Metrics};
use visavis::runtime::{clock, lane};

use crate::kit::house::Running;
use crate::kit::speech::clip;
use crate::kit::talk::{SOON, call, greeting, utterance};
use crate::tts_door::serve;

async fn settled(house: &Running) {
    for _ in 0..250 {
        if house.tasks.alive() == 0 && house.desk.taken() == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{} tasks and {} permits are left", house.tasks.alive(), house.desk.taken());
}

/// A client that sends what it should not gets errors that name its event, and the call goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clumsy_client_is_told() {
    let house = Running::scripted(|_| {}).await;
    let mut caller = call(&house).await;
    for event in
        [json!({"type": "no.such.event", "event_id": "e1"}), json!({"type": "response.cancel", "event_id": "e1"})]
    {
        caller.send(&event).await.unwrap();
        let error = caller.event("error", SOON).await.unwrap();
        assert_eq!(error.value["error"]["event_id"], "e1");
    }
    greeting(&mut caller).await;
    caller.close().await.unwrap();
}

/// A reply that ends with the person's goodbye is heard to its end, and then the call is over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_goodbye_ends_the_call() {
    let house =
        Running::scripted(|config| config.scripted.replies = vec!["It was nice to talk. Goodbye!".into()]).await;
    let mut caller = call(&house).await;
    caller.say(&utterance(&clip("cards-001.wav"))).await.unwrap();
    caller.event("output_audio_buffer.stopped", SOON).await.unwrap();
    caller.ended(SOON).await.unwrap();
    settled(&house).await;
}

/// Two hundred calls come and go, and leave no task, socket, permit or session behind. The growth of memory is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_calls_leave_nothing() {
    let house = Running::scripted(|_| {}).await;
    let mut memory = vec![];
    let mut files = None;
    for n in 0..200 {
        let mut caller = Caller::join(&reqwest::Client::new(), &house.caller()).await.unwrap();
        caller.connected(SOON).await.unwrap();
        match n % 3 {
            0 => drop(caller.hang_up().await.unwrap()),
            _ => drop(caller.close().await.unwrap()),
        }
        settled(&house).await;
        if n >= 20 {
            memory.push(resident_kib());
            files.get_or_insert_with(open_files);
        }
    }
    assert_eq!(house.metrics.sessions_active(), 0);
    assert!(house.calls.ids().is_empty());
    let grown = open_files() as i64 - files.unwrap_or_default() as i64;
    assert!(grown <= 4, "{grown} more files are open than after the first calls");
    let (first, last) = (memory[..30].iter().sum::<u64>() / 30, memory[memory.len() - 30..].iter().sum::<u64>() / 30);
    println!(
        "RSS {first} KiB after 20 calls, {last} KiB after 200: {:.1} KiB a call",
        (last as f64 - first as f64) / 150.0
    );
}

/// How many frames of a turn leave within `ms`.
async fn frames(heard: &mut lane::Shed<Sound>, ms: u64) -> usize {
    tokio::time::sleep(Duration::from_millis(ms)).await;
    let mut of_turn = 0;
    while let Some(sound) = heard.try_recv() {
        of_turn += usize::from(matches!(sound, Sound::Frame { turn: Some(_), .. }));
    }
    of_turn
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn resident_kib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or_default() * 4
}

/// A held turn goes through voice and stage and is heard by nobody until it gets the floor, and then at once; a paused one
/// stands still and goes on. Real rooms, a scripted engine, the floor in the test's hand.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn held_and_paused_turns_go_through_the_line() {
    let metrics = Metrics::new();
    let script = Script { first_sound_after: Duration::ZERO, times_real_time: 0.0 };
    let engine = serve(TtsEngine::new(script, 2), None).await;
    let settings = voice::tts::TtsSettings::new(engine, None);
    let (say, say_out) = lane::waiting(4);
    let (recitals, recitals_out) = lane::waiting(2);
    let (script_in, _script) = lane::shedding(LaneName::Script, 16, &metrics);
    let (sound, mut heard) = lane::shedding(LaneName::Sound, 500, &metrics);
    let (floor, floor_out) = watch::channel(Floor { next: Some(TurnId(1)), ..Floor::default() });
    let (notices, mut told) = mpsc::channel(256);
    let (cue, _cue) = watch::channel(None);
    let (progress, played) = watch::channel(Progress::default());
    let speaks = voice::task::Lanes {
        say: say_out,
        speech: recitals,
        script: script_in,
        floor: floor_out.clone(),
        notices: notices.clone(),
    };
    tokio::spawn(voice::task::run(settings, metrics.clone(), speaks));
    let performs = stage::Lanes { recitals: recitals_out, floor: floor_out, sound, cue, progress, notices };
    tokio::spawn(stage::run(performs, clock::now(), 15, metrics.clone()));

    let (words, spoken) = lane::waiting(64);
    let voice = VoiceChoice { voice: "any".into(), speed: 1.0 };
    say.send(Utterance { turn: TurnId(1), voice, words: spoken }).await.unwrap();
    for word in "nobody hears me before it is my turn to speak".split(' ') {
        words.send(Say::Word(word.into())).await.unwrap();
    }
    words.send(Say::End).await.unwrap();
    while told.recv().await.unwrap().fact != Fact::SpeechMade {}
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(frames(&mut heard, 0).await, 0, "held");
    assert!(played.borrow().turns.is_empty());
    let now = |level| Floor { now: Some(TurnId(1)), next: None, level, mood: Mood::Speaking };
    floor.send_replace(now(Level::Full));
    let before = frames(&mut heard, 400).await;
    assert!(before > 5, "its sound was there: {before} frames in 400 ms");
    floor.send_replace(now(Level::Paused));
    assert!(frames(&mut heard, 300).await <= 2, "one fading, one in flight");
    assert_eq!(frames(&mut heard, 300).await, 0, "paused");
    floor.send_replace(now(Level::Full));
    assert!(frames(&mut heard, 400).await > 5, "it goes on");
    floor.send_replace(now(Level::Cut));
    assert!(frames(&mut heard, 300).await <= 2);
    assert_eq!(frames(&mut heard, 200).await, 0);
    assert_eq!(played.borrow().turns.last().and_then(|p| p.ended), Some(Ended::Cut));
}
