//! What answers tell of a change: how much it has changed, and the revision that it has.

use untag::grpc::proto::{TagResourcesResponse, UntagResourcesResponse};

use super::users::{ANN, BEN, FULL, ask, dry, ids, server, tag_request, untag_request};

fn of_untag(answer: tonic::Response<UntagResourcesResponse>) -> (Option<i32>, Option<i32>) {
    let answer = answer.into_inner();
    (answer.changed_resources, answer.changed_tags)
}

fn of_tag(answer: tonic::Response<TagResourcesResponse>) -> (Option<i32>, Option<i32>) {
    let answer = answer.into_inner();
    (answer.changed_resources, answer.changed_tags)
}

#[tokio::test]
async fn an_answer_counts_what_was_really_changed() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let untag = || untag_request(ids([ANN, BEN, FULL]), &["env", "team", "absent"]);
    for (request, counts) in [(dry(untag()), (2, 3)), (untag(), (2, 3)), (untag(), (0, 0))] {
        let answer = client.untag_resources(ask(request)).await.unwrap();
        assert_eq!(of_untag(answer), (Some(counts.0), Some(counts.1)));
    }
    let tag = |value| tag_request(ids([ANN, BEN]), &[("env", value), ("Team", "b")]);
    // Ann has Team=b already.
    for (value, counts) in [("x", (2, 3)), ("x", (0, 0)), ("y", (2, 2))] {
        let answer = client.tag_resources(ask(tag(value))).await.unwrap();
        assert_eq!(of_tag(answer), (Some(counts.0), Some(counts.1)), "{value}");
    }
}

#[tokio::test]
async fn revisions_number_the_changes_of_an_account() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let mut told = Vec::new();
    for keys in [["absent"], ["env"], ["env"], ["team"]] {
        let request = ask(untag_request(ids([ANN]), &keys));
        let answer = client.untag_resources(request).await.unwrap();
        told.push(answer.into_inner().revision);
    }
    let tagged = ask(tag_request(ids([ANN]), &[("env", "x")]));
    told.push(
        client
            .tag_resources(tagged)
            .await
            .unwrap()
            .into_inner()
            .revision,
    );
    let dry = ask(dry(untag_request(ids([ANN]), &["env"])));
    told.push(
        client
            .untag_resources(dry)
            .await
            .unwrap()
            .into_inner()
            .revision,
    );
    assert_eq!(told, [None, Some(1), Some(1), Some(2), Some(3), None]);
}
