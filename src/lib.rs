//! `untag`: removes tags from Alibaba Cloud RAM users, atomically and durably, over gRPC.
//!
//! The layers and what each may know are in ARCHITECTURE.md.

pub mod auth;
mod bom;
pub mod cli;
mod current;
pub mod domain;
pub mod grpc;
mod https;
mod reload;
mod roots;
pub mod rpc;
pub mod server;
pub mod service;
pub mod signature;
pub mod store;
pub mod telemetry;
