//! The last value that is taken and the first that is refused.

use prost::Message as _;
use tonic::Code;
use untag::grpc::proto::Tag;

use super::answer::alibaba_codes;
use super::home::Home;
use super::users::{
    ACCOUNT, ANN, FULL, ask, filter_request, ids, line, list_as, list_request, names, server,
    tag_request, tags_of, untag_request,
};

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("key-{number}")).collect()
}

fn texts(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn fifty_resources_are_taken_and_51_refused() {
    let home = Home::new();
    let user = |id: usize| line(ACCOUNT, &id.to_string(), &format!("u{id}@d"), &[("k", "v")]);
    home.import(&(0..51).map(user).collect::<String>());
    let server = home.serve(&[]);
    let client = &mut server.client().await;
    let too_many = client
        .untag_resources(ask(untag_request(ids(0..51), &["k"])))
        .await
        .unwrap_err();
    assert_eq!(alibaba_codes(&too_many), ["NumberExceed.ResourceIds"]);
    let of_names = |count| names((0..count).map(|id| format!("U{id}@d")));
    let too_many = client
        .untag_resources(ask(untag_request(of_names(51), &["k"])))
        .await
        .unwrap_err();
    assert_eq!(alibaba_codes(&too_many), ["NumberExceed.ResourceIds"]);

    client
        .tag_resources(ask(tag_request(of_names(50), &[("new", "")])))
        .await
        .unwrap();
    client
        .untag_resources(ask(untag_request(ids(0..50), &["k"])))
        .await
        .unwrap();
    assert_eq!(
        list_as(client, ACCOUNT, list_request(ids(0..50)))
            .await
            .unwrap()
            .len(),
        50
    );
    assert_eq!(tags_of(client, "50").await, ["50 k=v"]);
}

#[tokio::test]
async fn twenty_keys_are_taken_and_21_refused() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let keys = numbered(21);
    let keys = texts(&keys);
    client
        .untag_resources(ask(untag_request(ids([ANN]), &["env", "team", "Team"])))
        .await
        .unwrap();

    let tags: Vec<(&str, &str)> = keys.iter().map(|key| (*key, "v")).collect();
    let too_many = client
        .tag_resources(ask(tag_request(ids([ANN]), &tags)))
        .await
        .unwrap_err();
    assert_eq!(alibaba_codes(&too_many), ["NumberExceed.Tags"]);
    client
        .tag_resources(ask(tag_request(ids([ANN]), &tags[..20])))
        .await
        .unwrap();
    assert_eq!(tags_of(client, ANN).await.len(), 20);

    let filters: Vec<(&str, Option<&str>)> = keys.iter().map(|key| (*key, None)).collect();
    let too_many = client
        .list_tag_resources(ask(filter_request(&filters)))
        .await
        .unwrap_err();
    assert_eq!(alibaba_codes(&too_many), ["NumberExceed.Tags"]);
    assert_eq!(
        list_as(client, ACCOUNT, filter_request(&filters[..20]))
            .await
            .unwrap()
            .len(),
        20
    );

    let too_many = client
        .untag_resources(ask(untag_request(ids([ANN]), &keys)))
        .await
        .unwrap_err();
    assert_eq!(alibaba_codes(&too_many), ["NumberExceed.TagKeys"]);
    client
        .untag_resources(ask(untag_request(ids([ANN]), &keys[..20])))
        .await
        .unwrap();
    assert!(tags_of(client, ANN).await.is_empty());
}

#[tokio::test]
async fn keys_and_values_of_128_characters_of_any_width_are_taken_and_129_refused() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    for character in ["k", "é", "键", "𝒌"] {
        let (longest, too_long) = (character.repeat(128), character.repeat(129));
        let set = tag_request(ids([ANN]), &[(&longest, &longest)]);
        client.tag_resources(ask(set)).await.unwrap();
        let listed = list_as(
            client,
            ACCOUNT,
            filter_request(&[(&longest, Some(&longest))]),
        )
        .await;
        assert_eq!(listed.unwrap(), [format!("{ANN} {longest}={longest}")]);
        client
            .untag_resources(ask(untag_request(ids([ANN]), &[&longest])))
            .await
            .unwrap();
        assert_eq!(tags_of(client, ANN).await.len(), 3);

        let key = client
            .untag_resources(ask(untag_request(ids([ANN]), &[&too_long])))
            .await
            .unwrap_err();
        assert_eq!(alibaba_codes(&key), ["InvalidParameter.TagKey"]);
        let value = tag_request(ids([ANN]), &[("k", &too_long)]);
        let value = client.tag_resources(ask(value)).await.unwrap_err();
        assert_eq!(alibaba_codes(&value), ["InvalidParameter.TagValue"]);
    }
}

#[tokio::test]
async fn ids_of_32_digits_and_names_of_128_characters_are_taken_and_longer_ones_refused() {
    let home = Home::new();
    let id = "7".repeat(32);
    let name = format!("{}@{}", "u".repeat(64), "d".repeat(63));
    home.import(&line(ACCOUNT, &id, &name, &[("k", "v")]));
    let server = home.serve(&[]);
    let client = &mut server.client().await;
    client
        .tag_resources(ask(tag_request(ids([&id]), &[("by-id", "")])))
        .await
        .unwrap();
    client
        .tag_resources(ask(tag_request(names([&name]), &[("by-name", "")])))
        .await
        .unwrap();
    assert_eq!(tags_of(client, &id).await.len(), 3);

    let longer = [
        (ids([format!("{id}7")]), "InvalidParameter.ResourceId"),
        (
            names([format!("{name}d")]),
            "InvalidParameter.ResourcePrincipalName",
        ),
        (
            names([format!("{}@d", "u".repeat(65))]),
            "InvalidParameter.ResourcePrincipalName",
        ),
    ];
    for (users, code) in longer {
        let refused = client
            .untag_resources(ask(untag_request(users, &["k"])))
            .await
            .unwrap_err();
        assert_eq!(alibaba_codes(&refused), [code]);
    }
}

#[tokio::test]
async fn the_largest_valid_request_fits_into_a_message() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let keys: Vec<String> = (0..20)
        .map(|number| format!("{}{number:02}", "𝒌".repeat(126)))
        .collect();
    let value = "𝒗".repeat(128);
    let tags: Vec<(&str, &str)> = keys
        .iter()
        .map(|key| (key.as_str(), value.as_str()))
        .collect();
    let longest_names =
        (0..50).map(|number| format!("{number:02}{}@{}", "u".repeat(62), "d".repeat(63)));
    let request = tag_request(names(longest_names), &tags);
    assert!(request.encoded_len() > 20_000);
    let missing = client.tag_resources(ask(request)).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound, "it is read and looked up");

    let mut full = tag_request(ids([FULL]), &tags[..1]);
    full.tags.push(Tag {
        key: "k01".to_owned(),
        value,
    });
    let refused = client.tag_resources(ask(full)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}
