//! `untag import` of what can't be imported: it says which line, and imports nothing.

use super::bulk::{export, import_stdin, stderr};
use super::users::{ACCOUNT, ANN, directory, line};

/// Lines that can't be imported: what is wrong, the line, and what the error names.
fn bad_lines() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let user = |id: &str, name: &str, tags: &str| {
        format!(
            r#"{{"account_id":"1001","resource_id":"{id}","principal_name":"{name}","tags":{tags}}}"#
        )
    };
    let many: Vec<String> = (0..21)
        .map(|number| format!(r#""k{number}":"v""#))
        .collect();
    let text = |line: String| line.into_bytes();
    let mut long = text(user("2", "b@c", "{}"));
    long.resize(70_000, b' ');
    vec![
        ("no JSON", b"{nonsense".to_vec(), "not a user as JSON"),
        ("no object", b"[]".to_vec(), "not a user as JSON"),
        (
            "members in a list",
            br#"["1001","user","2","b@c",{}]"#.to_vec(),
            "expected an object",
        ),
        (
            "cut off",
            b"{\"account_id\":\"1001\"".to_vec(),
            "not a user as JSON",
        ),
        (
            "not UTF-8",
            b"{\"account_id\":\"\xff\"}".to_vec(),
            "not a user as JSON",
        ),
        (
            "a field is missing",
            b"{\"account_id\":\"1001\"}".to_vec(),
            "missing field",
        ),
        (
            "unknown field",
            text(user("2", "b@c", "{}").replace("tags", "labels")),
            "unknown field `labels`",
        ),
        (
            "two users",
            text(user("2", "b@c", "{}").repeat(2)),
            "trailing characters",
        ),
        (
            "bad account",
            text(user("2", "b@c", "{}").replace("1001", "me")),
            "account_id \"me\"",
        ),
        (
            "bad id",
            text(user("2a", "b@c", "{}")),
            "resource_id \"2a\"",
        ),
        (
            "bad name",
            text(user("2", "b", "{}")),
            "principal_name \"b\"",
        ),
        (
            "bad type",
            text(user("2", "b@c", r#"{},"resource_type":"group""#)),
            "resource_type \"group\"",
        ),
        (
            "bad key",
            text(user("2", "b@c", r#"{"acs:x":"v"}"#)),
            "tag key \"acs:x\"",
        ),
        (
            "bad value",
            text(user("2", "b@c", r#"{"k":"http://x"}"#)),
            "the value of tag key \"k\"",
        ),
        (
            "the same key twice",
            text(user("2", "b@c", r#"{"k":"1","k":"2"}"#)),
            "the tag key \"k\" stands twice",
        ),
        (
            "21 tags",
            text(user("2", "b@c", &format!("{{{}}}", many.join(",")))),
            "at most 20 tags",
        ),
        ("too long", long, "longer than 65536 bytes"),
        (
            "UTF-16",
            b"\xff\xfe{\0}\0".to_vec(),
            "the byte order mark (BOM) of UTF-16; save it as UTF-8",
        ),
    ]
}

#[test]
fn a_bad_line_is_named_by_its_number_and_nothing_is_imported() {
    let home = directory();
    let before = export(&home);
    for (what, bad, named) in bad_lines() {
        let good = line(ACCOUNT, "1", "a@b", &[("k", "v")]);
        // The empty line counts, and the last line would be good.
        let lines = [
            good.as_bytes(),
            b"\n",
            &bad,
            b"\n",
            line(ACCOUNT, "3", "c@d", &[]).as_bytes(),
        ]
        .concat();
        let output = import_stdin(&home, &lines);
        assert_eq!(output.status.code(), Some(1), "{what}");
        let said = stderr(&output);
        assert!(
            said.contains("line 3: ") && said.contains(named),
            "{what}: {said}"
        );
        assert!(said.contains("nothing was imported"), "{what}: {said}");
        assert_eq!(export(&home), before, "{what}");
    }
}

#[test]
fn a_name_that_two_users_would_have_is_refused_whatever_its_case() {
    let home = directory();
    let before = export(&home);
    let taken = |id: &str| line(ACCOUNT, id, "ANN.LEE@example.com", &[]);
    let new = |id: &str| line(ACCOUNT, id, "New@example.com", &[]);
    let cases = [
        (
            "of a user who is there",
            taken("777"),
            [ANN, "777"],
            "ann.lee@",
        ),
        (
            "of two new users",
            new("777") + &new("778").to_lowercase(),
            ["777", "778"],
            "new@",
        ),
        (
            "of two who wait for it",
            taken("777") + &taken("778"),
            [ANN, "777"],
            "ann.lee@",
        ),
        // Ann gives her name up, and two want it.
        (
            "given up once",
            taken("777") + &taken("778") + &line(ACCOUNT, ANN, "ann@example.com", &[]),
            ["777", "778"],
            "ann.lee@",
        ),
    ];
    for (what, lines, users, name) in cases {
        let lines = line(ACCOUNT, "1", "a@b", &[]) + &lines;
        let output = import_stdin(&home, lines.as_bytes());
        assert_eq!(output.status.code(), Some(1), "{what}");
        let said = stderr(&output);
        let both = format!(
            "the users {} and {} of account {ACCOUNT} would both have the principal name",
            users[0], users[1]
        );
        assert!(said.contains(&both), "{what}: {said}");
        assert!(said.to_lowercase().contains(name), "{what}: {said}");
        assert!(said.contains("nothing was imported"), "{what}: {said}");
        assert_eq!(export(&home), before, "{what}");
    }

    let of_another_account = line("1003", "777", "ANN.LEE@example.com", &[]);
    assert!(
        import_stdin(&home, of_another_account.as_bytes())
            .status
            .success()
    );
}
