//! What is printed: a line per figure, and of many times their middle and their tail.
//!
//! Must not: judge.

use std::fmt::Display;
use std::io::{Write as _, stdout};
use std::time::Duration;

use anyhow::Result;

/// Lines on stdout, as they come.
pub struct Report;

impl Report {
    /// Begins with what the figures were measured on.
    pub fn new() -> Result<Report> {
        let cores = std::thread::available_parallelism()?;
        let version = std::fs::read_to_string("/proc/version")?;
        let kernel = version.split_whitespace().nth(2).unwrap_or("unknown");
        let mut report = Report;
        report.line("machine", format_args!("{cores} cores, Linux {kernel}"))?;
        Ok(report)
    }

    /// The title of what follows.
    pub fn title(&mut self, title: &str) -> Result<()> {
        Ok(writeln!(stdout(), "\n{title}")?)
    }

    /// One figure.
    pub fn line(&mut self, name: &str, value: impl Display) -> Result<()> {
        Ok(writeln!(stdout(), "  {name:<44} {value}")?)
    }

    /// Many times of one thing.
    pub fn times(&mut self, name: &str, mut times: Vec<Duration>) -> Result<()> {
        times.sort_unstable();
        let at = |hundredth: usize| {
            let index = (times.len() * hundredth).div_ceil(100).saturating_sub(1);
            times.get(index).copied().unwrap_or_default()
        };
        let text = format!(
            "p50 {}  p99 {}  ({} times)",
            milliseconds(at(50)),
            milliseconds(at(99)),
            times.len()
        );
        self.line(name, text)
    }
}

/// As people read it.
pub fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}
