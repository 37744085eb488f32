//! The limits that the contract publishes as buf.validate rules are those that the code enforces: a client that checks
//! a request with a protovalidate library comes to the same verdict as the service. `rules.py` has the one for Python.
//!
//! The account and the `next_token` are left out: no rule can tell what the metadata or an earlier answer held. So is the name of an
//! action, since actions are added.

mod users;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use prost::Message;
use untag::domain::{AccountId, Fault};
use untag::grpc::proto::get_change_request::Change as ChangeKey;
use untag::grpc::proto::{
    GetChangeRequest, HistoryPosition, ListChangesRequest, ListTagKeysRequest,
    ListTagResourcesRequest, ListTagValuesRequest, ResourceIds, ResourcePrincipalNames,
    RevertChangeRequest, Tag, TagFilter, TagResourcesRequest, UntagResourcesRequest,
    WatchChangesRequest, list_tag_resources_request, tag_resources_request,
    untag_resources_request, watch_changes_request,
};
use untag::grpc::{
    DESCRIPTORS, parse_change, parse_changes, parse_list, parse_revert, parse_tag, parse_tag_keys,
    parse_tag_values, parse_untag, parse_watch,
};

/// The published rules, and the process that evaluates them.
struct Rules {
    process: Child,
    pipes: RefCell<(ChildStdin, BufReader<ChildStdout>)>,
}

