//! data: what is wrong with a configuration, and where it says so

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The shipped configs/visavis.toml, compiled in.
    Default,
    File {
        path: PathBuf,
        /// From 1; `None` when the whole file is meant.
        line: Option<usize>,
    },
    /// The name of an environment variable.
    Env(String),
    /// A flag as the user types it, `--listen`.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line: Some(line) } => write!(f, "{}:{line}", path.display()),
            Origin::File { path, line: None } => write!(f, "{}", path.display()),
            Origin::Env(name) => f.write_str(name),
            Origin::Flag(flag) => f.write_str(flag),
        }
    }
}

/// One thing to put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub origin: Origin,
    /// What was set to what, and what is allowed.
    pub message: String,
}

/// Everything that is wrong, one line each: `visavis.toml:12: [video] fps = 0: allowed is 1 to 60`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    pub problems: Vec<Problem>,
}

impl ConfigError {
    pub(super) fn one(origin: Origin, message: impl Into<String>) -> Self {
        Self { problems: vec![Problem { origin, message: message.into() }] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{}: {}", problem.origin, problem.message)?;
        }
        Ok(())
    }
}
