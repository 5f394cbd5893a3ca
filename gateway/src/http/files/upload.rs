//! Uploads by tus 1.0. The gateway keeps nothing: where an upload stands is what file-svc has stored.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use mesh::{authn::Origin, errors, rpc::Body};
use proto::file::v1::{
    CancelUploadRequest, CreateUploadRequest, FileMetadata, GetUploadLimitsRequest, GetUploadRequest, Upload,
    UploadFileRequest, UploadHeader, get_upload_request,
    upload_file_request::Part,
    upload_header::{StreamChecksum, Target},
};
use tonic::{Code, Status};

use super::{super::error_with, client, client_for};
use crate::{limits::Class, state::State};

const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const EXTENSIONS: HeaderValue =
    HeaderValue::from_static("creation,creation-with-upload,checksum,expiration,termination");
const ALGORITHMS: HeaderValue = HeaderValue::from_static("sha1,sha256");
const OFFSET_STREAM: &str = "application/offset+octet-stream";
/// The largest chunk of an upload stream.
const CHUNK: usize = 256 * 1024;

/// What this server can do. How large a file may be is told to whoever is signed in.
pub(super) async fn options(state: &State, headers: &HeaderMap, origin: &Origin) -> Response<Body> {
    let limits = match client(state, headers, origin, true).await {
        Ok((mut files, token)) => {
            files.get_upload_limits(token.with(GetUploadLimitsRequest {})).await.ok().map(tonic::Response::into_inner)
        }
        Err(_) => None,
    };
    let mut response = empty(StatusCode::NO_CONTENT);
    let headers = response.headers_mut();
    headers.insert("tus-version", VERSION);
    headers.insert("tus-extension", EXTENSIONS);
    headers.insert("tus-checksum-algorithm", ALGORITHMS);
    if let Some(limits) = limits {
        headers.insert("tus-max-size", HeaderValue::from(limits.max_bytes));
    }
    response
}

/// Adds what every answer has, and gives errors the status that tus asks for.
pub(super) fn checked(result: Result<Response<Body>, Status>) -> Response<Body> {
    let mut response = result.unwrap_or_else(|refused| {
        let status = match errors::reason(&refused).as_str() {
            "OFFSET_MISMATCH" => StatusCode::CONFLICT,
            "UPLOAD_BUSY" => StatusCode::LOCKED,
            "FILE_TOO_LARGE" | "SIZE_EXCEEDED" | "USER_QUOTA_EXCEEDED" | "WORKSPACE_QUOTA_EXCEEDED" => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            "STREAM_CHECKSUM_MISMATCH" => checksum_mismatch(),
            "TUS_VERSION" => StatusCode::PRECONDITION_FAILED,
            "CONTENT_TYPE" | "TYPE_REFUSED" => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            _ => errors::http_status(refused.code()),
        };
        error_with(status, &refused)
    });
    response.headers_mut().insert("tus-resumable", VERSION);
    response
}

/// `POST /files`: opens an upload, and takes its first bytes if they come along.
pub(super) async fn create(
    state: &State,
    request: Request<Incoming>,
    origin: &Origin,
) -> Result<Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    check_version(&parts.headers)?;
    let create = decode_create(&parts.headers)?;
    let checksum = checksum(&parts.headers)?;
    let (mut files, token) = client_for(state, &parts.headers, origin, false, Some(Class::UPLOADS)).await?;
    let upload = files.create_upload(token.with(create)).await?.into_inner().upload.unwrap_or_default();
    let brings_bytes = parts.headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind == OFFSET_STREAM);
    let upload = if brings_bytes {
        let sent = files.upload_file(token.with(parts_of(upload.id, 0, checksum, body))).await?;
        sent.into_inner().upload.unwrap_or_default()
    } else {
        upload
    };
    let mut response = empty(StatusCode::CREATED);
    set(&mut response, "location", &format!("/files/{}", upload.id));
    describe(&mut response, &upload);
    Ok(response)
}

