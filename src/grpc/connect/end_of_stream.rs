//! The end of a stream of answers in the Connect protocol.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{BufMut as _, Bytes, BytesMut};
use http_body::{Body, Frame};
use serde::Serialize;
use tonic::Status;

use super::error::ErrorBody;
use super::schema::Schema;
use crate::grpc::status;

/// The flag of the last message, which says how the stream has ended.
const LAST: u8 = 2;

/// A body of messages, which are framed as in gRPC, with a last message in place of the trailers.
pub struct EndOfStream<B> {
    body: B,
    schema: Schema,
    has_ended: bool,
}

/// The last message: empty for a success.
#[derive(Serialize)]
struct Last<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ErrorBody<'a>>,
}

impl<B> EndOfStream<B> {
    /// The body of an answer of gRPC, which has trailers.
    pub fn after(body: B, schema: Schema) -> Self {
        Self {
            body,
            schema,
            has_ended: false,
        }
    }

    fn end(&mut self, failure: Option<&Status>) -> Bytes {
        self.has_ended = true;
        let error = failure.map(|failure| ErrorBody::of(failure, &self.schema));
        let json = serde_json::to_vec(&Last { error }).unwrap_or_default();
        let mut message = BytesMut::with_capacity(5 + json.len());
        message.put_u8(LAST);
        message.put_u32(u32::try_from(json.len()).unwrap_or(u32::MAX));
        message.put_slice(&json);
        message.freeze()
    }
}

impl<B> Body for EndOfStream<B>
where
    B: Body<Data = Bytes, Error = Status> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            return Poll::Pending;
        };
        let failure = match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => return Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Ok(Err(frame))) => frame.trailers_ref().and_then(status::failure_in),
            Some(Err(status)) => Some(status),
            None => None,
        };
        let last = self.end(failure.as_ref());
        Poll::Ready(Some(Ok(Frame::data(last))))
    }
}
