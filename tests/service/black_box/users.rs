//! Users to test with, and short ways to ask for their tags.

use std::io::Write as _;
use std::process::{Command, Stdio};

use tonic::transport::Channel;
use tonic::{Request, Status};
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::{
    ListTagResourcesRequest, ResourceIds, ResourcePrincipalNames, Tag, TagFilter,
    TagResourcesRequest, UntagResourcesRequest, list_tag_resources_request, tag_resources_request,
    untag_resources_request,
};

use super::home::Home;
use crate::support::Server;

pub type Client = TagServiceClient<Channel>;

pub const ACCOUNT_METADATA: &str = "x-acs-account-id";

/// The account of the tests, which is not the default of their servers.
pub const ACCOUNT: &str = "1001";
/// A user of it with the tags `env=prod`, `team=a` and `Team=b`.
pub const ANN: &str = "501";
pub const ANN_NAME: &str = "Ann.Lee@Example.com";
/// A user of it with the tag `env=test`.
pub const BEN: &str = "502";
/// A user of it with 20 tags, `k01` to `k20`.
pub const FULL: &str = "503";

/// Another account, which has a user with Ann's id and name, and the tag `env=other`.
pub const OTHER_ACCOUNT: &str = "1002";

/// Runs an import that reads these lines from its stdin.
pub fn feed(mut import: Command, lines: &str) {
    let mut import = import
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    import
        .stdin
        .take()
        .unwrap()
        .write_all(lines.as_bytes())
        .unwrap();
    assert!(import.wait().unwrap().success());
}

/// A user as a line to import.
pub fn line(account: &str, id: &str, name: &str, tags: &[(&str, &str)]) -> String {
    let tags: serde_json::Map<String, serde_json::Value> = tags
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).into()))
        .collect();
    let user = serde_json::json!({
        "account_id": account, "resource_type": "user", "resource_id": id, "principal_name": name, "tags": tags,
    });
    format!("{user}\n")
}

/// A store with the users above.
pub fn directory() -> Home {
    let home = Home::new();
    let keys: Vec<String> = (1..=20).map(|number| format!("k{number:02}")).collect();
    let full: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
    let lines = [
        line(
            ACCOUNT,
            ANN,
            ANN_NAME,
            &[("env", "prod"), ("team", "a"), ("Team", "b")],
        ),
        line(ACCOUNT, BEN, "ben@example.com", &[("env", "test")]),
        line(ACCOUNT, FULL, "full@example.com", &full),
        line(OTHER_ACCOUNT, ANN, ANN_NAME, &[("env", "other")]),
    ];
    home.import(&lines.concat());
    home
}

/// A server over the users above, and its store.
pub fn server(arguments: &[&str]) -> (Server, Home) {
    let home = directory();
    (home.serve(arguments), home)
}

/// A request in the name of the account of the tests.
pub fn ask<T>(message: T) -> Request<T> {
    ask_as(ACCOUNT, message)
}

/// A request in the name of an account.
pub fn ask_as<T>(account: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request
        .metadata_mut()
        .insert(ACCOUNT_METADATA, account.parse().unwrap());
    request
}

/// The users that a request names, for any of the three requests.
#[derive(Debug, Clone)]
pub enum Users {
    Ids(Vec<String>),
    Names(Vec<String>),
}

pub fn ids<S: ToString>(values: impl IntoIterator<Item = S>) -> Users {
    Users::Ids(values.into_iter().map(|value| value.to_string()).collect())
}

pub fn names<S: ToString>(values: impl IntoIterator<Item = S>) -> Users {
    Users::Names(values.into_iter().map(|value| value.to_string()).collect())
}

macro_rules! users_into {
    ($($resources:path),*) => {$(
        impl From<Users> for $resources {
            fn from(users: Users) -> Self {
                match users {
                    Users::Ids(values) => Self::ResourceIds(ResourceIds { values }),
                    Users::Names(values) => Self::ResourcePrincipalNames(ResourcePrincipalNames { values }),
                }
            }
        }
    )*};
}
users_into!(
    list_tag_resources_request::Resources,
    tag_resources_request::Resources,
    untag_resources_request::Resources
);

/// A request that removes keys from users.
pub fn untag_request(users: Users, keys: &[&str]) -> UntagResourcesRequest {
    UntagResourcesRequest {
        resources: Some(users.into()),
        tag_keys: keys.iter().map(ToString::to_string).collect(),
        ..UntagResourcesRequest::default()
    }
}

/// The same request, which only validates.
pub fn dry(request: UntagResourcesRequest) -> UntagResourcesRequest {
    UntagResourcesRequest {
        validate_only: true,
        ..request
    }
}

/// A request that sets tags on users.
pub fn tag_request(users: Users, tags: &[(&str, &str)]) -> TagResourcesRequest {
    let tags = tags.iter().map(|(key, value)| Tag {
        key: (*key).to_owned(),
        value: (*value).to_owned(),
    });
    TagResourcesRequest {
        resources: Some(users.into()),
        tags: tags.collect(),
        ..TagResourcesRequest::default()
    }
}

/// A request that lists all tags of users.
pub fn list_request(users: Users) -> ListTagResourcesRequest {
    ListTagResourcesRequest {
        resources: Some(users.into()),
        ..ListTagResourcesRequest::default()
    }
}

/// A request that lists the tags that filters name, each a key with a value or without one.
pub fn filter_request(filters: &[(&str, Option<&str>)]) -> ListTagResourcesRequest {
    let filter = |(key, value): &(&str, Option<&str>)| TagFilter {
        key: (*key).to_owned(),
        value: value.map(str::to_owned),
    };
    ListTagResourcesRequest {
        tags: filters.iter().map(filter).collect(),
        ..ListTagResourcesRequest::default()
    }
}

/// The tags that a list comes to, as `id key=value`, page after page.
pub async fn list_as(
    client: &mut Client,
    account: &str,
    mut request: ListTagResourcesRequest,
) -> Result<Vec<String>, Status> {
    let mut tags = Vec::new();
    loop {
        let page = client
            .list_tag_resources(ask_as(account, request.clone()))
            .await?
            .into_inner();
        let text = page.tag_resources.into_iter();
        tags.extend(
            text.map(|tag| format!("{} {}={}", tag.resource_id, tag.tag_key, tag.tag_value)),
        );
        if page.next_token.is_empty() {
            return Ok(tags);
        }
        request.next_token = page.next_token;
    }
}

/// The tags of one user of the account of the tests, as `id key=value`.
pub async fn tags_of(client: &mut Client, id: &str) -> Vec<String> {
    list_as(client, ACCOUNT, list_request(ids([id])))
        .await
        .unwrap()
}
