//! data: one source file as the rules see it: its kind, its code without comments and tests, the modules it names

use std::path::Path;

/// One file of `src/`.
pub struct Source {
    /// Relative to the package, with forward slashes: `src/agent/stage/playout.rs`.
    pub path: String,
    /// The first line.
    pub head: String,
    /// Everything before the unit tests, comments and the contents of strings replaced by spaces.
    pub code: String,
    /// The same with its strings.
    pub code_and_strings: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let live = &text[..before_tests(text)];
        Self {
            path: path.into(),
            head: text.lines().next().unwrap_or_default().into(),
            code: blank(live, false),
            code_and_strings: blank(live, true),
        }
    }

    /// Every `.rs` file under `folder`, by path.
    pub fn all(folder: &Path) -> Vec<Self> {
        let mut found = vec![];
        let mut folders = vec![folder.to_path_buf()];
        while let Some(next) = folders.pop() {
            for entry in std::fs::read_dir(&next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "rs") {
                    let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap().to_str().unwrap();
                    found.push(Self::new(name, &std::fs::read_to_string(&path).unwrap()));
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        found
    }

    /// `core` of `//! core: when each 20 ms of speech leaves`; empty where there is none.
    pub fn kind(&self) -> &str {
        let words = self.head.strip_prefix("//! ").and_then(|line| line.split_once(": "));
        words.map_or("", |(kind, _)| kind)
    }

    /// `["agent", "stage", "playout"]`; `mod.rs` is its folder.
    pub fn module(&self) -> Vec<&str> {
        let path = self.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        path.split('/').filter(|part| !matches!(*part, "lib" | "main")).collect()
    }

    /// Lines of code: documentation and tests are free.
    pub fn lines(&self) -> usize {
        self.code.lines().filter(|line| !line.trim().is_empty()).count()
    }

    /// Every module or item of this crate that the code names, as a path from the crate's root, with its line.
    pub fn names(&self) -> Vec<(usize, Vec<String>)> {
        let tokens = tokens(&self.code);
        let mut found = vec![];
        for (at, (line, token)) in tokens.iter().enumerate() {
            let continues_a_path = at > 0 && tokens[at - 1].1 == "::";
            if continues_a_path || tokens.get(at + 1).is_none_or(|next| next.1 != "::") {
                continue;
            }
            let module = self.module();
            let mut base: Vec<String> = match *token {
                "crate" => vec![],
                "self" => module.iter().map(|part| part.to_string()).collect(),
                "super" => module[..module.len().saturating_sub(1)].iter().map(|part| part.to_string()).collect(),
                _ => continue,
            };
            let mut next = at + 2;
            while tokens.get(next).is_some_and(|token| token.1 == "super") {
                base.pop();
                next += 2;
            }
            let mut paths = vec![];
            tree(&tokens, next, &base, &mut paths);
            found.extend(paths.into_iter().map(|path| (*line, path)));
        }
        found
    }
}

/// Where the unit tests begin: a module of them comes last in its file.
fn before_tests(text: &str) -> usize {
    const MARK: &str = "\n#[cfg(test)]\n";
    let is_module = |at: &usize| {
        text[at + MARK.len()..].lines().next().is_some_and(|line| line.contains("mod ") && line.ends_with('{'))
    };
    text.match_indices(MARK).map(|(at, _)| at).find(is_module).map_or(text.len(), |at| at + 1)
}

/// Follows a use tree (`a::{b, c::d}`) from token `at`; returns the token after it.
fn tree(tokens: &[(usize, &str)], mut at: usize, base: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = base.to_vec();
    loop {
        match tokens.get(at).map(|token| token.1) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token.1 != "}") {
                    at = tree(tokens, at, &path, paths);
                    if tokens.get(at).is_some_and(|token| token.1 == ",") {
                        at += 1;
                    } else if tokens.get(at).is_some_and(|token| token.1 != "}") {
                        at += 1; // `as name`
                    }
                }
                return at + 1;
            }
            Some(name) if name.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                if name != "self" {
                    path.push(name.into());
                }
                at += 1;
            }
            _ => {
                paths.push(path);
                return at + 1;
            }
        }
        if tokens.get(at).is_some_and(|token| token.1 == "::") {
            at += 1;
        } else {
            paths.push(path);
            return at;
        }
    }
}

/// Words and the marks that paths are made of, with their lines.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut found = vec![];
    for (number, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let length = match first {
                _ if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                ':' if rest.starts_with("::") => 2,
                _ => first.len_utf8(),
            };
            if !first.is_whitespace() {
                found.push((number + 1, &rest[..length]));
            }
            rest = &rest[length..];
        }
    }
    found
}

/// `text` with comments, and with `keep_strings` false also what stands in strings, replaced by spaces. Lines stay.
fn blank(text: &str, keep_strings: bool) -> String {
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let (length, keep) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), false)
        } else if rest.starts_with("/*") {
            (rest.find("*/").map_or(rest.len(), |end| end + 2), false)
        } else if let Some(hashes) = raw_string(rest, at.checked_sub(1).map(|before| bytes[before])) {
            let end = format!("\"{}", "#".repeat(hashes));
            let start = rest.find('"').expect("raw_string saw it") + 1;
            (rest[start..].find(&end).map_or(rest.len(), |found| start + found + end.len()), keep_strings)
        } else if rest.starts_with('"') {
            (string(rest), keep_strings)
        } else if let Some(length) = character(rest) {
            (length, keep_strings)
        } else {
            (rest.chars().next().map_or(1, char::len_utf8), true)
        };
        for c in rest[..length].chars() {
            out.push(if keep || c == '\n' { c } else { ' ' });
        }
        at += length;
    }
    out
}

/// The number of `#` where a raw string begins here.
fn raw_string(rest: &str, before: Option<u8>) -> Option<usize> {
    if before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return None;
    }
    let rest = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then_some(hashes)
}

/// The length of the string literal that begins here.
fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// The length of the character literal that begins here; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if inside.starts_with('\\') {
        return inside[2..].find('\'').map(|end| end + 4);
    }
    let c = inside.chars().next()?;
    inside[c.len_utf8()..].starts_with('\'').then_some(c.len_utf8() + 2)
}
