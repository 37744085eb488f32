//! The client of a running service, for the subcommands that call one.

mod address;
mod call;
mod changes;
mod connection;
mod counts;
mod error;
mod imports;
mod outcome;
mod tags;
mod users;

pub use address::ServerAddress;
pub use changes::{
    Change, Conflict, Effect, EffectKind, Revert, Reverted, SetTag, Values, Watch, WatchEvent,
    get_change, list_changes, revert_change, watch,
};
pub use connection::{Connection, OpenError, Settings};
pub use counts::{Counts, count_keys, count_values};
pub use error::CallError;
pub use imports::{
    ChunkAnswer, ChunkSender, ImportSettings, ImportStream, Line, RefusedLine, import,
};
pub use outcome::Outcome;
pub use tags::{Answer, Mode, Removal, UserTag, list, tag, untag};
pub use users::{
    ChangedUser, Draft, User, UserSelection, create_user, delete_user, get_user, list_users,
    undelete_user, update_user,
};
