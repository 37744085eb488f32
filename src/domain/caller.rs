//! Callers, their calls and the actions that they ask for.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

use thiserror::Error;

use super::RequestId;

/// A caller, by a name that says how it was proved. Policies and the audit log use this name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller(Arc<str>);

/// The name of whoever has proved nothing. All others have a colon.
const ANONYMOUS: &str = "anonymous";

impl Caller {
    /// Somebody who proved nothing: `anonymous`.
    #[must_use]
    pub fn anonymous() -> Self {
        Self(ANONYMOUS.into())
    }

    /// Whether this is somebody who proved nothing.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        &*self.0 == ANONYMOUS
    }

    /// The holder of a certificate with this SPIFFE ID, such as `spiffe://example.org/ns/billing/sa/cleaner`.
    #[must_use]
    pub fn spiffe(id: &str) -> Self {
        Self(id.into())
    }

    /// The holder of a certificate for this DNS name: `dns:cleaner.example.org`, in lower case.
    #[must_use]
    pub fn dns(name: &str) -> Self {
        Self(format!("dns:{}", name.to_ascii_lowercase()).into())
    }

    /// The subject of a bearer token: `jwt:system:serviceaccount:billing:cleaner`.
    #[must_use]
    pub fn token_subject(subject: &str) -> Self {
        Self(format!("jwt:{subject}").into())
    }

    /// The holder of the access key that has signed a request: `key:cleaner`.
    #[must_use]
    pub fn access_key(name: &str) -> Self {
        Self(format!("key:{name}").into())
    }

    /// The caller with a name that [`Self::as_str`] has given: one that was recorded.
    #[must_use]
    pub fn recorded(name: &str) -> Self {
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A request as policies and the audit log know it: who calls, from where and when.
#[derive(Debug, Clone)]
pub struct Call {
    /// The RequestId of the request.
    pub request_id: RequestId,
    /// Who calls.
    pub caller: Caller,
    /// The address that the request comes from. With a proxy in between it is the proxy's.
    pub source_ip: IpAddr,
    /// Whether it came over TLS.
    pub secure_transport: bool,
    /// When it came.
    pub time: SystemTime,
    /// The caller's own name of the request, if it has given one.
    pub client_request_id: Option<ClientRequestId>,
}

/// The name that a caller has given its request: 1 to 64 printable characters of ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRequestId(Arc<str>);

/// The most characters of a name that a caller gives.
const LONGEST_NAME: usize = 64;

/// Whether a text may be a name that a caller gives: 1 to 64 printable characters of ASCII.
pub(super) fn is_name(text: &[u8]) -> bool {
    let is_printable = |byte: &u8| (b' '..=b'~').contains(byte);
    (1..=LONGEST_NAME).contains(&text.len()) && text.iter().all(is_printable)
}

impl ClientRequestId {
    /// Reads a name; there is none in a text that is too long, empty, or not printable.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        is_name(text.as_bytes()).then(|| Self(text.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An action that a request asks for, as RAM policies name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `ram:UntagResources`
    UntagResources,
    /// `ram:TagResources`
    TagResources,
    /// `ram:ListTagResources`
    ListTagResources,
    /// `ram:ListTagKeys`
    ListTagKeys,
    /// `ram:ListTagValues`
    ListTagValues,
    /// `ram:CreateUser`
    CreateUser,
    /// `ram:GetUser`
    GetUser,
    /// `ram:ListUsers`
    ListUsers,
    /// `ram:UpdateUser`
    UpdateUser,
    /// `ram:DeleteUser`
    DeleteUser,
    /// `ram:UndeleteUser`
    UndeleteUser,
    /// `untag:ImportUsers`
    ImportUsers,
    /// `untag:GetChange`
    GetChange,
    /// `untag:ListChanges`
    ListChanges,
    /// `untag:RevertChange`
    RevertChange,
    /// `untag:WatchChanges`
    WatchChanges,
}

/// Why a text does not name an action that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "is no action that changes something; give one of {}",
    change_actions()
)]
pub struct InvalidChangeAction;

fn change_actions() -> String {
    let changing = Action::ALL.into_iter().filter(|action| action.changes());
    changing.map(Action::as_str).collect::<Vec<_>>().join(", ")
}

impl Action {
    /// All actions.
    pub const ALL: [Self; 16] = [
        Self::UntagResources,
        Self::TagResources,
        Self::ListTagResources,
        Self::ListTagKeys,
        Self::ListTagValues,
        Self::CreateUser,
        Self::GetUser,
        Self::ListUsers,
        Self::UpdateUser,
        Self::DeleteUser,
        Self::UndeleteUser,
        Self::ImportUsers,
        Self::GetChange,
        Self::ListChanges,
        Self::RevertChange,
        Self::WatchChanges,
    ];

    /// The name in a policy.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UntagResources => "ram:UntagResources",
            Self::TagResources => "ram:TagResources",
            Self::ListTagResources => "ram:ListTagResources",
            Self::ListTagKeys => "ram:ListTagKeys",
            Self::ListTagValues => "ram:ListTagValues",
            Self::CreateUser => "ram:CreateUser",
            Self::GetUser => "ram:GetUser",
            Self::ListUsers => "ram:ListUsers",
            Self::UpdateUser => "ram:UpdateUser",
            Self::DeleteUser => "ram:DeleteUser",
            Self::UndeleteUser => "ram:UndeleteUser",
            Self::ImportUsers => "untag:ImportUsers",
            Self::GetChange => "untag:GetChange",
            Self::ListChanges => "untag:ListChanges",
            Self::RevertChange => "untag:RevertChange",
            Self::WatchChanges => "untag:WatchChanges",
        }
    }

    /// The action with a name in a policy.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == name)
    }

    /// The action that changes something and has this name in policies, or that of its method.
    ///
    /// # Errors
    /// The names that there are.
    pub fn of_change(name: &str) -> Result<Self, InvalidChangeAction> {
        let is_named = |action: &Self| action.as_str() == name || action.operation() == name;
        let mut changing = Self::ALL.into_iter().filter(|action| action.changes());
        changing.find(is_named).ok_or(InvalidChangeAction)
    }

    /// Whether the action changes something.
    #[must_use]
    pub fn changes(self) -> bool {
        match self {
            Self::UntagResources
            | Self::TagResources
            | Self::CreateUser
            | Self::UpdateUser
            | Self::DeleteUser
            | Self::UndeleteUser
            | Self::ImportUsers
            | Self::RevertChange => true,
            Self::ListTagResources
            | Self::ListTagKeys
            | Self::ListTagValues
            | Self::GetUser
            | Self::ListUsers
            | Self::GetChange
            | Self::ListChanges
            | Self::WatchChanges => false,
        }
    }

    /// The name of the operation, without the service's: `UntagResources`.
    #[must_use]
    pub fn operation(self) -> &'static str {
        let name = self.as_str();
        name.split_once(':')
            .map_or(name, |(_, operation)| operation)
    }
}

display_as_str!(Caller, Action);

#[cfg(test)]
mod tests {
    use super::ClientRequestId;

    #[test]
    fn the_name_of_a_request_is_1_to_64_printable_characters() {
        let longest = "x".repeat(64);
        for good in ["a", "order 7/retry=1", "~", &longest] {
            let id = ClientRequestId::parse(good.as_bytes()).unwrap();
            assert_eq!(id.as_str(), good);
        }
        let too_long = "x".repeat(65);
        for bad in ["", "a\nb", "\u{7f}", "é", "a\tb", &too_long] {
            assert_eq!(ClientRequestId::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
