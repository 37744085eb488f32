//! Secret texts, and the parts of access keys.

use std::fmt;

use serde::Deserialize;

/// A secret text, which `Debug` does not show.
#[derive(Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Makes a text secret.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// A part of an access key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyPart {
    /// The id of the key.
    Id,
    /// The secret that the key signs with.
    Secret,
    /// The security token that a temporary key is shown with.
    Token,
}

impl KeyPart {
    /// The name of the part in a file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "access_key_id",
            Self::Secret => "access_key_secret",
            Self::Token => "security_token",
        }
    }
}

/// Whether a text can stand in a header, and has no space.
#[must_use]
pub fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The first part of a key that can't be sent in a request, and why.
#[must_use]
pub fn key_problem(
    id: &str,
    secret: &Secret,
    token: Option<&Secret>,
) -> Option<(KeyPart, &'static str)> {
    // `,` and `=` would end the id in the header that shows it.
    if !is_word(id) || id.contains([',', '=']) {
        return Some((KeyPart::Id, "is no word of ASCII letters and digits"));
    }
    if secret.reveal().is_empty() {
        return Some((KeyPart::Secret, "is empty"));
    }
    let is_bad = token.is_some_and(|token| !is_word(token.reveal()));
    is_bad.then_some((KeyPart::Token, "is no word of ASCII characters"))
}
