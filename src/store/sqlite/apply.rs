//! One command against the tables: first everything is looked up and checked, then the rows that change are written.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Statement, params};

use super::error::ApplyError;
use super::tags;
use crate::domain::{
    AccountId, Changed, RESOURCE_TYPE_USER, TagCommand, Targets, UntagCommand, limits,
};
use crate::store::StoreError;

/// A row that is to get other tags.
pub struct Rewrite {
    resource_id: String,
    tags: Vec<u8>,
}

/// What a command comes to: its answer, and the rows to write for it.
pub struct Plan {
    pub answer: Result<Changed, StoreError>,
    pub rewrites: Vec<Rewrite>,
}

impl Plan {
    fn refused(error: StoreError) -> Self {
        Self {
            answer: Err(error),
            rewrites: Vec::new(),
        }
    }
}

/// Finds records by the names of a request. The connection keeps the statements: each list has a lookup of its own.
pub struct Lookup<'connection> {
    by_id: CachedStatement<'connection>,
    by_name: CachedStatement<'connection>,
}

impl<'connection> Lookup<'connection> {
    pub fn new(connection: &'connection Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            by_id: connection.prepare_cached(
                "SELECT resource_id, tags FROM resource \
                 WHERE account_id = ?1 AND resource_type = ?2 AND resource_id = ?3",
            )?,
            by_name: connection.prepare_cached(
                "SELECT resource_id, tags FROM resource \
                 WHERE account_id = ?1 AND resource_type = ?2 AND principal_name = ?3",
            )?,
        })
    }

    /// Calls `found` with the place in the command, the id and the encoded tags of every target that exists, and
    /// returns the places of the others.
    pub fn each<E: From<rusqlite::Error>>(
        &mut self,
        account: &AccountId,
        targets: &Targets,
        mut found: impl FnMut(usize, &str, &[u8]) -> Result<(), E>,
    ) -> Result<Vec<usize>, E> {
        let statement = match targets {
            Targets::Ids(_) => &mut self.by_id,
            Targets::Names(_) => &mut self.by_name,
        };
        let mut missing = Vec::new();
        for position in 0..targets.count() {
            let key = params![
                account.as_str(),
                RESOURCE_TYPE_USER,
                targets.name_at(position)
            ];
            let record = statement
                .query_row(key, |row| {
                    let id = row.get_ref(0)?.as_str()?;
                    let tags = row.get_ref(1)?.as_blob()?;
                    Ok(found(position, id, tags))
                })
                .optional()?;
            match record {
                Some(result) => result?,
                None => missing.push(position),
            }
        }
        Ok(missing)
    }

    /// Works out an untag.
    pub fn plan_untag(&mut self, command: &UntagCommand) -> Result<Plan, ApplyError> {
        let (mut resources, mut count) = (0, 0);
        let mut rewrites = Vec::new();
        let missing = self.each(&command.account, &command.targets, |_, id, encoded| {
            resources += 1;
            let (tags, removed) = tags::without(encoded, &command.selection)?;
            if removed > 0 {
                count += removed;
                rewrites.push(Rewrite {
                    resource_id: id.to_owned(),
                    tags,
                });
            }
            Ok::<_, ApplyError>(())
        })?;
        if !missing.is_empty() && !command.allow_missing {
            return Ok(Plan::refused(StoreError::Missing(missing)));
        }
        Ok(Plan {
            answer: Ok(Changed::count(resources, count)),
            rewrites,
        })
    }

    /// Works out a tag.
    pub fn plan_tag(&mut self, command: &TagCommand) -> Result<Plan, ApplyError> {
        let mut over_limit = Vec::new();
        let mut rewrites = Vec::new();
        let missing = self.each(
            &command.account,
            &command.targets,
            |position, id, encoded| {
                let (tags, count) = tags::with(encoded, &command.tags)?;
                if count > limits::TAGS_OF_A_USER {
                    over_limit.push(position);
                } else if tags != encoded {
                    rewrites.push(Rewrite {
                        resource_id: id.to_owned(),
                        tags,
                    });
                }
                Ok::<_, ApplyError>(())
            },
        )?;
        if !missing.is_empty() {
            return Ok(Plan::refused(StoreError::Missing(missing)));
        }
        if !over_limit.is_empty() {
            return Ok(Plan::refused(StoreError::TagLimit(over_limit)));
        }
        let resources = command.targets.count();
        Ok(Plan {
            answer: Ok(Changed::count(resources, resources * command.tags.len())),
            rewrites,
        })
    }
}

/// Writes rows.
pub struct Rewriter<'connection>(Statement<'connection>);

impl<'connection> Rewriter<'connection> {
    pub fn new(connection: &'connection Connection) -> rusqlite::Result<Self> {
        connection
            .prepare(
                "UPDATE resource SET tags = ?4 \
                 WHERE account_id = ?1 AND resource_type = ?2 AND resource_id = ?3",
            )
            .map(Self)
    }

    pub fn write(&mut self, account: &AccountId, rewrites: &[Rewrite]) -> rusqlite::Result<()> {
        for Rewrite { resource_id, tags } in rewrites {
            self.0.execute(params![
                account.as_str(),
                RESOURCE_TYPE_USER,
                resource_id,
                tags
            ])?;
        }
        Ok(())
    }
}
