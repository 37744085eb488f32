//! Users of the cloud, by the user service in front of it.

use std::collections::HashMap;

use prost_types::FieldMask;
use serde_json::Value;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::{ErrorDetail, StatusExt as _};
use untag::grpc::proto::user::v1::get_user_request::User as By;
use untag::grpc::proto::user::v1::user_service_client::UserServiceClient;
use untag::grpc::proto::user::v1::{
    CreateUserRequest, DeleteUserRequest, GetUserRequest, ListUsersRequest, UndeleteUserRequest,
    UpdateUserRequest, User,
};

use super::endpoint::{Endpoint, http, refusal};
use super::{Cloud, code, with_key};
use crate::support::{ALICE, PATIENCE, Server, untag};

const DORA: &str = "dora@example.onaliyun.com";

type Client = UserServiceClient<Channel>;

async fn client(server: &Server) -> Client {
    UserServiceClient::new(server.channel().await)
}

fn created(name: &str, tags: &[(&str, &str)]) -> CreateUserRequest {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    CreateUserRequest {
        user: Some(User {
            principal_name: name.to_owned(),
            comments: "一 & two".to_owned(),
            tags: tags.iter().map(own).collect(),
            ..User::default()
        }),
        ..CreateUserRequest::default()
    }
}

async fn create(client: &mut Client, name: &str, tags: &[(&str, &str)]) -> User {
    let answer = client.create_user(created(name, tags)).await.unwrap();
    answer.into_inner().user.unwrap()
}

async fn get(client: &mut Client, by: By) -> Result<User, Status> {
    let answer = client.get_user(GetUserRequest { user: Some(by) }).await;
    answer.map(|answer| answer.into_inner().user.unwrap())
}

fn deleted(id: &str) -> DeleteUserRequest {
    DeleteUserRequest {
        resource_id: id.to_owned(),
        ..DeleteUserRequest::default()
    }
}

fn restored(id: &str, name: &str) -> UndeleteUserRequest {
    UndeleteUserRequest {
        resource_id: id.to_owned(),
        new_principal_name: name.to_owned(),
        ..UndeleteUserRequest::default()
    }
}

/// The request that gives a user of this id another name.
fn renamed(id: &str, name: &str) -> UpdateUserRequest {
    let (resource_id, principal_name) = (id.to_owned(), name.to_owned());
    UpdateUserRequest {
        user: Some(User {
            resource_id,
            principal_name,
            ..User::default()
        }),
        ..UpdateUserRequest::default()
    }
}

/// The names on all pages of a list, without their domain; a list that ends has few pages.
async fn names(client: &mut Client, mut request: ListUsersRequest) -> Vec<String> {
    let mut names = Vec::new();
    for _ in 0..20 {
        let page = client.list_users(request.clone()).await.unwrap();
        let page = page.into_inner();
        let short = |user: User| user.principal_name.split('@').next().unwrap().to_owned();
        names.extend(page.users.into_iter().map(short));
        if page.next_token.is_empty() {
            names.sort();
            return names;
        }
        request.next_token = page.next_token;
    }
    panic!("the list does not end: {names:?}");
}

/// The lines of the changes in the audit of a service, which ends.
fn audited(mut server: Server, audit: &tempfile::NamedTempFile) -> Vec<Value> {
    server.signal("TERM");
    server.wait(PATIENCE);
    let text = std::fs::read_to_string(audit.path()).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.collect()
}

