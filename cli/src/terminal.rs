//! What is written to a person's terminal: colour only where it is seen, a closed pipe without a panic.
//!
//! Colour is for a terminal, never for a file or a pipe, and never when `NO_COLOR` is set and not empty
//! (<https://no-color.org>).
//!
//! Must not: decide what is said.

use std::{
    fmt::Display,
    io::{self, ErrorKind, IsTerminal, Write},
};

use anstyle::{AnsiColor, Style};

/// Whether text for this stream may carry colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Escape sequences are understood.
    On,
    /// Plain text.
    Off,
}

/// What a piece of text means; the one place that knows which colour that is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// As it should not be.
    Bad,
    /// Worth a look, not wrong.
    Notice,
    /// Background.
    Faint,
    /// A heading.
    Strong,
}

impl Colour {
    /// For what is written to stdout.
    pub fn of_stdout() -> Colour {
        Colour::of(io::stdout().is_terminal())
    }

    /// For what is written to stderr.
    pub fn of_stderr() -> Colour {
        Colour::of(io::stderr().is_terminal())
    }

    fn of(is_terminal: bool) -> Colour {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        if is_terminal && !refused {
            Colour::On
        } else {
            Colour::Off
        }
    }

    /// The text in the colour of its tone.
    pub fn paint(self, tone: Tone, text: impl Display) -> String {
        let style = match tone {
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Notice => AnsiColor::Yellow.on_default(),
            Tone::Faint => AnsiColor::BrightBlack.on_default(),
            Tone::Strong => Style::new().bold(),
        };
        match self {
            Colour::On => format!("{style}{text}{style:#}"),
            Colour::Off => text.to_string(),
        }
    }
}

/// Writes to stdout. A reader that has gone (`weft show | head`) is no error: there is nobody left to tell.
///
/// # Errors
/// When stdout cannot be written for another reason, such as a full disk.
pub fn write_stdout(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Writes to stderr, as well as it goes: where stderr is closed nobody can be told so.
pub fn write_stderr(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_carries_no_escape_sequence_and_coloured_text_ends_its_colour() {
        assert_eq!(Colour::Off.paint(Tone::Bad, "lost"), "lost");
        let painted = Colour::On.paint(Tone::Bad, "lost");
        assert!(
            painted.starts_with('\u{1b}') && painted.ends_with("\u{1b}[0m"),
            "{painted:?}"
        );
    }
}
