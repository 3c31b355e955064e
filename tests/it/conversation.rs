//! io: a real conversation: recorded speech, real models, a native caller who checks all that comes back

use std::time::Duration;

use serde_json::json;
use visavis::engine::stt::gate::Window;
use visavis::engine::stt::whisper::{WHISPER_FOLDER, Whisper};
use visavis::face::aperture::{self, aperture};
use visavis::face::gallery::Gallery;
use visavis::load::Recording;
use visavis::media::resample::convert;
use visavis::media::sound::rms;
use visavis::onnx::Onnx;

use crate::kit::house::Running;
use crate::kit::speech::{WordErrors, clip, models};
use crate::kit::talk::{SOON, call, captions, greeting, say, second_of, utterance};

/// Loud enough to be a voice: the agent's lies around 0.05.
const VOICED: f32 = 0.02;
/// As silent as our stage is when nobody speaks.
const SILENT: f32 = 0.002;

/// The whole thing at once, for it takes a minute: what was said is understood, what is answered is what the captions say, the
/// lips move with the voice and rest with it, no picture is missing, and everything is gone when the caller has hung up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_understood_both_ways() {
    let house = Running::open(|_| {}).await;
    let mut caller = call(&house).await;
    let id = caller.location().unwrap().path().rsplit('/').next().unwrap().to_owned();
    let line = house.calls.line(&id).expect("the call is up");
    greeting(&mut caller).await;
    let mut heard = WordErrors::default();
    let mut table = String::new();
    for file in ["something.wav", "goforward.wav", "librivox-0880.wav", "librivox-0930.wav", "cities-00.wav"] {
        let clip = clip(file);
        let text = say(&mut caller, &clip).await;
        heard += WordErrors::between(&clip.text, &text);
        table += &format!("said {:?}, understood {text:?}\n", clip.text);
    }
    // Two seconds of rest for the face.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let recording = caller.hang_up().await.unwrap();
    println!("{table}user's words: WER {:.1} %", 100.0 * heard.rate());
    assert!(heard.words >= 20 && heard.rate() <= 0.15, "{table}");

    the_agent_says_what_its_captions_say(&recording);
    no_picture_is_missing(&recording);
    the_lips_go_with_the_voice(&recording);
    assert_eq!(house.metrics.resampled_seconds(), 0.0, "every engine speaks our rates");

    for _ in 0..100 {
        if line.strong_count() == 0 && house.tasks.alive() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((line.strong_count(), house.tasks.alive(), house.metrics.sessions_active()), (0, 0, 0));
}

/// The sound of every turn, written down by our own recognizer, against the captions of the turn.
fn the_agent_says_what_its_captions_say(recording: &Recording) {
    let onnx = Onnx::open(None, &models()).unwrap();
    let mut whisper = Whisper::open(&onnx, &models().join(WHISPER_FOLDER)).unwrap();
    let (mut errors, mut turns, mut table) = (WordErrors::default(), 0, String::new());
    let edges: Vec<usize> = (0..recording.events.len())
        .filter(|n| recording.events[*n].kind().starts_with("output_audio_buffer.st"))
        .collect();
    for pair in edges.chunks_exact(2) {
        let (started, stopped) = (&recording.events[pair[0]], &recording.events[pair[1]]);
        let words = captions(&recording.events[pair[0]..=pair[1]]);
        let (from, to) = (second_of(recording, started) - 0.2, second_of(recording, stopped) + 0.3);
        let mut text = String::new();
        // A window holds 30 s; the replies are shorter.
        for piece in recording.sound_between(from.max(0.0), to).chunks(24_000 * 28) {
            let pcm = convert(piece, 24_000, 16_000);
            // The full window: a reply has pauses in it, and it is the voice that is judged here.
            let decoding = whisper.decode(&pcm, Window::Full, &|| true).unwrap();
            text += &decoding.tokens.iter().map(|token| token.text.as_str()).collect::<String>();
        }
        let turn = WordErrors::between(&words.join(" "), &text);
        table += &format!("captions {:?}, heard {:?}: {turn:?}\n", words.join(" "), text.trim());
        assert!(turn.words > 0 && !text.trim().is_empty(), "an empty side\n{table}");
        errors += turn;
        turns += 1;
    }
    println!("{table}agent's words: WER {:.1} % over {} words in {turns} turns", 100.0 * errors.rate(), errors.words);
    assert!(turns >= 4 && errors.words >= 30 && errors.rate() <= 0.20, "{table}");
}

