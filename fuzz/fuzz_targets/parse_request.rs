//! Any bytes as each request: the parser never panics, takes what the contract allows and nothing else,
//! names a fault for the rest, and what it returns is what was asked.

#![no_main]

mod contract;

use libfuzzer_sys::fuzz_target;
use prost::Message;
use untag::domain::{AccountId, Fault, ListQuery, TagCommand, TagSelection, Targets, UntagCommand};
use untag::grpc::proto::{
    ListTagKeysRequest, ListTagResourcesRequest, ListTagValuesRequest, TagResourcesRequest,
    UntagResourcesRequest, list_tag_resources_request as list, tag_resources_request as tag,
    untag_resources_request as untag_request,
};
use untag::grpc::{
    Repeatable, parse_list, parse_tag, parse_tag_keys, parse_tag_values, parse_untag,
};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(request) = UntagResourcesRequest::decode(bytes) {
        check_untag(request);
    }
    if let Ok(request) = TagResourcesRequest::decode(bytes) {
        check_tag(request);
    }
    if let Ok(request) = ListTagResourcesRequest::decode(bytes) {
        check_list(request);
    }
    if let Ok(request) = ListTagKeysRequest::decode(bytes) {
        check_keys(request);
    }
    if let Ok(request) = ListTagValuesRequest::decode(bytes) {
        check_values(request);
    }
});

/// The `next_token`s among the seeds are bound to it.
fn account() -> Result<AccountId, Fault> {
    Ok(AccountId::parse("1").expect("digits are an account id"))
}

/// The resources that a request names, whatever its type.
enum Named {
    Ids(Vec<String>),
    Names(Vec<String>),
}

macro_rules! named {
    ($request:expr, $module:ident) => {
        $request.resources.clone().map(|resources| match resources {
            $module::Resources::ResourceIds(ids) => Named::Ids(ids.values),
            $module::Resources::ResourcePrincipalNames(names) => Named::Names(names.values),
        })
    };
}

impl Named {
    fn are_valid(&self) -> bool {
        let (values, is_valid): (_, fn(&str) -> bool) = match self {
            Self::Ids(ids) => (ids, contract::is_id),
            Self::Names(names) => (names, contract::is_principal_name),
        };
        (1..=50).contains(&values.len()) && values.iter().all(|value| is_valid(value))
    }

    fn assert_parsed_as(&self, targets: &Targets) {
        let expected = match (self, targets) {
            (Self::Ids(ids), Targets::Ids(_)) => contract::each_once(ids, str::to_owned),
            (Self::Names(names), Targets::Names(_)) => {
                contract::each_once(names, str::to_ascii_lowercase)
            }
            _ => panic!("ids became names or names ids: {targets:?}"),
        };
        let parsed: Vec<&str> = (0..targets.count())
            .map(|position| targets.name_at(position))
            .collect();
        assert_eq!(parsed, expected);
    }
}

/// The parsed request, where the contract allows it; else the parser has to have found a fault.
fn expect_valid<T>(
    result: Result<T, Vec<Fault>>,
    is_valid: bool,
    request: &dyn std::fmt::Debug,
) -> Option<T> {
    match result {
        Ok(parsed) => {
            assert!(is_valid, "taken against the contract: {request:?}");
            Some(parsed)
        }
        Err(faults) => {
            assert!(
                !is_valid,
                "refused against the contract: {request:?}: {faults:?}"
            );
            assert!(!faults.is_empty(), "refused without a reason: {request:?}");
            for fault in faults {
                assert!(
                    !fault.field.is_empty() && !fault.description.is_empty(),
                    "{fault:?}"
                );
            }
            None
        }
    }
}

fn check_untag(request: UntagResourcesRequest) {
    let named = named!(request, untag_request);
    let keys = &request.tag_keys;
    let has_selection = if keys.is_empty() {
        request.all
    } else {
        keys.len() <= 20
    };
    let is_valid = contract::is_resource_type(&request.resource_type)
        && named.as_ref().is_some_and(Named::are_valid)
        && has_selection
        && keys.iter().all(|key| contract::is_tag_key(key))
        && contract::are_distinct(keys.iter().map(String::as_str))
        && request
            .expected_values
            .iter()
            .all(|(key, value)| keys.contains(key) && contract::is_tag_value(value))
        && contract::is_client_token(&request.client_token);

    let parsed = parse_untag(request.clone(), account());
    let Some(command) = expect_valid(parsed, is_valid, &request) else {
        return;
    };
    let has_token = !request.client_token.is_empty() && !request.validate_only;
    assert_eq!(command.repeat.is_some(), has_token);
    let UntagCommand {
        account: _,
        targets,
        selection,
        expected,
        allow_missing,
        validate_only,
    } = command.command;
    let values = expected.iter().flat_map(|expected| &expected.values);
    let values = values.map(|(key, value)| (key.as_str(), value.as_str()));
    let mut wanted: Vec<(&str, &str)> = request
        .expected_values
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    wanted.sort_unstable();
    assert!(values.eq(wanted));
    named
        .expect("a valid request names resources")
        .assert_parsed_as(&targets);
    match selection {
        TagSelection::All => assert!(keys.is_empty(), "all counts only without keys"),
        TagSelection::Keys(parsed) => assert!(parsed.iter().map(|key| key.as_str()).eq(keys)),
    }
    assert_eq!(
        (allow_missing, validate_only),
        (request.allow_missing, request.validate_only)
    );
}

