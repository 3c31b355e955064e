//! door: a WebRTC endpoint without sockets, and the router that shares one port among many
//!
//! In: an SDP, datagrams with the time of their arrival, media with its media time, texts. Out: datagrams to send, facts
//! ([`Event`]), and when to call again. [`Endpoint`] answers browsers (the server, ICE-lite) or offers (the native caller).
//! The protocol stack is `str0m`; none of its types leaves this room, and a panic in it ends one call. Nothing here owns a
//! socket, a task or a clock: whoever holds an endpoint drives it.
//!
//! ```text
//!  offer SDP ─► Endpoint::answer ─► answer SDP
//!  datagram ──► Router::route ─► handle_datagram ┐
//!  media, text ─► write_audio / write_video / send_event ├─► poll until Timeout ─► Transmit | Event
//!  the timeout ─► handle_timeout                 ┘
//! ```
//!
//! Next: [`endpoint`](self) for the life of a call, `peer.rs` for what is asked of the stack and why, `clock.rs` for the one
//! rule of time.

mod clock;
mod dtls;
mod endpoint;
mod event;
mod identity;
mod outbox;
mod peer;
mod router;
mod sdp;

pub use clock::{AUDIO_RTP_BASE, VIDEO_RTP_BASE};
pub use endpoint::Endpoint;
pub use event::{AudioPacket, Event, Gone, Output, SenderReport, Track, VideoFrame};
pub use identity::{Identity, RtcConfig, RtcError};
pub use outbox::SendError;
pub use router::Router;
