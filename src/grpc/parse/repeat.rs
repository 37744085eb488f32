//! The client token of a change, and the fingerprint by which a repetition of the change is told from another one.

use sha2::{Digest as _, Sha256};

use super::faults::Faults;
use crate::domain::{
    ClientToken, Comments, DisplayName, Edit, FaultCode, Fingerprint, ImportMode, OnConflict,
    OnMismatch, PrincipalName, Repeat, ResourceId, RevertRequest, TagCommand, TagKey, TagSelection,
    TagValue, Targets, UntagCommand, UserChange, UserCommand,
};
use crate::grpc::proto::user::v1 as user_proto;

/// A change that a request asks for, and how a repetition of the request is known, if the caller wants that.
#[derive(Debug)]
pub struct Repeatable<C> {
    /// The change.
    pub command: C,
    /// The caller's token and the fingerprint of the change.
    pub repeat: Option<Repeat>,
}

impl<C> Repeatable<C> {
    /// A change with its token, where it has one.
    pub(super) fn new(
        command: C,
        token: Option<ClientToken>,
        fingerprint: impl FnOnce(&C) -> Fingerprint,
    ) -> Self {
        let repeat = token.map(|token| Repeat {
            token,
            fingerprint: fingerprint(&command),
        });
        Self { command, repeat }
    }
}

/// Parses a token; there is none in an empty text.
pub fn client_token(text: &str, faults: &mut Faults) -> Option<ClientToken> {
    if text.is_empty() {
        return None;
    }
    let token = ClientToken::parse(text);
    if token.is_none() {
        let description = "give 1 to 64 printable characters of ASCII, or none";
        faults.add(FaultCode::InvalidClientToken, "client_token", description);
    }
    token
}

/// The fingerprint of an untag. The account is not in it, and neither is `validate_only`, which leaves no record.
pub fn of_untag(command: &UntagCommand) -> Fingerprint {
    let mut content = Content::new("untag");
    content.add_targets(&command.targets);
    match &command.selection {
        TagSelection::All => content.add("all"),
        TagSelection::Keys(keys) => content.add_list(keys.iter().map(TagKey::as_str)),
    }
    content.add(if command.allow_missing { "skip" } else { "" });
    if let Some(expected) = &command.expected {
        content.add(match expected.on_mismatch {
            OnMismatch::Fail => "fail",
            OnMismatch::Skip => "skip",
        });
        let values = expected.values.iter();
        content.add_list(values.flat_map(|(key, value)| [key.as_str(), TagValue::as_str(value)]));
    }
    content.fingerprint()
}

/// The fingerprint of tags that are set.
pub fn of_tag(command: &TagCommand) -> Fingerprint {
    let mut content = Content::new("tag");
    content.add_targets(&command.targets);
    let tags = command.tags.iter();
    content.add_list(tags.flat_map(|(key, value)| [key.as_str(), TagValue::as_str(value)]));
    content.fingerprint()
}

/// The fingerprint of a revert.
pub fn of_revert(request: &RevertRequest) -> Fingerprint {
    let mut content = Content::new("revert");
    content.add(request.change.as_str());
    content.add(match request.on_conflict {
        OnConflict::Fail => "fail",
        OnConflict::Skip => "skip",
    });
    content.fingerprint()
}

/// The fingerprint of changes of users. `own_id` is the id that the request gives its user, if it gives one.
pub fn of_users(command: &UserCommand, own_id: Option<&ResourceId>) -> Fingerprint {
    let mut content = Content::new("users");
    content.add_list(own_id.map(ResourceId::as_str).into_iter());
    for change in command.changes() {
        match change {
            UserChange::Create(user) => {
                content.add("create");
                let display_name = user.display_name.as_ref().map(DisplayName::as_str);
                let comments = user.comments.as_ref().map(Comments::as_str);
                content.add(display_name.unwrap_or_default());
                content.add(comments.unwrap_or_default());
                let tags = user.tags().iter();
                content.add_list(tags.flat_map(|(key, value)| [key.as_str(), value.as_str()]));
            }
            UserChange::Update(update) => {
                content.add("update");
                content.add_edit(&update.display_name, DisplayName::as_str);
                content.add_edit(&update.comments, Comments::as_str);
            }
            UserChange::Delete { .. } => content.add("delete"),
            UserChange::Restore { .. } => content.add("restore"),
        }
        // As it is given: another case is another name to keep.
        let name = change.given_name().map(PrincipalName::as_str);
        content.add_list(name.into_iter());
    }
    content.fingerprint()
}

/// The fingerprint of a chunk of an import: of its lines as they were sent.
pub fn of_chunk(mode: ImportMode, lines: &[user_proto::ImportLine]) -> Fingerprint {
    let mut content = Content::new("import");
    content.add(mode.as_str());
    for user_proto::ImportLine { number, user } in lines {
        content.add(&number.to_string());
        let Some(user) = user else {
            content.add_list([].into_iter());
            continue;
        };
        let mut tags: Vec<_> = user.tags.iter().collect();
        tags.sort_unstable();
        let texts = [
            &user.resource_id,
            &user.principal_name,
            &user.display_name,
            &user.comments,
        ];
        let tags = tags.into_iter().flat_map(|(key, value)| [key, value]);
        content.add_list(texts.into_iter().chain(tags).map(String::as_str));
    }
    content.fingerprint()
}

