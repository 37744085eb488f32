//! Who may call: TLS, certificates, tokens, policies and the audit, with the real binary and real clients.

#[path = "../support/mod.rs"]
mod support;

#[path = "../observability/http.rs"]
mod http;

mod authority;
mod harness;

mod audit;
mod certificates;
mod expiry;
mod policies;
mod reload;
mod tls;
mod tokens;
