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

    /// Lets a request in and parses it. Not async, so that no future keeps its message.
    fn begin<T, C>(
        &self,
        request: Request<T>,
        parse: impl FnOnce(T, Result<AccountId, Fault>) -> Result<C, Vec<Fault>>,
    ) -> Result<Begun<C>, Status> {
        let context = context(&request)?;
        let admitted = self.admission.enter(&call(&context)?.caller);
        let admitted = admitted.map_err(|error| status::from_error(&error, context.id()))?;
        let account = parse::account(request.metadata(), self.default_account.as_ref());
        context.name_account(&account);
        let command = trace::parse().in_scope(|| parse(request.into_inner(), account));
        let command = command.map_err(|faults| refuse(&context, &Error::Invalid(faults)))?;
        Ok(Begun {
            context,
            admitted,
            command: Arc::new(command),
        })
    }
}

/// A request that was let in.
struct Begun<C> {
    context: Arc<RequestContext>,
    /// Held until the answer is ready.
    admitted: InFlightGuard,
    command: Arc<C>,
}

/// Who calls.
fn call(context: &RequestContext) -> Result<&Call, Status> {
    let call = context.call();
    // Only a service that is not behind the handler has none.
    call.ok_or_else(|| Status::internal("the request has no caller"))
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
        let Begun {
            context,
            admitted: _admitted,
            command,
        } = self.begin(request, parse::untag)?;
        let keys = match &command.selection {
            TagSelection::All => 0,
            TagSelection::Keys(keys) => keys.len(),
        };
        context.ask(asked(&command.targets, keys), !command.validate_only);
        let result = self.service.untag(call(&context)?, command).await;
        let request_id = answer(&context, result)?;
        Ok(Response::new(proto::UntagResourcesResponse { request_id }))
    }

    async fn tag_resources(
        &self,
        request: Request<proto::TagResourcesRequest>,
    ) -> Result<Response<proto::TagResourcesResponse>, Status> {
        let Begun {
            context,
            admitted: _admitted,
            command,
        } = self.begin(request, parse::tag)?;
        context.ask(asked(&command.targets, command.tags.len()), true);
        let result = self.service.tag(call(&context)?, command).await;
        let request_id = answer(&context, result)?;
        Ok(Response::new(proto::TagResourcesResponse { request_id }))
    }

    async fn list_tag_resources(
        &self,
        request: Request<proto::ListTagResourcesRequest>,
    ) -> Result<Response<proto::ListTagResourcesResponse>, Status> {
        let Begun {
            context,
            admitted: _admitted,
            command: query,
        } = self.begin(request, parse::list)?;
        let asked = Asked {
            resources: query.targets.as_ref().map_or(0, Targets::count),
            tags: query.filters.len(),
        };
        context.ask(asked, false);
        let page = self.service.list(call(&context)?, Arc::clone(&query)).await;
        let TagPage {
            tags,
            next,
            request_id,
        } = page.map_err(|error| refuse(&context, &error))?;
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
