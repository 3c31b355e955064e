//! dsp: one sampling rate into another
//!
//! Two kinds, because delay and odd rates pull apart:
//! - [`Polyphase`] for streams: a windowed-sinc FIR with about 1 ms of look-ahead, no drift (integer phases), and
//!   nothing that is allocated after the first calls. For voice on its way to an ear: 22.05 -> 24 kHz is 160/147.
//! - [`convert`] for whole recordings of any rate: rubato's FFT method, whose 10 ms of delay do not matter there.
//!
//! Interpolation by polynomials, the cheap third kind, leaves images at -11 to -16 dB and is never used for voice.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

/// A streaming resampler, mono.
///
/// The output is on the timeline of the input: sample `n` of it is the input at `n * from / to`. The last
/// [`Polyphase::lookahead`] input samples are held back until [`Polyphase::flush`].
pub struct Polyphase {
    up: usize,
    down: usize,
    /// `[phase][tap]`, taps oldest input first, so that one output is one dot product.
    bank: Vec<f32>,
    taps: usize,
    /// Input from `taps - 1` before the next output's newest sample on.
    window: Vec<f32>,
    /// Position of the next output on the grid of `from * up`, counted from `window[0]`'s output.
    phase: usize,
    taken: u64,
    given: u64,
}

impl Polyphase {
    /// # Panics
    /// When a rate is 0: rates are constants of models and codecs.
    pub fn new(from_hz: u32, to_hz: u32) -> Self {
        assert!(from_hz > 0 && to_hz > 0, "a sampling rate is positive");
        let common = gcd(from_hz, to_hz);
        let (up, down) = ((to_hz / common) as usize, (from_hz / common) as usize);
        // Going down, the filter is as much longer as its cutoff is lower.
        let stretch = (f64::from(from_hz) / f64::from(to_hz)).max(1.0);
        let taps = ((TAPS as f64 * stretch).ceil() as usize).next_multiple_of(8);
        let mut resampler =
            Self { up, down, bank: bank(up, taps, stretch), taps, window: Vec::new(), phase: 0, taken: 0, given: 0 };
        resampler.reset();
        resampler
    }

    /// Input samples that are held back: half the filter.
    pub fn lookahead(&self) -> usize {
        self.taps / 2
    }

    /// Appends to `out` what `input` completes.
    pub fn process(&mut self, input: &[f32], out: &mut Vec<f32>) {
        self.taken += input.len() as u64;
        self.push(input, out, u64::MAX);
    }

    /// Appends the rest, as if silence followed, so that `n` samples in all became `ceil(n * to / from)`; then the
    /// resampler is as new.
    pub fn flush(&mut self, out: &mut Vec<f32>) {
        let total = (self.taken * self.up as u64).div_ceil(self.down as u64);
        let silence = [0.0; 64];
        while self.given < total {
            self.push(&silence, out, total);
        }
        self.reset();
    }

    fn reset(&mut self) {
        self.window.clear();
        // Output 0 is centred on input 0: half of its window lies before the beginning.
        self.window.resize(self.taps / 2 - 1, 0.0);
        (self.phase, self.taken, self.given) = (0, 0, 0);
    }

    fn push(&mut self, input: &[f32], out: &mut Vec<f32>, limit: u64) {
        self.window.extend_from_slice(input);
        loop {
            let start = self.phase / self.up;
            let Some(window) = self.window.get(start..start + self.taps) else { break };
            if self.given == limit {
                break;
            }
            let row = (self.phase % self.up) * self.taps;
            out.push(dot(window, &self.bank[row..row + self.taps]));
            self.phase += self.down;
            self.given += 1;
        }
        let done = (self.phase / self.up).min(self.window.len());
        self.window.drain(..done);
        self.phase -= done * self.up;
    }
}

/// A whole recording at another rate; the same duration, to a sample. Equal rates give the samples back.
pub fn convert(pcm: &[f32], from_hz: u32, to_hz: u32) -> Vec<f32> {
    if from_hz == to_hz || pcm.is_empty() || from_hz == 0 || to_hz == 0 {
        return pcm.to_vec();
    }
    let mut fft = Fft::<f32>::new(from_hz as usize, to_hz as usize, 1024, 1, FixedSync::Both)
        .expect("the rates and the chunk are positive");
    let input = InterleavedSlice::new(pcm, 1, pcm.len()).expect("one channel of exactly this length");
    fft.process_all(&input, pcm.len(), None).expect("the buffers are made for this length").take_data()
}

