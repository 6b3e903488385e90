//! Progress lines: what was done and how long it took, a line per step.
//!
//! They go to stdout with the results, or to stderr when stdout is for the JSON object.
//!
//! Must not: be a log; what the parts of weft log goes to their own log.

use std::{
    fmt::Display,
    future::Future,
    time::{Duration, Instant},
};

use crate::terminal::{self, Colour, Tone};

/// Where progress lines and results go.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    to: Stream,
    colour: Colour,
}

#[derive(Clone, Copy, Debug)]
enum Stream {
    Stdout,
    Stderr,
}

impl Progress {
    /// On stdout, for people.
    pub fn on_stdout() -> Progress {
        Progress {
            to: Stream::Stdout,
            colour: Colour::of_stdout(),
        }
    }

    /// On stderr: stdout is somebody else's.
    pub fn on_stderr() -> Progress {
        Progress {
            to: Stream::Stderr,
            colour: Colour::of_stderr(),
        }
    }

    /// Whether lines may carry colour.
    pub fn colour(self) -> Colour {
        self.colour
    }

    /// Does the step and says how long it took; a failed one is named too.
    ///
    /// # Errors
    /// The step's.
    pub async fn step<T, E>(
        self,
        name: &str,
        step: impl Future<Output = Result<(T, String), E>>,
    ) -> Result<T, E> {
        let begin = Instant::now();
        let outcome = step.await;
        match outcome {
            Ok((value, detail)) => {
                self.done(name, begin.elapsed(), &detail);
                Ok(value)
            }
            Err(error) => {
                self.line(format_args!("{} {name}", self.colour.paint(Tone::Bad, "✗")));
                Err(error)
            }
        }
    }

    /// Says that a step is done, how long it took, and what came of it.
    pub fn done(self, name: &str, took: Duration, detail: &str) {
        let mark = self.colour.paint(Tone::Good, "✓");
        let took = self
            .colour
            .paint(Tone::Faint, format!("{:>6.2} s", took.as_secs_f64()));
        self.line(format_args!("{mark} {took}  {name:<NAME_WIDTH$} {detail}"));
    }

    /// A line of text.
    pub fn line(self, line: impl Display) {
        self.text(&format!("{line}\n"));
    }

    /// Lines of text that bring their own line ends.
    pub fn text(self, text: &str) {
        match self.to {
            // Progress that nobody reads any more is no failure; the result still is written and checked.
            Stream::Stdout => drop(terminal::write_stdout(text)),
            Stream::Stderr => terminal::write_stderr(text),
        }
    }

    /// A heading with space before it.
    pub fn heading(self, text: &str) {
        self.line(format_args!("\n{}", self.colour.paint(Tone::Strong, text)));
    }
}

const NAME_WIDTH: usize = 11;
