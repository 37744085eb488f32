//! The history of an account: one change, and lists of changes.

use tonic::transport::Channel;
use tonic::{Code, Status};
use untag::grpc::proto::change_service_client::ChangeServiceClient;
use untag::grpc::proto::effect::Kind;
use untag::grpc::proto::get_change_request::Change as Key;
use untag::grpc::proto::{
    Change, ChangeOrder, ConflictReason, GetChangeRequest, GetChangeResponse, ListChangesRequest,
    ListChangesResponse, OnConflict, RevertChangeRequest, TagEffect,
};

use super::answer::{assert_shared_snapshot, case};
use super::users::{
    ACCOUNT, ANN, BEN, Client, OTHER_ACCOUNT, ask, ask_as, directory, ids, line, server,
    tag_request, tags_of, untag_request,
};
use crate::support::Server;

pub type Changes = ChangeServiceClient<Channel>;

/// A client of the change service.
pub async fn changes_of(server: &Server) -> Changes {
    ChangeServiceClient::new(server.channel().await)
}

/// Removes keys of users, and returns the RequestId.
async fn untag(client: &mut Client, users: &[&str], keys: &[&str]) -> String {
    let request = ask(untag_request(ids(users), keys));
    let answer = client.untag_resources(request).await.unwrap();
    answer.into_inner().request_id
}

/// Sets a tag of a user, and returns the RequestId.
async fn tag(client: &mut Client, user: &str, key: &str, value: &str) -> String {
    let request = ask(tag_request(ids([user]), &[(key, value)]));
    let answer = client.tag_resources(request).await.unwrap();
    answer.into_inner().request_id
}

pub fn by_id(request_id: &str) -> GetChangeRequest {
    by(Key::RequestId(request_id.to_owned()))
}

fn by(key: Key) -> GetChangeRequest {
    GetChangeRequest {
        change: Some(key),
        ..GetChangeRequest::default()
    }
}

async fn get(client: &mut Changes, request: GetChangeRequest) -> Result<GetChangeResponse, Status> {
    let answer = client.get_change(ask(request)).await;
    answer.map(tonic::Response::into_inner)
}

async fn list(
    client: &mut Changes,
    request: ListChangesRequest,
) -> Result<ListChangesResponse, Status> {
    let answer = client.list_changes(ask(request)).await;
    answer.map(tonic::Response::into_inner)
}

/// The revisions of a list, page after page.
async fn revisions(client: &mut Changes, mut request: ListChangesRequest) -> Vec<i64> {
    let mut revisions = Vec::new();
    loop {
        let page = list(client, request.clone()).await.unwrap();
        revisions.extend(page.changes.iter().map(|change| change.revision));
        if page.next_token.is_empty() {
            return revisions;
        }
        request.next_token = page.next_token;
    }
}

fn tags(change: &Change) -> Vec<(&str, &TagEffect)> {
    let effects = change.effects.iter();
    let tags = effects.map(|effect| match &effect.kind {
        Some(Kind::Tags(tags)) => (effect.resource_id.as_str(), tags),
        other => panic!("{other:?}"),
    });
    tags.collect()
}

#[tokio::test]
async fn a_change_is_found_by_its_request_and_by_its_revision_with_what_was_there() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let changes = &mut changes_of(&server).await;
    let untagged = untag(client, &[ANN, BEN], &["env", "team"]).await;
    let tagged = tag(client, ANN, "Team", "c").await;

    let answer = get(changes, by_id(&untagged.to_lowercase())).await.unwrap();
    assert_ne!(answer.request_id, untagged);
    assert_eq!(answer.next_token, "");
    let change = answer.change.unwrap();
    assert_eq!(
        (change.revision, change.request_id.as_str()),
        (1, untagged.as_str())
    );
    assert_eq!(change.action, "ram:UntagResources");
    assert_eq!(
        (change.caller.as_str(), change.source_ip.as_str()),
        ("anonymous", "127.0.0.1")
    );
    assert_eq!(
        (change.changed_resources, change.values_redacted),
        (2, false)
    );
    assert!(change.time.unwrap().seconds > 1_700_000_000);
    let effects = tags(&change);
    assert_eq!(effects.len(), 2);
    for (user, values) in [
        (ANN, &[("env", "prod"), ("team", "a")][..]),
        (BEN, &[("env", "test")]),
    ] {
        let (_, tags) = effects.iter().find(|(id, _)| *id == user).unwrap();
        let removed = values
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        assert_eq!(tags.removed, removed.collect());
        assert!(tags.set.is_empty());
    }

    let by_revision = get(changes, by(Key::Revision(2)))
        .await
        .unwrap()
        .change
        .unwrap();
    assert_eq!(
        Some(&by_revision),
        get(changes, by_id(&tagged)).await.unwrap().change.as_ref()
    );
    let effects = tags(&by_revision);
    let set = &effects[0].1.set["Team"];
    assert_eq!(set.old_value.as_deref(), Some("b"));
    assert_eq!((set.new_value.as_str(), set.was_there), ("c", true));
    // The log tells who has looked.
    let line = server.wait_for_log_where("request", |line| {
        line["method"] == "/ram.tag.v1.ChangeService/GetChange"
    });
    assert_eq!(
        (&line["code"], &line["account"]),
        (&"OK".into(), &ACCOUNT.into())
    );
}

