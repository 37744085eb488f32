//! The lines of the audit.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::SystemTime;

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::domain::{
    AccountId, Action, Applied, Call, Caller, Changed, ClientRequestId, Error, Imported, RequestId,
    Revision, TagKey, Targets, UsersChanged,
};

/// The target of each line, by which readers of stdout can tell it from others.
pub const TARGET: &str = "audit";

/// The line of a change. Never has a tag's value.
#[derive(Debug, Serialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "it repeats the flags of the request"
)]
pub struct Line {
    pub(super) time: String,
    pub(super) target: &'static str,
    pub(super) request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client_request_id: Option<String>,
    pub(super) caller: String,
    pub(super) source_ip: IpAddr,
    pub(super) secure_transport: bool,
    pub(super) account: String,
    pub(super) action: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) resource_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) resource_principal_names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tag_keys: Vec<String>,
    pub(super) all: bool,
    pub(super) allow_missing: bool,
    pub(super) validate_only: bool,
    pub(super) decision: &'static str,
    pub(super) outcome: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) affected_resources: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) affected_tags: Option<usize>,
    /// Whether the request was answered as an earlier one with the same client token, and changed nothing.
    #[serde(skip_serializing_if = "is_false")]
    pub(super) replay: bool,
}

/// The result of a change, which its line tells of.
pub trait Audited {
    /// Tells the line what was changed. Returns the RequestId that the answer has, where that is another one.
    fn tell(&self, line: &mut Line) -> Option<RequestId>;

    /// Whether the change log has an entry of the request.
    fn has_entry(&self) -> bool;
}

impl<T: Borrow<Changed>> Audited for T {
    fn tell(&self, line: &mut Line) -> Option<RequestId> {
        let changed = self.borrow();
        line.revision = changed.revision.map(Revision::get);
        line.affected_resources = changed.now(changed.changed_resources);
        line.affected_tags = changed.now(changed.tags);
        line.replay = changed.is_replay;
        changed.request_id
    }

    fn has_entry(&self) -> bool {
        self.borrow().entry().is_some()
    }
}

impl Audited for UsersChanged {
    fn tell(&self, line: &mut Line) -> Option<RequestId> {
        line.revision = self.revision.map(Revision::get);
        line.replay = self.is_replay;
        let changed = if self.is_replay { 0 } else { self.changed };
        line.affected_resources = Some(changed);
        // Not every store answers with users, and who creates one may leave its id to the store.
        line.affected_tags = (changed == 0 || !self.users.is_empty()).then_some(0);
        if !self.users.is_empty() {
            let ids = self.users.iter().map(|user| user.resource.id.to_string());
            line.resource_ids = ids.collect();
        }
        // An update leaves tags as they are. With a user that comes or goes all of its tags do.
        if line.affected_tags.is_some() && changed > 0 && line.action != Action::UpdateUser.as_str()
        {
            let tags = self.users.iter().map(|user| user.resource.tags());
            line.affected_tags = Some(tags.clone().map(BTreeMap::len).sum());
            let keys: BTreeSet<_> = tags.flat_map(BTreeMap::keys).collect();
            line.tag_keys = keys.into_iter().map(ToString::to_string).collect();
        }
        self.request_id
    }

    fn has_entry(&self) -> bool {
        self.entry().is_some()
    }
}

impl Audited for Imported {
    fn tell(&self, line: &mut Line) -> Option<RequestId> {
        let now = |count| if self.is_replay { 0 } else { count };
        line.revision = self.revision.map(Revision::get);
        line.replay = self.is_replay;
        line.affected_resources = Some(now(self.created + self.updated));
        line.affected_tags = Some(now(self.changed_tags));
        self.request_id
    }

    fn has_entry(&self) -> bool {
        self.entry().is_some()
    }
}

