//! Watches: the changes of an account as they come.

use std::ops::RangeInclusive;

use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use untag::grpc::proto::change_service_client::ChangeServiceClient;
use untag::grpc::proto::effect::Kind;
use untag::grpc::proto::watch_changes_request::Start;
use untag::grpc::proto::watch_changes_response::Event;
use untag::grpc::proto::{
    HistoryPosition, UntagResourcesRequest, WatchChangesRequest, WatchChangesResponse, WatchStart,
};

use super::answer::{assert_request_id, assert_shared_snapshot, case};
use super::home::Home;
use super::users::{
    ACCOUNT, ANN, BEN, Client, FULL, OTHER_ACCOUNT, ask, ask_as, ids, line, list_as, list_request,
    server, tag_request, untag_request,
};
use super::wire::{UNTAG, Wire};
use crate::support::{PATIENCE, Server};

type Watches = ChangeServiceClient<Channel>;
type Stream = Streaming<WatchChangesResponse>;

async fn watches(server: &Server) -> Watches {
    ChangeServiceClient::new(server.channel().await)
}

fn from(start: WatchStart) -> WatchChangesRequest {
    WatchChangesRequest {
        start: Some(Start::StartAt(start.into())),
    }
}

fn after(position: &HistoryPosition) -> WatchChangesRequest {
    WatchChangesRequest {
        start: Some(Start::After(position.clone())),
    }
}

async fn begin(client: &mut Watches, request: WatchChangesRequest) -> Result<Stream, Status> {
    Ok(client.watch_changes(ask(request)).await?.into_inner())
}

async fn message(stream: &mut Stream) -> Result<WatchChangesResponse, Status> {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await;
    let message = message
        .expect("something comes")?
        .expect("the watch goes on");
    assert_request_id(&message.request_id);
    Ok(message)
}

/// The next message that is no checkpoint.
async fn change(stream: &mut Stream) -> (HistoryPosition, untag::grpc::proto::Change) {
    loop {
        let message = message(stream).await.unwrap();
        match message.event.unwrap() {
            Event::Checkpoint(_) => {}
            Event::Change(change) => return (message.position.unwrap(), change),
            Event::SnapshotUsers(users) => panic!("{users:?}"),
        }
    }
}

/// The position of a checkpoint, which has to be next.
async fn checkpoint(stream: &mut Stream) -> HistoryPosition {
    let message = message(stream).await.unwrap();
    assert!(
        matches!(message.event, Some(Event::Checkpoint(_))),
        "{message:?}"
    );
    message.position.unwrap()
}

/// How a watch ends that tells of no change any more.
async fn end(stream: &mut Stream) -> Status {
    let end = async {
        loop {
            match message(stream).await.map(|message| message.event) {
                Ok(Some(Event::Checkpoint(_))) => {}
                Ok(other) => panic!("{other:?}"),
                Err(end) => return end,
            }
        }
    };
    tokio::time::timeout(PATIENCE, end).await.expect("it ends")
}

async fn untag_all(client: &mut Client, users: RangeInclusive<u32>) {
    let request = UntagResourcesRequest {
        all: true,
        ..untag_request(ids(users), &[])
    };
    client.untag_resources(ask(request)).await.unwrap();
}

