//! Keys and values with how many users carry them.

use std::fmt::Write as _;

use tonic::Code;
use untag::grpc::proto::{ListTagKeysRequest, ListTagValuesRequest};

use super::answer::alibaba_codes;
use super::home::Home;
use super::users::{
    ACCOUNT, ANN, Client, OTHER_ACCOUNT, ask, ask_as, ids, line, server, untag_request,
};

/// The keys of an account, page after page, as `key count`.
async fn keys(client: &mut Client, account: &str) -> Vec<String> {
    let (mut all, mut request) = (Vec::new(), ListTagKeysRequest::default());
    loop {
        let page = client.list_tag_keys(ask_as(account, request.clone())).await;
        let page = page.unwrap().into_inner();
        assert_eq!(page.request_id.len(), 36);
        let found = page.tag_keys.into_iter();
        all.extend(found.map(|found| format!("{} {}", found.key, found.count)));
        if page.next_token.is_empty() {
            return all;
        }
        request.next_token = page.next_token;
    }
}

fn values_request(key: &str) -> ListTagValuesRequest {
    ListTagValuesRequest {
        tag_key: key.to_owned(),
        ..ListTagValuesRequest::default()
    }
}

/// The values of a key on the first page, as `value count`, and its token.
async fn values(client: &mut Client, request: ListTagValuesRequest) -> (Vec<String>, String) {
    let page = client.list_tag_values(ask(request)).await.unwrap();
    let page = page.into_inner();
    let found = page.tag_values.into_iter();
    let found = found.map(|found| format!("{} {}", found.value, found.count));
    (found.collect(), page.next_token)
}

#[tokio::test]
async fn keys_and_values_are_listed_with_how_many_users_carry_them() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let mut expected = vec!["Team 1".to_owned(), "env 2".to_owned()];
    expected.extend((1..=20).map(|number| format!("k{number:02} 1")));
    expected.push("team 1".to_owned());
    assert_eq!(keys(client, ACCOUNT).await, expected);
    assert_eq!(keys(client, OTHER_ACCOUNT).await, ["env 1"]);
    assert_eq!(keys(client, "3").await, [""; 0]);
    let (found, token) = values(client, values_request("env")).await;
    assert_eq!(
        (found, token.as_str()),
        (vec!["prod 1".to_owned(), "test 1".to_owned()], "")
    );

    let untag = ask(untag_request(ids([ANN]), &["env", "Team"]));
    client.untag_resources(untag).await.unwrap();
    let (found, _) = values(client, values_request("env")).await;
    assert_eq!(found, ["test 1"]);
    assert!(!keys(client, ACCOUNT).await.contains(&"Team 1".to_owned()));
}

#[tokio::test]
async fn values_go_on_where_a_page_has_ended_and_a_token_is_for_its_own_request() {
    let home = Home::new();
    let lines = (0..1_001).fold(String::new(), |mut lines, id| {
        let name = format!("u{id}@example.com");
        let tags = [("each", id.to_string()), ("all", "x".to_owned())];
        let tags = tags.each_ref().map(|(key, value)| (*key, value.as_str()));
        let _ = write!(
            lines,
            "{}",
            line(ACCOUNT, &format!("{id:04}"), &name, &tags)
        );
        lines
    });
    home.import(&lines);
    let server = home.serve(&[]);
    let client = &mut server.client().await;
    let (first, token) = values(client, values_request("each")).await;
    assert_eq!(first.len(), 1_000);
    let with_token = |key: &str| ListTagValuesRequest {
        next_token: token.clone(),
        ..values_request(key)
    };
    let (rest, end) = values(client, with_token("each")).await;
    assert_eq!((rest, end.as_str()), (vec!["1000 1".to_owned()], ""));

    let of_another_key = client.list_tag_values(ask(with_token("all"))).await;
    let of_another_account = ask_as(OTHER_ACCOUNT, with_token("each"));
    let of_another_account = client.list_tag_values(of_another_account).await;
    let keys = ListTagKeysRequest {
        next_token: token.clone(),
        ..ListTagKeysRequest::default()
    };
    let of_keys = client
        .list_tag_keys(ask(keys))
        .await
        .map(|_| unreachable!());
    for refused in [of_another_key, of_another_account, of_keys] {
        let status = refused.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(alibaba_codes(&status), ["InvalidParameter.NextToken"]);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_count_is_named() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let keys = ListTagKeysRequest {
        resource_type: "group".to_owned(),
        next_token: "x".to_owned(),
    };
    let refused = client.list_tag_keys(ask(keys)).await.unwrap_err();
    assert_eq!(alibaba_codes(&refused), ["InvalidParameter.ResourceType"]);
    let values = ListTagValuesRequest {
        resource_type: "group".to_owned(),
        ..values_request("")
    };
    let refused = client.list_tag_values(ask(values)).await.unwrap_err();
    let codes = ["InvalidParameter.ResourceType", "InvalidParameter.TagKey"];
    assert_eq!(alibaba_codes(&refused), codes);
}
