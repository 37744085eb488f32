//! The command line as a client: TLS, certificates and tokens.

use std::fs;
use std::process::Output;

use super::harness::{Files, lines};
use super::tokens;
use crate::support::authority::{Authority, spiffe};
use crate::support::{ALICE, Server, untag, wait_until};

/// `untag tags`, which tries to remove a tag from Alice.
fn remove(server: &Server, flags: &[&str]) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = untag()
        .args(["tags", "remove", ALICE, "--tag", "env"])
        .args(["--address", &server.address.to_string()])
        .args(flags)
        .output()
        .unwrap();
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_certificate_says_who_calls() {
    let files = Files::new();
    files.write("ca.pem", &files.servers.pem());
    files.write("other-ca.pem", &Authority::new("others").pem());
    let caller = files.callers.issue(vec![spiffe("cleaner")]);
    files.write("caller.crt", &caller.certificate);
    files.write("caller.key", &caller.key);
    let stranger = Authority::new("strangers").issue(vec![spiffe("cleaner")]);
    files.write("stranger.crt", &stranger.certificate);
    files.write("stranger.key", &stranger.key);
    let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
    let audit = path("audit.log");
    let server = files.serve_callers(&["--audit-log", &audit]);

    let call = |ca: &str, name: &str| {
        let [ca, cert, key] = [ca, &format!("{name}.crt"), &format!("{name}.key")].map(path);
        let flags = ["--tls-ca", &ca, "--cert", &cert, "--key", &key];
        remove(&server, &flags)
    };
    // None of these has sent a change: that much is known.
    for (printed, said) in [
        (
            remove(&server, &["--tls-ca", &path("other-ca.pem")]),
            "certificate",
        ),
        (remove(&server, &[]), "give https://"),
        (
            remove(&server, &["--tls-ca", &path("ca.pem")]),
            "--cert and --key where it wants to know who calls",
        ),
        (
            call("ca.pem", "stranger"),
            "whether it believes the certificate",
        ),
    ] {
        assert_eq!(printed.0, Some(3), "{}", printed.1);
        assert!(
            printed.1.contains("cannot reach the service") && printed.1.contains(said),
            "{}",
            printed.1
        );
    }
    assert_eq!(call("ca.pem", "caller"), (Some(0), String::new()));
    // It comes behind the answer.
    wait_until("the line of the change", || {
        let last = lines(files.path("audit.log").as_path()).pop();
        last.is_some_and(|line| line["caller"] == "spiffe://example.org/ns/test/sa/cleaner")
    });

    files.write("caller.key", &stranger.key);
    let (code, said) = call("ca.pem", "caller");
    assert_eq!(code, Some(2), "{said}");
    assert!(
        said.contains("caller.crt and the key in") && said.contains("can't be used"),
        "{said}"
    );
}

#[test]
fn a_token_says_who_calls() {
    let files = tokens::files();
    files.write("ca.pem", &files.servers.pem());
    files.write("bad", "not.a.token");
    files.write("token", &format!("\u{feff}{}\n", tokens::any_good()));
    let path = |name: &str| files.path(name).to_str().unwrap().to_owned();
    let jwks = path("jwks.json");
    let server = files.serve(&tokens::rules(&jwks));
    let ca = path("ca.pem");
    let call = |token: &str| remove(&server, &["--tls-ca", &ca, "--token-file", &path(token)]);
    let (code, said) = call("bad");
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("Unauthenticated") && !said.contains("not.a.token"),
        "{said}"
    );
    let (code, said) = remove(&server, &["--tls-ca", &ca]);
    assert_eq!(code, Some(1), "{said}");
    let wanted = "; say who calls with --token-file, or with --cert and --key";
    assert!(
        said.contains("Unauthenticated") && said.contains(wanted),
        "{said}"
    );
    assert_eq!(call("token"), (Some(0), String::new()));

    // By a profile, whose files are named from its folder on.
    let profile = format!(
        "[prod]\naddress = \"{}\"\ntls-ca = \"ca.pem\"\ntoken-file = \"token\"\n",
        server.address
    );
    let home = files.path("home/.config/untag");
    fs::create_dir_all(&home).unwrap();
    for name in ["ca.pem", "token"] {
        fs::copy(files.path(name), home.join(name)).unwrap();
    }
    fs::write(home.join("client.toml"), profile).unwrap();
    let by_profile = untag()
        .args(["tags", "remove", ALICE, "--tag", "env"])
        .env("UNTAG_PROFILE", "prod")
        .env("HOME", files.path("home"))
        .output()
        .unwrap();
    assert!(by_profile.status.success(), "{by_profile:?}");
}
