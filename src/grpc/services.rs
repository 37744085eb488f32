//! The services of a port.

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use http::{Request, Response};
use tonic::body::Body;
use tonic::service::Routes;
use tower::{Service as _, ServiceExt as _};

use super::proto::tag_service_server::{TagService, TagServiceServer};
use super::{CHANGE_SERVICE, HEALTH_SERVICE, TAG_SERVICE, USER_SERVICE};
use crate::telemetry::metrics::{self, Kind};

/// An answer that is on its way.
pub(super) type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

/// The services that are treated differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ServiceKind {
    /// The tag service.
    Tags,
    /// Another service of the contract.
    Contract,
    /// The health service.
    Health,
    /// Any other, and what is no service.
    Other,
}

impl ServiceKind {
    /// The kind of the service in the path of a request.
    pub(super) fn of(path: &str) -> Self {
        match service_of(path) {
            TAG_SERVICE => Self::Tags,
            CHANGE_SERVICE | USER_SERVICE => Self::Contract,
            HEALTH_SERVICE => Self::Health,
            _ => Self::Other,
        }
    }

    /// Whether the service is one of the contract: its requests are logged and traced, and a drain waits for them.
    pub(super) fn is_of_contract(self) -> bool {
        matches!(self, Self::Tags | Self::Contract)
    }
}

/// The tag service, where there is one, and all others. Its requests are most of all, and looking for them among the others
/// would be a fifth of what their messages cost.
#[derive(Clone)]
pub struct Services {
    tags: Option<Arc<dyn Fn(Request<Body>) -> Answer + Send + Sync>>,
    others: Routes,
}

impl Services {
    /// These services, without the tag service.
    #[must_use]
    pub fn new(others: Routes) -> Self {
        let others = others.prepare();
        Self { tags: None, others }
    }

    /// These services and the tag service.
    #[must_use]
    pub fn with_tags<T: TagService>(self, tags: TagServiceServer<T>) -> Self {
        Self {
            tags: Some(Arc::new(move |request| tags.clone().call(request))),
            ..self
        }
    }

    /// The kind of the method that a path names, among these services.
    pub(super) fn kind_of(&self, path: &str, service: ServiceKind) -> Kind {
        // The tag service is there where the contract is served.
        if service.is_of_contract() && self.tags.is_none() {
            return Kind::Unknown;
        }
        metrics::kind_of(path)
    }

    /// Calls the method that the request names.
    pub(super) fn call(&self, request: Request<Body>, service: ServiceKind) -> Answer {
        match &self.tags {
            Some(tags) if service == ServiceKind::Tags => tags(request),
            _ => Box::pin(self.others.clone().oneshot(request)),
        }
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Services")
            .field("tags", &self.tags.is_some())
            .finish_non_exhaustive()
    }
}

/// The service in the path of a request.
#[must_use]
pub fn service_of(path: &str) -> &str {
    path.trim_start_matches('/')
        .split('/')
        .next()
        .unwrap_or_default()
}
