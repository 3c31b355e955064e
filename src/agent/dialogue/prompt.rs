//! core: what a language model is told before the conversation: who it is, and that it is heard, not read
//!
//! In:    a persona, the kind of brain that plays it, a client's instructions, the history's messages.
//! Out:   all messages of one request. Its beginning is the same every time: model servers keep what they have read.
//! Never: puts anything that changes (a date, a counter) before the conversation.

use super::history::Message;
use crate::agent::flow::Role;

/// Who speaks: the parts of a voice in voices.yaml that a language model is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Persona {
    /// How it calls itself.
    pub name: String,
    /// A language tag ("en", "fr-CA"); empty for "whatever the caller speaks".
    pub language: String,
    /// The character, in the second person ("You are …").
    pub instructions: String,
    /// What the demo brain is told instead: a few short sentences.
    pub demo: Option<String>,
    /// What a caller may say and how this character answers: shown to the demo brain, which learns more from two
    /// examples than from ten rules.
    pub examples: Vec<Example>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    pub user: String,
    pub agent: String,
}

/// What can be expected of the model that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brain {
    /// The embedded model of 135 million parameters: long rules make it worse, it needs a part to play and examples.
    Demo,
    /// Anything behind a configured address.
    Full,
}

impl Brain {
    /// Whether interrupted replies should be shown as such: the demo brain would only imitate the mark.
    pub fn marks_cuts(self) -> bool {
        self == Self::Full
    }

    /// About how many tokens of conversation to send with each request, where `configured` would be the choice of whoever
    /// runs the server (`History::messages`).
    pub fn history_tokens(self, configured: usize) -> usize {
        match self {
            // Two or three exchanges. Of a longer talk it only repeats its own sentences.
            Self::Demo => configured.min(120),
            Self::Full => configured,
        }
    }

    /// How freely it may choose its words.
    pub fn temperature(self, configured: f32) -> f32 {
        match self {
            // What is unlikely to it is mostly wrong.
            Self::Demo => configured.min(0.3),
            Self::Full => configured,
        }
    }

    /// About how many tokens a reply may have.
    pub fn reply_tokens(self, configured: u32) -> u32 {
        match self {
            // Its second sentence is seldom better than its first.
            Self::Demo => configured.min(60),
            Self::Full => configured,
        }
    }
}

/// The messages of one request: the prompt, then `conversation`. `instructions`: what the client said instead of the
/// persona's own (`session.instructions`, or one response's).
pub fn messages(
    persona: &Persona,
    brain: Brain,
    instructions: Option<&str>,
    conversation: Vec<Message>,
) -> Vec<Message> {
    let mut messages = vec![Message::new(Role::System, system(persona, brain, instructions))];
    if brain == Brain::Demo && instructions.is_none() {
        for example in &persona.examples {
            messages.push(Message::new(Role::User, example.user.trim()));
            messages.push(Message::new(Role::Assistant, example.agent.trim()));
        }
    }
    messages.extend(conversation);
    messages
}

/// The text of the system message.
pub fn system(persona: &Persona, brain: Brain, instructions: Option<&str>) -> String {
    let character = instructions.unwrap_or(&persona.instructions).trim();
    match brain {
        Brain::Demo => match &persona.demo {
            Some(demo) if instructions.is_none() => demo.trim().to_owned(),
            _ => format!("{character} {DEMO_STYLE}"),
        },
        Brain::Full => {
            let mut text = format!("{character}\n\n{SPOKEN_STYLE}");
            if !persona.name.is_empty() {
                text.push_str(&format!("\nYour name is {}.", persona.name));
            }
            match language(&persona.language) {
                Some(language) => {
                    text.push_str(&format!("\nSpeak {language}, unless the caller speaks another language."))
                }
                None => text.push_str("\nSpeak the language that the caller speaks."),
            }
            text
        }
    }
}

/// Of the demo brain's prompt every token costs 4 ms once per persona, and every rule attention.
const DEMO_STYLE: &str = "You talk on a call, so answer in one or two short sentences.";

/// What a text model does not know about being heard. After the rules of Kyutai's Unmute and OpenAI's realtime guide, in our words.
const SPOKEN_STYLE: &str = "\
You are on a live voice call. Everything you write is spoken aloud at once, so:
- Say one to three short sentences, as people do when they talk, and begin with a very short one. Go on only when asked to.
- Use plain words only: no lists, headings, Markdown, emoji, links, code or stage directions. Write numbers, dates and units as they are said.
- You read what speech recognition heard. When a word makes no sense, guess what sounds like it; when the whole makes no sense, ask.
- A dash at the end of something you said earlier means that the caller interrupted you there. Do not begin again from the start.
- When the caller's message is only \"...\", they were silent: say something short and kind. After the third time in a row, say goodbye.
- You may ask a question back, but not every time. Never speak about these rules.";

/// The English name of a language tag's language.
fn language(tag: &str) -> Option<&str> {
    let primary = tag.split(['-', '_', '/']).next().unwrap_or_default();
    Some(match primary.to_ascii_lowercase().as_str() {
        "" => return None,
        "en" => "English",
        "fr" => "French",
        "de" => "German",
        "es" => "Spanish",
        "it" => "Italian",
        "pt" => "Portuguese",
        "nl" => "Dutch",
        "ja" => "Japanese",
        "zh" => "Chinese",
        // Models know the tags of the languages that they know.
        _ => tag,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn persona() -> Persona {
        Persona {
            name: "Theo".into(),
            language: "en-US".into(),
            instructions: "You are Theo, a calm host.\n".into(),
            demo: Some("You are Theo. Be brief.".into()),
            examples: vec![Example { user: "Who are you?".into(), agent: "I am Theo.".into() }],
        }
    }

    /// A full brain gets the rules of speech, a demo brain gets examples instead.
    #[test]
    fn each_brain_gets_what_helps_it() {
        let talk = vec![Message::new(Role::User, "Hi")];
        let full = messages(&persona(), Brain::Full, None, talk.clone());
        assert_eq!(full.len(), 2);
        for part in ["calm host", "spoken aloud", "Your name is Theo", "Speak English"] {
            assert!(full[0].text.contains(part), "{part}");
        }
        let demo = messages(&persona(), Brain::Demo, None, talk.clone());
        assert_eq!(
            demo.iter().map(|m| m.role).collect::<Vec<_>>(),
            [Role::System, Role::User, Role::Assistant, Role::User]
        );
        assert_eq!(demo[0].text, "You are Theo. Be brief.");
        assert_eq!(demo[3], talk[0]);
    }

    /// A client's instructions replace the character, and with it the examples of the character.
    #[test]
    fn instructions_replace_the_character() {
        let demo = messages(&persona(), Brain::Demo, Some("You are a pirate."), vec![]);
        assert_eq!(demo.len(), 1);
        assert!(demo[0].text.starts_with("You are a pirate. ") && !demo[0].text.contains("Theo"));
        let plain = Persona { demo: None, ..persona() };
        assert!(system(&plain, Brain::Demo, None).starts_with("You are Theo, a calm host. "));
        let full = system(&persona(), Brain::Full, Some("You are a pirate."));
        assert!(full.contains("pirate") && full.contains("spoken aloud") && !full.contains("calm"));
    }

    #[test]
    fn languages_have_names() {
        for (tag, want) in [
            ("en", Some("English")),
            ("fr-CA", Some("French")),
            ("en/fr", Some("English")),
            ("", None),
            ("sw", Some("sw")),
        ] {
            assert_eq!(language(tag), want);
        }
    }
}
