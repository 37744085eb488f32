//! Users who come and go, by `ram.user.v1.UserService`.

use std::collections::HashMap;

use tonic::transport::Channel;
use tonic::{Code, Status};
use untag::grpc::proto::user::v1::user_service_client::UserServiceClient;
use untag::grpc::proto::user::v1::{
    CreateUserRequest, DeleteUserRequest, GetUserRequest, ListUsersRequest, UndeleteUserRequest,
    UpdateUserRequest, User, get_user_request,
};

use super::answer::{alibaba_codes, assert_shared_snapshot, case};
use super::users::{
    ACCOUNT, ANN, ANN_NAME, BEN, FULL, OTHER_ACCOUNT, ask, ask_as, ids, list_request, names,
    server, tag_request, tags_of, untag_request,
};
use crate::support::Server;

/// Another client for the users of a server.
struct Users(UserServiceClient<Channel>);

/// The answer to a change.
type Changed = (String, Option<i64>, User);

macro_rules! change {
    ($users:expr, $method:ident, $request:expr) => {{
        let answer = $users.0.$method(ask($request)).await?;
        let header = answer.metadata().get("x-request-id").cloned();
        let answer = answer.into_inner();
        assert_eq!(header.unwrap(), answer.request_id.as_str());
        Ok((answer.request_id, answer.revision, answer.user.unwrap()))
    }};
}

impl Users {
    async fn of(server: &Server) -> Self {
        Self(UserServiceClient::new(server.channel().await))
    }

    async fn create(&mut self, request: CreateUserRequest) -> Result<Changed, Status> {
        change!(self, create_user, request)
    }

    async fn update(&mut self, request: UpdateUserRequest) -> Result<Changed, Status> {
        change!(self, update_user, request)
    }

    async fn delete(&mut self, id: &str) -> Result<Changed, Status> {
        change!(
            self,
            delete_user,
            DeleteUserRequest {
                resource_id: id.to_owned(),
                client_token: String::new()
            }
        )
    }

    async fn undelete(&mut self, id: &str, new_name: &str) -> Result<Changed, Status> {
        let request = UndeleteUserRequest {
            resource_id: id.to_owned(),
            new_principal_name: new_name.to_owned(),
            client_token: String::new(),
        };
        change!(self, undelete_user, request)
    }

    async fn get(&mut self, by: get_user_request::User) -> Result<User, Status> {
        let request = GetUserRequest { user: Some(by) };
        let answer = self.0.get_user(ask(request)).await?.into_inner();
        Ok(answer.user.unwrap())
    }

    async fn by_id(&mut self, id: &str) -> Result<User, Status> {
        self.get(get_user_request::User::ResourceId(id.to_owned()))
            .await
    }

    async fn by_name(&mut self, name: &str) -> Result<User, Status> {
        self.get(get_user_request::User::PrincipalName(name.to_owned()))
            .await
    }

    /// The ids of a list, in pages of this size.
    async fn listed(&mut self, page_size: i32, show_deleted: bool) -> Vec<String> {
        let mut request = ListUsersRequest {
            show_deleted,
            page_size,
            ..ListUsersRequest::default()
        };
        let mut all = Vec::new();
        loop {
            let page = self.0.list_users(ask(request.clone())).await.unwrap();
            let page = page.into_inner();
            assert!(page_size == 0 || page.users.len() <= usize::try_from(page_size).unwrap());
            all.extend(page.users.into_iter().map(|user| user.resource_id));
            if page.next_token.is_empty() {
                return all;
            }
            request.next_token = page.next_token;
        }
    }
}

fn named(id: &str, name: &str) -> User {
    User {
        resource_id: id.to_owned(),
        principal_name: name.to_owned(),
        ..User::default()
    }
}

fn create(user: User) -> CreateUserRequest {
    CreateUserRequest {
        user: Some(user),
        client_token: String::new(),
    }
}

fn update(user: User, paths: &[&str]) -> UpdateUserRequest {
    UpdateUserRequest {
        user: Some(user),
        update_mask: (!paths.is_empty()).then(|| prost_types::FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        client_token: String::new(),
    }
}

fn tags(tags: &[(&str, &str)]) -> HashMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    tags.iter().map(owned).collect()
}

