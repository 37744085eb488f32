//! The operations of the cloud's API that there are here.

use crate::domain::Action;

/// An operation, as the cloud's API names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::enum_variant_names,
    reason = "the cloud gives the names, and has others"
)]
pub enum Operation {
    UntagResources,
    TagResources,
    ListTagResources,
}

impl Operation {
    pub const ALL: [Self; 3] = [
        Self::UntagResources,
        Self::TagResources,
        Self::ListTagResources,
    ];

    /// The name, such as `UntagResources`.
    pub fn name(self) -> &'static str {
        self.action().operation()
    }

    /// The operation with a name.
    pub fn parse(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|operation| operation.name() == name)
    }

    /// The action that policies and the audit know the operation by.
    pub fn action(self) -> Action {
        match self {
            Self::UntagResources => Action::UntagResources,
            Self::TagResources => Action::TagResources,
            Self::ListTagResources => Action::ListTagResources,
        }
    }
}