/// `PATCH /files/{id}`: takes bytes at an offset.
pub(super) async fn append(
    state: &State,
    request: Request<Incoming>,
    origin: &Origin,
    id: String,
) -> Result<Response<Body>, Status> {
    let (parts, body) = request.into_parts();
    check_version(&parts.headers)?;
    if parts.headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind != OFFSET_STREAM) {
        return Err(errors::plain(Code::InvalidArgument, "CONTENT_TYPE", format!("Send {OFFSET_STREAM}.")));
    }
    let offset = number(&parts.headers, "upload-offset")?.ok_or_else(|| invalid("Upload-Offset is missing."))?;
    let checksum = checksum(&parts.headers)?;
    let (mut files, token) = client(state, &parts.headers, origin, false).await?;
    let sent = files.upload_file(token.with(parts_of(id, offset, checksum, body))).await?;
    let mut response = empty(StatusCode::NO_CONTENT);
    describe(&mut response, &sent.into_inner().upload.unwrap_or_default());
    Ok(response)
}

/// `HEAD /files/{id}` with `Tus-Resumable`: the offset to go on from.
pub(super) async fn offset(
    state: &State,
    headers: &HeaderMap,
    origin: &Origin,
    id: String,
) -> Result<Response<Body>, Status> {
    check_version(headers)?;
    let (mut files, token) = client(state, headers, origin, true).await?;
    let asked = GetUploadRequest { target: Some(get_upload_request::Target::UploadId(id)) };
    let upload = files.get_upload(token.with(asked)).await?.into_inner().upload.unwrap_or_default();
    let mut response = empty(StatusCode::OK);
    describe(&mut response, &upload);
    set(&mut response, "cache-control", "no-store");
    Ok(response)
}

/// `DELETE /files/{id}`: gives an upload up.
pub(super) async fn cancel(
    state: &State,
    headers: &HeaderMap,
    origin: &Origin,
    id: String,
) -> Result<Response<Body>, Status> {
    check_version(headers)?;
    let (mut files, token) = client(state, headers, origin, false).await?;
    files.cancel_upload(token.with(CancelUploadRequest { upload_id: id })).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn check_version(headers: &HeaderMap) -> Result<(), Status> {
    if headers.get("tus-resumable") == Some(&VERSION) {
        return Ok(());
    }
    Err(errors::plain(Code::FailedPrecondition, "TUS_VERSION", "Send the header Tus-Resumable: 1.0.0."))
}

fn decode_create(headers: &HeaderMap) -> Result<CreateUploadRequest, Status> {
    let size = number(headers, "upload-length")?.ok_or_else(|| invalid("Upload-Length is missing."))?;
    let metadata = headers.get("upload-metadata").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut create = CreateUploadRequest { size: Some(size), ..CreateUploadRequest::default() };
    let mut file = FileMetadata::default();
    for (key, value) in pairs(metadata)? {
        match key {
            "filename" | "name" => file.name = value,
            "filetype" | "type" => file.content_type = value,
            "room_id" => create.room_id = value,
            "op_id" => create.op_id = value,
            other => {
                file.attributes.insert(other.to_owned(), value);
            }
        }
    }
    if create.op_id.is_empty() {
        create.op_id = mesh::ids::new_id().to_string();
    }
    // Without a name the metadata half follows by PutMetadata.
    create.metadata = (!file.name.is_empty()).then_some(file);
    Ok(create)
}

/// `Upload-Metadata`: pairs by comma, of a key and a value in base64.
fn pairs(text: &str) -> Result<Vec<(&str, String)>, Status> {
    let one = |pair: &'_ str| -> Result<String, Status> {
        let value = pair.split_once(' ').map_or("", |(_, value)| value.trim());
        let bytes =
            BASE64_STANDARD.decode(value).map_err(|_| invalid("Upload-Metadata has a value that is not base64."))?;
        String::from_utf8(bytes).map_err(|_| invalid("Upload-Metadata has a value that is not UTF-8."))
    };
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(|entry| Ok((entry.split(' ').next().unwrap_or_default(), one(entry)?))).collect()
}

