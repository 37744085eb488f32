//! What callers ask for: workloads are data.

use bytes::{BufMut as _, Bytes, BytesMut};
use clap::ValueEnum;
use prost::Message as _;
use rand::Rng;
use rand::seq::index;
use untag::grpc::proto::untag_resources_request::Resources;
use untag::grpc::proto::{ResourceIds, ResourcePrincipalNames, UntagResourcesRequest};

use crate::Outcome;
use crate::population::{KEYS, id, key, principal_name};

/// How a request names its users.
#[derive(Clone, Copy)]
pub enum By {
    Id,
    Name,
}

/// Which keys a request removes.
#[derive(Clone, Copy)]
pub enum Keys {
    Some(usize),
    All,
}

/// One kind of request.
#[derive(Clone, Copy)]
pub struct Shape {
    /// How often it is drawn, in relation to the others of the workload.
    weight: u32,
    by: By,
    users: usize,
    keys: Keys,
}

/// Requests of one kind or of several.
pub struct Workload {
    pub name: &'static str,
    shapes: &'static [Shape],
}

const ONE_KEY: Shape = Shape {
    weight: 1,
    by: By::Id,
    users: 1,
    keys: Keys::Some(1),
};
const ALL: Shape = Shape {
    keys: Keys::All,
    ..ONE_KEY
};
const FIFTY_BY_FIVE: Shape = Shape {
    users: 50,
    keys: Keys::Some(5),
    ..ONE_KEY
};

/// Every workload. The first is that of `--quick`.
pub const WORKLOADS: &[Workload] = &[
    Workload {
        name: "one-key",
        shapes: &[ONE_KEY],
    },
    Workload {
        name: "one-key-by-name",
        shapes: &[Shape {
            by: By::Name,
            ..ONE_KEY
        }],
    },
    Workload {
        name: "all",
        shapes: &[ALL],
    },
    Workload {
        name: "50x5",
        shapes: &[FIFTY_BY_FIVE],
    },
    Workload {
        name: "mixed",
        shapes: &[
            Shape {
                weight: 70,
                ..ONE_KEY
            },
            Shape {
                weight: 20,
                by: By::Name,
                ..ONE_KEY
            },
            Shape { weight: 8, ..ALL },
            Shape {
                weight: 2,
                ..FIFTY_BY_FIVE
            },
        ],
    },
];

/// How users are drawn from the population.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Skew {
    /// Each as likely as any other.
    Uniform,
    /// The n-th most popular with a likelihood of about 1/n; the popular ones lie scattered over the store.
    Zipf,
}

impl Skew {
    fn draw(self, population: u32, rng: &mut impl Rng) -> u32 {
        match self {
            Self::Uniform => rng.random_range(0..population),
            Self::Zipf => {
                // The inverse of the distribution function of 1/x on 1 to population + 1.
                let rank = (f64::from(population) + 1.0).powf(rng.random::<f64>()) - 1.0;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "0 to population, which fits"
                )]
                let rank = (rank as u32).min(population - 1);
                // A prime that is larger than any population shares no factor with it: a permutation.
                let scattered = u64::from(rank) * 2_654_435_761 % u64::from(population);
                u32::try_from(scattered).unwrap_or_default()
            }
        }
    }
}

/// One request as it was drawn.
#[derive(Default)]
pub struct Draw {
    pub users: Vec<u32>,
    /// The bit of each key that is to go.
    pub keys: u32,
}

impl Workload {
    /// Draws the next request into `draw` and encodes it as a gRPC message.
    pub fn next(&self, population: u32, skew: Skew, rng: &mut impl Rng, draw: &mut Draw) -> Bytes {
        let shape = self.shape(rng);
        draw.users.clear();
        while draw.users.len() < shape.users {
            let user = skew.draw(population, rng);
            if !draw.users.contains(&user) {
                draw.users.push(user);
            }
        }
        draw.keys = match shape.keys {
            Keys::All => u32::MAX,
            Keys::Some(1) => 1 << rng.random_range(0..KEYS),
            Keys::Some(count) => index::sample(rng, KEYS, count)
                .iter()
                .fold(0, |keys, key| keys | 1 << key),
        };
        encode(draw, shape)
    }

    fn shape(&self, rng: &mut impl Rng) -> Shape {
        if let [only] = self.shapes {
            return *only;
        }
        let total: u32 = self.shapes.iter().map(|shape| shape.weight).sum();
        let mut left = rng.random_range(0..total);
        for shape in self.shapes {
            match left.checked_sub(shape.weight) {
                Some(rest) => left = rest,
                None => return *shape,
            }
        }
        self.shapes[0]
    }
}

/// Writes the message by hand: the generator shares the cores with the server, and should cost little.
fn encode(draw: &Draw, shape: Shape) -> Bytes {
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
    match shape.keys {
        Keys::Some(_) => {
            for bit in (0..KEYS).filter(|bit| draw.keys & 1 << bit != 0) {
                put(&mut message, 4, key(bit).as_bytes());
            }
        }
        Keys::All => message.put_slice(&[5 << 3, 1]),
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
        let named = |name: fn(u32) -> String| draw.users.iter().copied().map(name).collect();
        let keys = (0..KEYS)
            .filter(|bit| draw.keys & 1 << bit != 0)
            .map(key)
            .collect();
        let (tag_keys, all) = match shape.keys {
            Keys::Some(_) => (keys, false),
            Keys::All => (Vec::new(), true),
        };
        let expected = UntagResourcesRequest {
            resources: Some(match shape.by {
                By::Id => Resources::ResourceIds(ResourceIds { values: named(id) }),
                By::Name => Resources::ResourcePrincipalNames(ResourcePrincipalNames {
                    values: named(principal_name),
                }),
            }),
            tag_keys,
            all,
            ..UntagResourcesRequest::default()
        };
        let encoded = encode(&draw, *shape);
        let (prefix, message) = encoded.split_at(5);
        let length = u32::try_from(message.len())?.to_be_bytes();
        if prefix[0] != 0
            || prefix[1..] != length
            || UntagResourcesRequest::decode(message)? != expected
        {
            return Err("the requests are encoded wrongly".into());
        }
    }
    Ok(())
}
