//! `RoomService`.

use prost::Message as _;
use proto::{
    auth::v1::GetUsersRequest,
    chat::v1::{
        self as v1, Ephemeral, RoomHistory, RoomKind, RoomRole, Typing, ephemeral::Body,
        room_service_server::RoomService,
    },
};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Rpc, actor, answer};
use crate::{
    command::{self, Action, Command, NewRoom},
    errors::ChatError,
    fields::Fields,
    policy, rooms,
    store::member,
};

#[async_trait]
impl RoomService for Rpc {
    async fn create_room(
        &self,
        request: Request<v1::CreateRoomRequest>,
    ) -> Result<Response<v1::CreateRoomResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let decoded = decode_create(&request);
        let run = async {
            let (room, op_id) = decoded?;
            let op = command::op(actor.user_id, op_id, "CreateRoom", &request);
            self.commit(Command::new(actor, op, Action::CreateRoom(room))).await
        };
        answer(run.await)
    }

    async fn update_room(
        &self,
        request: Request<v1::UpdateRoomRequest>,
    ) -> Result<Response<v1::UpdateRoomResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            let op_id = fields.optional_op_id(&request.op_id);
            let name = request.name.as_deref().map(|name| fields.room_name(name));
            let topic = request.topic.as_deref().map(|topic| fields.topic(topic));
            let history = request.history.map(|value| history(&mut fields, value));
            fields.done()?;
            let op = command::op(actor.user_id, op_id, "UpdateRoom", &request);
            self.commit(Command::new(actor, op, Action::UpdateRoom { room_id, name, topic, history })).await
        };
        answer(run.await)
    }

    async fn get_room(&self, request: Request<v1::GetRoomRequest>) -> Result<Response<v1::GetRoomResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            fields.done()?;
            let tx = self.0.db.snapshot().await?;
            let seen = rooms::open(&tx, room_id, actor, policy::Action::See).await?;
            let members: Vec<member::Model> = seen.member.into_iter().collect();
            let standings = rooms::standings(&tx, actor.user_id, &members, std::slice::from_ref(&seen.room)).await?;
            Ok(v1::GetRoomResponse { room: Some(seen.room.to_proto()), membership: standings.into_iter().next() })
        };
        answer(run.await)
    }

    async fn list_rooms(
        &self,
        request: Request<v1::ListRoomsRequest>,
    ) -> Result<Response<v1::ListRoomsResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let rows = fields.page_size(request.page_size, 500, 500);
            fields.done()?;
            let tx = self.0.db.snapshot().await?;
            let listed = rooms::list(&tx, actor, request.joined_only, rows, &request.page_token).await?;
            let rooms::Listed { rooms, memberships, next_page_token } = listed;
            Ok(v1::ListRoomsResponse { rooms, memberships, next_page_token })
        };
        answer(run.await)
    }

    async fn join_room(&self, request: Request<v1::JoinRoomRequest>) -> Result<Response<v1::JoinRoomResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            let op_id = fields.optional_op_id(&request.op_id);
            fields.done()?;
            let op = command::op(actor.user_id, op_id, "JoinRoom", &request);
            self.commit(Command::new(actor, op, Action::JoinRoom { room_id })).await
        };
        answer(run.await)
    }

    async fn leave_room(
        &self,
        request: Request<v1::LeaveRoomRequest>,
    ) -> Result<Response<v1::LeaveRoomResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            let op_id = fields.optional_op_id(&request.op_id);
            fields.done()?;
            let op = command::op(actor.user_id, op_id, "LeaveRoom", &request);
            self.commit(Command::new(actor, op, Action::LeaveRoom { room_id })).await
        };
        answer(run.await)
    }

    async fn add_member(
        &self,
        request: Request<v1::AddMemberRequest>,
    ) -> Result<Response<v1::AddMemberResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            let user_id = fields.id("user_id", &request.user_id);
            let op_id = fields.optional_op_id(&request.op_id);
            let role = role(&mut fields, request.role);
            fields.done()?;
            // Whether the caller may is asked first, so that nobody learns about accounts through rooms they are not in.
            rooms::open(self.0.db.reader(), room_id, actor, policy::Action::Add(role)).await?;
            self.must_exist(user_id).await?;
            let op = command::op(actor.user_id, op_id, "AddMember", &request);
            self.commit(Command::new(actor, op, Action::AddMember { room_id, user_id, role })).await
        };
        answer(run.await)
    }

    async fn remove_member(
        &self,
        request: Request<v1::RemoveMemberRequest>,
    ) -> Result<Response<v1::RemoveMemberResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            let user_id = fields.id("user_id", &request.user_id);
            let op_id = fields.optional_op_id(&request.op_id);
            fields.done()?;
            let op = command::op(actor.user_id, op_id, "RemoveMember", &request);
            self.commit(Command::new(actor, op, Action::RemoveMember { room_id, user_id })).await
        };
        answer(run.await)
    }

    async fn list_members(
        &self,
        request: Request<v1::ListMembersRequest>,
    ) -> Result<Response<v1::ListMembersResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            let rows = fields.page_size(request.page_size, 200, 1000);
            let after = match request.page_token.as_str() {
                "" => 0,
                token => token.parse().unwrap_or_else(|_| {
                    fields.wrong("page_token", "is not one that this call gave");
                    0
                }),
            };
            fields.done()?;
            let tx = self.0.db.snapshot().await?;
            rooms::open(&tx, room_id, actor, policy::Action::Read).await?;
            let mut members = member::of_room(&tx, room_id, after, rows + 1).await?;
            let more = members.len() as u64 > rows;
            members.truncate(usize::try_from(rows).unwrap_or(usize::MAX));
            let last = members.last().filter(|_| more).map(|member| member.joined_seq.to_string());
            Ok(v1::ListMembersResponse {
                members: members.iter().map(member::Model::to_proto).collect(),
                next_page_token: last.unwrap_or_default(),
            })
        };
        answer(run.await)
    }

    async fn mark_read(&self, request: Request<v1::MarkReadRequest>) -> Result<Response<v1::MarkReadResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            let op_id = fields.optional_op_id(&request.op_id);
            fields.done()?;
            let op = command::op(actor.user_id, op_id, "MarkRead", &request);
            self.commit(Command::new(actor, op, Action::MarkRead { room_id, seq: request.seq })).await
        };
        answer(run.await)
    }

    async fn mark_unread(
        &self,
        request: Request<v1::MarkUnreadRequest>,
    ) -> Result<Response<v1::MarkUnreadResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            let op_id = fields.optional_op_id(&request.op_id);
            fields.done()?;
            let op = command::op(actor.user_id, op_id, "MarkUnread", &request);
            self.commit(Command::new(actor, op, Action::MarkUnread { room_id, seq: request.seq })).await
        };
        answer(run.await)
    }

    async fn set_typing(
        &self,
        request: Request<v1::SetTypingRequest>,
    ) -> Result<Response<v1::SetTypingResponse>, Status> {
        let actor = actor(request.extensions())?;
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            fields.done()?;
            rooms::open(self.0.db.reader(), room_id, actor, policy::Action::Post).await?;
            let typing = Typing { user_id: actor.user_id.to_string() };
            let ephemeral = Ephemeral { feed_id: room_id.to_string(), body: Some(Body::Typing(typing)) };
            self.0.live.ephemeral(room_id, &ephemeral.encode_to_vec().into());
            Ok(v1::SetTypingResponse {})
        };
        answer(run.await)
    }
}

