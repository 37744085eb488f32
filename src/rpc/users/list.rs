//! Pages of users as large as the cloud's, of several pages of the contract.

use std::time::Instant;

use bytes::Bytes;
use prost::Message as _;

use super::parameters::duplicate_key;
use crate::domain::{Action, Fault, FaultCode, limits};
use crate::grpc::InFlightGuard;
use crate::grpc::proto::user::v1::{ListUsersRequest, ListUsersResponse, User};
use crate::rpc::call::{Called, Failure, Session};
use crate::rpc::message::tags;
use crate::rpc::parameters::{Parameters, malformed};
use crate::rpc::read_back::decoded;

/// The most users of a page (the cloud's documentation).
const MOST_ITEMS: i32 = 1000;
/// The most users that one call answers with.
const MOST_OF_A_CALL: i32 = 100;
/// The most calls that a page may take: those of the largest one.
const MOST_CALLS: usize = 10;
/// The bytes of users that end a page: more than 1,000 of them have as a rule.
const MOST_BYTES: usize = 1024 * 1024;
/// What the filter of a list of deleted users begins with, before a principal name.
const FILTER: &str = "UserPrincipalName eq ";
/// The statuses that the cloud's users have. Here all are active.
const ACTIVE: &str = "active";
const FROZEN: &str = "freeze";

/// A page of users that is asked for.
#[derive(Debug)]
pub struct UserList {
    first: ListUsersRequest,
    most_items: i32,
    /// The tags beside the first one that each user has to carry.
    more_tags: Vec<Filter>,
    who: Who,
}

/// The users that a list is about.
#[derive(Debug)]
enum Who {
    /// Those who are there.
    There,
    /// Those who are frozen, whom there are none of.
    Frozen,
    /// Those who are deleted, with this principal name where one is given.
    Deleted(Option<String>),
}

/// A filter by a tag: its key, and its value where it has one.
type Filter = (String, Option<String>);

impl UserList {
    /// The page that `ListUsers` is asked for.
    ///
    /// # Errors
    /// Parameters that say no page.
    pub fn details(parameters: &Parameters) -> Result<Self, Fault> {
        Self::of(parameters, MOST_ITEMS)
    }

    /// The page that `ListUserBasicInfos` is asked for.
    ///
    /// # Errors
    /// Parameters that say no page.
    pub fn basic_infos(parameters: &Parameters) -> Result<Self, Fault> {
        let list = Self::of(parameters, MOST_OF_A_CALL)?;
        let has_status = parameters
            .get("Status")
            .is_some_and(|text| !text.is_empty());
        if has_status && !list.first.tag_key.is_empty() {
            return Err(malformed(
                "Status",
                "Status and Tag exclude each other; give one of them",
            ));
        }
        Ok(list)
    }

    fn of(parameters: &Parameters, default_items: i32) -> Result<Self, Fault> {
        let mut filters = filters(parameters)?.into_iter();
        let (tag_key, tag_value) = filters.next().unwrap_or_default();
        Ok(Self {
            first: ListUsersRequest {
                tag_key,
                tag_value,
                next_token: parameters.get("Marker").unwrap_or_default().to_owned(),
                ..ListUsersRequest::default()
            },
            most_items: most_items(parameters.get("MaxItems"), default_items)?,
            more_tags: filters.collect(),
            who: who(parameters.get("Status"))?,
        })
    }

    /// The page that `ListUsersInRecycleBin` is asked for.
    ///
    /// # Errors
    /// Parameters that say no page.
    pub fn deleted(parameters: &Parameters) -> Result<Self, Fault> {
        let mut list = Self::of(parameters, MOST_OF_A_CALL)?;
        if list.most_items > MOST_OF_A_CALL {
            return Err(items_fault(MOST_OF_A_CALL));
        }
        let name =
            match parameters.get("Filter").unwrap_or_default() {
                "" => None,
                filter => Some(filter.strip_prefix(FILTER).ok_or_else(|| {
                    malformed("Filter", "give UserPrincipalName eq <user>@<domain>")
                })?),
            };
        let name = name.map(str::to_owned);
        list.first.principal_name_prefix = name.clone().unwrap_or_default();
        list.first.show_deleted = true;
        list.who = Who::Deleted(name);
        Ok(list)
    }

