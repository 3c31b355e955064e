//! io: lays the rooms of one call in a row and joins them by lanes: the only file that knows them all
//!
//! ```text
//! transport ─mic─► hearing ─heard─► dialogue ─say─► voice ─speech─► stage ─sound─► transport
//!                                                     └─script─► avatar ─picture─► transport
//! ```
//! Hanging up the leftmost lane ends the line, left to right.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::services::Services;
use crate::agent::flow::{self, Cue, Floor, Notice, Progress, Settings, Speech};
use crate::agent::transport::film::Film;
use crate::agent::transport::projector::{self, Path};
use crate::agent::transport::realtime::Protocol;
use crate::agent::transport::{encode, webrtc};
use crate::agent::{avatar, dialogue, hearing, stage, voice};
use crate::face::asset::Face;
use crate::media::sound::FRAME_LEN;
use crate::metrics::LaneName;
use crate::rtc::Endpoint;
use crate::runtime::lane;
use crate::runtime::scope::Scope;

/// The name of the task whose end is the end of the call.
pub const TRANSPORT: &str = "transport";

/// Spawns all rooms of a call into `scope`. `token` hangs up for us; `gone` is told why the transport ended.
pub fn lay<L: webrtc::Link + 'static>(
    scope: &mut Scope,
    services: &Services,
    endpoint: Endpoint,
    link: L,
    protocol: Protocol,
    token: CancellationToken,
    gone: oneshot::Sender<crate::rtc::Gone>,
) {
    let metrics = services.metrics.clone();
    let settings = protocol.settings().clone();
    let face = services.faces.get(&settings.person).filter(|_| endpoint.has_video()).cloned();
    let seed = fastrand::u64(..);

    let (mic, mic_out) = lane::shedding(LaneName::Mic, MIC, &metrics);
    let (asks, asks_out) = lane::waiting(ASKS);
    let (heard, heard_out) = lane::waiting(HEARD);
    let (say, say_out) = lane::waiting(UTTERANCES);
    let (recitals, recitals_out) = lane::waiting(RECITALS);
    let (script, script_out) = lane::shedding(LaneName::Script, SCRIPT, &metrics);
    let (sound, sound_out) = lane::shedding(LaneName::Sound, SOUND, &metrics);
    let (packets, packets_out) = lane::waiting(ONE_IN_THE_ENCODER);
    let (notices, notices_out) = lane::waiting::<Notice>(NOTICES);
    let (pictures, pictures_out) = lane::shedding(LaneName::Picture, PICTURES, &metrics);
    let (frames, frames_out) = lane::waiting(ONE_IN_THE_ENCODER);
    let (settings_in, settings_out) = watch::channel::<Settings>(settings);
    let (floor, floor_out) = watch::channel(Floor::default());
    let (progress, progress_out) = watch::channel(Progress::default());
    let (cue, cue_out) = watch::channel(None);
    let (path, path_out) = watch::channel(Path::default());
    let (loss, loss_out) = watch::channel(0.0);
    let (connected, began) = oneshot::channel();

    let hearing_lanes =
        hearing::task::Lanes { mic: mic_out, settings: settings_out.clone(), heard, notices: notices.clone() };
    let ears = hearing::task::Tools {
        stt: services.stt.clone(),
        final_within: services.final_within,
        vad: services.vad.seat(),
        pool: services.pool.clone(),
        metrics: metrics.clone(),
        tasks: services.tasks.clone(),
    };
    scope.spawn("hearing", hearing::task::run(hearing_lanes, ears));

    let dialogue_lanes = dialogue::task::Lanes {
        heard: heard_out,
        asks: asks_out,
        progress: progress_out,
        settings: settings_out,
        floor,
        say,
        notices: notices.clone(),
    };
    let wits = dialogue::task::Tools {
        llm: services.llm.clone(),
        brain: services.brain,
        people: services.people.clone(),
        max_tokens: services.max_tokens,
        context_tokens: services.context_tokens,
        metrics: metrics.clone(),
    };
    scope.spawn("dialogue", dialogue::task::run(dialogue_lanes, wits));

    let voice_lanes = voice::task::Lanes {
        say: say_out,
        speech: recitals,
        script,
        floor: floor_out.clone(),
        notices: notices.clone(),
    };
    scope.spawn("voice", voice::task::run(services.tts.clone(), metrics.clone(), voice_lanes));

    let fps = services.video.map_or(1, |video| video.fps);
    let stage_lanes = stage::Lanes { recitals: recitals_out, floor: floor_out.clone(), sound, cue, progress, notices };
    let (stage_metrics, beat) = (metrics.clone(), services.beat);
    scope.spawn("stage", async move {
        // Without media there is nothing to perform for.
        let Ok(connected) = began.await else { return Ok(()) };
        stage::run(stage_lanes, next_beat(beat, connected), fps, stage_metrics).await
    });

    scope.spawn(
        "encode",
        encode::run(sound_out, packets, loss_out, services.complexity, services.pool.clone(), metrics.clone()),
    );

    if let (Some(face), Some(video)) = (face, services.video) {
        spawn_picture(
            scope,
            services,
            face,
            video,
            seed,
            Picture { script_out, cue_out, pictures, pictures_out, frames, path_out },
        );
    }

    let transport_lanes = webrtc::Lanes {
        mic,
        asks,
        settings: settings_in,
        notices: notices_out,
        floor: floor_out,
        sound: packets_out,
        pictures: frames_out,
        path,
        loss,
        connected,
    };
    scope.spawn(TRANSPORT, async move {
        let Ok(why) = webrtc::run(transport_lanes, endpoint, link, protocol, token, metrics).await;
        // Whoever asked may have given up waiting.
        let _ = gone.send(why);
        Ok::<(), std::convert::Infallible>(())
    });
}

