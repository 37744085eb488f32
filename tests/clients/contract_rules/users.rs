//! The rules of the requests about users.

use std::collections::HashMap;

use untag::domain::{Error, Fault, Timestamp};
use untag::grpc::proto::user::v1::import_users_request::Part;
use untag::grpc::proto::user::v1::{
    CreateUserRequest, DeleteUserRequest, GetUserRequest, ImportChunk, ImportLine, ImportSettings,
    ImportUsersRequest, ListUsersRequest, UndeleteUserRequest, UpdateUserRequest, User,
    get_user_request,
};
use untag::grpc::{
    parse_create_user, parse_delete_user, parse_get_user, parse_import_chunk,
    parse_import_settings, parse_list_users, parse_undelete_user, parse_update_user,
};

use super::{
    PAGE_SIZES, Request, account, compare, id_texts, name_texts, numbered, tag_texts, token_texts,
};

macro_rules! requests {
    ($($request:ident by $parse:ident),*) => {$(
        impl Request for $request {
            fn type_name(&self) -> &'static str {
                concat!("ram.user.v1.", stringify!($request))
            }

            fn faults(&self) -> Vec<Fault> {
                let now = Timestamp::from_millis(0);
                $parse(self.clone(), Ok(account()), now).err().unwrap_or_default()
            }
        }
    )*};
}
requests!(
    GetUserRequest by parse_get_user,
    ListUsersRequest by parse_list_users,
    CreateUserRequest by parse_create_user,
    UpdateUserRequest by parse_update_user,
    DeleteUserRequest by parse_delete_user,
    UndeleteUserRequest by parse_undelete_user
);

impl Request for ImportSettings {
    fn type_name(&self) -> &'static str {
        "ram.user.v1.ImportSettings"
    }

    fn faults(&self) -> Vec<Fault> {
        let part = Some(Part::Settings(self.clone()));
        let parsed = parse_import_settings(ImportUsersRequest { part }, Ok(account()));
        parsed.err().unwrap_or_default()
    }
}

impl Request for ImportChunk {
    fn type_name(&self) -> &'static str {
        "ram.user.v1.ImportChunk"
    }

    fn faults(&self) -> Vec<Fault> {
        let settings = Some(Part::Settings(ImportSettings::default()));
        let settings = ImportUsersRequest { part: settings };
        let settings = parse_import_settings(settings, Ok(account())).unwrap();
        let part = Some(Part::Chunk(self.clone()));
        match parse_import_chunk(ImportUsersRequest { part }, &settings, 0) {
            Ok(_) => Vec::new(),
            Err(Error::Invalid(faults)) => faults,
            Err(other) => panic!("{other}"),
        }
    }
}

fn user() -> User {
    User {
        resource_id: "1".to_owned(),
        principal_name: "a@b".to_owned(),
        ..User::default()
    }
}

/// Display names and comments on both sides of every limit.
fn texts() -> Vec<String> {
    let mut texts: Vec<String> = ["", " ", "\0", "a\0b", "a\nb", "http://x"]
        .map(String::from)
        .into();
    for count in [24, 25, 128, 129] {
        texts.extend(["x", "名", "𝒌"].map(|one| one.repeat(count)));
    }
    texts
}

/// Users on both sides of every limit.
fn users() -> Vec<User> {
    let mut users = vec![User::default(), user()];
    users.extend(id_texts().into_iter().map(|resource_id| User {
        resource_id,
        ..user()
    }));
    let names = name_texts().into_iter();
    users.extend(names.map(|principal_name| User {
        principal_name,
        ..user()
    }));
    for text in texts() {
        users.push(User {
            display_name: text.clone(),
            ..user()
        });
        users.push(User {
            comments: text,
            ..user()
        });
    }
    let with_tags = |tags: HashMap<String, String>| User { tags, ..user() };
    for count in [1, 20, 21] {
        let keys = numbered(count, |number| format!("k{number}"));
        users.push(with_tags(
            keys.into_iter().map(|key| (key, String::new())).collect(),
        ));
    }
    for text in tag_texts() {
        users.push(with_tags([(text.clone(), String::new())].into()));
        users.push(with_tags([("k".to_owned(), text)].into()));
    }
    users
}

#[test]
fn rules_and_code_agree_on_every_limit_of_users_to_create() {
    let create = |user| CreateUserRequest {
        user,
        client_token: String::new(),
    };
    let mut corpus: Vec<_> = users().into_iter().map(|user| create(Some(user))).collect();
    corpus.push(create(None));
    let tokens = token_texts().into_iter();
    corpus.extend(tokens.map(|client_token| CreateUserRequest {
        client_token,
        ..create(Some(user()))
    }));
    insta::assert_debug_snapshot!(compare(&corpus));
}

