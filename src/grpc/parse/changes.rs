//! The parser of requests about the history of an account.

use prost_types::Timestamp;

use super::faults::{Faults, quoted};
use super::repeat::{Repeatable, client_token, of_revert};
use super::tags::tag_key;
use super::{change_token, foreign_token, page_size, proto};
use crate::domain::{
    AccountId, Action, Caller, ChangeFilter, ChangeKey, ChangeListQuery, ChangeQuery, Direction,
    Fault, FaultCode, OnConflict, RequestId, ResourceId, RevertRequest, Revision,
    Timestamp as Moment,
};
use proto::get_change_request::Change as Named;
use proto::{ChangeOrder, OnConflict as ProtoOnConflict};

/// The most characters of a caller to look for.
const LONGEST_CALLER: usize = 1_024;

/// Parses `GetChange`.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn change(
    request: proto::GetChangeRequest,
    account: Result<AccountId, Fault>,
) -> Result<ChangeQuery, Vec<Fault>> {
    let mut faults = Faults::default();
    let account = faults.take(account);
    let key = faults.take(change_key(request.change));
    let page_size = page_size(request.page_size, &mut faults);
    let (Some(account), Some(key), Some(page_size), true) =
        (account, key, page_size, faults.0.is_empty())
    else {
        return Err(faults.0);
    };
    let mut query = ChangeQuery {
        account,
        key,
        page_size,
        passed: 0,
    };
    if !request.next_token.is_empty() {
        let passed = change_token::read_passed(&request.next_token, &query);
        query.passed = passed.ok_or_else(foreign_token)?;
    }
    Ok(query)
}

fn change_key(named: Option<Named>) -> Result<ChangeKey, Fault> {
    match named {
        None => Err(fault(
            FaultCode::MissingChange,
            "change",
            "give request_id or revision".to_owned(),
        )),
        Some(Named::RequestId(id)) => request_id(&id).map(ChangeKey::RequestId),
        Some(Named::Revision(number)) => {
            let revision = u64::try_from(number).ok().and_then(Revision::new);
            let wrong = || {
                let description = format!("{number} must be at least 1");
                fault(FaultCode::InvalidRevision, "revision", description)
            };
            revision.map(ChangeKey::Revision).ok_or_else(wrong)
        }
    }
}

/// Parses the RequestId of a request that has made a change.
fn request_id(text: &str) -> Result<RequestId, Fault> {
    RequestId::parse(text).ok_or_else(|| {
        let text = quoted(text);
        let description =
            format!("{text} must be a UUID, such as 6AC79B74-9A78-58E2-818B-1D38EDC64D67");
        fault(FaultCode::InvalidRequestId, "request_id", description)
    })
}

/// Parses `RevertChange`.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn revert(
    request: proto::RevertChangeRequest,
    account: Result<AccountId, Fault>,
) -> Result<Repeatable<RevertRequest>, Vec<Fault>> {
    let proto::RevertChangeRequest {
        request_id: change,
        on_conflict,
        client_token: token,
        validate_only,
    } = request;
    let mut faults = Faults::default();
    let account = faults.take(account);
    let change = faults.take(request_id(&change));
    let on_conflict = faults.take(self::on_conflict(on_conflict));
    // What changes nothing needs no token.
    let token = client_token(&token, &mut faults).filter(|_| !validate_only);
    match (account, change, on_conflict) {
        (Some(account), Some(change), Some(on_conflict)) if faults.0.is_empty() => {
            let request = RevertRequest {
                account,
                change,
                on_conflict,
                validate_only,
            };
            Ok(Repeatable::new(request, token, of_revert))
        }
        _ => Err(faults.0),
    }
}

fn on_conflict(number: i32) -> Result<OnConflict, Fault> {
    match ProtoOnConflict::try_from(number) {
        Ok(ProtoOnConflict::Skip) => Ok(OnConflict::Skip),
        Ok(ProtoOnConflict::Fail | ProtoOnConflict::Unspecified) => Ok(OnConflict::Fail),
        Err(_) => {
            let description = format!("{number} is no way to treat conflicts");
            Err(fault(
                FaultCode::InvalidOnConflict,
                "on_conflict",
                description,
            ))
        }
    }
}

