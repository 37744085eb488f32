//! The settings of variables and of a file, and the errors about those that are wrong.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};

use super::brief::serve_briefly;
use super::program::{refused_serve, text};
use crate::support::{ALICE, SAMPLE_ACCOUNT, Server, help, run, untag, untag_of};

#[test]
fn a_value_that_is_wrong_is_said_to_come_from_its_variable() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let cases = [
        ("UNTAG_DRAIN_TIMEOUT", "soon", 2, "--drain-timeout"),
        ("UNTAG_NO_REFLECTION", "perhaps", 2, "give true or false"),
        ("UNTAG_TLS_CERT", "tls.crt", 2, "--tls-key"),
        ("UNTAG_STORE", "mysql://db", 1, "--store must be"),
        ("UNTAG_REQUIRE_IDENTITY", "token", 1, "give --jwks"),
        ("UNTAG_ADMIN_LISTEN", &taken, 1, "cannot listen on"),
        ("UNTAG_AUDIT_LOG", "/missing/audit", 1, "/missing/audit"),
    ];
    for (variable, value, code, said) in cases {
        let output = refused_serve(|command| {
            command.env(variable, value);
        });
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{variable}: {error}");
        assert!(error.contains(said), "{variable}: {error}");
        let origin = format!("comes from the variable {variable}");
        assert!(error.contains(&origin), "{error}");
    }

    let output = refused_serve(|command| {
        command
            .args(["--drain-timeout", "later"])
            .env("UNTAG_DRAIN_TIMEOUT", "5");
    });
    let error = text(&output.stderr);
    assert!(error.contains("later"), "{error}");
    assert!(
        !error.contains("UNTAG_DRAIN_TIMEOUT"),
        "the flag wins: {error}"
    );
}

/// A `serve` in a directory of its own, on ports that the system chooses.
fn serve_in(directory: &Path, listen: &str) -> Command {
    let mut command = untag();
    command.args(["serve", "--listen", listen]);
    command.arg("--data-dir").arg(directory);
    command
}

#[test]
fn an_empty_variable_is_one_that_is_not_set() {
    let help = help(&["serve"]);
    let variables: Vec<&str> = help
        .split("[env: ")
        .skip(1)
        .map(|rest| rest.split(['=', ']']).next().unwrap())
        .chain(["OTEL_SERVICE_NAME", "PGPASSWORD", "UNTAG_TYPO"])
        .collect();
    let has_otlp = variables.contains(&"OTEL_EXPORTER_OTLP_ENDPOINT");
    assert_eq!(has_otlp, cfg!(feature = "otlp"));
    assert!(variables.len() > 40);
    let directory = tempfile::tempdir().unwrap();
    let mut command = serve_in(directory.path(), "127.0.0.1:0");
    command.envs(variables.iter().map(|variable| (variable, "")));
    let (code, log) = serve_briefly(&mut command);
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("UNTAG_"), "nothing is said of them: {log}");

    let given = run(&["serve", "--default-account", ""]);
    assert_eq!(given.status.code(), Some(2), "a flag is given all the same");
}

#[test]
fn a_switch_takes_what_people_write_for_yes_and_no() {
    let directory = tempfile::tempdir().unwrap();
    let serve = |said: &str| {
        let mut command = serve_in(directory.path(), "0.0.0.0:0");
        serve_briefly(command.env("UNTAG_ALLOW_ANONYMOUS", said))
    };
    for yes in ["1", "yes", "ON", "True"] {
        let (code, log) = serve(yes);
        assert_eq!(code, Some(0), "{yes}: {log}");
    }
    for no in ["0", "no", "Off", "FALSE"] {
        let (code, log) = serve(no);
        assert_eq!(code, Some(1), "{no}: {log}");
        assert!(log.contains("give --allow-anonymous"), "{no}: {log}");
    }
}

#[test]
fn a_variable_that_nobody_knows_is_named_with_the_nearest() {
    let directory = tempfile::tempdir().unwrap();
    let links = [
        ("UNTAG_SERVICE_HOST", "10.0.0.1"),
        ("UNTAG_SERVICE_PORT_GRPC", "50051"),
        ("UNTAG_KEYS_PORT", "tcp://10.0.0.1:50051"),
        ("UNTAG_PORT_50051_TCP_ADDR", "10.0.0.1"),
    ];
    let warned = "the variable UNTAG_LISTN is no setting of untag; did you mean UNTAG_LISTEN?";
    let mut command = serve_in(directory.path(), "127.0.0.1:0");
    command.envs(links).env("UNTAG_LISTN", "here");
    let (code, log) = serve_briefly(&mut command);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains(warned), "{log}");
    assert_eq!(log.matches("is no setting").count(), 1, "{log}");

    let mut command = untag();
    command.args(["export", "--data-dir"]).arg(directory.path());
    let output = command.env("UNTAG_LISTN", "here").output().unwrap();
    assert!(output.status.success());
    assert!(text(&output.stderr).contains(warned));
}