/// One frame for every 1/15 s of RTP time between the first and the last.
fn no_picture_is_missing(recording: &Recording) {
    let (first, last) = (recording.frames.first().unwrap().rtp, recording.frames.last().unwrap().rtp);
    let due = last.wrapping_sub(first) / 6_000 + 1;
    println!("{} of {due} frames", recording.frames.len());
    let steps: Vec<u32> =
        recording.frames.windows(2).map(|w| w[1].rtp.wrapping_sub(w[0].rtp)).filter(|s| *s != 6_000).collect();
    assert!(due > 15 * 20 && steps.is_empty(), "{} of {due} frames, steps {steps:?}", recording.frames.len());
}

/// Closed over silence, open over voice: decoded frames, joined to the sound by the sender reports.
fn the_lips_go_with_the_voice(recording: &Recording) {
    let face = Gallery::embedded().unwrap().get("theo").unwrap();
    let (mut silent, mut closed, mut voiced, mut open) = (0, 0, 0, 0);
    let shown = recording
        .watch(|frame, picture| {
            let Some(at) = recording.second_of_sound(frame.rtp).filter(|at| *at > 1.0) else { return };
            let opening = aperture(picture, face.inner_mouth());
            // The lips lead the sound and close behind it: silence means some of it on either side.
            let around = recording.sound_between(at - 0.2, at + 0.25);
            let now = recording.sound_between(at - 0.02, at + 0.08);
            if now.len() < 2_000 {
                return;
            }
            if rms(around) < SILENT {
                silent += 1;
                closed += usize::from(opening <= aperture::OPEN);
            } else if rms(now) > VOICED {
                voiced += 1;
                open += usize::from(opening > aperture::OPEN);
            }
        })
        .unwrap();
    println!("{shown} frames: closed in {closed} of {silent} over silence, open in {open} of {voiced} over voice");
    assert!(silent > 50 && closed * 100 >= silent * 90, "closed in {closed} of {silent} frames over silence");
    assert!(voiced > 50 && open * 100 >= voiced * 60, "open in {open} of {voiced} frames over voice");
}

/// Talking over the agent: it is silent within half a second of media, and hardly a frame leaves after the floor has changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn talking_over_the_agent_silences_it() {
    let house = Running::open(|_| {}).await;
    let mut caller = call(&house).await;
    caller.send(&json!({ "type": "response.create" })).await.unwrap();
    caller.event("output_audio_buffer.started", SOON).await.unwrap();
    tokio::time::sleep(Duration::from_millis(700)).await;
    let clip = clip("librivox-0880.wav");
    let samples = clip.samples();
    let onset = samples.chunks(160).position(|piece| rms(piece) > 0.02).unwrap_or(0) as f64 * 0.01;
    let mut saying = caller.say(&utterance(&clip)).await.unwrap();
    let began = saying.began().await.unwrap();
    caller.event("output_audio_buffer.cleared", SOON).await.unwrap();
    caller.event("conversation.item.truncated", SOON).await.unwrap();
    // The conversation goes on: what was said is answered.
    caller.event("conversation.item.input_audio_transcription.completed", SOON).await.unwrap();
    caller.event("output_audio_buffer.started", SOON).await.unwrap();
    let answered = caller.look(|r| r.events.iter().rposition(|e| e.kind() == "output_audio_buffer.started")).unwrap();
    let recording = caller.hang_up().await.unwrap();

    let arrived_by = |at| {
        recording.tape.packets.iter().take_while(|p| p.arrival <= at).last().map_or(0.0, |p| p.position.as_secs_f64())
    };
    let from = arrived_by(began + Duration::from_secs_f64(onset));
    let until = second_of(&recording, &recording.events[answered]) - 0.3;
    let sound = recording.sound_between(from, until);
    let last = sound.chunks(480).rposition(|frame| rms(frame) > 0.005).map_or(0.0, |n| (n + 1) as f64 * 0.02);
    println!("the agent fell silent {:.0} ms of media after the onset of speech", last * 1e3);
    assert!(last <= 0.5, "{last} s");
    let metrics = house.metrics.render();
    let count = |le: &str| {
        let name = format!("visavis_frames_after_cut_bucket{{le=\"{le}\"}}");
        metrics.lines().find_map(|line| line.strip_prefix(&name)).and_then(|n| n.trim().parse::<u64>().ok())
    };
    assert!(count("+Inf") >= Some(1));
    assert_eq!(count("2"), count("+Inf"), "at most two frames leave after the floor has changed");
}
