//! Downloads: ranges, conditions, and headers that keep hostile files harmless.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use mesh::{
    authn::Origin,
    errors,
    rpc::{Body, BoxError, Upstream},
};
use proto::file::v1::{
    DownloadFileRequest, DownloadFileResponse, DownloadHeader, download_file_response::Part,
    file_service_client::FileServiceClient,
};
use tonic::{Code, Status, Streaming};

use super::{
    super::{error_response, error_with},
    Token, client,
};
use crate::state::State;

/// Which bytes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    All,
    From { first: u64, last: Option<u64> },
    Last(u64),
}

/// Answers GET and HEAD of a file.
pub(super) async fn answer(
    state: &State,
    request: &Request<Incoming>,
    origin: &Origin,
    id: String,
) -> Result<Response<Body>, Status> {
    let headers = request.headers();
    let (files, token) = client(state, headers, origin, true).await?;
    let query = request.uri().query().unwrap_or_default();
    let variant = query.split('&').find_map(|pair| pair.strip_prefix("variant=")).unwrap_or_default().to_owned();
    let is_get = request.method() == Method::GET;
    let source = Source { files, token, file_id: id, variant, accept_url: is_get };
    let range = range_of(headers);
    let (header, body) = match source.open(range).await {
        Ok(opened) => opened,
        Err(refused) if refused.code() == Code::OutOfRange => return source.unsatisfiable().await,
        Err(refused) => return Err(refused),
    };
    if !header.url.is_empty() {
        return Ok(elsewhere(&header.url));
    }
    let version = Version::of(&header);
    let (header, body, range) = match range {
        // What the client holds a part of is something else by now: it gets all of it.
        Range::From { .. } | Range::Last(_) if !version.is_in_range(headers) => {
            let (header, body) = source.open(Range::All).await?;
            (header, body, Range::All)
        }
        range => (header, body, range),
    };
    let mut response = Response::new(Body::empty());
    describe(&mut response, &header, &version);
    if version.is_known(headers) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    if range != Range::All {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let end = (header.offset + header.length).saturating_sub(1);
        set(&mut response, header::CONTENT_RANGE, &format!("bytes {}-{end}/{}", header.offset, header.total_size));
    }
    set(&mut response, header::CONTENT_LENGTH, &header.length.to_string());
    if is_get {
        *response.body_mut() = streamed(body);
    }
    Ok(response)
}

/// Errors of files have statuses of their own where HTTP has better ones than their codes say.
pub(super) fn refusal(refused: &Status) -> Response<Body> {
    match errors::reason(refused).as_str() {
        "FILE_NOT_READY" => error_with(StatusCode::SERVICE_UNAVAILABLE, refused),
        "FILE_BROKEN" => error_with(StatusCode::GONE, refused),
        _ => error_response(refused),
    }
}

/// The bytes are to be had at the store, for a moment: nobody may keep the address.
fn elsewhere(url: &str) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
    set(&mut response, header::LOCATION, url);
    set(&mut response, header::CACHE_CONTROL, "no-store");
    set(&mut response, header::REFERRER_POLICY, "no-referrer");
    response
}

/// Which version of the bytes it is, as clients remember it.
struct Version {
    etag: String,
    at: SystemTime,
}

impl Version {
    fn of(header: &DownloadHeader) -> Self {
        let at = header.file.as_ref().and_then(|file| file.created_at).unwrap_or_default();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(at.seconds).unwrap_or(0));
        Self { etag: format!("\"{}\"", header.etag), at }
    }

    /// `If-None-Match`, or without it `If-Modified-Since` (RFC 9110 section 13.2.2).
    fn is_known(&self, headers: &HeaderMap) -> bool {
        if let Some(known) = headers.get(header::IF_NONE_MATCH) {
            let known = known.to_str().unwrap_or_default();
            return known == "*" || known.split(',').any(|known| known.trim().trim_start_matches("W/") == self.etag);
        }
        date(headers, header::IF_MODIFIED_SINCE).is_some_and(|since| self.at <= since)
    }

    /// Without `If-Range`, or when it names this very version: by its tag, or by its date.
    fn is_in_range(&self, headers: &HeaderMap) -> bool {
        match headers.get(header::IF_RANGE) {
            None => true,
            Some(known) if known.as_bytes().starts_with(b"\"") => known.as_bytes() == self.etag.as_bytes(),
            Some(_) => date(headers, header::IF_RANGE) == Some(self.at),
        }
    }
}

