//! io: whether a server is there at all, and by which of our addresses it is reached

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::Url;

use crate::runtime::clock;

/// A server that answers.
#[derive(Clone, Debug)]
pub struct Reached {
    pub address: SocketAddr,
    /// Our address on the way to it: what a caller's socket is bound to.
    pub from: IpAddr,
}

#[derive(Debug, thiserror::Error)]
pub enum ReachError {
    #[error("{0} is no address of a server: write it as http://host:port")]
    Address(String),
    #[error("{host} has no address: {source}")]
    Unknown { host: String, source: std::io::Error },
    #[error("nobody answers at {url}: {why}")]
    Nobody { url: String, why: String },
}

/// Finds the server of `url` and asks it for anything: whatever it answers, it is there.
pub async fn reach(http: &reqwest::Client, url: &str) -> Result<Reached, ReachError> {
    let wrong = || ReachError::Address(url.to_owned());
    let parsed = Url::parse(&plain(url)).map_err(|_| wrong())?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(wrong());
    }
    let host = parsed.host_str().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned();
    let port = parsed.port_or_known_default().ok_or_else(wrong)?;
    let nobody = |why: String| ReachError::Nobody { url: url.to_owned(), why };
    let found = clock::timeout(LIMIT, tokio::net::lookup_host((host.as_str(), port))).await;
    let found = found.map_err(|late| nobody(late.to_string()))?;
    let found = found.map_err(|source| ReachError::Unknown { host: host.clone(), source })?;
    let found: Vec<SocketAddr> = found.collect();
    let asked = http.get(parsed).timeout(LIMIT).send().await;
    // Refusals and nonsense are measured, not reported: only silence is the end.
    if let Err(error) = &asked
        && (error.is_connect() || error.is_timeout())
    {
        return Err(nobody(if error.is_timeout() {
            "it does not answer in time".into()
        } else {
            "connection refused".into()
        }));
    }
    // A name may have several addresses, and the server listen at one of them only (`localhost` is ::1, too): the one that
    // answered. Behind a proxy that is none of the name's.
    let answered = asked.ok().and_then(|response| response.remote_addr());
    let address = *found.iter().find(|address| Some(**address) == answered).or(found.first()).ok_or_else(wrong)?;
    let from = route(address).map_err(|error| nobody(error.to_string()))?;
    Ok(Reached { address, from })
}

/// Whether the server answers and does not say that it is not ready yet. One that knows no `/readyz` is ready when it answers.
pub async fn is_ready(http: &reqwest::Client, url: &str) -> bool {
    let Some(ready) = Url::parse(&plain(url)).ok().and_then(|url| url.join("/readyz").ok()) else { return false };
    let answer = http.get(ready).timeout(LIMIT).send().await;
    answer.is_ok_and(|answer| !answer.status().is_server_error())
}

/// `ws://` is the same door as `http://`.
pub fn plain(url: &str) -> String {
    match url.strip_prefix("ws") {
        Some(rest) if rest.starts_with("://") || rest.starts_with("s://") => format!("http{rest}"),
        _ => url.to_owned(),
    }
}

/// The system's own choice of an address towards another; nothing is sent.
fn route(to: SocketAddr) -> std::io::Result<IpAddr> {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

const LIMIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    /// A name with two addresses, a server at one of them: that one is reached, whichever the system lists first.
    #[tokio::test]
    async fn it_is_where_it_answers() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = server.local_addr().unwrap();
        let answering = tokio::spawn(async move {
            let (mut socket, _) = server.accept().await.unwrap();
            let _ = socket.read(&mut [0; 2000]).await.unwrap();
            socket.write_all(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        });
        let addresses = [SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], at.port())), at];
        let http = reqwest::Client::builder().no_proxy().resolve_to_addrs("localhost", &addresses).build().unwrap();
        let reached = reach(&http, &format!("ws://localhost:{}", at.port())).await.unwrap();
        assert_eq!((reached.address, reached.from), (at, at.ip()));
        answering.await.unwrap();
    }
}
