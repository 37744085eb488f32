//! The size of the headers of an error: headers that a client does not take are lost whole, code and all.

use tonic::Code;
use tonic_types::StatusExt as _;
use untag::grpc::proto::UntagResourcesRequest;

use super::answer::alibaba_codes;
use super::home::Home;
use super::users::{ACCOUNT, ANN, ids, line, names, server, tag_request, untag_request};
use super::wire::{UNTAG, Wire, frame};
use crate::support::Server;

/// The bytes of headers that gRPC libraries take in all, by default.
const COMMON_HEADER_LIMIT: usize = 8 * 1024;

fn texts(owned: &[String]) -> Vec<&str> {
    owned.iter().map(String::as_str).collect()
}

/// Asks on the wire and returns the status, after a look at what its headers weigh.
async fn status_within_the_header_limit(
    server: &Server,
    request: &UntagResourcesRequest,
) -> tonic::Status {
    let answer = Wire::open(server.address)
        .await
        .call(UNTAG, &[], frame(request))
        .await;
    let bytes = answer.header_list_bytes();
    assert!(
        bytes < COMMON_HEADER_LIMIT,
        "{bytes} bytes: {:?}",
        answer.headers
    );
    answer.status()
}

#[tokio::test]
async fn fifty_long_missing_names_fit_into_the_headers_of_an_answer() {
    let (server, _directory) = server(&[]);
    let longest = |number| format!("{number:02}{}@{}", "u".repeat(62), "d".repeat(63));
    let mut users: Vec<String> = (0..50).map(longest).collect();
    users[7] = "ben@example.com".to_owned();
    let request = untag_request(names(&users), &["env"]);
    let status = status_within_the_header_limit(&server, &request).await;
    assert_eq!(status.code(), Code::NotFound);

    let details = status.get_error_details_vec();
    let named: Vec<String> = details
        .into_iter()
        .filter_map(|detail| match detail {
            tonic_types::ErrorDetail::ResourceInfo(info) => Some(info.resource_name),
            _ => None,
        })
        .collect();
    let missing: Vec<usize> = (0..50).filter(|position| *position != 7).collect();
    assert!(named.len() > 10 && named.len() < 49, "{}", named.len());
    for (name, position) in named.iter().zip(&missing) {
        assert_eq!(name, &users[*position]);
    }
    let positions: Vec<String> = missing.iter().map(ToString::to_string).collect();
    let details = status.get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(
        metadata["missing_positions"],
        positions.join(","),
        "every missing user is named by its place"
    );
}

#[tokio::test]
async fn a_few_missing_users_need_no_positions() {
    let (server, _directory) = server(&[]);
    let request = untag_request(ids(900..950), &["env"]);
    let status = status_within_the_header_limit(&server, &request).await;
    let details = status.get_error_details();
    assert!(
        !details
            .error_info()
            .unwrap()
            .metadata
            .contains_key("missing_positions")
    );
    let named = status.get_error_details_vec().into_iter();
    let named = named.filter(|detail| matches!(detail, tonic_types::ErrorDetail::ResourceInfo(_)));
    assert_eq!(named.count(), 50);
}

#[tokio::test]
async fn twenty_long_invalid_keys_and_50_invalid_ids_fit_into_the_headers_of_an_answer() {
    let (server, _directory) = server(&[]);
    // Characters that are escaped when they are quoted are the longest of all.
    for character in ["键", "\u{202e}", "\u{10ffff}", "\"", "\n"] {
        let keys: Vec<String> = (0..20)
            .map(|number| format!("acs:{number:02}{}", character.repeat(122)))
            .collect();
        let request = untag_request(ids([ANN]), &texts(&keys));
        let status = status_within_the_header_limit(&server, &request).await;
        let codes = alibaba_codes(&status);
        assert_eq!(codes[0], "InvalidParameter.TagKey");

        let everything = untag_request(ids((0..50).map(|_| character.repeat(100))), &texts(&keys));
        let everything = UntagResourcesRequest {
            resource_type: character.repeat(500),
            ..everything
        };
        let status = status_within_the_header_limit(&server, &everything).await;
        let details = status.get_error_details();
        let last = details
            .bad_request()
            .unwrap()
            .field_violations
            .last()
            .unwrap();
        assert!(
            last.description.ends_with("more faults do not fit here"),
            "{}",
            last.description
        );
    }
}

#[tokio::test]
async fn fifty_users_with_too_many_tags_fit_into_the_headers_of_an_answer() {
    let home = Home::new();
    let name = |number| format!("{number:02}{}@{}", "u".repeat(62), "d".repeat(63));
    let keys: Vec<String> = (0..20).map(|number| format!("key-{number}")).collect();
    let tags: Vec<(&str, &str)> = keys.iter().map(|key| (key.as_str(), "v")).collect();
    let user = |number: usize| line(ACCOUNT, &number.to_string(), &name(number), &tags);
    home.import(&(0..50).map(user).collect::<String>());
    let server = home.serve(&[]);
    let request = tag_request(names((0..50).map(name)), &[("one-more", "")]);
    let path = "/ram.tag.v1.TagService/TagResources";
    let answer = Wire::open(server.address)
        .await
        .call(path, &[], frame(&request))
        .await;
    let bytes = answer.header_list_bytes();
    assert!(bytes < COMMON_HEADER_LIMIT, "{bytes} bytes");
    let details = answer.status().get_error_details();
    let violations = &details.quota_failure().unwrap().violations;
    assert!(
        violations
            .last()
            .unwrap()
            .description
            .ends_with("more users do not fit here")
    );
}