#[test]
fn a_variable_that_looks_like_security_and_is_none_is_refused() {
    let cases = [
        ("UNTAG_POLCY", "did you mean UNTAG_POLICY?"),
        (
            "UNTAG_REQUIRE_IDENTITIES",
            "did you mean UNTAG_REQUIRE_IDENTITY?",
        ),
        (
            "UNTAG_STORE_PASSWORD",
            "did you mean UNTAG_STORE_PASSWORD_FILE?",
        ),
        ("UNTAG_MTLS_CERTS", "no setting"),
        ("UNTAG_AUTH", "no setting"),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (variable, said) in cases {
        let mut command = serve_in(directory.path(), "127.0.0.1:0");
        let (code, error) = serve_briefly(command.env(variable, "hunter2"));
        assert_eq!(code, Some(2), "{error}");
        assert!(error.contains(variable) && error.contains(said), "{error}");
        assert!(
            !error.contains("hunter2"),
            "values are nobody's business: {error}"
        );
    }
}

/// Runs a `serve` with a file of settings, as far as `--check` goes.
fn check_config(config: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("untag.toml");
    fs::write(&file, config).unwrap();
    let mut command = untag();
    command.args(["serve", "--check", "--config"]).arg(file);
    command.output().unwrap()
}

#[tokio::test]
async fn a_flag_goes_before_a_variable_and_a_variable_before_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("untag.toml");
    let config = "\u{feff}# A comment\nlisten = '127.0.0.2:0'\nadmin-listen = '127.0.0.2:0'\nlog-format = 'json'\n\
                  sample-data = true\nno-reflection = false\nmax-connections = 100\ndrain-timeout = 0.5\n";
    fs::write(&file, config).unwrap();
    let mut command = untag();
    command
        .args(["serve", "--listen", "127.0.0.4:0", "--data-dir"])
        .arg(directory.path())
        .env("UNTAG_CONFIG", &file)
        .env("UNTAG_LISTEN", "127.0.0.3:0")
        .env("UNTAG_ADMIN_LISTEN", "127.0.0.3:0");
    let server = Server::spawn_as_it_is(command);
    assert_eq!(server.address.ip().to_string(), "127.0.0.4");
    assert_eq!(server.admin_address.ip().to_string(), "127.0.0.3");
    let mut request = tonic::Request::new(untag_of(ALICE));
    let account = SAMPLE_ACCOUNT.parse().unwrap();
    request.metadata_mut().insert("x-acs-account-id", account);
    server
        .client()
        .await
        .untag_resources(request)
        .await
        .unwrap();
}

#[test]
fn a_file_of_settings_that_is_wrong_is_named_with_the_position() {
    let cases = [
        (
            "lisen = '127.0.0.1:0'",
            "\"lisen\" is no setting; did you mean listen?",
        ),
        ("[serve]\nlisten = '127.0.0.1:0'", "\"serve\" is no setting"),
        ("config = 'other.toml'", "\"config\" is no setting"),
        (
            "listen = ['127.0.0.1:0']",
            "listen takes a text, a number, true or false",
        ),
        (
            "sample-data = true\nstore = 'postgres://u:hunter2@db",
            "line 2: ",
        ),
        ("sample-data = 'perhaps'", "sample-data: give true or false"),
        ("drain-timeout = 'soon'", "the value comes from the file"),
        ("tls-cert = 'tls.crt'", "--tls-cert comes from the file"),
        ("\0\0", "line 1: "),
    ];
    for (config, said) in cases {
        let output = check_config(config);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{config}: {error}");
        assert!(error.contains(said), "{config}: {error}");
        assert!(error.contains("untag.toml"), "{config}: {error}");
        assert!(!error.contains("hunter2"), "it may be a password: {error}");
    }
    let missing = run(&["serve", "--config=missing.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("missing.toml of --config: cannot be read"));
}

#[test]
fn check_reads_every_file_and_opens_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let policy = directory.path().join("policy.json");
    fs::copy("docs/policy-example.json", &policy).unwrap();
    let check = |more: &[&str]| {
        let mut command = untag();
        command
            .args([
                "serve",
                "--check",
                "--data-dir",
                "data",
                "--audit-log",
                "audit",
                "--policy",
            ])
            .arg(&policy)
            .args(["--listen", &listener.local_addr().unwrap().to_string()])
            .args([
                "--jwks",
                "https://127.0.0.1:1/",
                "--jwt-issuer",
                "i",
                "--jwt-audience",
                "a",
            ])
            .args(more)
            .current_dir(directory.path());
        command.output().unwrap()
    };
    for store in [&["--store", "postgres://127.0.0.1:1/"][..], &[]] {
        let output = check(store);
        assert_eq!(
            text(&output.stdout),
            "the settings are good\n",
            "{}",
            text(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(0));
    }
    assert_eq!(
        fs::read_dir(directory.path()).unwrap().count(),
        1,
        "nothing is made"
    );

    let cases: [&[&str]; 5] = [
        &["--jwks-ca", "missing-file"],
        &["--tls-cert", "missing-file", "--tls-key", "policy.json"],
        &[
            "--store",
            "postgres://127.0.0.1:1/",
            "--store-password-file",
            "missing-file",
        ],
        &[
            "--store",
            "postgres://127.0.0.1:1/?sslmode=verify-full&sslrootcert=missing-file",
        ],
        &[
            "--store",
            "ims",
            "--default-account",
            "1",
            "--ims-credentials",
            "missing-file",
        ],
    ];
    for more in cases {
        let output = check(more);
        assert_eq!(output.status.code(), Some(1), "{more:?}");
        assert!(
            text(&output.stderr).contains("missing-file"),
            "{more:?}: {}",
            text(&output.stderr)
        );
    }
    fs::write(&policy, "{").unwrap();
    let output = check(&[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("policy.json"));
}
