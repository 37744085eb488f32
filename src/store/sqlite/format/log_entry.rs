//! How the entries of a commit lie in a row of the table `change_log`: as a message of protobuf, with what they share in it once.
//!
//! An untag of one key takes about 31 bytes, of which 16 are the RequestId. Where a user has lost tags that still lie in its row, its
//! effect has the number of the row and their positions there, and no value.

use std::net::IpAddr;

use prost::Message;

use super::log_effect::LoggedEffect;
use crate::domain::{
    Action, Caller, ClientRequestId, ClientToken, Origin, RequestId, Revision, Timestamp,
};
use crate::store::sqlite::error::CorruptLog;

/// The entries of one commit, in the order in which its changes were made.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct LoggedCommit {
    #[prost(message, repeated, tag = "1")]
    pub accounts: Vec<LoggedAccount>,
    #[prost(message, repeated, tag = "2")]
    origins: Vec<LoggedOrigin>,
    #[prost(message, repeated, tag = "3")]
    entries: Vec<LoggedEntry>,
}

/// The accounts of a commit, without its entries: the same bytes, of which the rest is passed over.
#[derive(Clone, PartialEq, Message)]
pub struct LoggedAccounts {
    #[prost(message, repeated, tag = "1")]
    pub accounts: Vec<LoggedAccount>,
}

/// An account that a commit has changed, with the revision of its first entry there and how many it has.
#[derive(Clone, PartialEq, Message)]
pub struct LoggedAccount {
    #[prost(string, tag = "1")]
    pub id: String,
    #[prost(uint64, tag = "2")]
    pub first: u64,
    #[prost(uint64, tag = "3")]
    pub count: u64,
}

impl LoggedAccount {
    /// The revision of its last entry in the commit.
    pub fn last(&self) -> u64 {
        self.first.saturating_add(self.count.saturating_sub(1))
    }
}

/// What entries have in common: whose account, by its position in the commit, and who has asked for what from where.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
struct LoggedOrigin {
    #[prost(uint32, tag = "1")]
    account: u32,
    #[prost(string, tag = "2")]
    caller: String,
    /// The 4 or 16 bytes of the address.
    #[prost(bytes = "vec", tag = "3")]
    source_ip: Vec<u8>,
    #[prost(string, tag = "4")]
    action: String,
    #[prost(bool, tag = "5")]
    secure_transport: bool,
}

/// An entry: one change.
#[derive(Clone, PartialEq, Message)]
#[prost(skip_debug)]
pub struct LoggedEntry {
    /// The halves of the RequestId.
    #[prost(fixed64, tag = "1")]
    request_high: u64,
    #[prost(fixed64, tag = "2")]
    pub request_low: u64,
    /// Milliseconds from the time of the commit.
    #[prost(sint64, tag = "3")]
    time: i64,
    #[prost(uint32, tag = "4")]
    origin: u32,
    #[prost(string, optional, tag = "5")]
    client_token: Option<String>,
    #[prost(message, repeated, tag = "6")]
    pub effects: Vec<LoggedEffect>,
    #[prost(string, optional, tag = "7")]
    client_request_id: Option<String>,
}

/// An entry with what it shares with others of its commit.
pub struct FoundEntry<'commit> {
    pub account: &'commit str,
    pub revision: Revision,
    pub entry: &'commit LoggedEntry,
    origin: &'commit LoggedOrigin,
}

impl LoggedCommit {
    /// How many of the last origins are looked through for one that an entry shares.
    const SHARED_ORIGINS: usize = 16;

    /// Adds the entry of a change to the account at this position, in a commit of this time.
    pub fn add(
        &mut self,
        account: usize,
        origin: &Origin,
        commit_time: Timestamp,
        effects: Vec<LoggedEffect>,
    ) {
        self.accounts[account].count += 1;
        let (request_high, request_low) = halves(origin.request_id);
        let token = origin.repeat.as_ref().map(|repeat| &repeat.token);
        let named = origin.client_request_id.as_ref();
        let entry = LoggedEntry {
            request_high,
            request_low,
            time: origin.time.millis().wrapping_sub(commit_time.millis()),
            origin: self.share(account, origin),
            client_token: token.map(|token| token.as_str().to_owned()),
            effects,
            client_request_id: named.map(|id| id.as_str().to_owned()),
        };
        self.entries.push(entry);
    }

    /// The position of an origin, which is added where it is not among the last ones.
    fn share(&mut self, account: usize, origin: &Origin) -> u32 {
        let account = position(account);
        let is_same = |other: &LoggedOrigin| {
            other.account == account
                && other.caller == origin.caller.as_str()
                && other.action == origin.action.as_str()
                && other.secure_transport == origin.secure_transport
                && is_address(&other.source_ip, origin.source_ip)
        };
        let from = self.origins.len().saturating_sub(Self::SHARED_ORIGINS);
        let shared = self.origins[from..].iter().rposition(is_same);
        position(shared.map_or_else(
            || {
                self.origins.push(LoggedOrigin {
                    account,
                    caller: origin.caller.as_str().to_owned(),
                    source_ip: match origin.source_ip {
                        IpAddr::V4(address) => address.octets().to_vec(),
                        IpAddr::V6(address) => address.octets().to_vec(),
                    },
                    action: origin.action.as_str().to_owned(),
                    secure_transport: origin.secure_transport,
                });
                self.origins.len() - 1
            },
            |shared| from + shared,
        ))
    }

