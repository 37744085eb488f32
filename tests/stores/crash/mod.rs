//! Crashes: an answered change is kept, and one that was not answered is whole or absent, wherever the process dies.

mod kill;
pub mod load;
mod model;
mod population;
mod power_loss;
mod strace;
mod users;
