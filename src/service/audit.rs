//! Who changed what, or tried to: a line for each change.

use std::net::IpAddr;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::Instrument as _;

use crate::domain::{
    AccountId, Action, Call, Changed, Error, TagCommand, TagKey, TagSelection, Targets,
    UntagCommand,
};
use crate::telemetry::{LineSender, trace};

/// Writes the lines, where they are wanted.
#[derive(Debug, Clone, Default)]
pub struct Audit(Option<LineSender>);

/// The line of one change, not yet written. One that is dropped, because its request was cut off, says so. Boxed, since it
/// is large and most services write none.
pub struct Entry(Option<Box<(Line, LineSender)>>);

/// What a line tells. Never a tag's value.
#[derive(Debug, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "it repeats the flags of the request"
)]
struct Line {
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

impl Audit {
    /// Lines that go to this sender.
    #[must_use]
    pub fn to(lines: LineSender) -> Self {
        Self(Some(lines))
    }

    /// Begins the line of an untag.
    #[must_use]
    pub fn untag(&self, call: &Call, command: &UntagCommand) -> Entry {
        self.begin(|| {
            let keys = match &command.selection {
                TagSelection::All => &[][..],
                TagSelection::Keys(keys) => keys,
            };
            Line {
                all: command.selection == TagSelection::All,
                allow_missing: command.allow_missing,
                validate_only: command.validate_only,
                ..Line::new(
                    call,
                    Action::UntagResources,
                    &command.account,
                    &command.targets,
                    keys,
                )
            }
        })
    }

    /// Begins the line of tags that are set.
    #[must_use]
    pub fn tag(&self, call: &Call, command: &TagCommand) -> Entry {
        self.begin(|| {
            let keys = command.tags.iter().map(|(key, _)| key);
            Line::new(
                call,
                Action::TagResources,
                &command.account,
                &command.targets,
                keys,
            )
        })
    }

    fn begin(&self, line: impl FnOnce() -> Line) -> Entry {
        Entry(
            self.0
                .as_ref()
                .map(|lines| Box::new((line(), lines.clone()))),
        )
    }
}

impl Line {
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
            outcome: "Unknown".to_owned(),
            affected_tags: Some(0),
        }
    }

    /// Notes what came of the change.
    fn finish(&mut self, result: &Result<Changed, Error>) {
        let adopted = match result {
            Ok(changed) => {
                "OK".clone_into(&mut self.outcome);
                self.affected_tags = changed.tags;
                changed.request_id
            }
            Err(error) => {
                error.code().clone_into(&mut self.outcome);
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

    fn text(&self) -> String {
        // Texts and numbers in a struct: it has a JSON form.
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Entry {
    /// Writes the line of a change that came to this.
    pub async fn finish(mut self, result: &Result<Changed, Error>) {
        if let Some(entry) = self.0.take() {
            let (mut line, lines) = *entry;
            line.finish(result);
            Box::pin(lines.send(line.text()).instrument(trace::audit())).await;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(entry) = self.0.take() {
            let (line, lines) = *entry;
            lines.send_now(line.text());
        }
    }
}
