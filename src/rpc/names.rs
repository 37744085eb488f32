//! The names of the parameters, and names that are mistaken for them.
//!
//! As the cloud does, the service ignores parameters that it doesn't know, since SDKs add some of their own. A misspelt one is
//! another matter: where `tagKey.1=env` beside `All=true` were ignored, the request would remove every tag.

use super::parameters::{Parameters, malformed};
use crate::domain::{Fault, Operation};

/// The parameters of UntagResources; a segment `N` stands for a number.
const UNTAG: &[&str] = &[
    "ResourceType",
    "ResourceId.N",
    "ResourcePrincipalName.N",
    "TagKey.N",
    "All",
];
const TAG: &[&str] = &[
    "ResourceType",
    "ResourceId.N",
    "ResourcePrincipalName.N",
    "Tag.N.Key",
    "Tag.N.Value",
];
const LIST: &[&str] = &[
    "ResourceType",
    "ResourceId.N",
    "ResourcePrincipalName.N",
    "Tag.N.Key",
    "Tag.N.Value",
    "PageSize",
    "NextToken",
];
const CREATE_USER: &[&str] = &[
    "UserPrincipalName",
    "DisplayName",
    "Comments",
    "Tag.N.Key",
    "Tag.N.Value",
];
const ONE_USER: &[&str] = &["UserId", "UserPrincipalName"];
const LIST_USERS: &[&str] = &["Marker", "MaxItems", "Status", "Tag.N.Key", "Tag.N.Value"];
const UPDATE_USER: &[&str] = &[
    "UserId",
    "UserPrincipalName",
    "NewUserPrincipalName",
    "NewDisplayName",
    "NewComments",
];
const DELETED_USER: &[&str] = &["UserId"];
const LIST_DELETED: &[&str] = &["Marker", "MaxItems", "Filter"];

/// The parameters of other APIs that ask for a dry run, as stems. Whoever sends one counts on it.
const DRY_RUNS: [&str; 2] = ["dryrun", "validateonly"];

/// Checks that no name is one of ours in a wrong spelling, of another operation, or no name at all.
///
/// # Errors
/// The first such name, and what to give instead.
pub fn check(operation: Operation, parameters: &Parameters) -> Result<(), Fault> {
    let mut names = parameters.pairs().iter().map(|(name, _)| name.as_str());
    match names.find_map(|name| Some((name, problem(operation, name)?))) {
        None => Ok(()),
        Some((name, problem)) => Err(malformed(name, &problem)),
    }
}

fn own(operation: Operation) -> &'static [&'static str] {
    match operation {
        Operation::UntagResources => UNTAG,
        Operation::TagResources => TAG,
        Operation::ListTagResources => LIST,
        Operation::CreateUser => CREATE_USER,
        Operation::GetUser | Operation::DeleteUser => ONE_USER,
        Operation::ListUsers | Operation::ListUserBasicInfos => LIST_USERS,
        Operation::UpdateUser => UPDATE_USER,
        Operation::GetUserInRecycleBin | Operation::RestoreUserFromRecycleBin => DELETED_USER,
        Operation::ListUsersInRecycleBin => LIST_DELETED,
    }
}

/// The fault of a name, if it has one.
fn problem(operation: Operation, name: &str) -> Option<String> {
    let own = own(operation);
    if own.iter().any(|pattern| fits(pattern, name)) {
        return None;
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_name) {
        let problem = "no name of a parameter, which has letters, digits and dots; send parameters as a form, name=value&…";
        return Some(problem.to_owned());
    }
    let stem = stem(name);
    let operation = operation.name();
    if DRY_RUNS.contains(&stem.as_str()) {
        return Some(format!(
            "{operation} has no dry run here; use validate_only at the gRPC port"
        ));
    }
    if let Some(meant) = own.iter().find(|pattern| is_like(pattern, &stem)) {
        return Some(format!(
            "{operation} has no parameter of this name; give {meant}"
        ));
    }
    let is_about_tags = ["tag", "key"].iter().any(|word| stem.starts_with(word));
    let mut all = Operation::ALL.into_iter().flat_map(self::own);
    let is_ours = is_about_tags || all.any(|pattern| is_like(pattern, &stem));
    is_ours.then(|| {
        format!(
            "{operation} has no parameter of this name; it has {}",
            own.join(", ")
        )
    })
}

