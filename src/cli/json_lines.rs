//! Users as JSON Lines, which `import` reads and `export` writes.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead, Write};

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::bom::without_bom;
use crate::domain::{
    AccountId, PrincipalName, RESOURCE_TYPE_USER, Resource, ResourceId, TagKey, TagValue,
};
use crate::json_object::Object;
use crate::store::BulkLine;

/// The longest line, in bytes: a user with 20 tags has at most a third of it.
const MAX_LINE_BYTES: u64 = 64 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    account_id: String,
    #[serde(default = "user")]
    resource_type: String,
    resource_id: String,
    principal_name: String,
    #[serde(deserialize_with = "distinct_keys")]
    tags: BTreeMap<String, String>,
}

fn user() -> String {
    RESOURCE_TYPE_USER.to_owned()
}

/// Refuses a key that stands twice, of which a map would silently keep the last.
fn distinct_keys<'de, D: Deserializer<'de>>(
    input: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    struct Tags;
    impl<'de> Visitor<'de> for Tags {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object of tag keys and values")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
            let mut tags = BTreeMap::new();
            while let Some((key, value)) = entries.next_entry::<String, String>()? {
                if tags.contains_key(&key) {
                    return Err(A::Error::custom(format!(
                        "the tag key {key:?} stands twice"
                    )));
                }
                tags.insert(key, value);
            }
            Ok(tags)
        }
    }
    input.deserialize_map(Tags)
}

/// A line that can't be imported.
#[derive(Debug, Error)]
pub enum LineError {
    /// The line is no user.
    #[error("line {number}: {what}")]
    Invalid {
        /// The number of the line, from 1.
        number: u64,
        /// What is wrong with it.
        what: String,
    },
    /// The file can't be read.
    #[error("cannot read after line {number}: {source}")]
    Read {
        /// The last line that could be read.
        number: u64,
        /// What the system says.
        source: io::Error,
    },
}

/// Reads users, one a line; empty lines are passed over.
pub fn read(mut input: impl BufRead) -> impl Iterator<Item = Result<BulkLine, LineError>> {
    let mut number = 0;
    let mut line = Vec::new();
    std::iter::from_fn(move || {
        loop {
            line.clear();
            let mut limited = io::Read::take(&mut input, MAX_LINE_BYTES);
            match limited.read_until(b'\n', &mut line) {
                Ok(0) => return None,
                Ok(_) => number += 1,
                Err(source) => return Some(Err(LineError::Read { number, source })),
            }
            let is_cut = line.len() as u64 == MAX_LINE_BYTES && !line.ends_with(b"\n");
            // Files that are put together each have their own mark.
            let parsed = match without_bom(&line) {
                Err(error) => Err(error.to_string()),
                Ok(_) if is_cut => Err(format!("longer than {MAX_LINE_BYTES} bytes")),
                Ok(line) if line.trim_ascii().is_empty() => continue,
                Ok(line) => parse(line),
            };
            return Some(match parsed {
                Ok(user) => Ok(BulkLine { number, user }),
                Err(what) => Err(LineError::Invalid { number, what }),
            });
        }
    })
}

fn parse(line: &[u8]) -> Result<Resource, String> {
    let Object(Line {
        account_id,
        resource_type,
        resource_id,
        principal_name,
        tags,
    }) = serde_json::from_slice(line).map_err(|error| format!("not a user as JSON: {error}"))?;
    if resource_type != RESOURCE_TYPE_USER {
        return Err(format!("resource_type {resource_type:?} must be \"user\""));
    }
    let account = AccountId::parse(&account_id)
        .map_err(|error| format!("account_id {account_id:?} {error}"))?;
    let id = ResourceId::parse(resource_id.as_str())
        .map_err(|error| format!("resource_id {resource_id:?} {error}"))?;
    let name = PrincipalName::parse(principal_name.as_str())
        .map_err(|error| format!("principal_name {principal_name:?} {error}"))?;
    let tag = |(key, value): (String, String)| {
        let parsed =
            TagKey::parse(key.as_str()).map_err(|error| format!("tag key {key:?} {error}"))?;
        let value = TagValue::parse(value)
            .map_err(|error| format!("the value of tag key {key:?} {error}"))?;
        Ok((parsed, value))
    };
    let tags = tags
        .into_iter()
        .map(tag)
        .collect::<Result<BTreeMap<_, _>, String>>()?;
    Resource::new(account, id, name, tags).map_err(|error| error.to_string())
}

/// Writes one user and a line feed.
pub fn write(mut output: impl Write, resource: &Resource) -> io::Result<()> {
    let line = Line {
        account_id: resource.account.to_string(),
        resource_type: user(),
        resource_id: resource.id.to_string(),
        principal_name: resource.principal_name.to_string(),
        tags: resource
            .tags()
            .iter()
            .map(|(key, value)| (key.to_string(), value.as_str().to_owned()))
            .collect(),
    };
    serde_json::to_writer(&mut output, &line)?;
    output.write_all(b"\n")
}
