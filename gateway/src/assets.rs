//! The web app, embedded into the binary.

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use mesh::rpc::Body;

use crate::http::{full, text};

/// What a page may load and who may frame it. Styles may be set by scripts (positions of menus); scripts come from us only.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; \
     media-src 'self' blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; \
     frame-ancestors 'none'";

#[derive(rust_embed::RustEmbed)]
#[folder = "../web/dist"]
#[allow_missing = true]
struct Dist;

/// Answers GET and HEAD of the app's own addresses. An address without an extension is one that the app knows itself.
pub(crate) fn answer(request: &Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().trim_start_matches('/');
    let known = Dist::get(path).filter(|_| !path.is_empty()).map(|file| (path, file));
    let is_page = !path.rsplit('/').next().is_some_and(|name| name.contains('.'));
    let found = known.or_else(|| Dist::get("index.html").filter(|_| is_page).map(|file| ("index.html", file)));
    match found {
        Some((path, file)) => respond(request, path, file),
        None if is_page => text(
            StatusCode::NOT_FOUND,
            "The web app is not part of this build. Build it with `make web` and start again, or use `make run`.\n",
        ),
        None => text(StatusCode::NOT_FOUND, "There is nothing at this address.\n"),
    }
}

fn respond(request: &Request<Incoming>, path: &str, file: rust_embed::EmbeddedFile) -> Response<Body> {
    let etag = format!("\"{}\"", hex(&file.metadata.sha256_hash()[..16]));
    let mut response = Response::new(Body::empty());
    let headers = response.headers_mut();
    let mut set = |name: header::HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    // Names in assets/ change with their content.
    let forever = path.starts_with("assets/");
    set(header::CACHE_CONTROL, if forever { "public, max-age=31536000, immutable" } else { "no-cache" });
    set(header::ETAG, &etag);
    set(header::CONTENT_TYPE, file.metadata.mimetype());
    set(header::CONTENT_SECURITY_POLICY, POLICY);
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::REFERRER_POLICY, "no-referrer");
    let same = request.headers().get(header::IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == etag.as_bytes());
    if same {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    } else if request.method() != Method::HEAD {
        *response.body_mut() = full(file.data.into_owned());
    }
    response
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