/// `Upload-Checksum`: what the bytes of this request hash to.
fn checksum(headers: &HeaderMap) -> Result<Option<StreamChecksum>, Status> {
    let Some(value) = headers.get("upload-checksum") else {
        return Ok(None);
    };
    let wrong = || invalid("Upload-Checksum must be sha1 or sha256, a space, and the checksum in base64.");
    let (algorithm, digest) = value.to_str().ok().and_then(|text| text.split_once(' ')).ok_or_else(wrong)?;
    let digest: Bytes = BASE64_STANDARD.decode(digest.trim()).map_err(|_| wrong())?.into();
    match (algorithm, digest.len()) {
        ("sha1", 20) => Ok(Some(StreamChecksum::StreamSha1(digest))),
        ("sha256", 32) => Ok(Some(StreamChecksum::StreamSha256(digest))),
        _ => Err(wrong()),
    }
}

/// The status that tus has for it.
fn checksum_mismatch() -> StatusCode {
    StatusCode::from_u16(460).unwrap_or(StatusCode::BAD_REQUEST)
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Status> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| invalid(&format!("{name} is not a number.")))
}

fn invalid(text: &str) -> Status {
    errors::plain(Code::InvalidArgument, "INVALID_REQUEST", text)
}

/// The upload stream: a header, then the body in chunks. A body that breaks off ends the stream: what has come is kept.
fn parts_of(
    upload_id: String,
    offset: u64,
    stream_checksum: Option<StreamChecksum>,
    body: Incoming,
) -> impl Stream<Item = UploadFileRequest> + Send + 'static {
    let target = Some(Target::UploadId(upload_id));
    let header = UploadHeader { target, offset, last: false, sha256: Bytes::new(), stream_checksum };
    let first = stream::once(async { UploadFileRequest { part: Some(Part::Header(header)) } });
    let chunks = body.into_data_stream().take_while(|chunk| futures::future::ready(chunk.is_ok())).flat_map(|chunk| {
        let mut rest = chunk.unwrap_or_default();
        let pieces = std::iter::from_fn(move || (!rest.is_empty()).then(|| rest.split_to(rest.len().min(CHUNK))));
        stream::iter(pieces.map(|piece| UploadFileRequest { part: Some(Part::Chunk(piece)) }).collect::<Vec<_>>())
    });
    first.chain(chunks)
}

/// Tells where the upload stands, and what became of it when it is complete.
fn describe(response: &mut Response<Body>, upload: &Upload) {
    set(response, "upload-offset", &upload.offset.to_string());
    if let Some(size) = upload.size {
        set(response, "upload-length", &size.to_string());
    }
    if let Some(at) = upload.expires_at.filter(|_| !upload.bytes_received) {
        let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::try_from(at.seconds).unwrap_or(0));
        set(response, "upload-expires", &httpdate::fmt_http_date(at));
    }
    if let Some(file) = &upload.file {
        set(response, "loquat-file-id", &file.id);
        set(response, "loquat-file-reference", &file.reference);
    }
}

fn set(response: &mut Response<Body>, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read_as_tus_writes_it() {
        let read = pairs("filename d29ybGQ=, room_id  cm9vbQ==,flag").unwrap();
        assert_eq!(read, [("filename", "world".into()), ("room_id", "room".into()), ("flag", String::new())]);
        assert!(pairs("filename ???").is_err());
    }

    #[test]
    fn a_checksum_names_an_algorithm_that_is_known() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("upload-checksum", text.parse().unwrap());
            checksum(&headers)
        };
        assert!(matches!(read("sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0="), Ok(Some(StreamChecksum::StreamSha1(_)))));
        for wrong in ["sha1", "sha1 ???", "md5 Kq5sNclPz7QV2+lfQIuc6R7oRu0=", "sha256 Kq5sNclPz7QV2+lfQIuc6R7oRu0="] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_upload_needs_its_length() {
        assert!(decode_create(&HeaderMap::new()).is_err());
        let mut headers = HeaderMap::new();
        headers.insert("upload-length", "x".parse().unwrap());
        assert!(decode_create(&headers).is_err());
        headers.insert("upload-length", "12".parse().unwrap());
        let create = decode_create(&headers).unwrap();
        assert_eq!(create.size, Some(12));
        assert!(create.metadata.is_none(), "a nameless upload waits for its metadata");
    }
}
