//! io: a child process that is talked to in lines, with a time limit on every one
//!
//! For a caller on a thread of its own: reading and writing block, but never longer than they were allowed. Dropping the
//! child ends its process; it also ends by itself when our end of its input closes, so none outlives us.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A running program. Its standard error goes where ours goes.
pub struct LineChild {
    process: Child,
    input: ChildStdin,
    output: ChildStdout,
    /// Read and not yet returned.
    pending: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    #[error("cannot start {program}: {source}")]
    Start { program: String, source: io::Error },
    #[error("the child process has ended")]
    Ended,
    #[error("the child process did not answer within {0:?}")]
    Late(Duration),
    #[error("a line of the child process is longer than {MAX_LINE_BYTES} bytes")]
    Endless,
    #[error("talking to the child process: {0}")]
    Io(#[from] io::Error),
}

impl LineChild {
    pub fn start(program: &str, args: &[&str]) -> Result<Self, ChildError> {
        let failed = |source| ChildError::Start { program: program.to_owned(), source };
        let mut process = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let input = process.stdin.take().expect("it was asked for above");
        let output = process.stdout.take().expect("it was asked for above");
        for fd in [input.as_raw_fd(), output.as_raw_fd()] {
            set_nonblocking(fd)?;
        }
        Ok(Self { process, input, output, pending: Vec::new() })
    }

    /// The process's id, for logs and tests.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Writes `text`, within `limit`. What the child answers must be read before more than a pipe's 64 KiB of it piles up.
    pub fn write(&mut self, text: &str, limit: Duration) -> Result<(), ChildError> {
        let deadline = Instant::now() + limit;
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match self.input.write(rest) {
                Ok(0) => return Err(ChildError::Ended),
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait(self.input.as_raw_fd(), libc::POLLOUT, deadline, limit)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Err(ChildError::Ended),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next line, without its end, within `limit`. Bytes that are no UTF-8 are replaced.
    pub fn read_line(&mut self, limit: Duration) -> Result<String, ChildError> {
        let deadline = Instant::now() + limit;
        let mut searched = 0;
        loop {
            if let Some(at) = self.pending[searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.pending.drain(..=searched + at).collect();
                return Ok(String::from_utf8_lossy(&line[..line.len() - 1]).into_owned());
            }
            searched = self.pending.len();
            if searched > MAX_LINE_BYTES {
                return Err(ChildError::Endless);
            }
            let mut bytes = [0; 4096];
            match self.output.read(&mut bytes) {
                Ok(0) => return Err(ChildError::Ended),
                Ok(count) => self.pending.extend_from_slice(&bytes[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    wait(self.output.as_raw_fd(), libc::POLLIN, deadline, limit)?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for LineChild {
    fn drop(&mut self) {
        // Both fail only when it has ended already; waiting is short after a kill and leaves no zombie.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    // SAFETY: fcntl with these commands reads its integers only; the descriptor is open, its owner is borrowed above us.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFL) };
    // SAFETY: as above.
    if flags < 0 || unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Waits until `fd` is ready for `events`.
fn wait(fd: RawFd, events: libc::c_short, deadline: Instant, limit: Duration) -> Result<(), ChildError> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ChildError::Late(limit));
    }
    let mut poll = libc::pollfd { fd, events, revents: 0 };
    let ms = left.as_millis().clamp(1, i32::MAX as u128) as i32;
    // SAFETY: one pollfd is passed, with a count of one, and lives through the call.
    let ready = unsafe { libc::poll(&mut poll, 1, ms) };
    if ready < 0 {
        let error = io::Error::last_os_error();
        // A signal: the caller's loop tries again.
        return if error.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(error.into()) };
    }
    Ok(())
}

/// More than any line that is asked for.
const MAX_LINE_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// Lines come back as they are ready, also several of one write, and an end of the child is an error, not a hang.
    #[test]
    fn lines_in_lines_out() {
        let mut cat = LineChild::start("cat", &[]).unwrap();
        cat.write("one\ntwo\nth", LIMIT).unwrap();
        assert_eq!(cat.read_line(LIMIT).unwrap(), "one");
        assert_eq!(cat.read_line(LIMIT).unwrap(), "two");
        cat.write("ree\n\n", LIMIT).unwrap();
        assert_eq!(cat.read_line(LIMIT).unwrap(), "three");
        assert_eq!(cat.read_line(LIMIT).unwrap(), "");
        cat.process.kill().unwrap();
        assert!(matches!(cat.read_line(LIMIT), Err(ChildError::Ended)));
        // A program that another test is just starting may hold the other end of the pipe until it runs.
        let refused = std::iter::repeat_with(|| cat.write("x\n", LIMIT)).find(Result::is_err);
        assert!(matches!(refused, Some(Err(ChildError::Ended))));
    }

    /// A child that hangs costs the time it was allowed.
    #[test]
    fn silence_has_a_limit() {
        let mut cat = LineChild::start("cat", &[]).unwrap();
        assert!(matches!(cat.read_line(Duration::from_millis(20)), Err(ChildError::Late(_))));
    }

    /// A program that is not there is named.
    #[test]
    fn a_missing_program_is_named() {
        let Err(error) = LineChild::start("no-such-program-here", &[]) else { panic!("it started") };
        assert!(error.to_string().contains("no-such-program-here"), "{error}");
    }

    /// Dropping it leaves no process behind.
    #[test]
    fn dropped_is_gone() {
        let cat = LineChild::start("cat", &[]).unwrap();
        let id = cat.id();
        drop(cat);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }
}
