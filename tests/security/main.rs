//! Security: TLS, certificates, tokens, policies and the audit, with the real binary and real clients.

#![allow(clippy::too_many_lines, reason = "a test may be a long table of cases")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../observability/http.rs"]
mod http;

#[path = "../support/mounts.rs"]
mod mounts;

#[path = "../black_box/slow_disk.rs"]
mod slow_disk;

mod authority;
mod harness;

mod audit;
mod audit_complete;
mod audit_default;
mod audit_failures;
mod audit_refusals;
mod certificates;
mod command_line;
mod examples;
mod expiry;
mod imports;
mod policies;
mod reload;
mod tls;
mod tokens;
mod watches;
