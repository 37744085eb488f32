//! The check that the store did what it answered: the generator's tally against `ListTagResources`.

use rand::seq::IndexedRandom as _;
use untag::grpc::proto::list_tag_resources_request::Resources;
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::{ListTagResourcesRequest, ResourceIds};

use crate::Outcome;
use crate::call::in_account;
use crate::names::{Accounts, id, key};
use crate::server::Server;
use crate::tally::Tally;

/// How many of the users that were changed are looked up.
const SAMPLE: usize = 500;
/// The users of a page, which have at most 100 tags.
const PAGE: usize = 5;

/// Compares the tags of changed users with what is left by the answers.
///
/// # Errors
/// When a user has a tag that was removed, or lacks one that was not.
pub fn check(server: &Server, tally: &Tally, accounts: Accounts) -> Outcome<()> {
    let changed = tally.changed();
    let sample: Vec<u32> = changed
        .choose_multiple(&mut rand::rng(), SAMPLE)
        .copied()
        .collect();
    tokio::runtime::Runtime::new()?.block_on(async {
        let endpoint =
            tonic::transport::Endpoint::from_shared(format!("http://{}", server.address))?;
        let mut client = TagServiceClient::new(endpoint.connect().await?);
        for (account, users) in accounts.groups(&sample, PAGE) {
            let values = users.iter().copied().map(id).collect();
            let request = ListTagResourcesRequest {
                resources: Some(Resources::ResourceIds(ResourceIds { values })),
                ..ListTagResourcesRequest::default()
            };
            let request = in_account(&account, request)?;
            let answer = client.list_tag_resources(request).await?.into_inner();
            let mut found: Vec<_> = answer
                .tag_resources
                .into_iter()
                .map(|tag| (tag.resource_id, tag.tag_key))
                .collect();
            let left = |&user: &u32| tally.keys(user).map(move |number| (id(user), key(number)));
            let mut expected: Vec<_> = users.iter().flat_map(left).collect();
            found.sort();
            expected.sort();
            if found != expected {
                return Err(
                    format!("{} has not removed what it said it did", server.kind.name).into(),
                );
            }
        }
        Ok(())
    })
}
