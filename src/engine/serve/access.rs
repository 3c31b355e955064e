//! io: who may talk to an engine, and what an engine says about itself

use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::metrics::Metrics;

/// What a caller must present. Compared in constant time and never printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// Whether the caller presents this token: in the header `kyutai-api-key`, as `Authorization: Bearer`, or, where
    /// neither is there, in the query's `auth_id`. A wrong header is not mended by a right query (as moshi-server has
    /// it).
    pub fn admits(&self, headers: &HeaderMap, auth_id: Option<&str>) -> bool {
        let key = headers.get("kyutai-api-key").map(|value| value.to_str().unwrap_or_default());
        let bearer = headers
            .get("authorization")
            .map(|value| value.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default());
        key.or(bearer).or(auth_id).is_some_and(|presented| self.equals(presented))
    }

    /// Looks at every byte whatever the first difference is.
    fn equals(&self, presented: &str) -> bool {
        let (ours, theirs) = (self.0.as_bytes(), presented.as_bytes());
        let differences = ours.iter().zip(theirs).fold(0, |sum, (a, b)| sum | (a ^ b));
        ours.len() == theirs.len() && differences == 0
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(…)")
    }
}

/// `GET /api/build_info`: callers of moshi-server take any 200 here for a sign of life.
pub async fn build_info() -> Json<Value> {
    Json(json!({ "name": env!("CARGO_PKG_NAME"), "version": env!("CARGO_PKG_VERSION") }))
}

/// `GET /metrics` and `GET /health` of an engine that runs alone; one that is embedded is seen through the agent's.
/// The door opens when the model is warm, so health is 200 from the first answer on; once the model's thread has ended,
/// which only a new process mends, it is 503.
pub fn about(metrics: Metrics, well: Wellbeing) -> Router {
    let health = move || {
        if well() { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "the model is gone\n") }
    };
    let text = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    Router::new()
        .route("/health", get(async move || health()))
        .route("/metrics", get(async move || (text, metrics.render())))
}

/// Whether an engine can do its work.
pub type Wellbeing = Arc<dyn Fn() -> bool + Send + Sync>;

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    /// The header decides; the query counts only where there is no header.
    #[test]
    fn the_header_goes_before_the_query() {
        let token = Token::new("open sesame");
        for (pairs, auth_id, admitted) in [
            (&[("kyutai-api-key", "open sesame")][..], None, true),
            (&[("authorization", "Bearer open sesame")], None, true),
            (&[], Some("open sesame"), true),
            (&[("kyutai-api-key", "open barley")], Some("open sesame"), false),
            (&[("authorization", "Basic open sesame")], Some("open sesame"), false),
            (&[], Some("open sesam"), false),
            (&[], Some(""), false),
            (&[], None, false),
        ] {
            assert_eq!(token.admits(&headers(pairs), auth_id), admitted, "{pairs:?} {auth_id:?}");
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
    }
}
