//! The changes that the audit tells of, as they were asked for.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::line::Line;
use crate::domain::{
    Action, Call, ImportCommand, ResourceId, RevertRequest, TagCommand, TagSelection, Targets,
    UntagCommand, UserChange, UserCommand,
};

/// A change as it was asked for. Its line is made where it is written only: most changes get theirs from the change log.
#[derive(Debug)]
pub enum Requested {
    /// An untag.
    Untag(Arc<UntagCommand>),
    /// Tags that are set.
    Tag(Arc<TagCommand>),
    /// A revert that is about these users.
    Revert(RevertRequest, Vec<ResourceId>),
    /// A change of users.
    Users(Action, Arc<UserCommand>),
    /// An import of users.
    Import(Arc<ImportCommand>),
}

impl Requested {
    /// The line of the change before it is begun.
    pub fn line(self, call: &Call) -> Line {
        match self {
            Self::Untag(command) => untag(call, &command),
            Self::Tag(command) => {
                let keys = command.tags.iter().map(|(key, _)| key);
                let (account, targets) = (&command.account, &command.targets);
                Line::new(call, Action::TagResources, account, targets, keys)
            }
            Self::Revert(request, users) => Line {
                validate_only: request.validate_only,
                ..Line::new(
                    call,
                    Action::RevertChange,
                    &request.account,
                    &Targets::Ids(users),
                    [],
                )
            },
            Self::Users(action, command) => users(call, action, &command),
            Self::Import(command) => import(call, &command),
        }
    }
}

fn untag(call: &Call, command: &UntagCommand) -> Line {
    let keys = match &command.selection {
        TagSelection::All => &[][..],
        TagSelection::Keys(keys) => keys,
    };
    let (account, targets) = (&command.account, &command.targets);
    Line {
        all: command.selection == TagSelection::All,
        allow_missing: command.allow_missing,
        validate_only: command.validate_only,
        ..Line::new(call, Action::UntagResources, account, targets, keys)
    }
}

fn users(call: &Call, action: Action, command: &UserCommand) -> Line {
    let changes = command.changes();
    // An id that was made is told once the user has it: the cloud gives it another.
    let is_made = |change: &UserChange| matches!(change, UserChange::Create(new) if new.is_id_made);
    let known = changes.iter().filter(|change| !is_made(change));
    let ids = Targets::Ids(known.map(|change| change.id().clone()).collect());
    let names = changes.iter().filter_map(UserChange::given_name);
    let created = changes.iter().filter_map(|change| match change {
        UserChange::Create(user) => Some(user),
        _ => None,
    });
    let keys: BTreeSet<_> = created.flat_map(|user| user.tags().keys()).collect();
    Line {
        resource_principal_names: names.map(ToString::to_string).collect(),
        ..Line::new(call, action, command.account(), &ids, keys)
    }
}

fn import(call: &Call, command: &ImportCommand) -> Line {
    let users = command.users().iter();
    let ids = Targets::Ids(users.clone().map(|user| user.id.clone()).collect());
    let keys: BTreeSet<_> = users.flat_map(|user| user.tags().keys()).collect();
    Line {
        resource_principal_names: command.names().map(ToString::to_string).collect(),
        validate_only: command.validate_only(),
        ..Line::new(call, Action::ImportUsers, command.account(), &ids, keys)
    }
}
