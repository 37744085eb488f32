//! The rules of the contract, written a second time and as plainly as they read, so that the parser can be held
//! against them.

use std::collections::HashSet;

pub fn is_id(text: &str) -> bool {
    (1..=32).contains(&text.chars().count()) && text.chars().all(|c| c.is_ascii_digit())
}

pub fn is_principal_name(text: &str) -> bool {
    let parts: Vec<&str> = text.split('@').collect();
    let [user, domain] = parts[..] else {
        return false;
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
    text.chars().count() <= 128
        && (1..=64).contains(&user.chars().count())
        && !domain.is_empty()
        && user.chars().all(allowed)
        && domain.chars().all(allowed)
}

pub fn is_tag_key(text: &str) -> bool {
    let reserved = ["aliyun", "acs:"];
    !text.is_empty() && is_tag_value(text) && !reserved.iter().any(|word| text.starts_with(word))
}

pub fn is_tag_value(text: &str) -> bool {
    let forbidden = ["http://", "https://", "\0"];
    text.chars().count() <= 128 && !forbidden.iter().any(|word| text.contains(word))
}

pub fn is_resource_type(text: &str) -> bool {
    text.is_empty() || text == "user"
}

/// Whether no text stands twice.
pub fn are_distinct<'text>(texts: impl IntoIterator<Item = &'text str>) -> bool {
    let mut seen = HashSet::new();
    texts.into_iter().all(|text| seen.insert(text))
}

/// The texts without those that stood before, compared by `key`, in the order given.
pub fn each_once(texts: &[String], key: impl Fn(&str) -> String) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut kept = texts.to_vec();
    kept.retain(|text| seen.insert(key(text)));
    kept
}

/// 0 to 64 printable characters of ASCII; none is no token.
pub fn is_client_token(text: &str) -> bool {
    text.len() <= 64 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}
