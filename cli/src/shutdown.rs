//! Ctrl-C and SIGTERM: the first asks for an ordered end, the second ends at once.
//!
//! ```text
//! SIGINT, SIGTERM ─▶ cancel token ─▶ every task of the command, which the command awaits
//! ```
//!
//! Must not: end the process itself at the first signal.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// A token that is cancelled by the first SIGINT or SIGTERM. A second signal ends the process with status 130.
///
/// # Errors
/// When the process may not handle signals.
pub fn on_signal() -> io::Result<CancellationToken> {
    let cancel = CancellationToken::new();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let token = cancel.clone();
    // Owned by the runtime: it waits for signals as long as the process lives.
    tokio::spawn(async move {
        for remaining in [true, false] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
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