#[tokio::test]
async fn changes_are_listed_in_either_order_and_by_what_they_changed() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let changes = &mut changes_of(&server).await;
    let empty = list(changes, ListChangesRequest::default()).await.unwrap();
    assert_eq!((empty.changes.len(), empty.newest_revision), (0, None));
    untag(client, &[ANN], &["env"]).await;
    tag(client, BEN, "env", "x").await;
    untag(client, &[ANN, BEN], &["team", "env"]).await;
    tag(client, ANN, "team", "y").await;

    let first = list(changes, ListChangesRequest::default()).await.unwrap();
    assert_eq!(
        (first.oldest_revision, first.newest_revision),
        (Some(1), Some(4))
    );
    let time = |revision: i64| {
        let change = first
            .changes
            .iter()
            .find(|change| change.revision == revision);
        change.unwrap().time
    };
    let all = ListChangesRequest::default;
    let text = str::to_owned;
    let oldest = ChangeOrder::OldestFirst.into();
    for (request, wanted) in [
        (all(), &[4, 3, 2, 1][..]),
        (
            ListChangesRequest {
                order: oldest,
                ..all()
            },
            &[1, 2, 3, 4],
        ),
        (
            ListChangesRequest {
                resource_id: text(ANN),
                ..all()
            },
            &[4, 3, 1],
        ),
        (
            ListChangesRequest {
                resource_id: text(BEN),
                order: oldest,
                ..all()
            },
            &[2, 3],
        ),
        (
            ListChangesRequest {
                resource_id: text("77"),
                ..all()
            },
            &[],
        ),
        (
            ListChangesRequest {
                tag_key: text("team"),
                ..all()
            },
            &[4, 3],
        ),
        // Of Ben it removed only env.
        (
            ListChangesRequest {
                resource_id: text(BEN),
                tag_key: text("team"),
                ..all()
            },
            &[],
        ),
        (
            ListChangesRequest {
                caller: text("anonymous"),
                ..all()
            },
            &[4, 3, 2, 1],
        ),
        (
            ListChangesRequest {
                caller: text("jwt:a"),
                ..all()
            },
            &[],
        ),
        (
            ListChangesRequest {
                action: text("ram:TagResources"),
                ..all()
            },
            &[4, 2],
        ),
        (
            ListChangesRequest {
                action: text("UntagResources"),
                ..all()
            },
            &[3, 1],
        ),
        (
            ListChangesRequest {
                start_time: time(1),
                ..all()
            },
            &[4, 3, 2, 1],
        ),
        (
            ListChangesRequest {
                end_time: time(1),
                ..all()
            },
            &[],
        ),
    ] {
        for page_size in [0, 1, 2] {
            let request = ListChangesRequest {
                page_size,
                ..request.clone()
            };
            assert_eq!(
                revisions(changes, request.clone()).await,
                wanted,
                "{request:?}"
            );
        }
    }
    let other = changes
        .list_changes(ask_as(OTHER_ACCOUNT, all()))
        .await
        .unwrap();
    assert!(other.into_inner().changes.is_empty());
}

#[tokio::test]
async fn a_filter_that_hardly_anything_matches_ends_pages_early_and_finds_it() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    tag(client, BEN, "rare", "x").await;
    for round in 0..1_010 {
        tag(client, ANN, "env", &round.to_string()).await;
    }
    let changes = &mut changes_of(&server).await;
    let request = ListChangesRequest {
        tag_key: "rare".to_owned(),
        ..ListChangesRequest::default()
    };
    let first = list(changes, request.clone()).await.unwrap();
    assert!(first.changes.is_empty() && !first.next_token.is_empty());
    assert_eq!(revisions(changes, request).await, [1]);
}

