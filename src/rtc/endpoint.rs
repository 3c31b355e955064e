//! core: one WebRTC call, from its SDP to its end
//! In:    datagrams, media, texts, each with now.
//! Out:   [`Output`]: datagrams to send, events, and when to call again.
//! Law:   after every call that takes `now`, [`Endpoint::poll`] until it returns a timeout; then sleep until that.
//! Never: lets a panic of the protocol stack out; outlives a silent peer; says anything after [`Event::Closed`].

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::media::time::MediaTime;

use super::event::{Event, Gone, Output, Track};
use super::identity::{RtcConfig, RtcError};
use super::outbox::SendError;
use super::peer::Peer;

/// One end of a call.
pub struct Endpoint {
    /// `None` once the call is over.
    peer: Option<Box<Peer>>,
    out: VecDeque<Output>,
    ufrag: String,
    has_video: bool,
    silence: Duration,
    connect_within: Duration,
    began: Instant,
    heard: Instant,
    now: Instant,
    refused_datagrams: u64,
}

impl Endpoint {
    /// Answers `offer_sdp` as the server: ICE-lite, Opus both ways, VP8 out if offered, data channel. Gives the SDP to
    /// return. Offers without video make audio calls; offers without Opus are refused.
    pub fn answer(config: &RtcConfig, offer_sdp: &str, now: Instant) -> Result<(Self, String), RtcError> {
        let (peer, answer) = contained(|| Peer::answer(config, offer_sdp, now))??;
        Ok((Self::around(config, peer, now)?, answer))
    }

    /// Offers a call as a browser would: Opus both ways, VP8 in if `video`, the data channel `oai-events`. Gives the SDP to
    /// send; the call begins with [`Self::accept_answer`].
    pub fn offer(config: &RtcConfig, video: bool, now: Instant) -> Result<(Self, String), RtcError> {
        let (peer, offer) = contained(|| Peer::offer(config, video, now))??;
        Ok((Self::around(config, peer, now)?, offer))
    }

    fn around(config: &RtcConfig, mut peer: Peer, now: Instant) -> Result<Self, RtcError> {
        let mut out = VecDeque::new();
        let (ufrag, has_video) = contained(|| {
            peer.timeout(now, &mut out)?;
            Ok((peer.ufrag(), peer.has_video()))
        })??;
        Ok(Self {
            peer: Some(Box::new(peer)),
            out,
            ufrag,
            has_video,
            silence: config.silence,
            connect_within: config.connect_within,
            began: now,
            heard: now,
            now,
            refused_datagrams: 0,
        })
    }

    /// Completes [`Self::offer`].
    pub fn accept_answer(&mut self, now: Instant, answer_sdp: &str) -> Result<(), RtcError> {
        let Self { peer: Some(peer), out, .. } = self else {
            return Err(RtcError::Malformed("the call is over".into()));
        };
        contained(|| peer.accept_answer(now, answer_sdp, out))?
    }

    /// The name under which STUN finds this call: what [`Router::register`](super::Router::register) wants.
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// Whether video was negotiated: out for the server, in for the caller.
    pub fn has_video(&self) -> bool {
        self.has_video
    }

    /// False once [`Event::Closed`] is on its way or out.
    pub fn is_alive(&self) -> bool {
        self.peer.is_some()
    }

    /// A datagram from `source`, sent to our announced address `destination`. Rubbish is counted and ignored.
    pub fn handle_datagram(&mut self, now: Instant, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        let understood = self.with_peer(now, |peer, out| peer.receive(now, source, destination, bytes, out));
        match understood {
            Some(true) => self.heard = self.heard.max(now),
            Some(false) => self.refused_datagrams += 1,
            None => {}
        }
        self.notice_the_end();
    }

