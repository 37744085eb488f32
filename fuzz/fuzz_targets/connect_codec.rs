//! Any bytes as a message of a method, in JSON and in protobuf: what is taken comes back the same, and a fault repeats no value. The first
//! byte says which of both.

#![no_main]

use libfuzzer_sys::fuzz_target;
use untag::grpc::fuzzing::{connect_json, connect_message};

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((b'j', rest)) => connect_json(rest),
        Some((b'p', rest)) => connect_message(rest),
        _ => {}
    }
});
