//! The errors that a caller gets when the store fails.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use untag::grpc::proto::UntagResourcesRequest;

use super::answer::{alibaba_codes, assert_shared_snapshot, case, describe, request_id};
use super::users::{
    ANN, BEN, Client, FULL, ask, directory, ids, list_request, tag_request, tags_of, untag_request,
};

async fn untag_error(client: &mut Client, request: UntagResourcesRequest) -> Status {
    client.untag_resources(ask(request)).await.unwrap_err()
}

#[tokio::test]
async fn a_full_queue_and_a_locked_store_are_told_apart_and_nothing_is_changed() {
    let home = directory();
    home.limit_lock_waits();
    let server = home.serve(&["--queue-depth", "1"]);
    let client = &mut server.client().await;
    let lock = home.lock();
    // One is at the store, and at most one waits: the others find no place.
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = client.clone();
        requests.spawn(async move {
            untag_error(&mut client, untag_request(ids([ANN]), &["env"])).await
        });
    }
    let errors = requests.join_all().await;
    let of = |code| {
        errors
            .iter()
            .find(|error| error.code() == code)
            .unwrap_or_else(|| panic!("{errors:?}"))
    };
    assert_shared_snapshot!(describe(of(Code::ResourceExhausted)));
    // Each store has its own words for what it can't do.
    let locked = of(Code::Unavailable);
    assert!(
        locked.message().ends_with("; nothing was changed"),
        "{locked:?}"
    );
    assert_eq!(alibaba_codes(locked), ["ServiceUnavailable"]);
    assert!(locked.get_details_retry_info().is_some(), "{locked:?}");
    drop(lock);
    assert_eq!(tags_of(client, ANN).await.len(), 3);
}

#[tokio::test]
async fn a_damaged_record_is_an_internal_error_whose_cause_only_the_log_has() {
    let home = directory();
    // Before the start: of a record that it has read, the embedded store knows the keys.
    home.damage(BEN, "no tags");
    let server = home.serve(&[]);
    let client = &mut server.client().await;

    let untag = untag_error(client, untag_request(ids([ANN, BEN]), &["env"])).await;
    let tag = client
        .tag_resources(ask(tag_request(ids([ANN, BEN]), &[("a", "b")])))
        .await
        .unwrap_err();
    let list = client
        .list_tag_resources(ask(list_request(ids([BEN]))))
        .await
        .unwrap_err();
    let mut text = String::new();
    case(&mut text, "untag", &untag);
    case(&mut text, "tag", &tag);
    case(&mut text, "list", &list);
    assert_shared_snapshot!(text);
    for error in [untag, tag, list] {
        let id = request_id(&error);
        let line = server.wait_for_log_where("the store is broken", |line| {
            line["span"]["request_id"] == id.as_str()
        });
        let cause = line["cause"].as_str().unwrap();
        assert!(!cause.is_empty(), "{line}");
    }
    assert_eq!(
        tags_of(client, ANN).await.len(),
        3,
        "the request is refused as a whole"
    );
    client
        .untag_resources(ask(untag_request(ids([ANN, FULL]), &["env"])))
        .await
        .expect("the others are served");
}
