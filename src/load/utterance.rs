//! dsp: recorded speech, encoded once, said as often as wanted
//!
//! A thousand callers that say the same sentence share its packets: a call then costs no encoder at all.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::media::opus::{Encoder, OpusError};
use crate::media::resample;
use crate::media::sound::{FRAME, SILENCE, rms};

/// Speech as Opus packets of 20 ms. Clones share them.
#[derive(Clone, Debug)]
pub struct Utterance {
    packets: Arc<[Packet]>,
    /// The packets from the first audible sample to the last.
    speech: Range<usize>,
}

/// One Opus packet; shared, since it is sent again and again.
pub type Packet = Arc<[u8]>;

impl Utterance {
    /// Encodes mono `pcm` (full scale ±1.0) of `hz` samples per second.
    pub fn encode(pcm: &[f32], hz: u32) -> Result<Self, OpusError> {
        let converted;
        let pcm = if hz == 24_000 {
            pcm
        } else {
            converted = resample::convert(pcm, hz, 24_000);
            &converted
        };
        let mut encoder = Encoder::new();
        let mut packets = Vec::with_capacity(pcm.len() / FRAME + 1);
        for chunk in pcm.chunks(FRAME) {
            let mut frame = SILENCE;
            frame[..chunk.len()].copy_from_slice(chunk);
            packets.push(Packet::from(encoder.encode(&frame)?));
        }
        Ok(Self { packets: packets.into(), speech: speech(pcm) })
    }

    /// How long it takes to say, with the silence at its end.
    pub fn length(&self) -> Duration {
        PACKET * self.packets.len() as u32
    }

    /// How long until its last audible sample.
    pub fn speech_length(&self) -> Duration {
        PACKET * self.speech.end as u32
    }

    /// How long until its first audible sample.
    pub fn onset(&self) -> Duration {
        PACKET * self.speech.start as u32
    }

    pub(super) fn packets(&self) -> &[Packet] {
        &self.packets
    }

    pub(super) fn speech(&self) -> Range<usize> {
        self.speech.clone()
    }
}

/// What a microphone in a quiet room sends between utterances: a few packets, to be repeated in turn.
pub(super) fn silence() -> Result<Vec<Packet>, OpusError> {
    let mut encoder = Encoder::new();
    let mut packets = Vec::new();
    for _ in 0..SETTLED + 2 {
        packets.push(Packet::from(encoder.encode(&SILENCE)?));
    }
    Ok(packets.split_off(SETTLED))
}

/// One packet.
pub(super) const PACKET: Duration = Duration::from_millis(20);

/// After so many silent frames the encoder repeats itself.
const SETTLED: usize = 20;

/// A frame counts as audible above this share of the loudest frame's level (−34 dB): above the noise of recordings, below
/// the ends of words.
const AUDIBLE: f32 = 0.02;

/// The frames from the first audible one to the last.
fn speech(pcm: &[f32]) -> Range<usize> {
    let levels: Vec<f32> = pcm.chunks(FRAME).map(rms).collect();
    let loudest = levels.iter().copied().fold(0.0, f32::max);
    let audible = |&level: &f32| level > loudest * AUDIBLE;
    let first = levels.iter().position(audible).unwrap_or(0);
    first..levels.iter().rposition(audible).map_or(first, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Speech lasts from the first loud frame to the last, whatever silence the recording has at either end.
    #[test]
    fn speech_lies_between_its_silences() {
        let mut pcm: Vec<f32> = vec![0.0; 4_800];
        pcm.extend((0..16_000).map(|n| 0.3 * (n as f32 * 0.1).sin()));
        pcm.extend((0..8_000).map(|n| 0.001 * (n as f32 * 0.3).sin()));
        let utterance = Utterance::encode(&pcm, 16_000).unwrap();
        assert_eq!(utterance.length(), Duration::from_millis(1800));
        let speech = utterance.speech_length();
        assert!((1_280..=1_340).contains(&speech.as_millis()), "{speech:?}");
        let onset = utterance.onset();
        assert!((280..=300).contains(&onset.as_millis()), "{onset:?}");
    }

    #[test]
    fn nothing_is_sayable_too() {
        let nothing = Utterance::encode(&[], 24_000).unwrap();
        assert_eq!((nothing.length(), nothing.speech_length()), (Duration::ZERO, Duration::ZERO));
        assert!(!silence().unwrap().is_empty());
    }
}