    /// Fills the page by as many calls as it takes. Where a later one fails, the page ends before it.
    pub async fn fill(self, session: &Session<'_>, in_flight: InFlightGuard) -> Called {
        let started = Instant::now();
        // A drain waits for the calls to come, too.
        let _in_flight = session.handler.enter();
        let mut request = self.first.clone();
        request.page_size = self.missing(0);
        let message = request.encode_to_vec();
        let first = session.call(Action::ListUsers, message, in_flight).await;
        let request_id = first.request_id.clone();
        let mut page = match first.result.and_then(|message| read(&message)) {
            Ok(page) => page,
            Err(failure) => {
                let result = Err(failure);
                return Called { request_id, result };
            }
        };
        page.users.retain(|user| self.is_wanted(user));
        for _ in 1..MOST_CALLS {
            request.page_size = self.missing(page.users.len());
            request.next_token.clone_from(&page.next_token);
            let is_late = started.elapsed() >= session.handler.request_timeout();
            let is_full = request.page_size == 0 || page.encoded_len() >= MOST_BYTES;
            if request.next_token.is_empty() || is_late || is_full {
                break;
            }
            let message = request.encode_to_vec();
            let in_flight = session.handler.enter();
            let next = session.call(Action::ListUsers, message, in_flight).await;
            let Ok(next) = next.result.and_then(|message| read(&message)) else {
                break;
            };
            page.next_token = next.next_token;
            let wanted = next.users.into_iter().filter(|user| self.is_wanted(user));
            page.users.extend(wanted);
        }
        if matches!(self.who, Who::Frozen) {
            page = ListUsersResponse::default();
        }
        Called {
            request_id,
            result: Ok(Bytes::from(page.encode_to_vec())),
        }
    }

    /// How many users the next call is asked for, where the page has so many. Where nobody is wanted, one call shows whether the caller
    /// may ask.
    fn missing(&self, count: usize) -> i32 {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        let missing = self.most_items.saturating_sub(count);
        match self.who {
            Who::Frozen => i32::from(count == 0),
            Who::There | Who::Deleted(_) => missing.clamp(0, MOST_OF_A_CALL),
        }
    }

    fn is_wanted(&self, user: &User) -> bool {
        if let Who::Deleted(name) = &self.who {
            let has_name = |name: &String| name.eq_ignore_ascii_case(&user.principal_name);
            return user.delete_time.is_some() && name.as_ref().is_none_or(has_name);
        }
        self.more_tags.iter().all(|(key, value)| {
            let found = user.tags.get(key);
            found.is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
        })
    }
}

fn read(message: &Bytes) -> Result<ListUsersResponse, Failure> {
    decoded(message).ok_or_else(Failure::internal)
}

fn filters(parameters: &Parameters) -> Result<Vec<Filter>, Fault> {
    let filters = tags(parameters)?;
    if filters.len() > limits::TAGS_OF_A_USER {
        return Err(Fault {
            code: FaultCode::TooManyTags,
            field: "Tag".to_owned(),
            description: format!("{} are too many; give at most 20", filters.len()),
        });
    }
    for (position, (key, _)) in filters.iter().enumerate() {
        if key.is_empty() {
            return Err(Fault {
                code: FaultCode::InvalidTagKey,
                field: format!("Tag.{}.Key", position + 1),
                description: "the key is empty; give 1 to 128 characters".to_owned(),
            });
        }
        if filters[..position]
            .iter()
            .any(|(earlier, _)| earlier == key)
        {
            return Err(duplicate_key(position));
        }
    }
    Ok(filters)
}

fn most_items(text: Option<&str>, default: i32) -> Result<i32, Fault> {
    let text = text.unwrap_or_default();
    if text.is_empty() {
        return Ok(default);
    }
    let number = text.parse().ok();
    let number = number.filter(|number| (1..=MOST_ITEMS).contains(number));
    number.ok_or_else(|| items_fault(MOST_ITEMS))
}

fn items_fault(most: i32) -> Fault {
    Fault {
        code: FaultCode::InvalidPageSize,
        field: "MaxItems".to_owned(),
        description: format!("give a number from 1 to {most}"),
    }
}

/// The users with the statuses that are asked for: without any, those who are active.
fn who(statuses: Option<&str>) -> Result<Who, Fault> {
    let statuses = statuses.unwrap_or_default();
    if statuses.is_empty() {
        return Ok(Who::There);
    }
    let mut statuses = statuses.split(',').map(str::trim);
    if statuses
        .clone()
        .all(|status| [ACTIVE, FROZEN].contains(&status))
    {
        let is_active = statuses.any(|status| status == ACTIVE);
        return Ok(if is_active { Who::There } else { Who::Frozen });
    }
    let description = format!("give {ACTIVE}, {FROZEN} or {ACTIVE},{FROZEN}");
    Err(malformed("Status", &description))
}
