//! Histories: what many clients saw of a store, checked against what could have happened in one order and against the change log. The
//! stores are the embedded one and PostgreSQL, behind one service or several, and over connections that break.

mod checker;
mod client;
mod cuts;
pub mod cutting_proxy;
pub mod log;
mod replicas;
mod retry;
pub mod store;
