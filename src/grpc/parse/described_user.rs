//! What a request says of a user.

use std::collections::{BTreeMap, HashMap};

use super::faults::{Faults, quoted};
use super::tags::{tag_key, tag_value};
use crate::domain::{
    Comments, DisplayName, FaultCode, InvalidUserText, PrincipalName, ResourceId, TagKey, TagValue,
    limits,
};
use crate::grpc::proto::user::v1 as user_proto;

/// What a request says of a user. What is empty is not said.
pub struct Described {
    pub id: Option<ResourceId>,
    pub principal_name: Option<PrincipalName>,
    pub display_name: Option<DisplayName>,
    pub comments: Option<Comments>,
    pub tags: BTreeMap<TagKey, TagValue>,
}

impl Described {
    /// Parses a message, all of it, whatever is asked of the user. Times are passed over.
    pub fn of(user: user_proto::User, faults: &mut Faults) -> Self {
        let given = |text: String| Some(text).filter(|text| !text.is_empty());
        Self {
            id: user_id(&user.resource_id, "user.resource_id", faults),
            principal_name: given(user.principal_name)
                .and_then(|name| principal_name(&name, "user.principal_name", faults)),
            display_name: given(user.display_name).and_then(|text| {
                let (code, parsed) = (FaultCode::InvalidDisplayName, DisplayName::parse(text));
                taken(parsed, code, "user.display_name", faults)
            }),
            comments: given(user.comments).and_then(|text| {
                let (code, parsed) = (FaultCode::InvalidComments, Comments::parse(text));
                taken(parsed, code, "user.comments", faults)
            }),
            tags: tags(user.tags, faults),
        }
    }
}

/// Adds a fault where no id is given.
pub fn require_id(id: &str, field: &str, faults: &mut Faults) {
    if id.is_empty() {
        faults.add(FaultCode::MissingResourceId, field, "give the id of a user");
    }
}

/// Adds a fault where no principal name is given.
pub fn require_name(name: &str, faults: &mut Faults) {
    if name.is_empty() {
        let description = "give a name such as alice@example.onaliyun.com";
        let field = "user.principal_name";
        faults.add(FaultCode::MissingPrincipalName, field, description);
    }
}

/// Parses an id; there is none in an empty text.
pub fn user_id(id: &str, field: &str, faults: &mut Faults) -> Option<ResourceId> {
    if id.is_empty() {
        return None;
    }
    faults.parsed(
        ResourceId::parse(id),
        id,
        FaultCode::InvalidResourceId,
        field,
    )
}

/// Parses an id, which has to be given.
pub fn required_id(id: &str, field: &str, faults: &mut Faults) -> Option<ResourceId> {
    require_id(id, field, faults);
    user_id(id, field, faults)
}

/// Parses a principal name.
pub fn principal_name(name: &str, field: &str, faults: &mut Faults) -> Option<PrincipalName> {
    let code = FaultCode::InvalidResourcePrincipalName;
    faults.parsed(PrincipalName::parse(name), name, code, field)
}

/// The text of a user. A fault does not repeat it: people may have written it for few eyes.
fn taken<T>(
    parsed: Result<T, InvalidUserText>,
    code: FaultCode,
    field: &str,
    faults: &mut Faults,
) -> Option<T> {
    if let Err(error) = &parsed {
        faults.add(code, field, format!("the text {error}"));
    }
    parsed.ok()
}

/// Parses the tags of a user. Faults come in order of key, and those past the limit are not looked at.
fn tags(tags: HashMap<String, String>, faults: &mut Faults) -> BTreeMap<TagKey, TagValue> {
    let count = tags.len();
    if count > limits::TAGS_OF_A_USER {
        let description = format!("{count} are too many; give at most 20");
        faults.add(FaultCode::TooManyTags, "user.tags", description);
    }
    let mut tags: Vec<_> = tags.into_iter().collect();
    tags.sort_unstable();
    let tags = tags.iter().take(limits::TAGS_OF_A_USER);
    let parse = |(key, value): &(String, String)| {
        let field = format!("user.tags[{}]", quoted(key));
        let value = tag_value(value, &field, faults);
        tag_key(key, &field, faults).zip(value)
    };
    tags.filter_map(parse).collect()
}
