//! io: a server that we start ourselves: waited for until it says that it is ready, asked to end, ended when it does not
//!
//! It is in a process group of its own, so that Ctrl-C in a terminal reaches only us and we decide when it ends; and it dies
//! with us, however we end.

use std::collections::VecDeque;
use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::clock;
use super::scope::{Scope, TaskCounter};

/// A running program. Killed when dropped.
pub struct Program {
    child: Child,
    said: Arc<Mutex<VecDeque<String>>>,
    /// The first line that `is_ready` found.
    ready: watch::Receiver<Option<String>>,
    /// Reads what it says, for as long as it lives: a full pipe would hold it up.
    readers: Scope,
}

#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("there is nothing to start in {0:?}")]
    Empty(String),
    #[error("{0:?} has a quotation mark without its other half")]
    Quotes(String),
    #[error("cannot start {program}: {source}")]
    Start { program: String, source: io::Error },
    #[error("it ended with {status} before it was ready; it said:\n{said}")]
    Ended { status: String, said: String },
    #[error("it was not ready within {within:?}; it said:\n{said}")]
    Late { within: Duration, said: String },
}

impl Program {
    /// Starts `words[0]` with the other words. `is_ready` is asked about every line that it prints.
    pub fn start(words: &[String], is_ready: fn(&str) -> bool) -> Result<Self, ProgramError> {
        let [program, arguments @ ..] = words else { return Err(ProgramError::Empty(words.join(" "))) };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        // SAFETY: one system call between fork and exec, which touches no memory.
        unsafe { command.pre_exec(dies_with_its_parent) };
        let mut child = command.spawn().map_err(|source| ProgramError::Start { program: program.clone(), source })?;
        let said = Arc::new(Mutex::new(VecDeque::new()));
        let (found, ready) = watch::channel(None);
        let mut readers = Scope::new(TaskCounter::default());
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let (stdout, stderr) = (out.expect("it was asked for above"), err.expect("it was asked for above"));
        readers.spawn("stdout", read(stdout, said.clone(), Some((found, is_ready))));
        readers.spawn("stderr", read(stderr, said.clone(), None));
        Ok(Self { child, said, ready, readers })
    }

    /// The process's id; `None` when it has ended and that was noticed.
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits for the line that says that it is ready, and gives it.
    pub async fn ready(&mut self, within: Duration) -> Result<String, ProgramError> {
        let line = async {
            let found = self.ready.wait_for(Option::is_some).await.map(|line| line.clone());
            // Its output is closed: it has ended, or will.
            found.ok().flatten()
        };
        match clock::timeout(within, line).await {
            Ok(Some(line)) => Ok(line),
            Ok(None) => {
                let status = match clock::timeout(within, self.child.wait()).await {
                    Ok(Ok(status)) => status.to_string(),
                    _ => "nobody knows what".to_owned(),
                };
                // What it said last may still lie in the other pipe.
                while let Ok(Some(_)) = clock::timeout(LAST_WORDS, self.readers.next()).await {}
                Err(ProgramError::Ended { status, said: self.said() })
            }
            Err(_) => Err(ProgramError::Late { within, said: self.said() }),
        }
    }

    /// Its last lines.
    pub fn said(&self) -> String {
        let said = self.said.lock().expect("no holder of this lock can panic");
        said.iter().cloned().collect::<Vec<_>>().join("\n")
    }

    /// Asks it to end (SIGTERM), and ends it when it has not after `within`.
    pub async fn stop(mut self, within: Duration) {
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            // SAFETY: kill takes two integers; the process has not been waited for, so its number is still its own.
            unsafe { libc::kill(id, libc::SIGTERM) };
        }
        if clock::timeout(within, self.child.wait()).await.is_err() {
            tracing::warn!("the server did not end when it was asked to; it is killed");
            // It may have ended just now.
            let _ = self.child.kill().await;
        }
        self.readers.abort_all().await;
    }
}

