//! A watcher: it follows the changes of an account, and goes on from its last position when a watch ends.

#![allow(dead_code, reason = "each test crate uses its own part")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_types::StatusExt as _;
use untag::grpc::proto::change_service_client::ChangeServiceClient;
use untag::grpc::proto::watch_changes_request::Start;
use untag::grpc::proto::watch_changes_response::Event;
use untag::grpc::proto::{
    Change, HistoryPosition, WatchChangesRequest, WatchChangesResponse, WatchStart,
};

/// How long anything that should happen soon may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// How a watcher reads.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As fast as it can.
    Quick,
    /// It stops for a moment after so many messages.
    Stalling(usize, Duration),
}

/// A watcher, and what it was told.
#[derive(Debug)]
pub struct Watcher {
    address: SocketAddr,
    pace: Pace,
    /// The revisions and `RequestId`s of the changes that it was told of.
    pub told: Vec<(u64, String)>,
    position: Option<HistoryPosition>,
    /// How many of its watches have ended.
    pub ended: usize,
    /// How many of them were ended by the service, with the position to go on from.
    pub ended_with_position: usize,
    /// How many effects of the change that is being told were told.
    effects: usize,
}

/// A channel over one connection, which is not opened again.
pub async fn connect(address: SocketAddr) -> io::Result<Channel> {
    let stream = TcpStream::connect(address).await?;
    // While the service is down, its port may be that of the client itself, which then answers itself nothing.
    if stream.local_addr()? == address {
        return Err(io::Error::other("a connection with itself"));
    }
    let mut stream = Some(TokioIo::new(stream));
    let connect = tower::service_fn(move |_| {
        let again = || io::Error::other("the connection to the service is gone");
        std::future::ready(stream.take().ok_or_else(again))
    });
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let channel = endpoint.connect_with_connector(connect).await;
    channel.map_err(io::Error::other)
}

pub fn from(start: WatchStart) -> WatchChangesRequest {
    WatchChangesRequest {
        start: Some(Start::StartAt(start.into())),
    }
}

pub fn after(position: HistoryPosition) -> WatchChangesRequest {
    WatchChangesRequest {
        start: Some(Start::After(position)),
    }
}

impl Watcher {
    pub fn new(address: SocketAddr, pace: Pace) -> Self {
        Self {
            address,
            pace,
            told: Vec::new(),
            position: None,
            ended: 0,
            ended_with_position: 0,
            effects: 0,
        }
    }

    /// Watches from the beginning until it was told of the last change, once that is known. The service may go at any time.
    pub async fn run(mut self, last: watch::Receiver<Option<u64>>) -> Self {
        while !self.is_done(&last) {
            let end = self.watch_once(&last).await;
            if let Err(status) = end {
                self.check_end(&status);
                sleep(Duration::from_millis(20)).await;
            }
        }
        self
    }

    fn is_done(&self, last: &watch::Receiver<Option<u64>>) -> bool {
        last.borrow().is_some_and(|last| self.passed() >= last)
    }

    fn passed(&self) -> u64 {
        self.told.last().map_or(0, |(revision, _)| *revision)
    }

    async fn watch_once(&mut self, last: &watch::Receiver<Option<u64>>) -> Result<(), Status> {
        let channel = connect(self.address).await;
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        let mut stream = self.begin(channel).await?;
        let mut messages = 0;
        let mut last = last.clone();
        while !self.is_done(&last) {
            let message = tokio::select! {
                message = timeout(PATIENCE, stream.message()) => message.expect("a checkpoint at least"),
                Ok(()) = last.changed() => continue,
            };
            let Some(message) = message? else {
                panic!("a watch does not end by itself");
            };
            self.take(message);
            messages += 1;
            if let Pace::Stalling(every, pause) = self.pace
                && messages % every == 0
            {
                sleep(pause).await;
            }
        }
        Ok(())
    }

    async fn begin(&mut self, channel: Channel) -> Result<Streaming<WatchChangesResponse>, Status> {
        let request = match self.position.clone() {
            Some(position) => after(position),
            None => from(WatchStart::Beginning),
        };
        self.effects = 0;
        let mut client = ChangeServiceClient::new(channel);
        let answer = client.watch_changes(Request::new(request)).await?;
        Ok(answer.into_inner())
    }

    fn take(&mut self, message: WatchChangesResponse) {
        match message.event.expect("a message has an event") {
            Event::Change(change) => {
                self.effects += change.effects.len();
                if message.has_more_effects {
                    assert_eq!(message.position, None, "in the middle of a change");
                    return;
                }
                self.take_change(&change);
            }
            Event::Checkpoint(_) => {}
            Event::SnapshotUsers(users) => panic!("nobody wants {users:?}"),
        }
        let position = message.position.expect("what is whole has a position");
        let revision = u64::try_from(position.revision).unwrap();
        assert_eq!(revision, self.passed(), "the position of what was told");
        if let Some((_, request_id)) = self.told.last() {
            assert_eq!(&position.request_id, request_id);
        }
        self.position = Some(position);
    }

    fn take_change(&mut self, change: &Change) {
        let revision = u64::try_from(change.revision).unwrap();
        assert_eq!(
            revision,
            self.passed() + 1,
            "no gap, no double, no other order"
        );
        let effects = usize::try_from(change.changed_resources).unwrap();
        assert_eq!(self.effects, effects, "all parts of a change");
        self.effects = 0;
        self.told.push((revision, change.request_id.clone()));
    }

    /// Checks why a watch has ended, and that the position to go on from is the one that the watcher has.
    fn check_end(&mut self, status: &Status) {
        let may_be = [
            Code::Unavailable,
            Code::Unknown,
            Code::Cancelled,
            Code::Internal,
        ];
        assert!(may_be.contains(&status.code()), "{status:?}");
        self.ended += 1;
        let details = status.get_error_details();
        let Some(info) = details.error_info() else {
            return;
        };
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        if let Some(revision) = info.metadata.get("revision") {
            let known = self
                .position
                .as_ref()
                .map_or(0, |position| position.revision);
            assert_eq!(*revision, known.to_string(), "{status:?}");
            self.ended_with_position += 1;
        }
    }
}
