//! How far a request has got: told by the method that carries it out, and read by the handler around it.

use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::domain::{AccountId, Applied, Call, Changed, RequestId};

/// The call that the handler hands to the method, inside the request.
#[derive(Debug, Clone)]
pub struct HandedCall {
    /// Who calls, and from where.
    pub call: Arc<Call>,
    /// The stage of the request, which the method moves on.
    pub progress: Arc<Progress>,
}

/// The stage of one request, shared by its handler and its method. Never holds a tag value, since all of it is logged.
#[derive(Debug, Default)]
pub struct Progress(Mutex<Stage>);

/// The stages of a request, in their order.
#[derive(Debug, Clone, Default)]
pub enum Stage {
    /// The message is not decoded: whatever fails now may be its encoding.
    #[default]
    Received,
    /// The message is decoded. A good account is known also of a request that is refused for other faults.
    Decoded(Option<AccountId>),
    /// The service is asked, which audits what comes of it.
    Asked(Asked),
    /// The service has answered. A failure has changed nothing that is known.
    Answered(Asked, Changed),
}

/// The work that the service is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The account of the resources.
    pub account: AccountId,
    /// How many resources are named.
    pub resources: usize,
    /// How many keys, tags or filters are named; 0 for all.
    pub tags: usize,
    /// Whether something may change.
    pub effect: Effect,
}

impl Asked {
    /// The work of a request that only reads, and names nothing but the account.
    pub fn reading(account: &AccountId) -> Self {
        Self {
            account: account.clone(),
            resources: 0,
            tags: 0,
            effect: Effect::Reads,
        }
    }
}

/// Whether a request may change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The request only reads, or checks.
    Reads,
    /// The request may change something.
    Changes,
}

impl Progress {
    /// The stage now.
    pub fn stage(&self) -> Stage {
        self.0.lock().clone()
    }

    /// The adopted RequestId of [the stage](Stage::adopted_id).
    pub fn adopted_id(&self) -> Option<RequestId> {
        self.0.lock().adopted_id()
    }

    /// Whether a request that is cut off [at this stage](Stage::applied_if_cut_off) may have changed something.
    pub fn applied_if_cut_off(&self) -> Applied {
        self.0.lock().applied_if_cut_off()
    }

    /// Moves on to a decoded message, which names this account if it names a good one.
    pub fn decode(&self, account: Option<AccountId>) {
        *self.0.lock() = Stage::Decoded(account);
    }

    /// Moves on to the service.
    pub fn ask(&self, asked: Asked) {
        *self.0.lock() = Stage::Asked(asked);
    }

    /// Moves on to the answer of the service, if it was asked. A failure has changed `Changed::count(0, 0)`.
    pub fn answer(&self, changed: Changed) {
        let mut stage = self.0.lock();
        *stage = match mem::take(&mut *stage) {
            Stage::Asked(asked) => Stage::Answered(asked, changed),
            other => other,
        };
    }

    /// Takes the stage at the end of the request, when nobody else asks for it any more.
    pub fn take(&self) -> Stage {
        mem::take(&mut *self.0.lock())
    }
}

impl Stage {
    /// Whether the message was decoded: whatever fails then is not its encoding.
    pub fn is_decoded(&self) -> bool {
        !matches!(self, Self::Received)
    }

    /// The work that the service was asked for, if it was asked.
    pub fn asked(&self) -> Option<&Asked> {
        match self {
            Self::Received | Self::Decoded(_) => None,
            Self::Asked(asked) | Self::Answered(asked, _) => Some(asked),
        }
    }

    /// The account, where a good one is named.
    pub fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Received => None,
            Self::Decoded(account) => account.as_ref(),
            Self::Asked(asked) | Self::Answered(asked, _) => Some(&asked.account),
        }
    }

    /// The change that was made, where the service has answered.
    pub fn changed(&self) -> Option<&Changed> {
        match self {
            Self::Answered(_, changed) => Some(changed),
            Self::Received | Self::Decoded(_) | Self::Asked(_) => None,
        }
    }

    /// The RequestId of another service that has carried the request out, which the answer then has.
    pub fn adopted_id(&self) -> Option<RequestId> {
        self.changed()?.request_id
    }

    /// Whether a request that is cut off now may have changed something.
    pub fn applied_if_cut_off(&self) -> Applied {
        match self.asked() {
            Some(Asked {
                effect: Effect::Changes,
                ..
            }) => Applied::Maybe,
            _ => Applied::No,
        }
    }
}
