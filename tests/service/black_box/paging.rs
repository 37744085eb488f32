//! Lists that do not fit on one page.

use std::fmt::Write as _;

use tonic::Code;
use untag::grpc::proto::ListTagResourcesRequest;

use super::answer::alibaba_codes;
use super::home::Home;
use super::users::{
    ACCOUNT, ANN, Client, FULL, OTHER_ACCOUNT, ask, ask_as, filter_request, ids, line, list_as,
    list_request, server, untag_request,
};

/// The first page of a list, its number of tags and its token.
async fn page(client: &mut Client, request: ListTagResourcesRequest) -> (usize, String) {
    let page = client
        .list_tag_resources(ask(request))
        .await
        .unwrap()
        .into_inner();
    (page.tag_resources.len(), page.next_token)
}

#[tokio::test]
async fn pages_of_any_size_add_up_to_the_whole_list() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let users = ids([FULL, ANN]);
    let whole = list_as(client, ACCOUNT, list_request(users.clone()))
        .await
        .unwrap();
    assert_eq!(whole.len(), 23);
    for page_size in [1, 7, 22, 23, 24, 100] {
        let request = ListTagResourcesRequest {
            page_size,
            ..list_request(users.clone())
        };
        let (count, token) = page(client, request.clone()).await;
        let size = usize::try_from(page_size).unwrap();
        assert_eq!(count, size.min(23));
        assert_eq!(
            token.is_empty(),
            size >= 23,
            "a token is given exactly when more is to come"
        );
        assert_eq!(list_as(client, ACCOUNT, request).await.unwrap(), whole);
    }
}

#[tokio::test]
async fn a_page_has_100_tags_when_the_request_does_not_say() {
    let home = Home::new();
    let users: String = (0..101)
        .map(|id| {
            line(
                ACCOUNT,
                &format!("{id:03}"),
                &format!("u{id}@d"),
                &[("k", "v")],
            )
        })
        .collect();
    home.import(&users);
    let server = home.serve(&[]);
    let client = &mut server.client().await;
    let (count, token) = page(client, filter_request(&[("k", None)])).await;
    assert_eq!(count, 100);
    assert!(!token.is_empty());
    let listed = list_as(client, ACCOUNT, filter_request(&[("k", None)]))
        .await
        .unwrap();
    let expected: Vec<String> = (0..101).map(|id| format!("{id:03} k=v")).collect();
    assert_eq!(listed, expected);
}

#[tokio::test]
async fn the_page_size_may_change_from_page_to_page() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let request = list_request(ids([FULL]));
    let first = ListTagResourcesRequest {
        page_size: 3,
        ..request.clone()
    };
    let (_, next_token) = page(client, first).await;
    let rest = ListTagResourcesRequest {
        page_size: 50,
        next_token,
        ..request
    };
    assert_eq!(page(client, rest).await, (17, String::new()));
}

#[tokio::test]
async fn a_list_goes_on_behind_tags_that_are_removed_meanwhile() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let request = ListTagResourcesRequest {
        page_size: 5,
        ..list_request(ids([FULL]))
    };
    let (_, next_token) = page(client, request.clone()).await;
    let gone = untag_request(ids([FULL]), &["k04", "k05", "k06"]);
    client.untag_resources(ask(gone)).await.unwrap();
    let rest = ListTagResourcesRequest {
        next_token,
        ..request
    };
    let rest = list_as(client, ACCOUNT, rest).await.unwrap();
    assert_eq!(rest.first().unwrap(), "503 k07=v");
    assert_eq!(rest.len(), 14);
}

#[tokio::test]
async fn a_token_serves_only_the_request_it_was_given_for() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let request = ListTagResourcesRequest {
        page_size: 1,
        ..list_request(ids([ANN]))
    };
    let (_, next_token) = page(client, request.clone()).await;
    let with_token = |request| ListTagResourcesRequest {
        next_token: next_token.clone(),
        ..request
    };

    let other_user = with_token(list_request(ids([FULL])));
    let more_users = with_token(list_request(ids([ANN, FULL])));
    let filtered = ListTagResourcesRequest {
        resources: request.resources.clone(),
        ..filter_request(&[("env", None)])
    };
    let everybody = with_token(filter_request(&[("env", None)]));
    for request in [other_user, more_users, with_token(filtered), everybody] {
        let refused = client.list_tag_resources(ask(request)).await.unwrap_err();
        assert_eq!(alibaba_codes(&refused), ["InvalidParameter.NextToken"]);
    }
    let other_account = ask_as(OTHER_ACCOUNT, with_token(request.clone()));
    let refused = client.list_tag_resources(other_account).await.unwrap_err();
    assert_eq!(alibaba_codes(&refused), ["InvalidParameter.NextToken"]);

    let mut cut = next_token.clone();
    cut.pop();
    for text in [
        "x",
        "!",
        "AA",
        "AQAAAAAAAAAA",
        &cut[..8],
        &format!("{next_token}="),
        &"A".repeat(10_000),
    ] {
        let request = ListTagResourcesRequest {
            next_token: text.to_owned(),
            ..request.clone()
        };
        let refused = client.list_tag_resources(ask(request)).await.unwrap_err();
        assert_eq!(
            (refused.code(), alibaba_codes(&refused)),
            (
                Code::InvalidArgument,
                vec!["InvalidParameter.NextToken".to_owned()]
            )
        );
    }
    page(client, with_token(request)).await;
}

#[tokio::test]
async fn a_filter_that_matches_the_last_of_many_users_finds_it_over_empty_pages() {
    let home = Home::new();
    let mut users = String::new();
    for id in 0..20_500 {
        let tags: &[(&str, &str)] = if id == 20_499 {
            &[("rare", "yes")]
        } else {
            &[("common", "")]
        };
        users
            .write_str(&line(
                ACCOUNT,
                &format!("{id:05}"),
                &format!("u{id}@d"),
                tags,
            ))
            .unwrap();
    }
    home.import(&users);
    let server = home.serve(&[]);
    let client = &mut server.client().await;
    let (count, token) = page(client, filter_request(&[("rare", None)])).await;
    assert_eq!(count, 0, "one request looks at so many users only");
    assert!(!token.is_empty());
    let found = list_as(client, ACCOUNT, filter_request(&[("rare", None)]))
        .await
        .unwrap();
    assert_eq!(found, ["20499 rare=yes"]);
}
