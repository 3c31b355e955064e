//! core: turns raw values into typed ones, and collects everything that is not allowed
//! In:    the winning values of [`Layers`].
//! Out:   typed values; where one is not allowed, a stand-in and a problem that says what is.
//! Never: stops at the first problem.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Value;

use super::error::{ConfigError, Problem};
use super::layers::{Layers, shown};
use super::settings::Secret;

pub(super) struct Reader<'a> {
    layers: &'a Layers,
    problems: Vec<Problem>,
    read: BTreeSet<String>,
}

impl<'a> Reader<'a> {
    pub fn new(layers: &'a Layers, problems: Vec<Problem>) -> Self {
        Self { layers, problems, read: BTreeSet::new() }
    }

    /// The value, or everything that was wrong on the way to it.
    pub fn finish<T>(self, value: T) -> Result<T, ConfigError> {
        if self.problems.is_empty() { Ok(value) } else { Err(ConfigError { problems: self.problems }) }
    }

    /// Keys of the defaults that nobody has read: dead settings.
    #[cfg(test)]
    pub fn unread(&self) -> Vec<&str> {
        self.layers.names().filter(|name| !self.read.contains(*name)).collect()
    }

    /// Reports that the value of `name` is not allowed.
    pub fn refuse(&mut self, name: &str, allowed: &str) {
        let setting = self.layers.get(name);
        let (section, key) = name.split_once('.').expect("names are section.key");
        let message = format!("[{section}] {key} = {}: allowed is {allowed}", shown(name, &setting.value));
        self.problems.push(Problem { origin: setting.origin.clone(), message });
    }

    fn value(&mut self, name: &str) -> &'a Value {
        self.read.insert(name.to_owned());
        &self.layers.get(name).value
    }

    pub fn text(&mut self, name: &str) -> &'a str {
        self.value(name).as_str().expect("layers hold a text where the default is one")
    }

    /// `None` for the empty text.
    pub fn optional(&mut self, name: &str) -> Option<String> {
        let text = self.text(name).trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    pub fn secret(&mut self, name: &str) -> Option<Secret> {
        self.optional(name).map(Secret::new)
    }

    pub fn list(&mut self, name: &str) -> Vec<String> {
        let items = self.value(name).as_array().expect("layers hold a list where the default is one");
        items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect()
    }

    /// A list with at least one text in it.
    pub fn some_texts(&mut self, name: &str) -> Vec<String> {
        let list = self.list(name);
        if list.is_empty() {
            self.refuse(name, "a list of at least one text");
        }
        list
    }

    pub fn flag(&mut self, name: &str) -> bool {
        self.value(name).as_bool().expect("layers hold true or false where the default does")
    }

    pub fn whole(&mut self, name: &str, allowed: RangeInclusive<u32>) -> u32 {
        let value = self.value(name).as_integer().expect("layers hold a whole number where the default is one");
        match u32::try_from(value) {
            Ok(value) if allowed.contains(&value) => value,
            _ => {
                self.refuse(name, &format!("{} to {}", allowed.start(), allowed.end()));
                *allowed.start()
            }
        }
    }

    pub fn number(&mut self, name: &str, allowed: RangeInclusive<f64>) -> f64 {
        let value = self.value(name).as_float().expect("layers hold a number where the default is one");
        if allowed.contains(&value) {
            return value;
        }
        self.refuse(name, &format!("{} to {}", allowed.start(), allowed.end()));
        *allowed.start()
    }

    pub fn millis(&mut self, name: &str, allowed: RangeInclusive<u32>) -> Duration {
        Duration::from_millis(self.whole(name, allowed).into())
    }

    pub fn seconds(&mut self, name: &str, allowed: RangeInclusive<u32>) -> Duration {
        Duration::from_secs(self.whole(name, allowed).into())
    }

    pub fn choice<T: Copy>(&mut self, name: &str, allowed: &[(&str, T)]) -> T {
        let text = self.text(name);
        if let Some((_, choice)) = allowed.iter().find(|(word, _)| *word == text) {
            return *choice;
        }
        let words: Vec<_> = allowed.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        self.refuse(name, &words.join(" or "));
        allowed[0].1
    }

    pub fn address(&mut self, name: &str) -> SocketAddr {
        self.text(name).parse().unwrap_or_else(|_| {
            self.refuse(name, "an address and a port, such as \"127.0.0.1:8080\" or \"[::1]:8080\"");
            SocketAddr::from(([127, 0, 0, 1], 0))
        })
    }

    pub fn ip(&mut self, name: &str) -> Option<IpAddr> {
        let ip = self.optional(name)?.parse().ok();
        if ip.is_none() {
            self.refuse(name, "an IP address, such as \"203.0.113.7\"");
        }
        ip
    }

    /// A URL of one of `schemes`, without its last slash; `None` for the empty text.
    pub fn url(&mut self, name: &str, schemes: &[&str]) -> Option<String> {
        let url = self.optional(name)?;
        let host = schemes.iter().find_map(|scheme| url.strip_prefix(scheme)?.strip_prefix("://"));
        if host.is_some_and(|host| {
            host.starts_with(|c: char| c.is_alphanumeric() || c == '[') && !host.contains(char::is_whitespace)
        }) {
            return Some(url.trim_end_matches('/').to_owned());
        }
        self.refuse(
            name,
            &format!(
                "a URL that begins with {}",
                schemes.iter().map(|s| format!("{s}://")).collect::<Vec<_>>().join(" or ")
            ),
        );
        None
    }
}