#[tokio::test]
async fn the_effects_of_a_change_of_many_users_come_in_pages() {
    let home = directory();
    let users =
        (1_000..1_050).map(|id| line("7", &id.to_string(), &format!("u{id}@x"), &[("env", "x")]));
    home.import(&users.collect::<String>());
    let server = home.serve(&[]);
    let request = ask_as("7", untag_request(ids(1_000..1_050), &["env"]));
    let answer = server
        .client()
        .await
        .untag_resources(request)
        .await
        .unwrap();
    let mut request = GetChangeRequest {
        page_size: 20,
        ..by_id(&answer.into_inner().request_id)
    };
    let changes = &mut changes_of(&server).await;
    let mut pages = Vec::new();
    loop {
        let answer = changes
            .get_change(ask_as("7", request.clone()))
            .await
            .unwrap()
            .into_inner();
        let change = answer.change.unwrap();
        assert_eq!(change.changed_resources, 50);
        pages.push(change.effects);
        if answer.next_token.is_empty() {
            break;
        }
        request.next_token = answer.next_token;
    }
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [20, 20, 10]);
    let mut users: Vec<_> = pages
        .concat()
        .into_iter()
        .map(|effect| effect.resource_id)
        .collect();
    users.sort();
    users.dedup();
    assert_eq!(users.len(), 50);
}

