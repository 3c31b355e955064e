//! io: where the models lie when nobody says so

use std::path::PathBuf;

/// `VISAVIS_MODELS` of this process, else the usual folder: for tests of models, which read no configuration.
pub fn folder() -> PathBuf {
    let variable = |name: &str| std::env::var(name).ok();
    variable("VISAVIS_MODELS").filter(|v| !v.is_empty()).map_or_else(|| usual(variable), PathBuf::from)
}

/// `visavis/models` in `XDG_CACHE_HOME` or in `~/.cache`; without either in the working directory.
pub(super) fn usual(variable: impl Fn(&str) -> Option<String>) -> PathBuf {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    cache.unwrap_or_default().join("visavis/models")
}
