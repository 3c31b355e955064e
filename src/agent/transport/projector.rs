//! task: pictures go through the film to the call, as fast as the path takes them

use tokio::sync::{mpsc, watch};

use super::film::{EncodedFrame, Film, FilmError};
use crate::agent::flow::Picture;
use crate::runtime::lane::Shed;

/// What the call knows of the path to the peer: the latest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Path {
    /// Bits per second, once there is an estimate.
    pub estimate_bps: Option<u64>,
    /// Requests for a keyframe so far.
    pub keyframes_wanted: u64,
    /// Video leaves more slowly than it comes.
    pub jammed: bool,
}

/// Encodes until the avatar or the transport hangs up.
pub async fn run(
    mut pictures: Shed<Picture>,
    frames: mpsc::Sender<EncodedFrame>,
    mut path: watch::Receiver<Path>,
    mut film: Film,
    audio_bps: u64,
) -> Result<(), FilmError> {
    let mut answered = 0;
    while let Some(picture) = pictures.recv().await {
        let now = *path.borrow_and_update();
        if now.keyframes_wanted > answered {
            answered = now.keyframes_wanted;
            film.keyframe_wanted();
        }
        if let Some(estimate) = now.estimate_bps {
            film.estimated(estimate, audio_bps);
        }
        film.backlog(if now.jammed { usize::MAX } else { 0 });
        if let Some(frame) = film.encode(picture).await?
            && frames.send(frame).await.is_err()
        {
            return Ok(());
        }
    }
    Ok(())
}
