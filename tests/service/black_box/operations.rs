//! UntagResources, TagResources and ListTagResources from end to end, where all goes well or is refused as a whole.

use tonic::Code;
use untag::grpc::proto::{ListTagResourcesRequest, UntagResourcesRequest};

use super::answer::{REQUEST_ID_HEADER, assert_request_id};
use super::users::{
    ACCOUNT, ANN, ANN_NAME, BEN, FULL, ask, dry, filter_request, ids, list_as, list_request, names,
    server, tag_request, tags_of, untag_request,
};

#[tokio::test]
async fn untag_removes_the_keys_and_skips_those_a_user_does_not_carry() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let request = untag_request(ids([ANN, BEN]), &["env", "team", "nobody-has-this"]);
    client.untag_resources(ask(request)).await.unwrap();
    assert_eq!(
        tags_of(client, ANN).await,
        ["501 Team=b"],
        "keys are case-sensitive"
    );
    assert!(tags_of(client, BEN).await.is_empty());
    assert_eq!(
        tags_of(client, FULL).await.len(),
        20,
        "not named, not touched"
    );
}

#[tokio::test]
async fn untag_with_all_removes_every_tag() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let request = UntagResourcesRequest {
        all: true,
        ..untag_request(ids([ANN, FULL]), &[])
    };
    client.untag_resources(ask(request)).await.unwrap();
    assert!(tags_of(client, ANN).await.is_empty());
    assert!(tags_of(client, FULL).await.is_empty());
    assert_eq!(tags_of(client, BEN).await, ["502 env=test"]);
}

#[tokio::test]
async fn all_is_ignored_beside_keys() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let request = UntagResourcesRequest {
        all: true,
        ..untag_request(ids([ANN]), &["env"])
    };
    client.untag_resources(ask(request)).await.unwrap();
    assert_eq!(tags_of(client, ANN).await, ["501 Team=b", "501 team=a"]);
}

#[tokio::test]
async fn users_are_found_by_name_without_regard_to_case() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let shouted = names([ANN_NAME.to_uppercase()]);
    client
        .untag_resources(ask(untag_request(shouted.clone(), &["env"])))
        .await
        .unwrap();
    client
        .tag_resources(ask(tag_request(shouted.clone(), &[("new", "1")])))
        .await
        .unwrap();
    let listed = list_as(client, ACCOUNT, list_request(shouted))
        .await
        .unwrap();
    assert_eq!(listed, ["501 Team=b", "501 new=1", "501 team=a"]);
}

#[tokio::test]
async fn the_same_user_twice_is_one_user() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    client
        .untag_resources(ask(untag_request(ids([ANN, ANN]), &["env"])))
        .await
        .unwrap();
    let twice = names([ANN_NAME.to_owned(), ANN_NAME.to_lowercase()]);
    client
        .tag_resources(ask(tag_request(twice.clone(), &[("new", "1")])))
        .await
        .unwrap();
    let listed = list_as(client, ACCOUNT, list_request(twice)).await.unwrap();
    assert_eq!(listed, ["501 Team=b", "501 new=1", "501 team=a"]);
}

#[tokio::test]
async fn one_missing_user_leaves_everything_as_it_is() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let untag = untag_request(ids([ANN, "999", BEN]), &["env"]);
    assert_eq!(
        client.untag_resources(ask(untag)).await.unwrap_err().code(),
        Code::NotFound
    );
    let tag = tag_request(ids([ANN, "999", BEN]), &[("new", "1")]);
    assert_eq!(
        client.tag_resources(ask(tag)).await.unwrap_err().code(),
        Code::NotFound
    );
    assert_eq!(
        tags_of(client, ANN).await,
        ["501 Team=b", "501 env=prod", "501 team=a"]
    );
    assert_eq!(tags_of(client, BEN).await, ["502 env=test"]);
}

#[tokio::test]
async fn allow_missing_skips_missing_users() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let request = untag_request(ids(["998", BEN, "999"]), &["env"]);
    let request = UntagResourcesRequest {
        allow_missing: true,
        ..request
    };
    client.untag_resources(ask(request)).await.unwrap();
    assert!(tags_of(client, BEN).await.is_empty());

    let nobody = UntagResourcesRequest {
        allow_missing: true,
        ..untag_request(ids(["999"]), &["env"])
    };
    client.untag_resources(ask(nobody)).await.unwrap();
}

#[tokio::test]
async fn validate_only_checks_everything_and_changes_nothing() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    client
        .untag_resources(ask(dry(untag_request(ids([ANN]), &["env"]))))
        .await
        .unwrap();
    assert_eq!(tags_of(client, ANN).await.len(), 3);

    let missing = dry(untag_request(ids([ANN, "999"]), &["env"]));
    let refused = client
        .untag_resources(ask(missing.clone()))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    let skipped = UntagResourcesRequest {
        allow_missing: true,
        ..missing
    };
    client.untag_resources(ask(skipped)).await.unwrap();
    let invalid = dry(untag_request(ids(["x"]), &["env"]));
    let refused = client.untag_resources(ask(invalid)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert_eq!(tags_of(client, ANN).await.len(), 3);
}

