//! `BotService`.

use std::sync::Arc;

use mesh::fields::Fields;
use proto::auth::v1::{
    CreateBotRequest, CreateBotResponse, CreateBotTokenRequest, CreateBotTokenResponse, DisableBotRequest,
    DisableBotResponse, EnableBotRequest, EnableBotResponse, ListBotTokensRequest, ListBotTokensResponse,
    ListBotsRequest, ListBotsResponse, RevokeBotTokenRequest, RevokeBotTokenResponse, bot_service_server::BotService,
};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Call, Rpc, Shared, answer};
use crate::{
    admin,
    errors::AuthError,
    programs::{self, NewToken},
    store::account,
};

#[async_trait]
impl BotService for Rpc {
    async fn create_bot(&self, request: Request<CreateBotRequest>) -> Result<Response<CreateBotResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| programs::create_bot(&shared, &call, request.into_inner()).await;
        answer(self.detached(work).await.map(|bot| CreateBotResponse { bot: Some(bot.to_proto()) }))
    }

    async fn list_bots(&self, request: Request<ListBotsRequest>) -> Result<Response<ListBotsResponse>, Status> {
        let call = Call::of(&request)?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let rows = fields.page_size(request.page_size, 50, 200);
            fields.done()?;
            let db = self.0.db.reader();
            admin::administrator(db, &call).await?;
            let mut bots = account::bots(db, &request.page_token, rows + 1).await?;
            let more = mesh::db::cut_page(&mut bots, rows);
            let next = bots.last().filter(|_| more).map(|bot| bot.username.clone());
            let bots = bots.iter().map(account::Model::to_proto).collect();
            Ok(ListBotsResponse { bots, next_page_token: next.unwrap_or_default() })
        };
        answer(self.0.db.within(run).await)
    }

    async fn disable_bot(&self, request: Request<DisableBotRequest>) -> Result<Response<DisableBotResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| {
            admin::set_disabled(&shared, &call, id(&request.into_inner().bot_id)?, true, true).await
        };
        answer(self.detached(work).await.map(|bot| DisableBotResponse { bot: Some(bot.to_proto()) }))
    }

    async fn enable_bot(&self, request: Request<EnableBotRequest>) -> Result<Response<EnableBotResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| {
            admin::set_disabled(&shared, &call, id(&request.into_inner().bot_id)?, false, true).await
        };
        answer(self.detached(work).await.map(|bot| EnableBotResponse { bot: Some(bot.to_proto()) }))
    }

    async fn create_bot_token(
        &self,
        request: Request<CreateBotTokenRequest>,
    ) -> Result<Response<CreateBotTokenResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| {
            let CreateBotTokenRequest { bot_id, name, scopes, expires_in_days } = request.into_inner();
            let bot = id(&bot_id)?;
            let new = NewToken::read(&name, &scopes, expires_in_days)?;
            programs::create(&shared, &call, bot, new).await
        };
        let created = self.detached(work).await;
        answer(created.map(|(token, secret)| CreateBotTokenResponse { token: Some(token), secret }))
    }

    async fn list_bot_tokens(
        &self,
        request: Request<ListBotTokensRequest>,
    ) -> Result<Response<ListBotTokensResponse>, Status> {
        let call = Call::of(&request)?;
        let run = async { programs::list(&self.0, &call, id(&request.into_inner().bot_id)?).await };
        answer(run.await.map(|tokens| ListBotTokensResponse { tokens }))
    }

    async fn revoke_bot_token(
        &self,
        request: Request<RevokeBotTokenRequest>,
    ) -> Result<Response<RevokeBotTokenResponse>, Status> {
        let call = Call::of(&request)?;
        let work = async move |shared: Arc<Shared>| {
            let RevokeBotTokenRequest { bot_id, token_id } = request.into_inner();
            let mut fields = Fields::default();
            let (bot, token) = (fields.id("bot_id", &bot_id), fields.id("token_id", &token_id));
            fields.done()?;
            programs::revoke(&shared, &call, bot, token).await
        };
        answer(self.detached(work).await.map(|()| RevokeBotTokenResponse {}))
    }
}

fn id(text: &str) -> Result<Uuid, AuthError> {
    let mut fields = Fields::default();
    let id = fields.id("bot_id", text);
    fields.done()?;
    Ok(id)
}
