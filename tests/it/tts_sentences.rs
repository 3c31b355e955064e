//! io: two hundred sentences through the real voice, over the wire

use std::time::Duration;

use visavis::engine::model::{Recognizer, Spoken};
use visavis::engine::stt::whisper::{WHISPER_FOLDER, Whisper};
use visavis::engine::tts::TtsEngine;
use visavis::engine::tts::piper::{Piper, PiperOptions};
use visavis::media::resample::convert;
use visavis::metrics::Metrics;
use visavis::onnx::Onnx;
use visavis::wire::moshi::{TtsIn, TtsOut};

use crate::kit::speech::{WordErrors, models};
use crate::tts_door::{connect, next, rest, say, serve};

/// The real voice on its thread.
pub async fn piper(capacity: usize) -> TtsEngine {
    let load = || {
        let onnx = Onnx::open(None, &models()).expect("ONNX Runtime lies in the models folder");
        Piper::load(&onnx, &models().join("piper-en_US-joe-medium"), PiperOptions { deterministic: true })
    };
    TtsEngine::load(load, capacity, &Metrics::new()).await.expect("script/models has fetched the voice")
}

/// Every word sent comes back once, in order, with times that rise and lie within the sound; and the phones, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_word_comes_back_once() {
    let base = serve(piper(4).await, None).await;
    let sentences: Vec<&str> = include_str!("fixtures/sentences.txt").lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(sentences.len(), 200);
    // Ten turns of twenty sentences: a connection is a turn.
    for turn in sentences.chunks(20) {
        let mut socket = connect(&base, "format=PcmMessagePack&phones=1").await.unwrap();
        assert_eq!(next(&mut socket).await, Some(TtsOut::Ready));
        let words: Vec<&str> = turn.iter().flat_map(|sentence| sentence.split_whitespace()).collect();
        for word in &words {
            say(&mut socket, TtsIn::Text { text: (*word).to_owned() }).await;
        }
        say(&mut socket, TtsIn::Eos).await;
        let all = tokio::time::timeout(Duration::from_secs(300), rest(&mut socket)).await.unwrap();

        let (mut back, mut times, mut phones, mut samples, mut loudest) = (vec![], vec![], vec![], 0, 0.0f32);
        for message in all {
            match message {
                TtsOut::Text { text, start_s, stop_s } => {
                    back.push(text);
                    times.push((start_s, stop_s));
                }
                TtsOut::Phones { spans } => phones.extend(spans),
                TtsOut::Audio { pcm } => {
                    // Phones come with or before their sound.
                    samples += pcm.len();
                    loudest = pcm.iter().fold(loudest, |max, sample| max.max(sample.abs()));
                }
                other => panic!("{other:?}"),
            }
        }
        let length = samples as f64 / 24_000.0;
        assert_eq!(back, words);
        assert!(
            times.iter().all(|(start, stop)| 0.0 <= *start && start <= stop && *stop <= length + 1e-6),
            "{times:?}"
        );
        assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0 + 1e-9), "{times:?}");
        assert!(phones.windows(2).all(|pair| pair[0].1 <= pair[1].0 + 1e-9));
        assert!(phones.last().unwrap().1 <= length + 1e-6);
        // A word that can be said takes time: at most one in a hundred may have lost its phones to a neighbour.
        let sayable = |word: &&str| word.chars().any(char::is_alphanumeric) && !word.starts_with("http");
        let empty: Vec<&str> = words
            .iter()
            .zip(&times)
            .filter(|(word, (start, stop))| sayable(word) && stop - start < 0.01)
            .map(|(word, _)| *word)
            .collect();
        assert!(empty.len() * 100 <= words.len(), "without time: {empty:?}");
        // People say two to four words a second.
        let pace = words.len() as f64 / length;
        assert!((1.5..4.5).contains(&pace), "{pace:.1} words a second");
        assert!((0.1..=1.0).contains(&loudest), "{loudest}");
    }
}

/// What the voice says can be understood: our own recognizer hears the words that were sent, numbers and clause joints included.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_said_can_be_understood() {
    let engine = piper(1).await;
    let onnx = Onnx::open(None, &models()).unwrap();
    let mut ear = Whisper::open(&onnx, &models().join(WHISPER_FOLDER)).unwrap();
    let mut errors = WordErrors::default();
    for text in [
        "The museum opens early on weekdays, but it's closed on Mondays.",
        "Turn left at the lights, then keep going until you see a church.",
        "Please give me a moment, I would like to think about that question before I answer it.",
        "My neighbor practices every evening with the windows open and at first it was really awful.",
        "Dr. Smith paid $5 on July 4th.",
        "What would you like to talk about today?",
    ] {
        let mut stream = engine.open(1.0).unwrap();
        stream.text(text);
        stream.finish();
        let mut pcm = vec![0.0; 2_400];
        while let Some(voiced) = stream.next().await.unwrap() {
            if let visavis::engine::tts::Voiced::Sound(piece) = voiced {
                pcm.extend(piece);
            }
        }
        let pcm = convert(&pcm, 24_000, 16_000);
        let heard = ear.transcribe(&Spoken { pcm, turn: 0, last_word: true }, &|| true).unwrap();
        let heard = heard.words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        let said = text.replace("Dr.", "Doctor").replace("$5", "five dollars").replace("4th", "fourth");
        let heard_plain = heard.replace("$5", "five dollars").replace("4th", "fourth");
        let here = WordErrors::between(&said, &heard_plain);
        println!("{here:?} {text:?} -> {heard:?}");
        errors += here;
    }
    assert!(errors.rate() <= 0.15, "{errors:?}");
}
