//! Real keys, made here, sign real tokens.

mod claims;
mod forgeries;
mod key_sets;
mod published_vectors;
mod remote;
mod secrecy;
mod server;
mod shape;
pub mod signer;
