//! core: the conversation: what was said and heard, in order, by entry
//!
//! In:    entries, named by who minted them; the stage's progress; truncations.
//! Out:   the text of an entry; the messages for a language model.
//! Law:   of a reply, only words whose sound has left the stage are ever in it.
//! Never: mints a name; grows without bound ([`MAX_ITEMS`]).

use crate::agent::flow::{Ended, Entry, Place, Played, Role, TurnId, WordTime};
use crate::media::time::MediaTime;

/// A call of hours stays bounded; a model's window is far smaller.
pub const MAX_ITEMS: usize = 1000;

/// Stands where the user cut the agent short. Large models understand it ("as I was saying"); small ones imitate it.
const CUT_MARK: char = '—';

/// One message for a language model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub role: Role,
    pub text: String,
}

impl Message {
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self { role, text: text.into() }
    }
}

/// Why an entry could not be added, changed or found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    #[error("the conversation already has {0:?}")]
    Duplicate(Entry),
    #[error("the conversation has no {0:?}")]
    Unknown(Entry),
}

/// The only conversation there is: protocol cores keep ids and order, this keeps the words.
#[derive(Debug, Default)]
pub struct History {
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    entry: Entry,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Text {
        role: Role,
        text: String,
    },
    Reply(Reply),
    /// A tool's call or result, as the protocol gave it.
    Opaque(String),
}

/// What was heard of one turn of the agent.
#[derive(Debug)]
struct Reply {
    words: Vec<WordTime>,
    played: MediaTime,
    ended: Option<Ended>,
    /// The client has said that it heard no more than this: later progress cannot take it back.
    limit: Option<MediaTime>,
}

impl History {
    pub fn new() -> Self {
        Self::default()
    }

    /// No item that a model or a listener could know of: the agent has not spoken and was not spoken to.
    pub fn is_empty(&self) -> bool {
        self.items.iter().all(|item| item.text().is_none_or(|text| text.is_empty()))
    }

    /// Adds a message: the user's words as they were transcribed, or a client's own text.
    pub fn insert(
        &mut self,
        place: Place,
        entry: Entry,
        role: Role,
        text: impl Into<String>,
    ) -> Result<(), HistoryError> {
        self.put(place, Item { entry, content: Content::Text { role, text: text.into() } })
    }

    /// Adds an item whose meaning is the protocol's business (a function call or its output). No message is made of it.
    pub fn insert_opaque(&mut self, place: Place, entry: Entry, json: impl Into<String>) -> Result<(), HistoryError> {
        self.put(place, Item { entry, content: Content::Opaque(json.into()) })
    }

    /// Adds the reply of `turn` at the end, still unheard.
    pub fn begin_reply(&mut self, turn: TurnId) -> Result<(), HistoryError> {
        let reply = Reply { words: vec![], played: MediaTime::ZERO, ended: None, limit: None };
        self.put(Place::End, Item { entry: Entry::Reply(turn), content: Content::Reply(reply) })
    }

    /// What the stage has played of a turn. Progress is state: saying it again, or late, changes nothing.
    pub fn played(&mut self, progress: &Played) {
        let Some(reply) = self.reply(progress.turn) else { return };
        if progress.played < reply.played || reply.ended.is_some() && progress.ended.is_none() {
            return;
        }
        reply.played = progress.played;
        reply.ended = progress.ended;
        reply.words = progress.words.clone();
        reply.keep_limit();
    }

    /// The client heard only `heard` of the turn. Returns how many of its words are left.
    pub fn truncate(&mut self, turn: TurnId, heard: MediaTime) -> Result<usize, HistoryError> {
        let reply = self.reply(turn).ok_or(HistoryError::Unknown(Entry::Reply(turn)))?;
        reply.limit = Some(reply.limit.map_or(heard, |limit| limit.min(heard)));
        reply.keep_limit();
        Ok(reply.words.len())
    }

    pub fn delete(&mut self, entry: &Entry) -> Result<(), HistoryError> {
        let at = self.position(entry)?;
        self.items.remove(at);
        Ok(())
    }

    /// The text of an entry as it stands now: of a reply, what was heard of it.
    pub fn retrieve(&self, entry: &Entry) -> Option<String> {
        let item = &self.items[self.position(entry).ok()?];
        match &item.content {
            Content::Opaque(json) => Some(json.clone()),
            _ => item.text(),
        }
    }

