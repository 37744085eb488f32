//! The audit's lines.

use std::net::IpAddr;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::domain::{
    AccountId, Action, Applied, Call, Changed, Error, TagCommand, TagKey, TagSelection, Targets,
    UntagCommand,
};

/// The line of a change. Never has a tag's value.
#[derive(Debug, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "it repeats the flags of the request"
)]
pub struct Line {
    time: String,
    target: &'static str,
    request_id: String,
    caller: String,
    source_ip: IpAddr,
    secure_transport: bool,
    account: String,
    action: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resource_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    resource_principal_names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tag_keys: Vec<String>,
    all: bool,
    allow_missing: bool,
    validate_only: bool,
    decision: &'static str,
    outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    affected_tags: Option<usize>,
}

impl Line {
    /// The line of an untag.
    pub fn untag(call: &Call, command: &UntagCommand) -> Self {
        let keys = match &command.selection {
            TagSelection::All => &[][..],
            TagSelection::Keys(keys) => keys,
        };
        Self {
            all: command.selection == TagSelection::All,
            allow_missing: command.allow_missing,
            validate_only: command.validate_only,
            ..Self::new(
                call,
                Action::UntagResources,
                &command.account,
                &command.targets,
                keys,
            )
        }
    }

    /// The line of tags that are set.
    pub fn tag(call: &Call, command: &TagCommand) -> Self {
        let keys = command.tags.iter().map(|(key, _)| key);
        Self::new(
            call,
            Action::TagResources,
            &command.account,
            &command.targets,
            keys,
        )
    }

    fn new<'a>(
        call: &Call,
        action: Action,
        account: &AccountId,
        targets: &Targets,
        keys: impl IntoIterator<Item = &'a TagKey>,
    ) -> Self {
        let (resource_ids, resource_principal_names) = match targets {
            Targets::Ids(ids) => (ids.iter().map(ToString::to_string).collect(), Vec::new()),
            Targets::Names(names) => (Vec::new(), names.iter().map(ToString::to_string).collect()),
        };
        let time = OffsetDateTime::from(call.time).format(&Rfc3339);
        Self {
            time: time.unwrap_or_default(),
            target: "audit",
            request_id: call.request_id.to_string(),
            caller: call.caller.to_string(),
            source_ip: call.source_ip,
            secure_transport: call.secure_transport,
            account: account.to_string(),
            action: action.as_str(),
            resource_ids,
            resource_principal_names,
            tag_keys: keys.into_iter().map(ToString::to_string).collect(),
            all: false,
            allow_missing: false,
            validate_only: false,
            decision: "allowed",
            outcome: "Cancelled".to_owned(),
            affected_tags: Some(0),
        }
    }

    /// Notes that the change is being made: until it has come to something, nobody knows.
    pub fn begin(&mut self) {
        "Unknown".clone_into(&mut self.outcome);
        self.affected_tags = None;
    }

    /// Notes what came of the change.
    pub fn finish(&mut self, result: &Result<Changed, Error>) {
        let adopted = match result {
            Ok(changed) => {
                "OK".clone_into(&mut self.outcome);
                self.affected_tags = changed.tags;
                changed.request_id
            }
            Err(error) => {
                error.code().clone_into(&mut self.outcome);
                self.affected_tags = (error.applied() == Applied::No).then_some(0);
                if matches!(error, Error::NoPermission { .. }) {
                    self.decision = "denied";
                }
                error.request_id()
            }
        };
        if let Some(id) = adopted {
            self.request_id = id.to_string();
        }
    }

    /// The line, without its newline.
    pub fn text(&self) -> String {
        // Texts and numbers in a struct: it has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}
