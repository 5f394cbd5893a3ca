//! Links that reset a password: by mail through a server that speaks SMTP, each once, and nobody learns who has an account.

use std::time::Duration;

use mesh::config::Secret;
use proto::auth::v1::{
    ChangeEmailRequest, GetMeRequest, GetSignInOptionsRequest, LoginRequest, RequestPasswordResetRequest,
    ResetPasswordRequest, auth_service_client::AuthServiceClient,
};
use tests::{Shape, Town, person::PASSWORD, post::post_office, within};
use tonic_types::StatusExt as _;

use super::{Accounts as _, denied, nobody, refusal};

/// The token of the link in a mail: quoted-printable breaks long lines.
pub(in super::super) fn token(mail: &str) -> String {
    let text = mail.replace("=\n", "").replace("=3D", "=");
    assert!(text.contains("https://chat.example.org/reset#token="), "the link is of ours, whoever asked: {text}");
    let token = text.split("#token=").nth(1).unwrap();
    token.chars().take_while(|letter| letter.is_ascii_alphanumeric() || "-_".contains(*letter)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_sets_a_new_password_once() {
    let (post, mut mails, _tasks) = post_office().await;
    let town = Town::start_with(Shape::Embedded, |config| {
        config.public_url = "https://chat.example.org".into();
        config.auth.mail.url = Secret::new(format!("smtp://{post}"));
        config.auth.mail.from = "Loquat <chat@example.org>".into();
    })
    .await;
    let alice = town.registers("alice").await;
    let email = ChangeEmailRequest { current_password: PASSWORD.into(), email: "alice@example.org".into() };
    alice.auth().change_email(email).await.unwrap();
    let mut auth = AuthServiceClient::new(town.channel());
    let options = auth.get_sign_in_options(GetSignInOptionsRequest {}).await.unwrap().into_inner();
    assert!(options.reset_by_mail);
    let ask = |account: &str| RequestPasswordResetRequest { account: account.into() };
    // The answer is the same for whoever is asked for, and so is the way to it: nothing is done before it.
    for account in ["nobody", "nobody@example.org", "alice", "Alice@example.org"] {
        auth.request_password_reset(ask(account)).await.unwrap();
    }
    let first = within("the first mail", mails.recv()).await.unwrap();
    let second = within("the second mail", mails.recv()).await.unwrap();
    assert!(first.contains("To: alice@example.org") && first.contains("From: "), "{first}");
    let (first, second) = (token(&first), token(&second));
    let reset =
        |token: &str, password: &str| ResetPasswordRequest { reset_token: token.into(), new_password: password.into() };
    let short = auth.reset_password(reset(&first, "short")).await.unwrap_err();
    assert_eq!(short.get_details_bad_request().unwrap().field_violations[0].field, "new_password");
    for wrong in ["", "guessed", &alice.refresh_token, &alice.token] {
        assert_eq!(refusal(auth.reset_password(reset(wrong, "a new password")).await), denied("RESET_TOKEN_INVALID"));
    }
    let mut stream = alice.listens().await;
    auth.reset_password(reset(&first, "a new password")).await.unwrap();
    assert_eq!(refusal(stream.next().await), nobody("SESSION_ENDED"), "every session ends");
    assert_eq!(refusal(alice.users().get_me(GetMeRequest {}).await), nobody("SESSION_ENDED"));
    // Once, and with it whatever else was sent.
    for used in [&first, &second] {
        assert_eq!(refusal(auth.reset_password(reset(used, "another one")).await), denied("RESET_TOKEN_INVALID"));
    }
    let login =
        |password: &str| LoginRequest { username: "alice".into(), password: password.into(), ..Default::default() };
    assert_eq!(refusal(auth.login(login(PASSWORD)).await), nobody("BAD_CREDENTIALS"));
    auth.login(login("a new password")).await.unwrap();
    assert!(tokio::time::timeout(Duration::ZERO, mails.recv()).await.is_err(), "nobody else got one");
    let empty = auth.request_password_reset(ask("")).await.unwrap_err();
    assert_eq!(empty.get_details_bad_request().unwrap().field_violations[0].field, "account");
}
