//! core: the user's turns as events: started, stopped, committed, transcribed
//!
//! In:    the hearing's facts, each of which names its turn.
//! Out:   events, each of which names its item. An id is first told by `speech_started` or by `committed`.
//! Never: tells words of an item that has not been told; gives two turns one item.

use std::collections::VecDeque;

use super::ids::Ids;
use super::items::{Items, Record, named};
use crate::agent::flow::{Entry, ItemId, Role, UserTurn};
use crate::media::time::Samples;
use crate::wire::realtime::ItemStatus;
use crate::wire::realtime::server::{Failure, ServerBody, TranscriptionUsage};

#[derive(Debug, Default)]
pub struct User {
    turns: VecDeque<Turn>,
}

#[derive(Debug)]
struct Turn {
    user: UserTurn,
    item: ItemId,
    /// The client has been told the id.
    told: bool,
    committed: bool,
    /// The words that were sent as deltas.
    words: Vec<String>,
}

impl User {
    pub fn started(&mut self, user: UserTurn, at: Samples<16_000>, ids: &mut Ids) -> ServerBody {
        let turn = self.turn(user, ids);
        turn.told = true;
        ServerBody::SpeechStarted { audio_start_ms: at.as_ms(), item_id: turn.item.to_string() }
    }

    pub fn stopped(&mut self, user: UserTurn, at: Samples<16_000>, ids: &mut Ids) -> ServerBody {
        let turn = self.turn(user, ids);
        turn.told = true;
        ServerBody::SpeechStopped { audio_end_ms: at.as_ms(), item_id: turn.item.to_string() }
    }

    /// The turn becomes an item, once.
    pub fn committed(&mut self, user: UserTurn, items: &mut Items, ids: &mut Ids) -> Vec<ServerBody> {
        let turn = self.turn(user, ids);
        if turn.committed {
            return Vec::new();
        }
        turn.told = true;
        turn.committed = true;
        let record = Record {
            id: turn.item.clone(),
            entry: Entry::User(user),
            role: Role::User,
            spoken: true,
            text: None,
            status: ItemStatus::Completed,
        };
        let item = record.item();
        let item_id = turn.item.to_string();
        let previous_item_id = named(items.append(record));
        vec![
            ServerBody::Committed { item_id, previous_item_id: previous_item_id.clone() },
            ServerBody::ItemAdded { previous_item_id: previous_item_id.clone(), item: item.clone() },
            ServerBody::ItemDone { previous_item_id, item },
        ]
    }

    /// The words so far, of which the first `stable` will not change: those are told.
    pub fn heard(&mut self, user: UserTurn, text: &str, stable: usize) -> Option<ServerBody> {
        let turn = self.turns.iter_mut().find(|turn| turn.user == user && turn.told)?;
        turn.delta(text.split_whitespace().take(stable))
    }

    /// The final words: those that were not told yet, then the whole.
    pub fn transcribed(
        &mut self,
        user: UserTurn,
        text: String,
        heard: Samples<16_000>,
        items: &mut Items,
    ) -> Vec<ServerBody> {
        if let Some(record) = items.by_entry(&Entry::User(user)) {
            record.text = Some(text.clone());
        }
        let Some(mut turn) = self.finish(user) else { return Vec::new() };
        let rest = turn.delta(text.split_whitespace());
        let completed = ServerBody::TranscriptionCompleted {
            item_id: turn.item.to_string(),
            content_index: 0,
            transcript: text,
            usage: TranscriptionUsage::Duration { seconds: heard.as_secs_f64() },
        };
        rest.into_iter().chain([completed]).collect()
    }

    pub fn not_transcribed(&mut self, user: UserTurn, message: String) -> Option<ServerBody> {
        let turn = self.finish(user)?;
        Some(ServerBody::TranscriptionFailed {
            item_id: turn.item.to_string(),
            content_index: 0,
            error: Failure { kind: "server_error".to_owned(), code: "transcription_failed".to_owned(), message },
        })
    }

    fn turn(&mut self, user: UserTurn, ids: &mut Ids) -> &mut Turn {
        let known = self.turns.iter().position(|turn| turn.user == user);
        let at = known.unwrap_or_else(|| {
            if self.turns.len() == TURNS_REMEMBERED {
                self.turns.pop_front();
            }
            let item = ids.mint("item").into();
            self.turns.push_back(Turn { user, item, told: false, committed: false, words: Vec::new() });
            self.turns.len() - 1
        });
        &mut self.turns[at]
    }

    /// Nothing follows the transcript of a committed turn.
    fn finish(&mut self, user: UserTurn) -> Option<Turn> {
        let at = self.turns.iter().position(|turn| turn.user == user && turn.committed)?;
        self.turns.remove(at)
    }
}

impl Turn {
    /// What `words` adds to those that were told, if it agrees with them.
    fn delta<'a>(&mut self, words: impl Iterator<Item = &'a str>) -> Option<ServerBody> {
        let words: Vec<&str> = words.collect();
        let (agreed, new) = words.split_at_checked(self.words.len())?;
        if new.is_empty() || agreed != self.words {
            return None;
        }
        let space = if self.words.is_empty() { "" } else { " " };
        let delta = format!("{space}{}", new.join(" "));
        self.words.extend(new.iter().map(|word| (*word).to_owned()));
        Some(ServerBody::TranscriptionDelta { item_id: self.item.to_string(), content_index: 0, delta })
    }
}

/// A transcript is late by a turn at most; turns that were never committed make room.
const TURNS_REMEMBERED: usize = 8;
