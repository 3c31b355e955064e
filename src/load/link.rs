//! io: the datagrams of one call: a UDP socket, or whatever a test puts in its place

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::UdpSocket;

use crate::runtime::clock;

use super::dial::HTTP_LIMIT;
use super::error::CallerError;

/// Carries datagrams, and loses what it has no room for.
pub trait Link: Send + 'static {
    /// Where it is reached: announced to the server.
    fn address(&self) -> SocketAddr;

    /// Waits until something may have arrived.
    fn readable(&mut self) -> impl Future<Output = io::Result<()>> + Send;

    /// The next datagram, into `buffer`: its length and source. `None`: none has arrived.
    fn try_recv(&mut self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>>;

    fn send(&mut self, destination: SocketAddr, bytes: &[u8]);
}

/// A socket of the caller's own.
pub struct UdpLink {
    socket: UdpSocket,
    address: SocketAddr,
}

impl UdpLink {
    pub async fn bind(to: IpAddr) -> Result<Self, CallerError> {
        let socket = UdpSocket::bind((to, 0)).await?;
        let address = socket.local_addr()?;
        // Until the system has said once that there is room, `try_send_to` would find none.
        let patience = |_| CallerError::TooLate { what: "a writable socket".into(), within: HTTP_LIMIT };
        clock::timeout(HTTP_LIMIT, socket.writable()).await.map_err(patience)??;
        Ok(Self { socket, address })
    }
}

impl Link for UdpLink {
    fn address(&self) -> SocketAddr {
        self.address
    }

    async fn readable(&mut self) -> io::Result<()> {
        self.socket.readable().await
    }

    fn try_recv(&mut self, buffer: &mut [u8]) -> io::Result<Option<(usize, SocketAddr)>> {
        match self.socket.try_recv_from(buffer) {
            Ok(received) => Ok(Some(received)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            // An answer to a datagram of ours that reached nobody: the silence will tell.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn send(&mut self, destination: SocketAddr, bytes: &[u8]) {
        // What the system has no room for is lost, as on any other link.
        drop(self.socket.try_send_to(bytes, destination));
    }
}
