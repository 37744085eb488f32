//! A client that speaks gRPC frame by frame, for what a well-behaved library would never send or would hide.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::net::SocketAddr;

use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::net::TcpStream;
use tonic::{Code, Status};

use super::users::{ACCOUNT, ACCOUNT_METADATA, ANN, ids, list_request};

pub const UNTAG: &str = "/ram.tag.v1.TagService/UntagResources";
pub const LIST: &str = "/ram.tag.v1.TagService/ListTagResources";

/// A message in its gRPC frame: not compressed, and its length.
pub fn frame(message: &impl Message) -> Bytes {
    frame_of_bytes(0, &message.encode_to_vec())
}

/// Any bytes in a gRPC frame; `flag` 1 says that they are compressed.
pub fn frame_of_bytes(flag: u8, bytes: &[u8]) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_u8(flag);
    frame.put_u32(u32::try_from(bytes.len()).unwrap());
    frame.put_slice(bytes);
    frame.freeze()
}

/// A connection.
pub struct Wire {
    requests: SendRequest<Bytes>,
}

/// A request that is under way.
pub struct Call {
    response: ResponseFuture,
    /// Where more of the request goes. Dropped before its end, it resets the stream.
    pub body: SendStream<Bytes>,
}

/// An answer as it came.
pub struct Answer {
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Wire {
    pub async fn open(address: SocketAddr) -> Self {
        Self::open_with(address, &Builder::new()).await
    }

    pub async fn open_with(address: SocketAddr, settings: &Builder) -> Self {
        let stream = TcpStream::connect(address)
            .await
            .expect("the service accepts connections");
        let (requests, connection) = settings.handshake(stream).await.unwrap();
        // How it ends is seen in the answers.
        tokio::spawn(async move { drop(connection.await) });
        Self { requests }
    }

    /// Opens a stream in the name of the account of the tests; headers that are given come in addition.
    pub async fn start(&mut self, path: &str, headers: &[(&str, &str)]) -> Call {
        let mut all = vec![("content-type", "application/grpc"), ("te", "trailers")];
        if !headers.iter().any(|(name, _)| *name == ACCOUNT_METADATA) {
            all.push((ACCOUNT_METADATA, ACCOUNT));
        }
        let mut request = Request::post(format!("http://service{path}"));
        for (name, value) in all.iter().chain(headers) {
            request = request.header(*name, *value);
        }
        let mut requests = self.requests.clone().ready().await.unwrap();
        let (response, body) = requests
            .send_request(request.body(()).unwrap(), false)
            .unwrap();
        Call { response, body }
    }

    /// Sends one whole request.
    pub async fn call(&mut self, path: &str, headers: &[(&str, &str)], body: Bytes) -> Answer {
        let mut call = self.start(path, headers).await;
        // A service that has refused the request by its headers has ended the stream (RFC 9113, section 8.1): the answer tells.
        let _ended = call.body.send_data(body, true);
        call.answer().await
    }

    /// Returns once the server has taken up every request that the connection has sent before: it takes them in order.
    pub async fn barrier(&mut self) {
        let answer = self.call(LIST, &[], frame(&list_request(ids([ANN])))).await;
        assert_eq!(answer.status().code(), Code::Ok);
    }

    /// A request in flight whose body has not ended.
    pub async fn open_request(&mut self) -> Call {
        let call = self.start(UNTAG, &[]).await;
        self.barrier().await;
        call
    }
}

impl Call {
    /// Sends the whole request message and ends the body.
    pub fn send(&mut self, body: Bytes) {
        self.body.send_data(body, true).unwrap();
    }

    /// Waits for the answer.
    pub async fn answer(self) -> Answer {
        self.try_answer()
            .await
            .expect("the service answers on the stream")
    }

    /// Waits for the answer or for the end of the connection without one.
    pub async fn try_answer(self) -> Result<Answer, h2::Error> {
        let Self {
            response,
            body: request_body,
        } = self;
        let (parts, mut stream) = response.await?.into_parts();
        let body = read(&mut stream).await?;
        let trailers = stream.trailers().await?;
        drop(request_body);
        Ok(Answer {
            headers: parts.headers,
            body,
            trailers,
        })
    }
}

async fn read(stream: &mut RecvStream) -> Result<Vec<u8>, h2::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        stream.flow_control().release_capacity(chunk.len())?;
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl Answer {
    /// The status with its metadata, wherever it stands.
    pub fn status(&self) -> Status {
        let trailers = self.trailers.as_ref().and_then(Status::from_header_map);
        let status = trailers.or_else(|| Status::from_header_map(&self.headers));
        status.expect("an answer has a status")
    }

    /// The size of the header list as HTTP/2 and gRPC libraries count it, 32 bytes a header apart from its text.
    pub fn header_list_bytes(&self) -> usize {
        let trailers = self.trailers.iter().flatten();
        let status_line = ":status".len() + "200".len() + 32;
        let trailers: usize = trailers
            .map(|(name, value)| name.as_str().len() + value.len() + 32)
            .sum();
        let headers = self.headers.iter();
        let headers: usize = headers
            .map(|(name, value)| name.as_str().len() + value.len() + 32)
            .sum();
        status_line + headers.max(trailers)
    }
}
