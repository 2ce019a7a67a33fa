//! Pictures made of text: colours where a person looks, bars, reports, hex dumps. Knows nothing of
//! arguments.

pub(crate) mod explain;
pub(crate) mod hex;
pub(crate) mod progress;
pub(crate) mod report;
pub(crate) mod stat;

use std::io::IsTerminal;

/// A colour or weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
}

/// Whether to paint: on a terminal, and not where NO_COLOR is set to anything.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(bool);

impl Paint {
    /// For standard output.
    pub(crate) fn of_stdout() -> Paint {
        let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Paint(std::io::stdout().is_terminal() && !is_set("NO_COLOR") && !is_dumb)
    }

    /// The text in a style.
    pub(crate) fn text(self, style: Style, text: &str) -> String {
        let code = match style {
            _ if !self.0 || text.is_empty() => return text.to_owned(),
            Style::Bold => 1,
            Style::Dim => 2,
            Style::Red => 31,
            Style::Green => 32,
            Style::Yellow => 33,
            Style::Blue => 34,
            Style::Magenta => 35,
            Style::Cyan => 36,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// A bar of so many characters at most for a share of 1, in eighths of a character.
pub(crate) fn bar(share: f64, width: usize) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    // Of a share from 0 to 1 and a width of some tens.
    #[allow(clippy::cast_possible_truncation, reason = "at most eight times the width")]
    #[allow(clippy::cast_sign_loss, reason = "clamped to 0 and above")]
    let eighths = (share.clamp(0.0, 1.0) * width as f64 * 8.0).round() as usize;
    let rest = EIGHTHS.get(eighths % 8).copied().unwrap_or_default();
    format!("{}{rest}", "█".repeat(eighths / 8))
}

/// Text filled up with spaces to a width in characters.
pub(crate) fn padded(text: &str, width: usize) -> String {
    let len = text.chars().count();
    format!("{text}{}", " ".repeat(width.saturating_sub(len)))
}

#[cfg(test)]
mod tests {
    use super::{Paint, Style, bar, padded};

    #[test]
    fn bars_are_as_long_as_their_share() {
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(0.0, 4), "");
        assert_eq!(bar(0.5, 3), "█▌");
        assert_eq!(bar(7.0, 2), "██");
        assert_eq!(bar(f64::NAN, 2), "");
        assert_eq!(padded("▌", 3), "▌  ");
    }

    #[test]
    fn paint_is_nothing_where_it_is_off() {
        assert_eq!(Paint(false).text(Style::Red, "x"), "x");
        assert_eq!(Paint(true).text(Style::Red, "x"), "\x1b[31mx\x1b[0m");
        assert_eq!(Paint(true).text(Style::Red, ""), "");
    }
}
