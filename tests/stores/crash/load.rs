//! The workers: each sends one request after the other, mostly untags, until the server is gone.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use hyper_util::rt::TokioIo;
use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::{IteratorRandom as _, index};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use untag::grpc::proto::tag_service_client::TagServiceClient;
use untag::grpc::proto::{
    ResourceIds, ResourcePrincipalNames, Tag, TagResourcesRequest, UntagResourcesRequest,
    tag_resources_request, untag_resources_request,
};

use super::model::{Change, KEYS, Plot, USERS, user_id, user_name};

/// How many users a request names that names several.
const SEVERAL: usize = 5;

/// The state that the workers of one cycle share.
#[derive(Debug)]
pub struct Cycle {
    /// Gets a permit for each answer.
    pub answers: Semaphore,
    /// Set before the server is killed: until then no request may fail.
    pub killing: AtomicBool,
    /// The requests that have no answer yet, by the town and the number of their worker.
    waiting: Mutex<BTreeMap<(usize, usize), String>>,
}

impl Cycle {
    pub fn new() -> Self {
        Self {
            answers: Semaphore::new(0),
            killing: AtomicBool::new(false),
            waiting: Mutex::default(),
        }
    }

    /// The requests that have no answer, for who wants to know why.
    pub fn unanswered(&self) -> String {
        format!("{:#?}", self.waiting.lock().unwrap())
    }
}

/// A channel over one connection, which is not opened again. After a kill its port is free for another program, and even
/// for the client itself: a connection from a port to the same port is one that the client has with itself, and answers
/// nothing.
pub async fn one_connection(address: SocketAddr) -> Channel {
    let stream = TcpStream::connect(address).await;
    let mut stream = Some(TokioIo::new(
        stream.expect("the server accepts connections"),
    ));
    let connect = tower::service_fn(move |_| {
        let again = || io::Error::other("the connection to the server is gone");
        std::future::ready(stream.take().ok_or_else(again))
    });
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    endpoint.connect_with_connector(connect).await.unwrap()
}

/// A worker: its tags, what it has been answered, and the request that the crash left without an answer.
#[derive(Debug)]
pub struct Worker {
    pub plot: Plot,
    pub untags_answered: u64,
    pub unanswered: Option<Change>,
    random: StdRng,
    values_used: u64,
}

impl Worker {
    pub fn new(plot: Plot, random: StdRng) -> Self {
        Self {
            plot,
            untags_answered: 0,
            unanswered: None,
            random,
            values_used: 0,
        }
    }

    /// Sends requests until the server is gone.
    pub async fn run(mut self, client: TagServiceClient<Channel>, cycle: Arc<Cycle>) -> Self {
        loop {
            let change = self.choose();
            let (by_name, worker) = (self.random.random(), self.plot.worker());
            let call = format!("by name: {by_name}, {change:?}");
            cycle.waiting.lock().unwrap().insert(worker, call);
            let answer = send(&self.plot, &change, by_name, client.clone()).await;
            cycle.waiting.lock().unwrap().remove(&worker);
            match answer {
                Ok(()) => {
                    assert!(
                        !change.names_a_stranger,
                        "a user who does not exist was accepted"
                    );
                    self.plot.apply(&change);
                    self.untags_answered += u64::from(change.value.is_none());
                    cycle.answers.add_permits(1);
                }
                Err(status) if is_answer(&status) => {
                    let refused = change.names_a_stranger && status.code() == Code::NotFound;
                    assert!(refused, "{change:?}: {status}");
                    cycle.answers.add_permits(1);
                }
                Err(status) => {
                    let killed = cycle.killing.load(Ordering::SeqCst);
                    assert!(killed, "the server went away by itself: {status}");
                    self.unanswered = Some(change);
                    return self;
                }
            }
        }
    }

    /// A request whose effect can be seen: an untag removes a key that each of its users carries, and a tag sets a value
    /// that was never used before.
    fn choose(&mut self) -> Change {
        let names_a_stranger = self.random.random_ratio(1, 30);
        let choice = self.random.random_range(0..100);
        let untag = match choice {
            0..65 => self.choose_untag_of_one(),
            65..85 => self.choose_untag_of_several(),
            _ => None,
        };
        // It gives back what the untags take.
        let change = untag.unwrap_or_else(|| {
            let count = if choice < 95 { SEVERAL } else { 1 };
            self.values_used += 1;
            Change {
                users: index::sample(&mut self.random, USERS, count).into_vec(),
                keys: (0..KEYS).collect(),
                value: Some(format!("value-{}", self.values_used)),
                names_a_stranger: false,
            }
        });
        Change {
            names_a_stranger,
            ..change
        }
    }

    fn choose_untag_of_one(&mut self) -> Option<Change> {
        let carried = |user: &usize| (0..KEYS).any(|key| self.plot.has(*user, key));
        let user = (0..USERS).filter(carried).choose(&mut self.random)?;
        let mut keys: Vec<_> = (0..KEYS).filter(|key| self.plot.has(user, *key)).collect();
        keys.truncate(self.random.random_range(1..=keys.len()));
        Some(Change {
            users: vec![user],
            keys,
            value: None,
            names_a_stranger: false,
        })
    }

    fn choose_untag_of_several(&mut self) -> Option<Change> {
        let carries_all = |user: &usize| (0..KEYS).all(|key| self.plot.has(*user, key));
        let users = (0..USERS)
            .filter(carries_all)
            .choose_multiple(&mut self.random, SEVERAL);
        let keys = (0..KEYS).collect();
        let change = Change {
            users,
            keys,
            value: None,
            names_a_stranger: false,
        };
        (change.users.len() == SEVERAL).then_some(change)
    }
}

/// Whether the server itself refused: it gives a RequestId, and no error of the connection stands behind it.
pub fn is_answer(status: &Status) -> bool {
    status.metadata().contains_key("x-request-id") && status.source().is_none()
}

async fn send(
    plot: &Plot,
    change: &Change,
    by_name: bool,
    mut client: TagServiceClient<Channel>,
) -> Result<(), Status> {
    // No town has a user of this number.
    let stranger = change.names_a_stranger.then_some(USERS);
    let users = change.users.iter().copied().chain(stranger);
    let keys = change.keys.iter().map(|&key| plot.key(key));
    let named: fn(usize, usize) -> String = if by_name { user_name } else { user_id };
    let values: Vec<String> = users.map(|user| named(plot.town, user)).collect();
    macro_rules! resources {
        ($request:ident) => {
            Some(if by_name {
                $request::Resources::ResourcePrincipalNames(ResourcePrincipalNames { values })
            } else {
                $request::Resources::ResourceIds(ResourceIds { values })
            })
        };
    }
    match &change.value {
        None => {
            let request = UntagResourcesRequest {
                resources: resources!(untag_resources_request),
                tag_keys: keys.collect(),
                ..UntagResourcesRequest::default()
            };
            client.untag_resources(request).await.map(drop)
        }
        Some(value) => {
            let request = TagResourcesRequest {
                resources: resources!(tag_resources_request),
                tags: keys
                    .map(|key| Tag {
                        key,
                        value: value.clone(),
                    })
                    .collect(),
                ..TagResourcesRequest::default()
            };
            client.tag_resources(request).await.map(drop)
        }
    }
}
