//! Reads on connections of their own: they see the last commit, and neither wait for the writer nor hold it up.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, params};
use tokio::sync::Semaphore;

use super::apply::Lookup;
use super::error::{ApplyError, OpenError};
use super::schema::DataDirectory;
use super::tags;
use crate::domain::{Applied, ListQuery, RESOURCE_TYPE_USER, ResourceId, TagPage, Targets};
use crate::store::StoreError;
use crate::store::paging::{PageBuilder, SCAN_LIMIT};

/// A fixed set of connections, each used by one request at a time.
#[derive(Debug)]
pub struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub fn open(directory: &DataDirectory, count: usize) -> Result<Self, OpenError> {
        let idle = (0..count)
            .map(|_| directory.open_reader())
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            idle: Mutex::new(idle),
            permits: Arc::new(Semaphore::new(count)),
        })
    }

    /// Runs `read` in a snapshot, on a thread where it may block.
    pub async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Connection) -> Result<T, ApplyError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let broken = |what: &'static str| StoreError::Broken(Arc::from(Box::from(what)));
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| broken("the readers are closed"))?;
        let readers = Arc::clone(self);
        let work = move || {
            let _permit = permit;
            let connection = readers
                .idle()
                .pop()
                .ok_or_else(|| broken("no reader is idle"))?;
            let result = catch_unwind(AssertUnwindSafe(|| in_snapshot(&connection, read)));
            // It goes back also after a panic, which is this request's alone.
            readers.idle().push(connection);
            result
                .unwrap_or_else(|panic| resume_unwind(panic))
                .map_err(|error| error.to_store_error(Applied::No))
        };
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| Err(StoreError::Broken(Arc::new(error))))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One transaction, so that all statements of a request see the same state.
fn in_snapshot<T>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, ApplyError>,
) -> Result<T, ApplyError> {
    let transaction = connection.unchecked_transaction()?;
    let result = read(connection);
    transaction.rollback()?;
    result
}

/// What a list comes to: a page, or the places of the targets that do not exist.
pub fn list(
    connection: &Connection,
    query: &ListQuery,
) -> Result<Result<TagPage, StoreError>, ApplyError> {
    match &query.targets {
        Some(targets) => list_targets(connection, query, targets),
        None => list_account(connection, query),
    }
}

fn list_targets(
    connection: &Connection,
    query: &ListQuery,
    targets: &Targets,
) -> Result<Result<TagPage, StoreError>, ApplyError> {
    let mut records = Vec::with_capacity(targets.count());
    let missing = Lookup::new(connection)?.each(&query.account, targets, |_, id, encoded| {
        let id = ResourceId::parse(id).map_err(|_| tags::CorruptTags)?;
        records.push((id, tags::decode(encoded)?));
        Ok::<_, ApplyError>(())
    })?;
    if !missing.is_empty() {
        return Ok(Err(StoreError::Missing(missing)));
    }
    Ok(PageBuilder::page_of(query, records))
}

fn list_account(
    connection: &Connection,
    query: &ListQuery,
) -> Result<Result<TagPage, StoreError>, ApplyError> {
    let mut page = match PageBuilder::new(query) {
        Ok(page) => page,
        Err(error) => return Ok(Err(error)),
    };
    let mut statement = connection.prepare_cached(
        "SELECT resource_id, tags FROM resource \
         WHERE account_id = ?1 AND resource_type = ?2 AND resource_id >= ?3 \
         ORDER BY resource_id LIMIT ?4",
    )?;
    // One more than a page looks at tells whether it has seen the last.
    let most = i64::try_from(SCAN_LIMIT + 1).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![
        query.account.as_str(),
        RESOURCE_TYPE_USER,
        page.from(),
        most
    ])?;
    while let Some(row) = rows.next()? {
        let id = row.get_ref(0)?.as_str().map_err(|_| tags::CorruptTags)?;
        let id = ResourceId::parse(id).map_err(|_| tags::CorruptTags)?;
        let tags = tags::decode(row.get_ref(1)?.as_blob().map_err(|_| tags::CorruptTags)?)?;
        if page.add(&id, &tags).is_break() {
            break;
        }
    }
    Ok(Ok(page.finish()))
}
