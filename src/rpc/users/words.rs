//! Errors of operations on users in the words of the cloud, whose parameters have other names than the contract's fields.

use crate::domain::Operation;

/// The fields of the contract that messages begin with, and the parameters in their place: those that
/// `UpdateUser` has new ones of, and others.
const NEW_FIELDS: [(&str, &str); 3] = [
    ("user.principal_name", "UserPrincipalName"),
    ("user.display_name", "DisplayName"),
    ("user.comments", "Comments"),
];
const FIELDS: [(&str, &str); 8] = [
    ("user.resource_id", "UserId"),
    ("resource_id", "UserId"),
    ("principal_name", "UserPrincipalName"),
    ("principal_name_prefix", "Filter"),
    ("user.tags", "Tag"),
    ("tag_key", "Tag.1.Key"),
    ("tag_value", "Tag.1.Value"),
    ("next_token", "Marker"),
];

/// The code and the message of an error, as the cloud's operation has them. Those of tags are the cloud's already.
pub fn in_cloud_words(operation: Operation, code: &str, message: &str) -> (String, String) {
    match operation {
        Operation::UntagResources | Operation::TagResources | Operation::ListTagResources => {
            (code.to_owned(), message.to_owned())
        }
        _ => (self::code(code).to_owned(), renamed(operation, message)),
    }
}

fn code(code: &str) -> &str {
    match code {
        "MissingParameter.ResourceId" => "MissingParameter.UserId",
        "InvalidParameter.ResourceId" => "InvalidParameter.UserId",
        "MissingParameter.ResourcePrincipalName" => "MissingParameter.UserPrincipalName",
        "InvalidParameter.ResourcePrincipalName" => "InvalidParameter.UserPrincipalName",
        "EntityAlreadyExists.User.PrincipalName" => "EntityAlreadyExists.User",
        "InvalidParameter.PageSize" => "InvalidParameter.MaxItems",
        "InvalidParameter.NextToken" => "InvalidParameter.Marker",
        code => code,
    }
}

fn renamed(operation: Operation, message: &str) -> String {
    let new = match operation {
        Operation::UpdateUser => "New",
        _ => "",
    };
    let rest_of = |field: &str| {
        let rest = message.strip_prefix(field)?;
        rest.starts_with([':', '[']).then_some(rest)
    };
    let of_new = NEW_FIELDS.iter().find_map(|(field, parameter)| {
        rest_of(field).map(|rest| format!("{new}{parameter}{rest}"))
    });
    let of_any = || {
        let mut fields = FIELDS.iter();
        fields.find_map(|(field, name)| rest_of(field).map(|rest| format!("{name}{rest}")))
    };
    of_new.or_else(of_any).unwrap_or_else(|| message.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_parameters_of_the_operation() {
        let said = |operation, message| in_cloud_words(operation, "x", message).1;
        let name = "user.principal_name: must be <user>@<domain>";
        assert!(said(Operation::CreateUser, name).starts_with("UserPrincipalName: must"));
        assert!(said(Operation::UpdateUser, name).starts_with("NewUserPrincipalName: must"));
        let lookup = "principal_name: must be";
        assert!(said(Operation::UpdateUser, lookup).starts_with("UserPrincipalName: must"));
        let tag = "user.tags[\"acs:a\"]: is reserved";
        assert!(said(Operation::CreateUser, tag).starts_with("Tag[\"acs:a\"]: is"));
        let other = "users that do not exist: 7; nothing was changed";
        assert_eq!(said(Operation::DeleteUser, other), other);
        let of_tags = "resource_ids[0]: must be";
        assert_eq!(said(Operation::UntagResources, of_tags), of_tags);
    }
}
