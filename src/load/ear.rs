//! dsp: what a caller hears: packets put in order and decoded onto one timeline
//!
//! The timeline counts 24 kHz samples from the RTP time of the first packet, so a place in it is a moment of the sender's
//! media clock, whenever it arrived.

use std::time::Instant;

use bytes::Bytes;

use crate::media::opus::Decoder;
use crate::media::reorder::{Reorder, Step};
use crate::media::sound::{FRAME, rms};
use crate::media::time::{MediaTime, Samples};
use crate::rtc::AudioPacket;

use super::answer::Heard;
use super::jitter::Position;

/// 60 ms of 20 ms packets: what a browser's jitter buffer holds on a good line.
const PATIENCE: usize = 3;

/// A timeline that grows with the call: 5.8 MB a minute.
#[derive(Default)]
pub struct Tape {
    /// 24 kHz mono from the first packet on, full scale ±1.0. Where nothing came, and before a hole is settled: silence.
    pub sound: Vec<f32>,
    pub packets: Vec<PacketNote>,
    /// The RTP time (48 kHz) of `sound[0]`.
    pub first_rtp: Option<u32>,
    pub losses: Losses,
}

/// One packet that arrived in time.
#[derive(Clone, Copy, Debug)]
pub struct PacketNote {
    pub position: MediaTime,
    pub arrival: Instant,
    pub bytes: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// Packets that never came in time.
    pub lost: u64,
    /// Of them: restored from the copy in their successor. The rest was concealed, or left silent when many were missing.
    pub recovered: u64,
    /// Packets that came too late or twice.
    pub late: u64,
    /// Packets that Opus refused.
    pub broken: u64,
}

/// The ear of one caller.
pub struct Ear {
    reorder: Reorder<AudioPacket>,
    decoder: AnyDecoder,
    /// The last packet's sound.
    last: Vec<f32>,
    length: Position,
    /// The last packet that was decoded, when nothing could be heard in it.
    quiet: Option<Bytes>,
    loudest: f32,
}

enum AnyDecoder {
    /// What a tape keeps.
    Full(Decoder<24_000>),
    /// Enough to hear whether there is a voice, for two thirds of the time.
    Level(Decoder<16_000>),
}

impl Ear {
    /// An ear whose sound is kept.
    pub fn recording() -> Self {
        Self::with(AnyDecoder::Full(Decoder::new()))
    }

    /// An ear that only hears whether there is something to hear.
    pub fn measuring() -> Self {
        Self::with(AnyDecoder::Level(Decoder::new()))
    }

    fn with(decoder: AnyDecoder) -> Self {
        let reorder = Reorder::new(PATIENCE);
        Self { reorder, decoder, last: vec![], length: Samples::from_ms(20), quiet: None, loudest: 0.0 }
    }

    /// Takes a packet, and gives what it settles, in order, each with its number. A recording ear puts the sound on the
    /// `tape`, and fills in there what was lost.
    pub fn hear(&mut self, packet: AudioPacket, tape: &mut Tape, mut heard: impl FnMut(u64, Heard)) {
        tape.first_rtp.get_or_insert(packet.rtp.wrapping_sub(packet.media_time.0 as u32));
        self.reorder.push(packet.seq, packet);
        while let Some(step) = self.reorder.pop() {
            match step {
                Step::Packet(packet) => {
                    let audible = self.play(&packet, tape);
                    let AudioPacket { seq, media_time: position, arrival, .. } = packet;
                    heard(seq, Heard { arrival, position, length: self.length, audible });
                }
                Step::Lost => self.fill(tape),
                // Silence is laid under it when the next packet says how much.
                Step::Jumped { lost } => tape.losses.lost += lost,
            }
        }
        tape.losses.late = self.reorder.late();
    }

    /// Whether anything can be heard in a packet.
    fn play(&mut self, packet: &AudioPacket, tape: &mut Tape) -> bool {
        match &mut self.decoder {
            AnyDecoder::Full(decoder) => {
                let position: MediaTime = packet.media_time.at_rate();
                // Fillings are guesses of 20 ms each; the packet knows its place.
                tape.sound.resize(position.0 as usize, 0.0);
                tape.packets.push(PacketNote { position, arrival: packet.arrival, bytes: packet.bytes.len() });
                let from = tape.sound.len();
                let broken = decoder.decode(&packet.bytes, &mut tape.sound).is_err();
                if broken {
                    tape.losses.broken += 1;
                    // Concealing cannot fail for a whole frame; should it, the place stays silent.
                    let _ = decoder.conceal(FRAME, &mut tape.sound);
                }
                self.last.clear();
                self.last.extend_from_slice(&tape.sound[from..]);
                self.length = MediaTime::at_rate(Samples(self.last.len() as u64));
                !broken && self.is_audible()
            }
            // An encoder that hears nothing repeats itself. The decoder need not be told: it has settled, too.
            AnyDecoder::Level(_) if self.quiet.as_ref() == Some(&packet.bytes) => false,
            AnyDecoder::Level(decoder) => {
                self.last.clear();
                if decoder.decode(&packet.bytes, &mut self.last).is_err() {
                    tape.losses.broken += 1;
                    return false;
                }
                self.length = Samples::<16_000>(self.last.len() as u64).at_rate();
                let audible = self.is_audible();
                self.quiet = (!audible).then(|| packet.bytes.clone());
                audible
            }
        }
    }