/// Keeps the last lines of one stream, and tells of the first that is looked for.
async fn read(
    stream: impl AsyncRead + Unpin,
    said: Arc<Mutex<VecDeque<String>>>,
    look: Option<(watch::Sender<Option<String>>, fn(&str) -> bool)>,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = vec![];
    loop {
        line.clear();
        if (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        if !line.ends_with(b"\n") {
            skip_line(&mut reader).await?;
        }
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        if let Some((found, is_ready)) = &look
            && is_ready(&text)
        {
            // Later lines that look alike are not the first. The sender stays: that it is dropped means the end.
            found.send_if_modified(|first| first.is_none().then(|| *first = Some(text.clone())).is_some());
        }
        let mut said = said.lock().expect("no holder of this lock can panic");
        if said.len() == LINES_KEPT {
            said.pop_front();
        }
        said.push_back(text);
    }
}

/// Reads the rest of a line and keeps none of it: a program that never ends its line fills no memory.
async fn skip_line(reader: &mut (impl AsyncBufRead + Unpin)) -> io::Result<()> {
    loop {
        let piece = reader.fill_buf().await?;
        let end = piece.iter().position(|byte| *byte == b'\n');
        let read = end.map_or(piece.len(), |end| end + 1);
        reader.consume(read);
        if end.is_some() || read == 0 {
            return Ok(());
        }
    }
}

/// The words of a command as a shell would see them, as far as spaces and quotation marks go; nothing is expanded.
pub fn words(command: &str) -> Result<Vec<String>, ProgramError> {
    let (mut words, mut word, mut quote) = (vec![], None::<String>, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    match (quote, words.is_empty()) {
        (Some(_), _) => Err(ProgramError::Quotes(command.to_owned())),
        (None, true) => Err(ProgramError::Empty(command.to_owned())),
        (None, false) => Ok(words),
    }
}

/// Between fork and exec: the kernel kills the child when the thread that made it ends.
fn dies_with_its_parent() -> io::Result<()> {
    // SAFETY: prctl with this option takes integers.
    match unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Enough to see what went wrong.
const LINES_KEPT: usize = 20;
/// Bytes of a line that are kept.
const LONGEST_LINE: u64 = 2000;
const LAST_WORDS: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Program {
        let words = ["sh", "-c", script].map(str::to_owned);
        Program::start(&words, |line| line.starts_with("Ready")).unwrap()
    }

    /// Ready is what it says, and the end is asked for before it is forced.
    #[tokio::test]
    async fn it_is_waited_for_and_ended() {
        let mut program = shell("echo starting; echo Ready: here; trap 'exit 0' TERM; while :; do sleep 0.01; done");
        assert_eq!(program.ready(SOON).await.unwrap(), "Ready: here");
        let id = program.id().unwrap();
        program.stop(SOON).await;
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }

    /// One that will not end is ended; one that is forgotten, too.
    #[tokio::test]
    async fn none_stays_behind() {
        let mut stubborn = shell("trap '' TERM; echo Ready; while :; do sleep 0.01; done");
        stubborn.ready(SOON).await.unwrap();
        let id = stubborn.id().unwrap();
        stubborn.stop(Duration::from_millis(50)).await;
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }

    /// A line without end is not kept, and hides no later one.
    #[tokio::test]
    async fn long_lines_are_cut() {
        let mut program = shell("head -c 300000 /dev/zero | tr '\\0' x; echo; echo Ready; echo end; exec sleep 100");
        assert_eq!(program.ready(SOON).await.unwrap(), "Ready");
        let longest = program.said().lines().map(str::len).max();
        assert_eq!(longest, Some(2000));
        program.stop(SOON).await;
    }

    /// What went wrong is told in its own words.
    #[tokio::test]
    async fn failures_are_told() {
        let error = shell("echo no such key >&2; exit 64").ready(SOON).await.unwrap_err().to_string();
        assert!(error.contains("64") && error.contains("no such key"), "{error}");
        let error = shell("echo loading; sleep 100").ready(Duration::from_millis(500)).await.unwrap_err().to_string();
        assert!(error.contains("not ready") && error.contains("loading"), "{error}");
        let nothing = Program::start(&["no-such-program-here".to_owned()], |_| true).err().unwrap();
        assert!(nothing.to_string().contains("no-such-program-here"));
    }

    #[test]
    fn commands_are_words() {
        assert_eq!(words("a  'b c' d\"e f\" ''").unwrap(), ["a", "b c", "de f", ""]);
        assert!(words("  ").is_err() && words("a 'b").is_err());
    }
}