#[tokio::test]
async fn tag_adds_and_overwrites() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let tags = [("zone", "z"), ("env", "stage"), ("empty", "")];
    client
        .tag_resources(ask(tag_request(ids([ANN, BEN]), &tags)))
        .await
        .unwrap();
    let expected = [
        "501 Team=b",
        "501 empty=",
        "501 env=stage",
        "501 team=a",
        "501 zone=z",
    ];
    assert_eq!(tags_of(client, ANN).await, expected);
    assert_eq!(
        tags_of(client, BEN).await,
        ["502 empty=", "502 env=stage", "502 zone=z"]
    );
}

#[tokio::test]
async fn a_user_has_at_most_20_tags_and_one_over_it_fails_the_whole_request() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let overwrite = tag_request(ids([FULL]), &[("k01", "new")]);
    client
        .tag_resources(ask(overwrite))
        .await
        .expect("an overwritten tag is none more");
    let one_more = tag_request(ids([BEN, FULL]), &[("k21", "v")]);
    let refused = client.tag_resources(ask(one_more)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        tags_of(client, BEN).await,
        ["502 env=test"],
        "the other user is not changed either"
    );
    client
        .untag_resources(ask(untag_request(ids([FULL]), &["k02"])))
        .await
        .unwrap();
    client
        .tag_resources(ask(tag_request(ids([FULL]), &[("k21", "v")])))
        .await
        .unwrap();
}

#[tokio::test]
async fn list_takes_users_or_filters_or_both() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let mut listed = async |request| list_as(client, ACCOUNT, request).await.unwrap();

    let both_users = listed(list_request(ids([BEN, ANN]))).await;
    assert_eq!(
        both_users,
        ["501 Team=b", "501 env=prod", "501 team=a", "502 env=test"]
    );
    assert_eq!(
        listed(filter_request(&[("env", None)])).await,
        ["501 env=prod", "502 env=test"]
    );
    assert_eq!(
        listed(filter_request(&[("env", Some("test"))])).await,
        ["502 env=test"]
    );
    assert!(
        listed(filter_request(&[("env", Some(""))]))
            .await
            .is_empty()
    );
    let every_filter = filter_request(&[("env", None), ("team", Some("a"))]);
    assert_eq!(listed(every_filter).await, ["501 env=prod", "501 team=a"]);
    let users = list_request(names(["ben@example.com", ANN_NAME]));
    let filters = filter_request(&[("env", Some("prod"))]);
    let of_users = ListTagResourcesRequest {
        resources: users.resources,
        ..filters
    };
    assert_eq!(listed(of_users).await, ["501 env=prod"]);
}

#[tokio::test]
async fn every_answer_has_its_request_id_in_the_message_and_the_header() {
    let (server, _directory) = server(&[]);
    let client = &mut server.client().await;
    let untagged = client
        .untag_resources(ask(untag_request(ids([ANN]), &["env"])))
        .await
        .unwrap();
    let tagged = client
        .tag_resources(ask(tag_request(ids([ANN]), &[("env", "x")])))
        .await
        .unwrap();
    let listed = client
        .list_tag_resources(ask(list_request(ids([ANN]))))
        .await
        .unwrap();
    let answers = [
        (
            untagged.metadata().clone(),
            untagged.into_inner().request_id,
        ),
        (tagged.metadata().clone(), tagged.into_inner().request_id),
        (listed.metadata().clone(), listed.into_inner().request_id),
    ];
    for (metadata, request_id) in &answers {
        assert_request_id(request_id);
        assert_eq!(
            metadata.get(REQUEST_ID_HEADER).unwrap(),
            request_id.as_str()
        );
    }
    let [first, second, third] = answers.map(|(_, request_id)| request_id);
    assert!(
        first != second && second != third && first != third,
        "each request has its own"
    );
}

#[tokio::test]
async fn a_restart_keeps_everything_that_was_answered() {
    let home = super::users::directory();
    for ending in ["TERM", "KILL"] {
        let mut server = home.serve(&[]);
        let client = &mut server.client().await;
        let tag = tag_request(ids([BEN]), &[(ending, "set")]);
        client.tag_resources(ask(tag)).await.unwrap();
        client
            .untag_resources(ask(untag_request(ids([ANN]), &["env"])))
            .await
            .unwrap();
        server.signal(ending);
        server.wait(crate::support::PATIENCE);
    }
    let server = home.serve(&[]);
    let client = &mut server.client().await;
    assert_eq!(tags_of(client, ANN).await, ["501 Team=b", "501 team=a"]);
    assert_eq!(
        tags_of(client, BEN).await,
        ["502 KILL=set", "502 TERM=set", "502 env=test"]
    );
}
