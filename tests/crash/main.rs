//! What is answered is kept, and what is not answered is whole or absent, wherever the process dies.

#[path = "../support/mod.rs"]
mod support;

mod kill;
mod load;
mod model;
mod strace;
mod sync_order;