impl Rpc {
    /// Asks auth-svc whether there is such an account.
    async fn must_exist(&self, user_id: Uuid) -> Result<(), ChatError> {
        let request = Request::new(GetUsersRequest { user_ids: vec![user_id.to_string()] });
        let found = self.0.users.clone().get_users(request).await.map_err(ChatError::service)?;
        if found.into_inner().users.is_empty() { Err(ChatError::UserNotFound) } else { Ok(()) }
    }
}

fn decode_create(request: &v1::CreateRoomRequest) -> Result<(NewRoom, Option<Uuid>), ChatError> {
    let mut fields = Fields::default();
    let name = fields.room_name(&request.name);
    let kind = RoomKind::try_from(request.kind).unwrap_or(RoomKind::Unspecified);
    if kind == RoomKind::Unspecified {
        fields.wrong("kind", "must be ROOM_KIND_PUBLIC or ROOM_KIND_PRIVATE");
    }
    let topic = fields.topic(&request.topic);
    let history = history(&mut fields, request.history);
    let op_id = fields.optional_op_id(&request.op_id);
    fields.done()?;
    Ok((NewRoom { id: mesh::ids::new_id(), name, kind, topic, history }, op_id))
}

fn history(fields: &mut Fields, value: i32) -> RoomHistory {
    match RoomHistory::try_from(value) {
        Ok(RoomHistory::Unspecified) => RoomHistory::All,
        Ok(history) => history,
        Err(_) => {
            fields.wrong("history", "is not a value of RoomHistory");
            RoomHistory::All
        }
    }
}

fn role(fields: &mut Fields, value: i32) -> RoomRole {
    match RoomRole::try_from(value) {
        Ok(RoomRole::Unspecified) => RoomRole::Member,
        Ok(role) => role,
        Err(_) => {
            fields.wrong("role", "is not a value of RoomRole");
            RoomRole::Member
        }
    }
}
