//! The cost of turning a message into a command: decoding it, and checking all of it.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use prost::Message as _;
use untag::domain::AccountId;
use untag::grpc::parse_untag;
use untag::grpc::proto::untag_resources_request::Resources;
use untag::grpc::proto::{ResourceIds, ResourcePrincipalNames, UntagResourcesRequest};

fn request(resources: Resources, keys: usize) -> UntagResourcesRequest {
    UntagResourcesRequest {
        resources: Some(resources),
        tag_keys: (0..keys).map(|number| format!("key-{number}")).collect(),
        ..UntagResourcesRequest::default()
    }
}

fn ids(count: u64) -> Resources {
    let values = (0..count).map(|number| (2_000_000_000_000_000 + number).to_string());
    Resources::ResourceIds(ResourceIds {
        values: values.collect(),
    })
}

fn names(count: u64) -> Resources {
    let values = (0..count).map(|number| format!("user-{number:08}@benchmark.onaliyun.com"));
    Resources::ResourcePrincipalNames(ResourcePrincipalNames {
        values: values.collect(),
    })
}

fn parse(criterion: &mut Criterion) {
    let account = AccountId::parse("1000000000000001").expect("digits");
    for (name, request) in [
        ("one user by id, one key", request(ids(1), 1)),
        ("one user by name, one key", request(names(1), 1)),
        ("50 users by id, 5 keys", request(ids(50), 5)),
        ("50 users by name, 20 keys", request(names(50), 20)),
    ] {
        assert!(parse_untag(request.clone(), Ok(account.clone())).is_ok());
        let message = request.encode_to_vec();
        criterion.bench_function(&format!("decode, {name}"), |bencher| {
            bencher.iter(|| UntagResourcesRequest::decode(black_box(message.as_slice())));
        });
        criterion.bench_function(&format!("decode and parse, {name}"), |bencher| {
            bencher.iter(|| {
                let request = UntagResourcesRequest::decode(black_box(message.as_slice()));
                parse_untag(request.unwrap_or_default(), Ok(account.clone()))
            });
        });
    }
}

criterion_group!(benches, parse);
criterion_main!(benches);