fn date(headers: &HeaderMap, name: header::HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// One file or thumbnail, as one caller may see it.
struct Source {
    files: FileServiceClient<Upstream>,
    token: Token,
    file_id: String,
    variant: String,
    /// An address to fetch the bytes from instead will do.
    accept_url: bool,
}

type Opened = (DownloadHeader, Streaming<DownloadFileResponse>);

impl Source {
    async fn open(&self, range: Range) -> Result<Opened, Status> {
        match range {
            Range::All => self.ask(0, None).await,
            Range::From { first, last } => self.ask(first, last.map(|last| last - first + 1)).await,
            Range::Last(count) => {
                let total = self.ask(0, Some(0)).await?.0.total_size;
                self.ask(total.saturating_sub(count), None).await
            }
        }
    }

    async fn ask(&self, offset: u64, length: Option<u64>) -> Result<Opened, Status> {
        let request = DownloadFileRequest {
            file_id: self.file_id.clone(),
            variant: self.variant.clone(),
            offset,
            length,
            accept_url: self.accept_url,
        };
        let mut stream = self.files.clone().download_file(self.token.with(request)).await?.into_inner();
        match stream.message().await? {
            Some(DownloadFileResponse { part: Some(Part::Header(header)) }) => Ok((header, stream)),
            _ => Err(errors::plain(Code::Internal, "INTERNAL", "file-svc answered without a header.")),
        }
    }

    /// 416, with the size that ranges must keep to.
    async fn unsatisfiable(&self) -> Result<Response<Body>, Status> {
        let (header, _) = self.ask(0, Some(0)).await?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
        set(&mut response, header::CONTENT_RANGE, &format!("bytes */{}", header.total_size));
        Ok(response)
    }
}

/// One range; several at once, or something that is none, counts as no range (RFC 9110 section 14.2).
fn range_of(headers: &HeaderMap) -> Range {
    let parse = || {
        let text = headers.get(header::RANGE)?.to_str().ok()?.strip_prefix("bytes=")?;
        let (first, last) = text.split_once('-')?;
        match (first.trim(), last.trim()) {
            ("", count) => count.parse().ok().filter(|count| *count > 0).map(Range::Last),
            (first, "") => Some(Range::From { first: first.parse().ok()?, last: None }),
            (first, last) => {
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                (first <= last).then_some(Range::From { first, last: Some(last) })
            }
        }
    };
    parse().unwrap_or(Range::All)
}

fn describe(response: &mut Response<Body>, header: &DownloadHeader, version: &Version) {
    set(response, header::CONTENT_TYPE, &header.content_type);
    set(response, header::CONTENT_DISPOSITION, &header.disposition);
    set(response, header::ETAG, &version.etag);
    set(response, header::LAST_MODIFIED, &httpdate::fmt_http_date(version.at));
    set(response, header::ACCEPT_RANGES, "bytes");
    set(response, header::CACHE_CONTROL, "private, max-age=31536000, immutable");
    set(response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(response, header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'");
    set(response, header::REFERRER_POLICY, "no-referrer");
    set(response, header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
}

/// The bytes as they come; the client's pace is the pace of the read.
fn streamed(body: Streaming<DownloadFileResponse>) -> Body {
    let frames = body.map_ok(|message| match message.part {
        Some(Part::Chunk(chunk)) => Frame::data(chunk),
        _ => Frame::data(Bytes::new()),
    });
    Body::new(StreamBody::new(frames.map_err(BoxError::from).boxed()))
}

fn set(response: &mut Response<Body>, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_understood_and_anything_else_is_no_range() {
        let range = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, text.parse().unwrap());
            range_of(&headers)
        };
        assert_eq!(range("bytes=0-9"), Range::From { first: 0, last: Some(9) });
        assert_eq!(range("bytes=5-"), Range::From { first: 5, last: None });
        assert_eq!(range("bytes=-7"), Range::Last(7));
        for other in ["bytes=9-5", "bytes=-0", "bytes=a-b", "bytes=0-1,3-4", "lines=0-1", "bytes=", "bytes=-"] {
            assert_eq!(range(other), Range::All, "{other}");
        }
    }
}
