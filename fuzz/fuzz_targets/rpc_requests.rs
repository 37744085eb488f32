//! Any bytes as a request in the RPC style: without a signature it gives no order, and signed it is believed, once and as it is.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| untag::rpc::fuzzing::request(bytes));
