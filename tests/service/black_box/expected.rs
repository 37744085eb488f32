//! Untags that expect values: who has another one is named, and never the value.

use tonic::Code;
use tonic_types::StatusExt as _;
use untag::grpc::proto::UntagResourcesRequest;

use super::answer::{assert_shared_snapshot, case};
use super::users::{
    ANN, ANN_NAME, BEN, FULL, Users, ask, ask_as, dry, ids, line, names, server, tags_of,
    untag_request,
};

fn expecting(users: Users, keys: &[&str], values: &[(&str, &str)]) -> UntagResourcesRequest {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    UntagResourcesRequest {
        expected_values: values.iter().map(owned).collect(),
        ..untag_request(users, keys)
    }
}

#[tokio::test]
async fn a_tag_with_another_value_than_expected_refuses_the_untag_by_name() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let keys = ["env", "team", "k07"];
    let values = [("env", "secret-prod"), ("team", "a"), ("k07", "secret-x")];
    let mut text = String::new();
    for (what, users) in [
        ("by id", ids([BEN, FULL, ANN])),
        (
            "by name",
            names([ANN_NAME.to_uppercase().as_str(), "ben@example.com"]),
        ),
    ] {
        for request in [
            expecting(users.clone(), &keys, &values),
            dry(expecting(users, &keys, &values)),
        ] {
            let refused = client.untag_resources(ask(request)).await.unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition);
            assert!(!format!("{refused:?}").contains("secret"), "{refused:?}");
            case(&mut text, what, &refused);
        }
    }
    assert_shared_snapshot!(text);
    assert_eq!(tags_of(client, ANN).await.len(), 3);
    assert_eq!(tags_of(client, BEN).await, ["502 env=test"]);
}

#[tokio::test]
async fn tags_with_another_value_stay_where_that_is_skipped_and_the_answer_names_them() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let request = UntagResourcesRequest {
        skip_mismatched: true,
        ..expecting(
            ids([BEN, ANN]),
            &["env", "team", "Team"],
            &[("env", "prod"), ("Team", "x"), ("team", "a")],
        )
    };
    let answer = client
        .untag_resources(ask(request))
        .await
        .unwrap()
        .into_inner();
    let stayed = answer.mismatched_tags.iter();
    let stayed: Vec<_> = stayed
        .map(|tag| format!("{} {}", tag.resource_name, tag.tag_key))
        .collect();
    assert_eq!(stayed, ["502 env", "501 Team"]);
    assert_eq!(
        (answer.changed_resources, answer.changed_tags),
        (Some(1), Some(2))
    );
    assert_eq!(tags_of(client, ANN).await, ["501 Team=b"]);
    assert_eq!(tags_of(client, BEN).await, ["502 env=test"]);
}

#[tokio::test]
async fn every_mismatch_of_the_largest_request_fits_into_an_error() {
    let (server, home) = server(&[]);
    drop(server);
    let keys: Vec<String> = (0..20)
        .map(|number| format!("{number:02}{}", "k".repeat(126)))
        .collect();
    let tags: Vec<_> = keys.iter().map(|key| (key.as_str(), "v")).collect();
    let users = (1000..1050).map(|id| line("7", &id.to_string(), &format!("u{id}@x"), &tags));
    home.import(&users.collect::<String>());
    let server = home.serve(&[]);
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let values: Vec<_> = keys.iter().map(|key| (*key, "other")).collect();
    let request = expecting(ids(1000..1050), &keys, &values);
    let request = ask_as("7", request);
    let refused = server
        .client()
        .await
        .untag_resources(request)
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition, "{refused:?}");
    let details = refused.get_error_details();
    let named = details.precondition_failure().unwrap().violations.len();
    assert!((10..1000).contains(&named), "{named}");
    let users: Vec<_> = (0..50).map(|position| position.to_string()).collect();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["mismatched_positions"], users.join(","));
}