/// The first moment from `now` on that lies a whole number of frames after `beat`.
fn next_beat(beat: Instant, now: Instant) -> Instant {
    let frame = FRAME_LEN.as_duration();
    let frames = now.saturating_duration_since(beat).as_nanos().div_ceil(frame.as_nanos());
    beat + frame * u32::try_from(frames).unwrap_or(u32::MAX)
}

/// The lanes of the picture's side branch.
struct Picture {
    script_out: lane::Shed<Arc<Speech>>,
    cue_out: watch::Receiver<Option<Cue>>,
    pictures: lane::Shedder<flow::Picture>,
    pictures_out: lane::Shed<flow::Picture>,
    frames: tokio::sync::mpsc::Sender<crate::agent::transport::film::EncodedFrame>,
    path_out: watch::Receiver<Path>,
}

fn spawn_picture(
    scope: &mut Scope,
    services: &Services,
    face: Arc<Face>,
    video: super::services::Video,
    seed: u64,
    lanes: Picture,
) {
    let studio = avatar::task::Studio {
        face,
        pool: services.pool.clone(),
        metrics: services.metrics.clone(),
        fps: video.fps,
        seed,
    };
    let avatar_lanes = avatar::task::Lanes { script: lanes.script_out, cue: lanes.cue_out, picture: lanes.pictures };
    scope.spawn("avatar", avatar::task::run(avatar_lanes, studio));
    let film = Film::new(video.bitrates, video.fps, services.pool.clone(), services.metrics.clone());
    scope
        .spawn("projector", projector::run(lanes.pictures_out, lanes.frames, lanes.path_out, film, services.audio_bps));
}

/// One second of 20 ms packets.
const MIC: usize = 50;
const ASKS: usize = 64;
const HEARD: usize = 64;
/// Two can be wanted at a time; one more is on its way out.
const UTTERANCES: usize = 4;
const RECITALS: usize = 2;
/// Ten seconds of 80 ms pieces.
const SCRIPT: usize = 125;
/// 100 ms: late sound is wrong sound.
const SOUND: usize = 5;
const ONE_IN_THE_ENCODER: usize = 1;
const NOTICES: usize = 256;
const PICTURES: usize = 2;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Whenever a call begins, its frames fall due with everybody's, and it waits for less than one.
    #[test]
    fn all_calls_share_a_beat() {
        let beat = Instant::now();
        let after = |ms: u64| (next_beat(beat, beat + Duration::from_millis(ms)) - beat).as_millis();
        assert_eq!([0, 1, 20, 21, 39, 1_000_001].map(after), [0, 20, 20, 40, 40, 1_000_020]);
        assert_eq!(next_beat(beat + Duration::from_secs(1), beat), beat + Duration::from_secs(1));
    }
}