    /// The conversation for a model, oldest first, ending with `hypothesis` when the user's last words are not an item
    /// yet. Whole turns are left out until about `budget` tokens remain.
    ///
    /// Consecutive messages of one speaker become one, empty ones none, and a user's word opens the conversation even
    /// if the agent greeted first: several chat templates insist on alternation. With `mark_cuts`, an interrupted reply
    /// ends in an em dash.
    pub fn messages(&self, hypothesis: Option<&str>, mark_cuts: bool, budget: usize) -> Vec<Message> {
        let mut messages: Vec<Message> = vec![];
        let said = self.items.iter().filter_map(|item| {
            let role = item.role()?;
            let mut text = item.text()?.trim().to_owned();
            if mark_cuts && !text.is_empty() && matches!(&item.content, Content::Reply(r) if r.was_cut()) {
                text.truncate(text.trim_end_matches(|c: char| !c.is_alphanumeric()).len());
                text.push(CUT_MARK);
            }
            Some(Message { role, text })
        });
        for message in said.chain(hypothesis.map(|text| Message::new(Role::User, text.trim()))) {
            if message.text.is_empty() {
                continue;
            }
            match messages.last_mut() {
                Some(last) if last.role == message.role => {
                    last.text.push(' ');
                    last.text.push_str(&message.text);
                }
                _ => messages.push(message),
            }
        }
        if messages.iter().find(|m| m.role != Role::System).is_some_and(|m| m.role == Role::Assistant) {
            let at = messages.iter().position(|m| m.role == Role::Assistant).expect("just found");
            messages.insert(at, Message::new(Role::User, OPENING));
        }
        trim(messages, budget)
    }

    fn put(&mut self, place: Place, item: Item) -> Result<(), HistoryError> {
        if self.position(&item.entry).is_ok() {
            return Err(HistoryError::Duplicate(item.entry));
        }
        let at = match place {
            Place::Start => 0,
            Place::After(entry) => 1 + self.position(&entry)?,
            Place::End => self.items.len(),
        };
        self.items.insert(at, item);
        if self.items.len() > MAX_ITEMS {
            self.items.remove(0);
        }
        Ok(())
    }

    fn position(&self, entry: &Entry) -> Result<usize, HistoryError> {
        // From the end: what is asked about is nearly always what was said last.
        self.items.iter().rposition(|item| item.entry == *entry).ok_or_else(|| HistoryError::Unknown(entry.clone()))
    }

    fn reply(&mut self, turn: TurnId) -> Option<&mut Reply> {
        let at = self.position(&Entry::Reply(turn)).ok()?;
        match &mut self.items[at].content {
            Content::Reply(reply) => Some(reply),
            _ => None,
        }
    }
}

impl Item {
    fn role(&self) -> Option<Role> {
        match &self.content {
            Content::Text { role, .. } => Some(*role),
            Content::Reply(_) => Some(Role::Assistant),
            Content::Opaque(_) => None,
        }
    }

    fn text(&self) -> Option<String> {
        match &self.content {
            Content::Text { text, .. } => Some(text.clone()),
            Content::Reply(reply) => Some(reply.words.iter().map(|w| w.text.as_str()).collect::<Vec<_>>().join(" ")),
            Content::Opaque(_) => None,
        }
    }
}

impl Reply {
    fn keep_limit(&mut self) {
        if let Some(limit) = self.limit {
            self.words.retain(|word| word.start < limit);
        }
    }

    fn was_cut(&self) -> bool {
        self.limit.is_some_and(|limit| limit < self.played) || matches!(self.ended, Some(Ended::Cut | Ended::Failed))
    }
}

/// What the user is taken to have said before the agent's greeting.
const OPENING: &str = "Hello.";

/// About how many tokens a message costs: four characters to a token (English; OpenAI's rule of thumb), and what the
/// template puts around it.
fn cost(message: &Message) -> usize {
    message.text.len().div_ceil(4) + 4
}

