//! io: the engines of this program behind loopback ports of the system's choice, with a token of the process
//!
//! They are dialled like any other engine, so the embedded default runs the same sockets as a fleet of GPUs. The ports are
//! bound before the models are loaded: everybody knows early where everything will be.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::engines::{EngineError, Ground, Kind, door};
use crate::config::{Chat, Config, Dials, Place, Secret, Speech};
use crate::engine::serve::access::Token;
use crate::runtime::chance::secret_word;
use crate::runtime::scope::Scope;

/// Bound ports whose engines are still to come.
pub struct Loopback {
    waiting: Vec<(Kind, TcpListener)>,
    token: String,
    /// Where all engines are, those elsewhere too.
    pub dials: Dials,
}

impl Loopback {
    /// Binds a port for each engine that `config` wants in this program.
    pub async fn bind(config: &Config) -> io::Result<Self> {
        // Other programs of this machine must not use our engines.
        let token = secret_word();
        let mut waiting = Vec::new();
        let dials = Dials {
            stt: match &config.stt.place {
                Place::Remote(there) => there.clone(),
                _ => speech(own(Kind::Stt, &mut waiting).await?, &token),
            },
            tts: match &config.tts.place {
                Place::Remote(there) => there.clone(),
                _ => speech(own(Kind::Tts, &mut waiting).await?, &token),
            },
            llm: match &config.llm.place {
                Place::Remote(there) => there.clone(),
                _ => chat(own(Kind::Llm, &mut waiting).await?, &token),
            },
        };
        Ok(Self { waiting, token, dials })
    }

    /// Loads all engines at the same time and serves them as tasks of `scope`; returns when all are warm.
    pub async fn start(self, ground: &Ground, scope: &mut Scope) -> Result<(), EngineError> {
        let doors = self.waiting.into_iter().map(|(kind, listener)| {
            let opening = door(kind, ground.clone(), Some(Token::new(self.token.as_str())));
            async move { Ok((kind, listener, opening.await?)) }
        });
        for (kind, listener, router) in futures_util::future::try_join_all(doors).await? {
            let stop = scope.token().clone();
            scope.spawn(kind.name(), serve(listener, router, stop));
        }
        Ok(())
    }
}

/// Serves `router` until `stop`, then until its connections have ended.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    // Frames are small and wanted at once; with Nagle's algorithm some would wait 40 ms for the other side's ACK.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
    });
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn own(kind: Kind, waiting: &mut Vec<(Kind, TcpListener)>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let at = listener.local_addr()?;
    waiting.push((kind, listener));
    Ok(at)
}

fn speech(at: SocketAddr, token: &str) -> Speech {
    Speech { url: format!("ws://{at}"), token: Some(Secret::new(token)) }
}

fn chat(at: SocketAddr, token: &str) -> Chat {
    let api_key = Some(Secret::new(token));
    Chat { url: format!("http://{at}/v1"), api_key, model: None, reasoning_effort: None }
}
