//! io: the harness itself: a tab runs script, hears both kinds of microphone, and shows what it is told

use std::path::PathBuf;
use std::time::Duration;

use axum::Router;
use axum::response::Html;
use axum::routing::get;

use super::{Chromium, Launch, microphone};

/// How loud the page's microphone is, as the largest RMS of 30 looks in 3 s.
const LOUDNESS: &str = r#"(async () => {
  const stream = await navigator.mediaDevices.getUserMedia({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 4096 });
  context.createMediaStreamSource(stream).connect(analyser);
  const wave = new Float32Array(analyser.fftSize);
  let loudest = 0;
  for (let look = 0; look < 30; look++) {
    await new Promise((next) => setTimeout(next, 100));
    analyser.getFloatTimeDomainData(wave);
    loudest = Math.max(loudest, Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length));
  }
  return loudest;
})()"#;

/// One browser, because each start costs seconds: script and promises, errors with their words, keys, the console,
/// pictures, and a microphone that is silent until a test speaks into it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tab_does_as_it_is_told() {
    let address = serve("<meta name=viewport content=width=device-width><title>t</title><button onclick=\"document.title='pressed'\" autofocus>press</button>").await;
    let browser = Chromium::launch(Launch::default()).await;
    let page = browser.page().await;
    microphone::install(&page).await;
    page.open(&address).await;

    assert_eq!(page.eval("new Promise(done => setTimeout(() => done(6 * 7), 10))").await, 42);
    assert!(page.try_eval("missing.part").await.unwrap_err().contains("missing is not defined"));
    page.eval("console.warn('so it is', 7)").await;
    page.wait_until("document.title === 't'", Duration::from_secs(5)).await;
    assert!(page.console().contains(&"warning: so it is 7".to_owned()), "{:?}", page.console());
    page.eval("document.querySelector('button').focus()").await;
    page.press("Enter").await;
    page.wait_until("document.title === 'pressed'", Duration::from_secs(5)).await;

    page.looks(390, 700, true).await;
    assert_eq!(
        page.eval("[innerWidth, matchMedia('(prefers-color-scheme: dark)').matches]").await,
        serde_json::json!([390, true])
    );
    let png = page.picture().await;
    assert!(png.starts_with(b"\x89PNG") && png.len() > 1000, "{} bytes are no picture", png.len());

    let silence = page.eval(LOUDNESS).await.as_f64().unwrap();
    microphone::start(&page, &tone()).await;
    let speech = page.eval(LOUDNESS).await.as_f64().unwrap();
    assert!(silence < 1e-4 && speech > 0.1, "silent {silence}, speaking {speech}");
}

/// Chromium's own fake microphone plays a file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromiums_own_microphone_plays_a_file() {
    let address = serve("<title>t</title>").await;
    let file = Wav::new(&tone());
    let browser = Chromium::launch(Launch { microphone_file: Some(&file.0), ..Launch::default() }).await;
    let page = browser.page().await;
    page.open(&address).await;
    let loudness = page.eval(LOUDNESS).await.as_f64().unwrap();
    assert!(loudness > 0.1, "{loudness}");
}

/// A microphone that the user does not give.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_microphone_can_be_denied() {
    let address = serve("<title>t</title>").await;
    let browser = Chromium::launch(Launch { microphone_denied: true, ..Launch::default() }).await;
    let page = browser.page().await;
    page.open(&address).await;
    let why = page.try_eval("navigator.mediaDevices.getUserMedia({ audio: true })").await.unwrap_err();
    assert!(why.contains("NotAllowedError") || why.contains("denied"), "{why}");
}

/// A page on this machine, where browsers give microphones without a certificate.
async fn serve(body: &'static str) -> String {
    let router = Router::new().route("/", get(move || async move { Html(body) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// Four seconds of 440 Hz at half of full scale, 16 kHz.
fn tone() -> Vec<u8> {
    let mut wav = std::io::Cursor::new(vec![]);
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut wav, spec).unwrap();
    for n in 0..64_000 {
        let sample = 0.5 * (std::f32::consts::TAU * 440.0 * n as f32 / 16_000.0).sin();
        writer.write_sample((sample * 32_767.0) as i16).unwrap();
    }
    writer.finalize().unwrap();
    wav.into_inner()
}

/// A file that goes when it is no longer needed.
struct Wav(PathBuf);

impl Wav {
    fn new(bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("visavis-tone-{}.wav", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        Self(path)
    }
}

impl Drop for Wav {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
