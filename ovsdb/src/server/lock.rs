//! Who holds which lock and who waits for it (RFC 7047 §4.1.8).
//!
//! A queue per lock: its head holds it. A thief goes to the head; whom it robs is next in line.
//!
//! Must not: tell anybody; callers send what the returned sessions are to know.

use std::collections::{HashMap, VecDeque};

use crate::server::core::SessionId;

/// All locks of a server.
#[derive(Debug, Default)]
pub(crate) struct Locks(HashMap<String, VecDeque<SessionId>>);

/// How to ask for a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LockMode {
    Wait,
    Steal,
}

impl Locks {
    const MAX_PER_SESSION: usize = 1000;

    /// True if the session holds the lock.
    pub(crate) fn holds(&self, session: SessionId, name: &str) -> bool {
        self.0.get(name).and_then(VecDeque::front) == Some(&session)
    }

    /// Asks for a lock: whether it is held now, and from whom it was stolen.
    pub(crate) fn request(
        &mut self,
        session: SessionId,
        name: &str,
        mode: LockMode,
    ) -> Result<(bool, Option<SessionId>), String> {
        if self
            .0
            .get(name)
            .is_some_and(|queue| queue.contains(&session))
        {
            let verb = if mode == LockMode::Steal {
                "steal"
            } else {
                "lock"
            };
            return Err(format!("must issue \"unlock\" before new \"{verb}\""));
        }
        if self
            .0
            .values()
            .filter(|queue| queue.contains(&session))
            .count()
            >= Self::MAX_PER_SESSION
        {
            return Err(format!(
                "a client may ask for at most {} locks",
                Self::MAX_PER_SESSION
            ));
        }
        let queue = self.0.entry(name.to_owned()).or_default();
        match mode {
            LockMode::Wait => {
                queue.push_back(session);
                Ok((queue.len() == 1, None))
            }
            LockMode::Steal => {
                let victim = queue.front().copied();
                queue.push_front(session);
                Ok((true, victim))
            }
        }
    }

    /// Gives a lock back: who holds it now, if somebody does who did not.
    pub(crate) fn release(
        &mut self,
        session: SessionId,
        name: &str,
    ) -> Result<Option<SessionId>, String> {
        let queue = self
            .0
            .get_mut(name)
            .filter(|queue| queue.contains(&session));
        let queue = queue.ok_or_else(|| "\"unlock\" without \"lock\" or \"steal\"".to_owned())?;
        let was_held = queue.front() == Some(&session);
        queue.retain(|waiter| *waiter != session);
        let next = queue.front().copied().filter(|_| was_held);
        if queue.is_empty() {
            self.0.remove(name);
        }
        Ok(next)
    }

    /// Gives all of a session's locks back: the locks that have a new holder, and who it is.
    pub(crate) fn release_all(&mut self, session: SessionId) -> Vec<(String, SessionId)> {
        let names: Vec<String> = self
            .0
            .iter()
            .filter(|(_, queue)| queue.contains(&session))
            .map(|(name, _)| name.clone())
            .collect();
        names
            .into_iter()
            .filter_map(|name| Some((self.release(session, &name).ok()??, name)))
            .map(|(s, n)| (n, s))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_goes_to_the_next_in_line_and_can_be_stolen() {
        let (a, b, c) = (SessionId(1), SessionId(2), SessionId(3));
        let mut locks = Locks::default();
        assert_eq!(locks.request(a, "l", LockMode::Wait), Ok((true, None)));
        assert_eq!(locks.request(b, "l", LockMode::Wait), Ok((false, None)));
        locks
            .request(b, "l", LockMode::Steal)
            .expect_err("asked for twice");
        assert_eq!(locks.request(c, "l", LockMode::Steal), Ok((true, Some(a))));
        assert!(locks.holds(c, "l") && !locks.holds(a, "l"));
        assert_eq!(locks.release(b, "l"), Ok(None));
        assert_eq!(locks.release_all(c), [("l".to_owned(), a)]);
        assert!(locks.holds(a, "l"));
        assert_eq!(locks.release(a, "l"), Ok(None));
        locks.release(a, "l").expect_err("not asked for");
        assert!(locks.0.is_empty());
    }
}
