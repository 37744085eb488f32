//! The removed tags that rows had when they were rewritten. An untag writes down where in its rows the tags lie that it removes: as long
//! as a row is not rewritten they lie there, and afterwards here.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::extent::ROW_BYTES;
use crate::domain::{Effect, EffectKind, ResourceId, TagKey, TagValue};
use crate::store::sqlite::error::{ApplyError, CorruptLog, CorruptTags};
use crate::store::sqlite::format::LoggedEffect;
use crate::store::sqlite::format::tags::{self, TagMask};

/// The removed tags of a row that is about to be rewritten without them, and their positions there.
pub struct RemovedTags {
    number: i64,
    id: Box<str>,
    positions: TagMask,
    tags: Vec<u8>,
}

impl RemovedTags {
    /// Those of a row with these tags, if there are any.
    pub fn of(
        number: i64,
        id: &str,
        encoded: &[u8],
        removed: TagMask,
    ) -> Result<Option<Self>, CorruptTags> {
        if removed == 0 {
            return Ok(None);
        }
        Ok(Some(Self {
            number,
            id: id.into(),
            positions: removed,
            tags: tags::at(encoded, removed)?,
        }))
    }

    /// The number of the row.
    pub fn number(&self) -> i64 {
        self.number
    }

    /// How many bytes the tags are.
    pub fn bytes(&self) -> usize {
        self.tags.len()
    }

    /// Keeps them with this sequence: what entries up to it refer to. Returns how many bytes they take. Where the row was rewritten with
    /// the same sequence before, nothing refers to what it has lost since.
    pub fn keep(&self, connection: &Connection, sequence: i64) -> rusqlite::Result<usize> {
        let insert = "INSERT OR IGNORE INTO removed_tags \
             (number, sequence, resource_id, positions, tags) VALUES (?1, ?2, ?3, ?4, ?5)";
        let columns = params![self.number, sequence, self.id, self.positions, self.tags];
        connection.prepare_cached(insert)?.execute(columns)?;
        Ok(self.tags.len() + self.id.len() + ROW_BYTES)
    }
}

/// Deletes up to `most` of those that no commit from this sequence on refers to. Returns whether there may be more.
pub fn delete_before(connection: &Connection, oldest: i64, most: usize) -> rusqlite::Result<bool> {
    let delete = "DELETE FROM removed_tags WHERE (number, sequence) IN \
         (SELECT number, sequence FROM removed_tags WHERE sequence < ?1 \
          ORDER BY sequence, number LIMIT ?2)";
    let limit = i64::try_from(most).unwrap_or(i64::MAX);
    let deleted = connection
        .prepare_cached(delete)?
        .execute([oldest, limit])?;
    Ok(deleted == most)
}

/// What an effect of the commit of this sequence removed from tags that lay in their row then.
pub fn resolve(
    connection: &Connection,
    sequence: i64,
    effect: &LoggedEffect,
) -> Result<Effect, ApplyError> {
    let select = "SELECT resource_id, positions, tags FROM removed_tags \
         WHERE number = ?1 AND sequence >= ?2 ORDER BY sequence LIMIT 1";
    let mut select = connection.prepare_cached(select)?;
    let kept = select
        .query_row([effect.number, sequence], |row| {
            let (id, positions) = (row.get_ref(0)?.as_str()?, row.get(1)?);
            Ok(removed(id, row.get_ref(2)?.as_blob()?, positions, effect))
        })
        .optional()?;
    if let Some(kept) = kept {
        return kept;
    }
    let select = "SELECT resource_id, tags FROM resource WHERE number = ?1";
    let mut select = connection.prepare_cached(select)?;
    let lying = select
        .query_row([effect.number], |row| {
            let id = row.get_ref(0)?.as_str()?;
            Ok(removed(
                id,
                row.get_ref(1)?.as_blob()?,
                TagMask::MAX,
                effect,
            ))
        })
        .optional()?;
    lying.ok_or(CorruptLog)?
}

/// The effect, by tags that lay at these positions of the row.
fn removed(
    id: &str,
    encoded: &[u8],
    mut positions: TagMask,
    effect: &LoggedEffect,
) -> Result<Effect, ApplyError> {
    let mut removed: Vec<(TagKey, TagValue)> = Vec::new();
    let mut found = 0;
    for tag in tags::decode(encoded, 0)? {
        let position = positions & positions.wrapping_neg();
        positions &= !position;
        if effect.removed & position != 0 {
            found |= position;
            removed.push(tag);
        }
    }
    if found != effect.removed {
        return Err(CorruptLog.into());
    }
    Ok(Effect {
        resource_id: ResourceId::parse(id).map_err(|_| CorruptTags)?,
        kind: EffectKind::Tags {
            removed,
            set: Vec::new(),
        },
    })
}