#[tokio::test]
async fn a_watch_tells_each_change_with_what_was_there_before() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let watching = &mut watches(&server).await;
    let mut stream = begin(watching, from(WatchStart::Now)).await.unwrap();
    let start = checkpoint(&mut stream).await;
    assert_eq!((start.revision, start.request_id.as_str()), (0, ""));
    let untag = client.untag_resources(ask(untag_request(ids([ANN, BEN]), &["env"])));
    let untag = untag.await.unwrap().into_inner();
    let tag = client.tag_resources(ask(tag_request(
        ids([ANN]),
        &[("env", "new"), ("team", "z")],
    )));
    let tag = tag.await.unwrap().into_inner();
    // Another account's are none of this watch.
    let other = ask_as(OTHER_ACCOUNT, untag_request(ids([ANN]), &["env"]));
    client.untag_resources(other).await.unwrap();

    let (first, removed) = change(&mut stream).await;
    assert_eq!((first.revision, &first.request_id), (1, &untag.request_id));
    assert_eq!(
        (removed.revision, &removed.request_id),
        (1, &untag.request_id)
    );
    assert_eq!(removed.action, "ram:UntagResources");
    assert_eq!(
        (removed.changed_resources, removed.values_redacted),
        (2, false)
    );
    let values = removed.effects.iter().map(|effect| match &effect.kind {
        Some(Kind::Tags(tags)) => format!("{} {:?}", effect.resource_id, tags.removed),
        other => panic!("{other:?}"),
    });
    let values: Vec<String> = values.collect();
    assert_eq!(values, [r#"501 {"env": "prod"}"#, r#"502 {"env": "test"}"#]);
    let (second, set) = change(&mut stream).await;
    assert_eq!((second.revision, &second.request_id), (2, &tag.request_id));
    let Some(Kind::Tags(tags)) = &set.effects[0].kind else {
        panic!("{set:?}");
    };
    let (env, team) = (&tags.set["env"], &tags.set["team"]);
    assert_eq!((env.was_there, env.old_value.as_deref()), (false, None));
    assert_eq!(
        (team.was_there, team.old_value.as_deref()),
        (true, Some("a"))
    );
    assert_eq!(
        (env.new_value.as_str(), team.new_value.as_str()),
        ("new", "z")
    );

    // From each position, and from the beginning, the rest comes once more.
    for (request, expected) in [
        (from(WatchStart::Beginning), vec![1, 2]),
        (after(&start), vec![1, 2]),
        (after(&first), vec![2]),
        (after(&second), vec![]),
    ] {
        let mut stream = begin(watching, request).await.unwrap();
        for revision in expected {
            assert_eq!(change(&mut stream).await.0.revision, revision);
        }
        assert_eq!(checkpoint(&mut stream).await, second);
    }
}

#[tokio::test]
async fn a_watch_with_a_snapshot_tells_all_users_first() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    client
        .untag_resources(ask(untag_request(ids([BEN]), &["env"])))
        .await
        .unwrap();
    let watching = &mut watches(&server).await;
    let mut stream = begin(watching, from(WatchStart::Snapshot)).await.unwrap();
    let snapshot = message(&mut stream).await.unwrap();
    let Some(Event::SnapshotUsers(page)) = snapshot.event else {
        panic!("{snapshot:?}");
    };
    let users = page
        .users
        .iter()
        .map(|user| (user.resource_id.as_str(), user.tags.len()));
    assert_eq!(users.collect::<Vec<_>>(), [(ANN, 3), (BEN, 0), (FULL, 20)]);
    assert_eq!((page.is_last, page.consistent_revision), (true, 1));
    assert_eq!(checkpoint(&mut stream).await, snapshot.position.unwrap());
    client
        .untag_resources(ask(untag_request(ids([ANN]), &["env"])))
        .await
        .unwrap();
    assert_eq!(change(&mut stream).await.0.revision, 2);
}

#[tokio::test]
async fn a_watch_names_each_fault_and_each_position_that_is_none() {
    let (server, _home) = server(&[]);
    let client = &mut server.client().await;
    let watching = &mut watches(&server).await;
    client
        .untag_resources(ask(untag_request(ids([ANN]), &["env"])))
        .await
        .unwrap();
    let mut stream = begin(watching, from(WatchStart::Beginning)).await.unwrap();
    let (good, _) = change(&mut stream).await;
    let other_id = "0D5C4A8E-3F0A-4C3B-9E5D-7A1B2C3D4E5F".to_owned();
    let bad = |change: &dyn Fn(&mut HistoryPosition)| {
        let mut position = good.clone();
        change(&mut position);
        after(&position)
    };
    let mut text = String::new();
    for (what, request) in [
        (
            "no start",
            WatchChangesRequest {
                start: Some(Start::StartAt(9)),
            },
        ),
        (
            "no history",
            bad(&|position| position.history_id = "x".to_owned()),
        ),
        (
            "a negative revision",
            bad(&|position| position.revision = -1),
        ),
        ("no RequestId", bad(&|position| position.request_id.clear())),
        (
            "a RequestId before the first change",
            bad(&|position| {
                position.revision = 0;
                position.request_id.clone_from(&other_id);
            }),
        ),
        (
            "everything",
            bad(&|position| {
                position.history_id.clear();
                position.request_id = "?".to_owned();
            }),
        ),
        (
            "another history",
            bad(&|position| position.history_id.clone_from(&other_id)),
        ),
        (
            "another change",
            bad(&|position| position.request_id.clone_from(&other_id)),
        ),
        ("a revision to come", bad(&|position| position.revision = 2)),
    ] {
        let refused = begin(watching, request).await.expect_err(what);
        case(&mut text, what, &refused);
    }
    assert_shared_snapshot!(text);
}

