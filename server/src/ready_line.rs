//! The one line that `serve` writes to standard output, when it answers requests:
//!
//! ```text
//! anabranch ready listen=127.0.0.1:4567 admin=127.0.0.1:4570
//! ```
//!
//! Programs that start a server on port 0 (tests, `demo`, a supervisor) read the addresses from
//! it. Fields may be added at the end; those that are there stay.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// The addresses that a server has really bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadyLine {
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where metrics and health are served.
    pub admin: SocketAddr,
}

/// A line that is not a [`ReadyLine`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not of the form: anabranch ready listen=ADDRESS admin=ADDRESS")]
pub struct NotReadyLine;

impl fmt::Display for ReadyLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "anabranch ready listen={} admin={}", self.listen, self.admin)
    }
}

impl FromStr for ReadyLine {
    type Err = NotReadyLine;

    fn from_str(line: &str) -> Result<Self, NotReadyLine> {
        let fields = line.trim_end().strip_prefix("anabranch ready ").ok_or(NotReadyLine)?;
        let field = |name: &str| {
            fields
                .split(' ')
                .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
                .and_then(|value| value.parse().ok())
                .ok_or(NotReadyLine)
        };
        Ok(Self { listen: field("listen")?, admin: field("admin")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ready_line_is_read_back_and_may_grow() {
        let line = "anabranch ready listen=127.0.0.1:4567 admin=[::1]:4570";
        let ready: ReadyLine = line.parse().unwrap();
        assert_eq!(ready.to_string(), line);
        assert_eq!(format!("{line} console=x\n").parse(), Ok(ready));
    }

    #[test]
    fn other_lines_are_not_taken_for_it() {
        for line in [
            "",
            "anabranch ready",
            "anabranch ready listen=127.0.0.1:1",
            "anabranch ready listen=x admin=127.0.0.1:1",
            "ready listen=127.0.0.1:1 admin=127.0.0.1:2",
        ] {
            assert_eq!(line.parse::<ReadyLine>(), Err(NotReadyLine), "{line}");
        }
    }
}
