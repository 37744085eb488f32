//! The checks of a request that come before its body is read, since what a stranger sends is to cost as little as can be.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::{Request, Response};
use tonic::body::Body;

use super::handler::Parts;
use super::peer::Peer;
use super::services::ServiceKind;
use super::underway::Underway;
use super::{bearer, connect, headers, protocol};
use crate::auth::token::{TOO_MANY_FAILURES, TokenError};
use crate::auth::{Credentials, Unauthenticated};
use crate::domain::{Applied, Call, Caller, Error};
use crate::service::RETRY_AFTER;
use crate::telemetry::metrics::{Kind, Throttle, metrics};

/// The caller of a request whose sender is known already, put into its extensions: no header can say so.
#[derive(Debug, Clone)]
pub struct Authenticated(pub Caller);

impl Parts {
    /// Checks the form and the headers of a request for a method of this kind, and finds out who calls.
    pub(super) fn identify<B>(
        &self,
        request: &Request<B>,
        kind: Kind,
        peer: &Peer,
        underway: &Underway,
    ) -> Result<Arc<Call>, Box<Response<Body>>> {
        let Underway { protocol, page, .. } = underway;
        if let Err(not_taken) = protocol::check(request, *protocol, kind, page) {
            return Err(Box::new(not_taken.answer(underway.id)));
        }
        let caller = headers::check(request, self.max_header_bytes)
            .and_then(|()| connect::check(request.headers(), *protocol))
            .and_then(|()| self.caller(request, peer, underway.service))
            .map_err(|error| Box::new(underway.refusal(&error)))?;
        if underway.service != ServiceKind::Health && !caller.is_anonymous() {
            peer.identify();
        }
        Ok(Arc::new(Call {
            request_id: underway.id,
            client_request_id: underway.client_id.clone(),
            caller,
            source_ip: peer.address,
            secure_transport: peer.secure,
            time: SystemTime::now(),
        }))
    }

    fn caller<B>(
        &self,
        request: &Request<B>,
        peer: &Peer,
        service: ServiceKind,
    ) -> Result<Caller, Error> {
        let certificate = peer.certificate();
        if let Some(Authenticated(caller)) = request.extensions().get() {
            return Ok(caller.clone());
        }
        if service == ServiceKind::Health {
            return Ok(self.authenticator.whoever(certificate));
        }
        let identified = self.authenticator.identify(&Credentials {
            certificate,
            token: bearer::token(request.headers())?,
            source: peer.address,
            time: SystemTime::now(),
            moment: Instant::now(),
        });
        identified.map_err(refusal)
    }
}

fn refusal(error: Unauthenticated) -> Error {
    match error {
        // Not the caller's fault.
        Unauthenticated::Token(TokenError::NoKeys) => Error::Unavailable {
            reason: "the keys that tokens are signed with have not been read yet",
            applied: Applied::No,
            retry_after: RETRY_AFTER,
        },
        Unauthenticated::Token(TokenError::TooManyFailures { retry_after }) => {
            metrics().server.throttled(Throttle::FailedAuthentications);
            Error::Throttled {
                reason: TOO_MANY_FAILURES,
                retry_after,
            }
        }
        error => Error::Unauthenticated(error.to_string()),
    }
}
