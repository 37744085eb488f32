//! The bodies of requests: JSON, or the protobuf that `kubectl create` sends for kinds that it knows.

use prost::Message;
use serde_json::{Value, json};

/// The first bytes of a protobuf body.
const MAGIC: &[u8] = b"k8s\0";

/// `k8s.io.apimachinery.pkg.runtime.Unknown`.
#[derive(Message)]
struct Envelope {
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

/// The beginning that the kinds have in common.
#[derive(Message)]
struct Object {
    #[prost(message, optional, tag = "1")]
    metadata: Option<Metadata>,
}

#[derive(Message)]
struct Metadata {
    #[prost(string, tag = "1")]
    name: String,
}

/// The object of a body; of protobuf no more than its name. Null for anything else.
pub fn parse(body: &[u8]) -> Value {
    let Some(envelope) = body.strip_prefix(MAGIC) else {
        return serde_json::from_slice(body).unwrap_or_default();
    };
    let envelope = Envelope::decode(envelope).unwrap();
    let object = Object::decode(&*envelope.raw).unwrap();
    json!({ "metadata": { "name": object.metadata.unwrap().name } })
}
