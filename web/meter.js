// How loud the microphone is: a glance says whether one is heard.

export class Meter {
  constructor(element) {
    this.element = element;
  }

  start(stream) {
    const Context = window.AudioContext ?? window.webkitAudioContext;
    if (!Context) return;
    this.context = new Context();
    const analyser = this.context.createAnalyser();
    analyser.fftSize = 512;
    this.context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    let shown = 0;
    // Fifteen times a second is enough for an eye, and costs nothing beside a call.
    this.timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const rms = Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
      const level = Math.min(1, Math.max(0, (20 * Math.log10(rms + 1e-6) + 60) / 50));
      shown = Math.max(level, shown * 0.8);
      this.element.style.setProperty("--level", shown.toFixed(2));
    }, 66);
  }

  stop() {
    clearInterval(this.timer);
    this.context?.close().catch(() => {});
    this.context = null;
    this.element.style.setProperty("--level", "0");
  }
}
