//! Colours, on a terminal only: a pipe or a file gets plain text, and so does everybody who has
//! set `NO_COLOR`.

use std::fmt::Display;
use std::io::IsTerminal;

/// How text for one output is coloured.
#[derive(Clone, Copy)]
pub(crate) struct Style {
    colours: bool,
}

/// The style of standard error, where people read.
pub(crate) fn stderr() -> Style {
    Style::of(&std::io::stderr())
}

/// The style of standard output.
pub(crate) fn stdout() -> Style {
    Style::of(&std::io::stdout())
}

impl Style {
    fn of(output: &impl IsTerminal) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { colours: wanted && output.is_terminal() }
    }

    /// What stands out: a heading.
    pub(crate) fn strong(self, text: impl Display) -> String {
        self.paint("1", text)
    }

    /// What stays back: a label.
    pub(crate) fn faint(self, text: impl Display) -> String {
        self.paint("2", text)
    }

    /// What is well.
    pub(crate) fn good(self, text: impl Display) -> String {
        self.paint("32", text)
    }

    /// What deserves a second look.
    pub(crate) fn warning(self, text: impl Display) -> String {
        self.paint("33", text)
    }

    /// What went wrong.
    pub(crate) fn error(self, text: impl Display) -> String {
        self.paint("1;31", text)
    }

    fn paint(self, code: &str, text: impl Display) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_terminal_sees_colours() {
        let plain = Style { colours: false };
        let coloured = Style { colours: true };
        assert_eq!(plain.good("done"), "done");
        assert_eq!(coloured.good("done"), "\x1b[32mdone\x1b[0m");
    }
}
