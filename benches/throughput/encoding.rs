//! Requests as bytes, written by hand: the generator shares the cores with the server, and should cost little.

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::Message;
use rand::Rng as _;
use untag::grpc::proto::{
    ListTagResourcesRequest, ResourceIds, ResourcePrincipalNames, UntagResourcesRequest,
    list_tag_resources_request, untag_resources_request,
};

use crate::Outcome;
use crate::names::{KEYS, id, key, principal_name};
use crate::workload::{Action, By, Draw, Shape, WORKLOADS};

/// The most tags that a list may ask for: those of some users fit one page.
const PAGE_SIZE: u8 = 100;

/// The gRPC message of a request.
pub fn encode(draw: &Draw, shape: Shape) -> Bytes {
    let mut names = BytesMut::with_capacity(64 * draw.users.len());
    for &user in &draw.users {
        match shape.by {
            By::Id => put(&mut names, 1, id(user).as_bytes()),
            By::Name => put(&mut names, 1, principal_name(user).as_bytes()),
        }
    }
    let mut message = BytesMut::with_capacity(5 + names.len() + 5 * KEYS + 16);
    message.put_bytes(0, 5);
    let resources = match shape.by {
        By::Id => 2,
        By::Name => 3,
    };
    put(&mut message, resources, &names);
    match shape.action {
        Action::Untag(_) => {
            for bit in (0..KEYS).filter(|bit| draw.keys & 1 << bit != 0) {
                put(&mut message, 4, key(bit).as_bytes());
            }
        }
        Action::UntagAll => message.put_slice(&[5 << 3, 1]),
        Action::List => message.put_slice(&[5 << 3, PAGE_SIZE]),
    }
    let length = u32::try_from(message.len() - 5).unwrap_or(u32::MAX);
    message[1..5].copy_from_slice(&length.to_be_bytes());
    message.freeze()
}

/// A field of bytes.
fn put(message: &mut BytesMut, field: u8, bytes: &[u8]) {
    message.put_u8(field << 3 | 2);
    prost::encoding::encode_varint(bytes.len() as u64, message);
    message.put_slice(bytes);
}

/// Compares what [`encode`] writes with what the generated code reads.
///
/// # Errors
/// When they differ.
pub fn check_encoding() -> Outcome<()> {
    let mut rng = rand::rng();
    for shape in WORKLOADS.iter().flat_map(|workload| workload.shapes) {
        let draw = Draw {
            users: (0..shape.users)
                .map(|_| rng.random_range(0..100_000_000))
                .collect(),
            keys: rng.random_range(1..1 << KEYS),
        };
        let encoded = encode(&draw, *shape);
        let (prefix, message) = encoded.split_at(5);
        let length = u32::try_from(message.len())?.to_be_bytes();
        if prefix[0] != 0 || prefix[1..] != length || !is_read_as(message, &draw, *shape)? {
            return Err("the requests are encoded wrongly".into());
        }
    }
    Ok(())
}

fn is_read_as(message: &[u8], draw: &Draw, shape: Shape) -> Outcome<bool> {
    let named = |name: fn(u32) -> String| draw.users.iter().copied().map(name).collect();
    let keys = (0..KEYS).filter(|bit| draw.keys & 1 << bit != 0).map(key);
    let untag = |tag_keys, all| UntagResourcesRequest {
        resources: Some(match shape.by {
            By::Id => {
                untag_resources_request::Resources::ResourceIds(ResourceIds { values: named(id) })
            }
            By::Name => {
                untag_resources_request::Resources::ResourcePrincipalNames(ResourcePrincipalNames {
                    values: named(principal_name),
                })
            }
        }),
        tag_keys,
        all,
        ..UntagResourcesRequest::default()
    };
    Ok(match shape.action {
        Action::Untag(_) => UntagResourcesRequest::decode(message)? == untag(keys.collect(), false),
        Action::UntagAll => UntagResourcesRequest::decode(message)? == untag(Vec::new(), true),
        Action::List => {
            let expected = ListTagResourcesRequest {
                resources: Some(list_tag_resources_request::Resources::ResourceIds(
                    ResourceIds { values: named(id) },
                )),
                page_size: PAGE_SIZE.into(),
                ..ListTagResourcesRequest::default()
            };
            ListTagResourcesRequest::decode(message)? == expected
        }
    })
}

/// The part of a list's answer that the generator reads: the keys of its tags.
#[derive(Message)]
struct List {
    #[prost(message, repeated, tag = "3")]
    tags: Vec<Tag>,
}

#[derive(Message)]
struct Tag {
    #[prost(bytes = "bytes", tag = "3")]
    key: Bytes,
}

/// The keys of the tags in the gRPC message of a list of one user, a bit each; `None` for anything else.
pub fn listed_keys(message: &Bytes) -> Option<u32> {
    let list = List::decode(message.get(5..).map(|list| message.slice_ref(list))?).ok()?;
    let bit = |tag: &Tag| {
        let number = tag.key.strip_prefix(b"k")?;
        let number: usize = std::str::from_utf8(number).ok()?.parse().ok()?;
        (number < KEYS).then_some(1 << number)
    };
    let mut bits = list.tags.iter().map(bit);
    bits.try_fold(0, |keys, bit| Some(keys | bit?))
}
