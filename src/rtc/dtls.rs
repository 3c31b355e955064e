//! core: the handshake's timers, which the stack fixes for wired peers
//!
//! The stack's own set-up waits a whole second before it repeats a lost flight, and gives up after four repeats, counting
//! those that a peer's impatience provokes; browsers repeat theirs after 50 ms. On a radio link with 15 % loss that meant
//! connections after 12 s or never. Everything else is the stack's own DTLS 1.2 over aws-lc.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, Output};
use str0m::config::DtlsVersion;
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsCert, DtlsImplError, DtlsInstance, DtlsProvider, ProtocolVersion};

/// Above the round trip of most paths; each repeat doubles it.
const FIRST_REPEAT: Duration = Duration::from_millis(200);

/// 0.2, 0.4 … 6.4 s would pass the limit below by timers alone; the rest is for repeats that the peer provokes.
const REPEATS: usize = 24;

/// As long as a call may take to come up.
const LIMIT: Duration = Duration::from_secs(20);

/// Makes DTLS endpoints with our timers.
#[derive(Debug)]
pub(super) struct Patient;

impl DtlsProvider for Patient {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        dimpl::certificate::generate_self_signed_certificate().ok()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        if version != DtlsVersion::Dtls12 {
            return Err(CryptoError::Other(format!("{version} was not asked for")));
        }
        // ICE has verified the way back before DTLS begins: no cookie needed.
        let mut config = Config::builder()
            .use_server_cookie(false)
            .flight_start_rto(FIRST_REPEAT)
            .flight_retries(REPEATS)
            .handshake_timeout(LIMIT);
        if let Some(mtu) = mtu {
            config = config.mtu(mtu);
        }
        let config = config.build().map_err(|e| CryptoError::Other(e.to_string()))?;
        Ok(Box::new(Instance(Dtls::new_12(Arc::new(config), certificate.clone(), now))))
    }
}

struct Instance(Dtls);

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dtls")
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> Output<'a> {
        self.0.poll_output(buffer)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
