//! What one service has told and no other has: `RequestId`s, ids that it has made, page tokens, the id of its history.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

/// The length of a RequestId.
const UUID: usize = 36;

/// The names of what a service has told.
#[derive(Default)]
pub struct Memory {
    by_name: HashMap<String, String>,
    by_text: HashMap<String, String>,
    /// Ids of users, which may stand within a text.
    ids: Vec<(String, String)>,
}

impl Memory {
    /// Gives a text a name, unless it has one. Returns its name.
    pub fn learn(&mut self, name: &str, text: &str) -> String {
        if let Some(known) = self.by_text.get(text) {
            return known.clone();
        }
        self.by_text.insert(text.to_owned(), name.to_owned());
        self.by_name.insert(name.to_owned(), text.to_owned());
        name.to_owned()
    }

    /// As [`Memory::learn`], of the id of a user.
    pub fn learn_id(&mut self, name: &str, id: &str) {
        let name = self.learn(name, id);
        self.ids.push((id.to_owned(), name));
    }

    /// A request with what the service knows in the place of names.
    pub fn resolve(&self, value: &Value) -> Value {
        map_texts(value, &|text| {
            let known = self.by_name.get(text);
            known.cloned().unwrap_or_else(|| text.to_owned())
        })
    }

    /// An answer with names in the place of what only this service knows.
    pub fn name(&self, value: &Value) -> Value {
        map_texts(value, &|text| self.name_text(text))
    }

    pub fn name_text(&self, text: &str) -> String {
        if let Some(name) = self.by_text.get(text) {
            return name.clone();
        }
        let mut named = text.to_owned();
        for (id, name) in &self.ids {
            named = named.replace(id, name);
        }
        let mut at = 0;
        while at + UUID <= named.len() {
            let found = named.get(at..at + UUID).unwrap_or_default();
            match self
                .by_text
                .get(found)
                .filter(|_| Uuid::parse_str(found).is_ok())
            {
                Some(name) => named.replace_range(at..at + UUID, name),
                None => at += 1,
            }
        }
        named
    }
}

/// The same value with other texts. The keys of objects stay.
fn map_texts(value: &Value, change: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => change(text).into(),
        Value::Array(values) => values
            .iter()
            .map(|value| map_texts(value, change))
            .collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), map_texts(value, change)))
            .collect(),
        other => other.clone(),
    }
}
