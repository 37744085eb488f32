//! What a change did, as people read it: under each user a line a tag, with a minus for what was there and a plus for what came.

use crate::cli::client::printable;
use crate::client::{Effect, EffectKind, SetTag, User, Values};

/// The lines of effects. Of `changed_users` there may be more than these effects tell of.
pub fn text(effects: &[Effect], changed_users: usize, values: Values) -> String {
    let mut lines = Lines {
        text: String::new(),
        values,
    };
    for effect in effects {
        lines.effect(effect);
    }
    if let Some(more) = changed_users.checked_sub(effects.len())
        && more > 0
    {
        lines.line(&format!("and {more} more users"));
    }
    if values == Values::Redacted {
        lines.line("(values are left out: you may not list tags)");
    }
    lines.text
}

struct Lines {
    text: String,
    values: Values,
}

impl Lines {
    fn line(&mut self, line: &str) {
        self.text.push_str(printable(line).trim_end());
        self.text.push('\n');
    }

    fn effect(&mut self, effect: &Effect) {
        let user = format!("user {}", effect.resource_id);
        match &effect.kind {
            EffectKind::Tags { removed, set } => {
                self.line(&user);
                for (key, value) in removed {
                    self.tag('-', key, value);
                }
                for (key, tag) in set {
                    self.set_tag(key, tag);
                }
            }
            EffectKind::Created(created) => {
                self.line(&format!("{user} created"));
                self.user('+', created);
            }
            EffectKind::Updated { before, after } => {
                let is_renamed = before.principal_name != after.principal_name;
                let what = if is_renamed {
                    "renamed"
                } else {
                    "described anew"
                };
                self.line(&format!("{user} {what}"));
                for ((field, old), (_, new)) in fields(before).into_iter().zip(fields(after)) {
                    if old != new {
                        self.field('-', field, old);
                        self.field('+', field, new);
                    }
                }
                // An import changes them too.
                self.other_tags('-', before, after);
                self.other_tags('+', after, before);
            }
            EffectKind::Deleted(deleted) => {
                self.line(&format!("{user} deleted"));
                self.user('-', deleted);
            }
            EffectKind::Restored(restored) => {
                self.line(&format!("{user} restored"));
                self.user('+', restored);
            }
            EffectKind::Unknown => {
                self.line(&format!(
                    "{user}: something that this program is too old to show"
                ));
            }
        }
    }

    /// All that there is of a user.
    fn user(&mut self, sign: char, user: &User) {
        for (field, text) in fields(user) {
            self.field(sign, field, text);
        }
        for (key, value) in &user.tags {
            self.tag(sign, key, value);
        }
    }

    /// The tags of a user that another state of it does not have so.
    fn other_tags(&mut self, sign: char, user: &User, other: &User) {
        let differs = |(key, value): &(&String, &String)| other.tags.get(*key) != Some(*value);
        for (key, value) in user.tags.iter().filter(differs) {
            self.tag(sign, key, value);
        }
    }

    fn field(&mut self, sign: char, field: &str, text: &str) {
        if !text.is_empty() {
            self.line(&format!("  {sign} {field}: {text}"));
        }
    }

    fn set_tag(&mut self, key: &str, tag: &SetTag) {
        if tag.was_there {
            self.tag('-', key, tag.old_value.as_deref().unwrap_or_default());
        }
        self.tag('+', key, &tag.new_value);
    }

    fn tag(&mut self, sign: char, key: &str, value: &str) {
        match self.values {
            Values::Shown => self.line(&format!("  {sign} {key} = {value}")),
            Values::Redacted => self.line(&format!("  {sign} {key}")),
        }
    }
}

/// What there is of a user beside tags, by the names that people read.
fn fields(user: &User) -> [(&'static str, &str); 3] {
    [
        ("name", &user.principal_name),
        ("display name", &user.display_name),
        ("comments", &user.comments),
    ]
}
