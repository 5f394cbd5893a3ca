//! Stories of accounts: where somebody is signed in, what their programs may do, who runs the workspace, who was invited, and
//! how fast what is taken away is gone.

mod apart;
mod crowds;
mod forged;
mod invites;
mod links;
mod logins;
pub(super) mod mail;
mod people;
mod programs;
mod races;
mod revocation;
mod sessions;
mod smuggled;
mod strangers;
mod wire;

use proto::auth::v1::{
    admin_service_client::AdminServiceClient, audit_service_client::AuditServiceClient,
    auth_service_client::AuthServiceClient, bot_service_client::BotServiceClient,
    invite_service_client::InviteServiceClient, session_service_client::SessionServiceClient,
    token_service_client::TokenServiceClient, user_service_client::UserServiceClient,
};
use tests::{Person, person::Signed, stories};
use tonic::{Code, Status};

use self::{invites::*, people::*, programs::*, sessions::*};

stories!(
    where_somebody_is_signed_in_is_listed_and_ended,
    a_new_password_ends_the_other_sessions,
    a_profile_is_changed_field_by_field,
    a_program_does_what_its_token_allows,
    a_token_is_shown_once_and_gone_when_revoked,
    a_token_ends_by_itself,
    a_program_listens_on_a_socket,
    bots_are_accounts_of_programs,
    there_is_always_an_owner,
    administrators_manage_those_below_them,
    a_changed_role_counts_at_once,
    who_is_disabled_is_gone_at_once,
    what_was_done_is_written_down,
    an_invitation_leads_into_rooms,
    an_invitation_is_used_as_often_as_it_may,
    an_invitation_is_as_good_as_the_rights_of_who_made_it,
);

/// The clients of auth-svc's services, as somebody.
pub(super) trait Accounts {
    fn auth(&self) -> AuthServiceClient<Signed>;
    fn sessions(&self) -> SessionServiceClient<Signed>;
    fn tokens(&self) -> TokenServiceClient<Signed>;
    fn users(&self) -> UserServiceClient<Signed>;
    fn bots(&self) -> BotServiceClient<Signed>;
    fn admin(&self) -> AdminServiceClient<Signed>;
    fn invites(&self) -> InviteServiceClient<Signed>;
    fn audit(&self) -> AuditServiceClient<Signed>;
}

impl Accounts for Person {
    fn auth(&self) -> AuthServiceClient<Signed> {
        AuthServiceClient::new(self.channel())
    }
    fn sessions(&self) -> SessionServiceClient<Signed> {
        SessionServiceClient::new(self.channel())
    }
    fn tokens(&self) -> TokenServiceClient<Signed> {
        TokenServiceClient::new(self.channel())
    }
    fn users(&self) -> UserServiceClient<Signed> {
        UserServiceClient::new(self.channel())
    }
    fn bots(&self) -> BotServiceClient<Signed> {
        BotServiceClient::new(self.channel())
    }
    fn admin(&self) -> AdminServiceClient<Signed> {
        AdminServiceClient::new(self.channel())
    }
    fn invites(&self) -> InviteServiceClient<Signed> {
        InviteServiceClient::new(self.channel())
    }
    fn audit(&self) -> AuditServiceClient<Signed> {
        AuditServiceClient::new(self.channel())
    }
}

/// How a call was refused.
fn refusal<T: std::fmt::Debug>(answer: Result<T, Status>) -> (Code, String) {
    let refused = answer.expect_err("the call is refused");
    (refused.code(), mesh::errors::reason(&refused))
}

fn denied(reason: &str) -> (Code, String) {
    (Code::PermissionDenied, reason.into())
}

fn missing(reason: &str) -> (Code, String) {
    (Code::NotFound, reason.into())
}

fn nobody(reason: &str) -> (Code, String) {
    (Code::Unauthenticated, reason.into())
}

/// The same person with another token.
fn with(person: &Person, token: &str) -> Person {
    Person::returns(person.address, person.user.clone(), token.into(), String::new())
}
