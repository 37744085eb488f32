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
use crate::telemetry::metrics::{self, Kind};

/// An answer that is on its way.
pub(super) type Answer = BoxFuture<'static, Result<Response<Body>, Infallible>>;

/// The tag service, where there is one, and all others. Its requests are most of all, and looking for them among the others
/// would be a fifth of what their messages cost.
#[derive(Clone)]
pub struct Services {
    tags: Option<Arc<dyn Fn(Request<Body>) -> Answer + Send + Sync>>,
    others: Routes,
}

impl Services {
    /// Without the tag service.
    #[must_use]
    pub fn new(others: Routes) -> Self {
        let others = others.prepare();
        Self { tags: None, others }
    }

    /// With the tag service.
    #[must_use]
    pub fn with_tags<T: TagService>(self, tags: TagServiceServer<T>) -> Self {
        Self {
            tags: Some(Arc::new(move |request| tags.clone().call(request))),
            ..self
        }
    }

    /// The kind of the method that a path names here.
    pub(super) fn kind_of(&self, path: &str, is_tag_request: bool) -> Kind {
        if is_tag_request && self.tags.is_none() {
            return Kind::Unknown;
        }
        metrics::kind_of(path)
    }

    pub(super) fn call(&self, request: Request<Body>, is_tag_request: bool) -> Answer {
        match &self.tags {
            Some(tags) if is_tag_request => tags(request),
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
