//! io: what Whisper's tokens say

use std::path::Path;

/// The bytes of every token, by its number.
pub struct Vocabulary {
    tokens: Vec<Vec<u8>>,
    /// `<|endoftext|>`; all special tokens come after it.
    pub end: usize,
    /// What decoding starts from: `<|startoftranscript|>`, `<|notimestamps|>`.
    pub prompt: [i64; 2],
}

impl Vocabulary {
    /// Reads `vocabulary.txt`: one token a line, its bytes written as GPT-2 does.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|reason| format!("{}: {reason}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lines: Vec<&str> = text.lines().collect();
        let place =
            |name: &str| lines.iter().position(|line| *line == name).ok_or_else(|| format!("there is no token {name}"));
        let end = place("<|endoftext|>")?;
        let prompt = [place("<|startoftranscript|>")? as i64, place("<|notimestamps|>")? as i64];
        let tokens = lines[..end]
            .iter()
            .map(|line| line.chars().map(byte_of).collect::<Option<Vec<u8>>>().ok_or_else(|| format!("{line:?}")))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|line| format!("the token {line} is not written in GPT-2's bytes"))?;
        Ok(Self { tokens, end, prompt })
    }

    /// The bytes of a token; they need not be whole characters. Special tokens say nothing.
    pub fn bytes(&self, token: usize) -> &[u8] {
        self.tokens.get(token).map_or(&[], Vec::as_slice)
    }

    /// The text of a token alone.
    pub fn text(&self, token: usize) -> String {
        String::from_utf8_lossy(self.bytes(token)).into_owned()
    }
}

/// GPT-2 writes a byte that prints as itself, and the others, in order, as U+0100 and on. Source: openai/gpt-2
/// `encoder.py`, `bytes_to_unicode`.
fn byte_of(written: char) -> Option<u8> {
    let code = u32::from(written);
    if let Ok(byte) = u8::try_from(code) {
        return prints(byte).then_some(byte);
    }
    let nth = code.checked_sub(0x100)? as usize;
    (0..=u8::MAX).filter(|byte| !prints(*byte)).nth(nth)
}

fn prints(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        let text = "!\nĠthe\nâĤ¬\nĊ\n<|endoftext|>\n<|startoftranscript|>\n<|notimestamps|>\n";
        let vocabulary = Vocabulary::parse(text).unwrap();
        let texts: Vec<String> = (0..5).map(|token| vocabulary.text(token)).collect();
        assert_eq!(texts, ["!", " the", "€", "\n", ""]);
        assert_eq!((vocabulary.end, vocabulary.prompt), (4, [5, 6]));
        assert_eq!((0..=255u8).filter(|byte| !prints(*byte)).count(), 68);
    }

    #[test]
    fn another_file_is_refused() {
        assert!(Vocabulary::parse("a\nb\n").is_err());
        assert!(Vocabulary::parse("日\n<|endoftext|>\n<|startoftranscript|>\n<|notimestamps|>").is_err());
    }
}