    /// Its entries as they are, in their order.
    pub fn entries(&self) -> &[LoggedEntry] {
        &self.entries
    }

    /// Its entries, each with its revision, in their order.
    pub fn each(&self) -> impl Iterator<Item = Result<FoundEntry<'_>, CorruptLog>> {
        let mut next: Vec<u64> = self.accounts.iter().map(|account| account.first).collect();
        self.entries.iter().map(move |entry| {
            let origin = self.origins.get(index(entry.origin)).ok_or(CorruptLog)?;
            let account = index(origin.account);
            let next = next.get_mut(account).ok_or(CorruptLog)?;
            let revision = Revision::new(*next).ok_or(CorruptLog)?;
            *next = next.checked_add(1).ok_or(CorruptLog)?;
            Ok(FoundEntry {
                account: &self.accounts[account].id,
                revision,
                entry,
                origin,
            })
        })
    }
}

/// A position in a table of a commit, which has far fewer than 2^32 entries.
fn position(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

fn index(position: u32) -> usize {
    usize::try_from(position).unwrap_or(usize::MAX)
}

/// The halves of a RequestId: the higher one, which begins with a time where the id is of version 7, and the lower one, which is
/// random.
pub fn halves(request_id: RequestId) -> (u64, u64) {
    let bytes = request_id.to_bytes();
    let (halves, _) = bytes.as_chunks();
    (u64::from_be_bytes(halves[0]), u64::from_be_bytes(halves[1]))
}

/// The first 48 bits of a RequestId, by its higher half.
pub fn stamp(request_high: u64) -> i64 {
    (request_high >> 16).cast_signed()
}

fn is_address(octets: &[u8], address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => octets == address.octets(),
        IpAddr::V6(address) => octets == address.octets(),
    }
}

impl LoggedEntry {
    /// The first 48 bits of its RequestId.
    pub fn stamp(&self) -> i64 {
        stamp(self.request_high)
    }

    pub fn request_id(&self) -> RequestId {
        let halves = u128::from(self.request_high) << 64 | u128::from(self.request_low);
        RequestId::from_bytes(halves.to_be_bytes())
    }
}

/// The columns of an entry that do not depend on its effects.
pub struct Recorded {
    pub request_id: RequestId,
    pub time: Timestamp,
    pub caller: Caller,
    pub source_ip: IpAddr,
    pub secure_transport: bool,
    pub client_request_id: Option<ClientRequestId>,
    pub action: Action,
    pub client_token: Option<ClientToken>,
}

