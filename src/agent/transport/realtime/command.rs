//! core: from a client's text to one of the eleven commands, or to the reason why it is none

use serde_json::{Map, Value};

use super::refusal::Refusal;
use crate::wire::realtime::{ClientBody, ClientEvent};

/// A text that is no command. The `event_id` is kept wherever it could be read.
#[derive(Debug, PartialEq)]
pub struct Unreadable {
    pub event_id: Option<String>,
    pub refusal: Refusal,
}

/// Reads one client event.
pub fn read(text: &str) -> Result<ClientEvent, Unreadable> {
    let anonymous = |refusal| Unreadable { event_id: None, refusal };
    let value: Value = serde_json::from_str(text)
        .map_err(|error| anonymous(Refusal::new("invalid_json", format!("The event is not valid JSON: {error}."))))?;
    let Value::Object(fields) = value else {
        return Err(anonymous(Refusal::new("invalid_event", "An event is a JSON object with a 'type'.")));
    };
    let event_id = event_id(&fields).map_err(anonymous)?;
    check(&fields)
        .and_then(|()| {
            serde_json::from_value::<ClientBody>(Value::Object(fields))
                .map_err(|error| Refusal::new("invalid_value", format!("The event cannot be read: {error}.")))
        })
        .map(|body| ClientEvent { event_id: event_id.clone(), body })
        .map_err(|refusal| Unreadable { event_id, refusal })
}

fn event_id(fields: &Map<String, Value>) -> Result<Option<String>, Refusal> {
    match fields.get("event_id") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) if id.len() <= LONGEST_ID_BYTES => Ok(Some(id.clone())),
        Some(Value::String(_)) => Err(Refusal::of(
            "string_above_max_length",
            "event_id",
            format!("Invalid 'event_id': longer than {LONGEST_ID_BYTES} bytes."),
        )),
        Some(_) => Err(Refusal::of("invalid_type", "event_id", "Invalid 'event_id': expected a string.")),
    }
}

/// The type is known, and what it cannot do without is there.
fn check(fields: &Map<String, Value>) -> Result<(), Refusal> {
    let given = match fields.get("type") {
        None | Some(Value::Null) => return Err(Refusal::missing("type")),
        Some(Value::String(given)) => given,
        Some(_) => return Err(Refusal::of("invalid_type", "type", "Invalid 'type': expected a string.")),
    };
    let Some((_, required)) = ClientBody::TYPES.iter().find(|(name, _)| name == given) else {
        let known: Vec<String> = ClientBody::TYPES.iter().map(|(name, _)| format!("'{name}'")).collect();
        let given: String = given.chars().take(64).collect();
        return Err(Refusal::of(
            "invalid_value",
            "type",
            format!("Invalid value: '{given}'. Supported values are: {}.", known.join(", ")),
        ));
    };
    match required.iter().find(|field| fields.get(**field).is_none_or(Value::is_null)) {
        Some(absent) => Err(Refusal::missing(absent)),
        None => Ok(()),
    }
}

/// Every id that a client chooses comes back in events, so it is bounded (OpenAI's own limit for `event_id`).
pub const LONGEST_ID_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is wrong, the answer names the event, the field and a code that programs can act on.
    #[test]
    fn every_fault_is_named() {
        let cases = [
            ("", None, "invalid_json", None),
            (r#"{"type":"response.create""#, None, "invalid_json", None),
            ("[]", None, "invalid_event", None),
            (r#"{"event_id":"e"}"#, Some("e"), "missing_required_parameter", Some("type")),
            (r#"{"event_id":7,"type":"response.create"}"#, None, "invalid_type", Some("event_id")),
            (r#"{"event_id":"e","type":7}"#, Some("e"), "invalid_type", Some("type")),
            (r#"{"event_id":"e","type":"response.sing"}"#, Some("e"), "invalid_value", Some("type")),
            (r#"{"event_id":"e","type":"session.update"}"#, Some("e"), "missing_required_parameter", Some("session")),
            (
                r#"{"event_id":"e","type":"conversation.item.truncate","item_id":"a","content_index":0}"#,
                Some("e"),
                "missing_required_parameter",
                Some("audio_end_ms"),
            ),
            (
                r#"{"event_id":"e","type":"conversation.item.truncate","item_id":"a","content_index":0,"audio_end_ms":-1}"#,
                Some("e"),
                "invalid_value",
                None,
            ),
        ];
        for (text, event_id, code, param) in cases {
            let unreadable = read(text).unwrap_err();
            assert_eq!(unreadable.event_id.as_deref(), event_id, "{text}");
            assert_eq!(unreadable.refusal.code, code, "{text}");
            assert_eq!(unreadable.refusal.param.as_deref(), param, "{text}");
        }
    }

    /// The table of types is the enum's own: each is read, none is missing.
    #[test]
    fn the_table_holds_every_type() {
        for (name, required) in ClientBody::TYPES {
            let mut event = serde_json::json!({ "type": name });
            for field in required {
                event[field] = match *field {
                    "content_index" | "audio_end_ms" => 0.into(),
                    "item" => serde_json::json!({"type": "message", "role": "user", "content": []}),
                    _ => "x".into(),
                };
            }
            let read = read(&event.to_string()).unwrap();
            assert_eq!(serde_json::to_value(&read).unwrap()["type"], name);
        }
    }
}
