//! io: the figures of a call, for `script/measure`: three runs of each, medians, CPU time first
//!
//! Nothing here judges a figure: a shared machine's wall clock would judge the neighbours. The server is a process of its
//! own; callers and browser are not counted in what it uses.

use std::time::{Duration, Instant};

use serde_json::json;
use visavis::load::{CallSettings, Caller, Recording, Utterance};
use visavis::media::sound::rms;
use visavis::rtc::Identity;

use crate::browser::{Chromium, Launch, microphone, witness::Witness};
use crate::kit::program::Program;
use crate::kit::speech::clip;

/// Nothing of a call that goes well takes as long.
const SOON: Duration = Duration::from_secs(60);
const RUNS: usize = 3;
/// Seven turns in each of three runs: 21.
const SAID: [&str; 7] = [
    "something.wav",
    "goforward.wav",
    "librivox-0880.wav",
    "cards-001.wav",
    "librivox-0930.wav",
    "cities-00.wav",
    "cards-005.wav",
];
/// The agent's voice lies around 0.05; Opus leaves silence far below.
const AUDIBLE: f32 = 0.01;
const STEPS: [&str; 5] = ["decided", "transcribed", "first token", "first sound made", "first sound played"];
const FIELDS: [&str; 5] = ["decided_ms", "transcribed_ms", "first_token_ms", "first_sound_ready_ms", "first_sound_ms"];

/// One row per figure.
#[derive(Default)]
struct Table(Vec<(String, Vec<f64>)>);

impl Table {
    /// Adds what one run found.
    fn note(&mut self, figure: &str, value: f64) {
        match self.0.iter_mut().find(|(name, _)| name == figure) {
            Some((_, values)) => values.push(value),
            None => self.0.push((figure.to_owned(), vec![value])),
        }
    }

    fn print(&self) {
        println!("\n| figure | runs | median |\n|---|---|---|");
        for (figure, values) in &self.0 {
            let runs: Vec<_> = values.iter().map(|value| format!("{value:.0}")).collect();
            println!("| {figure} | {} | **{:.0}** |", runs.join(", "), share(values, 0.5));
        }
    }
}

