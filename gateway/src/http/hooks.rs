//! `POST /hooks/{id}/{secret}`: where other programs post into a room, with nothing but the address. JSON, or a form with JSON in
//! `payload`, as programs send it that know hooks of another make.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use mesh::{errors, rpc::Body};
use proto::chat::internal::v1::{PostFromWebhookRequest, webhook_post_service_client::WebhookPostServiceClient};
use serde_json::{Map, Value, json};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{error_document, error_from, json as answer_json};
use crate::state::State;

/// Where they are.
pub(crate) const PREFIX: &str = "/hooks/";
/// The largest request: what a text of the largest size may take as JSON in a form, and what is not looked at beside it.
const MAX_BODY_BYTES: usize = 256 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";

/// Answers `/hooks/{id}/{secret}`.
pub(crate) async fn answer(state: &State, request: Request<Incoming>) -> Response<Body> {
    match post(state, request).await {
        Ok(answer) => answer_json(StatusCode::OK, &answer),
        Err(refused) => refusal(&refused),
    }
}

async fn post(state: &State, request: Request<Incoming>) -> Result<Value, Status> {
    let (parts, body) = request.into_parts();
    let rest = parts.uri.path().strip_prefix(PREFIX).unwrap_or_default();
    let (webhook_id, secret) = rest.split_once('/').unwrap_or((rest, ""));
    if parts.method != Method::POST {
        return Err(errors::plain(Code::Unimplemented, "METHOD_NOT_ALLOWED", "Use POST."));
    }
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_form = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(FORM));
    let document = document(&collect(body).await?, is_form)?;
    let text = |names: &[&'static str]| text(&document, names);
    let request = PostFromWebhookRequest {
        webhook_id: webhook_id.to_owned(),
        secret: secret.to_owned(),
        text: text(&["text"])?,
        name: text(&["name", "username"])?,
        op_id: text(&["op_id"])?,
    };
    // By the gateway itself, which has no other right than to bring what comes in.
    let posted = WebhookPostServiceClient::new(state.chat.clone()).post_from_webhook(request).await?.into_inner();
    Ok(json!({"message_id": posted.message_id, "seq": posted.seq}))
}

async fn collect(body: Incoming) -> Result<Bytes, Status> {
    match Limited::new(body, MAX_BODY_BYTES).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(cause) if cause.is::<LengthLimitError>() => {
            let text = format!("The request has more than {MAX_BODY_BYTES} bytes.");
            Err(errors::plain(Code::InvalidArgument, "REQUEST_TOO_LARGE", text))
        }
        Err(cause) => Err(wrong("", &format!("The body cannot be read: {cause}."))),
    }
}

/// The JSON of a request. What it says besides is passed over: programs send what hooks of another make understand.
fn document(body: &[u8], is_form: bool) -> Result<Map<String, Value>, Status> {
    // Some send JSON and say that it is a form.
    let json = match is_form && body.trim_ascii_start().first() != Some(&b'{') {
        true => {
            let payload = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload");
            let missing = || wrong("payload", "A form must have JSON in the field payload.");
            payload.ok_or_else(missing)?.1.into_owned().into_bytes()
        }
        false => body.to_vec(),
    };
    match serde_json::from_slice(&json) {
        Ok(Value::Object(document)) => Ok(document),
        Ok(_) => Err(wrong("", "The body must be a JSON object such as {\"text\": \"hello\"}.")),
        Err(cause) => Err(wrong("", &format!("The body is not JSON: {cause}."))),
    }
}

/// The first of these members that is there; empty when none is.
fn text(document: &Map<String, Value>, names: &[&'static str]) -> Result<String, Status> {
    for name in names {
        match document.get(*name) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => return Ok(text.clone()),
            Some(_) => return Err(wrong(name, &format!("{name} must be a text."))),
        }
    }
    Ok(String::new())
}

fn wrong(field: &str, text: &str) -> Status {
    let mut details =
        ErrorDetails::with_error_info("INVALID_REQUEST", errors::DOMAIN, std::collections::HashMap::new());
    if !field.is_empty() {
        details.add_bad_request_violation(field, text);
    }
    Status::with_error_details(Code::InvalidArgument, text, details)
}

/// A refusal, with the first field that is wrong beside what all of them tell.
fn refusal(status: &Status) -> Response<Body> {
    let mut document = error_document(status);
    document["field"] = document["violations"][0]["field"].as_str().unwrap_or_default().into();
    let reason = errors::reason(status);
    let http = match reason.as_str() {
        "TEXT_TOO_LONG" | "REQUEST_TOO_LARGE" => StatusCode::PAYLOAD_TOO_LARGE,
        "METHOD_NOT_ALLOWED" => StatusCode::METHOD_NOT_ALLOWED,
        _ => errors::http_status(status.code()),
    };
    let mut response = error_from(http, status, &document);
    if http == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str, is_form: bool) -> Result<String, String> {
        let read = document(body.as_bytes(), is_form).and_then(|document| text(&document, &["name", "username"]));
        read.map_err(|refused| {
            refused.get_details_bad_request().map(|bad| bad.field_violations[0].field.clone()).unwrap_or_default()
        })
    }

    #[test]
    fn json_is_read_as_itself_and_from_a_form() {
        assert_eq!(said(r#"{"name": "a", "username": "b", "icon_emoji": ":x:"}"#, false).unwrap(), "a");
        assert_eq!(said(r#"{"username": "b", "name": null}"#, false).unwrap(), "b");
        assert_eq!(said("payload=%7B%22username%22%3A%22build+%26+test%22%7D", true).unwrap(), "build & test");
        assert_eq!(said(r#" {"name": "a"}"#, true).unwrap(), "a", "a form that is none");
        assert_eq!(said(r#"{"text": "only"}"#, false).unwrap(), "");
        assert_eq!(said("text=hello", true).unwrap_err(), "payload");
        assert_eq!(said(r#"{"name": 1}"#, false).unwrap_err(), "name");
        assert_eq!(said("[]", false).unwrap_err(), "");
        assert_eq!(said("hello", false).unwrap_err(), "");
    }
}
