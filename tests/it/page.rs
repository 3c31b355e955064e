//! io: the page in a real browser, served by the real front desk: what it says when something is wrong, and what it
//! shows of the protocol's events

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::browser::{Chromium, Launch, Page};
use visavis::agent::server::{CallError, CallStarter, Desk, Permit, Started, router};
use visavis::config::Config;
use visavis::metrics::Metrics;

/// Admits every call and lets it do nothing: the page's own peer connection is a stand-in too.
#[derive(Default)]
struct Lines {
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl CallStarter for Lines {
    async fn start(&self, _: String, _: Option<Value>, permit: Permit) -> Result<Started, CallError> {
        drop(permit);
        self.begun.fetch_add(1, Ordering::SeqCst);
        Ok(Started { call_id: "rtc_1".to_owned(), answer_sdp: "v=0\r\n".to_owned() })
    }

    fn end(&self, call_id: &str) -> bool {
        assert_eq!(call_id, "rtc_1");
        self.ended.fetch_add(1, Ordering::SeqCst);
        true
    }

    async fn end_all(&self) {}
}

struct House {
    at: SocketAddr,
    desk: Desk,
    lines: Arc<Lines>,
    metrics: Metrics,
    server: tokio::task::JoinHandle<()>,
}

impl House {
    /// One place, open.
    async fn open() -> Self {
        let config = Config::defaults();
        let (desk, lines, metrics) = (Desk::new(1), Arc::new(Lines::default()), Metrics::new());
        desk.open();
        let brain = config.llm.brain();
        let app = router(&config.server, &config.voices, &brain, desk.clone(), lines.clone(), metrics.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { at, desk, lines, metrics, server }
    }

    /// A tab with the page in it, ready to call; `before` runs before the page's own scripts.
    async fn page(&self, browser: &Chromium, before: &str) -> Page {
        let page = browser.page().await;
        page.before_load(before).await;
        page.open(&format!("http://{}/", self.at)).await;
        page.wait_until("!document.getElementById('call').disabled", SOON).await;
        page
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Long: the browser runs at nice 15 beside other tests.
const SOON: Duration = Duration::from_secs(30);
const STATE: &str = "document.body.dataset.state";

async fn press_call(page: &Page) {
    page.eval("document.getElementById('call').click()").await;
}

/// The kind of trouble that the page shows, once it shows one, and its words.
async fn trouble(page: &Page) -> (String, String) {
    page.wait_until("!document.getElementById('trouble').hidden", SOON).await;
    let told = page.eval("[trouble.dataset.kind, trouble.innerText]").await;
    assert_eq!(page.eval(STATE).await, "idle", "after a trouble one can call again");
    (told[0].as_str().unwrap().to_owned(), told[1].as_str().unwrap().to_owned())
}

/// Each thing that can go wrong on the way into a call has its own words, with what to do next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_says_what_is_wrong() {
    let mut house = House::open().await;
    let browser = Chromium::launch(Launch::default()).await;

    // Full: the server's own words, and no knocking before it makes sense.
    let permit = house.desk.admit().unwrap();
    let page = house.page(&browser, "").await;
    press_call(&page).await;
    let (kind, words) = trouble(&page).await;
    assert!(kind == "full" && words.contains("all of its 1 calls are taken"), "{kind}: {words}");
    assert_eq!(page.eval("[document.getElementById('call').disabled, /Try again in \\d+ s/.test(document.getElementById('call').innerText)]").await, json!([true, true]));
    assert!(house.metrics.render().contains("visavis_admission_rejected_total{reason=\"full\"} 1"));
    // Once the place is free and the wait is over, the same button calls.
    drop(permit);
    page.wait_until("!document.getElementById('call').disabled", SOON).await;
    press_call(&page).await;
    page.wait_until(&format!("{STATE} !== 'idle'"), SOON).await;
    assert!(page.eval("document.getElementById('trouble').hidden").await.as_bool().unwrap());

    let no_device =
        "navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('none', 'NotFoundError') }";
    let page = house.page(&browser, no_device).await;
    press_call(&page).await;
    assert_eq!(trouble(&page).await.0, "no-microphone");

    let page = browser.page().await;
    page.before_load("delete window.RTCPeerConnection").await;
    page.open(&format!("http://{}/", house.at)).await;
    let (kind, words) = trouble(&page).await;
    assert!(kind == "no-webrtc" && words.contains("Firefox"), "{kind}: {words}");

    let page = house.page(&browser, "").await;
    house.server.abort();
    let _ = (&mut house.server).await;
    press_call(&page).await;
    let (kind, words) = trouble(&page).await;
    assert!(kind == "server-gone" && words.contains("try again"), "{kind}: {words}");
    drop(browser);

    let house = House::open().await;
    let browser = Chromium::launch(Launch { microphone_denied: true, ..Launch::default() }).await;
    let page = house.page(&browser, "").await;
    press_call(&page).await;
    let (kind, words) = trouble(&page).await;
    assert!(kind == "blocked" && words.contains("Allow it"), "{kind}: {words}");
    assert_eq!(house.lines.begun.load(Ordering::SeqCst), 0, "a call without a microphone never reaches the server");
}

/// Stands in for the browser's WebRTC: connects at once, keeps what is sent, and lets the test speak as the server.
const PEER: &str = r#"
class Channel extends EventTarget {
  readyState = "connecting"; sent = [];
  send(text) { this.sent.push(JSON.parse(text)); }
  close() { this.readyState = "closed"; this.dispatchEvent(new Event("close")); }
}
window.RTCPeerConnection = class extends EventTarget {
  connectionState = "new"; kinds = [];
  constructor() { super(); window.peer = this; }
  addTrack(track) { this.kinds.push(track.kind); this.track = track; }
  addTransceiver(kind, { direction }) { this.kinds.push(`${kind} ${direction}`); }
  createDataChannel(name) { this.kinds.push(name); return (this.channel = new Channel()); }
  async createOffer() { return { type: "offer", sdp: "v=0\r\n" }; }
  async setLocalDescription(offer) { this.localDescription = offer; }
  async setRemoteDescription() {
    this.connectionState = "connected";
    setTimeout(() => { this.channel.readyState = "open"; this.channel.dispatchEvent(new Event("open")); });
  }
  async getStats() { return new Map([["a", { type: "candidate-pair", nominated: true, currentRoundTripTime: 0.04 }]]); }
  close() { this.connectionState = "closed"; }
};
window.tell = (...events) => {
  for (const event of events) peer.channel.dispatchEvent(new MessageEvent("message", { data: JSON.stringify(event) }));
};
"#;

async fn tell(page: &Page, events: Value) {
    page.eval(&format!("tell(...{events})")).await;
}

/// The captions as a reader sees them: who, what was heard, what is still to be said.
async fn captions(page: &Page) -> Value {
    page.eval("[...document.querySelectorAll('.turn')].map(turn => [turn.dataset.who, turn.querySelector('.heard').textContent, turn.querySelector('.ahead').textContent])").await
}

/// A call by keyboard alone, from the first key to the last, on a phone's width: what is sent, what is shown of what
/// comes back, and that hanging up is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_is_shown_as_the_events_tell() {
    let house = House::open().await;
    let browser = Chromium::launch(Launch::default()).await;
    let page = house.page(&browser, PEER).await;
    page.looks(390, 844, true).await;

    page.eval("document.getElementById('call').focus()").await;
    page.press("Enter").await;
    page.wait_until(&format!("{STATE} === 'listening'"), SOON).await;
    assert_eq!(page.eval("peer.kinds").await, json!(["audio", "video recvonly", "oai-events"]));
    let sent = page.eval("peer.channel.sent").await;
    assert_eq!((&sent[0]["type"], &sent[1]["type"]), (&json!("session.update"), &json!("response.create")));
    let session = &sent[0]["session"];
    assert_eq!(session["audio"]["output"]["voice"], "theo");
    assert_eq!(session["audio"]["input"]["turn_detection"]["silence_duration_ms"], 300);
    assert_eq!(session["include"], json!(["visavis.state", "visavis.captions", "visavis.trace"]));
    assert_eq!(page.eval("document.activeElement.id").await, "hangup", "the focus goes with the button");

    // The user is heard word by word, then for good; the answer is read ahead of the voice.
    let word = |text: &str| json!({"text": text, "start_ms": 0, "end_ms": 1});
    tell(
        &page,
        json!([
            {"type": "input_audio_buffer.speech_started", "item_id": "u1", "audio_start_ms": 0},
            {"type": "conversation.item.input_audio_transcription.delta", "item_id": "u1", "delta": "how are"},
        ]),
    )
    .await;
    assert_eq!(captions(&page).await, json!([["user", "how are", ""]]));
    tell(&page, json!([
        {"type": "input_audio_buffer.committed", "item_id": "u1"},
        {"type": "visavis.state", "state": "thinking"},
        {"type": "response.output_item.added", "response_id": "r1", "item": {"id": "a1", "type": "message"}},
        {"type": "response.output_audio_transcript.delta", "response_id": "r1", "item_id": "a1", "delta": "Fine, and"},
        {"type": "response.output_audio_transcript.delta", "response_id": "r1", "item_id": "a1", "delta": " you are you?"},
        {"type": "conversation.item.input_audio_transcription.completed", "item_id": "u1", "transcript": "How are you?"},
    ])).await;
    assert_eq!(page.eval(STATE).await, "thinking");
    assert_eq!(captions(&page).await, json!([["user", "How are you?", ""], ["agent", "", "Fine, and you are you?"]]));
    tell(&page, json!([
        {"type": "visavis.state", "state": "speaking"},
        {"type": "output_audio_buffer.started", "response_id": "r1"},
        {"type": "visavis.captions", "response_id": "r1", "item_id": "a1", "words": [word("Fine,"), word("and"), word("you")]},
        {"type": "visavis.trace", "response_id": "r1", "segments": {"decided_ms": 300.0, "transcribed_ms": 380.0,
            "first_token_ms": 450.0, "first_sound_ready_ms": 600.0, "first_sound_ms": 620.0}},
    ])).await;
    assert_eq!(captions(&page).await[1], json!(["agent", "Fine, and you", " are you?"]));

    // Where the time went: the server's segments, then half a round trip of 40 ms on top.
    page.wait_until("document.querySelector('.trace')", SOON).await;
    let steps = page.eval("[...document.querySelectorAll('.trace dd')].map(step => step.textContent)").await;
    assert_eq!(steps, json!(["380 ms", "70 ms", "150 ms", "40 ms"]));
    assert_eq!(page.eval("document.querySelector('.trace .total').textContent").await, "0.64 s");

    // Talked over: what was not said is taken back.
    tell(
        &page,
        json!([
            {"type": "input_audio_buffer.speech_started", "item_id": "u2", "audio_start_ms": 9},
            {"type": "output_audio_buffer.cleared", "response_id": "r1"},
            {"type": "conversation.item.truncated", "item_id": "a1", "content_index": 0, "audio_end_ms": 700},
            {"type": "visavis.state", "state": "listening"},
        ]),
    )
    .await;
    assert_eq!(captions(&page).await[1], json!(["agent", "Fine, and you —", ""]));
    assert_eq!(captions(&page).await.as_array().unwrap().len(), 2, "a turn without words is not shown");
    assert_eq!(page.eval(STATE).await, "listening");
    // Nonsense from the wire changes nothing.
    page.eval("peer.channel.dispatchEvent(new MessageEvent('message', { data: '{not json' }))").await;
    tell(&page, json!([{"type": "visavis.captions", "item_id": "nobody"}, {"type": 7}, {"type": "who.knows"}])).await;

    assert_eq!(
        page.eval("[document.documentElement.scrollWidth <= innerWidth, peer.track.enabled]").await,
        json!([true, true])
    );
    page.press("m").await;
    assert_eq!(
        page.eval("[peer.track.enabled, document.getElementById('mute').ariaPressed]").await,
        json!([false, "true"])
    );

    page.eval("document.getElementById('hangup').focus()").await;
    page.press("Enter").await;
    assert_eq!(
        page.eval("[document.body.dataset.state, peer.connectionState, peer.track.readyState]").await,
        json!(["idle", "closed", "ended"])
    );
    for _ in 0..100 {
        if house.lines.ended.load(Ordering::SeqCst) == 1 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(house.lines.ended.load(Ordering::SeqCst), 1, "the server is told at once");
    let complaints: Vec<_> = page.console().into_iter().filter(|line| !line.starts_with("verbose")).collect();
    assert!(complaints.is_empty(), "the page and its policy fit: {complaints:?}");
}

/// When the server ends the call the page says nothing of trouble; when the path fails it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_is_told_from_a_loss() {
    let house = House::open().await;
    let browser = Chromium::launch(Launch::default()).await;
    let page = house.page(&browser, PEER).await;
    press_call(&page).await;
    page.wait_until(&format!("{STATE} === 'listening'"), SOON).await;
    page.eval("peer.channel.close()").await;
    assert_eq!(page.eval("[document.body.dataset.state, trouble.hidden]").await, json!(["idle", true]));

    press_call(&page).await;
    page.wait_until(&format!("{STATE} === 'listening'"), SOON).await;
    page.eval("peer.connectionState = 'failed'; peer.dispatchEvent(new Event('connectionstatechange'))").await;
    let (kind, words) = trouble(&page).await;
    assert!(kind == "lost" && words.contains("call again"), "{kind}: {words}");
}
