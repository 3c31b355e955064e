//! core: the command that repeats a run, as its reports show it
//! In:    the words of a command.
//! Out:   one line that a shell takes.
//! Never: holds a secret: what follows a flag or a key that names one is `…`, inside `--command`, too.

use visavis::runtime::program;

/// `words` as a shell takes them, without their secrets.
pub fn shown(words: impl IntoIterator<Item = String>) -> String {
    without_secrets(words).iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

fn without_secrets(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut is_secret = false;
    let mut shown = vec![];
    for word in words {
        let hidden = std::mem::replace(&mut is_secret, word.starts_with('-') && names_a_secret(&word));
        shown.push(if hidden { HIDDEN.to_owned() } else { inside(word) });
    }
    shown
}

/// A word may hold a value after its key, or be a command of its own.
fn inside(word: String) -> String {
    if let Some((key, value)) = word.split_once('=')
        && !key.contains(char::is_whitespace)
    {
        return format!("{key}={}", if names_a_secret(key) { HIDDEN.to_owned() } else { inside(value.to_owned()) });
    }
    // What is no command (half a quotation) cannot be searched: then it is not shown if it may hold one.
    match program::words(&word) {
        Ok(_) if !word.contains(char::is_whitespace) => word,
        Ok(words) => {
            let shown = without_secrets(words.clone());
            if shown == words { word } else { shown.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ") }
        }
        Err(_) if names_a_secret(&word) => HIDDEN.to_owned(),
        Err(_) => word,
    }
}

/// `--token`, `--api-key`, `engines.token`, `HF_TOKEN`; not `--max-tokens`.
fn names_a_secret(name: &str) -> bool {
    let mut parts = name.split(|c: char| !c.is_ascii_alphanumeric());
    parts.any(|part| SECRETS.iter().any(|secret| part.eq_ignore_ascii_case(secret)))
}

/// As a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+…".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

const HIDDEN: &str = "…";
const SECRETS: [&str; 7] = ["token", "key", "apikey", "secret", "password", "passwd", "credential"];

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> String {
        shown(words.iter().map(|word| (*word).to_owned()))
    }

    /// A report is shown around: no way to hand over a secret may end in it.
    #[test]
    fn secrets_stay_here() {
        for words in [
            &["visavis", "load", "--token", "s3cret"][..],
            &["visavis", "load", "--token=s3cret"],
            &["visavis", "load", "--command", "visavis serve --token s3cret --listen here"],
            &["visavis", "load", "--command=visavis serve --set engines.token=s3cret"],
            &["visavis", "load", "--command", "sh -c 'API_KEY=s3cret exec bot --api-key \"s3cret\"'"],
            &["visavis", "load", "--command", "bot --token 's3cret"],
            &["visavis", "load", "--sweep", "server.token=s3cret"],
        ] {
            let line = line(words);
            assert!(!line.contains("s3cret") && line.contains('…'), "{line}");
        }
    }

    /// Whatever is no secret stays as it was typed.
    #[test]
    fn the_rest_can_be_repeated() {
        let line =
            line(&["visavis", "load", "--command", "visavis serve --max-tokens 5", "--users", "1,2", "it's", ""]);
        assert_eq!(line, r"visavis load --command 'visavis serve --max-tokens 5' --users 1,2 'it'\''s' ''");
    }
}