#[tokio::test]
async fn a_drain_ends_watches_at_once_with_the_position_to_go_on_from() {
    let (mut server, home) = server(&["--drain-timeout", "600"]);
    let client = &mut server.client().await;
    let watching = &mut watches(&server).await;
    client
        .untag_resources(ask(untag_request(ids([ANN]), &["env"])))
        .await
        .unwrap();
    let mut stream = begin(watching, from(WatchStart::Beginning)).await.unwrap();
    let (position, _) = change(&mut stream).await;
    assert_eq!(checkpoint(&mut stream).await, position);
    server.signal("TERM");
    let end = end(&mut stream).await;
    assert_eq!(end.code(), Code::Unavailable, "{end:?}");
    let details = end.get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["code"], "ServiceUnavailable");
    assert_eq!(metadata["revision"], "1");
    assert_eq!(metadata["history_id"], position.history_id);
    assert_eq!(metadata["request_id"], position.request_id);
    assert!(end.message().contains(&position.request_id), "{end:?}");
    assert_eq!(server.wait(PATIENCE).code(), Some(0));

    let again = home.serve(&[]);
    let client = &mut again.client().await;
    client
        .untag_resources(ask(untag_request(ids([BEN]), &["env"])))
        .await
        .unwrap();
    let mut stream = begin(&mut watches(&again).await, after(&position))
        .await
        .unwrap();
    assert_eq!(change(&mut stream).await.0.revision, 2);
}

#[tokio::test]
async fn a_watch_lasts_longer_than_requests_may() {
    let (server, _home) = server(&["--request-timeout", "0.5"]);
    let client = &mut server.client().await;
    let watching = &mut watches(&server).await;
    let mut stream = begin(watching, from(WatchStart::Now)).await.unwrap();
    checkpoint(&mut stream).await;
    // It has lasted longer than a request that began after it, and had no end.
    let mut wire = Wire::open(server.address).await;
    let endless = wire.start(UNTAG, &[]).await;
    let answer = tokio::time::timeout(PATIENCE, endless.answer()).await;
    let status = answer.expect("the server answers by itself").status();
    assert_eq!(status.code(), Code::DeadlineExceeded);

    client
        .untag_resources(ask(untag_request(ids([ANN]), &["env"])))
        .await
        .unwrap();
    assert_eq!(change(&mut stream).await.0.revision, 1);
}

#[tokio::test]
async fn a_watch_that_holds_too_much_ends_with_the_position_to_go_on_from() {
    let home = Home::new();
    let keys: Vec<String> = (10..30)
        .map(|number| format!("{number}{}", "𝔘".repeat(126)))
        .collect();
    let value = "𝔘".repeat(128);
    let tags: Vec<(&str, &str)> = keys.iter().map(|key| (&**key, &*value)).collect();
    let users = (1..=50).map(|id| line(ACCOUNT, &id.to_string(), &format!("u{id}@x"), &tags));
    home.import(&users.collect::<String>());
    // A connection may hold less than the second change has.
    let server = home.serve(&["--max-held-bytes", "4194304"]);
    let client = &mut server.client().await;
    let watching = &mut watches(&server).await;
    let mut stream = begin(watching, from(WatchStart::Beginning)).await.unwrap();
    untag_all(client, 1..=1).await;
    let (position, _) = change(&mut stream).await;
    untag_all(client, 2..=50).await;
    let sent = end(&mut stream).await;
    let mut stream = begin(watching, after(&position)).await.unwrap();
    let read = end(&mut stream).await;
    for (end, reason) in [
        (sent, "does not take its answers"),
        (read, "as much memory as it may"),
    ] {
        assert_eq!(end.code(), Code::Unavailable, "{end:?}");
        assert!(end.message().contains(reason), "{end:?}");
        let details = end.get_error_details();
        let metadata = &details.error_info().unwrap().metadata;
        assert_eq!(metadata["revision"], "1");
        assert_eq!(metadata["request_id"], position.request_id);
    }
    // Others are served, and with more memory so is this one.
    list_as(client, ACCOUNT, list_request(ids([1])))
        .await
        .unwrap();
    drop(server);
    let server = home.serve(&[]);
    let mut stream = begin(&mut watches(&server).await, after(&position))
        .await
        .unwrap();
    let (second, change) = change(&mut stream).await;
    assert_eq!((second.revision, change.effects.len()), (2, 49));
}
