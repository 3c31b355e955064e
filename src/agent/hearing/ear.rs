//! dsp: packets as they come from the network become one stream of 16 kHz sound

use bytes::Bytes;

use crate::media::opus::MicDecoder;
use crate::media::reorder::{Reorder, Step};

/// One caller's decoder, with what it waits for. Travels with its job on the pool.
pub struct Ear {
    reorder: Reorder<Bytes>,
    decoder: MicDecoder,
    /// Samples of the last packet: what a lost one is taken to have had.
    usual: usize,
    /// Packets that were no Opus.
    pub refused: u64,
}

impl Ear {
    pub fn new() -> Self {
        Self { reorder: Reorder::new(PATIENCE), decoder: MicDecoder::new(), usual: 320, refused: 0 }
    }

    /// Takes a packet in and appends what can be heard by now to `out`: 16 kHz mono, full scale ±1.0. A lost packet is
    /// recovered from the coarse copy in the one behind it, or concealed; a longer gap is silence, up to a second of it.
    pub fn hear(&mut self, seq: u64, packet: Bytes, out: &mut Vec<f32>) {
        self.reorder.push(seq, packet);
        while let Some(step) = self.reorder.pop() {
            match step {
                Step::Packet(packet) => match self.decoder.decode(&packet, out) {
                    Ok(samples) => self.usual = samples,
                    Err(_) => {
                        self.refused += 1;
                        self.conceal(out);
                    }
                },
                Step::Lost => {
                    let recovered = self.reorder.following().map(|next| self.decoder.recover(next, self.usual, out));
                    if !matches!(recovered, Some(Ok(_))) {
                        self.conceal(out);
                    }
                }
                Step::Jumped { lost } => {
                    let silence = (lost as usize).saturating_mul(self.usual).min(LONGEST_SILENCE);
                    out.resize(out.len() + silence, 0.0);
                }
            }
        }
    }

    /// How many samples `packet` will become; what is no packet is concealed, and becomes the usual number.
    pub fn samples_in(&self, packet: &[u8]) -> usize {
        self.decoder.samples_in(packet).unwrap_or(self.usual)
    }

    fn conceal(&mut self, out: &mut Vec<f32>) {
        if self.decoder.conceal(self.usual, out).is_err() {
            out.resize(out.len() + self.usual, 0.0);
        }
    }
}

/// Two packets behind a missing one, it is lost: 40 ms of patience, which the decoder's in-band copy makes good use of.
const PATIENCE: usize = 2;

/// A second at 16 kHz: as much as ends any turn.
const LONGEST_SILENCE: usize = 16_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::opus::Encoder;
    use crate::media::sound::{FRAME, rms};

    fn packets(n: usize) -> Vec<Bytes> {
        let mut encoder = Encoder::new();
        encoder.set_expected_loss(0.1);
        (0..n)
            .map(|f| {
                let frame = std::array::from_fn(|i| 0.3 * ((f * FRAME + i) as f32 * 0.06).sin());
                Bytes::copy_from_slice(encoder.encode(&frame).unwrap())
            })
            .collect()
    }

    /// Swapped, lost and broken packets: every 20 ms is there exactly once, and sounds.
    #[test]
    fn every_packet_time_is_heard_once() {
        let sent = packets(60);
        let mut ear = Ear::new();
        let mut out = vec![];
        for at in [0usize, 1, 2, 4, 3, 5, 6, 8, 9, 10, 11, 12, 13].into_iter().chain(14..60) {
            let packet = if at == 20 { Bytes::from_static(b"") } else { sent[at].clone() };
            ear.hear(at as u64, packet, &mut out);
        }
        assert_eq!(out.len(), 60 * 320);
        assert_eq!(ear.refused, 1);
        assert!(out[4 * 320..].chunks(320).all(|frame| rms(frame) > 0.1), "also where packet 7 was lost");
    }

    /// A minute without packets is a second of silence, not a minute of work.
    #[test]
    fn a_long_gap_is_short_work() {
        let sent = packets(4);
        let mut ear = Ear::new();
        let mut out = vec![];
        for (seq, packet) in [0, 1, 3_000, 3_001].into_iter().zip(sent) {
            ear.hear(seq, packet, &mut out);
        }
        assert_eq!(out.len(), 4 * 320 + LONGEST_SILENCE);
    }
}
