//! Who wants to know when an account is changed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use foldhash::fast::FixedState;
use tokio::sync::watch;

use crate::domain::AccountId;
use crate::sync::parking_lot::Mutex;

/// The listeners of all accounts, shared by the writer that tells them and those who listen. Where nobody does, a commit costs a look.
#[derive(Debug, Clone, Default)]
pub struct Listeners(Arc<Mutex<Accounts>>);

type Accounts = HashMap<AccountId, watch::Sender<()>, FixedState>;

impl Listeners {
    /// Listens to an account, from the next commit on.
    pub fn listen(&self, account: &AccountId) -> watch::Receiver<()> {
        match self.0.lock().entry(account.clone()) {
            Entry::Occupied(entry) => entry.get().subscribe(),
            Entry::Vacant(entry) => entry.insert(watch::Sender::new(())).subscribe(),
        }
    }

    /// Tells those who listen to these accounts that they were changed. The changes can be read already.
    pub fn tell<'a>(&self, changed: impl Iterator<Item = &'a AccountId>) {
        let mut accounts = self.0.lock();
        if accounts.is_empty() {
            return;
        }
        for account in changed {
            let Some(sender) = accounts.get(account) else {
                continue;
            };
            if sender.send(()).is_err() {
                // Nobody listens any more.
                accounts.remove(account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_is_told_of_its_account_and_costs_nothing_afterwards() {
        let listeners = Listeners::default();
        let [one, other] = ["1", "2"].map(|id| AccountId::parse(id).unwrap());
        listeners.tell([&one].into_iter());
        let mut first = listeners.listen(&one);
        let mut second = listeners.listen(&one);
        assert!(!first.has_changed().unwrap());
        listeners.tell([&other].into_iter());
        assert!(!first.has_changed().unwrap());
        listeners.tell([&other, &one].into_iter());
        for receiver in [&mut first, &mut second] {
            assert!(receiver.has_changed().unwrap());
            receiver.mark_unchanged();
        }
        drop(first);
        listeners.tell([&one].into_iter());
        assert!(second.has_changed().unwrap());
        drop(second);
        listeners.tell([&one].into_iter());
        assert!(listeners.0.lock().is_empty());
        assert!(!listeners.listen(&one).has_changed().unwrap());
    }
}
