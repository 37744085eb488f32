//! The workloads that callers ask for, as data.

use clap::ValueEnum;
use rand::Rng;
use rand::seq::index;

use crate::names::{Accounts, KEYS};

/// How a request names its users.
#[derive(Clone, Copy)]
pub enum By {
    Id,
    Name,
}

/// What a request does with its users.
#[derive(Clone, Copy, PartialEq)]
pub enum Action {
    /// Removes this many keys.
    Untag(usize),
    /// Removes all keys.
    UntagAll,
    /// Lists the tags.
    List,
}

impl Action {
    /// The method that does it.
    pub fn path(self) -> &'static str {
        match self {
            Self::Untag(_) | Self::UntagAll => "/ram.tag.v1.TagService/UntagResources",
            Self::List => "/ram.tag.v1.TagService/ListTagResources",
        }
    }
}

/// One kind of request.
#[derive(Clone, Copy)]
pub struct Shape {
    /// How often it is drawn, in relation to the others of the workload.
    weight: u32,
    pub by: By,
    pub users: usize,
    pub action: Action,
}

/// Requests of one kind or of several.
pub struct Workload {
    pub name: &'static str,
    pub shapes: &'static [Shape],
}

const ONE_KEY: Shape = Shape {
    weight: 1,
    by: By::Id,
    users: 1,
    action: Action::Untag(1),
};
const ALL: Shape = Shape {
    action: Action::UntagAll,
    ..ONE_KEY
};
const FIFTY_BY_FIVE: Shape = Shape {
    users: 50,
    action: Action::Untag(5),
    ..ONE_KEY
};

const LIST: Shape = Shape {
    action: Action::List,
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
    Workload {
        name: "list-90-untag-10",
        shapes: &[
            Shape { weight: 90, ..LIST },
            Shape {
                weight: 10,
                ..ONE_KEY
            },
        ],
    },
];

/// How users are drawn from the population.
#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Skew {
    /// Each user is as likely as any other.
    Uniform,
    /// The n-th most popular user has a likelihood of about 1/n; the popular ones lie scattered over the store.
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
    /// The bits of the keys that are to be removed.
    pub keys: u32,
}

impl Workload {
    /// Whether some requests list tags.
    pub fn lists(&self) -> bool {
        let mut shapes = self.shapes.iter();
        shapes.any(|shape| shape.action == Action::List)
    }

    /// Draws the next request: its users, all of one account, and keys into `draw`.
    pub fn next(
        &self,
        (population, accounts): (u32, Accounts),
        skew: Skew,
        rng: &mut impl Rng,
        draw: &mut Draw,
    ) -> Shape {
        let shape = self.shape(rng);
        draw.users.clear();
        while draw.users.len() < shape.users {
            let drawn = skew.draw(population, rng);
            let first = draw.users.first().copied().unwrap_or(drawn);
            let user = accounts.neighbour(drawn, first);
            if user >= population {
                continue;
            }
            if !draw.users.contains(&user) {
                draw.users.push(user);
            }
        }
        draw.keys = match shape.action {
            Action::List => 0,
            Action::UntagAll => u32::MAX,
            Action::Untag(1) => 1 << rng.random_range(0..KEYS),
            Action::Untag(count) => index::sample(rng, KEYS, count)
                .iter()
                .fold(0, |keys, key| keys | 1 << key),
        };
        shape
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
