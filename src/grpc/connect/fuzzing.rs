//! What the fuzz targets expect of messages between JSON and protobuf.

use std::sync::LazyLock;

use prost_reflect::{DescriptorPool, MessageDescriptor};
use serde_json::Value;

use super::schema::{encoded, written};
use crate::domain::Fault;
use crate::grpc::DESCRIPTORS;

/// What begins the values of the seeds that no fault may repeat.
const SECRET: &str = "secret";

static METHODS: LazyLock<Vec<[MessageDescriptor; 2]>> = LazyLock::new(|| {
    let pool = DescriptorPool::decode(DESCRIPTORS).expect("the contract is compiled in");
    let services = pool.services();
    let messages = services.flat_map(|service| {
        let methods = service.methods();
        let messages = methods.map(|method| [method.input(), method.output()]);
        messages.collect::<Vec<_>>()
    });
    messages.collect()
});

/// The message of a method, and the bytes behind its number: the first byte is the method, the second whether it is the request.
fn chosen(bytes: &[u8]) -> Option<(MessageDescriptor, &[u8])> {
    let ([method, which], rest) = bytes.split_first_chunk()?;
    let messages = &METHODS[usize::from(*method) % METHODS.len()];
    Some((messages[usize::from(*which) % 2].clone(), rest))
}

/// Checks that JSON is refused without its values, or is a message that comes back as the same JSON.
///
/// # Panics
/// Where that does not hold.
pub fn json(bytes: &[u8]) {
    let Some((message, json)) = chosen(bytes) else {
        return;
    };
    match encoded(message.clone(), json) {
        Ok(bytes) => comes_back(&message, &bytes),
        Err(fault) => check_fault(&fault, json),
    }
}

/// Checks that the bytes of a message that has JSON come back from it.
///
/// # Panics
/// Where that does not hold.
pub fn message(bytes: &[u8]) {
    if let Some((message, bytes)) = chosen(bytes)
        && written(message.clone(), bytes).is_ok()
    {
        comes_back(&message, bytes);
    }
}

/// Maps have no order, so that the JSON is compared.
fn comes_back(message: &MessageDescriptor, bytes: &[u8]) {
    let json = written(message.clone(), bytes).expect("the message has JSON");
    let again = encoded(message.clone(), &json);
    let again = again.unwrap_or_else(|fault| panic!("{fault:?}: {}", json.escape_ascii()));
    let again = written(message.clone(), &again).expect("it was encoded");
    let value = |json: &[u8]| serde_json::from_slice::<Value>(json).expect("it is JSON");
    assert_eq!(value(&again), value(&json));
}

fn check_fault(fault: &Fault, json: &[u8]) {
    assert!(fault.field.len() <= 128, "{fault:?}");
    assert!(!fault.description.is_empty() && fault.description.len() < 1024);
    assert!(!fault.description.contains('\n'), "{fault:?}");
    if let Ok(value) = serde_json::from_slice::<Value>(json)
        && !is_in_a_name(&value)
    {
        assert!(!fault.description.contains(SECRET), "{fault:?}");
        assert!(!fault.field.contains(SECRET), "{fault:?}");
    }
}

/// Whether the name of a member has the secret, which names need not keep.
fn is_in_a_name(value: &Value) -> bool {
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains(SECRET) || is_in_a_name(value)),
        Value::Array(values) => values.iter().any(is_in_a_name),
        _ => false,
    }
}
