//! io: the one UDP socket of all calls: datagrams in, sorted into the lane of their call; datagrams out
//!
//! A call registers under the STUN name of its endpoint before its answer goes out, and gets its lane; dropping the
//! [`Registration`] takes every trace of it out of the port. A full lane drops what comes (it is UDP), counted; a full
//! socket buffer drops what goes.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio_util::sync::CancellationToken;

use crate::metrics::{Direction, Door, LaneName, Metrics};
use crate::rtc::Router;
use crate::runtime::{clock, lane};

use super::addresses;

/// Datagrams that wait for one call: over a second of all that a browser sends.
pub const LANE: usize = 256;

/// One datagram of a call.
#[derive(Clone, Debug)]
pub struct Datagram {
    pub source: SocketAddr,
    /// The announced address that it was sent to.
    pub destination: SocketAddr,
    pub arrival: Instant,
    pub bytes: Bytes,
}

/// A handle on the port; clones share it.
#[derive(Clone)]
pub struct Port(Arc<Shared>);

struct Shared {
    socket: UdpSocket,
    announced: Vec<SocketAddr>,
    table: Mutex<Table>,
    metrics: Metrics,
}

struct Table {
    router: Router<u64>,
    lanes: HashMap<u64, mpsc::Sender<Datagram>>,
    last_key: u64,
    /// Which announced address each source reaches us at.
    facing: HashMap<IpAddr, SocketAddr>,
}

impl Port {
    /// Binds UDP `listen` (port 0: any). `public_ip` replaces the machine's own addresses in what is announced.
    pub async fn bind(listen: SocketAddr, public_ip: Option<IpAddr>, metrics: Metrics) -> io::Result<Self> {
        let socket = UdpSocket::bind(listen).await?;
        enlarge_buffers(&socket);
        // Until the system has said once that there is room, `try_send_to` would find none.
        clock::timeout(READY, socket.writable()).await.map_err(io::Error::other)??;
        let announced = addresses::announced(socket.local_addr()?, public_ip)?;
        let table = Table { router: Router::new(), lanes: HashMap::new(), last_key: 0, facing: HashMap::new() };
        Ok(Self(Arc::new(Shared { socket, announced, table: Mutex::new(table), metrics })))
    }

    /// What to announce in SDP: [`RtcConfig::addresses`](crate::rtc::RtcConfig::addresses).
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.0.announced
    }

    /// From now on the datagrams of the endpoint called `ufrag` go to the registration's lane.
    pub fn register(&self, ufrag: &str) -> Registration {
        let (sender, datagrams) = lane::waiting(LANE);
        let mut table = self.0.table();
        table.last_key += 1;
        let key = table.last_key;
        table.router.register(key, ufrag);
        table.lanes.insert(key, sender);
        drop(table);
        Registration { key, datagrams, shared: self.0.clone() }
    }

    /// How many calls are registered.
    pub fn calls(&self) -> usize {
        self.0.table().lanes.len()
    }

    /// Sorts incoming datagrams until `token` is cancelled.
    pub async fn run(&self, token: CancellationToken) -> io::Result<()> {
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            let ready = tokio::select! {
                biased;
                () = token.cancelled() => return Ok(()),
                ready = self.0.socket.readable() => ready,
            };
            if let Err(error) = ready.and_then(|()| self.0.receive_batch(&mut buffer)) {
                // The errors of a UDP socket are about single datagrams (ICMP) or pass (no memory).
                tracing::debug!(%error, "receiving on the media port");
                clock::sleep(AFTER_AN_ERROR).await;
            }
        }
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("no holder of this lock can panic")
    }

    /// Takes what lies in the socket, up to a batch, under one lock.
    fn receive_batch(&self, buffer: &mut [u8]) -> io::Result<()> {
        let arrival = clock::now();
        let mut table = self.table();
        for _ in 0..BATCH {
            let (length, source) = match self.socket.try_recv_from(buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.metrics.datagram(Direction::In, length);
            self.sort(&mut table, source, arrival, &buffer[..length]);
        }
        Ok(())
    }

    fn sort(&self, table: &mut Table, source: SocketAddr, arrival: Instant, bytes: &[u8]) {
        let Some(key) = table.router.route(source, bytes) else {
            self.metrics.bad_input(Door::Rtc);
            return;
        };
        let destination = self.facing(table, source.ip());
        let Some(lane) = table.lanes.get(&key) else { return };
        let datagram = Datagram { source, destination, arrival, bytes: Bytes::copy_from_slice(bytes) };
        match lane.try_send(datagram) {
            Ok(()) => self.metrics.lane_depth(LaneName::Datagrams, LANE - lane.capacity()),
            Err(TrySendError::Full(_)) => self.metrics.lane_shed(LaneName::Datagrams),
            // Its call is ending: the registration is about to go.
            Err(TrySendError::Closed(_)) => {}
        }
    }

    /// The announced address that `peer` sent to: the one the system answers it from. (ICE pairs must be told apart, and a
    /// socket bound to all addresses does not say which was used.)
    fn facing(&self, table: &mut Table, peer: IpAddr) -> SocketAddr {
        let first = self.announced[0];
        if self.announced.len() == 1 {
            return first;
        }
        if table.facing.len() > MAX_REMEMBERED {
            table.facing.clear();
        }
        *table.facing.entry(peer).or_insert_with(|| {
            let ours = addresses::facing(peer).ok();
            self.announced.iter().copied().find(|a| Some(a.ip()) == ours).unwrap_or(first)
        })
    }
}

