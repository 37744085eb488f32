//! The web pages whose requests are taken (CORS): none, but those whose origin is named.
//!
//! A browser names the origin of a page in the header Origin of each POST, also where the page has this port's own name, which a page
//! can get for itself (DNS rebinding). So that header decides, and no address is safe by itself.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};
use tonic::body::Body;

/// The headers that a page may send.
const TAKEN_HEADERS: &str = "authorization, connect-protocol-version, connect-timeout-ms, content-type, traceparent, \
    tracestate, x-acs-account-id, x-request-id";
/// The headers of an answer that a page may read.
const SHOWN_HEADERS: &str = "x-client-request-id, x-request-id";
/// How long a browser may remember the answer to its question, in seconds: the most that common ones do.
const MAX_AGE: &str = "7200";

/// The origins of the pages that may call.
#[derive(Debug, Clone, Default)]
pub struct Origins(Vec<String>);

/// The page that a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// The request comes from no page.
    None,
    /// The request comes from a page that may call, of this origin.
    Named(HeaderValue),
    /// The request comes from a page that may not call, of this origin.
    Foreign(String),
}

impl Origins {
    /// These origins, each as [`parse`] has returned it.
    #[must_use]
    pub fn of(origins: Vec<String>) -> Self {
        Self(origins)
    }

    /// The page that a request with these headers comes from.
    pub(super) fn page(&self, headers: &HeaderMap) -> Page {
        // Most requests have none.
        let Some(first) = headers.get(ORIGIN) else {
            return Page::None;
        };
        let mut all = headers.get_all(ORIGIN).iter();
        let is_named = self.0.iter().any(|origin| *first == **origin);
        if is_named && all.nth(1).is_none() {
            return Page::Named(first.clone());
        }
        let all = headers.get_all(ORIGIN).iter();
        let all: Vec<_> = all
            .map(|origin| String::from_utf8_lossy(origin.as_bytes()))
            .collect();
        Page::Foreign(all.join(", "))
    }

    /// The answer to the question of a browser whether a page may send a request, if this is one and the page may.
    pub(super) fn preflight<B>(&self, request: &Request<B>) -> Option<Response<Body>> {
        let headers = request.headers();
        if request.method() != Method::OPTIONS
            || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        {
            return None;
        }
        let page @ Page::Named(_) = self.page(headers) else {
            return None;
        };
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, "POST"),
            (ACCESS_CONTROL_ALLOW_HEADERS, TAKEN_HEADERS),
            (ACCESS_CONTROL_MAX_AGE, MAX_AGE),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        page.open(headers);
        Some(response)
    }
}

impl Page {
    /// Lets the page read an answer with these headers, if it may call.
    pub fn open(&self, headers: &mut HeaderMap) {
        let Self::Named(origin) = self else {
            return;
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        let shown = HeaderValue::from_static(SHOWN_HEADERS);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, shown);
        headers.insert(VARY, HeaderValue::from_static("origin"));
    }
}

/// Reads an origin as browsers write it: a scheme, a host, and a port unless it is the scheme's own.
///
/// # Errors
/// For what no browser would send.
pub fn parse(text: &str) -> Result<String, String> {
    let refused = || {
        format!(
            "{text:?} is no origin; give one as browsers write it, such as https://console.example.com, \
             in lower case and without a path"
        )
    };
    let uri: Uri = text.parse().map_err(|_| refused())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(refused());
    };
    let default_port = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let written = format!("{scheme}://{}", authority.as_str().to_ascii_lowercase());
    let has_default_port = authority.port_u16().is_some() && authority.port_u16() == default_port;
    let is_named = !authority.host().is_empty() && !authority.as_str().contains(['@', '*']);
    if text != written || has_default_port || !is_named {
        return Err(refused());
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_taken_as_browsers_write_it() {
        for good in [
            "https://console.example.com",
            "http://localhost:3000",
            "http://[::1]:8080",
            "chrome-extension://abcdefghijklmnop",
        ] {
            assert_eq!(parse(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "*",
            "null",
            "console.example.com",
            "https://console.example.com/",
            "https://console.example.com/app",
            "https://Console.example.com",
            "HTTPS://console.example.com",
            "https://console.example.com:443",
            "http://console.example.com:80",
            "https://user@console.example.com",
            "https://*.example.com",
            "https://",
        ] {
            let refused = parse(bad).unwrap_err();
            assert!(refused.contains("is no origin"), "{refused}");
        }
    }

    #[test]
    fn a_page_may_call_only_by_one_origin_that_is_named() {
        let origins = Origins::of(vec!["https://a.example".to_owned()]);
        let page = |named: &[&str]| {
            let mut headers = HeaderMap::new();
            for origin in named {
                headers.append(ORIGIN, HeaderValue::from_str(origin).unwrap());
            }
            origins.page(&headers)
        };
        let named = HeaderValue::from_static("https://a.example");
        assert_eq!(page(&[]), Page::None);
        assert_eq!(page(&["https://a.example"]), Page::Named(named));
        for foreign in [
            &["https://a.example", "https://b.example"][..],
            &["https://a.example", "https://a.example"],
            &["https://a.example.evil"],
            &["http://a.example"],
            &["https://A.example"],
            &["null"],
            &[""],
        ] {
            assert!(matches!(page(foreign), Page::Foreign(_)), "{foreign:?}");
        }
    }
}
