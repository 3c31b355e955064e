//! io: reads an offer out of a request: raw SDP, or a form of `sdp` and `session`, each capped

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::multipart::{Field, Multipart};
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use serde_json::Value;

use super::refusal::Refusal;
use crate::runtime::clock;

/// Browsers offer 5 to 12 kB; nobody needs more than this.
pub const MAX_SDP_BYTES: usize = 64 * 1024;
/// Room for long instructions and many tools.
pub const MAX_SESSION_BYTES: usize = 256 * 1024;
/// Parts and their headers together.
pub const MAX_FORM_BYTES: usize = MAX_SDP_BYTES + MAX_SESSION_BYTES + 4 * 1024;
/// A caller who sends an offer more slowly than this will not hold a conversation, but would hold a permit.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a caller brings.
#[derive(Debug, PartialEq)]
pub struct Offer {
    /// Looks like SDP; whether it can be answered is for the endpoint to say.
    pub sdp: String,
    /// A JSON object.
    pub session: Option<Value>,
}

/// Reads the body by its content type.
pub async fn read(request: Request) -> Result<Offer, Refusal> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let reading = async {
        match kind.as_str() {
            "application/sdp" => raw(request.into_body()).await,
            "multipart/form-data" => form(request).await,
            _ => Err(Refusal::caller(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_content_type",
                "Send the offer as application/sdp, or as multipart/form-data with the parts sdp and session.",
            )),
        }
    };
    let slow =
        |_| Refusal::caller(StatusCode::REQUEST_TIMEOUT, "request_timeout", "The offer took too long to arrive.");
    let offer = clock::timeout(PATIENCE, reading).await.map_err(slow)??;
    if !offer.sdp.trim_start().starts_with("v=0") {
        let status = StatusCode::BAD_REQUEST;
        return Err(
            Refusal::caller(status, "invalid_offer", "The offer is not SDP: it does not begin with v=0.").about("sdp")
        );
    }
    Ok(offer)
}

async fn raw(body: Body) -> Result<Offer, Refusal> {
    // The only errors are a body beyond the cap and a connection that broke, which nobody reads the answer of.
    let bytes = to_bytes(body, MAX_SDP_BYTES).await.map_err(|_| too_large("sdp", MAX_SDP_BYTES))?;
    Ok(Offer { sdp: text(bytes.to_vec(), "sdp")?, session: None })
}

async fn form(request: Request) -> Result<Offer, Refusal> {
    let broken = |message: String| {
        Refusal::caller(StatusCode::BAD_REQUEST, "invalid_form", format!("The form cannot be read: {message}"))
    };
    let mut form = Multipart::from_request(request, &()).await.map_err(|e| broken(e.body_text()))?;
    let (mut sdp, mut session) = (None, None);
    while let Some(field) = form.next_field().await.map_err(|e| broken(e.body_text()))? {
        match field.name() {
            Some("sdp") => sdp = Some(text(part(field, "sdp", MAX_SDP_BYTES).await?, "sdp")?),
            Some("session") => {
                let bytes = part(field, "session", MAX_SESSION_BYTES).await?;
                session = Some(object(&bytes)?);
            }
            // Parts of later protocols are none of our business.
            _ => {
                part(field, "form", MAX_FORM_BYTES).await?;
            }
        }
    }
    let missing =
        || Refusal::caller(StatusCode::BAD_REQUEST, "missing_part", "The form has no part called sdp.").about("sdp");
    Ok(Offer { sdp: sdp.ok_or_else(missing)?, session })
}

async fn part(mut field: Field<'_>, name: &'static str, cap: usize) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Vec::new();
    loop {
        match field.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > cap => return Err(too_large(name, cap)),
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes),
            Err(e) if e.status() == StatusCode::PAYLOAD_TOO_LARGE => return Err(too_large("form", MAX_FORM_BYTES)),
            Err(e) => {
                let message = format!("The form cannot be read: {}", e.body_text());
                return Err(Refusal::caller(StatusCode::BAD_REQUEST, "invalid_form", message).about(name));
            }
        }
    }
}

fn text(bytes: Vec<u8>, param: &'static str) -> Result<String, Refusal> {
    let wrong = |_| Refusal::caller(StatusCode::BAD_REQUEST, "invalid_offer", "The offer is not UTF-8.").about(param);
    String::from_utf8(bytes).map_err(wrong)
}

fn object(bytes: &[u8]) -> Result<Value, Refusal> {
    let wrong = |message: String| Refusal::caller(StatusCode::BAD_REQUEST, "invalid_json", message).about("session");
    match serde_json::from_slice(bytes) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err(wrong("The session is JSON, but no object.".to_owned())),
        Err(e) => Err(wrong(format!("The session is not JSON: {e}"))),
    }
}

fn too_large(param: &'static str, cap: usize) -> Refusal {
    let message = format!("Too large: at most {cap} bytes are read.");
    Refusal::caller(StatusCode::PAYLOAD_TOO_LARGE, "request_too_large", message).about(param)
}
