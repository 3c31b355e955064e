//! io: calls as people place them: a real browser before a real server with its real models

use std::path::PathBuf;
use std::sync::Weak;
use std::time::Duration;

use visavis::agent::session::calls::Line;

use super::witness::{Witness, captions};
use super::{Chromium, Launch, Page, microphone};
use crate::kit::house::Running;
use crate::kit::speech::{self, WordErrors};

/// Nothing of a call takes this long, even where the browser has a tenth of a core and the models the rest.
const CALM: Duration = Duration::from_secs(90);
const STATE: &str = "document.body.dataset.state";

/// From the first key to hanging up: the greeting is heard and seen, talking over it silences it, what was said over it is
/// transcribed and answered, a second turn works, and hanging up leaves nothing behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_face_to_face() {
    let house = Running::open(|_| {}).await;
    let browser = Chromium::launch(Launch::default()).await;
    let page = browser.page().await;
    microphone::install(&page).await;
    let witness = Witness::install(&page).await;
    page.open(&address(&house)).await;
    page.screenshot(&screens().join("before.png")).await;
    place_call(&page).await;
    witness.begin().await;

    // The greeting: its sound is heard, its face is seen and moves, its words are shown.
    witness.wait_until_heard(0.8, 0.0).await;
    let line = only_line(&house);
    page.wait_until(&format!("{STATE} === 'speaking'"), CALM).await;
    page.screenshot(&screens().join("greeting.png")).await;

    // Talking over it: its sound ends while we still speak, its words are taken back, and we have the floor.
    let over = speech::clip("cities-14.wav");
    let began = witness.now().await;
    microphone::start(&page, &over.bytes()).await;
    page.wait_until("document.querySelector('#log .turn.agent p').textContent.endsWith('—')", CALM).await;
    page.wait_until(&format!("testWitness.silence({began}) > 0.5"), CALM).await;
    let (greeting, heard) = (caption(&page, "agent", 0).await, witness.heard(0.0).await);
    let (seen, moved) = witness.pictures(0.0).await;
    assert!(greeting.starts_with("Hi"), "the greeting of the person, as far as it was said: {greeting:?}");
    assert!(!greeting.contains("talk about"), "it was cut before its end: {greeting:?}");
    assert!(heard > 0.8 && seen > 10 && moved > 3, "heard {heard} s, saw {seen} pictures, the mouth moved in {moved}");

    // What was said over it became a turn, and was answered.
    page.eval("testMicrophone.spoken()").await;
    let spoken = witness.now().await;
    page.wait_until("document.querySelectorAll('#log .turn.agent').length >= 2", CALM).await;
    witness.wait_until_heard(0.5, spoken).await;
    listening_again(&page).await;
    let said = caption(&page, "user", 0).await;
    let errors = WordErrors::between(&over.text, &said);
    assert!(errors.rate() <= 0.2, "said {:?}, shown {said:?}", over.text);
    let answer = caption(&page, "agent", 1).await;
    assert!(answer.split_whitespace().count() >= 2 && !answer.ends_with('—'), "the answer: {answer:?}");
    page.screenshot(&screens().join("answered.png")).await;

    // A second turn.
    let question = speech::clip("librivox-0880.wav");
    microphone::say(&page, &question.bytes()).await;
    let spoken = witness.now().await;
    page.wait_until("document.querySelectorAll('#log .turn.agent').length >= 3", CALM).await;
    witness.wait_until_heard(0.5, spoken).await;
    listening_again(&page).await;
    let said = caption(&page, "user", 1).await;
    let errors = WordErrors::between(&question.text, &said);
    assert!(errors.rate() <= 0.3, "said {:?}, shown {said:?}", question.text);
    let all = captions(&page).await;
    assert_eq!(all.len(), 5, "the greeting, and two questions with an answer each: {all:?}");

    // Where the time of each answer went is there to look at.
    let strips = page.eval("document.querySelectorAll('#log .turn.agent .trace').length").await;
    assert_eq!(strips, 3, "one for each time that it spoke");
    page.looks(390, 844, true).await;
    // Colours fade into each other.
    tokio::time::sleep(Duration::from_secs(1)).await;
    page.screenshot(&screens().join("phone-dark.png")).await;

    page.eval("document.getElementById('hangup').click()").await;
    assert_eq!(page.eval(STATE).await, "idle");
    nothing_left(&page, &house, line).await;
    let complaints: Vec<_> = page.console().into_iter().filter(|line| !line.starts_with("info")).collect();
    assert!(complaints.is_empty(), "the browser complained: {complaints:#?}");
}