impl FoundEntry<'_> {
    /// What the change was recorded with, in a commit of this time.
    pub fn recorded(&self, commit_time: Timestamp) -> Result<Recorded, CorruptLog> {
        let octets = self.origin.source_ip.as_slice();
        let source_ip = <[u8; 4]>::try_from(octets)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
            .map_err(|_| CorruptLog)?;
        let token = self.entry.client_token.as_deref();
        let named = self.entry.client_request_id.as_deref();
        Ok(Recorded {
            request_id: self.entry.request_id(),
            time: Timestamp::from_millis(commit_time.millis().wrapping_add(self.entry.time)),
            caller: Caller::recorded(&self.origin.caller),
            source_ip,
            secure_transport: self.origin.secure_transport,
            client_request_id: named
                .map(|id| ClientRequestId::parse(id.as_bytes()).ok_or(CorruptLog))
                .transpose()?,
            action: Action::parse(&self.origin.action).ok_or(CorruptLog)?,
            client_token: token
                .map(|token| ClientToken::parse(token).ok_or(CorruptLog))
                .transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;

    use super::*;
    use crate::domain::{AccountId, Fingerprint, Repeat};

    fn origin() -> impl Strategy<Value = Origin> {
        let address = prop_oneof![
            any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
            any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
            Just(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ];
        let caller = prop_oneof![Just("anonymous"), Just("jwt:a"), Just("dns:b")];
        let action = prop_oneof![Just(Action::UntagResources), Just(Action::TagResources)];
        let token = proptest::option::of("[ -~]{1,64}");
        let named = proptest::option::of("[ -~]{1,64}");
        let request = (any::<[u8; 16]>(), any::<i32>(), any::<bool>(), named);
        (request, caller, address, action, token).prop_map(
            |((id, time, secure_transport, named), caller, source_ip, action, token)| Origin {
                secure_transport,
                client_request_id: named.map(|id| ClientRequestId::parse(id.as_bytes()).unwrap()),
                request_id: RequestId::from_bytes(id),
                time: Timestamp::from_millis(time.into()),
                caller: Caller::recorded(caller),
                source_ip,
                action,
                repeat: token.map(|token| Repeat {
                    token: ClientToken::parse(&token).unwrap(),
                    fingerprint: Fingerprint([1; 16]),
                }),
            },
        )
    }

    proptest! {
        #[test]
        fn entries_come_back_from_their_bytes(
            entries in proptest::collection::vec((0..3_usize, origin(), any::<i64>(), any::<u32>()), 0..40)
        ) {
            let time = Timestamp::from_millis(1_000_000);
            let account = |at: usize| LoggedAccount { id: at.to_string(), first: 7 + at as u64, count: 0 };
            let mut commit = LoggedCommit { accounts: (0..3).map(account).collect(), ..LoggedCommit::default() };
            for (at, origin, number, removed) in &entries {
                commit.add(*at, origin, time, vec![LoggedEffect::removed(*number, *removed)]);
            }
            let bytes = commit.encode_to_vec();
            let accounts = LoggedAccounts::decode(bytes.as_slice()).unwrap().accounts;
            prop_assert_eq!(&accounts, &commit.accounts);
            let decoded = LoggedCommit::decode(bytes.as_slice()).unwrap();
            let mut next = [7, 8, 9];
            let found: Vec<_> = decoded.each().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(found.len(), entries.len());
            for (found, (at, origin, number, removed)) in found.iter().zip(&entries) {
                prop_assert_eq!(found.account, at.to_string());
                prop_assert_eq!(found.revision.get(), next[*at]);
                next[*at] += 1;
                let recorded = found.recorded(time).unwrap();
                prop_assert_eq!(recorded.request_id, origin.request_id);
                prop_assert_eq!(recorded.time, origin.time);
                prop_assert_eq!(&recorded.caller, &origin.caller);
                prop_assert_eq!(recorded.source_ip, origin.source_ip);
                prop_assert_eq!(recorded.action, origin.action);
                prop_assert_eq!(recorded.secure_transport, origin.secure_transport);
                prop_assert_eq!(&recorded.client_request_id, &origin.client_request_id);
                prop_assert_eq!(recorded.client_token, origin.repeat.as_ref().map(|repeat| repeat.token.clone()));
                prop_assert!(found.entry.effects == [LoggedEffect::removed(*number, *removed)]);
            }
            for (at, account) in accounts.iter().enumerate().filter(|(_, account)| account.count > 0) {
                prop_assert_eq!(account.last() + 1, next[at]);
            }
        }

        #[test]
        fn any_bytes_are_entries_or_corrupt(
            bytes in proptest::collection::vec(any::<u8>(), 0..200), flips in proptest::collection::vec(any::<(usize, u8)>(), 1..4),
            origin in origin()
        ) {
            let mut whole = LoggedCommit { accounts: vec![LoggedAccount { id: "1".to_owned(), first: 1, count: 0 }], ..LoggedCommit::default() };
            whole.add(0, &origin, origin.time, vec![LoggedEffect::removed(1, 1)]);
            let mut whole = whole.encode_to_vec();
            for (at, byte) in flips {
                let at = at % whole.len();
                whole[at] ^= byte;
            }
            let account = AccountId::parse("1").unwrap();
            for bytes in [bytes, whole] {
                let _ = LoggedAccounts::decode(bytes.as_slice());
                let Ok(commit) = LoggedCommit::decode(bytes.as_slice()) else {
                    continue;
                };
                for found in commit.each().flatten() {
                    let _ = found.recorded(Timestamp::from_millis(i64::MAX));
                    for effect in &found.entry.effects {
                        let _ = effect.detailed(&account);
                    }
                }
            }
        }
    }

    #[test]
    fn an_untag_of_one_key_takes_at_most_36_bytes() {
        let account = "1000000000000001".to_owned();
        let mut commit = LoggedCommit {
            accounts: vec![LoggedAccount {
                id: account,
                first: 1_000_000,
                count: 0,
            }],
            ..LoggedCommit::default()
        };
        let time = Timestamp::from_millis(1_800_000_000_000);
        for entry in 0..64_u8 {
            let origin = Origin {
                request_id: RequestId::from_bytes([0xff - entry; 16]),
                time: Timestamp::from_millis(time.millis() - i64::from(entry)),
                caller: Caller::recorded("jwt:system:serviceaccount:billing:cleaner"),
                source_ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
                secure_transport: true,
                client_request_id: None,
                action: Action::UntagResources,
                repeat: None,
            };
            let effect = LoggedEffect::removed(10_000_000 + i64::from(entry), 1 << 6);
            commit.add(0, &origin, time, vec![effect]);
        }
        let bytes = commit.encoded_len();
        assert!(bytes <= 64 * 36, "{bytes}");
    }
}
