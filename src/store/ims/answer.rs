//! The answers of the cloud.

use std::time::Duration;

use http::HeaderMap;
use serde::Deserialize;

use super::cloud_user::CloudUser;
use crate::domain::{AccountId, ListedTag, RequestId, ResourceId, TagKey, TagValue, User};

/// The answer to a request that was carried out.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Answer {
    request_id: String,
    next_token: Option<String>,
    tag_resources: Option<TagResources>,
    user: Option<CloudUser>,
    users: Option<Users>,
    is_truncated: Option<bool>,
    marker: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Users {
    user: Vec<CloudUser>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagResources {
    tag_resource: Vec<TagResource>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TagResource {
    resource_id: String,
    tag_key: String,
    tag_value: Option<String>,
}

/// The answer to a request that was refused.
#[derive(Debug)]
pub struct Refused {
    pub status: u16,
    pub code: String,
    pub message: String,
    pub request_id: Option<RequestId>,
    pub retry_after: Option<Duration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Problem {
    request_id: Option<String>,
    code: String,
    message: Option<String>,
}

impl Answer {
    /// Reads the body of a 200; `None` for what is no answer.
    pub fn parse(body: &[u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// The cloud's RequestId, where it is one.
    pub fn request_id(&self) -> Option<RequestId> {
        RequestId::parse(&self.request_id)
    }

    /// The cloud's token of the next page.
    pub fn next_token(&self) -> Option<&str> {
        self.next_token.as_deref().filter(|token| !token.is_empty())
    }

    /// The user, where there is one that the contract has a form for.
    pub fn user(self, account: &AccountId) -> Option<User> {
        self.user?.read(account)
    }

    /// The users of a list. Those that the contract has no form for are left out.
    pub fn users(self, account: &AccountId) -> Vec<User> {
        let all = self.users.map(|users| users.user).into_iter().flatten();
        all.filter_map(|user| user.read(account)).collect()
    }

    /// The marker of the next page of a list of users.
    pub fn marker(&self) -> Option<&str> {
        let marker = self.marker.as_deref().filter(|marker| !marker.is_empty());
        marker.filter(|_| self.is_truncated == Some(true))
    }

    /// The tags of a list. Those that the contract has no form for, such as the cloud's own, are left out.
    pub fn tags(self) -> Vec<ListedTag> {
        let all = self.tag_resources.map(|tags| tags.tag_resource);
        let parse = |tag: TagResource| {
            Some(ListedTag {
                resource_id: ResourceId::parse(tag.resource_id).ok()?,
                key: TagKey::parse(tag.tag_key).ok()?,
                value: TagValue::parse(tag.tag_value.unwrap_or_default()).ok()?,
            })
        };
        all.into_iter().flatten().filter_map(parse).collect()
    }
}

impl Refused {
    /// Reads the body and the headers of any other status; `None` for what is no answer of the cloud's.
    pub fn parse(status: u16, headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let problem: Problem = serde_json::from_slice(body).ok()?;
        let milliseconds = headers.get("x-acs-retry-after");
        let milliseconds = milliseconds.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        Some(Self {
            status,
            code: problem.code,
            message: problem.message.unwrap_or_default(),
            request_id: problem.request_id.as_deref().and_then(RequestId::parse),
            retry_after: milliseconds.map(Duration::from_millis),
        })
    }

    /// Whether the cloud throttles the service.
    pub fn is_throttling(&self) -> bool {
        self.status == 429 || self.code.starts_with("Throttling")
    }

    /// Whether a resource does not exist.
    pub fn is_missing(&self) -> bool {
        self.status == 404 && self.code.starts_with("EntityNotExist")
    }

    /// Whether a resource would carry too many tags.
    pub fn is_limit(&self) -> bool {
        self.code.starts_with("LimitExceeded")
    }

    /// Whether something with the same name or id is there already.
    pub fn is_taken(&self) -> bool {
        self.code.starts_with("EntityAlreadyExists")
    }

    /// Whether the cloud does not know who asks: the service's fault, and not its caller's.
    pub fn is_unknown(&self) -> bool {
        let codes = [
            "InvalidAccessKeyId",
            "InvalidSecurityToken",
            "InvalidTimeStamp",
            "IncompleteSignature",
            "SignatureDoesNotMatch",
            "SignatureNonceUsed",
        ];
        codes.iter().any(|code| self.code.starts_with(code))
    }

    /// Whether the failure is the cloud's own.
    pub fn is_fault(&self) -> bool {
        self.status >= 500
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_odd_tags_left_out() {
        let body = r#"{"RequestId":"6AC79B74-9A78-58E2-818B-1D38EDC64D67","IsTruncated":true,"NextToken":"n","More":1,
            "TagResources":{"TagResource":[
                {"ResourceType":"user","ResourceId":"7","TagKey":"a","TagValue":""},
                {"ResourceType":"user","ResourceId":"7","TagKey":"acs:own","TagValue":"x"}]}}"#;
        let answer = Answer::parse(body.as_bytes()).unwrap();
        assert_eq!(answer.next_token(), Some("n"));
        assert!(answer.request_id().is_some());
        assert_eq!(answer.tags().len(), 1);
        for garbage in [
            "",
            "[]",
            "{}",
            "<html>",
            r#"{"RequestId":1}"#,
            r#"{"RequestId":"x""#,
        ] {
            assert!(Answer::parse(garbage.as_bytes()).is_none(), "{garbage}");
        }
    }

    #[test]
    fn refusals_are_told_apart() {
        let mut headers = HeaderMap::new();
        headers.insert("x-acs-retry-after", "1500".parse().unwrap());
        let parse = |status, code: &str| {
            let body = format!(r#"{{"Code":"{code}","Message":"why","HostId":"h"}}"#);
            Refused::parse(status, &headers, body.as_bytes()).unwrap()
        };
        let throttled = parse(400, "Throttling.User");
        assert!(throttled.is_throttling());
        assert_eq!(throttled.retry_after, Some(Duration::from_millis(1500)));
        assert!(parse(404, "EntityNotExist.User").is_missing());
        assert!(parse(409, "LimitExceeded.User.Tag").is_limit());
        assert!(!parse(409, "EntityAlreadyExists.User").is_limit());
        assert!(parse(404, "InvalidAccessKeyId.NotFound").is_unknown());
        assert!(parse(503, "ServiceUnavailable").is_fault());
        let invalid = parse(400, "InvalidParameter.TagKey");
        assert!(!invalid.is_throttling() && !invalid.is_missing() && !invalid.is_unknown());
        for garbage in ["", "<html>", "{}", "null"] {
            assert!(Refused::parse(500, &headers, garbage.as_bytes()).is_none());
        }
    }
}
