//! The contract as plainly as it can be written: what a store has to do, in memory, without a thought for speed.

use std::collections::BTreeMap;

use untag::domain::{
    DeletedUsers, EffectKind, ImportCommand, ImportPlan, Imported, ListQuery, OnMismatch, Present,
    PresentUsers, Resource, TagCommand, TagCondition, TagKey, TagValue, Targets, UntagCommand,
    UserChange, UserCommand, UserKey, UserListQuery, UserQuery,
};

use super::counts::Counts;
use super::fixtures::{Contents, Counted, Place, Refused, changed, contents, id, mismatches};
use super::user_fixtures::{KEPT, Seen, edit};

const MOST_TAGS: usize = 20;

#[derive(Clone)]
pub struct Model {
    /// Users that are there and users that were deleted; the time of a deletion tells which.
    users: BTreeMap<Place, Seen>,
}

impl Model {
    pub fn new(resources: &[Resource]) -> Self {
        let user = |((account, id), (name, tags)): ((String, String), (String, _))| {
            let place = (account, id.clone());
            (place, Seen::imported(id, name, tags))
        };
        Self {
            users: contents(resources).into_iter().map(user).collect(),
        }
    }

    /// The users that are there.
    pub fn contents(&self) -> Contents {
        let there = self.users.iter().filter(|(_, user)| user.is_there());
        let entry = |(place, user): (&Place, &Seen)| {
            (place.clone(), (user.name.clone(), user.tags.clone()))
        };
        there.map(entry).collect()
    }

    pub fn untag(&mut self, command: &UntagCommand) -> Result<Counted, Refused> {
        let (found, missing) = self.find(command.account.as_str(), &command.targets);
        if !missing.is_empty() && !command.allow_missing {
            return Err(Refused::Missing(missing));
        }
        let (mut after, mut stayed) = (self.users.clone(), Vec::new());
        let (mut users, mut removed) = (0, 0);
        for (position, place) in &found {
            let tags = &mut after.get_mut(place).unwrap().tags;
            let before = tags.len();
            let expected = command.expected.iter().flat_map(|one| &one.values);
            let mut stays = Vec::new();
            for (number, (key, value)) in expected.enumerate() {
                if tags
                    .get(key.as_str())
                    .is_some_and(|found| found != value.as_str())
                {
                    stays.push(key.as_str());
                    stayed.push((*position, number));
                }
            }
            tags.retain(|key, _| !command.selection.contains(key) || stays.contains(&key.as_str()));
            removed += before - tags.len();
            users += usize::from(before > tags.len());
        }
        let fails = command.expected.as_ref();
        let fails = fails.is_some_and(|one| one.on_mismatch == OnMismatch::Fail);
        if fails && !stayed.is_empty() {
            return Err(Refused::Mismatched(mismatches(&stayed)));
        }
        if !command.validate_only {
            self.users = after;
        }
        Ok(changed(found.len(), removed)
            .of_users(users)
            .without(&stayed))
    }

    pub fn tag(&mut self, command: &TagCommand) -> Result<Counted, Refused> {
        let (found, missing) = self.find(command.account.as_str(), &command.targets);
        if !missing.is_empty() {
            return Err(Refused::Missing(missing));
        }
        let mut after = self.users.clone();
        let mut over_limit = Vec::new();
        let (mut users, mut set) = (0, 0);
        for (position, place) in &found {
            let tags = &mut after.get_mut(place).unwrap().tags;
            let before = set;
            for (key, value) in &command.tags {
                let old = tags.insert(key.as_str().to_owned(), value.as_str().to_owned());
                set += usize::from(old.as_deref() != Some(value.as_str()));
            }
            users += usize::from(set > before);
            if tags.len() > MOST_TAGS {
                over_limit.push(*position);
            }
        }
        if !over_limit.is_empty() {
            return Err(Refused::TagLimit(Some(over_limit)));
        }
        self.users = after;
        Ok(changed(found.len(), set).of_users(users))
    }

