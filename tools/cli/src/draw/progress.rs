//! A bar on standard error for what takes long, if that is a terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Pages done, of all.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Hidden where standard error is no terminal.
    pub(crate) fn new() -> Progress {
        let template = "{bar:30} {percent:>3} %  {human_pos} of {human_len} pages  {eta} left";
        let style = ProgressStyle::with_template(template);
        let bar = ProgressBar::new(0);
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress(bar)
    }

    /// So far it has come.
    pub(crate) fn show(&self, done: u64, all: u64) {
        if self.0.length() != Some(all) {
            self.0.set_length(all);
        }
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
