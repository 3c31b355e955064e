//! data: mono sound, as whole buffers and as the 20 ms frames that every clock in a call ticks in

use super::time::Samples;

/// Mono sound, full scale ±1.0, at `HZ` samples per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pcm<const HZ: u32>(pub Vec<f32>);

impl<const HZ: u32> Pcm<HZ> {
    pub fn len(&self) -> Samples<HZ> {
        Samples(self.0.len() as u64)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Samples in one 20 ms frame at 24 kHz: what an Opus packet carries and what the playout clock ticks in.
pub const FRAME: usize = 480;

/// One 20 ms frame of 24 kHz mono sound, full scale ±1.0. An array, so that it travels without an allocation.
pub type Frame = [f32; FRAME];

pub const SILENCE: Frame = [0.0; FRAME];

/// The length of one frame.
pub const FRAME_LEN: Samples<24_000> = Samples(FRAME as u64);

/// Root mean square of `samples`, full scale 1.0; zero for none.
pub fn rms(samples: &[f32]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
}
