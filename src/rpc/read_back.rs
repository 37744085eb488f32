//! Checks that messages can be read back, of calls and in answers.

use prost::{DecodeError, Message};

use super::answer::{Format, unwritable};
use super::parameters::malformed;
use super::stop::Stop;

/// The message that a call has answered with; `None` where it can't be read back.
pub fn decoded<M: Message + Default>(message: &[u8]) -> Option<M> {
    let decoded = M::decode(message);
    // It is our own message.
    let report =
        |error: &DecodeError| tracing::error!(%error, "the answer to a call can't be read back");
    decoded.inspect_err(report).ok()
}

/// The part of a tag that could not be read back from an answer in this format.
pub fn lost_in_tag(format: Format, user: &str, key: &str, value: &str) -> Option<String> {
    lost(format, key, || format!("the key of a tag of user {user}")).or_else(|| {
        lost(format, value, || {
            format!("the value of the tag {key} of user {user}")
        })
    })
}

/// The first character of a text that could not be read back from an answer in this format, and where it stands.
pub fn lost(format: Format, text: &str, place: impl Fn() -> String) -> Option<String> {
    let character = unwritable(format, text)?;
    Some(format!("U+{:04X} in {}", u32::from(character), place()))
}

/// Refuses an answer of which this would be lost.
pub fn check_lost(lost: Option<String>) -> Result<(), Stop> {
    let Some(lost) = lost else { return Ok(()) };
    let problem = format!("the answer has {lost}, which XML has no form for; give Format=JSON");
    Err(Stop::fault(malformed("Format", &problem)))
}
