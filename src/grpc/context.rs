//! What is known of one request while it is carried out: shared by the handler around it and the method inside.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::domain::{AccountId, Applied, Call, Caller, Changed, ClientRequestId, Fault, RequestId};

/// The state of one request. Never holds a tag value, since all of it is logged.
#[derive(Debug)]
pub struct RequestContext {
    /// The one that the request got here, and the one of the service that has carried it out, where that is another.
    id: RequestId,
    adopted_id: OnceLock<RequestId>,
    client_id: Option<ClientRequestId>,
    entered: AtomicBool,
    may_change: AtomicBool,
    call: OnceLock<Call>,
    account: OnceLock<AccountId>,
    asked: OnceLock<Asked>,
    changed: OnceLock<Changed>,
}

/// How much a request asks for.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// How many resources it names.
    pub resources: usize,
    /// How many keys, tags or filters; 0 for all.
    pub tags: usize,
}

impl RequestContext {
    pub fn new(id: RequestId, client_id: Option<ClientRequestId>) -> Self {
        Self {
            id,
            adopted_id: OnceLock::new(),
            client_id,
            entered: AtomicBool::new(false),
            may_change: AtomicBool::new(false),
            call: OnceLock::new(),
            account: OnceLock::new(),
            asked: OnceLock::new(),
            changed: OnceLock::new(),
        }
    }

    /// The RequestId to answer with.
    pub fn id(&self) -> RequestId {
        self.adopted_id.get().copied().unwrap_or(self.id)
    }

    /// The caller's own name of the request, where it has given one.
    pub fn client_id(&self) -> Option<&ClientRequestId> {
        self.client_id.as_ref()
    }

    /// The RequestId that lines of the log have from before the answer, where the answer has another.
    pub fn first_id(&self) -> Option<&RequestId> {
        self.adopted_id.get().map(|_| &self.id)
    }

    /// Takes over the RequestId of the service that has carried the request out.
    pub fn adopt(&self, id: Option<RequestId>) {
        if let Some(id) = id {
            let _ = self.adopted_id.set(id);
        }
    }

    /// Notes who calls.
    pub fn identify(&self, call: Call) {
        let _ = self.call.set(call);
    }

    /// Who calls, of a request that has got past the door.
    pub fn call(&self) -> Option<&Call> {
        self.call.get()
    }

    pub fn caller(&self) -> &str {
        self.call
            .get()
            .map_or("", |call| Caller::as_str(&call.caller))
    }

    /// Notes that the message was decoded: whatever fails from here on is not its encoding.
    pub fn enter(&self) {
        self.entered.store(true, Ordering::Relaxed);
    }

    pub fn was_entered(&self) -> bool {
        self.entered.load(Ordering::Relaxed)
    }

    /// Notes the account, also of a request that is refused for other faults.
    pub fn name_account(&self, account: &Result<AccountId, Fault>) {
        if let Ok(account) = account {
            // Set once a request; a second call would be the same request.
            let _ = self.account.set(account.clone());
        }
    }

    /// Notes what is asked, just before the store is asked to change something or to read.
    pub fn ask(&self, asked: Asked, changes: bool) {
        let _ = self.asked.set(asked);
        self.may_change.store(changes, Ordering::Relaxed);
    }

    /// Whether the service was asked, which then audits what came of it.
    pub fn was_asked(&self) -> bool {
        self.asked.get().is_some()
    }

    /// Notes what came of it.
    pub fn finish(&self, changed: Changed) {
        let _ = self.changed.set(changed);
    }

    /// Whether a request that is cut off now may have changed something.
    pub fn applied_if_cut_off(&self) -> Applied {
        if self.may_change.load(Ordering::Relaxed) {
            Applied::Maybe
        } else {
            Applied::No
        }
    }

    pub fn account(&self) -> Option<&AccountId> {
        self.account.get()
    }

    pub fn asked(&self) -> Asked {
        self.asked.get().copied().unwrap_or(Asked {
            resources: 0,
            tags: 0,
        })
    }

    pub fn changed(&self) -> Changed {
        self.changed.get().copied().unwrap_or(Changed::count(0, 0))
    }
}
