//! Answers as they are compared: with names for what only one service knows, without times, and in an order where none is promised.

use serde_json::Value;

use super::memory::Memory;

/// Learns what only this service knows of an answer to the request with this number, and puts names in its place.
pub fn named(memory: &mut Memory, number: usize, answer: &Value) -> Value {
    learn(memory, number, &mut 0, answer);
    let mut named = memory.name(answer);
    settle(&mut named);
    named
}

fn learn(memory: &mut Memory, number: usize, count: &mut usize, answer: &Value) {
    match answer {
        Value::Array(values) => {
            for value in values {
                learn(memory, number, count, value);
            }
        }
        Value::Object(fields) => {
            for (field, value) in fields {
                let kind = match field.as_str() {
                    "requestId" => "R",
                    "nextToken" => "P",
                    "historyId" => "H",
                    _ => {
                        learn(memory, number, count, value);
                        continue;
                    }
                };
                let text = value.as_str().filter(|text| !text.is_empty());
                if let Some(text) = text {
                    memory.learn(&format!("\u{a7}{kind}{number}.{count}"), text);
                    *count += 1;
                }
            }
        }
        _ => {}
    }
}

/// Hides times, and sorts what comes in no order that is promised.
fn settle(answer: &mut Value) {
    match answer {
        Value::Array(values) => values.iter_mut().for_each(settle),
        Value::Object(fields) => {
            for (field, value) in fields {
                if (field == "time" || field.ends_with("Time")) && value.is_string() {
                    *value = "a time".into();
                }
                if let (Value::Array(values), "effects") = (&mut *value, &**field) {
                    values.sort_by_cached_key(|effect| effect["resourceId"].to_string());
                }
                // The encoded form of a detail has its RequestId too.
                if field == "details" {
                    let details = value.as_array_mut().into_iter().flatten();
                    for detail in details.filter_map(Value::as_object_mut) {
                        detail.remove("value");
                    }
                }
                settle(value);
            }
        }
        _ => {}
    }
}
