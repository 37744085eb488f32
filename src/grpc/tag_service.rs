//! The methods of `ram.tag.v1.TagService`: parse, carry out, answer.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::in_flight::InFlightGuard;
use super::parse::Repeatable;
use super::progress::{Asked, Effect, HandedCall, Progress};
use super::{Admission, page_token, parse, proto, status};
use crate::domain::{
    AccountId, Call, Changed, Error, Fault, ListedTag, Mismatch, RESOURCE_TYPE_USER, Repeat,
    Revision, TagSelection, Targets, UntagCommand,
};
use crate::service::TagService;
use crate::store::Store;
use crate::telemetry::trace;

/// The tag service as gRPC calls it.
pub struct GrpcTagService<S> {
    service: TagService<S>,
    default_account: Option<AccountId>,
    admission: Admission,
}

impl<S: Store> GrpcTagService<S> {
    pub fn new(
        service: TagService<S>,
        default_account: Option<AccountId>,
        admission: Admission,
    ) -> Self {
        Self {
            service,
            default_account,
            admission,
        }
    }

    /// Lets a request in and parses it. Not async, so that no future keeps its message.
    fn begin<T, C>(
        &self,
        request: Request<T>,
        parse: impl FnOnce(T, Result<AccountId, Fault>) -> Result<C, Vec<Fault>>,
    ) -> Result<Begun<C>, Status> {
        let HandedCall { call, progress } = handed(&request)?;
        progress.decode(None);
        let admitted = self.admission.enter(&call.caller);
        let admitted = admitted.map_err(|error| status::from_error(&error, call.request_id))?;
        let account = parse::account(request.metadata(), self.default_account.as_ref());
        progress.decode(account.as_ref().ok().cloned());
        let command = trace::parse().in_scope(|| parse(request.into_inner(), account));
        let invalid = |faults| status::from_error(&Error::Invalid(faults), call.request_id);
        Ok(Begun {
            command: command.map_err(invalid)?,
            call,
            progress,
            admitted,
        })
    }
}

/// A request that was let in.
struct Begun<C> {
    command: C,
    call: Arc<Call>,
    progress: Arc<Progress>,
    /// Held until the answer is ready.
    admitted: InFlightGuard,
}

/// The call that the handler around the service has put into the request.
fn handed<T>(request: &Request<T>) -> Result<HandedCall, Status> {
    let handed = request.extensions().get::<HandedCall>().cloned();
    // Only a service that is not behind the handler has none.
    handed.ok_or_else(|| Status::internal("the request has no caller"))
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
        } = self.begin(request, parse::untag)?;
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
        } = self.begin(request, parse::tag)?;
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
        } = self.begin(request, parse::list)?;
        let query = Arc::new(query);
        progress.ask(Asked {
            account: query.account.clone(),
            resources: query.targets.as_ref().map_or(0, Targets::count),
            tags: query.filters.len(),
            effect: Effect::Reads,
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
}

/// The RequestId to answer with: that of another service, or of the first request with the same token, where one of them has made
/// the change.
fn request_id(call: &Call, changed: &Changed) -> String {
    changed.request_id.unwrap_or(call.request_id).to_string()
}

fn revision(revision: Revision) -> i64 {
    i64::try_from(revision.get()).unwrap_or(i64::MAX)
}

/// A count of an answer, which is 1,000 at most.
fn count(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

fn mismatched_tag(command: &UntagCommand, mismatch: Mismatch) -> proto::MismatchedTag {
    let (user, key) = command.named(mismatch);
    proto::MismatchedTag {
        resource_name: user.to_owned(),
        tag_key: key.to_owned(),
    }
}

/// Records that the service has refused, and returns the status to answer with.
fn failed(call: &Call, progress: &Progress, error: &Error) -> Status {
    let request_id = error.request_id();
    progress.answer(Changed {
        request_id,
        ..Changed::count(0, 0)
    });
    status::from_error(error, request_id.unwrap_or(call.request_id))
}

/// As [`failed`], for a change, which may have a client token.
fn failed_change(
    call: &Call,
    progress: &Progress,
    error: &Error,
    repeat: Option<&Repeat>,
) -> Status {
    let status = failed(call, progress, error);
    match repeat {
        None => status,
        Some(_) => status::of_repeatable(status),
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
