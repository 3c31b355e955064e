//! task: the stage's frames become Opus packets on the pool

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::agent::flow::Sound;
use crate::media::opus::Encoder;
use crate::media::sound::SILENCE;
use crate::media::time::MediaTime;
use crate::metrics::{Codec, Metrics, Object};
use crate::runtime::clock;
use crate::runtime::lane::Shed;
use crate::runtime::pool::{Class, Pool, PoolError};

/// 20 ms of Opus that play at `media_time`.
#[derive(Clone, Debug)]
pub struct Packet {
    pub media_time: MediaTime,
    pub opus: Arc<[u8]>,
}

/// Encodes until the stage or the transport hangs up. `loss` is the share of packets that the peer loses, 0–1.
pub async fn run(
    mut sound: Shed<Sound>,
    packets: mpsc::Sender<Packet>,
    mut loss: watch::Receiver<f32>,
    complexity: u8,
    pool: Pool,
    metrics: Metrics,
) -> Result<(), PoolError> {
    let _encoder = metrics.live(Object::OpusEncoder);
    let mut encoder = Box::new(Encoder::new());
    encoder.set_complexity(complexity);
    // How many frames of silence there were in a row, and what the last became.
    let (mut silent, mut silence) = (0, None);
    while let Some(sound) = sound.recv().await {
        // RTP needs no end of a turn: silence follows.
        let Sound::Frame { media_time, pcm, .. } = sound else { continue };
        silent = if pcm == SILENCE { silent + 1 } else { 0 };
        if silent > SETTLED
            && let Some(opus) = silence.clone()
        {
            if packets.send(Packet { media_time, opus }).await.is_err() {
                return Ok(());
            }
            continue;
        }
        let expected = loss.has_changed().unwrap_or(false).then(|| *loss.borrow_and_update());
        let measure = metrics.clone();
        let job = move || {
            let began = clock::now();
            if let Some(fraction) = expected {
                encoder.set_expected_loss(fraction);
            }
            let opus = encoder.encode(&pcm).map(Arc::<[u8]>::from).ok();
            measure.encoded(Codec::OpusEncode, clock::now() - began, FRAME);
            (encoder, opus)
        };
        let opus;
        (encoder, opus) = pool.run(Class::Sound, FRAME, job).await?;
        // libopus refuses no frame of the right size; if it did, the peer would conceal 20 ms.
        let Some(opus) = opus else { continue };
        silence = (silent > 0).then(|| opus.clone());
        if packets.send(Packet { media_time, opus }).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

/// After so many frames of silence (0.4 s) the encoder repeats itself, and so do we without it: half of a call's frames
/// are silence.
const SETTLED: u32 = 20;

const FRAME: Duration = Duration::from_millis(20);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::opus::Decoder;
    use crate::media::sound::{FRAME as SAMPLES, rms};
    use crate::media::time::Samples;
    use crate::metrics::LaneName;
    use crate::runtime::lane;

    /// Silence is encoded until it is settled and repeated from then on; the ear hears silence, and the voice behind it
    /// as if nothing had been left out.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn settled_silence_is_repeated() {
        const VOICE: usize = 40;
        // A minute: what is repeated for that long decodes to silence still.
        const STILL: usize = 3_000;
        const BACK: usize = VOICE + STILL;
        let metrics = Metrics::new();
        let (sound, sound_out) = lane::shedding(LaneName::Sound, 2 * VOICE + STILL, &metrics);
        let (packets, mut packets_out) = lane::waiting(2 * VOICE + STILL);
        let (_loss, loss_out) = watch::channel(0.0);
        for n in 0..2 * VOICE + STILL {
            let pcm = match n {
                VOICE..BACK => SILENCE,
                _ => std::array::from_fn(|i| 0.3 * ((n * SAMPLES + i) as f32 * 0.05).sin()),
            };
            sound.send(Sound::Frame { turn: None, media_time: Samples((n * SAMPLES) as u64), pcm });
        }
        drop(sound);
        run(sound_out, packets, loss_out, 9, Pool::new(1, metrics.clone()), metrics.clone()).await.unwrap();

        let mut decoder = Decoder::<24_000>::new();
        let mut heard = vec![];
        while let Ok(packet) = packets_out.try_recv() {
            assert_eq!(packet.media_time.0 as usize, heard.len());
            decoder.decode(&packet.opus, &mut heard).unwrap();
        }
        assert_eq!(heard.len(), (2 * VOICE + STILL) * SAMPLES);
        let level = |from: usize, to: usize| rms(&heard[from * SAMPLES..to * SAMPLES]);
        assert!(level(VOICE + 5, VOICE + STILL) < 1e-4, "{}", level(VOICE + 5, VOICE + STILL));
        let (before, behind) = (level(5, VOICE), level(VOICE + STILL + 5, 2 * VOICE + STILL));
        assert!((behind / before - 1.0).abs() < 0.05, "{before} before the silence, {behind} behind it");
        let encoded = metrics.render();
        let encoded =
            encoded.lines().find(|line| line.starts_with("visavis_media_seconds_total{codec=\"opus\"}")).unwrap();
        let seconds: f64 = encoded.rsplit(' ').next().unwrap().parse().unwrap();
        assert_eq!((seconds * 50.0).round() as usize, 2 * VOICE + SETTLED as usize);
    }
}
