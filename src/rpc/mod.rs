//! The cloud API's own protocol, RPC style over HTTP/1.1: programs that were written for Alibaba Cloud can be pointed
//! here. It checks who has signed, turns the parameters into a message of the contract, has it carried out as any other
//! call, with the same policies, limits, audit and metrics, and answers in the cloud's words.

mod access_keys;
mod answer;
mod authentication;
mod body;
mod call;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod gateway;
mod message;
mod names;
mod nonces;
mod order;
mod parameters;
mod read_back;
mod reply;
mod request;
mod stop;
mod task;
mod users;

pub use access_keys::{AccessKeyError, AccessKeys};
pub use gateway::Gateway;
