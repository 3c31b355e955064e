//! io: what a person before the page would hear and see, noted while the call runs
//!
//! Loudness comes from the stream that the page plays, about fifty times a second; pictures from the frames that the
//! page really shows, each compared with the one before where the mouth is and over the whole face.

use std::time::Duration;

use serde_json::Value;

use super::Page;

pub struct Witness<'a> {
    page: &'a Page,
}

impl<'a> Witness<'a> {
    /// Puts the witness into every document that `page` opens from now on. It starts with the call.
    pub async fn install(page: &'a Page) -> Self {
        page.before_load(SCRIPT).await;
        Self { page }
    }

    /// Waits until the page plays something, and begins to take notes.
    pub async fn begin(&self) {
        self.page.wait_until("document.getElementById('face').srcObject?.getAudioTracks().length", CALM).await;
        self.page.eval("window.testWitness.begin()").await;
    }

    /// Waits until sound has been heard for `seconds` in all since `since` (the page's clock, milliseconds).
    pub async fn wait_until_heard(&self, seconds: f64, since: f64) {
        self.page.wait_until(&format!("testWitness.heard({since}) > {seconds}"), CALM).await;
    }

    /// Seconds of audible sound since `since`. (`testWitness.silence` is the longest unbroken stretch without.)
    pub async fn heard(&self, since: f64) -> f64 {
        self.number(&format!("testWitness.heard({since})")).await
    }

    /// How often the picture was a new one since `since`, and how often of these the mouth had moved.
    pub async fn pictures(&self, since: f64) -> (u64, u64) {
        let seen = self.page.eval(&format!("testWitness.pictures({since})")).await;
        (seen[0].as_u64().unwrap(), seen[1].as_u64().unwrap())
    }

    /// The page's clock, milliseconds.
    pub async fn now(&self) -> f64 {
        self.number("performance.now()").await
    }

    async fn number(&self, expression: &str) -> f64 {
        let value = self.page.eval(expression).await;
        value.as_f64().unwrap_or_else(|| panic!("{expression} is {value}"))
    }
}

/// What the captions show: `("user" or "agent", text)` in order.
pub async fn captions(page: &Page) -> Vec<(String, String)> {
    let found = page
        .eval("[...document.querySelectorAll('#log .turn')].map(turn => [turn.dataset.who, turn.querySelector('p').textContent])")
        .await;
    let pair = |turn: &Value| (turn[0].as_str().unwrap().to_owned(), turn[1].as_str().unwrap().to_owned());
    found.as_array().unwrap().iter().map(pair).collect()
}

/// Nothing of a call takes this long, even where the browser has a tenth of a core.
const CALM: Duration = Duration::from_secs(60);

const SCRIPT: &str = r#"
window.testWitness = {
  loud: [], seen: [],
  begin() {
    if (this.context) this.context.close();
    const video = document.getElementById('face');
    const context = (this.context = new AudioContext());
    const analyser = new AnalyserNode(context, { fftSize: 2048 });
    context.createMediaStreamSource(video.srcObject).connect(analyser);
    const wave = new Float32Array(analyser.fftSize);
    clearInterval(this.timer);
    this.timer = setInterval(() => {
      analyser.getFloatTimeDomainData(wave);
      let sum = 0;
      for (const sample of wave) sum += sample * sample;
      this.loud.push([performance.now(), Math.sqrt(sum / wave.length)]);
    }, 20);
    const canvas = new OffscreenCanvas(128, 128);
    const pen = canvas.getContext('2d', { willReadFrequently: true });
    let before = null;
    const look = () => {
      pen.drawImage(video, 0, 0, 128, 128);
      const now = pen.getImageData(0, 0, 128, 128).data;
      if (before) {
        let all = 0, mouth = 0;
        for (let y = 0; y < 128; y++) for (let x = 0; x < 128; x++) {
          const by = Math.abs(now[(y * 128 + x) * 4 + 1] - before[(y * 128 + x) * 4 + 1]);
          all += by;
          if (y > 64 && y < 112 && x > 40 && x < 88) mouth += by;
        }
        this.seen.push([performance.now(), all / (128 * 128), mouth / (47 * 47)]);
      }
      before = now;
      if (video.srcObject) video.requestVideoFrameCallback(look);
    };
    video.requestVideoFrameCallback(look);
  },
  heard(since) {
    let sum = 0, last = null;
    for (const [at, rms] of this.loud) {
      if (at < since) continue;
      if (rms > LIMIT && last !== null) sum += Math.min(at - last, 100);
      last = at;
    }
    return sum / 1000;
  },
  silence(since) {
    let longest = 0, began = null;
    for (const [at, rms] of this.loud) {
      if (at < since) continue;
      if (rms > LIMIT) began = null;
      else longest = Math.max(longest, at - (began ??= at));
    }
    return longest / 1000;
  },
  pictures(since) {
    const seen = this.seen.filter(([at]) => at >= since);
    return [seen.filter(([, all]) => all > 0.01).length, seen.filter(([, , mouth]) => mouth > 1).length];
  },
};
// RMS above which somebody speaks (full scale 1.0): silence through Opus lies far below it, speech far above.
const LIMIT = 0.01;
"#;
