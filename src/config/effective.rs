//! core: the configuration in force, as TOML that can be read back

use toml::Value;

use super::error::Origin;
use super::layers::{Layers, is_secret};

/// One line per key in the order of the defaults; what is not a default says where it came from. Secrets are left out,
/// with a comment that says so.
pub(super) fn effective(layers: &Layers) -> String {
    let mut text = String::new();
    let mut current = "";
    for name in layers.names() {
        let (section, key) = name.split_once('.').expect("names are section.key");
        if section != current {
            if !current.is_empty() {
                text.push('\n');
            }
            text.push_str(&format!("[{section}]\n"));
            current = section;
        }
        let setting = layers.get(name);
        let hidden = is_secret(name) && setting.value.as_str().is_some_and(|secret| !secret.is_empty());
        let value = if hidden { Value::String(String::new()) } else { setting.value.clone() };
        text.push_str(&format!("{key} = {value}"));
        match (&setting.origin, hidden) {
            (Origin::Default, _) => {}
            (origin, false) => text.push_str(&format!("  # {origin}")),
            (origin, true) => text.push_str(&format!("  # {origin}; set, not shown")),
        }
        text.push('\n');
    }
    text
}
