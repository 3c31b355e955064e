//! io: the real recognizer on recorded speech: alone, and behind its door with the real voice detector

use std::time::Duration;

use visavis::agent::hearing::stt::{Dialect, SttClient, SttError, SttEvent, SttSettings};
use visavis::engine::model::{ModelError, Recognizer, Spoken};
use visavis::engine::serve::stt::router;
use visavis::engine::stt::gate::Window;
use visavis::engine::stt::whisper::{WHISPER_FOLDER, Whisper};
use visavis::engine::stt::{Ear, SttEngine};
use visavis::metrics::Metrics;
use visavis::onnx::{Onnx, VAD_MODEL, VadWorker};
use visavis::runtime::scope::TaskCounter;

use crate::kit::server::Served;
use crate::kit::speech::{Clip, WordErrors, clip, clips, models, plain};

fn whisper() -> Whisper {
    let onnx = Onnx::open(None, &models()).unwrap();
    Whisper::open(&onnx, &models().join(WHISPER_FOLDER)).unwrap()
}

fn recordings(set: &str) -> Vec<Clip> {
    clips().into_iter().filter(|clip| clip.set == set).collect()
}

/// The CPU time of this thread: what a piece of work costs, whoever else is busy.
fn cpu() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the struct it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The gated decoder on the speech alone and the full window both come close to what was said. The table shows which
/// clip went wrong and why decoding stopped.
#[test]
fn both_windows_understand() {
    let mut whisper = whisper();
    for window in [Window::Speech, Window::Full] {
        let (mut total, mut spent, mut seconds, mut table) =
            (WordErrors::default(), Duration::ZERO, 0.0, String::new());
        for clip in recordings("phrases") {
            let pcm = clip.samples();
            let began = cpu();
            let decoding = whisper.decode(&pcm, window, &|| true).unwrap();
            let took = cpu() - began;
            let length_s = pcm.len() as f64 / 16_000.0;
            (spent, seconds) = (spent + took, seconds + length_s);
            let text: String = decoding.tokens.iter().map(|taken| taken.text.as_str()).collect();
            let errors = WordErrors::between(&clip.text, &text);
            total += errors;
            let (file, reason, trusted) = (&clip.file, decoding.reason, decoding.trusted);
            table += &format!("{file:18} {length_s:4.1} s {took:4.0?} {errors:?} {reason:?} {trusted} {text}\n");
        }
        let (rate, cost) = (total.rate() * 100.0, spent.as_secs_f64() * 1000.0 / seconds);
        println!("{table}{window:?}: WER {rate:.1} %, {cost:.0} CPU-ms per second of speech");
        assert!(total.words > 150 && rate < 10.0, "{window:?}: {rate:.1} %\n{table}");
    }
}

/// Whoever hangs up is not worked for; whoever wants the last word never gets a doubtful one.
#[test]
fn work_follows_the_wish() {
    let mut whisper = whisper();
    // With its trailing silence this clip sends the decoder astray.
    let spoken = Spoken { pcm: clip("goforward.wav").samples(), turn: 0, last_word: true };
    assert_eq!(whisper.transcribe(&spoken, &|| false), Err(ModelError::Unwanted));
    assert!(!whisper.transcribe(&spoken, &|| true).unwrap().doubtful);
    assert!(whisper.transcribe(&Spoken { last_word: false, ..spoken }, &|| true).unwrap().doubtful);
}

/// An engine as `visavis engine stt` runs it.
pub async fn serve() -> (Served, SttClient) {
    let onnx = Onnx::open(None, &models()).unwrap();
    let vad = VadWorker::start(&onnx, &models().join(VAD_MODEL), &Metrics::new()).unwrap();
    let engine = SttEngine::start(whisper(), Ear::Silero(vad), 1, Metrics::new());
    let served = Served::start(router(engine, None)).await;
    let settings = SttSettings {
        url: served.ws(),
        token: None,
        dialect: Dialect::Visavis,
        connect_within: Duration::from_secs(5),
    };
    let client = SttClient::connect(&settings, &Metrics::new(), TaskCounter::default()).await.unwrap();
    (served, client)
}

/// What one turn brought.
pub struct Turn {
    pub text: String,
    pub words: Vec<(String, f64, f64)>,
    pub partials: usize,
}

