//! A connection to a server in the same process: straight into its core, no JSON.
//!
//! Must not: hold the core across an await.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{oneshot, watch};

use crate::connection::MonitorTable;
use crate::database::Output;
use crate::error::{Error, TransactionError};
use crate::mailbox::Mailbox;
use crate::operation::{Operation, OperationResult};
use crate::schema::DatabaseSchema;
use crate::server::Server;
use crate::server::core::{Core, Outcome, Reply, Request, SessionId};
use crate::server::lock::LockMode;
use crate::watch::Watch;

/// A session in this process.
#[derive(Debug)]
pub(crate) struct Local {
    server: Server,
    name: Arc<str>,
    session: SessionId,
}

impl Local {
    pub(crate) fn new(server: Server, database: &str) -> Local {
        let (session, _) = server.lock().open();
        Local {
            server,
            name: database.into(),
            session,
        }
    }

    pub(crate) fn schema(&self) -> Result<Arc<DatabaseSchema>, Error> {
        let core = self.server.lock();
        Ok(core.database(self.database(&core)?).schema().clone())
    }

    pub(crate) async fn transact(
        &self,
        operations: Vec<Operation>,
    ) -> Result<Vec<OperationResult>, Error> {
        let (sender, mut receiver) = oneshot::channel();
        let (outcome, deadline) = {
            let mut core = self.server.lock();
            let request = Request {
                session: self.session,
                database: self.database(&core)?,
                asked: operations.len(),
                operations,
                bad: None,
                read_only: false,
                bytes: 0,
                reply: Reply::Local(Some(sender)),
            };
            (
                core.transact(request, Instant::now()),
                core.deadline(self.session),
            )
        };
        if let Some(outcome) = outcome {
            return finish(outcome);
        }
        let mut deadline = deadline;
        loop {
            let timer = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                outcome = &mut receiver => return outcome.map_err(|_| Error::Closed).and_then(finish),
                () = timer => {
                    let mut core = self.server.lock();
                    core.expire(Instant::now());
                    deadline = core.deadline(self.session);
                }
            }
        }
    }

    pub(crate) fn monitor(&self, tables: &[MonitorTable]) -> Result<Arc<Mailbox>, Error> {
        let mut core = self.server.lock();
        let id = self.database(&core)?;
        let watch =
            Watch::new(core.database(id), tables).map_err(|refusal| Error::UnknownName {
                database: self.name.to_string(),
                what: refusal.details,
            })?;
        let mailbox = Arc::new(Mailbox::default());
        core.monitor_locally(id, watch, &mailbox);
        Ok(mailbox)
    }

    pub(crate) fn lock(&self, name: &str, mode: LockMode) -> Result<watch::Receiver<bool>, Error> {
        self.server
            .lock()
            .lock_locally(self.session, name, mode)
            .map_err(|error| self.refused("lock", error))
    }

    pub(crate) fn unlock(&self, name: &str) -> Result<(), Error> {
        self.server
            .lock()
            .unlock(self.session, name)
            .map_err(|error| self.refused("unlock", error))
    }

    fn database(&self, core: &Core) -> Result<usize, Error> {
        core.find(&self.name)
            .ok_or_else(|| Error::UnknownDatabase(self.name.to_string()))
    }

    fn refused(&self, method: &'static str, error: String) -> Error {
        Error::Refused {
            remote: format!("database {} in this process", self.name),
            method,
            error,
        }
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        self.server.lock().close(self.session);
    }
}

fn finish(outcome: Outcome) -> Result<Vec<OperationResult>, Error> {
    match outcome.refusal {
        None => Ok(outcome
            .outputs
            .into_iter()
            .map(Output::into_result)
            .collect()),
        Some(refusal) => Err(TransactionError {
            error: refusal.error.to_owned(),
            details: refusal.details,
            operation: outcome.outputs.len(),
        }
        .into()),
    }
}
