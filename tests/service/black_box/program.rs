//! The command line: help, completions, what is refused and how it is said.

use std::io;
use std::net::TcpListener;
use std::process::{Command, Output};

use super::brief::serve_briefly;
use crate::support::{Server, help, run, untag};

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Runs a `serve` that must fail, on ports and in a directory that disturb nobody.
pub fn refused_serve(change: impl FnOnce(&mut Command)) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = untag();
    command
        .args(["serve", "--data-dir"])
        .arg(directory.path().join("data"));
    change(&mut command);
    let output = command.output().unwrap();
    assert!(!output.status.success());
    output
}

#[test]
fn help_of_serve_names_every_flag_with_its_variable_unit_and_default() {
    let help = help(&["serve"]);
    for line in help
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("--"))
    {
        let flag = line
            .split_whitespace()
            .next()
            .unwrap()
            .trim_start_matches("--");
        // Without a "=" where the value may hold a password and is not shown.
        // OpenTelemetry's own name, which operators set for all programs.
        if flag == "otlp-endpoint" {
            assert!(help.contains("[env: OTEL_EXPORTER_OTLP_ENDPOINT=]"));
            continue;
        }
        let variable = format!("[env: UNTAG_{}", flag.to_uppercase().replace('-', "_"));
        let shown = ["=", "]"].map(|end| help.contains(&format!("{variable}{end}")));
        assert!(shown.contains(&true), "{variable} of {line}");
    }
    // The snapshot has the flags of every feature.
    if cfg!(feature = "otlp") {
        insta::assert_snapshot!(help);
    }
}

#[test]
fn help_of_the_other_subcommands() {
    let all = [
        &[][..],
        &["import"],
        &["export"],
        &["migrate"],
        &["tags"],
        &["tags", "list"],
        &["tags", "remove"],
        &["tags", "set"],
        &["changes"],
        &["changes", "list"],
        &["changes", "show"],
        &["changes", "revert"],
        &["changes", "watch"],
        &["check-policy"],
        &["health"],
        &["proto"],
        &["completions"],
        &["man"],
    ];
    let all = all.map(|arguments| format!("## untag {}\n{}", arguments.join(" "), help(arguments)));
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn the_version_is_the_packages() {
    let output = run(&["--version"]);
    assert_eq!(
        text(&output.stdout),
        concat!("untag ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn every_shell_gets_completions_that_know_commands_and_flags() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success());
        let script = text(&output.stdout);
        assert!(script.contains("UNTAG_COMPLETE"), "{shell}: {script}");
        for (line, expected) in [
            (&["untag", "exp"][..], "export"),
            (&["untag", "serve", "--drain"], "--drain-timeout"),
            (&["untag", "tags", "remove", "--allow"], "--allow-missing"),
        ] {
            // As the script does.
            let output = untag()
                .arg("--")
                .args(line)
                .env("UNTAG_COMPLETE", shell)
                .env("_CLAP_COMPLETE_INDEX", (line.len() - 1).to_string())
                .output()
                .unwrap();
            let offered = text(&output.stdout);
            assert!(offered.contains(expected), "{shell}: {line:?}: {offered}");
        }
    }
}

#[test]
fn completions_that_nobody_reads_are_no_fault() {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut command = untag();
    let output = command.args(["completions", "bash"]).stdout(writer);
    let output = output.output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn a_command_line_that_is_wrong_exits_with_2_and_names_the_flag() {
    let wrong: [(&[&str], &str); 15] = [
        (&["serve", "--listen", "50051"], "--listen"),
        (
            &["serve", "--admin-listen", "example.com:1"],
            "localhost:50051",
        ),
        (
            &["health", "--admin-listen", "localhost:"],
            "localhost:50051",
        ),
        (&["serve", "--listen-rpc", ":8080"], "localhost:50051"),
        (&["serve", "--default-account", "abc"], "--default-account"),
        (&["serve", "--default-account", ""], "--default-account"),
        (&["serve", "--drain-timeout", "0"], "--drain-timeout"),
        (&["serve", "--drain-timeout", "86401"], "--drain-timeout"),
        (&["serve", "--request-timeout", "NaN"], "--request-timeout"),
        (&["serve", "--request-timeout", "5s"], "--request-timeout"),
        (&["serve", "--queue-depth", "0"], "--queue-depth"),
        (&["serve", "--log-format", "xml"], "--log-format"),
        (&["serve", "--no-such-flag"], "--no-such-flag"),
        (&["import"], "<FILE>"),
        (&["no-such-command"], "no-such-command"),
    ];
    for (arguments, named) in wrong {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            text(&output.stderr).contains(named),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn localhost_is_an_address() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = untag();
    command.args([
        "serve",
        "--listen",
        "localhost:0",
        "--admin-listen",
        "LOCALHOST:0",
    ]);
    command.args(["--log-format", "json", "--data-dir"]);
    command.arg(directory.path());
    let server = Server::spawn_as_it_is(command);
    assert!(server.address.ip().is_loopback() && server.address.is_ipv4());
    let admin = format!("localhost:{}", server.admin_address.port());
    let output = run(&["health", "--admin-listen", &admin]);
    assert_eq!(text(&output.stdout), "SERVING\n");
}

#[test]
fn an_address_that_strangers_can_reach_needs_identities_or_allow_anonymous() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0"] {
        let output = refused_serve(|command| {
            command.args(["--listen", address]);
        });
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(
            said.contains(address) && said.contains("--allow-anonymous"),
            "{said}"
        );
    }
    // Either the network keeps strangers out, or the service does.
    let directory = tempfile::tempdir().unwrap();
    let jwks = directory.path().join("jwks.json");
    let key = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;
    std::fs::write(&jwks, format!(r#"{{"keys":[{key}]}}"#)).unwrap();
    let jwks = jwks.to_str().unwrap();
    let tokens = ["--jwks", jwks, "--jwt-issuer", "i", "--jwt-audience", "a"];
    for who in [&["--allow-anonymous"][..], &tokens] {
        let mut command = untag();
        command.args(["serve", "--listen", "0.0.0.0:0"]).args(who);
        let (code, log) = serve_briefly(command.arg("--data-dir").arg(directory.path()));
        assert_eq!(code, Some(0), "{log}");
    }
}

#[test]
fn a_port_in_use_is_named_with_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    for flag in ["--listen", "--admin-listen"] {
        let output = refused_serve(|command| {
            command.args([flag, &taken]);
        });
        assert_eq!(output.status.code(), Some(1));
        let said = text(&output.stderr);
        assert!(
            said.contains(&format!("cannot listen on {taken}")),
            "{said}"
        );
        assert!(said.contains("give another address"), "{said}");
    }
}