/// Says `pcm` in 20 ms pieces as fast as the engine reads them, asks for the final, and begins a new turn.
pub async fn say(client: &mut SttClient, pcm: &[f32]) -> Turn {
    for piece in pcm.chunks(320) {
        while let Err(error) = client.send_audio(piece) {
            assert_eq!(error, SttError::Slow);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    while client.mark(1).is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut turn = Turn { text: String::new(), words: vec![], partials: 0 };
    loop {
        match tokio::time::timeout(Duration::from_secs(120), client.next()).await.unwrap().unwrap() {
            SttEvent::Partial { .. } => turn.partials += 1,
            SttEvent::Final { text, words } => (turn.text, turn.words) = (text, words),
            SttEvent::Marker { .. } => break,
            SttEvent::Trouble { message } => panic!("{message}"),
        }
    }
    client.init().unwrap();
    turn
}

/// Every phrase as one turn of a call, with silence around it: trimmed by the voice detector, decoded on the speech alone,
/// the full window where that went astray. Words come in order, within the turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phrases_through_the_door() {
    let (_served, mut client) = serve().await;
    let (mut total, mut table, mut start_s) = (WordErrors::default(), String::new(), 0.0);
    for clip in recordings("phrases") {
        let pcm = [vec![0.0; 8_000], clip.samples(), vec![0.0; 8_000]].concat();
        let turn = say(&mut client, &pcm).await;
        let errors = WordErrors::between(&clip.text, &turn.text);
        total += errors;
        table += &format!("{:18} {errors:?} {}\n", clip.file, turn.text);
        let stop_s = start_s + pcm.len() as f64 / 16_000.0;
        let mut last_s = start_s;
        for (word, from_s, to_s) in &turn.words {
            assert!(
                last_s <= *from_s && from_s <= to_s && *to_s <= stop_s,
                "{}: {:?} at {word}",
                clip.file,
                turn.words
            );
            last_s = *from_s;
        }
        start_s = stop_s;
    }
    let rate = total.rate() * 100.0;
    println!("{table}through the door: WER {rate:.1} %");
    assert!(total.words > 150 && rate < 10.0, "{rate:.1} %\n{table}");
}

/// Passages of up to 44 s are cut at pauses, transcribed piece by piece and put together again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_turns_through_the_door() {
    let (_served, mut client) = serve().await;
    let (mut total, mut table) = (WordErrors::default(), String::new());
    for clip in recordings("long") {
        let turn = say(&mut client, &clip.samples()).await;
        let errors = WordErrors::between(&clip.text, &turn.text);
        total += errors;
        table += &format!("{:18} {errors:?} {}\n", clip.file, turn.text);
    }
    let rate = total.rate() * 100.0;
    println!("{table}long turns: WER {rate:.1} %");
    assert!(total.words > 150 && rate < 10.0, "{rate:.1} %\n{table}");
}

/// A word is said when it is said: the times of the recording's words, read off its sound, within a third of a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_have_their_times() {
    let (_served, mut client) = serve().await;
    let turn = say(&mut client, &clip("cities-times.wav").samples()).await;
    let mut after = 0;
    // Beginnings of phrases after a pause, where the sound's energy shows them.
    for (word, said_s) in [("it", 0.12), ("it", 1.89), ("it", 3.95), ("it", 5.61)] {
        let plain = |text: &str| text.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
        let found =
            turn.words[after..].iter().position(|(text, _, _)| plain(text) == word).expect("it is said four times");
        let heard_s = turn.words[after + found].1;
        assert!((heard_s - said_s).abs() < 0.35, "{word}: {heard_s:.2} s, not {said_s}: {:?}", turn.words);
        after += found + 1;
    }
}

/// Captions grow while somebody speaks, and what is called stable stands in the final. The speaker waits for a caption
/// after each 0.8 s, so that a slow machine has its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captions_grow() {
    let (_served, mut client) = serve().await;
    let mut partials = vec![];
    let pcm = clip("librivox-0920.wav").samples();
    let (spoken, rest) = pcm.split_at(5 * 16_000);
    let (first, then) = spoken.split_at(16_000 * 9 / 5);
    for piece in std::iter::once(first).chain(then.chunks(12_800)) {
        piece.chunks(320).for_each(|frame| client.send_audio(frame).unwrap());
        let event = tokio::time::timeout(Duration::from_secs(60), client.next()).await.unwrap().unwrap();
        let SttEvent::Partial { text, stable } = event else { panic!("{event:?}") };
        partials.push((text, stable));
    }
    rest.chunks(320).for_each(|frame| client.send_audio(frame).unwrap());
    client.mark(1).unwrap();
    let said = loop {
        match tokio::time::timeout(Duration::from_secs(60), client.next()).await.unwrap().unwrap() {
            SttEvent::Final { text, .. } => break plain(&text),
            SttEvent::Partial { text, stable } => partials.push((text, stable)),
            other => panic!("{other:?}"),
        }
    };
    assert!(partials.len() >= 5, "{partials:?}");
    for (partial, stable) in &partials {
        let stable = &plain(partial)[..*stable];
        let kept = stable.iter().zip(&said).filter(|(a, b)| a == b).count();
        assert!(kept + 1 >= stable.len(), "{stable:?} was called stable, but it is {said:?}");
    }
}

/// Silence, hiss and a click say nothing, and nothing is made up for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_says_nothing() {
    let (_served, mut client) = serve().await;
    let mut random = fastrand::Rng::with_seed(3);
    let hiss: Vec<f32> = (0..80_000).map(|_| (random.f32() - 0.5) * 0.02).collect();
    let mut click = vec![0.0; 48_000];
    click[20_000..20_080].fill(0.8);
    for (name, pcm) in [("silence", vec![0.0; 160_000]), ("hiss", hiss), ("a click", click)] {
        let turn = say(&mut client, &pcm).await;
        assert_eq!((turn.text.as_str(), turn.partials), ("", 0), "{name}");
    }
}
