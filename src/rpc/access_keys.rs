//! The file with the access keys of those who may call.

use std::collections::HashMap;

use serde::Deserialize;
use thiserror::Error;

use crate::bom::{OtherEncoding, without_bom};
use crate::domain::{AccountId, Caller};
use crate::json_object::Object;
use crate::signature::{Secret, is_word, key_problem};

/// The access keys, by their ids.
#[derive(Debug)]
pub struct AccessKeys(HashMap<String, AccessKey>);

/// One access key.
#[derive(Debug)]
pub struct AccessKey {
    /// The account that all requests with the key act on.
    pub account: AccountId,
    /// The caller whose key it is.
    pub caller: Caller,
    pub secret: Secret,
    /// The security token that a temporary key is shown with (STS).
    pub security_token: Option<Secret>,
}

/// Why a file of access keys can't be used. No value of the file is repeated: it may be a secret.
#[derive(Debug, Error)]
pub enum AccessKeyError {
    /// The file is in another encoding than UTF-8.
    #[error(transparent)]
    Encoding(#[from] OtherEncoding),
    /// The file is not the JSON that is wanted.
    #[error(
        "line {line}, column {column} is not as it should be: \
         {{\"access_keys\": [{{\"access_key_id\", \"access_key_secret\", \"account_id\", \"caller\"}}]}}, \
         and \"security_token\" for a temporary key"
    )]
    Format {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
    /// A key of the list can't be used.
    #[error("access key {position} of the list: {reason}")]
    Key {
        /// The position of the key in the list, from 1.
        position: usize,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    access_keys: Vec<Object<Entry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    access_key_id: String,
    access_key_secret: Secret,
    account_id: String,
    caller: String,
    security_token: Option<Secret>,
}

impl AccessKeys {
    /// Reads a file.
    ///
    /// # Errors
    /// [`AccessKeyError`] with the position of the fault.
    pub fn parse(contents: &[u8]) -> Result<Self, AccessKeyError> {
        let text = without_bom(contents)?;
        let Object::<File>(file) =
            serde_json::from_slice(text).map_err(|error| AccessKeyError::Format {
                line: error.line(),
                column: error.column(),
            })?;
        let mut keys = HashMap::new();
        for (index, Object(entry)) in file.access_keys.into_iter().enumerate() {
            let id = entry.access_key_id.clone();
            let key = entry.check().and_then(|key| match keys.insert(id, key) {
                None => Ok(()),
                Some(_) => Err("its access_key_id is there twice".to_owned()),
            });
            key.map_err(|reason| AccessKeyError::Key {
                position: index + 1,
                reason,
            })?;
        }
        Ok(Self(keys))
    }

    /// How many keys there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, id: &str) -> Option<&AccessKey> {
        self.0.get(id)
    }
}

impl Entry {
    fn check(self) -> Result<AccessKey, String> {
        let token = self.security_token.as_ref();
        if let Some((part, problem)) =
            key_problem(&self.access_key_id, &self.access_key_secret, token)
        {
            return Err(format!("its {} {problem}", part.name()));
        }
        if !is_word(&self.caller) {
            return Err("its caller is no word of ASCII characters".to_owned());
        }
        let account = AccountId::parse(&self.account_id);
        Ok(AccessKey {
            account: account.map_err(|_| "its account_id is not 1 to 32 digits".to_owned())?,
            caller: Caller::access_key(&self.caller),
            secret: self.access_key_secret,
            security_token: self.security_token,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(more: &str) -> String {
        format!(
            r#"{{"access_keys":[{{"access_key_id":"id","access_key_secret":"hidden","account_id":"7","caller":"cleaner"{more}}}]}}"#
        )
    }

    #[test]
    fn a_key_has_a_secret_that_never_shows() {
        let keys =
            AccessKeys::parse(entry(r#","security_token":"hidden-too""#).as_bytes()).unwrap();
        let key = keys.get("id").unwrap();
        assert_eq!(key.caller.as_str(), "key:cleaner");
        assert_eq!(key.account.as_str(), "7");
        assert_eq!(key.secret.reveal(), "hidden");
        assert!(!format!("{keys:?}").contains("hidden"));
        assert!(keys.get("other").is_none());
    }

    #[test]
    fn a_file_that_is_wrong_is_refused_with_its_position_and_no_value() {
        let good = entry("");
        let twice = good.replace("]}", &format!(",{}", &good[16..]));
        let bad = [
            "",
            "[]",
            "{}",
            r#"{"access_keys":["hidden"]}"#,
            r#"{"access_keys":[["id","hidden","7","cleaner",null]]}"#,
            r#"[[{"access_key_id":"id","access_key_secret":"hidden","account_id":"7","caller":"cleaner"}]]"#,
            &entry(r#","hidden":1"#),
            &good.replace(r#""id""#, r#""""#),
            &good.replace(r#""id""#, r#""a,b""#),
            &good.replace("hidden", ""),
            &good.replace(r#""7""#, r#""seven""#),
            &good.replace("cleaner", "the cleaner"),
            &entry(r#","security_token":"""#),
            &twice,
        ];
        for text in bad {
            let error = AccessKeys::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(!error.contains("hidden"), "{error}");
        }
        assert!(AccessKeys::parse(good.as_bytes()).is_ok());
    }

    #[test]
    fn a_file_may_begin_with_the_byte_order_mark_of_utf_8_alone() {
        let marked = format!("\u{feff}{}", entry(""));
        assert_eq!(AccessKeys::parse(marked.as_bytes()).unwrap().count(), 1);
        let error = AccessKeys::parse(b"\xff\xfe{\0").unwrap_err().to_string();
        assert!(error.contains("(BOM) of UTF-16"), "{error}");
    }
}
