//! io: two ends of a link in memory that takes the same time for every datagram, on a clock that a test may stop

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use visavis::load::Link;
use visavis::runtime::clock;

use super::link::{caller_address, server_address};

/// One end.
pub struct End {
    own: SocketAddr,
    peer: SocketAddr,
    delay: Duration,
    out: mpsc::Sender<Flying>,
    coming: mpsc::Receiver<Flying>,
    next: Option<Flying>,
}

struct Flying {
    arrives: Instant,
    bytes: Vec<u8>,
}

/// The server's end and the caller's.
pub fn pair(delay: Duration) -> (End, End) {
    let ((to_caller, from_server), (to_server, from_caller)) = (mpsc::channel(1024), mpsc::channel(1024));
    let end = |own, peer, out, coming| End { own, peer, delay, out, coming, next: None };
    (
        end(server_address(), caller_address(), to_caller, from_caller),
        end(caller_address(), server_address(), to_server, from_server),
    )
}

impl Link for End {
    fn address(&self) -> SocketAddr {
        self.own
    }

    async fn readable(&mut self) -> io::Result<()> {
        if self.next.is_none() {
            self.next = self.coming.recv().await;
        }
        // An end that has gone sends nothing more.
        clock::sleep_until(self.next.as_ref().map(|next| next.arrives)).await;
        Ok(())
    }

    fn try_recv(&mut self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        self.next = self.next.take().or_else(|| self.coming.try_recv().ok());
        match self.next.take() {
            Some(Flying { arrives, bytes }) if arrives <= clock::now() => {
                buffer[..bytes.len()].copy_from_slice(&bytes);
                Ok(Some((bytes.len(), self.peer)))
            }
            waits => {
                self.next = waits;
                Ok(None)
            }
        }
    }

    fn send(&mut self, _: SocketAddr, bytes: &[u8]) {
        let _ = self.out.try_send(Flying { arrives: clock::now() + self.delay, bytes: bytes.to_vec() });
    }
}