/// Chromium's own microphone, which goes through its own capture, echo cancellation and noise suppression: a recording in
/// a loop, with time between to answer. Both sides appear as captions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_through_chromiums_own_microphone() {
    let said = speech::clip("librivox-0880.wav");
    let recording = Recording::with_silence(&said, 12.0, 20.0);
    let house = Running::open(|_| {}).await;
    let browser = Chromium::launch(Launch { microphone_file: Some(&recording.0), ..Launch::default() }).await;
    let page = browser.page().await;
    let witness = Witness::install(&page).await;
    page.open(&address(&house)).await;
    place_call(&page).await;
    witness.begin().await;
    page.wait_until("document.querySelectorAll('#log .turn.user p')[0]?.textContent", CALM).await;
    let asked = witness.now().await;
    page.wait_until("document.querySelectorAll('#log .turn.agent').length >= 2", CALM).await;
    witness.wait_until_heard(0.5, asked).await;
    listening_again(&page).await;

    // The pauses between its sentences may make turns of them: all of them together are what was said.
    let shown: Vec<_> =
        captions(&page).await.into_iter().filter(|(who, _)| who == "user").map(|(_, text)| text).collect();
    let errors = WordErrors::between(&said.text, &shown.join(" "));
    assert!(errors.rate() <= 0.34, "said {:?}, shown {shown:?}", said.text);
    let line = only_line(&house);
    page.eval("document.getElementById('hangup').click()").await;
    nothing_left(&page, &house, line).await;
}

/// The next caller of a full server is told so and not let in; when the first one's tab is closed, there is room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_refuses_the_next_caller() {
    let house = Running::scripted(|config| config.server.max_sessions = 1).await;
    let browser = Chromium::launch(Launch::default()).await;
    let (first, next) = (browser.page().await, browser.page().await);
    for page in [&first, &next] {
        microphone::install(page).await;
        page.open(&address(&house)).await;
    }
    place_call(&first).await;
    first.wait_until(&format!("{STATE} === 'speaking' || {STATE} === 'listening'"), CALM).await;
    let line = only_line(&house);

    place_call(&next).await;
    next.wait_until("!document.getElementById('trouble').hidden", CALM).await;
    let told = next.eval("[trouble.dataset.kind, trouble.innerText, document.body.dataset.state]").await;
    assert_eq!((told[0].as_str(), told[2].as_str()), (Some("full"), Some("idle")), "{told}");
    assert!(told[1].as_str().unwrap().contains("Everybody is in a call"), "{told}");
    next.screenshot(&screens().join("full.png")).await;
    assert_eq!(house.calls.ids().len(), 1, "the first call goes on");

    first.eval("location.href = 'about:blank'").await;
    house_empties(&house, &line).await;
    place_call(&next).await;
    next.wait_until(&format!("{STATE} === 'speaking' || {STATE} === 'listening'"), CALM).await;
}

fn address(house: &Running) -> String {
    format!("{}/", house.url)
}

/// By keyboard, as somebody does who cannot point.
async fn place_call(page: &Page) {
    page.wait_until("!document.getElementById('call').disabled", CALM).await;
    page.eval("document.getElementById('call').focus()").await;
    page.press("Enter").await;
}

async fn listening_again(page: &Page) {
    page.wait_until(&format!("{STATE} === 'listening'"), CALM).await;
}

/// The text of the `n`th turn of `who`.
async fn caption(page: &Page, who: &str, n: usize) -> String {
    let mut turns = captions(page).await.into_iter().filter(|(whose, _)| whose == who);
    turns.nth(n).unwrap_or_else(|| panic!("{who} has no turn {n}")).1
}

fn only_line(house: &Running) -> Weak<Line> {
    let ids = house.calls.ids();
    assert_eq!(ids.len(), 1, "one call is up");
    house.calls.line(&ids[0]).expect("it is up")
}

/// After hanging up: no line, no task, no place taken; and in the browser no picture and no open microphone.
async fn nothing_left(page: &Page, house: &Running, line: Weak<Line>) {
    house_empties(house, &line).await;
    assert_eq!(page.eval("document.getElementById('face').srcObject").await, serde_json::Value::Null);
    let given = page.eval("(window.testMicrophone?.given ?? []).every(track => track.readyState === 'ended')").await;
    assert_eq!(given, true, "the microphone is still open");
}

async fn house_empties(house: &Running, line: &Weak<Line>) {
    let deadline = std::time::Instant::now() + CALM;
    while line.strong_count() > 0 || house.tasks.alive() > 0 || house.desk.taken() > 0 {
        let left = format!(
            "{} lines, {} tasks, {} places taken",
            line.strong_count(),
            house.tasks.alive(),
            house.desk.taken()
        );
        assert!(std::time::Instant::now() < deadline, "a call that is over left {left}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A WAV for Chromium's own microphone: silence, the recording, silence. Gone when dropped.
struct Recording(PathBuf);

impl Recording {
    fn with_silence(clip: &speech::Clip, before_s: f32, after_s: f32) -> Self {
        let path = std::env::temp_dir().join(format!("visavis-said-{}.wav", std::process::id()));
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        let silence = |seconds: f32| std::iter::repeat_n(0.0, (seconds * 16_000.0) as usize);
        for sample in silence(before_s).chain(clip.samples()).chain(silence(after_s)) {
            writer.write_sample((sample * 32_767.0) as i16).unwrap();
        }
        writer.finalize().unwrap();
        Self(path)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Where tests leave pictures for people to look at.
fn screens() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screens")
}
