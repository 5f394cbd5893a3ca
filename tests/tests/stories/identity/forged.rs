//! Tokens that are none, or no longer, or somebody else's: each of its own class, from a source that says why it matters, and
//! refused for a reason of its own. Most are signed with the server's own key, so that what refuses them is what they say.

use std::collections::BTreeSet;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use ed25519_dalek::{Signer as _, SigningKey};
use futures::{SinkExt as _, StreamExt as _};
use hmac::{Hmac, Mac as _};
use prost::Message as _;
use proto::{
    auth::v1::{GetMeRequest, user_service_client::UserServiceClient},
    chat::v1::{ListRoomsRequest, room_service_client::RoomServiceClient},
    edge::v1::{ClientFrame, Hello, client_frame},
};
use serde_json::{Value, json};
use server::config::Role;
use sha2::Sha256;
use tests::{
    Forge, Person, Shape, Town,
    files::http,
    socket::{Closed, Socket},
    town, within,
};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tonic::{Code, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

use super::wire;

/// A good token's parts, and the key it was signed with.
struct Good {
    key: SigningKey,
    header: Value,
    claims: Value,
    personal_token: String,
}

impl Good {
    fn sign(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", BASE64.encode(header), BASE64.encode(claims));
        let signature = BASE64.encode(self.key.sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    }

    fn header(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut header = self.header.clone();
        change(&mut header);
        self.sign(&header.to_string(), &self.claims.to_string())
    }

    fn claims(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.claims.clone();
        change(&mut claims);
        self.sign(&self.header.to_string(), &claims.to_string())
    }

    fn claim(&self, name: &str, value: Value) -> String {
        self.claims(|claims| claims[name] = value)
    }

    fn without(&self, name: &str) -> String {
        self.claims(|claims| _ = claims.as_object_mut().unwrap().remove(name))
    }

    fn good(&self) -> String {
        self.claims(|_| {})
    }
}

/// A class of forgery, where it is known from, the token, and the reason for which it is refused.
type Row = (&'static str, &'static str, String, String);

const RFC7519: &str = "RFC 7519 section 4.1";
const RFC8725: &str = "RFC 8725 section 3";
const RFC9068: &str = "RFC 9068 section 4";

fn row(class: &'static str, source: &'static str, token: String, reason: impl Into<String>) -> Row {
    (class, source, token, reason.into())
}

fn shape(good: &Good) -> Vec<Row> {
    let token = good.good();
    let parts: Vec<&str> = token.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let rfc7515 = "RFC 7515 section 7.1";
    vec![
        row("nothing", rfc7515, String::new(), "it is empty"),
        row("nine thousand bytes", "CWE-400", "x".repeat(9000), "it is longer than 8 KiB"),
        row("one part", rfc7515, "nonsense".into(), "it has 1 parts instead of 3"),
        row("no signature part", rfc7515, format!("{header}.{claims}"), "it has 2 parts instead of 3"),
        row("a part too many", rfc7515, format!("{token}.x"), "it has 4 parts instead of 3"),
        row("an encrypted token", "RFC 7516 section 7.1", format!("{token}.x.y"), "it has 5 parts instead of 3"),
        row("an empty signature", "CVE-2015-9235", format!("{header}.{claims}."), "it is not signed"),
        row(
            "padding",
            "RFC 7515 section 2",
            format!("{header}.{claims}.{signature}=="),
            "the signature is not base64url without padding",
        ),
        row(
            "a cut signature",
            "RFC 8032 section 5.1.7",
            format!("{header}.{claims}.{}", BASE64.encode([7; 63])),
            "the signature has 63 bytes instead of 64",
        ),
        row(
            "a signature of zeros",
            "CVE-2022-21449",
            format!("{header}.{claims}.{}", BASE64.encode([0; 64])),
            "the signature is wrong",
        ),
        row(
            "a header that is text",
            RFC8725,
            good.sign("x", &good.claims.to_string()),
            "the header is not a JSON object",
        ),
        row(
            "claims that are a list",
            RFC7519,
            good.sign(&good.header.to_string(), "[]"),
            "the claims is not a JSON object",
        ),
        row(
            "a header in no base64",
            "RFC 7515 section 5.2",
            format!("!!.{claims}.{signature}"),
            "the header is not base64url without padding",
        ),
    ]
}

fn header(good: &Good) -> Vec<Row> {
    let set = |name: &'static str, value: Value| good.header(|header| header[name] = value);
    let without = |name: &'static str| good.header(|header| _ = header.as_object_mut().unwrap().remove(name));
    let not_known = |name: &str| format!("the header has {name}, which is not known here");
    let duplicate = good.header.to_string().replacen('{', r#"{"alg":"EdDSA","#, 1);
    vec![
        row("no algorithm", RFC8725, without("alg"), "the header has no alg"),
        row("none", "CVE-2015-9235", set("alg", json!("none")), r#"the algorithm is "none" instead of EdDSA"#),
        row("None", "CVE-2020-28042", set("alg", json!("None")), r#"the algorithm is "None" instead of EdDSA"#),
        row(
            "the public key as an HMAC's",
            "CVE-2016-5431",
            confused(good),
            r#"the algorithm is "HS256" instead of EdDSA"#,
        ),
        row("another family", RFC8725, set("alg", json!("RS256")), r#"the algorithm is "RS256" instead of EdDSA"#),
        row("an algorithm that is a list", RFC8725, set("alg", json!(["EdDSA"])), "the header's alg is not a text"),
        row(
            "an algorithm twice",
            "RFC 7515 section 4",
            good.sign(&duplicate, &good.claims.to_string()),
            "the header names something twice",
        ),
        row("no key", RFC8725, without("kid"), "the header has no kid"),
        row(
            "a key as a path",
            "CVE-2018-0114",
            set("kid", json!("../../dev/null")),
            r#"the kid "../../dev/null" is not a key's name"#,
        ),
        row("a key as SQL", "CWE-89", set("kid", json!("' OR 1=1 --")), r#"the kid "' OR 1=1 --" is not a key's name"#),
        row(
            "a key as an address",
            "CWE-918",
            set("kid", json!("http://127.0.0.1/key")),
            r#"the kid "http://127.0.0.1/key" is not a key's name"#,
        ),
        row("a key that is a number", RFC8725, set("kid", json!(7)), "the header's kid is not a text"),
        row("a key nobody has", RFC8725, set("kid", json!("0123456789abcdef")), "the key is not known"),
        row("no type", RFC9068, without("typ"), "the header has no typ"),
        row("an identity token", RFC9068, set("typ", json!("JWT")), r#"the type is "JWT" instead of at+jwt"#),
        row("a key in the token", "CVE-2018-0114", set("jwk", json!({"kty": "OKP"})), not_known("jwk")),
        row("an address of keys", "CWE-918", set("jku", json!("https://evil.test/keys")), not_known("jku")),
        row("a certificate", RFC8725, set("x5c", json!(["MII"])), not_known("x5c")),
        row("an address of certificates", RFC8725, set("x5u", json!("https://evil.test/c")), not_known("x5u")),
        row("a critical extension", "CVE-2025-59420", set("crit", json!(["exp"])), not_known("crit")),
        row("compressed claims", "CWE-409", set("zip", json!("DEF")), not_known("zip")),
        row("bytes as they are", "RFC 7797 section 6", set("b64", json!(false)), not_known("b64")),
    ]
}

/// Signed with HMAC, with the public key, which everybody can have, as the secret.
fn confused(good: &Good) -> String {
    let header = json!({"alg": "HS256", "typ": "at+jwt", "kid": good.header["kid"]});
    let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(good.claims.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(good.key.verifying_key().as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

fn claims(good: &Good) -> Vec<Row> {
    let now = good.claims["iat"].as_i64().unwrap();
    let duplicate = good.claims.to_string().replacen('{', r#"{"sub":"x","#, 1);
    let long = |life: i64| {
        good.claims(|claims| {
            claims["iat"] = json!(now);
            claims["exp"] = json!(now + life);
        })
    };
    vec![
        row("no issuer", RFC7519, good.without("iss"), "iss is missing"),
        row(
            "another issuer",
            RFC9068,
            good.claim("iss", json!("https://evil.test")),
            r#"the issuer is "https://evil.test""#,
        ),
        row("an issuer in a list", "CVE-2025-30144", good.claim("iss", json!(["loquat"])), "iss is not a text"),
        row("no audience", RFC7519, good.without("aud"), "aud is missing"),
        row("another audience", RFC9068, good.claim("aud", json!("elsewhere")), r#"the audience is "elsewhere""#),
        row("an audience among others", RFC8725, good.claim("aud", json!(["loquat", "x"])), "aud is not a text"),
        row("no subject", RFC7519, good.without("sub"), "sub is missing"),
        row("a subject that is a name", RFC9068, good.claim("sub", json!("root")), "sub is not an id"),
        row(
            "a subject twice",
            RFC7519,
            good.sign(&good.header.to_string(), &duplicate),
            "the claims names something twice",
        ),
        row("no session", "OWASP ASVS 7.2", good.without("sid"), "sid is missing"),
        row(
            "the session of nobody",
            "OWASP ASVS 7.2",
            good.claim("sid", json!("00000000-0000-0000-0000-000000000000")),
            "sid is not an id",
        ),
        row("no id", RFC9068, good.without("jti"), "jti is missing"),
        row("no role", "OWASP ASVS 8.2", good.without("role"), "role is missing"),
        row("a role that nobody has", "OWASP ASVS 8.2", good.claim("role", json!("root")), r#"the role is "root""#),
        row("scopes in a list", RFC9068, good.claim("scope", json!(["admin:write"])), "scope is not a text"),
        row("no end", RFC7519, good.without("exp"), "exp is missing"),
        row("an end in words", "CVE-2026-25537", good.claim("exp", json!("never")), "exp is not a number"),
        row(
            "an end in parts of seconds",
            RFC7519,
            good.claim("exp", json!(1e300)),
            "exp is not a whole number of seconds",
        ),
        row("no beginning", RFC9068, good.without("iat"), "iat is missing"),
        row("a beginning in words", "CVE-2026-25537", good.claim("iat", json!("now")), "iat is not a number"),
        row(
            "before its time",
            RFC7519,
            good.claims(|claims| {
                claims["iat"] = json!(now + 3600);
                claims["exp"] = json!(now + 4000);
            }),
            "it is from the future",
        ),
        row("for years", RFC8725, long(86_400 * 365), "it lives longer than access tokens do, or not at all"),
        row("an epoch below none", "OWASP ASVS 7.4", good.claim("epoch", json!(-1)), "epoch is not a count"),
        row("not before", "CVE-2026-25537", good.claim("nbf", json!("later")), "the claim nbf is not known here"),
        row(
            "over",
            RFC7519,
            good.claims(|claims| {
                claims["iat"] = json!(now - 1200);
                claims["exp"] = json!(now - 700);
            }),
            "TOKEN_EXPIRED",
        ),
    ]
}

fn others(good: &Good) -> Vec<Row> {
    let guessed = good.personal_token.clone();
    vec![row("a personal token that is guessed", "OWASP ASVS 6.5", guessed, "TOKEN_INVALID")]
}

/// A call with an `authorization` header.
fn authorized<T>(message: T, authorization: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", authorization.parse().unwrap());
    request
}

async fn get_me(channel: Channel, authorization: &str) -> Result<(), Status> {
    UserServiceClient::new(channel).get_me(authorized(GetMeRequest {}, authorization)).await.map(drop)
}

async fn list_rooms(channel: Channel, authorization: &str) -> Result<(), Status> {
    let request = authorized(ListRoomsRequest::default(), authorization);
    RoomServiceClient::new(channel).list_rooms(request).await.map(drop)
}

/// What a refusal says: the flaw of the token, or the reason where no more is told.
fn told(refused: &Status) -> String {
    let info = refused.get_details_error_info().unwrap();
    info.metadata.get("flaw").cloned().unwrap_or(info.reason)
}

/// A server whose roles are apart, a good token of somebody's there, and every forgery of it.
async fn forged() -> (Town, Person, Good, Vec<Row>) {
    let town = Town::start(Shape::Split).await;
    let alice = town.registers("alice").await;
    let forge = Forge::of(&town);
    let decode = |part: &str| serde_json::from_slice::<Value>(&BASE64.decode(part).unwrap()).unwrap();
    let parts: Vec<&str> = alice.token.split('.').collect();
    let good = Good {
        key: forge.key().clone(),
        header: decode(parts[0]),
        claims: decode(parts[1]),
        personal_token: format!("loquat_pat_{}", "A".repeat(64)),
    };
    let rows = [shape(&good), header(&good), claims(&good), others(&good)].concat();
    (town, alice, good, rows)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_are_refused_each_for_its_own_reason() {
    let (town, alice, good, rows) = forged().await;
    get_me(town.channel(), &format!("Bearer {}", good.good())).await.expect("the forge makes good tokens");
    assert!(rows.len() >= 40, "{}", rows.len());
    let classes: BTreeSet<&str> = rows.iter().map(|(class, ..)| *class).collect();
    let reasons: BTreeSet<&str> = rows.iter().map(|(.., reason)| reason.as_str()).collect();
    assert_eq!((classes.len(), reasons.len()), (rows.len(), rows.len()), "no two are the same");
    for (class, source, token, reason) in &rows {
        let refused = get_me(town.channel(), &format!("Bearer {token}")).await.expect_err(class);
        assert_eq!(refused.code(), Code::Unauthenticated, "{class} ({source})");
        assert_eq!(told(&refused), *reason, "{class} ({source})");
    }
    println!("{} forged tokens refused", rows.len());
    let schemes = [
        ("Basic YWxpY2U6eA==", "the scheme of the authorization header is not Bearer"),
        ("Bearer", "the authorization header has no scheme"),
    ];
    for (header, reason) in schemes {
        assert_eq!(told(&get_me(town.channel(), header).await.unwrap_err()), reason);
    }
    let mut twice = Request::new(GetMeRequest {});
    for token in [&good.good(), &alice.token] {
        twice.metadata_mut().append("authorization", format!("Bearer {token}").parse().unwrap());
    }
    let refused = UserServiceClient::new(town.channel()).get_me(twice).await.unwrap_err();
    assert_eq!(told(&refused), "there are several authorization headers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forged_tokens_open_no_other_door() {
    let (town, _, good, rows) = forged().await;
    let (auth, chat) = (town.service(Role::Auth), town.service(Role::Chat));
    let bearer = format!("Bearer {}", good.good());
    get_me(town::channel(auth), &bearer).await.expect("the forge makes good tokens");
    list_rooms(town::channel(chat), &bearer).await.expect("and good ones for every service");
    Socket::connect(town.public, &[("authorization", &bearer)]).await.expect("and for sockets");
    let file = format!("/files/{}", tests::op_id());
    for (class, source, token, reason) in &rows {
        let bearer = format!("Bearer {token}");
        // Past the gateway a program's own token is one like any other that is none.
        let reason = if reason == "TOKEN_INVALID" { "it has 1 parts instead of 3" } else { reason.as_str() };
        for refused in [get_me(town::channel(auth), &bearer).await, list_rooms(town::channel(chat), &bearer).await] {
            let refused = refused.expect_err(class);
            assert_eq!(
                (refused.code(), told(&refused).as_str()),
                (Code::Unauthenticated, reason),
                "{class} ({source})"
            );
        }
        let upgrade = Socket::connect(town.public, &[("authorization", &bearer)]).await.err();
        assert!(
            matches!(upgrade, Some(tungstenite::Error::Http(answer)) if answer.status() == 401),
            "an upgrade with {class} ({source})"
        );
        let mut socket = Socket::connect(town.public, &[]).await.unwrap();
        socket.send(client_frame::Frame::Hello(Hello { access_token: token.clone() })).await;
        assert_eq!(socket.next().await.unwrap_err(), Closed { code: 4401 }, "a first frame with {class} ({source})");
        let download = http::Request::builder().header("authorization", &bearer);
        let answer = http(town.public, download, &file, "").await;
        assert_eq!(answer.status().as_u16(), 401, "a download with {class} ({source})");
    }
}

const MEGABYTE: usize = 1024 * 1024;

/// What a server says on a socket whose first frame, of which it need not take all, has this token.
async fn hello(town: &Town, access_token: String) -> Vec<Message> {
    let stream = TcpStream::connect(town.public).await.unwrap();
    let url = format!("ws://{}/ws", town.public);
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let frame = ClientFrame { frame: Some(client_frame::Frame::Hello(Hello { access_token })) };
    let _ = within("the frame", socket.send(Message::Binary(frame.encode_to_vec().into()))).await;
    let mut said = Vec::new();
    while let Some(Ok(message)) = within("the end of the socket", socket.next()).await {
        said.push(message);
    }
    said
}

/// No transport carries as much: what counts is that nobody gets in, and that the server goes on. By HTTP/2 the connection is given
/// up while its headers are read, by HTTP/1.1 it is answered and closed, if the answer is not lost with what was not read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_megabyte_of_a_token_is_refused_on_every_way_in() {
    let town = Town::start(Shape::Split).await;
    let alice = town.registers("alice").await;
    let good = format!("Bearer {}", alice.token);
    // One that is none, and one that begins well.
    for token in ["x".repeat(MEGABYTE), format!("{}{}", alice.token, "A".repeat(MEGABYTE))] {
        let bearer = format!("Bearer {token}");
        for address in [town.public, town.service(Role::Auth)] {
            let refused = within("the refusal", get_me(town::channel(address), &bearer)).await;
            refused.expect_err("a megabyte over HTTP/2");
            get_me(town::channel(address), &good).await.expect("it answers the next call");
        }
        let line = [format!("authorization: {bearer}")];
        let answers = [
            wire::calls(town.public, "/loquat.auth.v1.UserService/GetMe", &line).await,
            wire::asks(town.public, "GET /ws", &line).await,
            wire::asks(town.public, "GET /files/1", &line).await,
        ];
        for answer in answers {
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
        }
        Socket::connect(town.public, &[("authorization", &bearer)]).await.err().expect("an upgrade with a megabyte");
        let said = hello(&town, token).await;
        assert!(said.iter().all(Message::is_close), "{said:?}");
        get_me(town.channel(), &good).await.expect("it answers the next call");
    }
    // The most that a frame has room for.
    let mut socket = Socket::connect(town.public, &[]).await.unwrap();
    socket.send(client_frame::Frame::Hello(Hello { access_token: "x".repeat(250 * 1024) })).await;
    assert_eq!(socket.next().await.unwrap_err(), Closed { code: 4401 });
    Socket::signed_in(town.public, &alice.token).await;
}
