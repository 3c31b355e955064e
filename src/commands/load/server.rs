//! io: the server of `--command`: started for a run, waited for until it is ready, and where it is

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use tokio_util::sync::CancellationToken;

use visavis::load::HttpClient;
use visavis::load::reach::{is_ready, reach};
use visavis::load::report::Kind;
use visavis::runtime::clock;
use visavis::runtime::program::{Program, words};

use crate::commands::{Failure, because};
use crate::{SOFTWARE, UNAVAILABLE, USAGE};

/// Starts the server and waits until it says that it is ready, or, of another make, answers at `server`; gives where it
/// says that it is. `None`: ended before that.
pub async fn start(
    command: &str,
    setting: Option<&str>,
    server: Option<&str>,
    stop: &CancellationToken,
) -> Result<Option<(Program, Option<String>)>, Failure> {
    let mut words = words(command).context("--command").map_err(because(USAGE))?;
    let is_ours = Path::new(&words[0]).file_name().is_some_and(|name| name == "visavis");
    if words[0] == "visavis" {
        let this = std::env::current_exe().context("where is this program?").map_err(because(SOFTWARE))?;
        words[0] = this.to_string_lossy().into_owned();
    }
    if let Some(setting) = setting {
        words.extend(["--set".to_owned(), setting.to_owned()]);
    }
    if let Some(server) = server {
        tokio::select! {
            free = is_free(server) => free?,
            () = stop.cancelled() => return Ok(None),
        }
    }
    let unavailable = because(UNAVAILABLE);
    let failed =
        |error| unavailable(anyhow::Error::from(error).context(format!("the server of --command {command:?}")));
    let mut program = Program::start(&words, |line| line.starts_with("Ready:")).map_err(failed)?;
    let ready = tokio::select! {
        ready = program.ready(READY) => ready.map_err(failed)?,
        () = answers(server), if !is_ours => String::new(),
        () = stop.cancelled() => {
            program.stop(GRACE).await;
            return Ok(None);
        }
    };
    Ok(Some((program, url_in(&ready))))
}

/// One that was there before would answer in the place of ours, and be measured.
async fn is_free(server: &str) -> Result<(), Failure> {
    match reach(&HttpClient::new(), server).await {
        Ok(_) => {
            let why = "a server answers there already, and would be measured in place of that of --command: end it";
            Err(because(UNAVAILABLE)(anyhow!("{server}: {why}")))
        }
        Err(_) => Ok(()),
    }
}

/// Until somebody answers at `server`: what other servers say when they are ready nobody knows.
async fn answers(server: Option<&str>) {
    let Some(server) = server else { return std::future::pending().await };
    let http = HttpClient::new();
    while !is_ready(&http, server).await {
        clock::sleep(BETWEEN_KNOCKS).await;
    }
}

/// `Ready: open http://127.0.0.1:8080`, `Ready: the tts engine on 127.0.0.1:8089`.
fn url_in(line: &str) -> Option<String> {
    line.split_whitespace().rev().find_map(|word| match word.parse::<SocketAddr>() {
        Ok(address) => Some(format!("http://{address}")),
        Err(_) => word.starts_with("http").then(|| word.to_owned()),
    })
}

/// Where `serve` and `engine` listen unless they are told otherwise.
pub fn usual(kind: Kind) -> String {
    let port = match kind {
        Kind::Calls => 8080,
        Kind::Tts => 8089,
        Kind::Stt => 8090,
        Kind::Llm => 8091,
    };
    format!("http://127.0.0.1:{port}")
}

/// Models are loaded and warmed.
const READY: Duration = Duration::from_secs(120);

const BETWEEN_KNOCKS: Duration = Duration::from_millis(200);

/// What a server gives its calls, and a little more.
pub const GRACE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_where_it_is() {
        assert_eq!(url_in("Ready: open http://127.0.0.1:8080").unwrap(), "http://127.0.0.1:8080");
        assert_eq!(url_in("Ready: the tts engine on 127.0.0.1:8089").unwrap(), "http://127.0.0.1:8089");
        assert_eq!(url_in("Ready: at last"), None);
    }
}
