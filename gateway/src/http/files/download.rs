//! Downloads: ranges, conditions, and headers that keep hostile files harmless.

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use mesh::{
    errors,
    rpc::{Body, BoxError, Upstream},
};
use proto::file::v1::{
    DownloadFileRequest, DownloadFileResponse, DownloadHeader, download_file_response::Part,
    file_service_client::FileServiceClient,
};
use tonic::{Code, Status, Streaming};

use super::{Token, client};
use crate::state::State;

/// What a browser may show in place; everything else is only saved.
const INLINE: [&str; 13] = [
    "image/png",
    "image/jpeg",
    "image/gif",
    "image/webp",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "audio/x-wav",
    "audio/mp4",
    "video/mp4",
    "video/webm",
    "video/ogg",
    "audio/webm",
];

/// Which bytes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    All,
    From { first: u64, last: Option<u64> },
    Last(u64),
}

/// Answers GET and HEAD of a file.
pub(super) async fn answer(state: &State, request: &Request<Incoming>, id: String) -> Result<Response<Body>, Status> {
    let headers = request.headers();
    let (files, token) = client(state, headers, true).await?;
    let query = request.uri().query().unwrap_or_default();
    let variant = query.split('&').find_map(|pair| pair.strip_prefix("variant=")).unwrap_or_default().to_owned();
    let source = Source { files, token, file_id: id, variant };
    let range = range_of(headers);
    let (header, body) = match source.open(range).await {
        Ok(opened) => opened,
        Err(refused) if refused.code() == Code::OutOfRange => return source.unsatisfiable().await,
        Err(refused) => return Err(refused),
    };
    let etag = format!("\"{}\"", header.etag);
    let changed = headers.get(header::IF_RANGE).is_some_and(|known| known.as_bytes() != etag.as_bytes());
    let (header, body, range) = match range {
        Range::All => (header, body, range),
        // What the client holds a part of is something else by now: it gets all of it.
        _ if changed => {
            let (header, body) = source.open(Range::All).await?;
            (header, body, Range::All)
        }
        _ => (header, body, range),
    };
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok()).unwrap_or_default();
    let mut response = Response::new(Body::empty());
    describe(&mut response, &header, &etag);
    if known == "*" || known.split(',').any(|known| known.trim().trim_start_matches("W/") == etag) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(response);
    }
    if range != Range::All {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let end = (header.offset + header.length).saturating_sub(1);
        set(&mut response, header::CONTENT_RANGE, &format!("bytes {}-{end}/{}", header.offset, header.total_size));
    }
    set(&mut response, header::CONTENT_LENGTH, &header.length.to_string());
    if request.method() != Method::HEAD {
        *response.body_mut() = streamed(body);
    }
    Ok(response)
}

/// One file or thumbnail, as one caller may see it.
struct Source {
    files: FileServiceClient<Upstream>,
    token: Token,
    file_id: String,
    variant: String,
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
        let request =
            DownloadFileRequest { file_id: self.file_id.clone(), variant: self.variant.clone(), offset, length };
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

fn describe(response: &mut Response<Body>, header: &DownloadHeader, etag: &str) {
    let name = header.file.as_ref().map_or("file", |file| file.name.as_str());
    let kind = if INLINE.contains(&header.content_type.as_str()) { "inline" } else { "attachment" };
    set(response, header::CONTENT_TYPE, &header.content_type);
    set(response, header::CONTENT_DISPOSITION, &disposition(kind, name));
    set(response, header::ETAG, etag);
    set(response, header::ACCEPT_RANGES, "bytes");
    set(response, header::CACHE_CONTROL, "private, max-age=31536000, immutable");
    set(response, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(response, header::CONTENT_SECURITY_POLICY, "sandbox; default-src 'none'");
    set(response, header::REFERRER_POLICY, "no-referrer");
    set(response, header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin");
}

/// `Content-Disposition` after RFC 6266: a plain name for old clients, the whole one percent-encoded (RFC 8187).
fn disposition(kind: &str, name: &str) -> String {
    let plain: String = name
        .chars()
        .map(
            |letter| {
                if letter.is_ascii_graphic() && !"\"\\%;".contains(letter) || letter == ' ' { letter } else { '_' }
            },
        )
        .collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
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

    #[test]
    fn odd_names_survive_and_cannot_break_out_of_the_header() {
        for name in ["a\"b.txt", "naïve – file.png", "x\r\nSet-Cookie: a=b", "100%;.gif", "日本語.pdf", "\\"] {
            let text = disposition("attachment", name);
            assert!(HeaderValue::from_str(&text).is_ok(), "{name}");
            let encoded = text.rsplit("''").next().unwrap();
            let mut bytes = Vec::new();
            let mut rest = encoded.bytes();
            while let Some(byte) = rest.next() {
                if byte == b'%' {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
                } else {
                    bytes.push(byte);
                }
            }
            assert_eq!(String::from_utf8(bytes).unwrap(), name);
        }
    }

    #[test]
    fn scripts_are_never_shown_in_place() {
        for kind in ["text/html", "image/svg+xml", "application/pdf", "application/xhtml+xml", "text/javascript"] {
            assert!(!INLINE.contains(&kind), "{kind}");
        }
    }
}
