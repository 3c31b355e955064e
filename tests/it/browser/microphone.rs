//! io: a microphone that says what a test wants when it wants it
//!
//! The page calls `getUserMedia` as always and gets a real `MediaStream`, silent until [`say`]. From there on all is
//! Chromium's own: its Opus encoder, its jitter buffer, its network.

use base64::Engine;

use super::Page;

/// Puts the microphone into every document that `page` opens from now on.
pub async fn install(page: &Page) {
    page.before_load(SCRIPT).await;
}

/// Says a WAV into the microphone and returns when its last sample is spoken: when that was on the page's clock,
/// milliseconds. Speech over speech adds up.
pub async fn say(page: &Page, wav: &[u8]) -> f64 {
    start(page, wav).await;
    page.eval("window.testMicrophone.spoken()").await.as_f64().expect("a time")
}

/// Begins to say a WAV and returns at once.
pub async fn start(page: &Page, wav: &[u8]) {
    let text = base64::engine::general_purpose::STANDARD.encode(wav);
    page.eval(&format!("window.testMicrophone.start('{text}')")).await;
}

const SCRIPT: &str = r#"
(() => {
  if (!navigator.mediaDevices) return; // an insecure or empty document
  let context, out, last = Promise.resolve();
  const open = () => {
    if (context) return;
    context = new AudioContext({ sampleRate: 48000 });
    out = context.createMediaStreamDestination();
    const hum = context.createConstantSource(); // silence, but without a pause in its samples
    const off = context.createGain();
    off.gain.value = 0;
    hum.connect(off).connect(out);
    hum.start();
  };
  window.testMicrophone = {
    given: [], // every track that the page got
    async start(base64) {
      open();
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      const source = new AudioBufferSourceNode(context, { buffer: await context.decodeAudioData(bytes.buffer) });
      source.connect(out);
      last = new Promise((done) => { source.onended = done; });
      source.start();
    },
    async spoken() { await last; return performance.now(); },
  };
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    if (!wanted.audio || wanted.video) throw new DOMException('this test gives sound alone', 'NotFoundError');
    open();
    await context.resume();
    const stream = out.stream.clone();
    window.testMicrophone.given.push(...stream.getTracks());
    return stream;
  };
})();
"#;
