//! The descriptors of the methods of a port, and messages between JSON and protobuf by them.

use std::fmt::Write as _;

use prost::Message as _;
use prost_reflect::{
    DescriptorError, DescriptorPool, DynamicMessage, MessageDescriptor, MethodDescriptor,
};
use prost_types::Any;
use serde_json::Value;
use serde_path_to_error::{Path, Segment, Track};

use crate::domain::{Fault, FaultCode, shortened};
use crate::grpc::parse::quoted;

/// The longest path of a field in a message of an error, in bytes.
const LONGEST_PATH: usize = 128;
/// The beginning of the type of a detail; its message's name comes after it.
const TYPE_URL: &str = "type.googleapis.com/";

/// The descriptors of the services of a port, and of the details of errors.
#[derive(Debug, Clone)]
pub struct Schema {
    services: DescriptorPool,
    /// Apart, since both have files of protobuf's own, compiled by different compilers.
    details: DescriptorPool,
}

/// Why an answer can't be written in JSON: a fault of the service's own.
#[derive(Debug, thiserror::Error)]
pub enum Unwritable {
    /// The bytes are not the message.
    #[error("the answer can't be read back: {0}")]
    Decode(#[from] prost::DecodeError),
    /// The message has no JSON.
    #[error("the answer can't be written in JSON: {0}")]
    Json(#[from] serde_json::Error),
}

impl Schema {
    /// The schema of the services in these compiled sets of files.
    ///
    /// # Errors
    /// For bytes that are no set, or not a whole one.
    pub fn on(sets: &[&[u8]]) -> Result<Self, DescriptorError> {
        let mut services = DescriptorPool::new();
        for set in sets {
            services.decode_file_descriptor_set(*set)?;
        }
        let details = DescriptorPool::decode(tonic_types::pb::FILE_DESCRIPTOR_SET)?;
        Ok(Self { services, details })
    }

    /// The method that a path names.
    pub(super) fn method(&self, path: &str) -> Option<MethodDescriptor> {
        let (service, name) = path.strip_prefix('/')?.split_once('/')?;
        let service = self.services.get_service_by_name(service)?;
        service.methods().find(|method| method.name() == name)
    }

    /// The name of a detail's type, and its message in JSON where its type is known.
    pub(super) fn detail<'detail>(&self, detail: &'detail Any) -> (&'detail str, Option<Value>) {
        let name = detail.type_url.strip_prefix(TYPE_URL);
        let name = name.unwrap_or(&detail.type_url);
        let shown = self
            .details
            .get_message_by_name(name)
            .and_then(|descriptor| {
                let message = DynamicMessage::decode(descriptor, detail.value.as_slice());
                serde_json::to_value(message.ok()?).ok()
            });
        (name, shown)
    }
}

/// Encodes a message that came as JSON.
///
/// # Errors
/// A fault that says where the JSON is not the message. It repeats names of fields, and no value.
pub fn encoded(message: MessageDescriptor, json: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut text = serde_json::Deserializer::from_slice(json);
    let mut track = Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut text, &mut track);
    let read = DynamicMessage::deserialize(message, tracked);
    let path = track.path();
    let message = read.map_err(|error| fault(&error, &path))?;
    text.end().map_err(|error| fault(&error, &path))?;
    Ok(message.encode_to_vec())
}

/// Writes an encoded message as JSON.
///
/// # Errors
/// For bytes that are not the message.
pub fn written(message: MessageDescriptor, encoded: &[u8]) -> Result<Vec<u8>, Unwritable> {
    let message = DynamicMessage::decode(message, encoded)?;
    Ok(serde_json::to_vec(&message)?)
}

/// The fault of JSON that is not a message. The words of an error about data repeat what they are about, which may be the value of a
/// tag: they are passed on only where they are about a name.
fn fault(error: &serde_json::Error, path: &Path) -> Fault {
    let (line, column) = (error.line(), error.column());
    let words = error.to_string();
    let what = match words.split_once('\'') {
        _ if !error.is_data() => "the body is not JSON".to_owned(),
        Some(("unrecognized field name ", name)) => {
            let name = name.rsplit_once('\'').map_or(name, |(name, _)| name);
            format!("there is no field {}", quoted(name))
        }
        Some((of_oneof @ "multiple fields provided for oneof ", name)) => {
            let name = name.rsplit_once('\'').map_or(name, |(name, _)| name);
            format!("{of_oneof}{}; give one of them", quoted(name))
        }
        _ => "the value is not of the field's type".to_owned(),
    };
    Fault {
        code: FaultCode::MalformedRequest,
        field: shortened(place(path), LONGEST_PATH),
        description: format!("{what} (line {line}, column {column})"),
    }
}

