//! The services: decode, authorise, call a rule, encode.

mod access;
mod audit;
mod feed;
mod live_feed;
mod mentions;
mod messages;
mod people;
mod previews;
mod retention;
mod rooms;
mod scheduled;
mod webhooks;

use std::sync::Arc;

use mesh::{
    authn::{self, MeshSecret, Origin, Rank},
    clock::Clock,
    db::Db,
    errors,
    fields::Fields,
    rpc::{Direct, MAX_MESSAGE_BYTES, Method, Upstream},
};
use prost::Message;
use proto::{
    auth::v1::user_service_client::UserServiceClient,
    chat::{
        internal::v1::{
            access_service_server::AccessServiceServer, feed_service_server::FeedServiceServer as LiveFeedServer,
            mention_service_server::MentionServiceServer, preview_service_server::PreviewServiceServer,
            retention_service_server::RetentionServiceServer, webhook_post_service_server::WebhookPostServiceServer,
        },
        v1::{
            audit_service_server::AuditServiceServer,
            feed_service_server::FeedServiceServer,
            incoming_webhook_service_server::IncomingWebhookServiceServer,
            message_service_server::{MessageService as _, MessageServiceServer},
            people_service_server::PeopleServiceServer,
            room_service_server::{RoomService as _, RoomServiceServer},
            scheduled_message_service_server::ScheduledMessageServiceServer,
        },
    },
};
use tokio_util::sync::CancellationToken;
use tonic::{Extensions, Request, Response, Status, service::Routes};
use uuid::Uuid;

use crate::{
    append::Appender,
    command::{self, Action, Actor, Command, Place},
    errors::ChatError,
    live::Live,
    presence::Presence,
    webhooks::posts::Posts,
};

/// Who may call what. What they may do to a room is decided by `policy`.
pub const METHODS: &[Method] = &[
    Method::user("/loquat.chat.v1.RoomService/CreateRoom")
        .least(Rank::Member)
        .scope("rooms:write")
        .class("rooms")
        .asks_origin(),
    Method::user("/loquat.chat.v1.RoomService/UpdateRoom").scope("rooms:write").asks_origin(),
    Method::user("/loquat.chat.v1.RoomService/ArchiveRoom").scope("rooms:write").asks_origin(),
    Method::user("/loquat.chat.v1.RoomService/UnarchiveRoom").scope("rooms:write").asks_origin(),
    Method::user("/loquat.chat.v1.RoomService/GetRoom").scope("rooms:read"),
    Method::user("/loquat.chat.v1.RoomService/ListRooms").scope("rooms:read"),
    Method::user("/loquat.chat.v1.RoomService/JoinRoom").scope("rooms:write"),
    Method::user("/loquat.chat.v1.RoomService/LeaveRoom").scope("rooms:write"),
    Method::user("/loquat.chat.v1.RoomService/AddMember").scope("rooms:write").asks_origin(),
    Method::user("/loquat.chat.v1.RoomService/RemoveMember").scope("rooms:write").asks_origin(),
    Method::user("/loquat.chat.v1.RoomService/SetMemberRole").scope("rooms:write").asks_origin(),
    Method::user("/loquat.chat.v1.RoomService/ListMembers").scope("rooms:read"),
    Method::user("/loquat.chat.v1.RoomService/MarkRead").scope("rooms:write"),
    Method::user("/loquat.chat.v1.RoomService/MarkUnread").scope("rooms:write"),
    Method::user("/loquat.chat.v1.RoomService/SetTyping").scope("rooms:write"),
    Method::user("/loquat.chat.v1.MessageService/SendMessage").scope("messages:write").class("sends"),
    Method::user("/loquat.chat.v1.MessageService/EditMessage").scope("messages:write"),
    Method::user("/loquat.chat.v1.MessageService/DeleteMessage").scope("messages:write").asks_origin(),
    Method::user("/loquat.chat.v1.MessageService/RemovePreviews").scope("messages:write").asks_origin(),
    Method::user("/loquat.chat.v1.MessageService/ListMessages").scope("messages:read"),
    Method::user("/loquat.chat.v1.ScheduledMessageService/ScheduleMessage").scope("messages:write").class("sends"),
    Method::user("/loquat.chat.v1.ScheduledMessageService/ListScheduledMessages").scope("messages:read"),
    Method::user("/loquat.chat.v1.ScheduledMessageService/CancelScheduledMessage").scope("messages:write"),
    Method::user("/loquat.chat.v1.IncomingWebhookService/CreateIncomingWebhook").scope("rooms:write").asks_origin(),
    Method::user("/loquat.chat.v1.IncomingWebhookService/ListIncomingWebhooks").scope("rooms:read"),
    Method::user("/loquat.chat.v1.IncomingWebhookService/RenameIncomingWebhook").scope("rooms:write").asks_origin(),
    Method::user("/loquat.chat.v1.IncomingWebhookService/DeleteIncomingWebhook").scope("rooms:write").asks_origin(),
    Method::user("/loquat.chat.v1.FeedService/VerifyRange").scope("messages:read"),
    Method::user("/loquat.chat.v1.PeopleService/GetPeople").scope("users:read"),
    Method::user("/loquat.chat.v1.PeopleService/ListPeople").scope("users:read"),
    Method::user("/loquat.chat.v1.AuditService/List").least(Rank::Admin).scope("admin:read"),
    Method::user("/loquat.chat.v1.AuditService/Verify").least(Rank::Admin).scope("admin:read"),
    Method::service("/loquat.chat.internal.v1.FeedService/Attach").streaming(),
    Method::service("/loquat.chat.internal.v1.FeedService/OpenFeeds"),
    Method::service("/loquat.chat.internal.v1.FeedService/ReadFeed"),
    Method::service("/loquat.chat.internal.v1.AccessService/CheckAccess"),
    Method::service("/loquat.chat.internal.v1.RetentionService/ExpireMessages"),
    Method::service("/loquat.chat.internal.v1.WebhookPostService/PostFromWebhook"),
    Method::service("/loquat.chat.internal.v1.MentionService/CheckMentions"),
    Method::service("/loquat.chat.internal.v1.PreviewService/AttachPreviews"),
];

