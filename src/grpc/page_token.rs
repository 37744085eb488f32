//! The `next_token` of a list: where the next page starts, bound to the request that it belongs to.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::domain::{ListQuery, Position, ResourceId, TagKey};

/// The first byte, so that the format can change while old tokens are still about.
const VERSION: u8 = 1;

/// Writes a token: version, fingerprint of the query, resource id, and after a NUL the tag key where there is one.
pub fn write(position: &Position, query: &ListQuery) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&fingerprint(query));
    bytes.extend_from_slice(position.resource_id.as_str().as_bytes());
    if let Some(key) = &position.tag_key {
        bytes.push(0);
        bytes.extend_from_slice(key.as_str().as_bytes());
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a token, or `None` where it is none or belongs to another query.
pub fn read(token: &str, query: &ListQuery) -> Option<Position> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (version, rest) = bytes.split_first()?;
    let (found, rest) = rest.split_first_chunk::<8>()?;
    if *version != VERSION || *found != fingerprint(query) {
        return None;
    }
    let text = std::str::from_utf8(rest).ok()?;
    let (id, key) = match text.split_once('\0') {
        Some((id, key)) => (id, Some(TagKey::parse(key).ok()?)),
        None => (text, None),
    };
    Some(Position {
        resource_id: ResourceId::parse(id).ok()?,
        tag_key: key,
    })
}

/// FNV-1a over what the query asks for, page size apart, which may change from page to page (AIP-158). The same in
/// every replica and version; it guards against mistakes, and the account in the query against everything else.
fn fingerprint(query: &ListQuery) -> [u8; 8] {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut add = |text: &str| {
        for byte in text.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    };
    add(query.account.as_str());
    if let Some(targets) = &query.targets {
        for position in 0..targets.count() {
            add(&targets.name_at(position).to_ascii_lowercase());
        }
    }
    for filter in &query.filters {
        add("\0tag");
        add(filter.key.as_str());
        if let Some(value) = &filter.value {
            add("\0value");
            add(value.as_str());
        }
    }
    hash.to_be_bytes()
}