    /// The whole list, without pages, as (id, key, value).
    pub fn list(&self, query: &ListQuery) -> Result<Vec<(String, String, String)>, Refused> {
        let account = query.account.as_str();
        let mut places: Vec<_> = match &query.targets {
            None => self
                .users
                .iter()
                .filter(|((owner, _), user)| owner == account && user.is_there())
                .map(|(place, _)| place.clone())
                .collect(),
            Some(targets) => match self.find(account, targets) {
                (found, missing) if missing.is_empty() => {
                    found.into_iter().map(|(_, place)| place).collect()
                }
                (_, missing) => return Err(Refused::Missing(missing)),
            },
        };
        places.sort();
        let mut list = Vec::new();
        for place in places {
            let tags = &self.users[&place].tags;
            let fits_all = query
                .filters
                .iter()
                .all(|filter| tags.iter().any(|(key, value)| filter.matches(key, value)));
            let shown = |key: &str| {
                query.filters.is_empty()
                    || query
                        .filters
                        .iter()
                        .any(|filter| filter.key.as_str() == key)
            };
            for (key, value) in tags.iter().filter(|(key, _)| fits_all && shown(key)) {
                list.push((place.1.clone(), key.clone(), value.clone()));
            }
        }
        Ok(list)
    }

    pub fn change_users(&mut self, command: &UserCommand) -> Result<Vec<Seen>, Refused> {
        let now = command.time().millis();
        self.expire(now);
        let place = |change: &UserChange| {
            let (account, id) = (command.account().as_str(), change.id().as_str());
            (account.to_owned(), id.to_owned())
        };
        let refused = |applies: &dyn Fn(&UserChange) -> bool| {
            let changes = command.changes().iter().enumerate();
            let positions: Vec<_> = changes
                .filter(|(_, change)| applies(change))
                .map(|(position, _)| position)
                .collect();
            (!positions.is_empty()).then_some(positions)
        };
        let user = |change: &UserChange| self.users.get(&place(change));
        let missing = refused(&|change| match change {
            UserChange::Create(_) => false,
            UserChange::Restore { .. } => user(change).is_none(),
            UserChange::Update(_) | UserChange::Delete { .. } => {
                !user(change).is_some_and(Seen::is_there)
            }
        });
        if let Some(positions) = missing {
            return Err(Refused::Missing(positions));
        }
        let exists = refused(&|change| match change {
            UserChange::Create(_) => user(change).is_some(),
            UserChange::Restore { .. } => user(change).is_some_and(Seen::is_there),
            UserChange::Update(_) | UserChange::Delete { .. } => false,
        });
        if let Some(positions) = exists {
            return Err(Refused::UserExists(positions));
        }
        let mut after = self.clone();
        for change in command.changes() {
            after.apply(place(change), change, now);
        }
        let taken = refused(&|change| {
            let gives_a_name = match change {
                UserChange::Create(_) | UserChange::Restore { .. } => true,
                UserChange::Update(update) => update.principal_name.is_some(),
                UserChange::Delete { .. } => false,
            };
            gives_a_name && after.shares_its_name(&place(change))
        });
        if let Some(positions) = taken {
            return Err(Refused::NameTaken(positions));
        }
        *self = after;
        let answer = |change| self.users[&place(change)].clone();
        Ok(command.changes().iter().map(answer).collect())
    }

    /// Imports users by the plan of the domain, whose own tests say what it does: a store has to carry it out.
    pub fn import(&mut self, command: &ImportCommand) -> Imported {
        self.expire(command.time().millis());
        let account = command.account().as_str();
        let mut present = PresentUsers::default();
        for ((_, id), seen) in self.users.iter().filter(|((owner, _), _)| owner == account) {
            let (id, user) = (self::id(id), Box::new(seen.user(command.account())));
            if seen.is_there() {
                present.holders.insert(seen.name.to_lowercase(), id.clone());
                present.users.insert(id, Present::There(user));
            } else {
                present.users.insert(id, Present::Deleted(user));
            }
        }
        let plan = ImportPlan::of(command, &present);
        for effect in plan.effects.iter().filter(|_| !command.validate_only()) {
            let place = (account.to_owned(), effect.resource_id.to_string());
            match &effect.kind {
                EffectKind::Created(user) | EffectKind::Updated { after: user, .. } => {
                    self.users.insert(place, Seen::of(user));
                }
                EffectKind::Tags { .. } => {
                    let user = self.users.get_mut(&place).unwrap();
                    let before = user.user(command.account());
                    let tags = effect.tags_after(before.resource.tags()).into_iter();
                    let text = |(key, value): (TagKey, TagValue)| {
                        (key.to_string(), value.as_str().to_owned())
                    };
                    user.tags = tags.map(text).collect();
                }
                EffectKind::Deleted(_) | EffectKind::Restored(_) => {
                    unreachable!("no import does that")
                }
            }
        }
        plan.answer()
    }

