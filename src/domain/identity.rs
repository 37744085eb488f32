//! Identities: accounts, users, and the RequestId.

use thiserror::Error;
use uuid::{NoContext, Timestamp, Uuid};

use super::limits;

/// Why a text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be 1 to 32 decimal digits")]
pub struct InvalidId;

/// Why a text is not a principal name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "must be <user>@<domain> of letters, digits, '.', '-' and '_', at most 128 in all and 64 before the '@'"
)]
pub struct InvalidPrincipalName;

fn is_id(text: &str) -> bool {
    (1..=limits::ID_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The account that a resource belongs to: 1 to 32 decimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(Box<str>);

/// The id of a user: 1 to 32 decimal digits, compared as text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(Box<str>);

/// The login name of a user, `<user>@<domain>`, compared without regard to case and kept as given.
#[derive(Debug, Clone)]
pub struct PrincipalName(Box<str>);

impl AccountId {
    /// Takes 1 to 32 decimal digits.
    ///
    /// # Errors
    /// [`InvalidId`] for anything else.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        if is_id(text) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidId)
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ResourceId {
    /// Takes 1 to 32 decimal digits.
    ///
    /// # Errors
    /// [`InvalidId`] for anything else.
    pub fn parse(text: impl Into<Box<str>>) -> Result<Self, InvalidId> {
        let text = text.into();
        if is_id(&text) {
            Ok(Self(text))
        } else {
            Err(InvalidId)
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id with the digits of this number.
    #[must_use]
    pub fn of_number(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

impl PrincipalName {
    /// Takes `<user>@<domain>`.
    ///
    /// # Errors
    /// [`InvalidPrincipalName`] for anything else.
    pub fn parse(text: impl Into<Box<str>>) -> Result<Self, InvalidPrincipalName> {
        let text = text.into();
        let (user, domain) = text.split_once('@').ok_or(InvalidPrincipalName)?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        let valid = text.len() <= limits::PRINCIPAL_NAME
            && (1..=limits::PRINCIPAL_NAME_USER).contains(&user.len())
            && !domain.is_empty()
            && user.bytes().chain(domain.bytes()).all(allowed);
        if valid {
            Ok(Self(text))
        } else {
            Err(InvalidPrincipalName)
        }
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the `@`.
    #[must_use]
    pub fn user(&self) -> &str {
        self.0.split_once('@').map_or("", |(user, _)| user)
    }

    /// The name in lower case: equal for two names exactly when they name the same user.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl PartialEq for PrincipalName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for PrincipalName {}

/// The RequestId of one request, an upper-case UUID such as `6AC79B74-9A78-58E2-818B-1D38EDC64D67`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId([u8; uuid::fmt::Hyphenated::LENGTH]);

impl RequestId {
    /// Makes the RequestId of a request that has just come: a version 7 UUID (RFC 9562), which tells about when that was.
    #[must_use]
    pub fn now() -> Self {
        // Without the counter that is shared by all threads: the order of requests within a millisecond says nothing.
        let uuid = Uuid::new_v7(Timestamp::now(NoContext));
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        uuid.hyphenated().encode_upper(&mut text);
        Self(text)
    }

    /// Takes a UUID in its usual form, whatever its case: that of another service.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let uuid = Uuid::try_parse(text).ok()?;
        let mut canonical = [0; uuid::fmt::Hyphenated::LENGTH];
        let canonical_text = uuid.hyphenated().encode_upper(&mut canonical);
        canonical_text
            .eq_ignore_ascii_case(text)
            .then_some(Self(canonical))
    }

    /// The RequestId of a UUID.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        Uuid::from_bytes(bytes).hyphenated().encode_upper(&mut text);
        Self(text)
    }

    /// The bytes of its UUID.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        // The text is that of a UUID, by whatever way it was made.
        Uuid::try_parse_ascii(&self.0)
            .unwrap_or_default()
            .into_bytes()
    }

    /// When the RequestId was made, by the clock of its maker; only version 7 tells.
    #[must_use]
    pub fn time(&self) -> Option<super::Timestamp> {
        let uuid = Uuid::from_bytes(self.to_bytes());
        let unix = uuid
            .get_timestamp()
            .filter(|_| uuid.get_version_num() == 7)?;
        let (seconds, nanoseconds) = unix.to_unix();
        let millis = i64::try_from(seconds).ok()?.checked_mul(1_000)?;
        let millis = millis.checked_add(i64::from(nanoseconds / 1_000_000))?;
        Some(super::Timestamp::from_millis(millis))
    }

    /// The 36 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

display_as_str!(AccountId, ResourceId, PrincipalName, RequestId);

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn ids_are_one_to_thirty_two_digits() {
        for good in ["0", "20732900249392", &"9".repeat(32)] {
            assert_eq!(ResourceId::parse(good).unwrap().as_str(), good);
            assert_eq!(AccountId::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "12a", "-1", " 1", "１", &"9".repeat(33)] {
            assert_eq!(ResourceId::parse(bad), Err(InvalidId), "{bad}");
            assert_eq!(AccountId::parse(bad), Err(InvalidId), "{bad}");
        }
    }

    #[test]
    fn principal_names_have_a_user_and_a_domain() {
        let longest = format!("{}@{}", "u".repeat(64), "d".repeat(63));
        for good in ["a@b", "Alice.B_c-d@example.onaliyun.com", &longest] {
            assert_eq!(PrincipalName::parse(good).unwrap().as_str(), good);
        }
        let long_user = format!("{}@d", "u".repeat(65));
        for bad in [
            "",
            "alice",
            "@b",
            "a@",
            "a@b@c",
            "a b@c",
            "é@c",
            &long_user,
            &format!("{longest}d"),
        ] {
            assert_eq!(
                PrincipalName::parse(bad),
                Err(InvalidPrincipalName),
                "{bad}"
            );
        }
    }

    #[test]
    fn principal_names_compare_without_case_and_keep_it() {
        let given = PrincipalName::parse("Alice@Example.com").unwrap();
        assert_eq!(given, PrincipalName::parse("aLICE@eXAMPLE.COM").unwrap());
        assert_eq!(given.to_string(), "Alice@Example.com");
        assert_eq!(given.folded(), "alice@example.com");
    }

    #[test]
    fn a_request_id_is_an_upper_case_uuid_that_tells_when_it_was_made() {
        let milliseconds = || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH);
            u64::try_from(since.unwrap().as_millis()).unwrap()
        };
        let before = milliseconds();
        let id = RequestId::now();
        let after = milliseconds();
        let uuid = Uuid::try_parse(id.as_str()).unwrap();
        assert_eq!(uuid.get_version_num(), 7);
        assert_eq!(id.as_str(), uuid.to_string().to_uppercase());
        let (seconds, nanoseconds) = uuid.get_timestamp().unwrap().to_unix();
        let made = seconds * 1000 + u64::from(nanoseconds) / 1_000_000;
        assert!((before..=after).contains(&made), "{before} {made} {after}");
        let told = id.time().unwrap().millis();
        assert_eq!(u64::try_from(told).unwrap(), made);
        assert_ne!(RequestId::now(), RequestId::now());
        let text = "6ac79b74-9A78-58E2-818B-1D38EDC64D67";
        let parsed = RequestId::parse(text).unwrap();
        assert_eq!(parsed.as_str(), text.to_uppercase());
        assert_eq!(parsed.time(), None, "version 5");
        assert_eq!(RequestId::from_bytes(parsed.to_bytes()), parsed);
        assert_eq!(parsed.to_bytes()[..2], [0x6a, 0xc7]);
        for bad in [
            "",
            "6AC79B749A7858E2818B1D38EDC64D67",
            "{6AC79B74-9A78-58E2-818B-1D38EDC64D67}",
        ] {
            assert_eq!(RequestId::parse(bad), None, "{bad}");
        }
    }
}
