//! Why a switch takes no part, and whether that is news: said once, again when it changes, and never without end.
//!
//! Must not: read the clock.

use std::time::{Duration, Instant};

/// Since it last took part.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    since: Option<Instant>,
    said: Option<(String, Instant)>,
    count: u32,
}

impl Trouble {
    /// Whether this reason is to be said now.
    pub(super) fn is_news(&mut self, reason: &str, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        // The bridge may have been made a moment ago, and each change on the node has it dialled again.
        if now.saturating_duration_since(since) < GRACE {
            return false;
        }
        let is_news = match &self.said {
            None => true,
            Some((said, at)) => {
                said != reason && (self.count < WAYS || now.saturating_duration_since(*at) >= REST)
            }
        };
        if is_news {
            self.said = Some((reason.to_owned(), now));
            self.count = self.count.saturating_add(1);
        }
        is_news
    }

    /// Whether something was said that has not ended.
    pub(super) fn is_said(&self) -> bool {
        self.said.is_some()
    }

    /// It takes part.
    pub(super) fn end(&mut self) {
        *self = Trouble::default();
    }
}

/// How long a switch may be out of reach before somebody is told.
const GRACE: Duration = Duration::from_secs(2);
/// So many different reasons are said at once, then one in each [`REST`].
const WAYS: u32 = 3;
const REST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_said_once_and_again_when_it_changes_and_ever_new_ones_not_without_end() {
        let start = Instant::now();
        let mut trouble = Trouble::default();
        for (seconds, reason, expected) in [
            (0, "refused", false),
            (1, "refused", false),
            (2, "refused", true),
            (3, "refused", false),
            (9000, "refused", false),
            (9001, "timed out", true),
            (9002, "refused", true),
            (9003, "noise 1", false),
            (9004, "noise 2", false),
            (9062, "noise 3", true),
            (9063, "noise 4", false),
        ] {
            let now = start + Duration::from_secs(seconds);
            assert_eq!(
                trouble.is_news(reason, now),
                expected,
                "{reason} at {seconds} s"
            );
        }
        trouble.end();
        assert!(!trouble.is_news("refused", start + Duration::from_secs(9100)));
        assert!(trouble.is_news("refused", start + Duration::from_secs(9102)));
    }
}
