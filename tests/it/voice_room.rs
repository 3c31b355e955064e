//! task: the voice room between fake neighbours, over real sockets to a scripted engine

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use visavis::agent::flow::{Fact, Fault, Floor, Level, Notice, Recital, Say, Speech, TurnId, Utterance, VoiceChoice};
use visavis::agent::voice::task::{Lanes, NoticesFull, SCRIPT_DEPTH, run};
use visavis::agent::voice::tts::TtsSettings;
use visavis::engine::scripted::tts::Script;
use visavis::engine::serve::access::Token;
use visavis::engine::tts::TtsEngine;
use visavis::media::time::MediaTime;
use visavis::metrics::{LaneName, Metrics};
use visavis::runtime::lane::{self, Shed};

use crate::tts_door::serve;

const AT_ONCE: Script = Script { first_sound_after: Duration::ZERO, times_real_time: 0.0 };

struct Around {
    say: mpsc::Sender<Utterance>,
    speech: mpsc::Receiver<Recital>,
    script: Shed<Arc<Speech>>,
    floor: watch::Sender<Floor>,
    notices: mpsc::Receiver<Notice>,
    metrics: Metrics,
    room: tokio::task::JoinHandle<Result<(), NoticesFull>>,
}

fn around(settings: TtsSettings) -> Around {
    let metrics = Metrics::new();
    let (say, say_rx) = lane::waiting(4);
    let (speech_tx, speech) = lane::waiting(2);
    let (script_tx, script) = lane::shedding(LaneName::Script, SCRIPT_DEPTH, &metrics);
    let (floor, floor_rx) = watch::channel(Floor::default());
    let (notices_tx, notices) = lane::waiting(16);
    let lanes = Lanes { say: say_rx, speech: speech_tx, script: script_tx, floor: floor_rx, notices: notices_tx };
    let room = tokio::spawn(run(settings, metrics.clone(), lanes));
    Around { say, speech, script, floor, notices, metrics, room }
}

fn now(turn: u64) -> Floor {
    Floor { now: Some(TurnId(turn)), ..Floor::default() }
}

async fn utter(around: &Around, turn: u64, text: &str) -> mpsc::Sender<Say> {
    let (tx, words) = lane::waiting(512);
    let voice = VoiceChoice { voice: "any".into(), speed: 1.0 };
    around.say.send(Utterance { turn: TurnId(turn), voice, words }).await.unwrap();
    for word in text.split_whitespace() {
        tx.send(Say::Word(word.into())).await.unwrap();
    }
    tx
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future).await.expect("within 20 s")
}

async fn all_of(mut recital: Recital) -> Vec<Arc<Speech>> {
    let mut pieces = vec![];
    while let Some(piece) = within(recital.speech.recv()).await {
        pieces.push(piece);
    }
    pieces
}

/// A turn comes out as contiguous pieces, with every shown word once, also those that are only shown; the face gets the
/// same pieces; nothing was resampled; and the room ends when its lane has hung up.
#[tokio::test]
async fn a_turn_becomes_speech() {
    let base = serve(TtsEngine::new(AT_ONCE, 2), None).await;
    let mut around = around(TtsSettings::new(base, None));
    around.floor.send(now(1)).unwrap();
    let words = utter(&around, 1, "**Hello,** my friend 😀 at 10:30").await;
    words.send(Say::Boundary).await.unwrap();
    words.send(Say::Word("Bye!".into())).await.unwrap();
    words.send(Say::End).await.unwrap();
    drop(words);

    let recital = within(around.speech.recv()).await.unwrap();
    assert_eq!(recital.turn, TurnId(1));
    let pieces = all_of(recital).await;
    let mut at = MediaTime::ZERO;
    for piece in &pieces {
        assert_eq!((piece.turn, piece.at), (TurnId(1), at));
        at += piece.pcm.len();
    }
    assert!(pieces.last().unwrap().end && pieces.iter().filter(|piece| piece.end).count() == 1);
    let shown: Vec<&str> = pieces.iter().flat_map(|piece| &piece.words).map(|word| word.text.as_str()).collect();
    assert_eq!(shown, ["**Hello,**", "my", "friend", "😀", "at", "10:30", "Bye!"]);
    assert!(pieces.iter().flat_map(|piece| &piece.phones).count() >= 20);
    for piece in pieces.iter().filter(|piece| !piece.end) {
        let stop = piece.at + piece.pcm.len();
        assert!(piece.words.iter().all(|word| word.start < stop), "a word comes with its sound, not after it");
    }
    for piece in &pieces {
        assert_eq!(&around.script.try_recv().unwrap(), piece);
    }
    assert_eq!(around.metrics.resampled_seconds(), 0.0);
    assert!(around.metrics.render().contains("visavis_stage_first_answer_seconds_count{stage=\"tts\"} 1"));
    drop(around.say);
    within(around.room).await.unwrap().unwrap();
}