/// A request that was refused before it became a change: nobody who may call, a change that is wrong, or one too many.
#[derive(Debug)]
pub struct Refused<'a> {
    /// The RequestId of its answer.
    pub request_id: RequestId,
    /// The caller's own name of the request, if it has given one.
    pub client_request_id: Option<&'a ClientRequestId>,
    /// Who calls, where that is proved.
    pub caller: Option<&'a Caller>,
    /// The address that the request comes from.
    pub source_ip: IpAddr,
    /// Whether it came over TLS.
    pub secure_transport: bool,
    /// The account, where one is named.
    pub account: Option<&'a AccountId>,
    /// The action that is asked for, where that is known.
    pub action: Option<Action>,
    /// The code of its answer.
    pub code: &'a str,
}

/// The line of a refused request.
#[derive(Debug, Serialize)]
struct RefusedLine<'a> {
    time: String,
    target: &'static str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<&'a str>,
    source_ip: IpAddr,
    secure_transport: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    action: Option<&'static str>,
    decision: &'static str,
    outcome: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    left_out: u64,
}

impl Refused<'_> {
    /// The line, without its newline. `left_out` refused requests before it got none.
    pub(super) fn text(&self, left_out: u64) -> String {
        text(&RefusedLine {
            time: rfc3339(SystemTime::now()),
            target: TARGET,
            request_id: self.request_id.as_str(),
            client_request_id: self.client_request_id.map(ClientRequestId::as_str),
            caller: self.caller.map(Caller::as_str),
            source_ip: self.source_ip,
            secure_transport: self.secure_transport,
            account: self.account.map(AccountId::as_str),
            action: self.action.map(Action::as_str),
            decision: "refused",
            outcome: self.code,
            left_out,
        })
    }
}

/// The line of a log level that was changed, or not.
#[derive(Debug, Serialize)]
pub struct LogLevelLine<'a> {
    time: String,
    target: &'static str,
    source_ip: IpAddr,
    action: &'static str,
    from: &'a str,
    to: &'a str,
    outcome: &'static str,
}

impl<'a> LogLevelLine<'a> {
    /// The line of a change from one filter to another.
    pub fn new(source_ip: IpAddr, from: &'a str, to: &'a str, outcome: &'static str) -> Self {
        Self {
            time: rfc3339(SystemTime::now()),
            target: TARGET,
            source_ip,
            action: "untag:SetLogLevel",
            from,
            to,
            outcome,
        }
    }

    /// The line, without its newline.
    pub fn text(&self) -> String {
        text(self)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
fn is_false(flag: &bool) -> bool {
    !*flag
}

/// A time as lines have it.
pub fn rfc3339(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time).format(&Rfc3339);
    time.unwrap_or_default()
}

/// A line as JSON.
pub fn text(line: &impl Serialize) -> String {
    // Texts and numbers in a struct: it has a JSON form.
    serde_json::to_string(line).unwrap_or_default()
}

impl Line {
    /// The line of a change that was asked for and is not begun.
    pub fn new<'a>(
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
        let client_request_id = call.client_request_id.as_ref();
        Self {
            time: rfc3339(call.time),
            target: TARGET,
            request_id: call.request_id.to_string(),
            client_request_id: client_request_id.map(|id| id.as_str().to_owned()),
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
            revision: None,
            affected_resources: Some(0),
            affected_tags: Some(0),
            replay: false,
        }
    }

    /// Sets the outcome to unknown, since the change is being made from now on.
    pub fn begin(&mut self) {
        "Unknown".clone_into(&mut self.outcome);
        (self.affected_resources, self.affected_tags) = (None, None);
    }

    /// Sets the outcome from the result of the change.
    pub fn finish(&mut self, result: &Result<impl Audited, Error>) {
        let adopted = match result {
            Ok(answer) => {
                "OK".clone_into(&mut self.outcome);
                answer.tell(self)
            }
            Err(error) => {
                error.code().clone_into(&mut self.outcome);
                let none = (error.applied() == Applied::No).then_some(0);
                (self.affected_resources, self.affected_tags) = (none, none);
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
        text(self)
    }
}
