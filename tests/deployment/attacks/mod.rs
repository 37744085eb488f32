//! A hostile network: while an attack goes on, a well-behaved client on another connection is answered, the memory stays
//! bounded and the process lives. And the limits, one by one.
//!
//! Attacks write their own HTTP/2 frames. `cargo test --test deployment attacks:: -- --nocapture` prints what each came to;
//! `UNTAG_ATTACK_SECONDS` makes them longer.

mod cgroup;
mod plain_http;
mod target;

mod connections;
mod floods;
mod http1;
mod imports;
mod limited;
mod limits;
mod memory;
mod rpc;
mod slots;
mod slowness;
