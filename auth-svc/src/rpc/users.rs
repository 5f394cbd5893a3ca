//! `UserService`.

use std::sync::Arc;

use mesh::{
    audit::{self, Entry},
    authn::Rank,
    fields::Fields,
    outbox,
};
use proto::auth::v1::{
    AvatarChanged, GetMeRequest, GetMeResponse, GetUsersRequest, GetUsersResponse, SearchUsersRequest,
    SearchUsersResponse, UpdateMeRequest, UpdateMeResponse, user_service_server::UserService,
};
use tonic::{Request, Response, Status, async_trait};

use super::{Call, Rpc, Shared, answer};
use crate::{accounts, errors::AuthError, fields, store::account};

const MAX_QUERY_CHARS: usize = 64;

#[async_trait]
impl UserService for Rpc {
    async fn get_me(&self, request: Request<GetMeRequest>) -> Result<Response<GetMeResponse>, Status> {
        let user = mesh::authn::user(request.extensions())?;
        let run = async {
            let account = account::find(self.0.db.reader(), user.user_id).await?.ok_or(AuthError::SessionEnded)?;
            let session_id = user.session_id.to_string();
            Ok(GetMeResponse {
                user: Some(account.to_proto()),
                mention_mail: account.mention_mail,
                email: account.email,
                session_id,
            })
        };
        answer(self.0.db.within(run).await)
    }

    async fn update_me(&self, request: Request<UpdateMeRequest>) -> Result<Response<UpdateMeResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| update_me(&shared, &call, request.into_inner()).await;
        let updated = self.detached(work).await;
        answer(updated.map(|account| UpdateMeResponse { user: Some(account.to_proto()) }))
    }

    async fn get_users(&self, request: Request<GetUsersRequest>) -> Result<Response<GetUsersResponse>, Status> {
        let guest = mesh::authn::user(request.extensions()).ok().filter(|user| user.rank() == Rank::Guest);
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let mut ids = fields.ids("user_ids", &request.user_ids, 200);
            fields.done()?;
            // Whom a guest meets, chat-svc knows.
            ids.retain(|id| guest.as_ref().is_none_or(|guest| guest.user_id == *id));
            let accounts = account::some(self.0.db.reader(), &ids).await?;
            Ok(GetUsersResponse { users: accounts.iter().map(account::Model::to_proto).collect() })
        };
        answer(self.0.db.within(run).await)
    }

    async fn search_users(
        &self,
        request: Request<SearchUsersRequest>,
    ) -> Result<Response<SearchUsersResponse>, Status> {
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let rows = fields.page_size(request.page_size, 50, 200);
            if request.query.chars().count() > MAX_QUERY_CHARS {
                fields.wrong("query", format!("must have at most {MAX_QUERY_CHARS} characters"));
            }
            fields.done()?;
            let prefix = request.query.trim().to_lowercase();
            let mut found = account::search(self.0.db.reader(), &prefix, &request.page_token, rows + 1).await?;
            let more = mesh::db::cut_page(&mut found, rows);
            let next = found.last().filter(|_| more).map(|account| account.username.clone());
            Ok(SearchUsersResponse {
                users: found.iter().map(account::Model::to_proto).collect(),
                next_page_token: next.unwrap_or_default(),
            })
        };
        answer(self.0.db.within(run).await)
    }
}

/// Changes what somebody says about themselves.
async fn update_me(shared: &Shared, call: &Call, request: UpdateMeRequest) -> Result<account::Model, AuthError> {
    let UpdateMeRequest { display_name, title, about, avatar_file_id, mention_mail } = request;
    let mut fields = Fields::default();
    let title = title.map(|title| fields::one_line(&mut fields, "title", &title, MAX_QUERY_CHARS));
    let about = about.map(|about| fields::about(&mut fields, &about));
    let avatar = avatar_file_id.map(|id| fields::file_id(&mut fields, "avatar_file_id", &id));
    // The name that stands in for an empty one is known only inside the transaction.
    let display_name = display_name.map(|name| fields::display_name(&mut fields, &name, ""));
    fields.done()?;
    let tx = shared.db.begin().await?;
    let mut account = account::lock(&tx, call.user.user_id).await?.ok_or(AuthError::SessionEnded)?;
    let before = account.clone();
    if let Some(name) = display_name {
        account.display_name = if name.is_empty() { account.username.clone() } else { name };
        account.folded_name = account.display_name.to_lowercase();
    }
    account.title = title.unwrap_or(account.title);
    account.about = about.unwrap_or(account.about);
    account.avatar_file_id = avatar.unwrap_or(account.avatar_file_id);
    account.mention_mail = mention_mail.unwrap_or(account.mention_mail);
    if account == before {
        return Ok(account);
    }
    let now = shared.clock.now();
    if account.avatar_file_id != before.avatar_file_id {
        account.avatar_revision += 1;
        outbox::add(&tx, &[accounts::message(&chosen_picture(&account), account.id)?], now).await?;
    }
    account::update(&tx, &account).await?;
    audit::append(&tx, &[changed(call, &before, &account)], now).await?;
    tx.commit().await?;
    shared.wake.now();
    Ok(account)
}

/// What file-svc is told of a picture.
fn chosen_picture(account: &account::Model) -> AvatarChanged {
    AvatarChanged {
        user_id: account.id.to_string(),
        file_id: account.avatar_file_id.clone(),
        revision: mesh::db::unsigned(account.avatar_revision),
    }
}

/// What somebody has changed of it, as it is now.
fn changed(call: &Call, before: &account::Model, after: &account::Model) -> Entry {
    let switch = |account: &account::Model| if account.mention_mail { "on" } else { "off" }.to_owned();
    let fields = [
        ("mention_mail", &switch(before), &switch(after)),
        ("display_name", &before.display_name, &after.display_name),
        ("title", &before.title, &after.title),
        ("about", &before.about, &after.about),
        ("avatar_file_id", &before.avatar_file_id, &after.avatar_file_id),
    ];
    let changed = fields.into_iter().filter(|(_, before, after)| before != after);
    let entry = call.entry("user.profile_changed", after.id);
    changed.fold(entry, |entry, (field, _, now)| entry.with(field, now))
}
