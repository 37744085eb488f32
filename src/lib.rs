//! `untag`: removes tags from Alibaba Cloud RAM users, atomically and durably, over gRPC.
//!
//! The layers and what each may know are in ARCHITECTURE.md.

#![cfg_attr(
    test,
    allow(clippy::too_many_lines, reason = "a test may be a long table of cases")
)]

pub mod auth;
mod bom;
pub mod cli;
mod client;
mod current;
mod directory;
pub mod domain;
pub mod grpc;
mod https;
mod json_object;
mod reload;
mod roots;
pub mod rpc;
pub mod server;
pub mod service;
pub mod signature;
pub mod store;
mod sync;
pub mod telemetry;