#[tokio::test]
async fn a_list_of_large_changes_is_no_larger_than_an_answer_may_be() {
    let home = directory();
    let large = "x".repeat(128);
    let keys: Vec<String> = (0..20)
        .map(|key| format!("{key:03}{}", &large[3..]))
        .collect();
    let tags: Vec<_> = keys
        .iter()
        .map(|key| (key.as_str(), large.as_str()))
        .collect();
    let users = (1_000..1_050).map(|id| line("7", &id.to_string(), &format!("u{id}@x"), &tags));
    home.import(&users.collect::<String>());
    let server = home.serve(&[]);
    let client = &mut server.client().await;
    for _ in 0..3 {
        let untag = untag_request(
            ids(1_000..1_050),
            &keys.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        client.untag_resources(ask_as("7", untag)).await.unwrap();
        let tag = tag_request(ids(1_000..1_050), &tags);
        client.tag_resources(ask_as("7", tag)).await.unwrap();
    }
    let changes = &mut changes_of(&server).await;
    let mut request = ListChangesRequest::default();
    let mut seen = Vec::new();
    loop {
        let page = changes
            .list_changes(ask_as("7", request.clone()))
            .await
            .unwrap()
            .into_inner();
        assert!(prost::Message::encoded_len(&page) < 1_200_000);
        seen.extend(
            page.changes
                .iter()
                .map(|change| (change.revision, change.effects.len())),
        );
        if page.next_token.is_empty() {
            break;
        }
        request.next_token = page.next_token;
    }
    assert_eq!(
        seen,
        (1..=6)
            .rev()
            .map(|revision| (revision, 50))
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn what_can_not_be_found_or_asked_for_says_why() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    untag(client, &[ANN], &["env"]).await;
    let nothing = untag(client, &[ANN], &["env"]).await;
    let changes = &mut changes_of(&server).await;
    let mut text = String::new();
    let unknown = "6AC79B74-9A78-58E2-818B-1D38EDC64D67";
    for (what, request) in [
        ("a request that changed nothing", by_id(&nothing)),
        ("an unknown request", by_id(unknown)),
        ("a revision to come", by(Key::Revision(2))),
        ("no change", GetChangeRequest::default()),
        ("no UUID", by_id("42")),
        ("no revision", by(Key::Revision(0))),
        (
            "a token",
            GetChangeRequest {
                page_size: 101,
                next_token: "x".to_owned(),
                ..by_id(unknown)
            },
        ),
        (
            "another's token",
            GetChangeRequest {
                next_token: "AAAA".to_owned(),
                ..by_id(unknown)
            },
        ),
    ] {
        let error = get(changes, request).await.unwrap_err();
        case(&mut text, what, &error);
    }
    let text_of = str::to_owned;
    let request = ListChangesRequest {
        resource_id: text_of("a"),
        tag_key: text_of("acs:x"),
        caller: "x".repeat(1_025),
        action: text_of("ram:DropUsers"),
        start_time: Some(prost_types::Timestamp {
            seconds: 2,
            nanos: 0,
        }),
        end_time: Some(prost_types::Timestamp {
            seconds: 1,
            nanos: 0,
        }),
        order: 7,
        page_size: -1,
        next_token: String::new(),
    };
    let error = list(changes, request).await.unwrap_err();
    case(&mut text, "a list in which everything is wrong", &error);
    assert_shared_snapshot!(text.replace(&nothing, "[nothing]"));
}

#[tokio::test]
async fn a_token_is_that_of_its_own_list() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    untag(client, &[ANN], &["env"]).await;
    untag(client, &[BEN], &["env"]).await;
    let changes = &mut changes_of(&server).await;
    let request = ListChangesRequest {
        page_size: 1,
        ..ListChangesRequest::default()
    };
    let page = list(changes, request.clone()).await.unwrap();
    let other = ListChangesRequest {
        next_token: page.next_token,
        order: ChangeOrder::OldestFirst.into(),
        ..request
    };
    let error = list(changes, other).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
}

fn revert(request_id: &str) -> RevertChangeRequest {
    RevertChangeRequest {
        request_id: request_id.to_owned(),
        ..RevertChangeRequest::default()
    }
}

#[tokio::test]
async fn a_change_is_reverted_and_so_is_its_revert() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let changes = &mut changes_of(&server).await;
    let before = [tags_of(client, ANN).await, tags_of(client, BEN).await];
    let untagged = untag(client, &[ANN, BEN], &["env", "team"]).await;
    let checked = RevertChangeRequest {
        validate_only: true,
        ..revert(&untagged)
    };
    let checked = changes
        .revert_change(ask(checked))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (
            checked.revision,
            checked.changed_resources,
            checked.changed_tags
        ),
        (None, 2, 3)
    );
    assert_eq!(checked.effects.len(), 2);

    let once = RevertChangeRequest {
        client_token: "t".to_owned(),
        ..revert(&untagged)
    };
    let reverted = changes
        .revert_change(ask(once.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!((reverted.revision, reverted.changed_tags), (Some(2), 3));
    assert_eq!(reverted.effects, checked.effects);
    assert!(reverted.conflicts.is_empty());
    assert_eq!(
        [tags_of(client, ANN).await, tags_of(client, BEN).await],
        before
    );
    // Sent again it is answered as it was, and changes nothing.
    let again = changes.revert_change(ask(once)).await.unwrap().into_inner();
    assert_eq!(again, reverted);

    let entry = get(changes, by_id(&reverted.request_id))
        .await
        .unwrap()
        .change
        .unwrap();
    assert_eq!(
        (entry.action.as_str(), entry.revision),
        ("untag:RevertChange", 2)
    );
    let again = changes
        .revert_change(ask(revert(&reverted.request_id)))
        .await
        .unwrap();
    assert_eq!(again.into_inner().revision, Some(3));
    assert_eq!(tags_of(client, ANN).await, ["501 Team=b"]);
    let line = server.wait_for_log_where("request", |line| {
        line["method"] == "/ram.tag.v1.ChangeService/RevertChange" && line["affected"] == 3
    });
    assert_eq!(line["code"], "OK");
}

#[tokio::test]
async fn what_was_changed_again_is_named_and_left_out_where_that_is_wanted() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let changes = &mut changes_of(&server).await;
    let untagged = untag(client, &[ANN, BEN], &["env"]).await;
    tag(client, ANN, "env", "newer").await;
    let refused = changes
        .revert_change(ask(revert(&untagged)))
        .await
        .unwrap_err();
    let wrong = RevertChangeRequest {
        request_id: "x".to_owned(),
        on_conflict: 7,
        client_token: "\n".to_owned(),
        validate_only: false,
    };
    let wrong = changes.revert_change(ask(wrong)).await.unwrap_err();
    let unknown = revert("6AC79B74-9A78-58E2-818B-1D38EDC64D67");
    let unknown = changes.revert_change(ask(unknown)).await.unwrap_err();
    let mut text = String::new();
    for (what, error) in [
        ("a conflict", refused),
        ("all is wrong", wrong),
        ("unknown", unknown),
    ] {
        case(&mut text, what, &error);
    }
    assert_shared_snapshot!(text);
    let skip = RevertChangeRequest {
        on_conflict: OnConflict::Skip.into(),
        ..revert(&untagged)
    };
    let skipped = changes.revert_change(ask(skip)).await.unwrap().into_inner();
    assert_eq!((skipped.changed_resources, skipped.changed_tags), (1, 1));
    let conflict = &skipped.conflicts[0];
    assert_eq!(
        (conflict.resource_id.as_str(), conflict.tag_key.as_str()),
        (ANN, "env")
    );
    assert_eq!(conflict.reason(), ConflictReason::TagSetAgain);
    assert_eq!(tags_of(client, BEN).await, ["502 env=test"]);
}
