//! The policy file: RAM documents under names, and bindings that give them to callers.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::binding::{AccountPattern, Binding, CallerPattern};
use super::document::{Document, Policy};
use super::error::PolicyError;
use super::json::{OneOrMore, beginning_of, entries, not_empty, values};
use super::statement::IneffectiveDeny;
use crate::bom::without_bom;
use crate::json_object::Object;

/// The contents of a policy file.
pub(super) struct Contents {
    pub(super) policies: Vec<Arc<Policy>>,
    pub(super) bindings: Vec<Binding>,
}

impl Contents {
    pub(super) fn parse(text: &[u8], ineffective: IneffectiveDeny) -> Result<Self, PolicyError> {
        let text =
            without_bom(text).map_err(|error| PolicyError::behind(text, 0, error.to_string()))?;
        let text = std::str::from_utf8(text).map_err(|error| {
            PolicyError::behind(
                text,
                error.valid_up_to(),
                "what follows is not UTF-8; save the file as UTF-8",
            )
        })?;
        let Object(file) = serde_json::from_str::<Object<File<'_>>>(text)?;
        let policies = file.policies.0.into_iter();
        let policies = policies.map(|(name, Object(document))| {
            let policy = document.read(name, text)?;
            policy.check(ineffective).map(|()| Arc::new(policy))
        });
        let policies = policies.collect::<Result<Vec<_>, _>>()?;
        let bindings = file.bindings.0.into_iter();
        let bindings = bindings.map(|Object(binding)| binding.resolve(&policies, text));
        Ok(Self {
            bindings: bindings.collect::<Result<_, _>>()?,
            policies,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct File<'a> {
    #[serde(borrow)]
    policies: Policies<'a>,
    #[serde(borrow)]
    bindings: OneOrMore<Object<BindingMembers<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct BindingMembers<'a> {
    callers: OneOrMore<CallerPattern>,
    accounts: OneOrMore<AccountPattern>,
    /// The policies as they stand in the text, so that the error about a name that is not there has its position: the
    /// policies may follow the bindings.
    #[serde(borrow)]
    policies: &'a RawValue,
}

impl BindingMembers<'_> {
    /// Finds the policies that the binding names.
    fn resolve(self, policies: &[Arc<Policy>], text: &str) -> Result<Binding, PolicyError> {
        let refuse = |value: &RawValue, reason: String| {
            let end = beginning_of(value, text) + value.get().len();
            PolicyError::behind(text.as_bytes(), end, reason)
        };
        let names = values(self.policies)?;
        if names.is_empty() {
            let reason = "the Policies of a binding are empty; name at least one".to_owned();
            return Err(refuse(self.policies, reason));
        }
        let found = names.into_iter().map(|value: &RawValue| {
            let name: String = serde_json::from_str(value.get()).map_err(|_| {
                let shown = value.get();
                refuse(
                    value,
                    format!("{shown} must be the name of a policy, as a string"),
                )
            })?;
            let policy = policies.iter().find(|policy| policy.name == name);
            policy.map(Arc::clone).ok_or_else(|| {
                let known: Vec<_> = policies.iter().map(|policy| policy.name.as_str()).collect();
                let known = known.join(", ");
                refuse(
                    value,
                    format!("the policy {name:?} is not among the Policies, which are {known}"),
                )
            })
        });
        Ok(Binding {
            policies: found.collect::<Result<_, _>>()?,
            callers: self.callers.0,
            accounts: self.accounts.0,
        })
    }
}

/// The documents by their names.
struct Policies<'a>(Vec<(String, Object<Document<'a>>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Policies<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PoliciesVisitor<'a>(PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for PoliciesVisitor<'a> {
            type Value = Policies<'a>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of policies under their names")
            }

            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Policies<'a>, M::Error> {
                let documents = entries(map, |_| Ok(PhantomData::<Object<Document<'a>>>))?;
                not_empty(documents.len()).map(|()| Policies(documents))
            }
        }

        deserializer.deserialize_map(PoliciesVisitor(PhantomData))
    }
}
