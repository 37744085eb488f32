//! Bindings: which policies count for which callers in which accounts.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;

use super::Facts;
use super::document::Policy;
use super::glob::{Case, Glob};
use crate::domain::AccountId;

/// One binding.
#[derive(Debug)]
pub(super) struct Binding {
    pub(super) callers: Vec<CallerPattern>,
    pub(super) accounts: Vec<AccountPattern>,
    pub(super) policies: Vec<Arc<Policy>>,
}

/// Whether a binding applies to an attempt, or what about it does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Applies,
    OtherCaller,
    OtherAccount,
}

impl Binding {
    pub(super) fn fit(&self, facts: &Facts<'_>) -> Fit {
        if !self
            .callers
            .iter()
            .any(|caller| caller.0.matches(facts.caller))
        {
            Fit::OtherCaller
        } else if !self
            .accounts
            .iter()
            .any(|account| account.fits(facts.account))
        {
            Fit::OtherAccount
        } else {
            Fit::Applies
        }
    }
}

/// A pattern over names of callers.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct CallerPattern(Glob);

impl TryFrom<String> for CallerPattern {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.is_empty() {
            return Err(
                "the caller \"\" fits nobody; give a name or a pattern such as spiffe://example.org/* or *",
            );
        }
        Ok(Self(Glob::new(text, Case::Matters)))
    }
}

impl fmt::Display for CallerPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.0.as_str())
    }
}

/// One account, or every account.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum AccountPattern {
    Every,
    One(AccountId),
}

impl AccountPattern {
    fn fits(&self, account: &AccountId) -> bool {
        match self {
            Self::Every => true,
            Self::One(one) => one == account,
        }
    }
}

impl TryFrom<String> for AccountPattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Every);
        }
        let one = AccountId::parse(&text).map(Self::One);
        one.map_err(|reason| format!("the account {text:?} {reason}, or * for every account"))
    }
}

impl fmt::Display for AccountPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => formatter.write_str("*"),
            Self::One(account) => account.fmt(formatter),
        }
    }
}
