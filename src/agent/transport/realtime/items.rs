//! core: the ids and the order of the conversation's items
//!
//! What was said stands in the dialogue's history; here is only what the client has been told, so that every id that it may
//! name finds its entry, and every item says what it follows.

use std::sync::Arc;

use crate::agent::flow::{Entry, ItemId, Place, Role};
use crate::wire::realtime::{self as wire, Item, ItemKind, ItemStatus, Part};

#[derive(Debug, Default)]
pub struct Items {
    order: Vec<Record>,
}

/// One item as the client knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub id: ItemId,
    pub entry: Entry,
    pub role: Role,
    /// It was spoken, so its content is sound with a transcript.
    pub spoken: bool,
    /// What was said, as far as it is known.
    pub text: Option<String>,
    pub status: ItemStatus,
}

impl Items {
    /// Adds an item and says which one it follows. `Err` gives back a record whose place does not exist.
    pub fn add(&mut self, record: Record, place: &Place) -> Result<Option<ItemId>, Record> {
        let at = match place {
            Place::Start => 0,
            Place::End => self.order.len(),
            Place::After(entry) => match self.order.iter().position(|other| other.entry == *entry) {
                Some(before) => before + 1,
                None => return Err(record),
            },
        };
        let previous = at.checked_sub(1).map(|before| self.order[before].id.clone());
        self.order.insert(at, record);
        if self.order.len() > ITEMS_REMEMBERED {
            self.order.remove(0);
        }
        Ok(previous)
    }

    /// Adds an item after all others and says which one it follows.
    pub fn append(&mut self, record: Record) -> Option<ItemId> {
        let previous = self.order.last().map(|last| last.id.clone());
        self.add(record, &Place::End).expect("there is always an end");
        previous
    }

    pub fn by_id(&self, id: &str) -> Option<&Record> {
        self.order.iter().rev().find(|record| &*record.id == id)
    }

    pub fn by_entry(&mut self, entry: &Entry) -> Option<&mut Record> {
        self.order.iter_mut().rev().find(|record| record.entry == *entry)
    }

    /// The item that stands before `id`.
    pub fn before(&self, id: &str) -> Option<ItemId> {
        let at = self.order.iter().position(|record| &*record.id == id)?;
        at.checked_sub(1).map(|before| self.order[before].id.clone())
    }

    pub fn remove(&mut self, id: &str) -> Option<Record> {
        let at = self.order.iter().position(|record| &*record.id == id)?;
        Some(self.order.remove(at))
    }
}

impl Record {
    /// The item on the wire, with its words.
    pub fn item(&self) -> Item {
        let text = || self.text.clone().unwrap_or_default();
        let part = match (self.role, self.spoken) {
            (Role::Assistant, true) => Part::OutputAudio { transcript: Some(text()) },
            (Role::Assistant, false) => Part::OutputText { text: text() },
            (_, true) => Part::InputAudio { transcript: self.text.clone() },
            (_, false) => Part::InputText { text: text() },
        };
        self.with(vec![part])
    }

    /// The item as it is announced before anything of it exists.
    pub fn empty(&self) -> Item {
        self.with(Vec::new())
    }

    fn with(&self, content: Vec<Part>) -> Item {
        let role = match self.role {
            Role::System => wire::Role::System,
            Role::User => wire::Role::User,
            Role::Assistant => wire::Role::Assistant,
        };
        Item {
            id: Some(self.id.to_string()),
            object: Some("realtime.item".to_owned()),
            status: Some(self.status),
            kind: ItemKind::Message { role, content },
        }
    }
}

/// On the wire, an item that nothing stands before follows `null`.
pub fn named(previous: Option<ItemId>) -> Option<String> {
    previous.map(|id: Arc<str>| id.to_string())
}

/// A day of conversation has fewer; a client that adds more loses the oldest names, not the memory of this process.
const ITEMS_REMEMBERED: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: &str) -> Record {
        Record {
            id: id.into(),
            entry: Entry::Added(id.into()),
            role: Role::User,
            spoken: false,
            text: Some(id.to_owned()),
            status: ItemStatus::Completed,
        }
    }

    /// Items go where they are put, each knows what it follows, and a place that does not exist is refused.
    #[test]
    fn items_know_what_they_follow() {
        let mut items = Items::default();
        assert_eq!(items.append(record("a")), None);
        assert_eq!(items.append(record("b")).as_deref(), Some("a"));
        assert_eq!(items.add(record("0"), &Place::Start), Ok(None));
        let after_a = Place::After(Entry::Added("a".into()));
        assert_eq!(items.add(record("a2"), &after_a).unwrap().as_deref(), Some("a"));
        assert_eq!(items.before("b").as_deref(), Some("a2"));
        assert!(items.add(record("x"), &Place::After(Entry::Added("nowhere".into()))).is_err());
        assert!(items.remove("a2").is_some());
        assert_eq!(items.before("b").as_deref(), Some("a"));
        assert_eq!(items.by_id("a2"), None);
    }

    /// However many items a client adds, the names kept are bounded, and the newest are kept.
    #[test]
    fn the_oldest_names_are_forgotten() {
        let mut items = Items::default();
        for number in 0..ITEMS_REMEMBERED + 10 {
            items.append(record(&number.to_string()));
        }
        assert_eq!(items.order.len(), ITEMS_REMEMBERED);
        assert!(items.by_id("9").is_none());
        assert!(items.by_id(&(ITEMS_REMEMBERED + 9).to_string()).is_some());
    }
}
