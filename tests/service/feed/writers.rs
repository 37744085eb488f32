//! Writers, who change users one request after the other, whatever becomes of the service.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tonic::transport::Channel;
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::{
    ResourceIds, Tag, TagResourcesRequest, TagResourcesResponse, tag_resources_request::Resources,
};

use crate::support::watcher::connect;

/// What writers share.
#[derive(Debug, Default)]
pub struct Writing {
    stop: AtomicBool,
    /// How many changes were answered.
    pub answered: AtomicU64,
    value: AtomicU64,
}

impl Writing {
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// A tag that no user has with this value.
    pub fn request(&self, users: Range<usize>) -> TagResourcesRequest {
        let value = self.value.fetch_add(1, Ordering::Relaxed).to_string();
        let values = users.map(|user| user.to_string()).collect();
        TagResourcesRequest {
            resources: Some(Resources::ResourceIds(ResourceIds { values })),
            tags: vec![Tag {
                key: "env".to_owned(),
                value,
            }],
            ..TagResourcesRequest::default()
        }
    }

    pub async fn change(
        &self,
        client: &mut TagServiceClient<Channel>,
        users: Range<usize>,
    ) -> Result<TagResourcesResponse, tonic::Status> {
        let answer = client.tag_resources(self.request(users)).await?;
        self.answered.fetch_add(1, Ordering::Relaxed);
        Ok(answer.into_inner())
    }
}

/// Starts so many writers, each of users of its own. Where one finds no service, it tries again.
pub fn start(count: usize, address: SocketAddr, writing: &Arc<Writing>) -> JoinSet<()> {
    let mut writers = JoinSet::new();
    for number in 0..count {
        let writing = Arc::clone(writing);
        writers.spawn(async move {
            while !writing.stop.load(Ordering::Relaxed) {
                if let Ok(channel) = connect(address).await {
                    write(&writing, TagServiceClient::new(channel), number).await;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
    }
    writers
}

async fn write(writing: &Writing, mut client: TagServiceClient<Channel>, number: usize) {
    let first = number * 50;
    for round in 1.. {
        // A few are large.
        let users = if round % 16 == 0 { 50 } else { 1 };
        let is_stopped = writing.stop.load(Ordering::Relaxed);
        if is_stopped
            || writing
                .change(&mut client, first..first + users)
                .await
                .is_err()
        {
            return;
        }
    }
}
