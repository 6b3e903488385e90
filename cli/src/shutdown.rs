//! Ctrl-C, SIGTERM and a terminal that closes: the first asks for an ordered end, the second ends at once.
//!
//! ```text
//! SIGINT, SIGTERM, SIGHUP ─▶ cancel token ─▶ every task of the command, which the command awaits
//! ```
//!
//! Must not: end the process itself at the first signal.

use std::io;

use futures::future::OptionFuture;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGINT, SIGTERM or SIGHUP. A second signal ends the process with status 130.
/// Under `nohup` SIGHUP stays ignored.
///
/// # Errors
/// When the process may not handle signals.
pub fn on_signal() -> io::Result<CancellationToken> {
    let cancel = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = match is_ignored(SignalKind::hangup()) {
        true => None,
        false => Some(signal(SignalKind::hangup())?),
    };
    let token = cancel.clone();
    // Owned by the runtime: it waits for signals as long as the process lives.
    tokio::spawn(async move {
        for remaining in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                Some(_) = OptionFuture::from(hangup.as_mut().map(Signal::recv)) => {}
            }
            if remaining {
                token.cancel();
            } else {
                std::process::exit(130);
            }
        }
    });
    Ok(cancel)
}

/// Whether whoever started this process had it ignore a signal. When that cannot be read, it is not.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let bit = kind.as_raw_value().saturating_sub(1);
    mask.is_some_and(|mask| mask >> bit & 1 == 1)
}
