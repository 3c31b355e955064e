//! io: where the models lie when nobody says so

use std::path::PathBuf;

/// `VISAVIS_MODELS`; else `visavis/models` in `XDG_CACHE_HOME` or in `~/.cache`.
pub fn folder() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("VISAVIS_MODELS").unwrap_or_else(|| {
        set("XDG_CACHE_HOME").unwrap_or_else(|| set("HOME").unwrap_or_default().join(".cache")).join("visavis/models")
    })
}
