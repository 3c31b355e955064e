//! data: what endpoints of one process share, and what can be wrong with a call before it begins

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use str0m::config::{CryptoProvider, DtlsCert};

use super::dtls::Patient;

/// The certificate that all calls of a process present. Making one costs milliseconds, and peers pin its fingerprint only
/// per call, so one is enough. Clones share the private key.
#[derive(Clone)]
pub struct Identity {
    pub(super) certificate: DtlsCert,
    pub(super) crypto: Arc<CryptoProvider>,
}

impl Identity {
    /// A fresh self-signed certificate (ECDSA P-256), as WebRTC wants it (RFC 8827, section 6.5).
    pub fn generate() -> Result<Self, RtcError> {
        let crypto = CryptoProvider { dtls_provider: &Patient, ..str0m::crypto::from_feature_flags() };
        let certificate = crypto
            .dtls_provider
            .generate_certificate()
            .ok_or_else(|| RtcError::Broken("the crypto library made no DTLS certificate".into()))?;
        Ok(Self { certificate, crypto: Arc::new(crypto) })
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// What an endpoint must know before a call. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RtcConfig {
    pub identity: Identity,
    /// Announced to the peer, in order of preference. The `destination` of datagrams names one of them.
    pub addresses: Vec<SocketAddr>,
    /// What the path is assumed to carry before the first feedback, in bits per second. Higher: a keyframe leaves sooner;
    /// lower: less loss at the start on a thin line. 600 000 sends a 15 kB keyframe in under 0.2 s.
    pub start_bitrate: u64,
    /// What video and audio would use if they could, in bits per second: the estimate is probed up to about here, no further.
    pub wanted_bitrate: u64,
    /// A peer from which nothing comes for this long is gone. Browsers send something every 5 s at the least.
    pub silence: Duration,
    /// A peer must have completed ICE and DTLS within this.
    pub connect_within: Duration,
}

impl RtcConfig {
    pub fn new(identity: Identity, addresses: Vec<SocketAddr>) -> Self {
        Self {
            identity,
            addresses,
            start_bitrate: 600_000,
            wanted_bitrate: 800_000,
            silence: Duration::from_secs(8),
            connect_within: Duration::from_secs(20),
        }
    }
}

/// Why there is no call. All but `Address` and `Broken` are the fault of whoever sent the SDP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RtcError {
    #[error("the SDP has {bytes} bytes, at most {limit} are taken")]
    TooLarge { bytes: usize, limit: usize },
    #[error("the SDP has {found} {what}, at most {limit} are taken")]
    TooMany { what: &'static str, found: usize, limit: usize },
    #[error("the SDP offers no audio: this is a voice call")]
    NoAudio,
    #[error("the SDP's audio cannot be Opus: offer opus/48000/2")]
    NoOpus,
    #[error("the SDP is not understood: {0}")]
    Malformed(String),
    #[error("{address} cannot be announced: {why}")]
    Address { address: SocketAddr, why: String },
    #[error("the WebRTC stack failed: {0}")]
    Broken(String),
}

impl RtcError {
    /// Whether the SDP is to blame (HTTP 400) and not this process (500).
    pub fn is_callers_fault(&self) -> bool {
        !matches!(self, Self::Address { .. } | Self::Broken(_))
    }
}
