//! core: who may call: the bearer of the token, and pages of our own or of allowed origins
//! In:    the headers `Authorization`, `Origin` and `Host` of a request, where it has them.
//! Out:   yes or no.

use crate::config::Secret;

/// Who may place and end calls.
#[derive(Clone, Debug)]
pub struct Auth {
    /// Everybody, without one.
    token: Option<Secret>,
    /// `*`, `localhost` (any port of this machine's own names) or whole origins.
    origins: Vec<String>,
}

/// What the `Origin` of a request means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Site {
    /// Our own page, or no browser.
    Own,
    /// Another page that may call.
    Allowed,
    /// Another page that may not. A form of such a page reaches us without asking first, so it has to be refused here.
    Foreign,
}

impl Auth {
    pub fn new(token: Option<Secret>, origins: Vec<String>) -> Self {
        Self { token, origins }
    }

    pub fn needs_token(&self) -> bool {
        self.token.is_some()
    }

    /// Whether `Authorization: Bearer …` is the token. Compared in a time that does not tell how much of it was right.
    pub fn admits(&self, authorization: Option<&str>) -> bool {
        let Some(token) = &self.token else { return true };
        let Some((scheme, given)) = authorization.and_then(|given| given.split_once(' ')) else { return false };
        let (given, token) = (given.trim().as_bytes(), token.expose().as_bytes());
        let differences =
            given.iter().zip(token).fold(given.len() ^ token.len(), |sum, (a, b)| sum | usize::from(a ^ b));
        scheme.eq_ignore_ascii_case("bearer") && differences == 0
    }

    pub fn site(&self, origin: Option<&str>, host: Option<&str>) -> Site {
        let Some(origin) = origin else { return Site::Own };
        let authority = origin.split_once("://").map_or("", |(_, authority)| authority);
        if !authority.is_empty() && host == Some(authority) {
            return Site::Own;
        }
        let allowed = self.origins.iter().any(|allowed| match allowed.as_str() {
            "*" => true,
            "localhost" => matches!(name_of(authority), "localhost" | "127.0.0.1" | "[::1]"),
            exact => exact == origin,
        });
        if allowed { Site::Allowed } else { Site::Foreign }
    }
}

/// `[::1]:80` → `[::1]`, `name:80` → `name`.
fn name_of(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Exactly the token, under the scheme that carries tokens.
    #[test]
    fn only_the_bearer_comes_in() {
        let auth = Auth::new(Some(Secret::new("s3cret")), vec![]);
        for (given, fine) in [
            ("Bearer s3cret", true),
            ("bearer s3cret", true),
            ("Bearer s3cre", false),
            ("Bearer s3cret1", false),
            ("Bearer ", false),
            ("s3cret", false),
            ("Basic s3cret", false),
        ] {
            assert_eq!(auth.admits(Some(given)), fine, "{given}");
        }
        assert!(!auth.admits(None));
        assert!(Auth::new(None, vec![]).admits(None));
    }

    /// Our own page and programs are at home, listed sites are welcome, others are not.
    #[test]
    fn sites_are_told_apart() {
        let auth = Auth::new(None, vec!["localhost".into(), "https://friend.example".into()]);
        let site = |origin| auth.site(Some(origin), Some("talk.example:8080"));
        assert_eq!(auth.site(None, Some("talk.example")), Site::Own);
        assert_eq!(site("https://talk.example:8080"), Site::Own);
        for origin in ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:9", "https://friend.example"] {
            assert_eq!(site(origin), Site::Allowed, "{origin}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "",
            "http://localhost.evil.example",
            "https://friend.example:1",
            "http://x://localhost",
        ] {
            assert_eq!(site(origin), Site::Foreign, "{origin}");
        }
        let all = Auth::new(None, vec!["*".into()]);
        assert_eq!(all.site(Some("null"), None), Site::Allowed);
    }
}
