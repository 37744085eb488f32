//! Imports of users.

use super::error::Failure;
use super::planned::{Made, Planned, TRIES};
use super::{Pauses, PostgresStore};
use crate::domain::{ImportCommand, ImportPlan, Imported, Origin};
use crate::store::{StoreError, import_answers};

impl PostgresStore {
    pub(super) async fn import(
        &self,
        command: &ImportCommand,
        origin: &Origin,
    ) -> Result<Imported, StoreError> {
        let place = (command.account(), command.time());
        let mut pauses = Pauses::default();
        for _ in 0..TRIES {
            let ids = command.users().iter().map(|user| &user.id);
            let seen = self.see(place, ids, command.names()).await?;
            let import = ImportPlan::of(command, &seen.present);
            let imported = import.answer();
            if command.validate_only() {
                return Ok(imported);
            }
            let planned = Planned {
                account: command.account(),
                time: command.time(),
                origin,
                plan: seen.plan(&import.effects, imported.changed_tags),
                to_keep: import_answers::encode(&imported),
            };
            let revision = match self.make(&planned).await? {
                Made::New(revision) => revision,
                Made::Found(entry) => Some(entry.revision),
                Made::Repeated(earlier) => {
                    let answer = import_answers::decode(&earlier.kept);
                    return Ok(Imported {
                        revision: earlier.revision,
                        request_id: earlier.request_id,
                        is_replay: true,
                        ..answer.ok_or(Failure::CorruptEntry)?
                    });
                }
                // No plan of an import refuses it.
                Made::Refused | Made::Stale => {
                    pauses.wait().await;
                    continue;
                }
            };
            return Ok(Imported {
                revision,
                ..imported
            });
        }
        Err(StoreError::Busy)
    }
}