#[test]
fn rules_and_code_agree_on_every_limit_of_updates_of_users() {
    let update = |user, paths: Option<&[&str]>| UpdateUserRequest {
        user: Some(user),
        update_mask: paths.map(|paths| prost_types::FieldMask {
            paths: paths.iter().map(ToString::to_string).collect(),
        }),
        client_token: String::new(),
    };
    let mut corpus = vec![UpdateUserRequest::default()];
    let masks: [Option<&[&str]>; 10] = [
        None,
        Some(&[]),
        Some(&["principal_name"]),
        Some(&["display_name"]),
        Some(&["comments", "display_name", "principal_name"]),
        Some(&["comments", "comments"]),
        Some(&["tags"]),
        Some(&["comments", "*"]),
        Some(&[""]),
        Some(&["comments"; 21]),
    ];
    let mut nameless = users();
    nameless.extend(users().into_iter().map(|user| User {
        principal_name: String::new(),
        ..user
    }));
    for user in nameless {
        corpus.extend(masks.map(|mask| update(user.clone(), mask)));
    }
    insta::assert_debug_snapshot!(compare(&corpus));
}

fn lists_corpus() -> Vec<ListUsersRequest> {
    let mut lists: Vec<_> = PAGE_SIZES
        .map(|page_size| ListUsersRequest {
            page_size,
            ..ListUsersRequest::default()
        })
        .into();
    for text in name_texts().into_iter().chain(texts()) {
        lists.push(ListUsersRequest {
            principal_name_prefix: text,
            ..ListUsersRequest::default()
        });
    }
    for untagged in [false, true] {
        for text in tag_texts() {
            for value in [None, Some(String::new()), Some(text.clone())] {
                lists.push(ListUsersRequest {
                    tag_key: text.clone(),
                    tag_value: value.clone(),
                    untagged,
                    ..ListUsersRequest::default()
                });
                lists.push(ListUsersRequest {
                    tag_key: "k".to_owned(),
                    tag_value: value,
                    untagged,
                    ..ListUsersRequest::default()
                });
            }
        }
    }
    lists
}

#[test]
fn rules_and_code_agree_on_every_limit_of_other_requests_about_users() {
    let mut get = vec![GetUserRequest { user: None }];
    let by = |user| GetUserRequest { user: Some(user) };
    get.extend(
        id_texts()
            .into_iter()
            .map(|id| by(get_user_request::User::ResourceId(id))),
    );
    get.extend(
        name_texts()
            .into_iter()
            .map(|name| by(get_user_request::User::PrincipalName(name))),
    );

    let ids = id_texts().into_iter();
    let delete: Vec<_> = ids
        .map(|resource_id| DeleteUserRequest {
            resource_id,
            client_token: String::new(),
        })
        .collect();
    let undelete = |id: &str, name: &str| UndeleteUserRequest {
        resource_id: id.to_owned(),
        new_principal_name: name.to_owned(),
        client_token: String::new(),
    };
    let mut restored: Vec<_> = id_texts().iter().map(|id| undelete(id, "")).collect();
    restored.extend(name_texts().iter().map(|name| undelete("1", name)));

    let broken = [
        compare(&get),
        compare(&delete),
        compare(&restored),
        compare(&lists_corpus()),
    ];
    insta::assert_debug_snapshot!(broken);
}

#[test]
fn rules_and_code_agree_on_every_limit_of_imports() {
    let settings = |mode, token: String| ImportSettings {
        mode,
        client_token: token,
        ..ImportSettings::default()
    };
    let mut all: Vec<_> = (-1..5).map(|mode| settings(mode, String::new())).collect();
    all.extend(token_texts().into_iter().map(|token| settings(0, token)));
    all.extend([40, 41].map(|count| settings(0, "x".repeat(count))));
    let chunk = |from: i64, count: i64| ImportChunk {
        lines: (from..from + count)
            .map(|number| ImportLine {
                number,
                user: Some(user()),
            })
            .collect(),
    };
    let chunks = [
        (1, 0),
        (1, 1),
        (1, 500),
        (1, 501),
        (0, 1),
        (-1, 1),
        (i64::MAX - 1, 1),
    ];
    let chunks = chunks.map(|(from, count)| chunk(from, count));
    let broken = [compare(&all), compare(&chunks)];
    insta::assert_debug_snapshot!(broken);
}
