//! The connection that the audit reads by: its own, on the thread that writes the lines.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{self, Runtime};
use tokio_postgres::Row;

use crate::store::postgres::OpenError;
use crate::store::postgres::connector::Connector;
use crate::store::postgres::destination::Destination;
use crate::store::postgres::error::Failure;
use crate::store::postgres::session::{Parameters, Session};

/// How long a statement may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to the database for a thread that waits for each answer. It is opened when it is needed.
pub struct Connection {
    connector: Connector,
    runtime: Runtime,
    session: Option<(Session, Arc<Destination>)>,
}

impl Connection {
    pub fn new(connector: Connector) -> Result<Self, OpenError> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| OpenError::Database(error.to_string()))?;
        Ok(Self {
            connector,
            runtime,
            session: None,
        })
    }

    /// Sends a statement, and waits for its rows.
    pub fn ask(&mut self, sql: &'static str, parameters: &Parameters) -> Result<Vec<Row>, Failure> {
        let connector = &self.connector;
        // One that fails in between is opened again, and one that leads elsewhere by now.
        let open = self.session.take().filter(|(session, destination)| {
            !session.is_closed() && connector.leads_to(destination)
        });
        let work = async {
            let session = match open {
                Some(open) => open,
                None => connector.connect().await?,
            };
            let rows = session.0.query(sql, parameters).await?;
            Ok((session, rows))
        };
        let in_time = async {
            let answer = tokio::time::timeout(TIMEOUT, work).await;
            answer.unwrap_or(Err(Failure::Frozen))
        };
        let (session, rows) = self.runtime.block_on(in_time)?;
        self.session = Some(session);
        Ok(rows)
    }
}
