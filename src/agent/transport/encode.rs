//! task: the stage's frames become Opus packets on the pool

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::agent::flow::Sound;
use crate::media::opus::Encoder;
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
    while let Some(sound) = sound.recv().await {
        // RTP needs no end of a turn: silence follows.
        let Sound::Frame { media_time, pcm, .. } = sound else { continue };
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
        if packets.send(Packet { media_time, opus }).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}

const FRAME: Duration = Duration::from_millis(20);
