//! What callers know of a service, compared with what it has.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures_util::future::join_all;
use untag::domain::{AccountId, Revision};
use untag::store::Store as _;
use untag::store::sqlite::{Options, SqliteStore};

use super::callers::{Call, History};
use super::clients::{Answer, Clients, Users, as_listed, by_worker};
use super::served::Setup;
use crate::crash::model::ACCOUNT;
use crate::crash::users::{self, assert_whole, logged, populations};
use crate::support::PATIENCE;

/// Those who know what the service has answered.
pub struct Audience {
    setup: Setup,
    histories: Vec<History>,
    /// The number of each row that was ever seen.
    numbers: BTreeMap<String, i64>,
}

impl Audience {
    pub fn new(setup: Setup, histories: Vec<History>) -> Self {
        Self {
            setup,
            histories,
            numbers: BTreeMap::new(),
        }
    }

    /// Opens an image with the service, and compares what it has with what was answered before this moment.
    pub async fn check(&mut self, moment: usize, image: &Path) {
        for history in &mut self.histories {
            history.advance(moment);
        }
        let mut server = self.setup.serve(image);
        let clients = Clients::of(&server).await;
        let listed = by_worker(clients.clone().listed().await);
        for (history, found) in self.histories.iter().zip(&listed) {
            assert_listed(history, moment, found);
        }
        // Before calls are sent again, which give new numbers.
        assert_whole(&Setup::data(image), &mut self.numbers);
        let repeated = self.histories.iter().map(|history| {
            let clients = clients.clone();
            repeat(history, moment, clients)
        });
        let expected = join_all(repeated).await;
        server.signal("TERM");
        assert!(server.wait(PATIENCE).success());
        drop(server);
        self.check_store(image, listed, expected).await;
    }

    /// Compares what is in the store with what the service has shown, where calls that were sent again lead to nothing else, and with the
    /// change log and the audit.
    async fn check_store(&self, image: &Path, listed: Vec<Users>, expected: Vec<Option<Users>>) {
        let data = Setup::data(image);
        let store = SqliteStore::open(&data, Options::default(), Vec::new()).unwrap();
        let found = match self.setup {
            Setup::Keeping => populations(&store).await,
            Setup::Forgetting => users::by_worker(&store).await.1,
        };
        for ((found, listed), expected) in found.iter().zip(listed).zip(expected) {
            assert_eq!(as_listed(found), expected.unwrap_or(listed));
        }
        let history = store.history(AccountId::parse(ACCOUNT).unwrap());
        let newest = history.await.unwrap().newest.map_or(0, Revision::get);
        let revisions = logged(&store).await;
        let revisions = revisions.iter().map(|change| change.revision.get());
        let kept = newest + 1 - revisions.len() as u64..=newest;
        assert!(revisions.eq(kept), "the change log has no gap");
        let audited = self.setup.audit().revisions(image);
        let missing: Vec<_> = (1..=newest)
            .filter(|revision| !audited.contains(revision))
            .collect();
        assert!(
            missing.is_empty(),
            "of {newest} revisions these have no line in the audit: {missing:?}"
        );
    }
}

/// Checks that what was answered is there, and that what was not is there as a whole or not at all.
fn assert_listed(history: &History, moment: usize, found: &Users) {
    let answered = history.users();
    if answered == *found {
        return;
    }
    let underway = history.underway(moment);
    if underway.is_some_and(|call| history.users_after(call).1 == *found) {
        return;
    }
    let ids: BTreeSet<_> = answered.keys().chain(found.keys()).collect();
    let mut differing = ids
        .into_iter()
        .filter(|id| answered.get(*id) != found.get(*id));
    let id = differing.next().expect("they differ");
    panic!(
        "user {id} and {} others are not as the {} answers say, nor as the call that is on its way: {:?}\nfound {:?}\nand not {:?}",
        differing.count(),
        history.answered(),
        underway.map(|call| &call.command),
        found.get(id),
        answered.get(id),
    );
}

/// Sends calls with client tokens again: the last one that was answered, which has the same answer, and the one that is on its way, which
/// is made once. Returns the users after them, where they are known then.
async fn repeat(history: &History, moment: usize, mut clients: Clients) -> Option<Users> {
    if let Some((call, answer)) = history.last_repeatable() {
        assert_eq!(again(&mut clients, call).await, *answer, "{call:?}");
    }
    match history.underway(moment) {
        None => Some(history.users()),
        Some(call) if call.token.is_empty() => None,
        Some(call) => {
            let (outcome, after) = history.users_after(call);
            assert_eq!(again(&mut clients, call).await.outcome, outcome, "{call:?}");
            Some(after)
        }
    }
}

async fn again(clients: &mut Clients, call: &Call) -> Answer {
    clients.send(&call.command, &call.token).await.unwrap()
}