/// One row of `taps` per phase: a Kaiser-windowed sinc at `from * up`, cut into phases.
fn bank(up: usize, taps: usize, stretch: f64) -> Vec<f32> {
    let mut bank = vec![0.0f32; up * taps];
    let half = taps as f64 / 2.0;
    let cutoff = CUTOFF / stretch;
    for phase in 0..up {
        let row = &mut bank[phase * taps..(phase + 1) * taps];
        let offset = phase as f64 / up as f64;
        for (tap, value) in row.iter_mut().enumerate() {
            // Distance in input samples between this tap's sample and the output.
            let t = tap as f64 - (half - 1.0) - offset;
            *value = (cutoff * sinc(cutoff * t) * kaiser(t / half)) as f32;
        }
        // Every phase passes 0 Hz at exactly 1, else the phases' difference is a tone of its own.
        let sum: f32 = row.iter().sum();
        row.iter_mut().for_each(|v| *v /= sum);
    }
    bank
}

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x.abs() < 1e-9 { 1.0 } else { x.sin() / x }
}

/// Kaiser's window at `x` in -1 ... 1.
fn kaiser(x: f64) -> f64 {
    bessel_i0(KAISER_BETA * (1.0 - x * x).max(0.0).sqrt()) / bessel_i0(KAISER_BETA)
}

/// The power series of I0; 40 terms are exact for arguments below 20.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..40 {
        term *= quarter / f64::from(k * k);
        sum += term;
    }
    sum
}