/// Leaves out whole turns (a user's message and all that follows it), oldest first.
///
/// The cut moves in steps of half a budget, not turn by turn: every model server remembers what it has read of a
/// conversation only as long as the beginning stays the same, and so most requests find all but the last turn read.
fn trim(messages: Vec<Message>, budget: usize) -> Vec<Message> {
    let total: usize = messages.iter().map(cost).sum();
    if total <= budget {
        return messages;
    }
    let step = (budget / 2).max(1);
    let drop_below = (total - budget).div_ceil(step) * step;
    let last_turn = messages.iter().rposition(|m| m.role == Role::User).unwrap_or(messages.len().saturating_sub(1));
    let mut before = 0;
    let mut from = last_turn;
    for (at, message) in messages.iter().enumerate() {
        if before >= drop_below && message.role == Role::User {
            from = at.min(last_turn);
            break;
        }
        before += cost(message);
    }
    // What the client has laid down for the whole conversation is not a turn.
    let mut kept: Vec<Message> = vec![];
    for (at, message) in messages.into_iter().enumerate() {
        if at >= from || message.role == Role::System {
            kept.push(message);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::flow::UserTurn;
    use proptest::prelude::*;

    const ALL: usize = 100_000;

    fn added(name: &str) -> Entry {
        Entry::Added(name.into())
    }

    fn user(n: u64) -> Entry {
        Entry::User(UserTurn(n))
    }

    fn reply(n: u64) -> Entry {
        Entry::Reply(TurnId(n))
    }

    /// Words of 100 ms each.
    fn words(text: &str) -> Vec<WordTime> {
        text.split(' ')
            .enumerate()
            .map(|(n, w)| WordTime {
                text: w.into(),
                start: MediaTime::from_ms(n as u64 * 100),
                stop: MediaTime::from_ms(n as u64 * 100 + 90),
            })
            .collect()
    }

    fn played(turn: u64, text: &str, ended: Option<Ended>) -> Played {
        let words = words(text);
        let played = words.last().map_or(MediaTime::ZERO, |w| w.stop);
        Played { turn: TurnId(turn), words, played, ready: None, first_sound: None, faded: None, ended }
    }

    fn shown(messages: &[Message]) -> String {
        let line = |m: &Message| format!("{}{}", ["s:", "u:", "a:"][m.role as usize], m.text);
        messages.iter().map(line).collect::<Vec<_>>().join("|")
    }

    /// A reply enters the history word by word as it is heard, and ends where it was cut.
    #[test]
    fn only_what_was_heard_is_history() {
        let mut history = History::new();
        assert!(history.is_empty());
        history.insert(Place::End, user(1), Role::User, "How are you?").unwrap();
        history.begin_reply(TurnId(1)).unwrap();
        assert_eq!(shown(&history.messages(None, true, ALL)), "u:How are you?");
        history.played(&played(1, "I am", None));
        history.played(&played(1, "I am fine,", Some(Ended::Cut)));
        // Late and repeated progress changes nothing.
        history.played(&played(1, "I am", None));
        history.played(&played(7, "of another turn", None));
        assert_eq!(history.retrieve(&reply(1)).as_deref(), Some("I am fine,"));
        assert_eq!(
            shown(&history.messages(Some(" Good to hear "), true, ALL)),
            "u:How are you?|a:I am fine—|u:Good to hear"
        );
        assert_eq!(shown(&history.messages(None, false, ALL)), "u:How are you?|a:I am fine,");
    }

    /// The client heard less than the stage played; and what it did not hear stays away.
    #[test]
    fn truncation_is_final() {
        let mut history = History::new();
        history.insert(Place::End, user(1), Role::User, "Hi").unwrap();
        history.begin_reply(TurnId(1)).unwrap();
        history.played(&played(1, "one two three four", None));
        assert_eq!(history.truncate(TurnId(1), MediaTime::from_ms(150)), Ok(2));
        history.played(&played(1, "one two three four five", Some(Ended::Complete)));
        assert_eq!(history.truncate(TurnId(1), MediaTime::from_ms(900)), Ok(2));
        assert_eq!(shown(&history.messages(None, true, ALL)), "u:Hi|a:one two—");
        assert_eq!(history.truncate(TurnId(9), MediaTime::ZERO), Err(HistoryError::Unknown(reply(9))));
    }

    /// Items by id: order, duplicates, deletion, and what belongs to the protocol alone.
    #[test]
    fn items_keep_their_place() {
        let mut history = History::new();
        history.insert(Place::End, added("a"), Role::User, "a").unwrap();
        history.insert(Place::End, added("c"), Role::User, "c").unwrap();
        history.insert(Place::After(added("a")), added("b"), Role::User, "b").unwrap();
        history.insert_opaque(Place::End, added("f"), r#"{"name":"f"}"#).unwrap();
        assert_eq!(
            history.insert(Place::End, added("a"), Role::User, "again"),
            Err(HistoryError::Duplicate(added("a")))
        );
        assert_eq!(
            history.insert(Place::After(added("x")), added("y"), Role::User, "y"),
            Err(HistoryError::Unknown(added("x")))
        );
        assert_eq!(shown(&history.messages(None, true, ALL)), "u:a b c");
        history.delete(&added("b")).unwrap();
        assert_eq!(history.delete(&added("b")), Err(HistoryError::Unknown(added("b"))));
        assert_eq!(shown(&history.messages(None, true, ALL)), "u:a c");
        assert_eq!(history.retrieve(&added("f")).as_deref(), Some(r#"{"name":"f"}"#));
        assert_eq!(history.retrieve(&added("b")), None);
    }

    /// The agent greeted first: a user's word is put before, where templates insist on one.
    #[test]
    fn a_greeting_gets_an_opening() {
        let mut history = History::new();
        history.insert(Place::End, added("s"), Role::System, "The weather is fine.").unwrap();
        history.begin_reply(TurnId(1)).unwrap();
        history.played(&played(1, "Hi there!", Some(Ended::Complete)));
        assert_eq!(
            shown(&history.messages(Some("Hello"), true, ALL)),
            "s:The weather is fine.|u:Hello.|a:Hi there!|u:Hello"
        );
    }

    /// Old turns go in steps, so that the beginning of the prompt stays the same for several requests.
    #[test]
    fn trimming_keeps_the_beginning_still() {
        let mut history = History::new();
        history.insert(Place::End, added("s"), Role::System, "Always.").unwrap();
        let mut beginnings = vec![];
        for n in 0..40u64 {
            history.insert(Place::End, user(n), Role::User, format!("question number {n} of this long talk")).unwrap();
            let messages = history.messages(None, true, 200);
            assert!(messages.iter().map(cost).sum::<usize>() <= 200 + cost(&messages[0]));
            assert_eq!(messages[0], Message::new(Role::System, "Always."));
            assert_eq!(messages[1].role, Role::User);
            assert!(messages.last().unwrap().text.ends_with(&format!("{n} of this long talk")));
            beginnings.push(messages[1].clone());
            history.begin_reply(TurnId(n)).unwrap();
            history.played(&played(n, "a reply of middling length it is", Some(Ended::Complete)));
        }
        beginnings.dedup();
        assert!(beginnings.len() <= 11, "the beginning moved {} times in 40 turns", beginnings.len());
        // One message longer than the budget still goes: the model's server knows its own window.
        history.insert(Place::End, added("long"), Role::User, "x".repeat(5000)).unwrap();
        assert_eq!(history.messages(None, true, 200).len(), 2);
    }

    /// Hours of talk do not grow without bound.
    #[test]
    fn the_oldest_items_go() {
        let mut history = History::new();
        for n in 0..MAX_ITEMS + 10 {
            history.insert(Place::End, added(&n.to_string()), Role::User, "x").unwrap();
        }
        assert_eq!(history.items.len(), MAX_ITEMS);
        assert_eq!(history.retrieve(&added("9")), None);
    }

    proptest! {
        /// Whatever happens in whatever order, a model is only ever shown words that were played to the end they reached.
        #[test]
        fn history_is_within_what_was_played(ops in prop::collection::vec((0u8..5, 0u64..3, 0usize..12), 0..60)) {
            let mut history = History::new();
            let mut longest = [0usize; 3];
            for (op, turn, n) in ops {
                match op {
                    0 => drop(history.begin_reply(TurnId(turn))),
                    1 | 2 => {
                        let text: Vec<String> = (0..n).map(|k| format!("t{turn}w{k}")).collect();
                        let mut progress = played(turn, &text.join(" "), (op == 2).then_some(Ended::Cut));
                        progress.words.retain(|w| !w.text.is_empty());
                        longest[turn as usize] = longest[turn as usize].max(progress.words.len());
                        history.played(&progress);
                    }
                    3 => drop(history.truncate(TurnId(turn), MediaTime::from_ms(n as u64 * 100))),
                    _ => drop(history.delete(&reply(turn))),
                }
            }
            for (turn, longest) in longest.iter().enumerate() {
                let said: Vec<String> = (0..*longest).map(|k| format!("t{turn}w{k}")).collect();
                let kept = history.retrieve(&reply(turn as u64)).unwrap_or_default();
                prop_assert!(said.join(" ").starts_with(&kept));
            }
        }

        /// Roles alternate after the system's, no message is empty, and the user opens.
        #[test]
        fn messages_alternate(texts in prop::collection::vec((0u8..3, "[a-z ]{0,6}"), 0..30), budget in 1usize..200) {
            let mut history = History::new();
            for (n, (role, text)) in texts.into_iter().enumerate() {
                let role = [Role::System, Role::User, Role::Assistant][role as usize];
                history.insert(Place::End, added(&n.to_string()), role, text).unwrap();
            }
            let messages = history.messages(None, true, budget);
            prop_assert!(messages.iter().all(|m| !m.text.trim().is_empty()));
            let first = messages.iter().find(|m| m.role != Role::System);
            prop_assert!(first.is_none_or(|m| m.role == Role::User));
        }
    }
}
