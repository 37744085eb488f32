//! Security: TLS, certificates, tokens, policies and the audit, with the real binary and real clients.

pub mod harness;

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