/// A user without its times.
fn timeless(user: &User) -> User {
    User {
        create_time: None,
        update_time: None,
        delete_time: None,
        expire_time: None,
        ..user.clone()
    }
}

#[tokio::test]
async fn users_are_created_found_renamed_deleted_and_restored() {
    let (server, _home) = server(&[]);
    let users = &mut Users::of(&server).await;
    let given = User {
        comments: "的 notes".to_owned(),
        tags: tags(&[("env", "prod"), ("empty", "")]),
        ..named("", "Dana.of.a.very.long.first.name@Example.com")
    };
    let (_, revision, dana) = users.create(create(given.clone())).await.unwrap();
    assert_eq!(revision, Some(1));
    let id = dana.resource_id.clone();
    assert!(id.len() == 18 && !id.starts_with('0'), "{id}");
    let expected = User {
        resource_id: id.clone(),
        display_name: "Dana.of.a.very.long.firs".to_owned(),
        ..given
    };
    assert_eq!(timeless(&dana), expected);
    assert!(dana.create_time.is_some() && dana.create_time == dana.update_time);
    assert_eq!(users.by_id(&id).await.unwrap(), dana);
    let folded = users.by_name("dana.of.a.very.long.first.name@example.com");
    assert_eq!(folded.await.unwrap(), dana);

    // Its tags are those of the tag service too.
    let client = &mut server.client().await;
    assert_eq!(
        tags_of(client, &id).await,
        [format!("{id} empty="), format!("{id} env=prod")]
    );
    client
        .untag_resources(ask(untag_request(ids([&id]), &["empty"])))
        .await
        .unwrap();

    let renamed = User {
        display_name: "Dana".to_owned(),
        ..named(&id, "dana@example.com")
    };
    let (_, revision, renamed) = users.update(update(renamed, &[])).await.unwrap();
    assert_eq!(revision, Some(3));
    assert_eq!(renamed.principal_name, "dana@example.com");
    assert_eq!(renamed.display_name, "Dana");
    assert_eq!(renamed.comments, "的 notes");
    assert_eq!(renamed.tags, tags(&[("env", "prod")]));
    let cleared = update(
        named(&id, "ignored@example.com"),
        &["comments", "display_name"],
    );
    let (_, revision, cleared) = users.update(cleared).await.unwrap();
    assert_eq!(
        (cleared.display_name.as_str(), cleared.comments.as_str()),
        ("", "")
    );
    assert_eq!(cleared.principal_name, "dana@example.com");
    // What is so already is no change.
    let again = update(named(&id, "dana@example.com"), &[]);
    let (_, same, unchanged) = users.update(again).await.unwrap();
    assert_eq!((same, &unchanged), (revision, &cleared));

    let (_, revision, deleted) = users.delete(&id).await.unwrap();
    assert_eq!(revision, Some(5));
    let kept = deleted.expire_time.unwrap().seconds - deleted.delete_time.unwrap().seconds;
    assert_eq!(kept, 30 * 24 * 60 * 60);
    assert_eq!(users.by_id(&id).await.unwrap(), deleted);
    let gone = users.by_name("dana@example.com").await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    let untag = untag_request(ids([&id]), &["env"]);
    let missing = client.untag_resources(ask(untag)).await.unwrap_err();
    assert_eq!(alibaba_codes(&missing), ["EntityNotExist.User"]);
    assert_eq!(users.listed(0, false).await, [ANN, BEN, FULL]);
    let mut all = [ANN, BEN, FULL, &id].map(str::to_owned);
    all.sort();
    assert_eq!(users.listed(0, true).await, all);
    assert_eq!(users.listed(1, true).await, all);

    // Its name is free at once, and so it gets a new one.
    users
        .create(create(named("504", "DANA@example.com")))
        .await
        .unwrap();
    let taken = users.undelete(&id, "").await.unwrap_err();
    assert_eq!(
        alibaba_codes(&taken),
        ["EntityAlreadyExists.User.PrincipalName"]
    );
    let (_, revision, restored) = users.undelete(&id, "dana2@example.com").await.unwrap();
    assert_eq!(revision, Some(7));
    assert_eq!(
        timeless(&restored),
        User {
            principal_name: "dana2@example.com".to_owned(),
            ..timeless(&cleared)
        }
    );
    assert_eq!(tags_of(client, &id).await, [format!("{id} env=prod")]);
}

