//! dsp: sound as Whisper sees it: a logarithmic mel spectrogram
//!
//! 25 ms Hann windows every 10 ms, 80 bands, log10 clipped to 8 decades below the loudest, then (x + 4) / 4. Source:
//! openai/whisper `audio.py`; the bands are those of `librosa.filters.mel(sr=16000, n_fft=400, n_mels=80)` (Slaney).

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

pub struct LogMel {
    fft: Arc<dyn RealToComplex<f32>>,
    window: Vec<f32>,
    bands: Vec<Band>,
    frame: Vec<f32>,
    spectrum: Vec<Complex<f32>>,
    scratch: Vec<Complex<f32>>,
    power: Vec<f32>,
}

/// One triangle over the bins from `first` on.
struct Band {
    first: usize,
    weights: Vec<f32>,
}

impl LogMel {
    pub fn new() -> Self {
        let fft = RealFftPlanner::new().plan_fft_forward(WINDOW);
        let hann = |n: usize| 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / WINDOW as f64).cos();
        Self {
            window: (0..WINDOW).map(|n| hann(n) as f32).collect(),
            bands: bands(),
            frame: fft.make_input_vec(),
            spectrum: fft.make_output_vec(),
            scratch: fft.make_scratch_vec(),
            power: vec![0.0; WINDOW / 2 + 1],
            fft,
        }
    }

    /// The spectrogram `[80, frames]`, band after band, of `pcm` (16 kHz) followed by silence; `frames` of 10 ms each.
    pub fn draw(&mut self, pcm: &[f32], frames: usize) -> Vec<f32> {
        let mut mel = vec![FLOOR.log10(); BANDS * frames];
        // Whatever lies beyond the sound is silence, and silence needs no transform.
        let sounding = frames.min((pcm.len() + WINDOW / 2).div_ceil(HOP));
        for at in 0..sounding {
            self.transform(pcm, at);
            for (band, triangle) in self.bands.iter().enumerate() {
                let bins = &self.power[triangle.first..][..triangle.weights.len()];
                let sum: f32 = bins.iter().zip(&triangle.weights).map(|(power, weight)| power * weight).sum();
                mel[band * frames + at] = sum.max(FLOOR).log10();
            }
        }
        let floor = mel.iter().copied().fold(f32::MIN, f32::max) - 8.0;
        for value in &mut mel {
            *value = (value.max(floor) + 4.0) / 4.0;
        }
        mel
    }

    /// The power spectrum of the window centred on `at`; before its beginning the sound is mirrored.
    fn transform(&mut self, pcm: &[f32], at: usize) {
        for (n, (sample, window)) in self.frame.iter_mut().zip(&self.window).enumerate() {
            let from_start = (at * HOP + n) as isize - (WINDOW / 2) as isize;
            *sample = window * pcm.get(from_start.unsigned_abs()).copied().unwrap_or(0.0);
        }
        self.fft
            .process_with_scratch(&mut self.frame, &mut self.spectrum, &mut self.scratch)
            .expect("the buffers were made by this transform");
        for (power, bin) in self.power.iter_mut().zip(&self.spectrum) {
            *power = bin.norm_sqr();
        }
    }
}

/// Triangles whose corners are equally far apart on Slaney's mel scale (linear to 1 kHz, then logarithmic), each of the
/// same area.
fn bands() -> Vec<Band> {
    let top = hz_to_mel(8_000.0);
    let corner = |n: usize| mel_to_hz(top * n as f64 / (BANDS + 1) as f64);
    (0..BANDS)
        .map(|band| {
            let (low, centre, high) = (corner(band), corner(band + 1), corner(band + 2));
            let weight = |bin: usize| {
                let hz = bin as f64 * 16_000.0 / WINDOW as f64;
                let rising = (hz - low) / (centre - low);
                let falling = (high - hz) / (high - centre);
                (rising.min(falling).max(0.0) * 2.0 / (high - low)) as f32
            };
            let inside: Vec<usize> = (0..=WINDOW / 2).filter(|bin| weight(*bin) > 0.0).collect();
            let first = inside.first().copied().unwrap_or(0);
            Band { first, weights: inside.into_iter().map(weight).collect() }
        })
        .collect()
}

fn hz_to_mel(hz: f64) -> f64 {
    if hz < 1_000.0 { hz * 3.0 / 200.0 } else { 15.0 + (hz / 1_000.0).ln() / LOG_STEP }
}

fn mel_to_hz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1_000.0 * ((mel - 15.0) * LOG_STEP).exp() }
}

pub const BANDS: usize = 80;
/// Samples from one frame to the next: 10 ms.
pub const HOP: usize = 160;
const WINDOW: usize = 400;
const FLOOR: f32 = 1e-10;
/// ln(6.4) / 27
const LOG_STEP: f64 = 0.068_751_777_420_949_1;

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone lights up the band it lies in, and eight decades below it everything is equally dark.
    #[test]
    fn a_tone_has_its_band() {
        let mut mel = LogMel::new();
        for hz in [200.0, 1_000.0, 3_000.0, 7_000.0f64] {
            let tone: Vec<f32> =
                (0..16_000).map(|n| (std::f64::consts::TAU * hz * f64::from(n) / 16_000.0).sin() as f32).collect();
            let drawn = mel.draw(&tone, 120);
            let at_50 = |band: usize| drawn[band * 120 + 50];
            let loudest = (0..BANDS).max_by(|a, b| at_50(*a).total_cmp(&at_50(*b))).unwrap();
            let expected = hz_to_mel(hz) / hz_to_mel(8_000.0) * 81.0 - 1.0;
            assert!((loudest as f64 - expected).abs() <= 1.0, "{hz} Hz in band {loudest}, not {expected}");
            let (top, dark) = (at_50(loudest), drawn[loudest * 120 + 119]);
            assert!((top - dark - 2.0).abs() < 0.05, "{top} {dark}");
        }
    }

    /// The area of every triangle is that of its neighbours (2 / width · width / 2 = 1 per Hz, 40 Hz a bin), where it is
    /// wide enough to be sampled.
    #[test]
    fn bands_weigh_the_same() {
        for (at, band) in bands().iter().enumerate().skip(20) {
            let area: f32 = band.weights.iter().sum::<f32>() * 40.0;
            assert!((area - 1.0).abs() < 0.35, "band {at}: {area}");
        }
        assert!(bands().iter().all(|band| !band.weights.is_empty()));
    }
}
