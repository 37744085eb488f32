//! Watches of changes under policies: what a watch shows, and when it ends.

use tokio::time::timeout;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use untag::grpc::proto::effect::Kind;
use untag::grpc::proto::watch_changes_request::Start;
use untag::grpc::proto::watch_changes_response::Event;
use untag::grpc::proto::{Change, WatchChangesRequest, WatchChangesResponse, WatchStart};

use super::harness::untag_alice;
use super::policies::{CLEANER, Guarded, allow, policy};
use crate::support::{ALICE, PATIENCE};

const READER: &str = "spiffe://*/reader";
const WATCHER: &str = "spiffe://*/watcher";

async fn begin(
    guarded: &Guarded,
    name: &str,
    start: WatchStart,
) -> Streaming<WatchChangesResponse> {
    let request = WatchChangesRequest {
        start: Some(Start::StartAt(start.into())),
    };
    let answer = guarded.changes(name).await.watch_changes(request).await;
    answer.unwrap().into_inner()
}

/// The next event that is no checkpoint.
async fn event(stream: &mut Streaming<WatchChangesResponse>) -> Result<Event, Status> {
    let next = async {
        loop {
            let message = stream.message().await?.expect("it goes on");
            match message.event.unwrap() {
                Event::Checkpoint(_) => {}
                event => return Ok(event),
            }
        }
    };
    timeout(PATIENCE, next).await.expect("something happens")
}

async fn change(stream: &mut Streaming<WatchChangesResponse>) -> Change {
    match event(stream).await.unwrap() {
        Event::Change(change) => change,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn who_may_not_list_tags_follows_changes_without_values() {
    let guarded = Guarded::start(&policy(&[
        (CLEANER, &allow("ram:*")),
        (WATCHER, &allow("untag:WatchChanges")),
        (READER, &allow("*")),
    ]));
    let mut streams = Vec::new();
    for (name, value) in [("watcher", ""), ("reader", "prod")] {
        let mut stream = begin(&guarded, name, WatchStart::Snapshot).await;
        let Event::SnapshotUsers(page) = event(&mut stream).await.unwrap() else {
            panic!("a snapshot has users first");
        };
        let alice = page.users.iter().find(|user| user.resource_id == ALICE);
        assert_eq!(alice.unwrap().tags["env"], value, "{name}");
        streams.push((stream, value));
    }
    let cleaner = &mut guarded.client("cleaner").await;
    cleaner.untag_resources(untag_alice()).await.unwrap();
    for (mut stream, value) in streams {
        let change = change(&mut stream).await;
        assert_eq!(change.values_redacted, value.is_empty());
        let Some(Kind::Tags(tags)) = &change.effects[0].kind else {
            panic!("{change:?}");
        };
        assert_eq!(tags.removed["env"], value);
    }
}

#[tokio::test]
async fn a_watch_ends_when_its_policy_is_withdrawn() {
    let bindings = [(CLEANER, &allow("ram:*")), (READER, &allow("*"))];
    let guarded = Guarded::start(&policy(&bindings));
    let mut stream = begin(&guarded, "reader", WatchStart::Now).await;
    guarded.files.write("policy.json", &policy(&bindings[..1]));
    guarded.server.wait_for_log("reloaded");
    let denied = event(&mut stream).await.unwrap_err();
    assert_eq!(denied.code(), Code::PermissionDenied, "{denied:?}");
    let info = denied.get_details_error_info().unwrap();
    assert_eq!(info.metadata["action"], "untag:WatchChanges");
}
