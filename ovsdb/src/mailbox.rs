//! Events on their way to the holder of a monitor.
//!
//! A slow reader costs bounded memory: past a number of events they become one, in which each row appears once with
//! what it is last.
//!
//! Must not: block the sender.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use uuid::Uuid;

use crate::connection::Event;
use crate::row::{Row, RowChange};

/// A queue with one reader.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    is_closed: bool,
}

impl Mailbox {
    const MAX_EVENTS: usize = 64;

    /// Appends an event.
    pub(crate) fn push(&self, event: Event) {
        let mut state = self.lock();
        match (&event, state.events.back()) {
            (Event::Snapshot(_), _) => state.events.clear(),
            (Event::Disconnected { .. }, Some(Event::Disconnected { .. })) => {
                drop(state.events.pop_back())
            }
            _ => {}
        }
        state.events.push_back(event);
        if state.events.len() > Self::MAX_EVENTS {
            let events = std::mem::take(&mut state.events);
            state.events.push_back(merge(events));
        }
        drop(state);
        self.arrived.notify_one();
    }

    /// Says that nothing more will come.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.arrived.notify_one();
    }

    /// The next event, if there is one already.
    pub(crate) fn take(&self) -> Option<Event> {
        self.lock().events.pop_front()
    }

    /// The next event; `None` once closed and empty. Cancel-safe.
    pub(crate) async fn next(&self) -> Option<Event> {
        loop {
            {
                let mut state = self.lock();
                if let Some(event) = state.events.pop_front() {
                    return Some(event);
                }
                if state.is_closed {
                    return None;
                }
            }
            self.arrived.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole at every step, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Several events as one with the same outcome.
fn merge(events: impl IntoIterator<Item = Event>) -> Event {
    let mut is_snapshot = false;
    let mut rows: BTreeMap<(Arc<str>, Uuid), Option<Arc<Row>>> = BTreeMap::new();
    for event in events {
        let changes = match event {
            Event::Snapshot(changes) => {
                is_snapshot = true;
                rows.clear();
                changes
            }
            Event::Changes(changes) => changes,
            Event::Disconnected { .. } => continue,
        };
        for change in changes {
            let key = (change.table, change.uuid);
            if change.row.is_none() && is_snapshot {
                rows.remove(&key);
            } else {
                rows.insert(key, change.row);
            }
        }
    }
    let rows = rows
        .into_iter()
        .map(|((table, uuid), row)| RowChange { table, uuid, row })
        .collect();
    if is_snapshot {
        Event::Snapshot(rows)
    } else {
        Event::Changes(rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(uuid: u128, value: Option<i64>) -> RowChange {
        let row = value.map(|value| Arc::new(Row::new().with("value", value)));
        RowChange {
            table: "t".into(),
            uuid: Uuid::from_u128(uuid),
            row,
        }
    }

    #[tokio::test]
    async fn a_reader_that_lags_gets_the_outcome_in_one_event() {
        let mailbox = Mailbox::default();
        mailbox.push(Event::Snapshot(vec![
            change(1, Some(0)),
            change(2, Some(0)),
        ]));
        mailbox.push(Event::Changes(vec![change(2, None)]));
        for value in 1..200 {
            mailbox.push(Event::Changes(vec![change(1, Some(value))]));
        }
        assert!(mailbox.lock().events.len() <= Mailbox::MAX_EVENTS);
        mailbox.close();
        let mut all = Vec::new();
        while let Some(event) = mailbox.next().await {
            all.push(event);
        }
        assert!(
            matches!(&all[0], Event::Snapshot(rows) if rows.len() == 1),
            "{all:?}"
        );
        assert_eq!(merge(all), Event::Snapshot(vec![change(1, Some(199))]));
    }
}
