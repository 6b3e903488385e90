//! How long to wait before dialling again: exponential with jitter and a cap, reset by a stable connection.
//!
//! Invariant: a peer that accepts and drops at once is dialled no faster than one that refuses, since only a connection
//! that lived for [`Backoff::STABLE`] resets the wait.
//!
//! Must not: read the clock or make random numbers; both are passed in.

use std::time::{Duration, Instant};

/// The wait before the next dial.
#[derive(Clone, Debug)]
pub struct Backoff {
    next: Duration,
    connected_at: Option<Instant>,
}

impl Backoff {
    /// The wait after the first failure.
    pub const FIRST: Duration = Duration::from_millis(100);
    /// No wait is longer, jitter included.
    pub const CAP: Duration = Duration::from_secs(8);
    /// A connection that lived this long was a good one.
    pub const STABLE: Duration = Duration::from_secs(5);

    /// Starts with the shortest wait.
    #[must_use]
    pub fn new() -> Backoff {
        Backoff {
            next: Self::FIRST,
            connected_at: None,
        }
    }

    /// A connection came to be.
    pub fn connected(&mut self, now: Instant) {
        self.connected_at = Some(now);
    }

    /// A dial failed or a connection ended: how long to wait. `random` is in `0.0..1.0` and takes up to half away, so
    /// that a thousand nodes that vanished together do not come back together.
    pub fn failed(&mut self, now: Instant, random: f64) -> Duration {
        if let Some(since) = self.connected_at.take()
            && now.saturating_duration_since(since) >= Self::STABLE
        {
            self.reset();
        }
        let wait = self.next.mul_f64(1.0 - random.clamp(0.0, 1.0) / 2.0);
        self.next = self.next.saturating_mul(2).min(Self::CAP);
        wait
    }

    /// Something says that the peer is there: begin with the shortest wait again.
    pub fn reset(&mut self) {
        self.next = Self::FIRST;
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_the_cap_and_is_reset_by_a_stable_connection_only() {
        let start = Instant::now();
        let mut backoff = Backoff::new();
        let waits: Vec<u128> = (0..9)
            .map(|_| backoff.failed(start, 0.0).as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 8000, 8000]);
        backoff.connected(start);
        assert_eq!(
            backoff.failed(start + Duration::from_secs(1), 0.0),
            Backoff::CAP,
            "a short connection resets nothing"
        );
        backoff.connected(start);
        assert_eq!(backoff.failed(start + Backoff::STABLE, 0.0), Backoff::FIRST);
    }

    #[test]
    fn jitter_takes_at_most_half_of_the_wait_away() {
        let now = Instant::now();
        assert_eq!(Backoff::new().failed(now, 1.0), Backoff::FIRST / 2);
        assert_eq!(Backoff::new().failed(now, 0.5), Backoff::FIRST * 3 / 4);
    }
}