/// Eight sums, so that the compiler may use its vectors without changing the order of a sum.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Taps per phase when going up: half of them, 24 samples of 22.05 kHz, is the look-ahead of 1.1 ms.
const TAPS: usize = 48;
/// -6 dB point as a share of the lower rate's Nyquist frequency. With 48 taps the response is flat to 0.85 and the
/// images of anything below 0.93 are in the stop band.
const CUTOFF: f64 = 0.94;
/// A stop band of -100 dB: 0.1102 (A - 8.7), Kaiser and Schafer 1980.
const KAISER_BETA: f64 = 10.06;

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate_hz: u32, samples: usize) -> Vec<f32> {
        (0..samples).map(|n| (std::f64::consts::TAU * hz * n as f64 / f64::from(rate_hz)).sin() as f32).collect()
    }

    /// The level of what is left of `got` when the best-fitting tone of `hz` is taken out, and of that tone, in dB
    /// against full scale. The edges, where the window sees silence, are left out.
    fn fit(got: &[f32], hz: f64, rate_hz: u32) -> (f64, f64) {
        let (first, last) = (200, got.len() - 200);
        let (mut ss, mut cc, mut sc, mut ys, mut yc) = (0.0f64, 0.0f64, 0.0f64, 0.0f64, 0.0f64);
        let angle = |n: usize| std::f64::consts::TAU * hz * n as f64 / f64::from(rate_hz);
        for n in first..last {
            let (s, c) = angle(n).sin_cos();
            let y = f64::from(got[n]);
            ss += s * s;
            cc += c * c;
            sc += s * c;
            ys += y * s;
            yc += y * c;
        }
        let det = ss * cc - sc * sc;
        let (a, b) = ((ys * cc - yc * sc) / det, (yc * ss - ys * sc) / det);
        let rest: f64 = (first..last)
            .map(|n| {
                let (s, c) = angle(n).sin_cos();
                (f64::from(got[n]) - a * s - b * c).powi(2)
            })
            .sum::<f64>()
            / (last - first) as f64;
        (10.0 * (a * a + b * b).log10(), 10.0 * (2.0 * rest).log10())
    }

    fn stream(input: &[f32], from: u32, to: u32, piece: usize) -> Vec<f32> {
        let (mut resampler, mut out) = (Polyphase::new(from, to), Vec::new());
        input.chunks(piece).for_each(|c| resampler.process(c, &mut out));
        resampler.flush(&mut out);
        out
    }

    // Voice keeps its level, and whatever else comes out (images, aliases, phase noise) is inaudible.
    #[test]
    fn tones_keep_their_level_and_gain_no_company() {
        for (from, to, band_hz) in [(22_050, 24_000, 9_300.0), (24_000, 16_000, 6_700.0), (24_000, 48_000, 10_000.0)] {
            for share in [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 1.0] {
                let hz = band_hz * share;
                let got = stream(&tone(hz, from, from as usize), from, to, 480);
                let (level, rest) = fit(&got, hz, to);
                assert!(level.abs() < 0.1, "{from} -> {to}: {hz} Hz at {level:.2} dB");
                assert!(rest < -90.0, "{from} -> {to}: {hz} Hz leaves {rest:.1} dB beside it");
            }
        }
    }

    // What the lower rate cannot carry must not come back as something else.
    #[test]
    fn tones_above_the_new_nyquist_vanish() {
        for hz in [8_800.0, 9_500.0, 11_000.0] {
            let got = stream(&tone(hz, 24_000, 24_000), 24_000, 16_000, 480);
            let power: f64 =
                got[200..got.len() - 200].iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / (got.len() - 400) as f64;
            let level = 10.0 * (2.0 * power + 1e-20).log10();
            assert!(level < -90.0, "{hz} Hz aliases at {level:.1} dB");
        }
    }

    // Chunk boundaries are not audible: any cutting of the input gives the very same samples.
    #[test]
    fn any_cutting_gives_the_same_samples() {
        let input = tone(440.0, 22_050, 5_000);
        let whole = stream(&input, 22_050, 24_000, input.len());
        for piece in [1, 7, 256, 4096] {
            assert_eq!(stream(&input, 22_050, 24_000, piece), whole, "pieces of {piece}");
        }
        assert_eq!(whole.len(), (5_000 * 160usize).div_ceil(147));
    }

    // Words keep their times: an impulse stays at its moment, and only the look-ahead is held back.
    #[test]
    fn the_timeline_is_kept() {
        let mut input = vec![0.0; 4_410];
        input[1_470] = 1.0;
        let (mut resampler, mut out) = (Polyphase::new(22_050, 24_000), Vec::new());
        resampler.process(&input, &mut out);
        let peak = (0..out.len()).max_by(|a, b| out[*a].total_cmp(&out[*b])).expect("not empty");
        assert_eq!(peak, 1_600);
        let held = 4_800 - out.len();
        assert!(held <= 27, "{held} samples (24 kHz) are held back");
        assert!(f64::from(resampler.lookahead() as u32) / 22.05 < 1.2, "look-ahead in ms");
    }

    // After the first calls the working memory has found its size.
    #[test]
    fn nothing_grows_in_a_long_stream() {
        let input = tone(300.0, 22_050, 4_096);
        let (mut resampler, mut out) = (Polyphase::new(22_050, 24_000), Vec::with_capacity(8_192));
        for _ in 0..2 {
            out.clear();
            resampler.process(&input, &mut out);
        }
        let (window, room) = (resampler.window.capacity(), out.capacity());
        for _ in 0..200 {
            out.clear();
            resampler.process(&input, &mut out);
        }
        assert_eq!((resampler.window.capacity(), out.capacity()), (window, room));
        assert!(resampler.phase < resampler.up * 2, "the phase does not run away");
    }

    // A recording of an odd rate keeps its duration, its level and its timeline.
    #[test]
    fn recordings_of_odd_rates_are_converted_whole() {
        for from in [8_000, 11_025, 22_050, 44_100, 48_000] {
            let got = convert(&tone(1_000.0, from, from as usize), from, 16_000);
            assert!(got.len().abs_diff(16_000) <= 1, "{from}: {} samples", got.len());
            let (level, rest) = fit(&got[1_000..15_000], 1_000.0, 16_000);
            assert!(level.abs() < 0.1 && rest < -80.0, "{from}: {level:.2} dB, {rest:.1} dB beside it");
        }
        assert_eq!(convert(&[0.5, 0.25], 16_000, 16_000), [0.5, 0.25]);
    }
}
