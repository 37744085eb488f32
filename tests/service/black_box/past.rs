//! Lists of the past: the tags that named users carried right behind a change.

use untag::grpc::proto::{ListTagResourcesRequest, UntagResourcesRequest};

use super::answer::{assert_shared_snapshot, case};
use super::users::{
    ANN, ANN_NAME, BEN, Client, FULL, Users, ask, filter_request, ids, list_request, names, server,
    tag_request, untag_request,
};

fn at(revision: i64, request: ListTagResourcesRequest) -> ListTagResourcesRequest {
    ListTagResourcesRequest {
        revision,
        ..request
    }
}

/// All pages of a list, in pages of this size.
async fn listed(client: &mut Client, mut request: ListTagResourcesRequest) -> Vec<String> {
    let mut tags = Vec::new();
    loop {
        let page = client.list_tag_resources(ask(request.clone())).await;
        let page = page.unwrap().into_inner();
        let texts = page.tag_resources.into_iter();
        tags.extend(texts.map(|tag| {
            let (id, key, value) = (tag.resource_id, tag.tag_key, tag.tag_value);
            format!("{id} {key}={value}")
        }));
        if page.next_token.is_empty() {
            return tags;
        }
        request.next_token = page.next_token;
    }
}

#[tokio::test]
async fn a_list_with_a_revision_shows_what_there_was_then() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let both = || ids([ANN, BEN]);
    let first = client.untag_resources(ask(untag_request(both(), &["env"])));
    assert_eq!(first.await.unwrap().into_inner().revision, Some(1));
    let second = client.tag_resources(ask(tag_request(both(), &[("env", "new"), ("x", "")])));
    assert_eq!(second.await.unwrap().into_inner().revision, Some(2));
    let all = UntagResourcesRequest {
        all: true,
        ..untag_request(ids([ANN, BEN, FULL]), &[])
    };
    client.untag_resources(ask(all)).await.unwrap();
    let by_name = || names([ANN_NAME.to_lowercase().as_str(), "BEN@example.com"]);
    for users in [both(), by_name()] {
        let list = |revision| ListTagResourcesRequest {
            page_size: 2,
            ..at(revision, list_request(users.clone()))
        };
        let first = listed(client, list(1)).await;
        assert_eq!(first, ["501 Team=b", "501 team=a"]);
        let second = listed(client, list(2)).await;
        let expected = [
            "501 Team=b",
            "501 env=new",
            "501 team=a",
            "501 x=",
            "502 env=new",
            "502 x=",
        ];
        assert_eq!(second, expected);
        let filtered = ListTagResourcesRequest {
            resources: list(2).resources,
            ..at(2, filter_request(&[("env", Some("new")), ("team", None)]))
        };
        assert_eq!(
            listed(client, filtered).await,
            ["501 env=new", "501 team=a"]
        );
        assert_eq!(listed(client, list(3)).await, [""; 0]);
        assert_eq!(listed(client, list(0)).await, [""; 0]);
    }
    assert_eq!(
        listed(client, at(2, list_request(ids([FULL])))).await.len(),
        20
    );
}

#[tokio::test]
async fn a_list_with_a_revision_names_each_fault() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let of = |users: Users| list_request(users);
    let mut text = String::new();
    let newest = at(1, of(ids([ANN])));
    let nothing = client
        .list_tag_resources(ask(newest.clone()))
        .await
        .unwrap_err();
    case(&mut text, "an account without a change", &nothing);
    client
        .untag_resources(ask(untag_request(ids([ANN]), &["env"])))
        .await
        .unwrap();
    for (what, request) in [
        ("a revision to come", at(2, of(ids([ANN])))),
        ("a negative revision", at(-1, of(ids([ANN])))),
        ("no users", at(1, filter_request(&[("env", None)]))),
        ("missing ids", at(1, of(ids([ANN, "901", "902"])))),
        (
            "missing names",
            at(1, of(names(["nobody@example.com", ANN_NAME]))),
        ),
        ("the token of another revision", {
            let first = ListTagResourcesRequest {
                page_size: 1,
                ..newest
            };
            let page = client.list_tag_resources(ask(first.clone())).await.unwrap();
            let next_token = page.into_inner().next_token;
            assert_ne!(next_token, "");
            ListTagResourcesRequest {
                next_token,
                revision: 0,
                ..first
            }
        }),
    ] {
        let refused = client.list_tag_resources(ask(request)).await.unwrap_err();
        case(&mut text, what, &refused);
    }
    assert_shared_snapshot!(text);
}
