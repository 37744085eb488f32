//! The subcommand `untag proto`.

use std::process::ExitCode;

use super::args::ProtoArguments;
use super::written_files;

/// Files of the contract with the paths that they are imported by.
macro_rules! files {
    ($($path:literal),*) => { [$(($path, include_str!(concat!("../../proto/", $path)))),*] };
}

/// The contract.
const CONTRACT: [(&str, &str); 4] = files![
    "ram/tag/v1/tag_service.proto",
    "ram/user/v1/user.proto",
    "ram/tag/v1/change_service.proto",
    "ram/user/v1/user_service.proto"
];

/// The options that state the contract's rules. What they import in turn comes with every compiler.
const RULES: [(&str, &str); 1] = files!["buf/validate/validate.proto"];

/// The beginning of the paragraph about the rules in the contract's first comment, and the text that follows it.
const ABOUT_RULES: (&str, &str) = ("//\n// The buf.validate rules", "syntax");

pub fn run(arguments: &ProtoArguments) -> ExitCode {
    let contract = CONTRACT.into_iter();
    let files: Vec<(&str, String)> = if arguments.plain {
        contract
            .map(|(path, text)| (path, without_rules(text)))
            .collect()
    } else {
        let files = contract.chain(RULES);
        files.map(|(path, text)| (path, text.to_owned())).collect()
    };
    written_files::write(&arguments.directory, files)
}

/// A file of the contract without its rules: the same messages and methods, and no import of rules.
fn without_rules(contract: &str) -> String {
    let import = format!("import \"{}\";\n", RULES[0].0);
    // Where nothing else is imported, a blank line goes too.
    let alone = format!("{import}\n");
    let mut plain = contract.replace(&alone, "").replace(&import, "");
    if let Some(start) = plain.find(ABOUT_RULES.0)
        && let Some(length) = plain[start..].find(ABOUT_RULES.1)
    {
        plain.replace_range(start..start + length, "");
    }
    // Of a field, with the space before them, and of a message or a oneof, with their line.
    for (start, end) in [
        (" [(buf.validate.", ']'),
        (" [\n    (buf.validate.", ']'),
        ("  option (buf.validate.", ';'),
    ] {
        while let Some(start) = plain.find(start) {
            let length = length_to(&plain[start..], end);
            plain.replace_range(start..start + length, "");
        }
    }
    let lines: Vec<&str> = plain.lines().map(str::trim_end).collect();
    let is_wanted = |at: &usize| {
        let before = at.checked_sub(1).map_or("", |at| lines[at]);
        let after = lines.get(at + 1).map_or("", |line| line.trim_start());
        // A blank line parts two things.
        !lines[*at].is_empty()
            || !(before.is_empty() || before.ends_with('{') || after == "}" || after.is_empty())
    };
    let wanted = (0..lines.len()).filter(is_wanted).map(|at| lines[at]);
    wanted.flat_map(|line| [line, "\n"]).collect()
}

/// The length of a text up to the first character `end` that is in no string and in no inner brackets.
fn length_to(text: &str, end: char) -> usize {
    let (mut depth, mut quote, mut is_escaped) = (0, None, false);
    for (at, character) in text.char_indices() {
        if let Some(mark) = quote {
            let ends = character == mark && !is_escaped;
            is_escaped = character == '\\' && !is_escaped;
            quote = (!ends).then_some(mark);
            continue;
        }
        match character {
            '"' | '\'' => quote = Some(character),
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 && character == end {
            return at + end.len_utf8();
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::{FileDescriptorProto, FileDescriptorSet};

    use super::*;
    use crate::grpc::DESCRIPTORS;

    #[test]
    fn rules_are_left_out_and_nothing_else() {
        let ruled = "// A.\n//\n// The buf.validate rules b.\nsyntax = \"proto3\";\n\nimport \"buf/validate/validate.proto\";\n\n\
            message M {\n  oneof o {\n    option (buf.validate.oneof).required = true;\n\n    // Brackets [1] and \"quotes\".\n    \
            string a = 1 [(buf.validate.field).string = {pattern: \"^[\\\"]\\\\];$\"}];\n  }\n  string b = 2 [\n    \
            (buf.validate.field).cel = {expression: \"x(']')\"},\n    (buf.validate.field).string = {}\n  ];\n\n  \
            option (buf.validate.message).cel = {\n    id: \";\"\n  };\n}\n";
        let plain = "// A.\nsyntax = \"proto3\";\n\nmessage M {\n  oneof o {\n    // Brackets [1] and \"quotes\".\n    \
            string a = 1;\n  }\n  string b = 2;\n}\n";
        assert_eq!(without_rules(ruled), plain);
        let imports =
            "import \"buf/validate/validate.proto\";\nimport \"other.proto\";\n\nmessage M {}\n";
        assert_eq!(
            without_rules(imports),
            "import \"other.proto\";\n\nmessage M {}\n"
        );
        for (path, text) in CONTRACT {
            let plain = without_rules(text);
            assert!(
                !plain.contains("buf.validate") && !plain.contains(RULES[0].0),
                "{path}"
            );
        }
    }

    #[test]
    fn every_file_of_the_contract_is_written() {
        let compiled = FileDescriptorSet::decode(DESCRIPTORS).unwrap().file;
        let names = compiled.iter().map(FileDescriptorProto::name);
        let names: Vec<&str> = names.filter(|name| name.starts_with("ram/")).collect();
        assert_eq!(names, CONTRACT.map(|(path, _)| path));
    }
}
