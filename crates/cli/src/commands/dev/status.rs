//! The lines that `dev` prints: who, what happened, in colour on a terminal unless NO_COLOR asks for none.

use std::io::{IsTerminal, stdout};

/// How a line is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// Under way.
    Working,
    /// As it should be.
    Good,
    /// Needs a look.
    Bad,
}

/// Prints status lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Status {
    is_coloured: bool,
}

impl Status {
    pub(super) fn new() -> Status {
        let is_refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Status { is_coloured: stdout().is_terminal() && !is_refused }
    }

    /// A line about somebody.
    pub(super) fn say(self, mood: Mood, who: &str, what: &str) -> anyhow::Result<()> {
        let mark = match mood {
            Mood::Working => self.paint("36", "·"),
            Mood::Good => self.paint("32", "✓"),
            Mood::Bad => self.paint("31", "✗"),
        };
        // Padded first: the colour's own characters take no room on the screen.
        let who = self.paint("1", &format!("{who:<14}"));
        crate::output::line(&format!("{mark} {who} {what}"))
    }

    /// A command to type.
    pub(super) fn command(self, command: &str) -> anyhow::Result<()> {
        crate::output::line(&format!("    {}", self.paint("36", command)))
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
