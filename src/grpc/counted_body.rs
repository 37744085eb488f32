//! The body of an answer, which keeps its request counted and charged.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use tonic::Status;
use tonic::body::Body;

use super::budget::OverBudget;
use super::held::Held;
use super::in_flight::InFlightGuard;
use super::peer::PeerGuard;
use super::status;
use super::stream_host::Follower;
use crate::telemetry::metrics::Call;

type Guards = (Option<InFlightGuard>, PeerGuard);

/// A body with its first frame, where that is ready and charged.
pub(super) struct FirstFrame {
    first: Option<Result<Frame<Bytes>, Status>>,
    body: Body,
}

impl FirstFrame {
    /// A body of which no frame is known yet.
    pub(super) fn unknown(body: Body) -> Self {
        Self { first: None, body }
    }

    /// A body of these bytes, which are charged already.
    pub(super) fn ready(bytes: Bytes) -> Self {
        Self::only(Frame::data(bytes))
    }

    /// A body of these trailers.
    pub(super) fn trailers(trailers: HeaderMap) -> Self {
        Self::only(Frame::trailers(trailers))
    }

    fn only(frame: Frame<Bytes>) -> Self {
        Self {
            first: Some(Ok(frame)),
            body: Body::empty(),
        }
    }

    /// How many bytes the first frame has, where that is ready.
    pub(super) fn ready_bytes(&self) -> usize {
        let first = self.first.as_ref().and_then(|first| first.as_ref().ok());
        first.and_then(Frame::data_ref).map_or(0, Bytes::len)
    }

    /// An answer with its first frame, if that is ready: an answer of one message waits for its client as the bytes that
    /// it is, which are charged.
    ///
    /// # Errors
    /// [`OverBudget`].
    pub(super) fn of(response: Response<Body>, held: &Held) -> Result<Response<Self>, OverBudget> {
        let (parts, mut body) = response.into_parts();
        let first = body.frame().now_or_never().flatten();
        let first = match first.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => Some(Ok(Frame::data(held.keep(data)?))),
            Some(Ok(Err(frame))) => Some(Ok(frame)),
            Some(Err(status)) => Some(Err(status)),
            None => None,
        };
        Ok(Response::from_parts(parts, Self { first, body }))
    }
}

/// A body that keeps its request counted until it is sent or given up.
pub(super) struct CountedBody {
    body: FirstFrame,
    /// The call, whose end is in the trailers unless the headers have had it.
    call: Call,
    held: Held,
    _guards: Guards,
    /// Who follows what is sent, of a stream that has one.
    follower: Option<Follower>,
}

impl CountedBody {
    pub(super) fn new(body: FirstFrame, guards: Guards, held: Held, call: Call) -> Self {
        Self {
            body,
            call,
            held,
            _guards: guards,
            follower: None,
        }
    }

    /// The body with one who follows what of it is sent.
    pub(super) fn followed_by(self, follower: Option<Follower>) -> Self {
        Self { follower, ..self }
    }

    /// The frame with its charge. Where there is no memory for it, the stream ends.
    fn charged(&mut self, data: Bytes) -> Result<Frame<Bytes>, Status> {
        match (self.held.keep(data), &self.follower) {
            (Ok(data), follower) => {
                if let Some(Follower(follower)) = follower {
                    follower.sent();
                }
                Ok(Frame::data(data))
            }
            (Err(OverBudget), Some(Follower(follower))) => {
                let mut trailers = HeaderMap::new();
                follower.cut().add_header(&mut trailers)?;
                if let Some(code) = status::code_in(&trailers) {
                    self.call.finish(code);
                }
                Ok(Frame::trailers(trailers))
            }
            (Err(OverBudget), None) => Err(Status::resource_exhausted(
                "the connection does not take its answers",
            )),
        }
    }
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let first = self.body.first.take();
        let is_charged = first.is_some();
        let polled = match first {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut self.body.body).poll_frame(context),
        };
        let Poll::Ready(Some(Ok(frame))) = polled else {
            return polled;
        };
        if let Some(code) = frame.trailers_ref().and_then(status::code_in) {
            self.call.finish(code);
        }
        Poll::Ready(Some(match frame.into_data() {
            Ok(data) if is_charged => {
                if let Some(Follower(follower)) = &self.follower {
                    follower.sent();
                }
                Ok(Frame::data(data))
            }
            Ok(data) => self.charged(data),
            Err(frame) => Ok(frame),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.first.is_none() && self.body.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body.first {
            None => self.body.body.size_hint(),
            // Trailers come behind it, so that its length says nothing.
            Some(_) => SizeHint::default(),
        }
    }
}
