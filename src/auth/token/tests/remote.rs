use std::fs;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::server::{Answer, JwksServer, free_address};
use super::signer::{Signer, good_claims, now, verifier};
use crate::auth::token::remote::{RemoteKeys, Schedule};
use crate::auth::token::{JwksUrl, TokenError, Verified};

/// Everything is fast, but nothing is fetched again without a reason.
fn schedule() -> Schedule {
    Schedule {
        refresh: Duration::from_hours(1),
        unknown_key: Duration::from_secs(20),
        first_retry: Duration::from_millis(20),
        longest_retry: Duration::from_millis(50),
        timeout: Duration::from_secs(2),
    }
}

fn start(url: JwksUrl) -> RemoteKeys {
    RemoteKeys::start_with(url, None, schedule()).unwrap()
}

fn verify(keys: &RemoteKeys, token: &str) -> Result<Verified, TokenError> {
    keys.verify_by(|keys| verifier().verify(token, keys, now()))
}

async fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < end, "waited 10 s until {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

async fn wait_for_keys(keys: &RemoteKeys) {
    wait_until("there are keys", || keys.current().is_some()).await;
}

#[tokio::test]
async fn a_new_key_is_fetched_when_a_token_names_it() {
    let (old, new) = (Signer::ec(), Signer::ed());
    let server = JwksServer::start(Answer::Keys(vec![old.jwk("old")]));
    let keys = start(server.url());
    wait_for_keys(&keys).await;
    verify(&keys, &old.token("old", &good_claims())).unwrap();

    server.answer(Answer::Keys(vec![new.jwk("new")]));
    let token = new.token("new", &good_claims());
    assert!(matches!(
        verify(&keys, &token),
        Err(TokenError::UnknownKey(_))
    ));
    wait_until("the new key is there", || verify(&keys, &token).is_ok()).await;
    assert_eq!(server.fetches(), 2);
    // What is no longer published is no longer accepted.
    let error = verify(&keys, &old.token("old", &good_claims())).unwrap_err();
    assert!(matches!(error, TokenError::UnknownKey(_)), "{error:?}");
}

#[tokio::test]
async fn a_flood_of_unknown_keys_causes_one_fetch() {
    let (known, unknown) = (Signer::ed(), Signer::ed());
    let server = JwksServer::start(Answer::Keys(vec![known.jwk("known")]));
    let keys = start(server.url());
    wait_for_keys(&keys).await;
    for round in 0..50 {
        for number in 0..20 {
            let token = unknown.token(&format!("{round}-{number}"), &good_claims());
            assert!(matches!(
                verify(&keys, &token),
                Err(TokenError::UnknownKey(_))
            ));
        }
        sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.fetches(), 2);
    verify(&keys, &known.token("known", &good_claims())).unwrap();
}

#[tokio::test]
async fn other_failures_cause_no_fetch() {
    let (known, other) = (Signer::ed(), Signer::ed());
    let server = JwksServer::start(Answer::Keys(vec![known.jwk("known")]));
    let keys = start(server.url());
    wait_for_keys(&keys).await;
    for token in ["", "a.b.c", &other.token("known", &good_claims())] {
        verify(&keys, token).unwrap_err();
    }
    sleep(Duration::from_millis(100)).await;
    assert_eq!(server.fetches(), 1);
}

#[tokio::test]
async fn without_keys_every_token_is_refused_until_the_issuer_is_up() {
    let (address, signer) = (free_address(), Signer::ed());
    let keys = start(JwksUrl::parse(&format!("http://{address}/jwks")).unwrap());
    let token = signer.token("k", &good_claims());
    sleep(Duration::from_millis(100)).await;
    assert_eq!(verify(&keys, &token), Err(TokenError::NoKeys));
    let _server = JwksServer::start_on(address, Answer::Keys(vec![signer.jwk("k")]));
    wait_for_keys(&keys).await;
    verify(&keys, &token).unwrap();
}

#[tokio::test]
async fn old_keys_stay_when_a_fetch_fails() {
    let signer = Signer::ed();
    let published = Answer::Keys(vec![signer.jwk("k")]);
    let server = JwksServer::start(published.clone());
    let schedule = Schedule {
        refresh: Duration::from_millis(30),
        ..schedule()
    };
    let keys = RemoteKeys::start_with(server.url(), None, schedule).unwrap();
    wait_for_keys(&keys).await;
    let token = signer.token("k", &good_claims());
    for failure in [
        Answer::Head("500 Internal Server Error".into()),
        Answer::Head("200 OK".into()),
        Answer::Head("204 No Content".into()),
        Answer::Keys(vec![]),
        Answer::Endless,
    ] {
        server.answer(failure);
        let before = server.fetches();
        wait_until("it has failed", || server.fetches() > before + 2).await;
        verify(&keys, &token).unwrap();
    }
    let replaced = Signer::ed();
    server.answer(Answer::Keys(vec![replaced.jwk("k")]));
    let token = replaced.token("k", &good_claims());
    wait_until("keys are fetched again", || verify(&keys, &token).is_ok()).await;
}

