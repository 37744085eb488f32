//! The refill, which gives users back the tags that were removed: with few users a slice or two would leave nothing to
//! remove, and an untag that removes nothing writes nothing.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tonic::transport::Endpoint;
use untag::grpc::proto::tag_resources_request::Resources;
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::{ResourceIds, Tag, TagResourcesRequest};

use crate::Outcome;
use crate::call::in_account;
use crate::names::{Accounts, KEYS, id, key, value};
use crate::postgres::Postgres;
use crate::server::Server;
use crate::tally::Tally;

/// The share of the tags below which they are given back.
const ENOUGH: f64 = 0.8;
/// The users of a request: as many as one may name.
const USERS: usize = 50;
const IN_FLIGHT: usize = 32;

/// Tags the users that lack tags, where more than a few are gone.
pub fn refill(server: &Server, tally: &Tally, accounts: Accounts) -> Outcome<()> {
    if tally.share_left() >= ENOUGH {
        return Ok(());
    }
    let tags: Vec<_> = (0..KEYS)
        .map(|number| Tag {
            key: key(number),
            value: value(number),
        })
        .collect();
    let changed = tally.changed();
    let groups = accounts.groups(&changed, USERS).into_iter();
    let requests = groups.map(|(account, users)| {
        let values = users.into_iter().map(id).collect();
        let message = TagResourcesRequest {
            resources: Some(Resources::ResourceIds(ResourceIds { values })),
            tags: tags.clone(),
            ..TagResourcesRequest::default()
        };
        in_account(&account, message)
    });
    tokio::runtime::Runtime::new()?.block_on(async {
        let endpoint = Endpoint::from_shared(format!("http://{}", server.address))?;
        let client = TagServiceClient::new(endpoint.connect().await?);
        let send = |request| {
            let mut client = client.clone();
            async move { client.tag_resources(request?).await }
        };
        let answers = stream::iter(requests).map(send).buffer_unordered(IN_FLIGHT);
        answers.try_for_each(async |_| Ok(())).await?;
        tally.refill();
        Ok(())
    })
}

/// Does the same by SQL, where no service keeps the tags.
pub fn refill_by_hand(postgres: &Postgres, server: &str) {
    let left = "SELECT avg((SELECT count(*) FROM jsonb_object_keys(tags))) FROM resource";
    let left: f64 = postgres.sql(server, left).parse().unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "20")]
    if left < ENOUGH * KEYS as f64 {
        let tags: serde_json::Map<_, _> = (0..KEYS)
            .map(|number| (key(number), value(number).into()))
            .collect();
        let tags = serde_json::Value::from(tags);
        postgres.sql(
            server,
            &format!("UPDATE resource SET tags = '{tags}' WHERE tags <> '{tags}'"),
        );
    }
}
