//! The `next_token` of a list: where the next page starts, bound to the request that it belongs to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::{
    Continuation, DeletedUsers, ListQuery, NamePrefix, Position, ResourceId, TagCondition,
    TagFilter, TagKey, UserContinuation, UserListQuery,
};

/// The version, which is the first byte, of a token with a position: the resource id, and after
/// a NUL the tag key where there is one. Versions let the format change while old tokens are still about.
const POSITION: u8 = 1;
/// The version of a token with the cloud's own token.
const TOKEN: u8 = 2;

/// Writes a token: version, fingerprint of the query, and where the list goes on.
pub fn write(next: &Continuation, query: &ListQuery) -> String {
    let (version, text) = match next {
        Continuation::Behind(Position {
            resource_id,
            tag_key: Some(key),
        }) => (POSITION, format!("{resource_id}\0{key}")),
        Continuation::Behind(Position { resource_id, .. }) => (POSITION, resource_id.to_string()),
        Continuation::Token(token) => (TOKEN, token.clone()),
    };
    seal(version, &fingerprint(query), &text)
}

/// Writes the token of a list of users.
pub fn write_users(next: &UserContinuation, of: &Fingerprint) -> String {
    match next {
        UserContinuation::Behind(id) => write_user(id, of),
        UserContinuation::Token(token) => seal(TOKEN, of, token),
    }
}

/// Writes the token of a list of what users have, that goes on behind one of them.
pub fn write_user(next: &ResourceId, of: &Fingerprint) -> String {
    seal(POSITION, of, next.as_str())
}

/// Reads a token, or `None` where it is none or belongs to another query.
pub fn read(token: &str, query: &ListQuery) -> Option<Continuation> {
    let (version, text) = open(token, &fingerprint(query))?;
    match version {
        POSITION => read_position(&text).map(Continuation::Behind),
        TOKEN => Some(Continuation::Token(text)),
        _ => None,
    }
}

/// Reads a token of [`write_users`], or `None` where it is none or belongs to another query.
pub fn read_users(token: &str, of: &Fingerprint) -> Option<UserContinuation> {
    let (version, text) = open(token, of)?;
    match version {
        TOKEN => Some(UserContinuation::Token(text)),
        _ => read_user(token, of).map(UserContinuation::Behind),
    }
}

/// Reads a token of [`write_user`], or `None` where it is none or belongs to another query.
pub fn read_user(token: &str, of: &Fingerprint) -> Option<ResourceId> {
    let (version, text) = open(token, of)?;
    let id = (version == POSITION).then_some(text)?;
    ResourceId::parse(id).ok()
}

/// What the token of a list of users belongs to.
pub fn users_fingerprint(query: &UserListQuery) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.add("\0users");
    fingerprint.add(query.account.as_str());
    fingerprint.add(match query.deleted {
        DeletedUsers::Hide => "",
        DeletedUsers::Show => "deleted",
    });
    fingerprint.add(query.name_prefix.as_ref().map_or("", NamePrefix::as_str));
    match &query.tags {
        TagCondition::Any => {}
        TagCondition::Untagged => fingerprint.add("\0untagged"),
        TagCondition::Carries(filter) => fingerprint.add_filter(filter),
    }
    fingerprint
}

fn read_position(text: &str) -> Option<Position> {
    let (id, key) = match text.split_once('\0') {
        Some((id, key)) => (id, Some(TagKey::parse(key).ok()?)),
        None => (text, None),
    };
    Some(Position {
        resource_id: ResourceId::parse(id).ok()?,
        tag_key: key,
    })
}

fn fingerprint(query: &ListQuery) -> Fingerprint {
    let mut fingerprint = Fingerprint::default();
    fingerprint.add(query.account.as_str());
    if let Some(targets) = &query.targets {
        for position in 0..targets.count() {
            fingerprint.add(&targets.name_at(position).to_ascii_lowercase());
        }
    }
    if let Some(revision) = query.revision {
        fingerprint.add("\0revision");
        fingerprint.add(&revision.get().to_string());
    }
    for filter in &query.filters {
        fingerprint.add_filter(filter);
    }
    fingerprint
}

/// FNV-1a over what a query asks for, page size apart, which may change from page to page (AIP-158). The same in every replica and
/// version; it guards against mistakes, and the account in the query against everything else.
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// Adds a part of the query.
    pub fn add(&mut self, text: &str) {
        for byte in text.bytes().chain([0]) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn add_filter(&mut self, filter: &TagFilter) {
        self.add("\0tag");
        self.add(filter.key.as_str());
        if let Some(value) = &filter.value {
            self.add("\0value");
            self.add(value.as_str());
        }
    }
}

/// The token of a version with a text, for the query of a fingerprint.
pub fn seal(version: u8, of: &Fingerprint, text: &str) -> String {
    let mut bytes = vec![version];
    bytes.extend_from_slice(&of.0.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The version and the text of a token, or `None` where it is none or belongs to another query.
pub fn open(token: &str, of: &Fingerprint) -> Option<(u8, String)> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (found, rest) = rest.split_first_chunk::<8>()?;
    let text = std::str::from_utf8(rest).ok()?;
    (*found == of.0.to_be_bytes()).then(|| (*version, text.to_owned()))
}
