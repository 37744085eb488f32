//! A policy file, and what is wrong with it once a piece is replaced.

use super::super::*;

pub const FILE: &str = r#"{
  "Policies": {
    "p": {
      "Version": "1",
      "Statement": [
        {
          "Effect": "Allow",
          "Action": "ram:*",
          "Resource": "*",
          "Condition": {"IpAddress": {"acs:SourceIp": ["10.0.0.0/8"]}}
        }
      ]
    }
  },
  "Bindings": [
    {"Callers": ["*"], "Accounts": ["*"], "Policies": ["p"]}
  ]
}
"#;

/// The error of the file with one piece replaced.
pub fn error(piece: &str, replacement: &str) -> String {
    assert_eq!(FILE.matches(piece).count(), 1, "{piece}");
    let text = FILE.replace(piece, replacement);
    match read(&text) {
        Ok(_) => panic!("{replacement} is accepted"),
        Err(error) => error.to_string(),
    }
}

pub fn read(text: &str) -> Result<PolicySet, PolicyError> {
    PolicySet::parse(text.as_bytes(), IneffectiveDeny::Refused)
}

/// The warnings about the file with one piece replaced.
pub fn warnings(piece: &str, replacement: &str) -> Vec<String> {
    assert_eq!(FILE.matches(piece).count(), 1, "{piece}");
    let read = read(&FILE.replace(piece, replacement));
    let set = read.unwrap_or_else(|error| panic!("{replacement}: {error}"));
    set.warnings().iter().map(ToString::to_string).collect()
}

/// The condition of the file.
pub const VALUES: &str = r#"{"IpAddress": {"acs:SourceIp": ["10.0.0.0/8"]}}"#;
