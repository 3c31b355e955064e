//! core: which of several layers of settings wins, and where each value came from
//! In:    the texts of TOML files, variables, flags, weakest first.
//! Out:   one value per key of the defaults, with its origin.
//! Never: lets an unknown section or key pass, or a value of another kind than its default.

use std::collections::BTreeMap;
use std::path::Path;

use toml::Value;
use toml::de::DeTable;

use super::error::{Origin, Problem};

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub value: Value,
    pub origin: Origin,
}

/// One value per `section.key` of the defaults.
#[derive(Debug)]
pub(super) struct Layers {
    /// `section.key`, in the order of the defaults file.
    order: Vec<String>,
    settings: BTreeMap<String, Setting>,
    problems: Vec<Problem>,
}

impl Layers {
    /// Starts from the text of the defaults, which fixes the keys and the kind of each.
    pub fn new(defaults: &str) -> Self {
        let entries = entries(defaults).expect("the shipped defaults are TOML: a test reads them");
        let order = entries.iter().map(|e| format!("{}.{}", e.section, e.key)).collect();
        let settings = entries
            .into_iter()
            .map(|e| (format!("{}.{}", e.section, e.key), Setting { value: e.value, origin: Origin::Default }))
            .collect();
        Self { order, settings, problems: Vec::new() }
    }

    /// Lays the text of a file on top.
    pub fn file(&mut self, path: &Path, text: &str) {
        let at = |line| Origin::File { path: path.to_owned(), line };
        match entries(text) {
            Ok(entries) => {
                for e in entries {
                    self.set(&e.section, &e.key, e.value, at(Some(e.line)));
                }
            }
            Err((line, message)) => self.problems.push(Problem { origin: at(line), message }),
        }
    }

    /// Lays one word of text on top, as it comes from a variable or a flag: read as the kind that the key's default has.
    pub fn word(&mut self, path: &str, text: &str, origin: Origin) {
        let (section, key) = path.split_once('.').unwrap_or((path, ""));
        let value = match self.settings.get(path).map(|s| &s.value) {
            Some(Value::Integer(_)) => text.trim().parse().map(Value::Integer).ok(),
            Some(Value::Float(_)) => text.trim().parse().map(Value::Float).ok(),
            Some(Value::Boolean(_)) => match text.trim() {
                "1" => Some(Value::Boolean(true)),
                "0" => Some(Value::Boolean(false)),
                other => other.parse().map(Value::Boolean).ok(),
            },
            Some(Value::Array(_)) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Some(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
            }
            _ => None,
        };
        // What did not parse goes on as text: `set` then says which kind is wanted.
        self.set(section, key, value.unwrap_or_else(|| Value::String(text.to_owned())), origin);
    }

    fn set(&mut self, section: &str, key: &str, value: Value, origin: Origin) {
        let name = format!("{section}.{key}");
        let Some(setting) = self.settings.get_mut(&name) else {
            let problem = self.unknown(section, key);
            self.problems.push(Problem { origin, message: problem });
            return;
        };
        let value = match (&setting.value, value) {
            (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
            (_, value) => value,
        };
        if setting.value.same_type(&value) && list_of_texts(&value) {
            *setting = Setting { value, origin };
        } else {
            let message = format!("[{section}] {key} = {}: allowed is {}", shown(&name, &value), kind(&setting.value));
            self.problems.push(Problem { origin, message });
        }
    }

    fn unknown(&self, section: &str, key: &str) -> String {
        let keys = |of: &str| -> Vec<&str> {
            self.order
                .iter()
                .filter_map(|name| name.split_once('.'))
                .filter(|(s, _)| *s == of)
                .map(|(_, k)| k)
                .collect()
        };
        let known = keys(section);
        if known.is_empty() {
            let mut sections: Vec<_> = self.order.iter().filter_map(|name| Some(name.split_once('.')?.0)).collect();
            sections.dedup();
            format!("there is no section [{section}]; allowed are {}", sections.join(", "))
        } else {
            format!("[{section}] has no key `{key}`; allowed are {}", known.join(", "))
        }
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.order.iter().map(String::as_str)
    }

    /// The winning setting. Panics when the defaults lack `name`: a test reads every key.
    pub fn get(&self, name: &str) -> &Setting {
        self.settings.get(name).unwrap_or_else(|| panic!("configs/visavis.toml has no {name}"))
    }

    /// What the layers got wrong so far; leaves none.
    pub fn take_problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }
}

/// A key whose value is never shown.
pub(super) fn is_secret(name: &str) -> bool {
    name.ends_with(".token") || name.ends_with("api_key")
}

/// The value as TOML, unless it is a secret.
pub(super) fn shown(name: &str, value: &Value) -> String {
    if is_secret(name) { "(not shown)".to_owned() } else { value.to_string() }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text in quotes",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list of texts",
        Value::Datetime(_) | Value::Table(_) => "nothing of this kind",
    }
}

fn list_of_texts(value: &Value) -> bool {
    value.as_array().is_none_or(|items| items.iter().all(Value::is_str))
}

struct Entry {
    section: String,
    key: String,
    value: Value,
    line: usize,
}

/// Every `key = value` of a file of sections, in the order of the file; or the line and what is wrong there.
fn entries(text: &str) -> Result<Vec<Entry>, (Option<usize>, String)> {
    let line_of = |at: usize| text.as_bytes()[..at.min(text.len())].iter().filter(|b| **b == b'\n').count() + 1;
    let broken = |e: toml::de::Error| (e.span().map(|s| line_of(s.start)), e.message().trim().replace('\n', ", "));

    let places = DeTable::parse(text).map_err(broken)?;
    let values: toml::Table = text.parse().map_err(broken)?;
    let mut found = Vec::new();
    for (section, body) in places.get_ref() {
        let at = section.span().start;
        let section = section.get_ref().as_ref();
        let (Some(body), Some(Value::Table(values))) = (body.get_ref().as_table(), values.get(section)) else {
            return Err((Some(line_of(at)), format!("`{section}` stands outside a section; write [section] above it")));
        };
        for (key, _) in body {
            let at = key.span().start;
            let key = key.get_ref().as_ref();
            let value = values.get(key).expect("both parsers read the same text").clone();
            found.push((at, Entry { section: section.to_owned(), key: key.to_owned(), value, line: line_of(at) }));
        }
    }
    found.sort_by_key(|(at, _)| *at);
    Ok(found.into_iter().map(|(_, entry)| entry).collect())
}
