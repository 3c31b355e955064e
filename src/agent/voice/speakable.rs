//! core: text made speakable, word by word: what a page shows is not always what a voice says
//!
//! In:  words as they are shown, in order.
//! Out: for each what to send to the voice: nothing (marks, emoji, code blocks) or plain words.
//! Law: numbers, dates and units stay as they are: saying them is the engine's trade.

/// Remembers whether a block of code is open.
#[derive(Debug, Default)]
pub struct Speakable {
    in_code: bool,
}

impl Speakable {
    /// What to say for a shown word; `None` when it is only there to be seen.
    pub fn word(&mut self, shown: &str) -> Option<String> {
        let fences = shown.matches(FENCE).count();
        if fences > 0 || self.in_code {
            // Code read aloud helps nobody; the page shows it.
            self.in_code ^= fences % 2 == 1;
            return None;
        }
        let text = without_links(shown);
        let text = without_tags(&text);
        let text = match url_host(&text) {
            Some(host) => host,
            None => text,
        };
        let plain: String = text.chars().filter_map(plain).collect();
        let plain = plain.trim_matches(|c| MARKUP.contains(c)).replace(|c| INNER_MARKUP.contains(c), " ");
        let words: Vec<&str> = plain.split_whitespace().filter(|word| is_sayable(word) || is_pause(word)).collect();
        let spoken = words.join(" ");
        is_sayable(&spoken).then_some(spoken)
    }
}

/// Whether a voice would pause after `word` by itself.
pub fn ends_a_clause(word: &str) -> bool {
    word.trim_end_matches(['"', '\'', ')', ']', '”', '’']).ends_with(['.', ',', '!', '?', ';', ':', '…', '—'])
}

/// Straight quotes, no emoji, no invisible characters.
fn plain(c: char) -> Option<char> {
    Some(match c {
        '‘' | '’' | 'ʼ' | '´' => '\'',
        '“' | '”' | '„' | '«' | '»' => '"',
        '–' | '—' | '―' => '—',
        '\u{a0}' | '\u{202f}' => ' ',
        c if c.is_control() || is_emoji(c) || INVISIBLE.contains(&c) => return None,
        c => c,
    })
}

fn is_emoji(c: char) -> bool {
    matches!(u32::from(c),
        0x1F000..=0x1FAFF | 0x2600..=0x27BF | 0x2190..=0x21FF | 0x2300..=0x23FF | 0x2B00..=0x2BFF | 0xFE00..=0xFE0F | 0x20E3 | 0xE0000..=0xE007F)
}

fn is_sayable(text: &str) -> bool {
    text.chars().any(|c| c.is_alphanumeric() || SAID_SIGNS.contains(c))
}

fn is_pause(word: &str) -> bool {
    matches!(word, "—" | "..." | "…")
}

/// `[text](address)` and `![text](address)` become `text`; halves of a link whose text has several words, too.
fn without_links(word: &str) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find("](") {
        let after = &rest[at + 2..];
        let Some(close) = after.find(')') else { break };
        out.push_str(&rest[..at]);
        rest = &after[close + 1..];
    }
    out.push_str(rest);
    if out.len() < word.len() || out.starts_with('[') || out.starts_with("![") {
        out = out.replacen("![", "", 1).replacen('[', "", 1);
    }
    out
}

/// `<b>`, `</b>`, `<br/>` go; `<3` and `a<b` stay.
fn without_tags(word: &str) -> String {
    let mut out = String::new();
    let mut rest = word;
    while let Some(open) = rest.find('<') {
        let tag = &rest[open + 1..];
        let is_tag = tag.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
        let Some(close) = tag.find('>').filter(|_| is_tag) else { break };
        out.push_str(&rest[..open]);
        rest = &tag[close + 1..];
    }
    out.push_str(rest);
    out
}

/// The part of an address that a person would say, with the punctuation that follows it.
fn url_host(word: &str) -> Option<String> {
    let bare = word.trim_start_matches(['(', '"', '<']);
    let address = bare.strip_prefix("https://").or_else(|| bare.strip_prefix("http://"));
    let address = address.or_else(|| bare.starts_with("www.").then_some(bare))?;
    let end = address.find(['/', '?', '#', ':', ')', '"', '>']).unwrap_or(address.len());
    let host = address[..end].trim_end_matches(['.', ',', '!', ';']);
    let host = host.strip_prefix("www.").unwrap_or(host);
    let tail = word.chars().last().filter(|c| ".,!?;".contains(*c)).map(String::from).unwrap_or_default();
    Some(format!("{host}{tail}"))
}

const FENCE: &str = "```";
/// Markdown around a word.
const MARKUP: &str = "*_`#~|>";
/// The same inside of one: `snake_case` is said as two words.
const INNER_MARKUP: &str = "*_`|~";
/// Signs without letters that have a name.
const SAID_SIGNS: &str = "%&+=$€£@";
const INVISIBLE: [char; 6] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}', '\u{ad}'];

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown, and what is said.
    #[test]
    fn shown_and_said() {
        for (shown, said) in [
            ("Hello,", "Hello,"),
            ("**bold**", "bold"),
            ("*very*", "very"),
            ("__init__", "init"),
            ("snake_case", "snake case"),
            ("`let`", "let"),
            ("##", ""),
            ("-", ""),
            ("---", ""),
            ("|", ""),
            ("😀", ""),
            ("great!🎉", "great!"),
            ("👩‍👩‍👧", ""),
            ("don’t", "don't"),
            ("“Yes,”", "\"Yes,\""),
            ("[docs](https://a.example/x)", "docs"),
            ("![a](b.png)", "a"),
            ("[the", "the"),
            ("docs](https://a.example/x).", "docs."),
            ("https://www.example.com/a?b=c.", "example.com."),
            ("(http://example.org)", "example.org"),
            ("<b>hi</b>", "hi"),
            ("<br/>", ""),
            ("3<5", "3<5"),
            ("$5.20", "$5.20"),
            ("50%", "50%"),
            ("&", "&"),
            ("10:30", "10:30"),
            ("—", ""),
            ("well—yes", "well—yes"),
            ("e\u{ad}mail", "email"),
            ("array[0]", "array[0]"),
        ] {
            assert_eq!(Speakable::default().word(shown).unwrap_or_default(), said, "{shown}");
        }
    }

    /// A block of code is shown and not read, however it is cut into words.
    #[test]
    fn code_blocks_are_silent() {
        let mut text = Speakable::default();
        let said: Vec<String> = "Do this: ```rust let x = 1; ``` and `run` it. ```ok``` Fine."
            .split(' ')
            .filter_map(|w| text.word(w))
            .collect();
        assert_eq!(said.join(" "), "Do this: and run it. Fine.");
    }

    #[test]
    fn pauses_are_seen_behind_quotes() {
        assert!(ends_a_clause("yes.\"") && ends_a_clause("no,") && ends_a_clause("(so!)"));
        assert!(!ends_a_clause("and") && !ends_a_clause("it's"));
    }
}
