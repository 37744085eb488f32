//! Callers by certificate.

use std::fmt::Write as _;
use std::process::{Command, Stdio};

use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, KeyUsagePurpose, SanType};
use tonic::Code;

use super::harness::{Client, Files, untag_alice};
use crate::support::Server;
use crate::support::authority::{Authority, Pair, dns, spiffe, uri};
use crate::support::list;

async fn caller_of(files: &Files, server: &Server, names: Vec<SanType>) -> Result<String, Code> {
    let pair = files.callers.issue(names);
    let mut client = files.client(server, Some(&pair)).await;
    let answer = client.list_tag_resources(list()).await;
    let id = answer
        .map_err(|status| status.code())?
        .into_inner()
        .request_id;
    let line = server.wait_for_log_where("request", |line| line["request_id"] == id.as_str());
    Ok(line["caller"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_caller_is_known_by_its_spiffe_id_or_its_first_dns_name() {
    let files = Files::new();
    let server = files.serve_callers(&[]);
    for (names, wanted) in [
        (
            vec![spiffe("cleaner")],
            "spiffe://example.org/ns/test/sa/cleaner",
        ),
        (
            vec![dns("a.example.org"), spiffe("b")],
            "spiffe://example.org/ns/test/sa/b",
        ),
        (
            vec![dns("Cleaner.Example.org"), dns("b.example.org")],
            "dns:cleaner.example.org",
        ),
    ] {
        let caller = caller_of(&files, &server, names.clone()).await;
        assert_eq!(caller.as_deref(), Ok(wanted), "{names:?}");
    }
}

/// Forms that SPIFFE-ID and X.509-SVID forbid, of IDs that would pass for another or have a second spelling.
const FORBIDDEN_IDS: [(&str, &str); 16] = [
    ("a query", "spiffe://example.org/sa/admin?x=1"),
    ("a fragment", "spiffe://example.org/sa/admin#f"),
    ("a port", "spiffe://example.org:8443/sa/admin"),
    ("a user", "spiffe://user@example.org/sa/admin"),
    ("a segment ..", "spiffe://example.org/sa/../admin"),
    ("a segment .", "spiffe://example.org/./sa/admin"),
    ("an empty segment", "spiffe://example.org//sa/admin"),
    ("a slash at its end", "spiffe://example.org/sa/admin/"),
    ("a dot at its end", "spiffe://example.org/sa/admin."),
    (
        "a dot at the end of its trust domain",
        "spiffe://example.org./sa/admin",
    ),
    (
        "upper case in its trust domain",
        "spiffe://Example.org/sa/admin",
    ),
    ("upper case in its scheme", "SPIFFE://example.org/sa/admin"),
    ("percent-encoding", "spiffe://example.org/%73a/admin"),
    ("a wildcard", "spiffe://example.org/sa/*"),
    ("no path", "spiffe://example.org"),
    ("no trust domain", "spiffe:///sa/admin"),
];

#[tokio::test]
async fn a_certificate_that_names_nobody_is_refused_and_told_why() {
    let files = Files::new();
    let server = files.serve_callers(&[]);
    let good_dns = || dns("admin.example.org");
    let mut forms: Vec<(&str, Vec<SanType>)> = vec![
        ("no name", vec![]),
        ("another URI", vec![uri("https://example.org"), good_dns()]),
        ("two SPIFFE IDs", vec![spiffe("a"), spiffe("b"), good_dns()]),
        (
            "a second URI",
            vec![spiffe("a"), uri("https://example.org"), good_dns()],
        ),
        ("a wildcard for DNS", vec![dns("*.example.org"), good_dns()]),
        (
            "a dot at the end of a DNS name",
            vec![dns("admin.example.org.")],
        ),
        ("a name like a token's", vec![dns("jwt:admin")]),
        ("a name like an access key's", vec![dns("key:admin")]),
        ("a SPIFFE ID as a DNS name", vec![dns("spiffe://a/b")]),
    ];
    forms.extend(FORBIDDEN_IDS.map(|(what, id)| (what, vec![uri(id), good_dns()])));
    let mut said = String::new();
    for (what, names) in forms {
        let pair = files.callers.issue(names);
        let mut client = files.client(&server, Some(&pair)).await;
        let refused = client.list_tag_resources(list()).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{what}: {refused:?}");
        writeln!(said, "{what}: {}", refused.message()).unwrap();
        server.wait_for_log_where("a client certificate names no caller", |line| {
            line["error"] == refused.message()
        });
    }
    insta::assert_snapshot!(said);
}

#[tokio::test]
async fn the_certificate_of_an_authority_is_no_caller_s() {
    let files = Files::new();
    let server = files.serve_callers(&[]);
    for (is_ca, usages) in [
        (IsCa::Ca(BasicConstraints::Unconstrained), vec![]),
        (IsCa::NoCa, vec![KeyUsagePurpose::KeyCertSign]),
        (IsCa::NoCa, vec![KeyUsagePurpose::CrlSign]),
    ] {
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = vec![spiffe("admin")];
        parameters.is_ca = is_ca;
        parameters.key_usages = [vec![KeyUsagePurpose::DigitalSignature], usages].concat();
        let pair = files.callers.sign(&parameters);
        // One with the CA flag is refused in the handshake already.
        if let Ok(mut client) = Files::connect(&server, &files.servers, Some(&pair)).await {
            client.list_tag_resources(list()).await.unwrap_err();
        }
    }
    let mut parameters = CertificateParams::default();
    parameters.subject_alt_names = vec![spiffe("cleaner")];
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let leaf = files.callers.sign(&parameters);
    untag(&mut files.client(&server, Some(&leaf)).await)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_caller_without_a_certificate_of_the_client_ca_gets_no_connection() {
    let files = Files::new();
    let server = files.serve_callers(&[]);
    let stranger = Authority::new("callers").issue(vec![spiffe("cleaner")]);
    // The server's own authority signs no callers.
    let server_side = files.servers.issue(vec![spiffe("cleaner")]);
    for identity in [None, Some(&stranger), Some(&server_side)] {
        // TLS 1.3 tells a client of a refusal with the first answer only.
        let client = Files::connect(&server, &files.servers, identity).await;
        if let Ok(mut client) = client {
            client.untag_resources(untag_alice()).await.unwrap_err();
        }
    }
    assert!(
        server
            .log_lines()
            .iter()
            .all(|line| line["message"] != "request"),
        "no request has got through"
    );
    server.wait_for_log("a TLS handshake has failed");
}

async fn untag(client: &mut Client) -> Result<(), tonic::Status> {
    client.untag_resources(untag_alice()).await.map(drop)
}

#[tokio::test]
async fn without_a_client_ca_nobody_is_asked_who_it_is() {
    let files = Files::new();
    let server = files.serve(&[]);
    untag(&mut files.client(&server, None).await).await.unwrap();
    let line = server.wait_for_log("request");
    assert_eq!(line["caller"], "anonymous");
}

#[tokio::test]
async fn a_caller_that_sends_too_much_leaves_room_for_the_others() {
    let files = Files::new();
    let server = files.serve_callers(&["--max-caller-rate", "5"]);
    let (loud, quiet) = (
        files.callers.issue(vec![spiffe("loud")]),
        files.callers.issue(vec![spiffe("quiet")]),
    );
    let mut loud = files.client(&server, Some(&loud)).await;
    let mut quiet = files.client(&server, Some(&quiet)).await;
    let mut refused = 0;
    for _ in 0..50 {
        if let Err(status) = loud.list_tag_resources(list()).await {
            assert_eq!(status.code(), Code::ResourceExhausted);
            refused += 1;
        }
    }
    assert!(refused > 0, "fifty at once are too many");
    quiet.list_tag_resources(list()).await.unwrap();
}

#[test]
fn grpcurl_calls_with_a_certificate() {
    let files = Files::new();
    let server = files.serve_callers(&[]);
    let Pair { certificate, key } = files.callers.issue(vec![spiffe("operator")]);
    files.write("caller.pem", &certificate);
    files.write("caller.key", &key);
    files.write("ca.pem", &files.servers.pem());
    let tool = concat!(env!("CARGO_MANIFEST_DIR"), "/target/venv/bin/grpcurl");
    let call = |with_certificate: bool| {
        let mut grpcurl = Command::new(tool);
        grpcurl.arg("-cacert").arg(files.path("ca.pem"));
        if with_certificate {
            grpcurl.arg("-cert").arg(files.path("caller.pem"));
            grpcurl.arg("-key").arg(files.path("caller.key"));
        }
        let data = r#"{"resource_ids":{"values":["2073290024939201"]},"tag_keys":["env"]}"#;
        grpcurl
            .args(["-d", data, &server.address.to_string()])
            .arg("ram.tag.v1.TagService/UntagResources")
            .output()
            .expect("grpcurl is installed (scripts/setup)")
    };
    let answered = call(true);
    assert!(answered.status.success(), "{answered:?}");
    assert!(String::from_utf8_lossy(&answered.stdout).contains("requestId"));
    assert!(!call(false).status.success());
}

/// An authority whose certificate permits only names of this form, a type of `GeneralName` and a value.
fn constrained(kind: u8, value: &str) -> Authority {
    // What follows a tag of DER: a length, which is short here, and the content.
    let der = |tag: u8, content: &[u8]| {
        let length = u8::try_from(content.len()).unwrap();
        [&[tag, length], content].concat()
    };
    let subtree = der(0x30, &der(0x80 | kind, value.as_bytes()));
    let constraints = der(0x30, &der(0xa0, &subtree));
    let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], constraints);
    extension.set_criticality(true);
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.custom_extensions = vec![extension];
    Authority::of(parameters)
}

/// RFC 5280, 4.2.1.6.
const DNS_NAME: u8 = 2;
const URI: u8 = 6;

#[tokio::test]
async fn constraints_of_an_authority_hold_for_dns_names_and_those_on_uris_refuse_every_uri() {
    for (kind, value, name, is_served) in [
        (DNS_NAME, "example.org", dns("a.example.org"), true),
        (DNS_NAME, "example.org", dns("a.example.com"), false),
        (DNS_NAME, "example.org", spiffe("cleaner"), true),
        (URI, "example.org", spiffe("cleaner"), false),
        (URI, "example.org", dns("a.example.org"), true),
    ] {
        let callers = constrained(kind, value);
        let files = Files::new();
        files.write("client-ca.pem", &callers.pem());
        let server = files.serve_callers(&[]);
        let pair = callers.issue(vec![name.clone()]);
        let client = Files::connect(&server, &files.servers, Some(&pair)).await;
        let outcome = match client {
            Ok(mut client) => untag(&mut client).await.is_ok(),
            Err(_) => false,
        };
        assert_eq!(outcome, is_served, "{kind} {value} {name:?}");
        if !is_served {
            server.wait_for_log_where("a TLS handshake has failed", |line| {
                line["error"].as_str().unwrap().contains("NameConstraint")
            });
        }
    }
}

#[test]
fn a_client_with_a_key_on_p_521_is_not_served_and_one_on_p_384_is() {
    let files = Files::new();
    let server = files.serve_callers(&[]);
    files.write("ca.pem", &files.callers.pem());
    files.write("ca.key", &files.callers.key_pem());
    files.write("san", "subjectAltName=URI:spiffe://example.org/sa/cleaner");
    files.write("servers.pem", &files.servers.pem());
    let openssl = |arguments: &str| {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(files.path(""))
            .stdin(Stdio::null())
            .output()
            .expect("openssl is installed (scripts/setup)");
        (output.status.success(), format!("{output:?}"))
    };
    for (curve, is_served) in [("P-384", true), ("P-521", false)] {
        let key = format!("-newkey ec -pkeyopt ec_paramgen_curve:{curve} -nodes -keyout key");
        for step in [
            format!("req -new {key} -subj /CN=x -out csr"),
            "x509 -req -in csr -CA ca.pem -CAkey ca.key -CAcreateserial -extfile san -out crt"
                .to_owned(),
        ] {
            let (is_done, output) = openssl(&step);
            assert!(is_done, "{output}");
        }
        // With TLS 1.2 the client sees the refusal in the handshake.
        let (is_connected, output) = openssl(&format!(
            "s_client -connect {} -CAfile servers.pem -cert crt -key key -alpn h2 -tls1_2",
            server.address
        ));
        assert_eq!(is_connected, is_served, "{curve}: {output}");
    }
    server.wait_for_log("a TLS handshake has failed");
}