/// What handlers share.
pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) appender: Appender,
    pub(crate) live: Arc<Live>,
    pub(crate) presence: Arc<Presence>,
    pub(crate) secret: MeshSecret,
    pub(crate) clock: Clock,
    pub(crate) users: UserServiceClient<Upstream>,
    pub(crate) stopping: CancellationToken,
    /// Of the database, as it was when the process began: a restore from a backup needs a new one.
    pub(crate) epoch: String,
    /// Days that messages are kept in rooms that say nothing of it; 0 for ever.
    pub(crate) retention_days: u32,
    /// How often webhooks may post.
    pub(crate) webhook_posts: Posts,
    /// Where browsers find us; empty when that is not known.
    pub(crate) public_url: String,
}

/// The handlers of every service.
#[derive(Clone)]
pub(crate) struct Rpc(pub(crate) Arc<Shared>);

/// The routes of every service, and what is offered directly: what people do all the time.
pub(crate) fn routes(shared: Shared) -> (Routes, Direct) {
    let rpc = Rpc(Arc::new(shared));
    let direct =
        Direct::default()
            .unary("/loquat.chat.v1.MessageService/SendMessage", &rpc, |rpc: Rpc, request| async move {
                rpc.send_message(request).await
            })
            .unary("/loquat.chat.v1.MessageService/ListMessages", &rpc, |rpc: Rpc, request| async move {
                rpc.list_messages(request).await
            })
            .unary("/loquat.chat.v1.RoomService/MarkRead", &rpc, |rpc: Rpc, request| async move {
                rpc.mark_read(request).await
            })
            .unary("/loquat.chat.v1.RoomService/SetTyping", &rpc, |rpc: Rpc, request| async move {
                rpc.set_typing(request).await
            });
    let mut routes = Routes::builder();
    routes
        .add_service(RoomServiceServer::new(rpc.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(MessageServiceServer::new(rpc.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(ScheduledMessageServiceServer::new(rpc.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES))
        .add_service(FeedServiceServer::new(rpc.clone()))
        .add_service(PeopleServiceServer::new(rpc.clone()))
        .add_service(AuditServiceServer::new(rpc.clone()))
        .add_service(IncomingWebhookServiceServer::new(rpc.clone()))
        .add_service(WebhookPostServiceServer::new(rpc.clone()))
        .add_service(LiveFeedServer::new(rpc.clone()))
        .add_service(RetentionServiceServer::new(rpc.clone()))
        .add_service(MentionServiceServer::new(rpc.clone()))
        .add_service(PreviewServiceServer::new(rpc.clone()))
        .add_service(AccessServiceServer::new(rpc));
    (routes.routes(), direct)
}

/// Who calls.
fn actor(extensions: &Extensions) -> Result<Actor, Status> {
    let user = authn::user(extensions)?;
    Ok(Actor { user_id: user.user_id, rank: user.rank() })
}

/// From where they call.
fn place(extensions: &Extensions) -> Place {
    let address = extensions.get::<Origin>().map(Origin::place).unwrap_or_default();
    Place { address, trace: mesh::rpc::traceparent().unwrap_or_default() }
}

impl Rpc {
    /// A method that changes something: reads the request's fields, commits what they ask for, and answers.
    async fn change<Q, A, D>(&self, method: &'static str, request: Request<Q>, decode: D) -> Result<Response<A>, Status>
    where
        Q: Message,
        A: Message + Default,
        D: FnOnce(&mut Fields, &Q) -> (Option<Uuid>, Action) + Send,
    {
        let (actor, place) = (actor(request.extensions())?, place(request.extensions()));
        let request = request.into_inner();
        let mut fields = Fields::default();
        let (op_id, action) = decode(&mut fields, &request);
        answer(match fields.done() {
            Ok(()) => self.commit(actor, place, method, op_id, &request, action).await,
            Err(invalid) => Err(invalid.into()),
        })
    }

    /// Commits a change and decodes its response.
    async fn commit<Q: Message, A: Message + Default>(
        &self,
        actor: Actor,
        place: Place,
        method: &'static str,
        op_id: Option<Uuid>,
        request: &Q,
        action: Action,
    ) -> Result<A, ChatError> {
        let op = command::op(actor.user_id, op_id, method, request);
        let bytes = self.0.appender.commit(Command { actor, op, action, place }).await?;
        A::decode(bytes).map_err(ChatError::internal)
    }
}

/// A rule's result as a handler's.
fn answer<T>(result: Result<T, ChatError>) -> Result<Response<T>, Status> {
    result.map(Response::new).map_err(errors::status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_an_entry_and_every_entry_a_method() {
        let mut listed: Vec<&str> = METHODS.iter().map(|method| method.path).collect();
        listed.sort_unstable();
        let described = proto::method_paths(|package| package.starts_with("loquat.chat."));
        assert_eq!(listed, described);
    }

    #[test]
    fn internal_methods_are_for_services_only() {
        for method in METHODS {
            let internal = method.path.contains(".internal.");
            assert_eq!(method.access == authn::Access::Service, internal, "{}", method.path);
        }
    }
}