#[tokio::test]
async fn a_body_without_end_is_cut_off() {
    let server = JwksServer::start(Answer::Endless);
    let keys = start(server.url());
    wait_until("it is tried again", || server.fetches() > 2).await;
    assert!(keys.current().is_none());
}

#[tokio::test]
async fn a_server_that_wants_credentials_is_told_from_one_that_fails() {
    for (status, wants) in [
        ("401 Unauthorized", true),
        ("403 Forbidden", true),
        ("404 Not Found", false),
    ] {
        let server = JwksServer::start(Answer::Head(status.into()));
        let error = fetch_error(server.url(), None).await;
        assert!(error.contains(&status[..3]), "{error}");
        assert_eq!(
            error.contains("let anybody read the keys"),
            wants,
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let signer = Signer::ed();
    let server = JwksServer::start(Answer::Silence);
    let keys = start(server.url());
    wait_until("it is asked", || server.fetches() == 1).await;
    server.answer(Answer::Keys(vec![signer.jwk("k")]));
    wait_for_keys(&keys).await;
    assert_eq!(server.fetches(), 2);
}

#[tokio::test]
async fn redirects_are_followed_to_safe_urls_only() {
    let signer = Signer::ed();
    let target = JwksServer::start(Answer::Keys(vec![signer.jwk("k")]));
    let redirect = |place: &str| Answer::Head(format!("302 Found\r\nLocation: {place}"));
    let server = JwksServer::start(redirect(&target.url().to_string()));
    let keys = start(server.url());
    wait_for_keys(&keys).await;

    // To itself without end: three times, and once more for each retry.
    let circle = JwksServer::start(redirect("/jwks"));
    let (fetcher, url) = (circle.url(), "http://issuer.invalid/jwks");
    let error = fetch_error(fetcher, None).await;
    assert!(error.contains("too many redirects"), "{error}");
    assert_eq!(circle.fetches(), 4);
    let unsafe_place = JwksServer::start(redirect(url));
    let error = fetch_error(unsafe_place.url(), None).await;
    assert!(error.contains("https://"), "{error}");
}

#[tokio::test]
async fn https_trusts_the_authorities_in_the_file_and_never_goes_back_to_http() {
    let signer = Signer::ed();
    let (server, certificate) = JwksServer::start_with_tls(Answer::Keys(vec![signer.jwk("k")]));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    fs::write(&file, certificate).unwrap();
    let keys = RemoteKeys::start_with(server.https_url(), Some(&file), schedule()).unwrap();
    wait_for_keys(&keys).await;

    let error = fetch_error(server.https_url(), None).await;
    assert!(error.contains("certificate"), "{error}");

    let plain = JwksServer::start(Answer::Keys(vec![signer.jwk("k")]));
    server.answer(Answer::Head(format!(
        "302 Found\r\nLocation: {}",
        plain.url()
    )));
    let error = fetch_error(server.https_url(), Some(&file)).await;
    assert!(error.contains("from https to http"), "{error}");
    assert_eq!(plain.fetches(), 0);
}

#[tokio::test]
async fn a_file_without_authorities_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let url = JwksUrl::parse("https://issuer.example.org/jwks").unwrap();
    let error = RemoteKeys::start(url.clone(), Some(&file))
        .unwrap_err()
        .to_string();
    assert!(error.contains("ca.pem"), "{error}");
    fs::write(&file, "nothing").unwrap();
    let error = RemoteKeys::start(url, Some(&file)).unwrap_err().to_string();
    assert!(error.contains("no PEM certificate"), "{error}");
}

async fn fetch_error(url: JwksUrl, authorities: Option<&std::path::Path>) -> String {
    use crate::auth::token::fetch::Fetcher;
    let fetcher = Fetcher::new(url, authorities, Duration::from_secs(5)).unwrap();
    match fetcher.fetch().await {
        Ok(_) => panic!("keys came"),
        Err(error) => error.to_string(),
    }
}
