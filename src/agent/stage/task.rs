//! task: feeds the playout and performs what it decides

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

use super::playout::{Input, Output, Playout};
use crate::agent::flow::{Cue, Fact, Floor, Notice, Progress, Recital, Sound, Speech};
use crate::metrics::Metrics;
use crate::runtime::clock;
use crate::runtime::lane::Shedder;

/// What is joined to the stage.
pub struct Lanes {
    pub recitals: mpsc::Receiver<Recital>,
    pub floor: watch::Receiver<Floor>,
    pub sound: Shedder<Sound>,
    pub cue: watch::Sender<Option<Cue>>,
    pub progress: watch::Sender<Progress>,
    pub notices: mpsc::Sender<Notice>,
}

/// Performs until the voice hangs up and everything has been said, or nobody listens any more. `start` is zero on the
/// call's media clock; pictures are cued `fps` times a second.
pub async fn run(mut lanes: Lanes, start: Instant, fps: u32, metrics: Metrics) -> Result<(), Infallible> {
    let mut playout = Playout::new(start, fps);
    perform_all(&mut lanes, &mut playout, &metrics).await;
    // A caller who hangs up in the middle of an answer has heard the first half all the same.
    if let Some((played, underruns)) = playout.unfinished() {
        metrics.performed(played.as_duration(), underruns);
    }
    Ok(())
}

async fn perform_all(lanes: &mut Lanes, playout: &mut Playout, metrics: &Metrics) {
    // The floor as it is now is the first change.
    lanes.floor.mark_changed();
    // The two turns that the floor can name, at most; one more is being fetched from only until its floor is read.
    let mut streams: Vec<Recital> = Vec::with_capacity(2);
    let mut voice_is_there = true;
    loop {
        while let Some(output) = playout.poll(clock::now()) {
            if !perform(lanes, output, metrics) {
                return;
            }
        }
        if !voice_is_there && streams.is_empty() && playout.is_done() {
            return;
        }
        tokio::select! {
            biased;
            changed = lanes.floor.changed() => {
                if changed.is_err() {
                    return;
                }
                let floor = *lanes.floor.borrow_and_update();
                streams.retain(|s| floor.wants(s.turn));
                playout.handle(clock::now(), Input::Floor { floor, unsent: lanes.sound.take_back() });
            }
            () = clock::sleep_until(playout.deadline()) => {}
            (at, piece) = next_piece(&mut streams, playout) => match piece {
                Some(speech) => playout.handle(clock::now(), Input::Speech(speech)),
                None => playout.handle(clock::now(), Input::HungUp(streams.swap_remove(at).turn)),
            },
            recital = lanes.recitals.recv(), if voice_is_there && streams.len() < 2 => match recital {
                Some(recital) if lanes.floor.borrow().wants(recital.turn) => streams.push(recital),
                Some(_stale) => {}
                None => voice_is_there = false,
            },
        }
    }
}

/// The next piece of any turn that the playout wants more of; `None` in it when that turn's voice has hung up.
async fn next_piece(streams: &mut [Recital], playout: &Playout) -> (usize, Option<Arc<Speech>>) {
    std::future::poll_fn(|cx| {
        for (at, stream) in streams.iter_mut().enumerate() {
            if playout.wants(stream.turn)
                && let std::task::Poll::Ready(piece) = stream.speech.poll_recv(cx)
            {
                return std::task::Poll::Ready((at, piece));
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// False when the call has nobody left to perform for.
fn perform(lanes: &mut Lanes, output: Output, metrics: &Metrics) -> bool {
    match output {
        Output::Sound(sound) => return lanes.sound.send_unless(sound, |s| matches!(s, Sound::Frame { .. })),
        Output::Cue(cue) => drop(lanes.cue.send_replace(Some(cue))),
        Output::Progress(progress) => drop(lanes.progress.send_replace(progress)),
        Output::Notice(notice) => {
            if let Fact::Performed { played, underrun } = &notice.fact {
                metrics.performed(played.as_duration(), underrun.as_ms() / 20);
            }
            // A reader so slow that 256 notices lie before it is gone: the call ends.
            return lanes.notices.try_send(notice).is_ok();
        }
        Output::FramesAfterFloor(frames) => metrics.frames_after_cut(frames),
    }
    true
}