/// Parses `ListChanges`.
///
/// # Errors
/// Every fault of the request, at least one.
pub fn changes(
    request: proto::ListChangesRequest,
    account: Result<AccountId, Fault>,
) -> Result<ChangeListQuery, Vec<Fault>> {
    let mut faults = Faults::default();
    let account = faults.take(account);
    let proto::ListChangesRequest {
        resource_id,
        tag_key: key,
        caller,
        action,
        start_time,
        end_time,
        order,
        page_size: size,
        next_token,
    } = request;
    let (start, end) = span(start_time, end_time, &mut faults);
    let filter = ChangeFilter {
        user: given(resource_id).and_then(|id| faults.take(user(&id))),
        tag_key: given(key).and_then(|key| tag_key(&key, "tag_key", &mut faults)),
        caller: given(caller).and_then(|caller| faults.take(self::caller(&caller))),
        action: given(action).and_then(|name| faults.take(self::action(&name))),
        start,
        end,
    };
    let direction = faults.take(direction(order));
    let page_size = page_size(size, &mut faults);
    let (Some(account), Some(direction), Some(page_size), true) =
        (account, direction, page_size, faults.0.is_empty())
    else {
        return Err(faults.0);
    };
    let mut query = ChangeListQuery {
        account,
        filter,
        direction,
        page_size,
        from: None,
    };
    if !next_token.is_empty() {
        let from = change_token::read_revision(&next_token, &query);
        query.from = Some(from.ok_or_else(foreign_token)?);
    }
    Ok(query)
}

fn direction(order: i32) -> Result<Direction, Fault> {
    match ChangeOrder::try_from(order) {
        Ok(ChangeOrder::OldestFirst) => Ok(Direction::Forwards),
        Ok(ChangeOrder::NewestFirst | ChangeOrder::Unspecified) => Ok(Direction::Backwards),
        Err(_) => Err(fault(
            FaultCode::InvalidOrder,
            "order",
            format!("{order} is no order"),
        )),
    }
}

/// A text, if it is not empty.
fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn user(id: &str) -> Result<ResourceId, Fault> {
    ResourceId::parse(id).map_err(|error| {
        let description = format!("{} {error}", quoted(id));
        fault(FaultCode::InvalidResourceId, "resource_id", description)
    })
}

fn caller(name: &str) -> Result<Caller, Fault> {
    if name.chars().count() > LONGEST_CALLER {
        let description = format!("has more than {LONGEST_CALLER} characters");
        return Err(fault(FaultCode::InvalidCaller, "caller", description));
    }
    Ok(Caller::recorded(name))
}

/// The action with a name of a policy, or with that of its method.
fn action(name: &str) -> Result<Action, Fault> {
    Action::of_change(name).map_err(|error| {
        let description = format!("{} {error}", quoted(name));
        fault(FaultCode::InvalidAction, "action", description)
    })
}

/// The moments of a span of time, whose end may not be before its beginning.
fn span(
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    faults: &mut Faults,
) -> (Option<Moment>, Option<Moment>) {
    let parts = |time: &Timestamp| (time.seconds, time.nanos);
    if let (Some(start), Some(end)) = (&start, &end)
        && parts(end) < parts(start)
    {
        let description = "is before start_time";
        faults.add(FaultCode::InvalidEndTime, "end_time", description);
    }
    (start.as_ref().map(moment), end.as_ref().map(moment))
}

/// A moment, in whole milliseconds, as changes have them.
fn moment(time: &Timestamp) -> Moment {
    let millis = time.seconds.saturating_mul(1_000);
    Moment::from_millis(millis.saturating_add(i64::from(time.nanos / 1_000_000)))
}

fn fault(code: FaultCode, field: &str, description: String) -> Fault {
    Fault {
        code,
        field: field.to_owned(),
        description,
    }
}