/// The content of a request as it is hashed. It is kept for a day and compared by other replicas: its form is not to be changed.
struct Content(Sha256);

impl Content {
    fn new(kind: &str) -> Self {
        let mut content = Self(Sha256::new());
        content.add(kind);
        content
    }

    /// Adds a text with its length before it, so that no two lists of texts are the same bytes.
    fn add(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text);
    }

    fn add_list<'a>(&mut self, texts: impl Iterator<Item = &'a str>) {
        let texts: Vec<_> = texts.collect();
        self.0.update((texts.len() as u64).to_be_bytes());
        for text in texts {
            self.add(text);
        }
    }

    fn add_edit<T>(&mut self, edit: &Edit<T>, text: impl Fn(&T) -> &str) {
        match edit {
            Edit::Keep => self.add("keep"),
            Edit::Clear => self.add("clear"),
            Edit::Set(value) => self.add_list([text(value)].into_iter()),
        }
    }

    /// Adds the targets: names without regard to case, as they are matched.
    fn add_targets(&mut self, targets: &Targets) {
        match targets {
            Targets::Ids(ids) => {
                self.add("ids");
                self.add_list(ids.iter().map(ResourceId::as_str));
            }
            Targets::Names(names) => {
                let names: Vec<_> = names.iter().map(PrincipalName::folded).collect();
                self.add("names");
                self.add_list(names.iter().map(String::as_str));
            }
        }
    }

    fn fingerprint(self) -> Fingerprint {
        let hash: [u8; 32] = self.0.finalize().into();
        let mut half = [0; 16];
        half.copy_from_slice(&hash[..16]);
        Fingerprint(half)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::domain::{AccountId, Expected};

    fn key(text: &str) -> TagKey {
        TagKey::parse(text).unwrap()
    }

    fn value(text: &str) -> TagValue {
        TagValue::parse(text).unwrap()
    }

    fn untag() -> UntagCommand {
        UntagCommand {
            account: AccountId::parse("1").unwrap(),
            targets: Targets::Ids(vec![ResourceId::parse("7").unwrap()]),
            selection: TagSelection::Keys(vec![key("a"), key("b")]),
            expected: None,
            allow_missing: false,
            validate_only: false,
        }
    }

    fn expecting(values: &[(&str, &str)], on_mismatch: OnMismatch) -> UntagCommand {
        let values = values.iter().map(|(k, v)| (key(k), value(v))).collect();
        UntagCommand {
            expected: Some(Expected {
                values,
                on_mismatch,
            }),
            ..untag()
        }
    }

    #[test]
    fn untags_with_another_content_have_another_fingerprint() {
        let ids = ["7", "8"].map(|id| ResourceId::parse(id).unwrap());
        let names = vec![PrincipalName::parse("7@x").unwrap()];
        let with_keys = |keys: &[&str]| UntagCommand {
            selection: TagSelection::Keys(keys.iter().map(|text| key(text)).collect()),
            ..untag()
        };
        let with_targets = |targets| UntagCommand { targets, ..untag() };
        let different = [
            untag(),
            with_keys(&["a"]),
            with_keys(&["ab"]),
            with_keys(&["a", "b", "c"]),
            with_targets(Targets::Ids(ids.to_vec())),
            with_targets(Targets::Names(names)),
            UntagCommand {
                selection: TagSelection::All,
                ..untag()
            },
            UntagCommand {
                allow_missing: true,
                ..untag()
            },
            expecting(&[("a", "x")], OnMismatch::Fail),
            expecting(&[("a", "x")], OnMismatch::Skip),
            expecting(&[("a", "y")], OnMismatch::Fail),
            expecting(&[("a", "x"), ("b", "")], OnMismatch::Fail),
            expecting(&[("b", "x")], OnMismatch::Fail),
        ];
        let fingerprints: HashSet<_> = different.iter().map(|untag| of_untag(untag).0).collect();
        assert_eq!(fingerprints.len(), different.len());
        let again = UntagCommand {
            validate_only: true,
            account: AccountId::parse("2").unwrap(),
            ..untag()
        };
        assert_eq!(of_untag(&again), of_untag(&untag()));
    }

    #[test]
    fn fingerprints_are_the_same_in_every_version() {
        let names = ["Bob@X", "ann@x"].map(|name| PrincipalName::parse(name).unwrap());
        let tag = |name: PrincipalName| TagCommand {
            account: AccountId::parse("1").unwrap(),
            targets: Targets::Names(vec![name]),
            tags: vec![(key("a"), value("x"))],
        };
        let [bob, ann] = names.map(|name| of_tag(&tag(name)));
        assert_ne!(bob, ann);
        assert_eq!(bob, of_tag(&tag(PrincipalName::parse("bob@x").unwrap())));
        let hex = |Fingerprint(bytes)| u128::from_be_bytes(bytes);
        insta::assert_snapshot!(format!("{:032x} {:032x}", hex(bob), hex(of_untag(&untag()))), @"7e29586c4dbbe4e9cddc680be3ea405e 700da486232549a18231d815e1c4a4b8");
    }
}
