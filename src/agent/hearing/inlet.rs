//! task: packets wait until they fill a chunk of the voice detector, and are then decoded on the pool
//!
//! Nobody looks at less than a chunk (32 ms), so a packet (mostly 20 ms) that fills none need not be decoded yet: two at a time
//! cost the pool half the errands.

use bytes::Bytes;

use super::ear::Ear;
use super::endpoint::CHUNK;
use crate::media::time::Samples;
use crate::metrics::{Codec, Door, Metrics};
use crate::runtime::clock;
use crate::runtime::pool::{Class, Pool, PoolError};

/// One caller's microphone, between the network and the chunks.
pub struct Inlet {
    /// Away while a job runs. Should that job be dropped, a new one begins.
    ear: Option<Box<Ear>>,
    /// In order of arrival, not decoded yet.
    packets: Vec<(u64, Bytes)>,
    /// Samples that they will become.
    expected: usize,
    /// Decoded, and not yet taken: 16 kHz mono, full scale ±1.0.
    pub sound: Vec<f32>,
    pool: Pool,
    metrics: Metrics,
}

impl Inlet {
    pub fn new(pool: Pool, metrics: Metrics) -> Self {
        let sound = Vec::with_capacity(2 * CHUNK.0 as usize);
        Self { ear: None, packets: Vec::with_capacity(2), expected: 0, sound, pool, metrics }
    }

    /// Takes a packet in; decodes what waits once it should fill a chunk.
    pub async fn take(&mut self, seq: u64, packet: Bytes) -> Result<(), PoolError> {
        self.expected += self.ear.get_or_insert_with(|| Box::new(Ear::new())).samples_in(&packet);
        self.packets.push((seq, packet));
        if self.sound.len() + self.expected >= CHUNK.0 as usize { self.decode().await } else { Ok(()) }
    }

    /// Decodes what waits.
    pub async fn decode(&mut self) -> Result<(), PoolError> {
        if self.packets.is_empty() {
            return Ok(());
        }
        let mut ear = self.ear.take().unwrap_or_else(|| Box::new(Ear::new()));
        let (mut packets, mut sound) = (std::mem::take(&mut self.packets), std::mem::take(&mut self.sound));
        let allowed = Samples::<16_000>(std::mem::take(&mut self.expected) as u64).as_duration();
        let metrics = self.metrics.clone();
        let job = move || {
            let began = clock::now();
            let (before, refused) = (sound.len(), ear.refused);
            for (seq, packet) in packets.drain(..) {
                ear.hear(seq, packet, &mut sound);
            }
            for _ in refused..ear.refused {
                metrics.bad_input(Door::Opus);
            }
            let heard = Samples::<16_000>((sound.len() - before) as u64);
            metrics.encoded(Codec::OpusDecode, clock::now() - began, heard.as_duration());
            (ear, packets, sound)
        };
        let (ear, packets, sound) = self.pool.run(Class::Sound, allowed, job).await?;
        (self.ear, self.packets, self.sound) = (Some(ear), packets, sound);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::opus::Encoder;

    /// What is decoded is there as soon as it fills a chunk, and never more than a packet waits.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_chunk_never_waits_for_its_packets() {
        let metrics = Metrics::new();
        let mut inlet = Inlet::new(Pool::new(1, metrics.clone()), metrics);
        let mut encoder = Encoder::new();
        let (mut received, mut taken) = (0, 0);
        for seq in 0..200 {
            let packet = Bytes::copy_from_slice(encoder.encode(&[0.0; 480]).unwrap());
            inlet.take(seq, packet).await.unwrap();
            received += 320;
            let whole = inlet.sound.len() - inlet.sound.len() % CHUNK.0 as usize;
            inlet.sound.drain(..whole);
            taken += whole;
            assert!(received - taken < CHUNK.0 as usize, "packet {seq}: {received} came, {taken} were taken");
        }
        inlet.decode().await.unwrap();
        assert_eq!(taken + inlet.sound.len(), received);
    }
}
