//! The methods of `ram.tag.v1.TagService`: parse, carry out, answer.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::intake::{Begun, Intake, failed, failed_change};
use super::parse::Repeatable;
use super::progress::{Asked, Effect};
use super::{page_token, parse, proto, tag_counts};
use crate::domain::{
    Call, Changed, ListedTag, Mismatch, RESOURCE_TYPE_USER, Revision, TagSelection, Targets,
    UntagCommand,
};
use crate::service::TagService;
use crate::store::Store;

/// The tag service as gRPC calls it.
pub struct GrpcTagService<S> {
    service: TagService<S>,
    intake: Intake,
}

impl<S> GrpcTagService<S> {
    pub fn new(service: TagService<S>, intake: Intake) -> Self {
        Self { service, intake }
    }
}

#[tonic::async_trait]
impl<S: Store> proto::tag_service_server::TagService for GrpcTagService<S> {
    async fn untag_resources(
        &self,
        request: Request<proto::UntagResourcesRequest>,
    ) -> Result<Response<proto::UntagResourcesResponse>, Status> {
        let Begun {
            command: Repeatable { command, repeat },
            call,
            progress,
            admitted: _admitted,
        } = self.intake.begin(request, parse::untag)?;
        let command = Arc::new(command);
        progress.ask(Asked {
            account: command.account.clone(),
            resources: command.targets.count(),
            tags: match &command.selection {
                TagSelection::All => 0,
                TagSelection::Keys(keys) => keys.len(),
            },
            effect: if command.validate_only {
                Effect::Reads
            } else {
                Effect::Changes
            },
        });
        let changed = self
            .service
            .untag(&call, Arc::clone(&command), repeat.clone());
        let failed = |error| failed_change(&call, &progress, &error, repeat.as_ref());
        let changed = changed.await.map_err(failed)?;
        let mismatches = changed.mismatches.iter();
        let answer = proto::UntagResourcesResponse {
            request_id: request_id(&call, &changed),
            revision: changed.revision.map(revision),
            changed_resources: changed.changed_resources.map(count),
            changed_tags: changed.tags.map(count),
            mismatched_tags: mismatches
                .map(|mismatch| mismatched_tag(&command, *mismatch))
                .collect(),
        };
        progress.answer(changed);
        Ok(Response::new(answer))
    }

    async fn tag_resources(
        &self,
        request: Request<proto::TagResourcesRequest>,
    ) -> Result<Response<proto::TagResourcesResponse>, Status> {
        let Begun {
            command: Repeatable { command, repeat },
            call,
            progress,
            admitted: _admitted,
        } = self.intake.begin(request, parse::tag)?;
        progress.ask(Asked {
            account: command.account.clone(),
            resources: command.targets.count(),
            tags: command.tags.len(),
            effect: Effect::Changes,
        });
        let changed = self.service.tag(&call, Arc::new(command), repeat.clone());
        let failed = |error| failed_change(&call, &progress, &error, repeat.as_ref());
        let changed = changed.await.map_err(failed)?;
        let answer = proto::TagResourcesResponse {
            request_id: request_id(&call, &changed),
            revision: changed.revision.map(revision),
            changed_resources: changed.changed_resources.map(count),
            changed_tags: changed.tags.map(count),
        };
        progress.answer(changed);
        Ok(Response::new(answer))
    }

    async fn list_tag_resources(
        &self,
        request: Request<proto::ListTagResourcesRequest>,
    ) -> Result<Response<proto::ListTagResourcesResponse>, Status> {
        let Begun {
            command: query,
            call,
            progress,
            admitted: _admitted,
        } = self.intake.begin(request, parse::list)?;
        let query = Arc::new(query);
        progress.ask(Asked {
            resources: query.targets.as_ref().map_or(0, Targets::count),
            tags: query.filters.len(),
            ..Asked::reading(&query.account)
        });
        let page = self.service.list(&call, Arc::clone(&query)).await;
        let page = page.map_err(|error| failed(&call, &progress, &error))?;
        let listed = Changed {
            request_id: page.request_id,
            ..Changed::count(0, page.tags.len())
        };
        let request_id = request_id(&call, &listed);
        progress.answer(listed);
        Ok(Response::new(proto::ListTagResourcesResponse {
            request_id,
            next_token: page
                .next
                .map_or_else(String::new, |next| page_token::write(&next, &query)),
            tag_resources: page.tags.into_iter().map(tag_resource).collect(),
        }))
    }

    async fn list_tag_keys(
        &self,
        request: Request<proto::ListTagKeysRequest>,
    ) -> Result<Response<proto::ListTagKeysResponse>, Status> {
        let Begun {
            command: query,
            call,
            progress,
            admitted: _admitted,
        } = self.intake.begin(request, parse::tag_keys)?;
        progress.ask(Asked::reading(&query.account));
        let query = Arc::new(query);
        let page = self.service.tag_keys(&call, Arc::clone(&query)).await;
        let page = page.map_err(|error| failed(&call, &progress, &error))?;
        progress.answer(Changed::count(0, page.counts.len()));
        Ok(Response::new(tag_counts::keys(&call, &query, page)))
    }

    async fn list_tag_values(
        &self,
        request: Request<proto::ListTagValuesRequest>,
    ) -> Result<Response<proto::ListTagValuesResponse>, Status> {
        let Begun {
            command: query,
            call,
            progress,
            admitted: _admitted,
        } = self.intake.begin(request, parse::tag_values)?;
        progress.ask(Asked {
            tags: 1,
            ..Asked::reading(&query.account)
        });
        let query = Arc::new(query);
        let page = self.service.tag_values(&call, Arc::clone(&query)).await;
        let page = page.map_err(|error| failed(&call, &progress, &error))?;
        progress.answer(Changed::count(0, page.counts.len()));
        Ok(Response::new(tag_counts::values(&call, &query, page)))
    }
}

/// The RequestId to answer with: that of another service, or of the first request with the same token, where one of them has made
/// the change.
pub fn request_id(call: &Call, changed: &Changed) -> String {
    changed.request_id.unwrap_or(call.request_id).to_string()
}

/// A revision, as messages have it.
pub fn revision(revision: Revision) -> i64 {
    i64::try_from(revision.get()).unwrap_or(i64::MAX)
}

/// A count of an answer, which is 1,000 at most, as messages have it.
pub fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn mismatched_tag(command: &UntagCommand, mismatch: Mismatch) -> proto::MismatchedTag {
    let (user, key) = command.named(mismatch);
    proto::MismatchedTag {
        resource_name: user.to_owned(),
        tag_key: key.to_owned(),
    }
}

fn tag_resource(
    ListedTag {
        resource_id,
        key,
        value,
    }: ListedTag,
) -> proto::TagResource {
    proto::TagResource {
        resource_type: RESOURCE_TYPE_USER.to_owned(),
        resource_id: resource_id.to_string(),
        tag_key: key.to_string(),
        tag_value: value.as_str().to_owned(),
    }
}