    /// Call when the last [`Output::Timeout`] is due; calling earlier does no harm.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.with_peer(now, |peer, out| peer.timeout(now, out));
        self.notice_the_end();
        let Some(peer) = &self.peer else { return };
        if now >= self.heard + self.silence {
            self.end(Gone::Silent);
        } else if !peer.is_connected() && now >= self.began + self.connect_within {
            self.end(Gone::NeverConnected);
        }
    }

    /// The next thing to do. Drain until [`Output::Timeout`].
    pub fn poll(&mut self) -> Output {
        if let Some(output) = self.out.pop_front() {
            return output;
        }
        let Some(peer) = &self.peer else { return Output::Timeout(self.now + IDLE) };
        let mut at = peer.next().min(self.heard + self.silence);
        if !peer.is_connected() {
            at = at.min(self.began + self.connect_within);
        }
        Output::Timeout(at)
    }

    /// Sends one Opus packet that plays at `media_time`, on time or a little late but never early. False: not connected,
    /// the packet is lost.
    pub fn write_audio(&mut self, now: Instant, media_time: MediaTime, opus: impl Into<Arc<[u8]>>) -> bool {
        let opus = opus.into();
        self.with_peer(now, |peer, out| peer.write(now, Track::Audio, media_time, opus, out)).unwrap_or(false)
    }

    /// Sends one VP8 frame that shows at `media_time` (see [`Self::write_audio`]); packets are paced and kept for resending.
    /// False: not connected or no video, the frame is lost.
    pub fn write_video(&mut self, now: Instant, media_time: MediaTime, vp8: impl Into<Arc<[u8]>>) -> bool {
        let vp8 = vp8.into();
        self.with_peer(now, |peer, out| peer.write(now, Track::Video, media_time, vp8, out)).unwrap_or(false)
    }

    /// Whether video leaves more slowly than it comes: skip frames *before* encoding them until this is false.
    pub fn video_queue_is_growing(&mut self, now: Instant) -> bool {
        self.with_peer(now, |peer, _| Ok(peer.video_queue_is_growing(now))).unwrap_or(false)
    }

    /// Queues one text (at most 64 KiB) for the data channel, also before it is open.
    pub fn send_event(&mut self, now: Instant, text: impl Into<String>) -> Result<(), SendError> {
        let text = text.into();
        self.with_peer(now, |peer, out| peer.send_text(now, text, out)).unwrap_or(Err(SendError::Closed))
    }

    /// Asks the peer for a keyframe (PLI). False: there is no video yet to ask it for.
    pub fn request_keyframe(&mut self, now: Instant) -> bool {
        self.with_peer(now, |peer, out| peer.request_keyframe(now, out)).unwrap_or(false)
    }

    /// Hangs up. Keep polling and sending until [`Event::Closed`]: the goodbye is among what comes. A browser takes seconds
    /// to show it, so tell its page over the data channel first.
    pub fn close(&mut self, now: Instant) {
        self.with_peer(now, |peer, out| peer.close(now, out));
        self.notice_the_end();
    }

    /// How many datagrams were none of this call.
    pub fn refused_datagrams(&self) -> u64 {
        self.refused_datagrams
    }

    /// Runs `work` on the stack; an error or a panic of it ends the call. `None`: the call is over.
    fn with_peer<T>(
        &mut self,
        now: Instant,
        work: impl FnOnce(&mut Peer, &mut VecDeque<Output>) -> Result<T, RtcError>,
    ) -> Option<T> {
        self.now = self.now.max(now);
        let Self { peer: Some(peer), out, .. } = self else { return None };
        match contained(|| work(peer, out)) {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) | Err(error) => {
                self.end(Gone::Broken(error.to_string()));
                None
            }
        }
    }

    /// The peer said goodbye, or the stack has finished saying ours.
    fn notice_the_end(&mut self) {
        let Some(peer) = &self.peer else { return };
        let gone = match peer.gone() {
            Some(Gone::Us) if peer.is_alive() => None,
            Some(gone) => Some(gone.clone()),
            None if peer.is_alive() => None,
            None => Some(Gone::Peer),
        };
        if let Some(gone) = gone {
            self.end(gone);
        }
    }

    fn end(&mut self, gone: Gone) {
        if let Some(peer) = self.peer.take() {
            // What panicked once may panic again when dropped.
            let _ = contained(|| drop(peer));
            self.out.push_back(Output::Event(Event::Closed(gone)));
        }
    }
}

/// How long a call that is over has nothing to say.
const IDLE: Duration = Duration::from_secs(3600);

/// The edge that no panic of the stack crosses: it parses what strangers send. What it worked on is not used again.
fn contained<T>(work: impl FnOnce() -> T) -> Result<T, RtcError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "a panic without words".to_owned());
        RtcError::Broken(text)
    })
}