#[tokio::test]
async fn users_are_created_changed_and_restored_in_the_cloud() {
    let cloud = Cloud::start(&[]);
    let audit = tempfile::NamedTempFile::new().unwrap();
    let path = audit.path().to_str().unwrap();
    let server = Server::spawn(with_key(cloud.rpc, &["--audit-log", path]));
    let mut client = client(&server).await;

    let tags = [("env", "test"), ("team", "payments")];
    let answer = client.create_user(created(DORA, &tags)).await.unwrap();
    let answer = answer.into_inner();
    // The id, the RequestId and the moment are the cloud's.
    let is_it = |line: &Value| line["request_id"] == answer.request_id.as_str();
    cloud.server.wait_for_log_where("request", is_it);
    assert_eq!(answer.revision, None);
    let dora = answer.user.unwrap();
    let expected: HashMap<_, _> = tags
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    assert_eq!(
        (&dora.tags, dora.display_name.as_str()),
        (&expected, "dora")
    );
    assert!(dora.create_time.is_some() && dora.comments == "一 & two");
    let id = dora.resource_id.clone();
    for by in [
        By::ResourceId(id.clone()),
        By::PrincipalName(DORA.to_uppercase()),
    ] {
        assert_eq!(get(&mut client, by).await.unwrap(), dora);
    }

    let name = "nora@example.onaliyun.com";
    let answer = client.update_user(renamed(&id, name)).await.unwrap();
    let nora = answer.into_inner().user.unwrap();
    assert_eq!(
        (nora.principal_name.as_str(), &nora.tags),
        (name, &expected)
    );

    let answer = client.delete_user(deleted(&id)).await.unwrap();
    assert_eq!(answer.into_inner().user, None);
    let gone = get(&mut client, By::ResourceId(id.clone())).await.unwrap();
    assert!(gone.delete_time.is_some() && gone.expire_time.is_some());
    let missing = get(&mut client, By::PrincipalName(name.to_owned())).await;
    assert_eq!(missing.unwrap_err().code(), Code::NotFound);
    let answer = client.undelete_user(restored(&id, "")).await.unwrap();
    let back = answer.into_inner().user.unwrap();
    assert_eq!(
        (back.principal_name.as_str(), &back.tags),
        (name, &expected)
    );

    let taken = client.create_user(created(name, &[])).await.unwrap_err();
    assert_eq!(taken.code(), Code::AlreadyExists);

    let mut lines = audited(server, &audit);
    // The id that the service has made was nobody's.
    let refused = lines.pop().unwrap();
    assert_eq!(refused["outcome"], "EntityAlreadyExists.User");
    assert_eq!(
        (
            &refused["resource_ids"],
            &refused["resource_principal_names"]
        ),
        (&Value::Null, &serde_json::json!([name]))
    );
    let actions: Vec<_> = lines
        .iter()
        .map(|line| line["action"].as_str().unwrap())
        .collect();
    assert_eq!(
        actions,
        [
            "ram:CreateUser",
            "ram:UpdateUser",
            "ram:DeleteUser",
            "ram:UndeleteUser"
        ]
    );
    for line in &lines {
        assert_eq!(line["resource_ids"], serde_json::json!([id]), "{line}");
        assert_eq!(
            (&line["outcome"], &line["affected_resources"]),
            (&"OK".into(), &1.into())
        );
    }
    // What was on a user who is deleted, the cloud does not say.
    assert_eq!(
        (&lines[0]["affected_tags"], &lines[2]["affected_tags"]),
        (&2.into(), &Value::Null)
    );
}

#[tokio::test]
async fn users_are_listed_as_the_cloud_lists_them_and_filtered_by_what_it_can_t() {
    let cloud = Cloud::start(&[]);
    let server = Server::spawn(with_key(cloud.rpc, &[]));
    let mut client = client(&server).await;
    create(&mut client, DORA, &[]).await;
    let eve = create(&mut client, "eve@example.onaliyun.com", &[("team", "x")]).await;
    client.delete_user(deleted(&eve.resource_id)).await.unwrap();

    let all = ListUsersRequest::default();
    for page_size in [0, 1, 3] {
        let all = ListUsersRequest {
            page_size,
            ..all.clone()
        };
        assert_eq!(
            names(&mut client, all.clone()).await,
            ["alice", "bob", "carol", "dora"]
        );
        let with_deleted = ListUsersRequest {
            show_deleted: true,
            ..all
        };
        let everybody = ["alice", "bob", "carol", "dora", "eve"];
        assert_eq!(names(&mut client, with_deleted).await, everybody);
    }
    let prefix = ListUsersRequest {
        principal_name_prefix: "DO".to_owned(),
        page_size: 1,
        ..all.clone()
    };
    assert_eq!(names(&mut client, prefix).await, ["dora"]);
    let by_tag = |tag_value: Option<&str>| ListUsersRequest {
        tag_key: "team".to_owned(),
        tag_value: tag_value.map(str::to_owned),
        ..all.clone()
    };
    let payments = names(&mut client, by_tag(Some("payments"))).await;
    assert_eq!(payments, ["alice", "bob"]);
    assert_eq!(
        names(&mut client, by_tag(None)).await,
        ["alice", "bob", "carol"]
    );
    assert!(names(&mut client, by_tag(Some("none"))).await.is_empty());
    let untagged = ListUsersRequest {
        untagged: true,
        ..all.clone()
    };
    let untagged = names(&mut client, untagged).await;
    assert!(untagged.contains(&"dora".to_owned()) && !untagged.contains(&"alice".to_owned()));

    let first = ListUsersRequest {
        page_size: 1,
        ..all.clone()
    };
    let token = client
        .list_users(first)
        .await
        .unwrap()
        .into_inner()
        .next_token;
    let other = ListUsersRequest {
        next_token: token,
        ..by_tag(None)
    };
    let refused = client.list_users(other).await.unwrap_err();
    assert_eq!(code(&refused), "InvalidParameter.NextToken");
}