/// One call's share of the port. Dropping it takes the call out.
pub struct Registration {
    key: u64,
    datagrams: mpsc::Receiver<Datagram>,
    shared: Arc<Shared>,
}

impl Registration {
    /// The call's next datagram. Cancel safe.
    pub async fn recv(&mut self) -> Option<Datagram> {
        self.datagrams.recv().await
    }

    /// The next datagram, if one waits.
    pub fn try_recv(&mut self) -> Option<Datagram> {
        self.datagrams.try_recv().ok()
    }

    /// Sends at once or not at all (false): what the system has no room for now is lost, as on any other link.
    pub fn send(&self, destination: SocketAddr, bytes: &[u8]) -> bool {
        let sent = self.shared.socket.try_send_to(bytes, destination).is_ok();
        if sent {
            self.shared.metrics.datagram(Direction::Out, bytes.len());
        } else {
            self.shared.metrics.datagram_unsent();
        }
        sent
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut table = self.shared.table();
        table.router.remove(self.key);
        table.lanes.remove(&self.key);
    }
}

/// Larger than anything WebRTC sends over UDP; what is cut off here was no datagram of a call.
const MAX_DATAGRAM: usize = 2048;

/// Datagrams per lock and wake-up.
const BATCH: usize = 64;

const READY: Duration = Duration::from_secs(1);

const AFTER_AN_ERROR: Duration = Duration::from_millis(5);

/// Sources whose facing address is remembered; beyond, all are asked for again.
const MAX_REMEMBERED: usize = 4096;

/// What the kernel holds for us while we are busy: a hundred calls for a quarter of a second. It may grant less.
const SOCKET_BUFFER_BYTES: libc::c_int = 4 * 1024 * 1024;

fn enlarge_buffers(socket: &UdpSocket) {
    use std::os::fd::AsRawFd;
    for option in [libc::SO_RCVBUF, libc::SO_SNDBUF] {
        let size = SOCKET_BUFFER_BYTES;
        // SAFETY: an open socket of ours; setsockopt reads the integer whose size it is told.
        let code = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const size).cast(),
                size_of_val(&size) as libc::socklen_t,
            )
        };
        if code != 0 {
            tracing::debug!(option, "the system refused a larger socket buffer");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(ufrag: &str) -> Vec<u8> {
        let username = format!("{ufrag}:them");
        let mut datagram = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        datagram.extend([7; 12]);
        datagram.extend([0, 6, 0, username.len() as u8]);
        datagram.extend(username.as_bytes());
        datagram.resize(datagram.len().next_multiple_of(4), 0);
        datagram
    }

    async fn open() -> (Port, Metrics, CancellationToken) {
        let metrics = Metrics::new();
        let port = Port::bind(([127, 0, 0, 1], 0).into(), None, metrics.clone()).await.unwrap();
        let token = CancellationToken::new();
        (port, metrics, token)
    }

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        clock::timeout(Duration::from_secs(5), future).await.expect("within five seconds")
    }

    /// Each call gets its own datagrams, with the address they were sent to, and can answer; afterwards nothing is left.
    #[tokio::test]
    async fn datagrams_find_their_call_and_back() {
        let (port, _, token) = open().await;
        let ours = port.addresses()[0];
        let running = tokio::spawn({
            let (port, token) = (port.clone(), token.clone());
            async move { port.run(token).await }
        });
        let (mut a, mut b) = (port.register("alpha"), port.register("beta"));
        assert_eq!(port.calls(), 2);
        let (peer_a, peer_b) =
            (UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
        for (peer, name) in [(&peer_a, "alpha"), (&peer_b, "beta")] {
            peer.send_to(&request(name), ours).await.unwrap();
            peer.send_to(&[0x80, 111, 1, 2, 3], ours).await.unwrap();
        }
        for (call, peer) in [(&mut a, &peer_a), (&mut b, &peer_b)] {
            let first = soon(call.recv()).await.unwrap();
            assert_eq!((first.source, first.destination), (peer.local_addr().unwrap(), ours));
            assert_eq!(&soon(call.recv()).await.unwrap().bytes[..], [0x80, 111, 1, 2, 3]);
            assert!(call.send(first.source, b"back"));
            let mut back = [0; 16];
            assert_eq!(soon(peer.recv_from(&mut back)).await.unwrap(), (4, ours));
        }
        drop((a, b));
        assert_eq!(port.calls(), 0);
        assert!(port.0.table().router.is_empty());
        token.cancel();
        soon(running).await.unwrap().unwrap();
    }

    /// A call that does not read costs its lane and no more; the others and the count go on.
    #[tokio::test]
    async fn a_stalled_call_sheds_what_comes() {
        let (port, metrics, _) = open().await;
        let mut stalled = port.register("alpha");
        let source = ([127, 0, 0, 1], 9).into();
        let datagram = request("alpha");
        for _ in 0..LANE + 44 {
            port.0.sort(&mut port.0.table(), source, clock::now(), &datagram);
        }
        assert_eq!(metrics.sheds(LaneName::Datagrams), 44);
        let mut waiting = 0;
        while stalled.try_recv().is_some() {
            waiting += 1;
        }
        assert_eq!(waiting, LANE);
    }
}
