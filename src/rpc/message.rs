//! Parameters of operations on tags as messages of the contract. Faults in the messages are found by the service that
//! carries them out.

use super::parameters::{Parameters, malformed};
use crate::domain::Fault;
use crate::grpc::proto::{
    ListTagResourcesRequest, ResourceIds, ResourcePrincipalNames, Tag, TagFilter,
    TagResourcesRequest, UntagResourcesRequest, list_tag_resources_request, tag_resources_request,
    untag_resources_request,
};

enum Resources {
    Ids(Vec<String>),
    Names(Vec<String>),
}

fn resources(parameters: &Parameters) -> Result<Option<Resources>, Fault> {
    let ids = parameters.list("ResourceId")?;
    let names = parameters.list("ResourcePrincipalName")?;
    match (ids.is_empty(), names.is_empty()) {
        (true, true) => Ok(None),
        (false, true) => Ok(Some(Resources::Ids(ids))),
        (true, false) => Ok(Some(Resources::Names(names))),
        (false, false) => Err(malformed(
            "ResourceId",
            "ResourceId and ResourcePrincipalName exclude each other; give one of them",
        )),
    }
}

macro_rules! resources_into {
    ($($kind:path),*) => {$(
        impl From<Resources> for $kind {
            fn from(resources: Resources) -> Self {
                match resources {
                    Resources::Ids(values) => Self::ResourceIds(ResourceIds { values }),
                    Resources::Names(values) => Self::ResourcePrincipalNames(ResourcePrincipalNames { values }),
                }
            }
        }
    )*};
}
resources_into!(
    list_tag_resources_request::Resources,
    tag_resources_request::Resources,
    untag_resources_request::Resources
);

fn resource_type(parameters: &Parameters) -> String {
    parameters
        .get("ResourceType")
        .unwrap_or_default()
        .to_owned()
}

/// The message of `UntagResources`.
pub fn untag(parameters: &Parameters) -> Result<UntagResourcesRequest, Fault> {
    let all = match parameters.get("All").unwrap_or_default() {
        "" => false,
        text if text.eq_ignore_ascii_case("true") => true,
        text if text.eq_ignore_ascii_case("false") => false,
        _ => return Err(malformed("All", "give true or false")),
    };
    Ok(UntagResourcesRequest {
        resource_type: resource_type(parameters),
        resources: resources(parameters)?.map(Into::into),
        tag_keys: parameters.list("TagKey")?,
        all,
        ..UntagResourcesRequest::default()
    })
}

/// The tags or filters among the parameters: keys, and their values where they have one.
pub fn tags(parameters: &Parameters) -> Result<Vec<(String, Option<String>)>, Fault> {
    let count = parameters.members("Tag", ".Key")?;
    let has_no_key = |name: &str| {
        let member = name
            .strip_prefix("Tag.")
            .and_then(|rest| rest.strip_suffix(".Value"));
        member.is_some_and(|member| parameters.get(&format!("Tag.{member}.Key")).is_none())
    };
    if let Some((name, _)) = parameters.pairs().iter().find(|(name, _)| has_no_key(name)) {
        return Err(malformed(name, "the value has no key; give Tag.N.Key too"));
    }
    let part = |number: usize, part: &str| parameters.get(&format!("Tag.{number}.{part}"));
    let tag = |number| {
        let key = part(number, "Key").unwrap_or_default().to_owned();
        (key, part(number, "Value").map(str::to_owned))
    };
    Ok((1..=count).map(tag).collect())
}

/// The message of `TagResources`.
pub fn tag(parameters: &Parameters) -> Result<TagResourcesRequest, Fault> {
    let tags = tags(parameters)?.into_iter().map(|(key, value)| Tag {
        key,
        value: value.unwrap_or_default(),
    });
    Ok(TagResourcesRequest {
        resource_type: resource_type(parameters),
        resources: resources(parameters)?.map(Into::into),
        tags: tags.collect(),
        ..TagResourcesRequest::default()
    })
}

/// The message of `ListTagResources`.
pub fn list(parameters: &Parameters) -> Result<ListTagResourcesRequest, Fault> {
    let page_size = parameters.get("PageSize").unwrap_or_default();
    let page_size = match page_size.parse() {
        Ok(size) => size,
        Err(_) if page_size.is_empty() => 0,
        Err(_) => return Err(malformed("PageSize", "give a number from 1 to 100")),
    };
    let tags = tags(parameters)?
        .into_iter()
        .map(|(key, value)| TagFilter { key, value });
    Ok(ListTagResourcesRequest {
        resource_type: resource_type(parameters),
        resources: resources(parameters)?.map(Into::into),
        tags: tags.collect(),
        page_size,
        next_token: parameters.get("NextToken").unwrap_or_default().to_owned(),
        ..ListTagResourcesRequest::default()
    })
}