    fn is_audible(&mut self) -> bool {
        let level = rms(&self.last);
        self.loudest = self.loudest.max(level);
        level > (self.loudest * AUDIBLE).clamp(LEAST, MOST)
    }

    fn fill(&mut self, tape: &mut Tape) {
        tape.losses.lost += 1;
        let AnyDecoder::Full(decoder) = &mut self.decoder else { return };
        let restored = match self.reorder.following() {
            Some(next) => decoder.recover(&next.bytes, FRAME, &mut tape.sound),
            None => decoder.conceal(FRAME, &mut tape.sound),
        };
        tape.losses.recovered += u64::from(self.reorder.following().is_some() && restored.is_ok());
    }
}

/// A packet is audible above this share of the loudest one's level (−34 dB), as in what the caller says: below the ends of
/// words, above the noise of a voice.
const AUDIBLE: f32 = 0.02;

/// Whatever the loudest is (and before anything loud has come): the silence of our agent decodes to less than 0.0001, the
/// comfort noise of others lies around 0.001 (−60 dB).
const LEAST: f32 = 0.002;

/// A voice lies around 0.05, a frame of it rarely below this; a shout must not make quiet words silence.
const MOST: f32 = 0.01;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::opus::Encoder;

    fn packets(count: usize) -> Vec<AudioPacket> {
        let mut encoder = Encoder::new();
        encoder.set_expected_loss(0.2);
        (0..count)
            .map(|n| {
                let frame = std::array::from_fn(|i| 0.3 * ((n * FRAME + i) as f32 * 0.05).sin());
                AudioPacket {
                    seq: 100 + n as u64,
                    rtp: 7_000 + 960 * n as u32,
                    media_time: Samples(960 * n as u64),
                    arrival: Instant::now(),
                    bytes: Bytes::copy_from_slice(encoder.encode(&frame).unwrap()),
                }
            })
            .collect()
    }

    /// Losses, swaps and a long hole: everything that came lies at its RTP time, and the count is right.
    #[test]
    fn everything_lies_where_its_clock_says() {
        let all = packets(200);
        let mut ear = Ear::recording();
        let mut tape = Tape::default();
        let mut heard = vec![];
        for n in (0..50).chain([52, 51]).chain(53..80).chain(81..100).chain(150..200) {
            ear.hear(all[n].clone(), &mut tape, |seq, packet| heard.push((seq, packet.audible)));
        }
        assert_eq!(tape.first_rtp, Some(7_000));
        assert_eq!(tape.sound.len(), 200 * FRAME);
        // 50 was missing when 52, 51 and 53 had come; 80 alone; and 100–149 in one hole.
        assert_eq!(tape.losses, Losses { lost: 52, recovered: 2, late: 0, broken: 0 });
        assert!(tape.packets.windows(2).all(|pair| pair[0].position < pair[1].position));
        let levels: Vec<f32> = [49, 50, 51, 79, 80, 81].map(|n| rms(&tape.sound[n * FRAME..(n + 1) * FRAME])).into();
        assert!(levels[4] > 0.05, "the lost one was filled in: {levels:?}");
        assert!(rms(&tape.sound[110 * FRAME..140 * FRAME]) < 1e-6, "the hole is silent");
        assert!(rms(&tape.sound[160 * FRAME..]) > 0.15);
        assert!(heard.iter().map(|(seq, _)| seq - 100).eq((0..50).chain(51..80).chain(81..100).chain(150..200)));
        assert!(heard.iter().all(|(_, audible)| *audible));
    }

    /// What is judged by its level alone is judged as what is kept: a word between silences is heard in the same packets,
    /// and silence that repeats itself is not even decoded.
    #[test]
    fn a_measuring_ear_hears_what_a_recording_one_hears() {
        let mut encoder = Encoder::new();
        let all: Vec<AudioPacket> =
            (0..300u64)
                .map(|n| {
                    let loud = (100..150).contains(&n) || (250..270).contains(&n);
                    let frame = std::array::from_fn(|i| {
                        if loud { 0.2 * ((n as usize * FRAME + i) as f32 * 0.05).sin() } else { 0.0 }
                    });
                    let bytes = Bytes::copy_from_slice(encoder.encode(&frame).unwrap());
                    let rtp = 960 * n as u32;
                    AudioPacket { seq: n, rtp, media_time: Samples(960 * n), arrival: Instant::now(), bytes }
                })
                .collect();
        let audible = |mut ear: Ear| {
            let mut numbers = vec![];
            for packet in &all {
                ear.hear(packet.clone(), &mut Tape::default(), |seq, heard| {
                    assert_eq!(heard.length, Samples::from_ms(20));
                    numbers.extend(heard.audible.then_some(seq));
                });
            }
            numbers
        };
        let heard = audible(Ear::measuring());
        assert_eq!(heard, audible(Ear::recording()));
        // The codec is 6.5 ms late, and rings for a moment.
        let (first, second): (Vec<u64>, Vec<u64>) = heard.into_iter().partition(|&seq| seq < 200);
        assert!(first[0] == 100 && (150..=151).contains(&first[first.len() - 1]), "{first:?}");
        assert!(second[0] == 250 && (270..=271).contains(&second[second.len() - 1]), "{second:?}");
        let repeated = (60..95).filter(|&n| all[n].bytes == all[n - 1].bytes).count();
        assert!(repeated > 30, "silence repeats itself: {repeated} of 35");
    }
}
