//! The reading of a request's whole body.

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt as _;

use super::stop::Stop;
use crate::domain::Applied;
use crate::grpc::{Handler, shutting_down};

/// How long a body may take to arrive: nobody is identified before.
const LONGEST: Duration = Duration::from_secs(10);

/// Reads a body of at most `limit` bytes.
pub async fn read<B>(body: B, limit: usize, handler: &Handler) -> Result<Vec<u8>, Stop>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let longest = LONGEST.min(handler.request_timeout());
    tokio::select! {
        read = collect(body, limit) => read,
        () = tokio::time::sleep(longest) => Err(Stop::invalid("the body did not arrive in time")),
        () = handler.cut_off() => {
            let error = shutting_down(Applied::No);
            Err(Stop::of(&error, StatusCode::SERVICE_UNAVAILABLE))
        }
    }
}

/// Collects a body in memory of its own: its pieces hold the buffers that they came in, however small they are.
async fn collect<B>(body: B, limit: usize) -> Result<Vec<u8>, Stop>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large = || {
        Stop::too_large(format!(
            "the body is larger than {limit} bytes; name fewer resources"
        ))
    };
    let told = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if told > limit {
        return Err(too_large());
    }
    let mut body = pin!(body);
    let mut whole = Vec::with_capacity(told);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            let error = error.into();
            Stop::invalid(&format!("the body could not be read: {error}"))
        })?;
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if data.len() > limit - whole.len() {
            return Err(too_large());
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole)
}
