//! io: where a load run stands, on the terminal of whoever waits for it

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use visavis::load::crowd::Progress;
use visavis::runtime::clock;

/// A bar on the standard error; nothing at all where that is no terminal.
pub struct Bar(Option<ProgressBar>);

impl Bar {
    pub fn new() -> Self {
        let shown = std::io::stderr().is_terminal();
        Self(shown.then(|| {
            let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg}").expect("the template is well formed");
            ProgressBar::new(1).with_style(style.progress_chars("━╸ "))
        }))
    }

    /// Shows `progress` for as long as it is polled.
    pub async fn follow(&self, progress: &Progress) {
        loop {
            if let Some(bar) = &self.0 {
                let now = progress.standing();
                bar.set_length(now.whole.as_millis() as u64);
                bar.set_position(now.elapsed.as_millis() as u64);
                bar.set_prefix(format!("{:>4} callers", now.callers));
                let left = now.whole.saturating_sub(now.elapsed).as_secs();
                bar.set_message(format!(
                    "{left:>3} s left, {} dialling, {} talking, {} answered, {} failed",
                    now.dialling, now.talking, now.answered, now.failed
                ));
            }
            clock::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Says a line that stays, above the bar.
    pub fn say(&self, line: &str) {
        match &self.0 {
            Some(bar) => bar.println(line),
            None => eprintln!("{line}"),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
