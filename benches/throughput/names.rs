//! The names of the users and of their tags.

/// The account of all users.
pub const ACCOUNT: &str = "1000000000000001";
/// How many tags each user has, which is as many as a user may have.
pub const KEYS: usize = 20;

/// The id of a user by its number: 16 digits, as real ones have.
pub fn id(user: u32) -> String {
    (2_000_000_000_000_000 + u64::from(user)).to_string()
}

/// The principal name of a user by its number.
pub fn principal_name(user: u32) -> String {
    format!("user-{user:08}@benchmark.onaliyun.com")
}

/// A tag key by its number, in order.
pub fn key(number: usize) -> String {
    format!("k{number:02}")
}

/// The value of a tag by the number of its key.
pub fn value(number: usize) -> String {
    format!("value of {}", key(number))
}