fn check_tag(request: TagResourcesRequest) {
    let named = named!(request, tag);
    let tags = &request.tags;
    let is_valid = contract::is_resource_type(&request.resource_type)
        && named.as_ref().is_some_and(Named::are_valid)
        && (1..=20).contains(&tags.len())
        && tags
            .iter()
            .all(|tag| contract::is_tag_key(&tag.key) && contract::is_tag_value(&tag.value))
        && contract::are_distinct(tags.iter().map(|tag| tag.key.as_str()))
        && contract::is_client_token(&request.client_token);

    let parsed = parse_tag(request.clone(), account());
    let Some(Repeatable { command, repeat }) = expect_valid(parsed, is_valid, &request) else {
        return;
    };
    assert_eq!(repeat.is_some(), !request.client_token.is_empty());
    let TagCommand {
        account: _,
        targets,
        tags: parsed,
    } = command;
    named
        .expect("a valid request names resources")
        .assert_parsed_as(&targets);
    let mut expected: Vec<(&str, &str)> = tags
        .iter()
        .map(|tag| (tag.key.as_str(), tag.value.as_str()))
        .collect();
    // The store relies on the order.
    expected.sort_unstable();
    assert!(
        parsed
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .eq(expected)
    );
}

fn check_list(request: ListTagResourcesRequest) {
    let named = named!(request, list);
    let filters = &request.tags;
    let is_valid = contract::is_resource_type(&request.resource_type)
        && named.as_ref().is_none_or(Named::are_valid)
        && (named.is_some() || !filters.is_empty())
        && filters.len() <= 20
        && filters.iter().all(|filter| {
            let value = filter.value.as_deref().unwrap_or_default();
            contract::is_tag_key(&filter.key) && contract::is_tag_value(value)
        })
        && contract::are_distinct(filters.iter().map(|filter| filter.key.as_str()))
        && (0..=100).contains(&request.page_size)
        && request.revision >= 0
        && (request.revision == 0 || named.is_some());

    // A token is opaque: only the request without one is decided by the contract. With one, a query is this one too.
    if let Ok(query) = parse_list(request.clone(), account()) {
        assert!(is_valid, "taken against the contract: {request:?}");
        assert_eq!(query.after.is_some(), !request.next_token.is_empty());
    }
    let without_token = ListTagResourcesRequest {
        next_token: String::new(),
        ..request.clone()
    };
    let parsed = parse_list(without_token, account());
    let Some(query) = expect_valid(parsed, is_valid, &request) else {
        return;
    };
    let ListQuery {
        account: _,
        targets,
        filters: parsed,
        revision,
        page_size,
        after,
    } = query;
    match (&named, &targets) {
        (Some(named), Some(targets)) => named.assert_parsed_as(targets),
        (None, None) => {}
        _ => panic!("whose tags: {request:?} became {targets:?}"),
    }
    let as_asked = filters
        .iter()
        .map(|filter| (filter.key.as_str(), filter.value.as_deref()));
    let as_parsed = parsed.iter().map(|filter| {
        (
            filter.key.as_str(),
            filter.value.as_ref().map(|value| value.as_str()),
        )
    });
    assert!(as_parsed.eq(as_asked));
    let expected_size = if request.page_size == 0 {
        100
    } else {
        request.page_size
    };
    assert_eq!(i32::try_from(page_size.get()), Ok(expected_size));
    let revision = revision.map_or(0, |revision| revision.get());
    assert_eq!(i64::try_from(revision), Ok(request.revision));
    assert_eq!(after, None);
}

fn check_keys(request: ListTagKeysRequest) {
    let is_valid = contract::is_resource_type(&request.resource_type);
    if let Ok(query) = parse_tag_keys(request.clone(), account()) {
        assert!(is_valid, "taken against the contract: {request:?}");
        assert_eq!(query.after.is_some(), !request.next_token.is_empty());
    }
    let without_token = ListTagKeysRequest {
        next_token: String::new(),
        ..request.clone()
    };
    expect_valid(parse_tag_keys(without_token, account()), is_valid, &request);
}

fn check_values(request: ListTagValuesRequest) {
    let is_valid = contract::is_resource_type(&request.resource_type)
        && contract::is_tag_key(&request.tag_key);
    if let Ok(query) = parse_tag_values(request.clone(), account()) {
        assert!(is_valid, "taken against the contract: {request:?}");
        assert_eq!(query.after.is_some(), !request.next_token.is_empty());
    }
    let without_token = ListTagValuesRequest {
        next_token: String::new(),
        ..request.clone()
    };
    let parsed = parse_tag_values(without_token, account());
    if let Some(query) = expect_valid(parsed, is_valid, &request) {
        assert_eq!(query.key.as_str(), request.tag_key);
    }
}
