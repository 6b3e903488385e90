//! A steady stream of echo requests, as `ping -i 0.01` sends it, that counts what is lost.
//!
//! ```text
//! every 10 ms ─▶ a request with a token of its own ─▶ its reply within a second, or it is lost
//! ```
//!
//! Must not: send a request twice; a packet that is lost stays lost.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    patience::scaled,
    pod::Pod,
    probe::{Family, Token},
};

/// What became of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests sent.
    pub sent: usize,
    /// When each of those that were not answered was sent, since the stream began; in order.
    pub lost: Vec<Duration>,
}

impl Tally {
    /// From the first request that was lost to the last.
    #[must_use]
    pub fn outage(&self) -> Duration {
        match (self.lost.first(), self.lost.last()) {
            (Some(first), Some(last)) => last.saturating_sub(*first),
            _ => Duration::ZERO,
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sent, lost) = (self.sent, self.lost.len());
        write!(f, "{lost} of {sent} lost within {:?}", self.outage())
    }
}

/// A stream that runs until [`Steady::stop`], or until it is dropped.
#[derive(Debug)]
pub struct Steady {
    cancel: CancellationToken,
    task: JoinHandle<Tally>,
}

impl Drop for Steady {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl Steady {
    /// Starts one. `None` when the receiver has no address of this family.
    #[must_use]
    pub fn start(from: &Arc<Pod>, to: &Arc<Pod>, family: Family) -> Option<Steady> {
        let address = to.address(family)?;
        let from = Arc::clone(from);
        let cancel = CancellationToken::new();
        let until = cancel.clone();
        let task = tokio::spawn(async move {
            let started = Instant::now();
            let mut ticks = interval(EVERY);
            // A machine that is busy sends fewer, not a burst.
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let tasks = TaskTracker::new();
            let mut requests = Vec::new();
            loop {
                tokio::select! {
                    () = until.cancelled() => break,
                    _ = ticks.tick() => {}
                }
                let (from, sent) = (Arc::clone(&from), started.elapsed());
                requests.push(tasks.spawn(async move {
                    let reply = from.pinger().ping(address, Token::new());
                    let answered = matches!(timeout(scaled(PATIENCE), reply).await, Ok(Some(_)));
                    (sent, answered)
                }));
            }
            tasks.close();
            tasks.wait().await;
            let mut tally = Tally::default();
            for request in requests {
                if let Ok((sent, answered)) = request.await {
                    tally.sent += 1;
                    tally.lost.extend((!answered).then_some(sent));
                }
            }
            tally
        });
        Some(Steady { cancel, task })
    }

    /// Ends the stream, waits for what is under way, and tells what was lost.
    pub async fn stop(mut self) -> Tally {
        self.cancel.cancel();
        // A panic in there was printed; a tally without packets satisfies nobody.
        (&mut self.task).await.unwrap_or_default()
    }
}

const EVERY: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_lasts_from_the_first_loss_to_the_last() {
        let lost = [30, 40, 90].map(Duration::from_millis).to_vec();
        let tally = Tally { sent: 20, lost };
        assert_eq!(tally.outage(), Duration::from_millis(60));
        assert_eq!(tally.to_string(), "3 of 20 lost within 60ms");
        assert_eq!(Tally::default().outage(), Duration::ZERO);
    }
}
