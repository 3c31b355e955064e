//! core: the events and objects of one reply, filled in

use super::{Reply, first_words};
use crate::agent::flow::{Entry, Role};
use crate::agent::transport::realtime::items::{Items, Record, named};
use crate::wire::realtime::server::{
    ContentPart, ContentPartBody, Delta, Response, ResponseAudio, ResponseStatus, ServerBody, StatusDetails, Usage,
};
use crate::wire::realtime::session::Modality;
use crate::wire::realtime::{Item, ItemStatus};

impl Reply {
    /// The first word or sound makes the item.
    pub(super) fn announce(&mut self, items: &mut Items) -> Vec<ServerBody> {
        if std::mem::replace(&mut self.announced, true) {
            return Vec::new();
        }
        let record = Record {
            id: self.item.clone(),
            entry: Entry::Reply(self.turn),
            role: Role::Assistant,
            spoken: true,
            text: None,
            status: ItemStatus::InProgress,
        };
        let item = record.empty();
        let previous_item_id = named(items.append(record));
        vec![
            ServerBody::OutputItemAdded { response_id: self.id.clone(), output_index: 0, item: item.clone() },
            ServerBody::ItemAdded { previous_item_id, item },
            ServerBody::ContentPartAdded(self.part(String::new())),
        ]
    }

    /// The item as it ended, kept for whoever retrieves it.
    pub(super) fn record(&self, status: ItemStatus, items: &mut Items) -> Item {
        let text = self.heard.map_or(self.said.as_str(), |words| first_words(&self.said, words)).to_owned();
        let record = Record {
            id: self.item.clone(),
            entry: Entry::Reply(self.turn),
            role: Role::Assistant,
            spoken: true,
            text: Some(text),
            status,
        };
        let item = record.item();
        // The client may have deleted it while it was spoken.
        if let Some(known) = items.by_entry(&record.entry) {
            *known = record;
        }
        item
    }

    pub(super) fn part(&self, transcript: String) -> ContentPart {
        ContentPart {
            response_id: self.id.clone(),
            item_id: self.item.to_string(),
            output_index: 0,
            content_index: 0,
            part: ContentPartBody::Audio { transcript },
        }
    }

    pub(super) fn delta(&self, delta: String) -> Delta {
        Delta { response_id: self.id.clone(), item_id: self.item.to_string(), output_index: 0, content_index: 0, delta }
    }

    pub(super) fn response(
        &self,
        status: ResponseStatus,
        status_details: Option<StatusDetails>,
        usage: Option<Usage>,
        output: Vec<Item>,
    ) -> Response {
        Response {
            id: self.id.clone(),
            object: "realtime.response".to_owned(),
            status,
            status_details,
            output,
            conversation_id: Some(self.terms.conversation_id.clone()),
            output_modalities: vec![Modality::Audio],
            max_output_tokens: self.terms.max_output_tokens,
            audio: ResponseAudio { output: self.terms.voice.clone() },
            usage,
            metadata: self.terms.metadata.clone(),
        }
    }
}
