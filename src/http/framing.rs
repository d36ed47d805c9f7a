//! Requests that another server could read otherwise than this one: refused, because a proxy in front may have let a second request through inside of
//! the first (RFC 9112, section 11.2), or looked at another host than the one that is answered for.

use axum::{
    extract::Request,
    http::{Version, header, uri::Authority},
};

use super::{error::ApiError, serve::Peer};

/// # Errors
/// 400 that closes the connection: a transfer coding other than `chunked`, hosts that differ, or none over HTTP/1.1.
pub(super) fn check(request: &Request) -> Result<(), ApiError> {
    let headers = request.headers();
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let coding = codings.next().map(|coding| coding.as_bytes().trim_ascii());
    if coding.is_some_and(|coding| !coding.eq_ignore_ascii_case(b"chunked")) || codings.next().is_some() {
        return Err(ApiError::ambiguous("Transfer-Encoding: this server reads `chunked` alone, once; send the body as it is"));
    }
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(ApiError::ambiguous("there are two Host headers; send one"));
    }
    let target = request.uri().authority().map(Authority::as_str);
    match (target, host) {
        (Some(target), Some(host)) if !host.as_bytes().eq_ignore_ascii_case(target.as_bytes()) => {
            Err(ApiError::ambiguous("the Host header and the request's target (or :authority) name different hosts; send one name"))
        }
        // RFC 9112, section 3.2. Not of a request that came over no connection.
        (None, None) if request.version() == Version::HTTP_11 && request.extensions().get::<Peer>().is_some() => {
            Err(ApiError::ambiguous("there is no Host header; send one"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};

    use super::*;

    fn checked(uri: &str, headers: &[(&str, &str)]) -> Result<(), String> {
        let mut request = Request::post(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(Body::empty()).unwrap()).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_body_is_chunked_or_as_it_is() {
        for fine in [&[][..], &[("transfer-encoding", "chunked")], &[("transfer-encoding", " Chunked ")]] {
            assert_eq!(checked("/", fine), Ok(()), "{fine:?}");
        }
        for wrong in [
            &[("transfer-encoding", "gzip, chunked")][..],
            &[("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
            &[("transfer-encoding", "chunked, chunked")],
            &[("transfer-encoding", "identity, chunked")],
            &[("transfer-encoding", "")],
        ] {
            assert!(checked("/", wrong).is_err_and(|told| told.starts_with("Transfer-Encoding")), "{wrong:?}");
        }
    }

    #[test]
    fn one_host_is_named() {
        for (uri, fine) in [
            ("/", &[][..]),
            ("/", &[("host", "a")][..]),
            ("http://a/", &[][..]),
            ("http://a/", &[("host", "A")][..]),
            ("http://a:8080/", &[("host", "a:8080")][..]),
        ] {
            assert_eq!(checked(uri, fine), Ok(()), "{uri} {fine:?}");
        }
        for (uri, wrong) in
            [("/", &[("host", "a"), ("host", "a")][..]), ("http://a/", &[("host", "b")][..]), ("http://a:8080/", &[("host", "a")][..])]
        {
            assert!(checked(uri, wrong).is_err_and(|told| told.contains("Host")), "{uri} {wrong:?}");
        }
    }
}