/// Whether a name is that of a pattern.
fn fits(pattern: &str, name: &str) -> bool {
    let fits = |(pattern, segment): (&str, &str)| match pattern {
        "N" => !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit()),
        _ => pattern == segment,
    };
    let segments = |text: &str| text.split('.').count();
    segments(pattern) == segments(name) && pattern.split('.').zip(name.split('.')).all(fits)
}

/// The letters of a name in lower case, without its numbers and plurals.
fn stem(name: &str) -> String {
    let words = name.split(|character: char| !character.is_ascii_alphabetic());
    let words = words.map(str::to_ascii_lowercase);
    words
        .map(|word| word.strip_suffix('s').map_or(word.clone(), str::to_owned))
        .collect()
}

/// Whether a stem is that of a pattern but for a slip or two.
fn is_like(pattern: &str, given: &str) -> bool {
    let own = stem(&pattern.replace(".N", ""));
    let slips = if own.len() < 8 { 1 } else { 2 };
    own.len().abs_diff(given.len()) <= slips && strsim::osa_distance(&own, given) <= slips
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_sdks_add_on_their_own_is_ignored() {
        for name in [
            "Action",
            "Version",
            "Format",
            "Timestamp",
            "AccessKeyId",
            "Signature",
            "SignatureMethod",
            "SignatureNonce",
            "SignatureType",
            "SignatureVersion",
            "SecurityToken",
            "BearerToken",
            "RegionId",
            "OwnerId",
            "OwnerAccount",
            "ResourceOwnerId",
            "ResourceOwnerAccount",
            "ResourceGroupId",
            "ClientToken",
            "AcceptLanguage",
            "Stage",
            "Email",
            "NewEmail",
            "MobilePhone",
            "NewMobilePhone",
            "x-acs-region-id",
        ] {
            for operation in Operation::ALL {
                assert_eq!(problem(operation, name), None, "{name}");
            }
        }
        for operation in Operation::ALL {
            for pattern in own(operation) {
                assert_eq!(problem(operation, &pattern.replace(".N", ".12")), None);
            }
        }
    }

    #[test]
    fn a_misspelt_name_is_told_the_right_one() {
        let meant = |name: &str| {
            let problem = problem(Operation::UntagResources, name).unwrap();
            problem
                .rsplit_once("give ")
                .unwrap_or_default()
                .1
                .to_owned()
        };
        for name in [
            "TagKey",
            "tagKey.1",
            "TagKeys.1",
            "TAGKEY.1",
            "TagKey1",
            "TagKey.",
            "TagKey.1.1",
            "Tag.1.Key",
            "Tag.Key.1",
            "tag_key.1",
            "tag-keys",
            "TagKye.1",
            "TgKey.1",
        ] {
            assert_eq!(meant(name), "TagKey.N", "{name}");
        }
        for (name, right) in [
            ("all", "All"),
            ("Al", "All"),
            ("ALL", "All"),
            ("All.1", "All"),
            ("ResourceID.1", "ResourceId.N"),
            ("ResourceIds.1", "ResourceId.N"),
            ("resource_id", "ResourceId.N"),
            ("ResourcesType", "ResourceType"),
            ("ResourcePrincipalName", "ResourcePrincipalName.N"),
            ("DryRun", "validate_only"),
        ] {
            let problem = problem(Operation::UntagResources, name).unwrap();
            assert!(problem.contains(right), "{problem}");
        }
        // Those of other operations, and whatever is about tags.
        for name in [
            "Tag.1.Value",
            "Tag",
            "Tags.1",
            "TagName.1",
            "Key.1",
            "PageSize",
        ] {
            let problem = problem(Operation::UntagResources, name).unwrap();
            assert!(problem.contains("it has ResourceType"), "{problem}");
        }
        for name in [
            "",
            "TagKey[0]",
            "{\"TagKey\":[\"env\"]}",
            "TagKey 1",
            "标签",
        ] {
            let problem = problem(Operation::UntagResources, name).unwrap();
            assert!(problem.contains("no name of a parameter"), "{problem}");
        }
    }
}