#[tokio::test]
async fn users_of_another_account_are_neither_seen_nor_changed() {
    let (server, _home) = server(&[]);
    let users = &mut Users::of(&server).await;
    users.delete(ANN).await.unwrap();
    let request = || GetUserRequest {
        user: Some(get_user_request::User::PrincipalName(ANN_NAME.to_owned())),
    };
    let there = users.0.get_user(ask_as(OTHER_ACCOUNT, request())).await;
    assert_eq!(
        there.unwrap().into_inner().user.unwrap().tags,
        tags(&[("env", "other")])
    );
    assert_eq!(
        users.0.get_user(ask(request())).await.unwrap_err().code(),
        Code::NotFound
    );
    let list = users.0.list_users(ask_as("7", ListUsersRequest::default()));
    assert_eq!(list.await.unwrap().into_inner().users, []);
}

#[tokio::test]
async fn a_change_of_a_user_that_comes_again_is_made_once() {
    let (server, _home) = server(&[]);
    let users = &mut Users::of(&server).await;
    let once = |user| CreateUserRequest {
        client_token: "t".to_owned(),
        ..create(user)
    };
    // The service makes the id, once.
    let first = users.create(once(named("", "eve@x"))).await.unwrap();
    users.delete(&first.2.resource_id).await.unwrap();
    let again = users.create(once(named("", "eve@x"))).await.unwrap();
    assert_eq!(again, first);
    for other in [named("7", "eve@x"), named("", "Eve@x"), named("", "eva@x")] {
        let refused = users.create(once(other)).await.unwrap_err();
        assert_eq!(alibaba_codes(&refused), ["IdempotentParameterMismatch"]);
    }
    assert_eq!(users.listed(0, false).await, [ANN, BEN, FULL]);
    let is_replay = |line: &serde_json::Value| line["replay"] == true;
    let line = server.wait_for_log_where("request", is_replay);
    assert_eq!(line["request_id"], first.0);
    assert_eq!(line["account"], ACCOUNT);
    assert_eq!(line["method"], "/ram.user.v1.UserService/CreateUser");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_about_users_is_told_at_once() {
    let (server, _home) = server(&[]);
    let users = &mut Users::of(&server).await;
    let mut text = String::new();
    let too_many: Vec<_> = (0..21).map(|number| format!("k{number:02}")).collect();
    let too_many: Vec<_> = too_many.iter().map(|key| (key.as_str(), "")).collect();
    for (what, user) in [
        ("no name", User::default()),
        (
            "everything",
            User {
                display_name: "x".repeat(25),
                comments: "\0".to_owned(),
                tags: tags(&[("acs:x", "http://x"), ("", "")]),
                ..named("7a", "ann")
            },
        ),
        (
            "too many tags",
            User {
                tags: tags(&too_many),
                ..named("", "a@b")
            },
        ),
        ("an id that is there", named(ANN, "new@example.com")),
        ("a name that is there", named("", "ben@EXAMPLE.com")),
    ] {
        let refused = users.create(create(user)).await.unwrap_err();
        case(&mut text, &format!("create: {what}"), &refused);
    }
    let nobody = CreateUserRequest::default();
    case(
        &mut text,
        "create: nobody",
        &users.create(nobody).await.unwrap_err(),
    );
    for (what, user, paths) in [
        ("nothing", named(BEN, ""), &[][..]),
        ("no id", named("", "a@b"), &[]),
        (
            "a mask with other fields",
            named(BEN, ""),
            &["principal_name", "tags", "*"],
        ),
        ("a name that is there", named(BEN, ANN_NAME), &[]),
        ("a user that is not there", named("7", "a@b"), &[]),
    ] {
        let refused = users.update(update(user, paths)).await.unwrap_err();
        case(&mut text, &format!("update: {what}"), &refused);
    }
    for id in ["", "x", "7"] {
        let refused = users.delete(id).await.unwrap_err();
        case(&mut text, &format!("delete: {id:?}"), &refused);
    }
    for (id, name) in [("", ""), ("x", "y"), ("7", ""), (BEN, "")] {
        let refused = users.undelete(id, name).await.unwrap_err();
        case(&mut text, &format!("undelete: {id:?} {name:?}"), &refused);
    }
    let nobody = users.0.get_user(ask(GetUserRequest { user: None }));
    case(&mut text, "get: nobody", &nobody.await.unwrap_err());
    case(&mut text, "get: no id", &users.by_id("").await.unwrap_err());
    case(
        &mut text,
        "get: no name",
        &users.by_name("a").await.unwrap_err(),
    );
    case(
        &mut text,
        "get: absent",
        &users.by_name("a@b").await.unwrap_err(),
    );
    let list = ListUsersRequest {
        page_size: 101,
        next_token: "x".to_owned(),
        ..ListUsersRequest::default()
    };
    let refused = users.0.list_users(ask(list.clone())).await.unwrap_err();
    case(&mut text, "list: page size", &refused);
    let list = ListUsersRequest {
        page_size: 0,
        ..list
    };
    let refused = users.0.list_users(ask(list)).await.unwrap_err();
    case(&mut text, "list: token", &refused);
    assert_shared_snapshot!(text);
    assert_eq!(users.listed(0, true).await, [ANN, BEN, FULL]);
}

#[tokio::test]
async fn a_page_token_belongs_to_its_list() {
    let (server, _home) = server(&[]);
    let users = &mut Users::of(&server).await;
    let first = ListUsersRequest {
        page_size: 1,
        ..ListUsersRequest::default()
    };
    let page = users.0.list_users(ask(first.clone())).await.unwrap();
    let next_token = page.into_inner().next_token;
    let next = ListUsersRequest {
        next_token: next_token.clone(),
        page_size: 2,
        ..first.clone()
    };
    let page = users
        .0
        .list_users(ask(next.clone()))
        .await
        .unwrap()
        .into_inner();
    let found: Vec<_> = page
        .users
        .iter()
        .map(|user| user.resource_id.as_str())
        .collect();
    assert_eq!(found, [BEN, FULL]);
    let other = ListUsersRequest {
        show_deleted: true,
        ..next.clone()
    };
    for request in [ask(other), ask_as(OTHER_ACCOUNT, next)] {
        let refused = users.0.list_users(request).await.unwrap_err();
        assert_eq!(alibaba_codes(&refused), ["InvalidParameter.NextToken"]);
    }
    // A token of another list is no token of this one.
    let client = &mut server.client().await;
    let tags = client.list_tag_resources(ask(untag::grpc::proto::ListTagResourcesRequest {
        page_size: 1,
        ..list_request(ids([FULL]))
    }));
    let next_token = tags.await.unwrap().into_inner().next_token;
    let foreign = ListUsersRequest {
        next_token,
        ..first
    };
    let refused = users.0.list_users(ask(foreign)).await.unwrap_err();
    assert_eq!(alibaba_codes(&refused), ["InvalidParameter.NextToken"]);
}

#[tokio::test]
async fn users_come_and_go_beside_untags_of_them() {
    let (server, _home) = server(&[]);
    let (users, client) = (&mut Users::of(&server).await, &mut server.client().await);
    // One that was created in the moment before is known to each way to name it.
    for round in 0..20 {
        let (id, name) = (format!("90{round}"), format!("u{round}@example.com"));
        let user = User {
            tags: tags(&[("env", "x")]),
            ..named(&id, &name)
        };
        users.create(create(user)).await.unwrap();
        let users_by = if round % 2 == 0 {
            ids([&id])
        } else {
            names([&name])
        };
        let untag = client.untag_resources(ask(untag_request(users_by.clone(), &["env"])));
        assert_eq!(untag.await.unwrap().into_inner().changed_tags, Some(1));
        users.delete(&id).await.unwrap();
        let tag = client.tag_resources(ask(tag_request(users_by, &[("a", "b")])));
        assert_eq!(tag.await.unwrap_err().code(), Code::NotFound);
    }
}