/// The value below which a share of `values` lies; the upper of two.
fn share(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    sorted.get((share * last as f64).ceil() as usize).copied().unwrap_or(f64::NAN)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures for a quarter of an hour: script/measure"]
async fn the_figures_of_a_call() {
    let mut table = Table::default();
    for run in 1..=RUNS {
        eprintln!("run {run} of {RUNS}");
        for calls in [1, 4] {
            native(&mut table, calls).await;
        }
        chromium(&mut table).await;
        // After each run: a run that fails later has not been for nothing.
        table.print();
    }
}

/// `calls` native callers talk at the same time, each through all of [`SAID`].
async fn native(table: &mut Table, calls: usize) {
    let server = Program::serve(&[]);
    if calls == 1 {
        table.note("start until ready, ms", server.ready_after.as_secs_f64() * 1e3);
        table.note("memory of a server that waits, MB", server.used().resident_mb);
    }
    let (before, began) = (server.used(), Instant::now());
    let talks = (0..calls).map(|_| tokio::spawn(talk(server.address.clone())));
    let mut turns = vec![];
    for talk in talks.collect::<Vec<_>>() {
        turns.extend(talk.await.expect("a caller's call goes well"));
    }
    let (used, seconds) = (server.used(), began.elapsed().as_secs_f64());
    let with = format!("{calls} call{}", if calls == 1 { "" } else { "s" });
    table.note(
        &format!("{with}: CPU of the server, ms per second of a call"),
        (used.cpu_ms - before.cpu_ms) / seconds / calls as f64,
    );
    table.note(&format!("{with}: memory, MB"), used.resident_mb);
    judge(table, &with, &turns);
}

/// What one turn took: from the caller's last audible sample until the answer was audible, and the server's own steps.
struct Turn {
    voice_to_voice_ms: f64,
    steps_ms: Option<[f64; 5]>,
}

fn judge(table: &mut Table, with: &str, turns: &[Turn]) {
    let all: Vec<f64> = turns.iter().map(|turn| turn.voice_to_voice_ms).collect();
    table.note(&format!("{with}: voice to voice, p50, ms"), share(&all, 0.5));
    table.note(&format!("{with}: voice to voice, p95, ms"), share(&all, 0.95));
    for (n, step) in STEPS.iter().enumerate() {
        let values: Vec<f64> = turns.iter().filter_map(|turn| Some(turn.steps_ms?[n])).collect();
        table.note(&format!("{with}: … until {step}, p50, ms"), share(&values, 0.5));
    }
}

/// One native caller: greeted, then all of [`SAID`], each answered to its end.
async fn talk(server: String) -> Vec<Turn> {
    let settings = CallSettings::new(server, Identity::generate().unwrap());
    let mut caller = Caller::join(&reqwest::Client::new(), &settings).await.unwrap();
    caller.connected(SOON).await.unwrap();
    caller.event("session.created", SOON).await.unwrap();
    let session = json!({
        "type": "realtime",
        "audio": { "input": { "turn_detection": { "type": "server_vad", "silence_duration_ms": 300 } } },
        "include": ["visavis.trace"],
    });
    caller.send(&json!({ "type": "session.update", "session": session })).await.unwrap();
    caller.send(&json!({ "type": "response.create" })).await.unwrap();
    caller.event("output_audio_buffer.stopped", SOON).await.unwrap();
    let mut turns = vec![];
    for file in SAID {
        let utterance = Utterance::encode(&clip(file).samples(), 16_000).unwrap();
        let mut saying = caller.say(&utterance).await.unwrap();
        let ended = saying.speech_ended().await.unwrap();
        caller.event("output_audio_buffer.started", SOON).await.unwrap();
        caller.event("output_audio_buffer.stopped", SOON).await.unwrap();
        let turn = caller.look(|recording| {
            Some(Turn { voice_to_voice_ms: answered(recording, ended)?, steps_ms: steps(recording) })
        });
        turns.extend(turn);
    }
    caller.hang_up().await.unwrap();
    turns
}

/// Milliseconds from `ended` until a packet arrived with audible sound in it.
fn answered(recording: &Recording, ended: Instant) -> Option<f64> {
    let audible = |position: f64| rms(recording.sound_between(position, position + 0.02)) > AUDIBLE;
    let mut later = recording.tape.packets.iter().filter(|packet| packet.arrival > ended);
    let first = later.find(|packet| audible(packet.position.as_secs_f64()))?;
    Some((first.arrival - ended).as_secs_f64() * 1e3)
}

/// The last turn's segments, as the server traced them.
fn steps(recording: &Recording) -> Option<[f64; 5]> {
    let trace = recording.events_of("visavis.trace").last()?;
    Some(FIELDS.map(|field| trace.value["segments"][field].as_f64().unwrap_or(f64::NAN)))
}

/// The same in Chromium, by what its page plays: from the last audible sample given to its microphone until its speaker is
/// audible.
async fn chromium(table: &mut Table) {
    let server = Program::serve(&[]);
    let browser = Chromium::launch(Launch::default()).await;
    let page = browser.page().await;
    microphone::install(&page).await;
    let witness = Witness::install(&page).await;
    page.open(&server.address).await;
    page.wait_until("!document.getElementById('call').disabled", SOON).await;
    page.eval("document.getElementById('call').click()").await;
    witness.begin().await;
    witness.wait_until_heard(0.5, 0.0).await;
    let (mut turns, mut shown) = (vec![], vec![]);
    for file in SAID {
        let listening =
            "document.body.dataset.state === 'listening' && testWitness.silence(performance.now() - 600) > 0.4";
        page.wait_until(listening, SOON).await;
        let clip = clip(file);
        let utterance = Utterance::encode(&clip.samples(), 16_000).unwrap();
        let trailing = (utterance.length() - utterance.speech_length()).as_secs_f64() * 1e3;
        let ended = microphone::say(&page, &clip.bytes()).await - trailing;
        let first = format!("testWitness.loud.find(([at, rms]) => at > {ended} && rms > {AUDIBLE})?.[0]");
        let heard = page.wait_until(&first, SOON).await.as_f64().unwrap();
        turns.push(heard - ended);
        let total = "[...document.querySelectorAll('.trace .total')].length";
        page.wait_until(&format!("{total} > {}", shown.len()), SOON).await;
        let strip = page.eval("parseFloat([...document.querySelectorAll('.trace .total')].at(-1).textContent)").await;
        shown.push(strip.as_f64().unwrap() * 1e3);
    }
    table.note("Chromium: voice to voice, p50, ms", share(&turns, 0.5));
    table.note("Chromium: voice to voice, p95, ms", share(&turns, 0.95));
    table.note("Chromium: as its page shows it, p50, ms", share(&shown, 0.5));
}
