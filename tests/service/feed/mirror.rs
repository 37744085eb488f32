//! Programs that mirror the tags of an account: a snapshot, and the changes behind it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};
use untag::grpc::proto::change_service_client::ChangeServiceClient;
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::watch_changes_response::Event;
use untag::grpc::proto::{
    Change, HistoryPosition, ListTagResourcesRequest, TagFilter, WatchChangesResponse, WatchStart,
    effect::Kind,
};

use super::home::Home;
use super::writers::{self, Writing};
use crate::support::PATIENCE;
use crate::support::watcher::{after, from};

/// (user, key) -> value.
type Tags = BTreeMap<(String, String), String>;

/// A mirror, as far as it has got.
#[derive(Default)]
struct Mirror {
    tags: Tags,
    position: Option<HistoryPosition>,
}

impl Mirror {
    fn take(&mut self, message: WatchChangesResponse) {
        match message.event.expect("a message has an event") {
            Event::Change(change) => self.apply(change),
            Event::Checkpoint(_) => {}
            Event::SnapshotUsers(page) => {
                assert_eq!(message.position.is_some(), page.is_last);
                for user in page.users {
                    for (key, value) in user.tags {
                        self.tags.insert((user.resource_id.clone(), key), value);
                    }
                }
            }
        }
        self.position = message.position.or(self.position.take());
    }

    fn apply(&mut self, change: Change) {
        for effect in change.effects {
            let Some(Kind::Tags(tags)) = effect.kind else {
                panic!("only tags are changed");
            };
            for key in tags.removed.into_keys() {
                self.tags.remove(&(effect.resource_id.clone(), key));
            }
            for (key, tag) in tags.set {
                self.tags
                    .insert((effect.resource_id.clone(), key), tag.new_value);
            }
        }
    }
}

async fn message(
    stream: &mut Streaming<WatchChangesResponse>,
) -> Result<WatchChangesResponse, Status> {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await;
    let message = message.expect("a checkpoint at least")?;
    Ok(message.expect("a watch does not end by itself"))
}

/// All tags of the account.
async fn listed(client: &mut TagServiceClient<Channel>) -> Tags {
    let mut request = ListTagResourcesRequest {
        tags: vec![TagFilter {
            key: "env".to_owned(),
            value: None,
        }],
        ..ListTagResourcesRequest::default()
    };
    let mut tags = Tags::new();
    loop {
        let page = client.list_tag_resources(request.clone()).await.unwrap();
        let page = page.into_inner();
        for tag in page.tag_resources {
            tags.insert((tag.resource_id, tag.tag_key), tag.tag_value);
        }
        if page.next_token.is_empty() {
            return tags;
        }
        request.next_token = page.next_token;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mirror_that_slept_through_a_compaction_is_told_so_and_begins_anew() {
    let home = Home::new();
    // A few hundred changes.
    let server = home.serve(&["--history-max-bytes", "100000"]);
    let mut client = ChangeServiceClient::new(server.channel().await);
    let writing = Arc::new(Writing::default());
    let mut writers = writers::start(4, server.address, &writing);
    let mut mirror = Mirror::default();
    let mut stream = client.watch_changes(from(WatchStart::Snapshot)).await;
    for _ in 0..30 {
        let next = message(stream.as_mut().unwrap().get_mut()).await.unwrap();
        mirror.take(next);
    }
    drop(stream);
    let slept_at = mirror.position.clone().expect("it is past the snapshot");
    // It sleeps until its position is gone.
    let gone = loop {
        let watch = client.watch_changes(after(slept_at.clone())).await;
        let end = match watch {
            Err(status) => Err(status),
            // Where it goes just now, the watch ends behind its beginning.
            Ok(mut stream) => message(stream.get_mut()).await.map(drop),
        };
        match end {
            Err(status) => break status,
            Ok(()) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    assert_eq!(gone.code(), Code::OutOfRange, "{gone:?}");
    assert!(gone.message().contains("begins with"), "{gone:?}");
    let refused = client.watch_changes(from(WatchStart::Beginning)).await;
    assert_eq!(refused.unwrap_err().code(), Code::OutOfRange);

    // Nothing is wedged by that: it begins anew beside the writers.
    let mut mirror = Mirror::default();
    let mut stream = client
        .watch_changes(from(WatchStart::Snapshot))
        .await
        .unwrap()
        .into_inner();
    for _ in 0..100 {
        mirror.take(message(&mut stream).await.unwrap());
    }
    writing.stop();
    while let Some(writer) = writers.join_next().await {
        writer.unwrap();
    }
    let tags = listed(&mut TagServiceClient::new(server.channel().await)).await;
    assert!(tags.len() > 4);
    let catching_up = async {
        while mirror.tags != tags {
            mirror.take(message(&mut stream).await.unwrap());
        }
    };
    tokio::time::timeout(PATIENCE, catching_up)
        .await
        .expect("the mirror has what there is");
}