/// The place of a value, such as `tags[0].key`; empty for the whole message, and for what is no JSON.
fn place(path: &Path) -> String {
    let mut place = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                let _ = write!(place, "[{index}]");
            }
            Segment::Map { key } => {
                let dot = if place.is_empty() { "" } else { "." };
                let _ = write!(place, "{dot}{}", key.escape_debug());
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::{DESCRIPTORS, proto};
    use proto::untag_resources_request::Resources;

    fn untag() -> MethodDescriptor {
        let schema = Schema::on(&[DESCRIPTORS]).unwrap();
        let method = schema.method("/ram.tag.v1.TagService/UntagResources");
        method.unwrap()
    }

    #[test]
    fn json_becomes_the_message_and_back() {
        let json = br#" {"resourceIds": {"values": ["7"]}, "tag_keys": ["env"], "expectedValues": {"env": "a"}, "all": null}"#;
        let bytes = encoded(untag().input(), json).unwrap();
        let message = proto::UntagResourcesRequest::decode(bytes.as_slice()).unwrap();
        assert_eq!(message.tag_keys, ["env"]);
        assert_eq!(message.expected_values["env"], "a");
        assert!(
            matches!(message.resources, Some(Resources::ResourceIds(ids)) if ids.values == ["7"])
        );
        let answer = proto::UntagResourcesResponse {
            request_id: "A".to_owned(),
            revision: Some(1 << 60),
            changed_tags: Some(0),
            ..Default::default()
        };
        let json = written(untag().output(), &answer.encode_to_vec()).unwrap();
        assert_eq!(
            String::from_utf8(json).unwrap(),
            r#"{"requestId":"A","revision":"1152921504606846976","changedTags":0}"#
        );
    }

    #[test]
    fn what_is_not_the_message_is_named_by_its_place_and_without_its_value() {
        for (json, field, what) in [
            ("", "", "the body is not JSON (line 1, column 0)"),
            ("{", "", "the body is not JSON (line 1, column 1)"),
            ("{} x", "", "the body is not JSON (line 1, column 4)"),
            ("[]", "", "the value is not of the field's type"),
            (r#""secret""#, "", "the value is not of the field's type"),
            (
                r#"{"tagKeys": "secret"}"#,
                "tagKeys",
                "the value is not of the field's type",
            ),
            (
                r#"{"tagKeys": ["a", {"secret": 1}]}"#,
                "tagKeys[1]",
                "the value is not",
            ),
            (
                r#"{"resourceIds": "secret"}"#,
                "resourceIds",
                "the value is not",
            ),
            (
                r#"{"all": "secret"}"#,
                "all",
                "the value is not of the field's type",
            ),
            (r#"{"tagkeys": ["a"]}"#, "", "there is no field \"tagkeys\""),
            (
                r#"{"resourceIds": {}, "resourcePrincipalNames": {}}"#,
                "",
                "multiple fields provided for oneof \"resources\"; give one of them",
            ),
        ] {
            let fault = encoded(untag().input(), json.as_bytes()).unwrap_err();
            assert_eq!(fault.field, field, "{json}: {fault:?}");
            assert!(fault.description.starts_with(what), "{json}: {fault:?}");
            assert!(!fault.description.contains("secret"), "{json}: {fault:?}");
        }
        let deep = format!("{}1{}", "[".repeat(20_000), "]".repeat(20_000));
        let json = format!(r#"{{"tagKeys": {deep}}}"#);
        encoded(untag().input(), json.as_bytes()).unwrap_err();
        let long = format!(r#"{{"{}": 1}}"#, "\u{7}".repeat(60_000));
        let fault = encoded(untag().input(), long.as_bytes()).unwrap_err();
        assert!(fault.field.len() <= LONGEST_PATH, "{fault:?}");
        assert!(!fault.description.contains('\u{7}') && fault.description.len() < 512);
    }
}