    fn apply(&mut self, place: Place, change: &UserChange, now: i64) {
        if let UserChange::Create(new) = change {
            self.users.insert(place, Seen::created(new, now));
            return;
        }
        let user = self.users.get_mut(&place).unwrap();
        let before = user.clone();
        match change {
            UserChange::Update(update) => {
                if let Some(name) = &update.principal_name {
                    user.name = name.to_string();
                }
                edit(&mut user.display_name, &update.display_name);
                edit(&mut user.comments, &update.comments);
                if *user != before {
                    user.update_time = Some(now);
                }
            }
            UserChange::Delete { .. } => user.delete_time = Some(now),
            UserChange::Restore { new_name, .. } => {
                user.delete_time = None;
                user.update_time = Some(now);
                if let Some(name) = new_name {
                    user.name = name.to_string();
                }
            }
            UserChange::Create(_) => unreachable!("it was inserted"),
        }
    }

    fn shares_its_name(&self, (account, id): &Place) -> bool {
        let name = self.users[&(account.clone(), id.clone())]
            .name
            .to_lowercase();
        self.users.iter().any(|((owner, other), user)| {
            let is_other = owner == account && other != id && user.is_there();
            is_other && user.name.to_lowercase() == name
        })
    }

    /// Forgets deleted users whose time has come.
    fn expire(&mut self, now: i64) {
        self.users
            .retain(|_, user| user.delete_time.is_none_or(|time| now < time + KEPT));
    }

    pub fn get_user(&mut self, query: &UserQuery) -> Option<Seen> {
        self.expire(query.time.millis());
        let account = query.account.as_str();
        let is_wanted = |(owner, id): &Place, user: &Seen| match &query.by {
            UserKey::Id(wanted) => owner == account && id == wanted.as_str(),
            UserKey::Name(wanted) => {
                let name = wanted.as_str().to_lowercase();
                owner == account && user.is_there() && user.name.to_lowercase() == name
            }
        };
        let mut found = self
            .users
            .iter()
            .filter(|(place, user)| is_wanted(place, user));
        found.next().map(|(_, user)| user.clone())
    }

    /// The whole list, without pages.
    pub fn list_users(&mut self, query: &UserListQuery) -> Vec<Seen> {
        self.expire(query.time.millis());
        let account = query.account.as_str();
        let is_shown = |user: &Seen| query.deleted == DeletedUsers::Show || user.is_there();
        let is_named = |user: &Seen| {
            let prefix = query.name_prefix.as_ref();
            prefix.is_none_or(|prefix| user.name.to_lowercase().starts_with(prefix.as_str()))
        };
        let has_tags = |user: &Seen| match &query.tags {
            TagCondition::Any => true,
            TagCondition::Carries(filter) => {
                let mut tags = user.tags.iter();
                tags.any(|(key, value)| filter.matches(key, value))
            }
            TagCondition::Untagged => user.tags.is_empty(),
        };
        let listed = self.users.iter();
        listed
            .filter(|((owner, _), user)| owner == account && is_shown(user))
            .filter(|(_, user)| is_named(user) && has_tags(user))
            .map(|(_, user)| user.clone())
            .collect()
    }

    /// How many users of an account carry each key.
    pub fn keys(&self, account: &str) -> Counts {
        let tags = self.tags_of(account);
        count(tags.map(|(key, _)| key))
    }

    /// How many users of an account carry a key with each value.
    pub fn values(&self, account: &str, key: &str) -> Counts {
        let tags = self.tags_of(account).filter(|(own, _)| *own == key);
        count(tags.map(|(_, value)| value))
    }

    fn tags_of(&self, account: &str) -> impl Iterator<Item = (&String, &String)> {
        let users = self.users.iter();
        users
            .filter(move |((owner, _), user)| owner == account && user.is_there())
            .flat_map(|(_, user)| &user.tags)
    }

    /// The targets that exist, each with its position, and the positions of the others.
    fn find(&self, account: &str, targets: &Targets) -> (Vec<(usize, Place)>, Vec<usize>) {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for position in 0..targets.count() {
            let wanted = targets.name_at(position);
            let is_wanted = |id: &str, name: &str| match targets {
                Targets::Ids(_) => id == wanted,
                Targets::Names(_) => name.to_lowercase() == wanted.to_lowercase(),
            };
            let place = self.users.iter().find(|((owner, id), user)| {
                owner == account && user.is_there() && is_wanted(id, &user.name)
            });
            match place {
                Some((place, _)) => found.push((position, place.clone())),
                None => missing.push(position),
            }
        }
        (found, missing)
    }
}

fn count<'text>(texts: impl Iterator<Item = &'text String>) -> Counts {
    let mut counts = Counts::new();
    for text in texts {
        *counts.entry(text.clone()).or_default() += 1;
    }
    counts
}
