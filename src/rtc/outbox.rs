//! core: texts that wait for room on the data channel
//! In:    texts; the channel's word whether it took one.
//! Out:   the oldest text.
//! Never: holds more than [`MAX_TEXTS`] or [`MAX_BYTES`]; reorders; drops what it took in.
//!
//! The SCTP association buffers 128 KiB by itself and then refuses; this is what lies in front of it.

use std::collections::VecDeque;

/// As deep as the lane of notices before it: a reader this slow is gone.
pub(super) const MAX_TEXTS: usize = 256;
pub(super) const MAX_BYTES: usize = 1024 * 1024;

/// The least that every WebRTC peer takes in one message when its SDP names no limit (RFC 8841, section 6.1).
pub(super) const MAX_TEXT: usize = 64 * 1024;

/// Why a text was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the peer reads its data channel too slowly: {MAX_TEXTS} texts or {MAX_BYTES} bytes wait")]
    Full,
    #[error("a text of {0} bytes does not fit a data channel message ({MAX_TEXT} bytes)")]
    TooLong(usize),
    #[error("the call is over")]
    Closed,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    texts: VecDeque<String>,
    bytes: usize,
}

impl Outbox {
    pub(super) fn push(&mut self, text: String) -> Result<(), SendError> {
        if text.len() > MAX_TEXT {
            return Err(SendError::TooLong(text.len()));
        }
        if self.texts.len() >= MAX_TEXTS || self.bytes + text.len() > MAX_BYTES {
            return Err(SendError::Full);
        }
        self.bytes += text.len();
        self.texts.push_back(text);
        Ok(())
    }

    pub(super) fn oldest(&self) -> Option<&str> {
        self.texts.front().map(String::as_str)
    }

    /// The channel took the oldest.
    pub(super) fn taken(&mut self) {
        if let Some(text) = self.texts.pop_front() {
            self.bytes -= text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A channel that takes nothing costs a bounded amount of memory, and the caller is told.
    #[test]
    fn a_stalled_channel_is_bounded() {
        let mut outbox = Outbox::default();
        for n in 0..MAX_TEXTS {
            assert_eq!(outbox.push(n.to_string()), Ok(()));
        }
        assert_eq!(outbox.push("one more".into()), Err(SendError::Full));
        assert_eq!(outbox.oldest(), Some("0"));
        outbox.taken();
        assert_eq!(outbox.push("one more".into()), Ok(()));

        let mut outbox = Outbox::default();
        let big = "x".repeat(MAX_TEXT);
        let taken = (0..100).take_while(|_| outbox.push(big.clone()).is_ok()).count();
        assert_eq!(taken, MAX_BYTES / MAX_TEXT);
        assert_eq!(Outbox::default().push("x".repeat(MAX_TEXT + 1)), Err(SendError::TooLong(MAX_TEXT + 1)));
    }
}