impl Drop for Rules {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Rules {
    fn published() -> Self {
        let root = env!("CARGO_MANIFEST_DIR");
        let mut process = Command::new(format!("{root}/target/venv/bin/python"))
            .arg(format!("{root}/tests/clients/contract_rules/rules.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("Python is in target/venv: run scripts/setup");
        let mut input = process.stdin.take().unwrap();
        writeln!(input, "{}", STANDARD.encode(DESCRIPTORS)).unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        Self {
            process,
            pipes: RefCell::new((input, output)),
        }
    }

    /// The rules that a message breaks. Panics over a rule that can't be evaluated: no client could use it either.
    fn broken_by(&self, request: &impl Request) -> BTreeSet<String> {
        let (input, output) = &mut *self.pipes.borrow_mut();
        let name = request.type_name();
        let message = STANDARD.encode(request.encode_to_vec());
        writeln!(input, "{name} {message}").expect("the rules can be read");
        let mut broken = String::new();
        output.read_line(&mut broken).unwrap();
        let broken = serde_json::from_str(&broken);
        broken.unwrap_or_else(|_| panic!("a rule of {name} is unusable, as rules.py says"))
    }

    /// The verdicts of the rules and of the code, each with its reasons, where they are not the same.
    fn disagreement(&self, request: &impl Request) -> Option<String> {
        let broken = self.broken_by(request);
        let faults = request.faults();
        (broken.is_empty() != faults.is_empty())
            .then(|| format!("rules: {broken:?}\ncode: {faults:?}\nrequest: {request:?}"))
    }
}

/// A request of the service.
trait Request: Message + Clone + std::fmt::Debug {
    fn type_name(&self) -> &'static str;
    /// What the code finds wrong with it.
    fn faults(&self) -> Vec<Fault>;
}

fn account() -> AccountId {
    AccountId::parse("1").unwrap()
}

macro_rules! requests {
    ($($request:ident by $parse:ident),*) => {$(
        impl Request for $request {
            fn type_name(&self) -> &'static str {
                concat!("ram.tag.v1.", stringify!($request))
            }

            fn faults(&self) -> Vec<Fault> {
                $parse(self.clone(), Ok(account())).err().unwrap_or_default()
            }
        }
    )*};
}
requests!(
    UntagResourcesRequest by parse_untag,
    TagResourcesRequest by parse_tag,
    ListTagResourcesRequest by parse_list,
    ListTagKeysRequest by parse_tag_keys,
    ListTagValuesRequest by parse_tag_values,
    GetChangeRequest by parse_change,
    ListChangesRequest by parse_changes,
    RevertChangeRequest by parse_revert,
    WatchChangesRequest by parse_watch
);

/// Which resources a request names, whatever its type.
#[derive(Debug, Clone)]
enum Named {
    Nothing,
    Ids(Vec<String>),
    Names(Vec<String>),
}

macro_rules! named_into {
    ($($resources:path),*) => {$(
        impl From<Named> for Option<$resources> {
            fn from(named: Named) -> Self {
                type Resources = $resources;
                match named {
                    Named::Nothing => None,
                    Named::Ids(values) => Some(Resources::ResourceIds(ResourceIds { values })),
                    Named::Names(values) => {
                        Some(Resources::ResourcePrincipalNames(ResourcePrincipalNames { values }))
                    }
                }
            }
        }
    )*};
}
named_into!(
    untag_resources_request::Resources,
    tag_resources_request::Resources,
    list_tag_resources_request::Resources
);

fn untag(
    resource_type: &str,
    named: Named,
    tag_keys: Vec<String>,
    all: bool,
) -> UntagResourcesRequest {
    UntagResourcesRequest {
        resource_type: resource_type.to_owned(),
        resources: named.into(),
        tag_keys,
        all,
        ..UntagResourcesRequest::default()
    }
}

fn tag(resource_type: &str, named: Named, tags: Vec<(String, String)>) -> TagResourcesRequest {
    TagResourcesRequest {
        resource_type: resource_type.to_owned(),
        resources: named.into(),
        tags: tags
            .into_iter()
            .map(|(key, value)| Tag { key, value })
            .collect(),
        ..TagResourcesRequest::default()
    }
}

fn list(
    resource_type: &str,
    named: Named,
    tags: Vec<(String, Option<String>)>,
    page_size: i32,
) -> ListTagResourcesRequest {
    ListTagResourcesRequest {
        resource_type: resource_type.to_owned(),
        resources: named.into(),
        tags: tags
            .into_iter()
            .map(|(key, value)| TagFilter { key, value })
            .collect(),
        page_size,
        ..ListTagResourcesRequest::default()
    }
}

const TYPES: [&str; 5] = ["", "user", "User", "group", "user "];
const PAGE_SIZES: [i32; 7] = [0, 1, 100, 101, -1, i32::MAX, i32::MIN];

/// Ids on both sides of every limit.
fn id_texts() -> Vec<String> {
    let texts = [
        "0",
        "20732900249392",
        "",
        "1a",
        "-1",
        " 1",
        "1 ",
        "1\n",
        "１",
        "١",
        "1\0",
    ];
    let mut texts: Vec<String> = texts.map(String::from).into();
    texts.extend(["9".repeat(32), "9".repeat(33)]);
    texts
}

/// Principal names on both sides of every limit.
fn name_texts() -> Vec<String> {
    let texts = [
        "a@b",
        "Alice.B_c-d@example.onaliyun.com",
        "",
        "alice",
        "@b",
        "a@",
        "@",
        "a@b@c",
        "a b@c",
        "é@c",
        "a@é",
        "a@b\n",
        "a+b@c",
        "a@b\0",
        ".@.",
        "-@_",
    ];
    let mut texts: Vec<String> = texts.map(String::from).into();
    for (user, domain) in [(64, 63), (64, 64), (65, 1), (1, 126), (1, 127), (63, 64)] {
        texts.push(format!("{}@{}", "u".repeat(user), "d".repeat(domain)));
    }
    texts
}

/// Tag keys and values on both sides of every limit; characters of one to four bytes, since limits count characters.
fn tag_texts() -> Vec<String> {
    let texts = [
        "",
        "k",
        "Aliyun",
        "aliyun",
        "aliyunx",
        "my-aliyun",
        "ALIYUN",
        "acs",
        "acs:",
        "acs:x",
        "xacs:",
        "ACS:x",
        "http:/",
        "http://",
        "xhttp://y",
        "https://",
        "xhttps://y",
        "HTTP://x",
        "http:\u{ff0f}/",
        "\0",
        "a\0b",
        "\\0",
        "\u{1}",
        "a\nb",
        " ",
        "'",
        "\"",
    ];
    let mut texts: Vec<String> = texts.map(String::from).into();
    for character in ["x", "é", "键", "𝒌", "e\u{301}"] {
        let one = character.chars().count();
        texts.extend([character.repeat(128 / one), character.repeat(128 / one + 1)]);
    }
    texts.push(format!("{}http://", "x".repeat(121)));
    texts
}

fn numbered(count: usize, text: impl Fn(usize) -> String) -> Vec<String> {
    (0..count).map(text).collect()
}

/// Resources on both sides of every limit.
fn all_named() -> Vec<Named> {
    let mut all = vec![Named::Nothing];
    for count in [0, 1, 2, 49, 50, 51, 120] {
        all.push(Named::Ids(numbered(count, |n| n.to_string())));
        all.push(Named::Names(numbered(count, |n| format!("u{n}@d"))));
        all.push(Named::Ids(vec!["7".to_owned(); count]));
        all.push(Named::Names(vec!["Same@d".to_owned(); count]));
    }
    for text in id_texts() {
        all.push(Named::Ids(vec![text.clone()]));
        all.push(Named::Ids(vec!["1".to_owned(), text]));
    }
    for text in name_texts() {
        all.push(Named::Names(vec![text.clone()]));
        all.push(Named::Names(vec!["a@b".to_owned(), text]));
    }
    all.push(Named::Names(vec!["a@b".to_owned(), "A@B".to_owned()]));
    all
}

/// Lists of keys on both sides of every limit.
fn all_keys() -> Vec<Vec<String>> {
    let mut all: Vec<Vec<String>> = [0, 1, 19, 20, 21, 60]
        .map(|count| numbered(count, |n| format!("k{n}")))
        .into();
    all.extend(tag_texts().into_iter().map(|text| vec![text]));
    all.extend(
        tag_texts()
            .into_iter()
            .map(|text| vec!["first".to_owned(), text]),
    );
    all.extend([["k", "k"], ["k", "K"], ["", ""]].map(|keys| keys.map(String::from).into()));
    let mut same_last = numbered(19, |n| format!("k{n}"));
    same_last.push("k0".to_owned());
    all.push(same_last);
    all
}

fn one_id() -> Named {
    Named::Ids(vec!["1".to_owned()])
}

fn untag_corpus() -> Vec<UntagResourcesRequest> {
    let key = || vec!["k".to_owned()];
    let mut corpus = Vec::new();
    corpus.extend(TYPES.map(|resource_type| untag(resource_type, one_id(), key(), false)));
    for named in all_named() {
        corpus.push(untag("user", named.clone(), key(), false));
        corpus.push(untag("user", named, Vec::new(), true));
    }
    for keys in all_keys() {
        corpus.push(untag("user", one_id(), keys.clone(), false));
        corpus.push(untag("user", one_id(), keys, true));
    }
    let expecting = |keys: &[String], pairs: Vec<(String, String)>| UntagResourcesRequest {
        expected_values: pairs.into_iter().collect(),
        ..untag("user", one_id(), keys.to_vec(), true)
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    for value in tag_texts() {
        corpus.push(expecting(&key(), vec![pair("k", &value)]));
    }
    for keys in all_keys() {
        let pairs = keys.iter().map(|key| pair(key, "v"));
        corpus.push(expecting(&keys, pairs.collect()));
    }
    corpus.push(expecting(&[], vec![pair("k", "v")]));
    corpus.push(expecting(&key(), vec![pair("K", "v")]));
    corpus.push(expecting(&key(), vec![pair("k", "v"), pair("other", "v")]));
    corpus.extend(
        token_texts()
            .into_iter()
            .map(|token| UntagResourcesRequest {
                client_token: token,
                ..untag("user", one_id(), key(), false)
            }),
    );
    corpus
}

/// Client tokens on both sides of every limit.
fn token_texts() -> Vec<String> {
    let texts = [
        "",
        " ",
        "~",
        "order 7/retry=1",
        "\u{7f}",
        "a\tb",
        "a\n",
        "é",
        "\0",
    ];
    let mut texts: Vec<String> = texts.map(String::from).into();
    texts.extend(["x".repeat(64), "x".repeat(65)]);
    texts
}

fn tag_corpus() -> Vec<TagResourcesRequest> {
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let mut corpus = Vec::new();
    corpus.extend(TYPES.map(|resource_type| tag(resource_type, one_id(), vec![pair("k", "v")])));
    corpus.extend(
        all_named()
            .into_iter()
            .map(|named| tag("", named, vec![pair("k", "v")])),
    );
    for keys in all_keys() {
        let tags = keys.into_iter().map(|key| (key, "v".to_owned())).collect();
        corpus.push(tag("", one_id(), tags));
    }
    corpus.extend(token_texts().into_iter().map(|token| TagResourcesRequest {
        client_token: token,
        ..tag("", one_id(), vec![pair("k", "v")])
    }));
    for value in tag_texts() {
        corpus.push(tag("", one_id(), vec![pair("k", &value)]));
        corpus.push(tag(
            "",
            one_id(),
            vec![pair("k", "v"), pair("other", &value)],
        ));
    }
    corpus
}

fn list_corpus() -> Vec<ListTagResourcesRequest> {
    let filter = || vec![("k".to_owned(), None)];
    let mut corpus = Vec::new();
    corpus.extend(TYPES.map(|resource_type| list(resource_type, one_id(), filter(), 1)));
    corpus.extend(PAGE_SIZES.map(|page_size| list("user", one_id(), filter(), page_size)));
    for named in all_named() {
        corpus.push(list("", named.clone(), Vec::new(), 0));
        corpus.push(list("", named, filter(), 0));
    }
    for keys in all_keys() {
        let filters: Vec<_> = keys.into_iter().map(|key| (key, None)).collect();
        corpus.push(list("", one_id(), filters.clone(), 0));
        corpus.push(list("", Named::Nothing, filters, 0));
    }
    for value in tag_texts() {
        corpus.push(list(
            "",
            Named::Nothing,
            vec![("k".to_owned(), Some(value))],
            0,
        ));
    }
    for revision in [0, 1, -1, i64::MAX, i64::MIN] {
        for named in [
            one_id(),
            Named::Names(vec!["a@b".to_owned()]),
            Named::Nothing,
        ] {
            corpus.push(ListTagResourcesRequest {
                revision,
                ..list("", named, filter(), 0)
            });
        }
    }
    corpus
}

fn change_corpus() -> Vec<GetChangeRequest> {
    let by = |change, page_size| GetChangeRequest {
        change: Some(change),
        page_size,
        ..GetChangeRequest::default()
    };
    let id = "6AC79B74-9A78-58E2-818B-1D38EDC64D67";
    let mut corpus = vec![GetChangeRequest::default()];
    corpus.extend(PAGE_SIZES.map(|size| by(ChangeKey::RequestId(id.to_owned()), size)));
    let wrong = [
        "",
        "7",
        "{6AC79B74-9A78-58E2-818B-1D38EDC64D67}",
        "6AC79B749A7858E2818B1D38EDC64D67",
    ];
    for text in wrong
        .map(str::to_owned)
        .into_iter()
        .chain([id.to_lowercase(), format!("{id} ")])
    {
        corpus.push(by(ChangeKey::RequestId(text), 0));
    }
    let revisions = [1, 0, -1, i64::MAX, i64::MIN];
    corpus.extend(revisions.map(|revision| by(ChangeKey::Revision(revision), 0)));
    corpus
}

fn watch_corpus() -> Vec<WatchChangesRequest> {
    use watch_changes_request::Start;
    let request = |start| WatchChangesRequest { start };
    let mut corpus = vec![request(None)];
    corpus.extend((-1..6).map(|number| request(Some(Start::StartAt(number)))));
    let id = "0d5c4a8e-3F0A-4C3B-9E5D-7A1B2C3D4E5F";
    let ids = [
        id,
        "",
        "x",
        "0D5C4A8E3F0A4C3B9E5D7A1B2C3D4E5F",
        "0D5C4A8E-3F0A-4C3B-9E5D-7A1B2C3D4E5",
    ];
    for history_id in ids {
        for request_id in ids {
            for revision in [0, 1, i64::MAX, -1] {
                corpus.push(request(Some(Start::After(HistoryPosition {
                    history_id: history_id.to_owned(),
                    revision,
                    request_id: request_id.to_owned(),
                }))));
            }
        }
    }
    corpus
}

fn changes_corpus() -> Vec<ListChangesRequest> {
    let all = ListChangesRequest::default;
    let time = |seconds, nanos| Some(prost_types::Timestamp { seconds, nanos });
    let mut corpus = vec![all()];
    let ids = id_texts().into_iter();
    corpus.extend(ids.map(|resource_id| ListChangesRequest {
        resource_id,
        ..all()
    }));
    let keys = tag_texts().into_iter();
    corpus.extend(keys.map(|tag_key| ListChangesRequest { tag_key, ..all() }));
    let callers = ["anonymous".to_owned(), "é".repeat(1_024), "é".repeat(1_025)];
    corpus.extend(callers.map(|caller| ListChangesRequest { caller, ..all() }));
    corpus.extend(PAGE_SIZES.map(|page_size| ListChangesRequest { page_size, ..all() }));
    corpus.extend([0, 1, 2, 3, -1].map(|order| ListChangesRequest { order, ..all() }));
    let spans = [
        (None, time(1, 0)),
        (time(1, 0), None),
        (time(1, 0), time(1, 0)),
        (time(1, 0), time(1, 1)),
        (time(1, 1), time(1, 0)),
        (time(2, 0), time(1, 999_999_999)),
    ];
    corpus.extend(spans.map(|(start_time, end_time)| ListChangesRequest {
        start_time,
        end_time,
        ..all()
    }));
    corpus
}

fn keys(resource_type: &str) -> ListTagKeysRequest {
    ListTagKeysRequest {
        resource_type: resource_type.to_owned(),
        ..ListTagKeysRequest::default()
    }
}

fn values(resource_type: &str, key: &str) -> ListTagValuesRequest {
    ListTagValuesRequest {
        resource_type: resource_type.to_owned(),
        tag_key: key.to_owned(),
        ..ListTagValuesRequest::default()
    }
}

fn values_corpus() -> Vec<ListTagValuesRequest> {
    let texts = tag_texts();
    let of_keys = texts.iter().map(|key| values("user", key));
    let of_types = TYPES.map(|resource_type| values(resource_type, "k"));
    of_keys.chain(of_types).collect()
}

fn revert_corpus() -> Vec<RevertChangeRequest> {
    let id = "6AC79B74-9A78-58E2-818B-1D38EDC64D67";
    let good = || RevertChangeRequest {
        request_id: id.to_owned(),
        ..RevertChangeRequest::default()
    };
    let mut corpus = vec![good(), RevertChangeRequest::default()];
    corpus.extend([1, 2, 3, -1].map(|on_conflict| RevertChangeRequest {
        on_conflict,
        ..good()
    }));
    let tokens = token_texts().into_iter();
    corpus.extend(tokens.map(|client_token| RevertChangeRequest {
        client_token,
        ..good()
    }));
    corpus
}

/// Compares the verdicts over a corpus, and returns which rules it breaks.
fn compare(corpus: &[impl Request]) -> BTreeSet<String> {
    let rules = Rules::published();
    let disagreements: Vec<String> = corpus
        .iter()
        .filter_map(|request| rules.disagreement(request))
        .collect();
    assert!(disagreements.is_empty(), "{}", disagreements.join("\n\n"));
    let valid = corpus
        .iter()
        .filter(|request| request.faults().is_empty())
        .count();
    assert!(
        valid > 0 && valid < corpus.len(),
        "the corpus shows both verdicts"
    );
    // The index of an entry says nothing about the rule.
    let without_indexes = |rule: String| rule.replace(|c: char| c.is_ascii_digit(), "");
    corpus
        .iter()
        .flat_map(|request| rules.broken_by(request))
        .map(without_indexes)
        .collect()
}

#[test]
fn rules_and_code_agree_on_every_limit_of_untag() {
    let broken = compare(&untag_corpus());
    insta::assert_debug_snapshot!(broken);
}

#[test]
fn rules_and_code_agree_on_every_limit_of_tag() {
    let broken = compare(&tag_corpus());
    insta::assert_debug_snapshot!(broken);
}

#[test]
fn rules_and_code_agree_on_every_limit_of_list() {
    let broken = compare(&list_corpus());
    insta::assert_debug_snapshot!(broken);
}

#[test]
fn rules_and_code_agree_on_every_limit_of_reading_changes() {
    let mut broken = compare(&change_corpus());
    broken.extend(compare(&changes_corpus()));
    broken.extend(compare(&revert_corpus()));
    broken.extend(compare(&watch_corpus()));
    insta::assert_debug_snapshot!(broken);
}

#[test]
fn rules_and_code_agree_on_every_limit_of_counts() {
    let mut broken = compare(&TYPES.map(keys));
    broken.extend(compare(&values_corpus()));
    insta::assert_debug_snapshot!(broken);
}

fn resource_type() -> impl Strategy<Value = String> {
    prop_oneof![9 => Just("user".to_owned()), 1 => "[a-z]{0,5}", 1 => Just(String::new())]
}

fn named() -> impl Strategy<Value = Named> {
    let id = prop_oneof![20 => "[0-9]{1,32}", 1 => "[0-9]{30,35}", 1 => proptest::sample::select(id_texts())];
    let name = prop_oneof![
        20 => "[A-Za-z0-9._-]{1,4}@[A-Za-z0-9._-]{1,4}",
        1 => "[A-Za-z0-9._-]{60,66}@[A-Za-z0-9._-]{60,66}",
        1 => proptest::sample::select(name_texts()),
    ];
    prop_oneof![
        1 => Just(Named::Nothing),
        6 => proptest::collection::vec(id.clone(), 0..4).prop_map(Named::Ids),
        6 => proptest::collection::vec(name, 0..4).prop_map(Named::Names),
        1 => proptest::collection::vec(id, 48..53).prop_map(Named::Ids),
    ]
}

fn tag_text() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => "[a-z键]{1,4}",
        2 => "(aliyun|acs|Acs)?[:a]?(https?)?:?/{0,2}[x键]?",
        1 => "\\PC{120,135}",
        1 => any::<String>(),
        1 => proptest::sample::select(tag_texts()),
    ]
}

fn few_or_about_twenty<T: Strategy + Clone>(entry: T) -> impl Strategy<Value = Vec<T::Value>> {
    prop_oneof![
        9 => proptest::collection::vec(entry.clone(), 0..5),
        1 => proptest::collection::vec(entry, 18..23),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn rules_and_code_agree_on_any_request(
        resource_type in resource_type(),
        named in named(),
        tags in few_or_about_twenty((tag_text().boxed(), tag_text().boxed())),
        has_values in any::<bool>(),
        expected in few_or_about_twenty((any::<prop::sample::Index>(), tag_text().boxed())),
        token in "[ -~é]{0,3}|[a-z]{63,66}",
        all in any::<bool>(),
        page_size in prop_oneof![3 => 0..=100, 1 => -2..=103, 1 => any::<i32>()],
        revision in prop_oneof![3 => Just(0), 3 => 1..=100_i64, 1 => any::<i64>()],
    ) {
        thread_local!(static RULES: Rules = Rules::published());
        let given: Vec<String> = tags.iter().map(|(key, _)| key.clone()).collect();
        let first = given.first().cloned().unwrap_or_default();
        let mut untag = untag(&resource_type, named.clone(), given.clone(), all);
        let expected = expected.into_iter().filter(|_| !given.is_empty());
        untag.expected_values = expected.map(|(key, value)| (key.get(&given).clone(), value)).collect();
        untag.client_token = token.clone();
        let mut tag = tag(&resource_type, named.clone(), tags.clone());
        tag.client_token = token;
        let filters = tags.iter().cloned().map(|(key, value)| (key, has_values.then_some(value))).collect();
        let disagreements = RULES.with(|rules| [
            rules.disagreement(&untag),
            rules.disagreement(&tag),
            rules.disagreement(&ListTagResourcesRequest {
                revision,
                ..list(&resource_type, named, filters, page_size)
            }),
            rules.disagreement(&keys(&resource_type)),
            rules.disagreement(&values(&resource_type, &first)),
        ]);
        for disagreement in disagreements.into_iter().flatten() {
            prop_assert!(false, "{disagreement}");
        }
    }
}