/// A boundary without punctuation is spoken at once: nobody waits for the end of the text.
#[tokio::test]
async fn a_boundary_is_enough_to_begin() {
    let base = serve(TtsEngine::new(AT_ONCE, 2), None).await;
    let mut around = around(TtsSettings::new(base, None));
    around.floor.send(now(1)).unwrap();
    let words = utter(&around, 1, "First things").await;
    words.send(Say::Boundary).await.unwrap();
    let mut recital = within(around.speech.recv()).await.unwrap();
    let piece = within(recital.speech.recv()).await.unwrap();
    assert_eq!(piece.words[0].text, "First");
    assert!(!piece.end);
}

/// A held turn is spoken beside the one that has the floor; the moment the floor drops a turn, its lane hangs up without
/// an end, and the engine has its seat back, however much of it was still to come.
#[tokio::test]
async fn what_the_floor_drops_is_dropped() {
    let slow = Script { first_sound_after: Duration::ZERO, times_real_time: 1.0 };
    let engine = TtsEngine::new(slow, 2);
    let base = serve(engine.clone(), None).await;
    let mut around = around(TtsSettings::new(base, None));
    around.floor.send(Floor { now: Some(TurnId(1)), next: Some(TurnId(2)), ..Floor::default() }).unwrap();
    let _first = utter(&around, 1, &"long ".repeat(200)).await;
    let _second = utter(&around, 2, &"longer ".repeat(200)).await;
    let mut first = within(around.speech.recv()).await.unwrap();
    let mut second = within(around.speech.recv()).await.unwrap();
    assert!(within(first.speech.recv()).await.is_some() && within(second.speech.recv()).await.is_some());

    around.floor.send(now(2)).unwrap();
    assert!(all_of(first).await.iter().all(|piece| !piece.end));
    assert!(within(second.speech.recv()).await.is_some(), "the other turn goes on");
    around.floor.send(Floor { level: Level::Cut, ..now(2) }).unwrap();
    assert!(all_of(second).await.iter().all(|piece| !piece.end));
    within(async {
        while engine.free_seats() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert!(around.notices.try_recv().is_err(), "being interrupted is no failure");
    assert!(!around.room.is_finished());
}

/// Words may come before the floor names their turn, and work of a turn that was overtaken is not begun.
#[tokio::test]
async fn words_may_come_before_their_floor() {
    let base = serve(TtsEngine::new(AT_ONCE, 2), None).await;
    let mut around = around(TtsSettings::new(base, None));
    around.floor.send(now(4)).unwrap();
    let old = utter(&around, 3, "Stale.").await;
    let new = utter(&around, 5, "Early.").await;
    new.send(Say::End).await.unwrap();
    let recital = within(around.speech.recv()).await.unwrap();
    assert_eq!(recital.turn, TurnId(5));
    around.floor.send(now(5)).unwrap();
    assert!(all_of(recital).await.last().unwrap().end);
    assert!(old.is_closed());
}

/// An engine that is away, full, or has another key is a notice of the turn, and the turn's lane hangs up before its end.
#[tokio::test]
async fn failures_are_told_and_end_the_turn() {
    let full = TtsEngine::new(AT_ONCE, 0);
    let locked = serve(TtsEngine::new(AT_ONCE, 1), Some(Token::new("secret"))).await;
    for (base, key, fault) in [
        ("ws://127.0.0.1:1".to_owned(), None, Fault::Engine),
        (serve(full, None).await, None, Fault::Busy),
        (locked.clone(), Some("guess".to_owned()), Fault::Engine),
        ("nonsense".to_owned(), None, Fault::Engine),
    ] {
        let mut around = around(TtsSettings::new(base.clone(), key));
        around.floor.send(now(1)).unwrap();
        let _words = utter(&around, 1, "Hello there.").await;
        let recital = within(around.speech.recv()).await.unwrap();
        assert!(all_of(recital).await.is_empty());
        let notice = within(around.notices.recv()).await.unwrap();
        assert_eq!(notice.turn, Some(TurnId(1)));
        assert!(
            matches!(&notice.fact, Fact::Trouble { fault: f, message } if *f == fault && !message.is_empty()),
            "{base}: {notice:?}"
        );
        assert!(!around.room.is_finished(), "the call goes on");
    }
}

/// The lane of a turn holds ten seconds; the rest waits in the engine, and goes on when the stage takes some.
#[tokio::test]
async fn a_slow_stage_makes_the_engine_wait() {
    let base = serve(TtsEngine::new(AT_ONCE, 1), None).await;
    let mut around = around(TtsSettings::new(base, None));
    around.floor.send(now(1)).unwrap();
    let words = utter(&around, 1, &"abcdefghi ".repeat(100)).await;
    words.send(Say::End).await.unwrap();
    let recital = within(around.speech.recv()).await.unwrap();
    within(async {
        while recital.speech.len() < recital.speech.max_capacity() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(recital.speech.max_capacity() * 80, 10_000, "ms of pieces");
    let pieces = all_of(recital).await;
    assert!(pieces.last().unwrap().end);
    assert!(pieces.last().unwrap().at.as_ms() > 59_000);
    let made = within(around.notices.recv()).await.unwrap();
    assert_eq!(made, Notice { turn: Some(TurnId(1)), fact: Fact::SpeechMade }, "only once all of it has been made");
}