#[tokio::test]
async fn what_the_cloud_refuses_of_users_and_can_t_do_is_said() {
    let cloud = Cloud::start(&[]);
    let server = Server::spawn(with_key(cloud.rpc, &[]));
    let mut client = client(&server).await;
    let bob = "BOB@example.onaliyun.com";
    let taken = client.create_user(created(bob, &[])).await.unwrap_err();
    let found = (taken.code(), code(&taken));
    assert_eq!(
        found,
        (Code::AlreadyExists, "EntityAlreadyExists.User".to_owned())
    );
    let missing = client.delete_user(deleted("404")).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    let named = missing.get_error_details_vec();
    let is_named = |detail: &ErrorDetail| matches!(detail, ErrorDetail::ResourceInfo(info) if info.resource_name == "404");
    assert!(named.iter().any(is_named), "{named:?}");
    let there = client.undelete_user(restored(ALICE, "")).await.unwrap_err();
    assert_eq!(there.code(), Code::AlreadyExists);

    let mut chosen = created(DORA, &[]);
    chosen.user.as_mut().unwrap().resource_id = "7".to_owned();
    let mut repeated = created(DORA, &[]);
    repeated.client_token = "token".to_owned();
    let mut cleared = renamed(ALICE, "");
    cleared.update_mask = Some(FieldMask {
        paths: vec!["comments".to_owned()],
    });
    let deleted_with_tag = ListUsersRequest {
        show_deleted: true,
        tag_key: "team".to_owned(),
        ..ListUsersRequest::default()
    };
    let refused = [
        client.create_user(chosen).await.unwrap_err(),
        client.create_user(repeated).await.unwrap_err(),
        client.update_user(cleared).await.unwrap_err(),
        client
            .undelete_user(restored(ALICE, DORA))
            .await
            .unwrap_err(),
        client.list_users(deleted_with_tag).await.unwrap_err(),
    ];
    let advice = [
        "resource_id",
        "client_token",
        "give others",
        "new_principal_name",
        "show_deleted",
    ];
    for (status, advice) in refused.iter().zip(advice) {
        assert_eq!(
            (status.code(), code(status).as_str()),
            (Code::Unimplemented, "UnsupportedOperation")
        );
        assert!(status.message().contains(advice), "{status:?}");
    }
}

#[tokio::test]
async fn the_command_line_changes_users_in_front_of_the_cloud() {
    let cloud = Cloud::start(&[]);
    let server = Server::spawn(with_key(cloud.rpc, &[]));
    let nora = "nora@example.onaliyun.com";
    for arguments in [
        vec!["add", DORA, "--tag", "env=test"],
        vec!["rename", DORA, nora],
        vec!["show", nora],
    ] {
        let mut command = untag();
        command.arg("users").args(&arguments);
        let ended = command
            .args(["--address", &server.address.to_string()])
            .output()
            .unwrap();
        assert!(ended.status.success(), "{arguments:?}: {ended:?}");
    }
    let mut client = client(&server).await;
    let found = get(&mut client, By::PrincipalName(nora.to_owned())).await;
    assert_eq!(found.unwrap().tags["env"], "test");
}

#[tokio::test]
async fn a_user_whose_creation_was_not_answered_is_not_created_again() {
    let endpoint = Endpoint::start(|_, asked| {
        Some(match asked.action() {
            "createuser" => http(503, "", "garbage"),
            "deleteuser" => refusal(409, "", "DeleteConflict.User.AccessKey"),
            // A user in the recycle bin may not be seen.
            "getuser" => refusal(404, "", "EntityNotExist.User"),
            "getuserinrecyclebin" => refusal(403, "", "NoPermission"),
            _ => http(
                200,
                "",
                r#"{"RequestId":"x","User":{"UserId":"?","UserPrincipalName":"?"}}"#,
            ),
        })
    });
    let server = Server::launch(with_key(endpoint.address, &[]), ([127, 0, 0, 1], 0).into());
    let mut client = client(&server).await;
    let lost = client.create_user(created(DORA, &[])).await.unwrap_err();
    assert_eq!(lost.code(), Code::Unavailable);
    assert!(lost.message().contains("may have been made"), "{lost:?}");
    let creations = endpoint.asked();
    let creations = creations
        .iter()
        .filter(|asked| asked.action() == "createuser");
    assert_eq!(creations.count(), 1);

    let conflict = client.delete_user(deleted("7")).await.unwrap_err();
    let found = (conflict.code(), code(&conflict));
    assert_eq!(
        found,
        (
            Code::FailedPrecondition,
            "DeleteConflict.User.AccessKey".to_owned()
        )
    );
    let unseen = get(&mut client, By::ResourceId("7".to_owned()))
        .await
        .unwrap_err();
    assert_eq!(unseen.code(), Code::NotFound);
    // What was done stays done where the user can't be read behind it.
    let answer = client.undelete_user(restored("7", "")).await.unwrap();
    assert_eq!(answer.into_inner().user, None);
}
