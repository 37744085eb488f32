//! Any bytes as what lies on the disk: they are corrupt, or what is written of what was read is the same. The first byte says what they are.

#![no_main]

use libfuzzer_sys::fuzz_target;
use untag::store::sqlite::fuzzing;

fuzz_target!(|bytes: &[u8]| {
    match bytes.split_first() {
        Some((b't', rest)) => fuzzing::tags_column(rest),
        Some((b'l', rest)) => fuzzing::log_entries(rest),
        Some((b'u', rest)) => fuzzing::remembered_users(rest),
        _ => {}
    }
});
