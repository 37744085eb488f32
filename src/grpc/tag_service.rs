//! The methods of `ram.tag.v1.TagService`: parse, carry out, answer.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::context::{Asked, RequestContext};
use super::in_flight::InFlightGuard;
use super::{Admission, page_token, parse, proto, status};
use crate::domain::{
    AccountId, Call, Changed, Error, Fault, ListedTag, RESOURCE_TYPE_USER, TagPage, TagSelection,
    Targets,
};
use crate::service::TagService;
use crate::store::Store;
use crate::telemetry::trace;

/// The service behind gRPC.
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

    fn admit<'a>(&self, context: &'a RequestContext) -> Result<(InFlightGuard, &'a Call), Status> {
        // Only a service that is not behind the handler has none.
        let call = context.call();
        let call = call.ok_or_else(|| Status::internal("the request has no caller"))?;
        let admitted = self.admission.enter(&call.caller);
        let guard = admitted.map_err(|error| status::from_error(&error, context.id()))?;
        Ok((guard, call))
    }

    fn account<T>(
        &self,
        request: &Request<T>,
        context: &RequestContext,
    ) -> Result<AccountId, Fault> {
        let account = parse::account(request.metadata(), self.default_account.as_ref());
        context.name_account(&account);
        account
    }
}

/// What the handler around the service has put into the request.
fn context<T>(request: &Request<T>) -> Result<Arc<RequestContext>, Status> {
    let context = request.extensions().get::<Arc<RequestContext>>().cloned();
    // Only a service that is not behind the handler has none.
    let context = context.ok_or_else(|| Status::internal("the request has no context"))?;
    context.enter();
    Ok(context)
}

fn asked(targets: &Targets, tags: usize) -> Asked {
    Asked {
        resources: targets.count(),
        tags,
    }
}

#[tonic::async_trait]
impl<S: Store> proto::tag_service_server::TagService for GrpcTagService<S> {
    async fn untag_resources(
        &self,
        request: Request<proto::UntagResourcesRequest>,
    ) -> Result<Response<proto::UntagResourcesResponse>, Status> {
        let context = context(&request)?;
        let (_admitted, call) = self.admit(&context)?;
        let account = self.account(&request, &context);
        let command = trace::parse().in_scope(|| parse::untag(request.into_inner(), account));
        let result = match command {
            Ok(command) => {
                let keys = match &command.selection {
                    TagSelection::All => 0,
                    TagSelection::Keys(keys) => keys.len(),
                };
                let changes = !command.validate_only;
                context.ask(asked(&command.targets, keys), changes);
                self.service.untag(call, command).await
            }
            Err(faults) => Err(Error::Invalid(faults)),
        };
        let request_id = answer(&context, result)?;
        Ok(Response::new(proto::UntagResourcesResponse { request_id }))
    }

    async fn tag_resources(
        &self,
        request: Request<proto::TagResourcesRequest>,
    ) -> Result<Response<proto::TagResourcesResponse>, Status> {
        let context = context(&request)?;
        let (_admitted, call) = self.admit(&context)?;
        let account = self.account(&request, &context);
        let command = trace::parse().in_scope(|| parse::tag(request.into_inner(), account));
        let result = match command {
            Ok(command) => {
                let asked = asked(&command.targets, command.tags.len());
                context.ask(asked, true);
                self.service.tag(call, command).await
            }
            Err(faults) => Err(Error::Invalid(faults)),
        };
        let request_id = answer(&context, result)?;
        Ok(Response::new(proto::TagResourcesResponse { request_id }))
    }

    async fn list_tag_resources(
        &self,
        request: Request<proto::ListTagResourcesRequest>,
    ) -> Result<Response<proto::ListTagResourcesResponse>, Status> {
        let context = context(&request)?;
        let (_admitted, call) = self.admit(&context)?;
        let account = self.account(&request, &context);
        let query = trace::parse().in_scope(|| parse::list(request.into_inner(), account));
        let result = match query {
            Ok(query) => {
                let resources = query.targets.as_ref().map_or(0, Targets::count);
                let asked = Asked {
                    resources,
                    tags: query.filters.len(),
                };
                context.ask(asked, false);
                let query = Arc::new(query);
                let page = self.service.list(call, Arc::clone(&query)).await;
                page.map(|page| (page, query))
            }
            Err(faults) => Err(Error::Invalid(faults)),
        };
        let page = result.map_err(|error| refuse(&context, &error))?;
        let (
            TagPage {
                tags,
                next,
                request_id,
            },
            query,
        ) = page;
        context.adopt(request_id);
        context.finish(Changed::count(0, tags.len()));
        Ok(Response::new(proto::ListTagResourcesResponse {
            request_id: context.id().to_string(),
            next_token: next.map_or_else(String::new, |next| page_token::write(&next, &query)),
            tag_resources: tags.into_iter().map(tag_resource).collect(),
        }))
    }
}

/// The RequestId to answer with, or the status.
fn answer(context: &RequestContext, result: Result<Changed, Error>) -> Result<String, Status> {
    let changed = result.map_err(|error| refuse(context, &error))?;
    context.adopt(changed.request_id);
    context.finish(changed);
    Ok(context.id().to_string())
}

fn refuse(context: &RequestContext, error: &Error) -> Status {
    context.adopt(error.request_id());
    status::from_error(error, context.id())
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
