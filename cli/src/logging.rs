//! Logs: for people by default, JSON on request, always on stderr, so that stdout is the answer and nothing else.
//!
//! Must not: be set up twice in a process; a second call is passed over.

use std::io;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use crate::terminal::Colour;

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people
    Text,
    /// A JSON object per line
    Json,
}

/// Sends the process's log to stderr.
///
/// `level` is a level (`info`) or a list of `target=level` as tracing-subscriber's `EnvFilter` reads it.
///
/// # Errors
/// When `level` is neither.
pub fn start(format: LogFormat, level: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        format!("--log {level:?}: {error}; give error, warn, info, debug or trace, or a list such as info,weft_controller=debug")
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // A subscriber that is there already (the test binary's, say) stays.
    let _ = match format {
        LogFormat::Text => builder
            .with_ansi(Colour::of_stderr() == Colour::On)
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
