//! The contract as plainly as it can be written: what a store has to do, in memory, without a thought for speed.

use untag::domain::{ListQuery, Resource, TagCommand, Targets, UntagCommand};

use crate::fixtures::{Contents, Counted, Place, Refused, changed, contents};

const MOST_TAGS: usize = 20;

pub struct Model(Contents);

impl Model {
    pub fn new(resources: &[Resource]) -> Self {
        Self(contents(resources))
    }

    pub fn contents(&self) -> &Contents {
        &self.0
    }

    pub fn untag(&mut self, command: &UntagCommand) -> Result<Counted, Refused> {
        let (found, missing) = self.find(command.account.as_str(), &command.targets);
        if !missing.is_empty() && !command.allow_missing {
            return Err(Refused::Missing(missing));
        }
        let mut removed = 0;
        for (_, place) in &found {
            let (_, tags) = self.0.get_mut(place).unwrap();
            let mut kept = tags.clone();
            kept.retain(|key, _| !command.selection.contains(key));
            removed += tags.len() - kept.len();
            if !command.validate_only {
                *tags = kept;
            }
        }
        Ok(changed(found.len(), removed))
    }

    pub fn tag(&mut self, command: &TagCommand) -> Result<Counted, Refused> {
        let (found, missing) = self.find(command.account.as_str(), &command.targets);
        if !missing.is_empty() {
            return Err(Refused::Missing(missing));
        }
        let mut after = self.0.clone();
        let mut over_limit = Vec::new();
        for (position, place) in &found {
            let (_, tags) = after.get_mut(place).unwrap();
            for (key, value) in &command.tags {
                tags.insert(key.as_str().to_owned(), value.as_str().to_owned());
            }
            if tags.len() > MOST_TAGS {
                over_limit.push(*position);
            }
        }
        if !over_limit.is_empty() {
            return Err(Refused::TagLimit(Some(over_limit)));
        }
        self.0 = after;
        Ok(changed(found.len(), found.len() * command.tags.len()))
    }

    /// The whole list, without pages, as (id, key, value).
    pub fn list(&self, query: &ListQuery) -> Result<Vec<(String, String, String)>, Refused> {
        let account = query.account.as_str();
        let mut places: Vec<_> = match &query.targets {
            None => self
                .0
                .keys()
                .filter(|(owner, _)| owner == account)
                .cloned()
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
            let (_, tags) = &self.0[&place];
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

    /// The targets that exist, each with its position, and the positions of the others.
    fn find(&self, account: &str, targets: &Targets) -> (Vec<(usize, Place)>, Vec<usize>) {
        let (mut found, mut missing) = (Vec::new(), Vec::new());
        for position in 0..targets.count() {
            let wanted = targets.name_at(position);
            let is_wanted = |id: &str, name: &str| match targets {
                Targets::Ids(_) => id == wanted,
                Targets::Names(_) => name.to_lowercase() == wanted.to_lowercase(),
            };
            let place = self
                .0
                .iter()
                .find(|((owner, id), (name, _))| owner == account && is_wanted(id, name));
            match place {
                Some((place, _)) => found.push((position, place.clone())),
                None => missing.push(position),
            }
        }
        (found, missing)
    }
}
