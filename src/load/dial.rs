//! io: how a call is offered to a server over HTTP, in the dialect that it speaks

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use reqwest::{Client, Response, Url};
use serde::{Deserialize, Serialize};

use super::error::CallerError;

/// How a server wants to be called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dial {
    /// OpenAI's Realtime API: `POST /v1/realtime/calls` with the SDP as it is; events on the data channel.
    #[default]
    Realtime,
    /// Pipecat's small WebRTC transport and those like it: `POST /api/offer` with `{"sdp", "type"}`. Nothing is known of
    /// their events, so an answer is measured by its sound alone.
    Offer,
}

impl Dial {
    /// Where an offer goes: a path in `server` is taken as it is, else the dialect's own is added.
    pub fn url(self, server: &str) -> Result<Url, CallerError> {
        let unusable = |why: String| CallerError::Answer(format!("{server}: {why}"));
        let url = Url::parse(server).map_err(|e| unusable(e.to_string()))?;
        match (url.path(), self) {
            ("" | "/", Self::Realtime) => url.join("/v1/realtime/calls").map_err(|e| unusable(e.to_string())),
            ("" | "/", Self::Offer) => url.join("/api/offer").map_err(|e| unusable(e.to_string())),
            _ => Ok(url),
        }
    }

    /// Offers a call and waits for the answer.
    pub(super) async fn offer(
        self,
        http: &Client,
        url: &Url,
        token: Option<&str>,
        offer: String,
    ) -> Result<Answered, CallerError> {
        let request = http.post(url.clone()).timeout(HTTP_LIMIT);
        let mut request = match self {
            Self::Realtime => request.header(CONTENT_TYPE, "application/sdp").body(offer),
            Self::Offer => request.json(&Description { sdp: offer, kind: "offer".into() }),
        };
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let location = response.headers().get(LOCATION).and_then(|l| l.to_str().ok()).and_then(|l| url.join(l).ok());
        let text = body(response).await?;
        let sdp = match self {
            Self::Realtime => text,
            Self::Offer => {
                let answer: Description =
                    serde_json::from_str(&text).map_err(|e| CallerError::Answer(format!("no answer: {e}")))?;
                if answer.kind != "answer" {
                    return Err(CallerError::Answer(format!("no answer, but {:?}", answer.kind)));
                }
                answer.sdp
            }
        };
        Ok(Answered { sdp, location })
    }
}

/// What a server answered.
pub(super) struct Answered {
    pub(super) sdp: String,
    /// Where the call is deleted, if it can be.
    pub(super) location: Option<Url>,
}

/// A browser's `RTCSessionDescription`.
#[derive(Serialize, Deserialize)]
struct Description {
    sdp: String,
    #[serde(rename = "type")]
    kind: String,
}

/// Asks the server to end the call.
pub(super) async fn hang_up(http: &Client, location: Url, token: Option<&str>) -> Result<(), CallerError> {
    let mut request = http.delete(location).timeout(HTTP_LIMIT);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await?;
    if response.status().is_success() { Ok(()) } else { Err(refusal(response).await) }
}

async fn refusal(response: Response) -> CallerError {
    let status = response.status();
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    // A refusal without a readable body is a refusal all the same.
    let body = body(response).await.unwrap_or_default();
    CallerError::Refused { status, retry_after, body }
}

async fn body(mut response: Response) -> Result<String, CallerError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MAX_BODY {
            return Err(CallerError::Answer(format!("a body of more than {MAX_BODY} bytes")));
        }
    }
    String::from_utf8(bytes).map_err(|e| CallerError::Answer(e.to_string()))
}

/// Answering an offer takes milliseconds; a server that needs longer than this is not one.
pub(super) const HTTP_LIMIT: Duration = Duration::from_secs(10);

/// Chromium's longest answers have 10 kB.
const MAX_BODY: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// A bare address gets the dialect's path, a whole URL is the user's own.
    #[test]
    fn a_path_of_the_user_wins() {
        let url = |dial: Dial, server: &str| dial.url(server).unwrap().to_string();
        assert_eq!(url(Dial::Realtime, "http://127.0.0.1:8080"), "http://127.0.0.1:8080/v1/realtime/calls");
        assert_eq!(url(Dial::Offer, "http://peer:7860/"), "http://peer:7860/api/offer");
        assert_eq!(url(Dial::Offer, "https://peer/bots/7/offer?v=2"), "https://peer/bots/7/offer?v=2");
        assert!(Dial::Offer.url("peer").is_err());
    }
}
