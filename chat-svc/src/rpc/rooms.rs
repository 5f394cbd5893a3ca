//! `RoomService`.

use mesh::fields::Fields;
use prost::Message as _;
use proto::chat::v1::{
    self as v1, Ephemeral, RoomHistory, RoomKind, RoomRole, Typing, ephemeral::Body, room_service_server::RoomService,
};
use tonic::{Request, Response, Status, async_trait};
use uuid::Uuid;

use super::{Rpc, actor, answer, place};
use crate::{
    command::{Action, NewRoom, RoomChange},
    errors::ChatError,
    fields::{optional_op_id, retention_days, room_name, topic},
    policy::{self, Permission, Permissions},
    rooms,
    store::member,
};

#[async_trait]
impl RoomService for Rpc {
    async fn create_room(
        &self,
        request: Request<v1::CreateRoomRequest>,
    ) -> Result<Response<v1::CreateRoomResponse>, Status> {
        self.change("CreateRoom", request, |fields, request: &v1::CreateRoomRequest| {
            let name = room_name(fields, &request.name);
            let kind = RoomKind::try_from(request.kind).unwrap_or(RoomKind::Unspecified);
            if kind == RoomKind::Unspecified {
                fields.wrong("kind", "must be ROOM_KIND_PUBLIC or ROOM_KIND_PRIVATE");
            }
            let topic = topic(fields, &request.topic);
            let history = history(fields, request.history);
            let set = permissions(fields, request.permissions.as_ref());
            let permissions =
                set.into_iter().fold(Permissions::default(), |all, (permission, role)| all.with(permission, role));
            let room = NewRoom { id: mesh::ids::new_id(), name, kind, topic, history, permissions };
            (optional_op_id(fields, &request.op_id), Action::CreateRoom(room))
        })
        .await
    }

    async fn update_room(
        &self,
        request: Request<v1::UpdateRoomRequest>,
    ) -> Result<Response<v1::UpdateRoomResponse>, Status> {
        self.change("UpdateRoom", request, |fields, request: &v1::UpdateRoomRequest| {
            let room_id = fields.id("room_id", &request.room_id);
            let name = request.name.as_deref().map(|name| room_name(fields, name));
            let topic = request.topic.as_deref().map(|text| topic(fields, text));
            let history = request.history.map(|value| history(fields, value));
            let permissions = permissions(fields, request.permissions.as_ref());
            let retention_days = request.retention_days.map(|days| retention_days(fields, days));
            let change = RoomChange { name, topic, history, permissions, retention_days };
            (optional_op_id(fields, &request.op_id), Action::UpdateRoom { room_id, change })
        })
        .await
    }

    async fn archive_room(
        &self,
        request: Request<v1::ArchiveRoomRequest>,
    ) -> Result<Response<v1::ArchiveRoomResponse>, Status> {
        self.change("ArchiveRoom", request, |fields, request: &v1::ArchiveRoomRequest| {
            let room_id = fields.id("room_id", &request.room_id);
            (optional_op_id(fields, &request.op_id), Action::ArchiveRoom { room_id })
        })
        .await
    }

    async fn unarchive_room(
        &self,
        request: Request<v1::UnarchiveRoomRequest>,
    ) -> Result<Response<v1::UnarchiveRoomResponse>, Status> {
        self.change("UnarchiveRoom", request, |fields, request: &v1::UnarchiveRoomRequest| {
            let room_id = fields.id("room_id", &request.room_id);
            (optional_op_id(fields, &request.op_id), Action::UnarchiveRoom { room_id })
        })
        .await
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
            Ok(v1::GetRoomResponse {
                room: Some(seen.room.to_proto()),
                membership: standings.into_iter().next(),
                workspace_retention_days: self.0.retention_days,
            })
        };
        answer(self.0.db.within(run).await)
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
        answer(self.0.db.within(run).await)
    }

    async fn join_room(&self, request: Request<v1::JoinRoomRequest>) -> Result<Response<v1::JoinRoomResponse>, Status> {
        self.change("JoinRoom", request, |fields, request: &v1::JoinRoomRequest| {
            let room_id = fields.id("room_id", &request.room_id);
            (optional_op_id(fields, &request.op_id), Action::JoinRoom { room_id })
        })
        .await
    }

    async fn leave_room(
        &self,
        request: Request<v1::LeaveRoomRequest>,
    ) -> Result<Response<v1::LeaveRoomResponse>, Status> {
        self.change("LeaveRoom", request, |fields, request: &v1::LeaveRoomRequest| {
            let room_id = fields.id("room_id", &request.room_id);
            (optional_op_id(fields, &request.op_id), Action::LeaveRoom { room_id })
        })
        .await
    }

    async fn add_member(
        &self,
        request: Request<v1::AddMemberRequest>,
    ) -> Result<Response<v1::AddMemberResponse>, Status> {
        let (actor, place) = (actor(request.extensions())?, place(request.extensions()));
        let request = request.into_inner();
        let run = async {
            let mut fields = Fields::default();
            let room_id = fields.id("room_id", &request.room_id);
            let user_id = fields.id("user_id", &request.user_id);
            let op_id = optional_op_id(&mut fields, &request.op_id);
            let role = role(&mut fields, request.role);
            fields.done()?;
            // Whether the caller may is asked first, so that nobody learns about accounts through rooms they are not in.
            rooms::open(self.0.db.reader(), room_id, actor, policy::Action::Add(role)).await?;
            self.must_exist(user_id).await?;
            self.commit(actor, place, "AddMember", op_id, &request, Action::AddMember { room_id, user_id, role }).await
        };
        answer(self.0.db.within(run).await)
    }

    async fn remove_member(
        &self,
        request: Request<v1::RemoveMemberRequest>,
    ) -> Result<Response<v1::RemoveMemberResponse>, Status> {
        self.change("RemoveMember", request, |fields, request: &v1::RemoveMemberRequest| {
            let room_id = fields.id("room_id", &request.room_id);
            let user_id = fields.id("user_id", &request.user_id);
            (optional_op_id(fields, &request.op_id), Action::RemoveMember { room_id, user_id })
        })
        .await
    }

    async fn set_member_role(
        &self,
        request: Request<v1::SetMemberRoleRequest>,
    ) -> Result<Response<v1::SetMemberRoleResponse>, Status> {
        self.change("SetMemberRole", request, |fields, request: &v1::SetMemberRoleRequest| {
            let room_id = fields.id("room_id", &request.room_id);
            let user_id = fields.id("user_id", &request.user_id);
            if request.role() == RoomRole::Unspecified {
                fields.wrong("role", "must be a role: owner, admin, moderator or member");
            }
            let role = request.role();
            (optional_op_id(fields, &request.op_id), Action::SetMemberRole { room_id, user_id, role })
        })
        .await
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
            let after = if request.page_token.is_empty() { Some(0) } else { request.page_token.parse().ok() };
            if after.is_none() {
                fields.wrong("page_token", "is not one that this call gave");
            }
            fields.done()?;
            let tx = self.0.db.snapshot().await?;
            rooms::open(&tx, room_id, actor, policy::Action::SeeMembers).await?;
            let mut members = member::of_room(&tx, room_id, after.unwrap_or(0), rows + 1).await?;
            let more = mesh::db::cut_page(&mut members, rows);
            let last = members.last().filter(|_| more).map(|member| member.joined_seq.to_string());
            Ok(v1::ListMembersResponse {
                members: members.iter().map(member::Model::to_proto).collect(),
                next_page_token: last.unwrap_or_default(),
            })
        };
        answer(self.0.db.within(run).await)
    }

    async fn mark_read(&self, request: Request<v1::MarkReadRequest>) -> Result<Response<v1::MarkReadResponse>, Status> {
        self.change("MarkRead", request, |fields, request: &v1::MarkReadRequest| {
            let room_id = fields.id("room_id", &request.room_id);
            (optional_op_id(fields, &request.op_id), Action::MarkRead { room_id, seq: request.seq })
        })
        .await
    }

    async fn mark_unread(
        &self,
        request: Request<v1::MarkUnreadRequest>,
    ) -> Result<Response<v1::MarkUnreadResponse>, Status> {
        self.change("MarkUnread", request, |fields, request: &v1::MarkUnreadRequest| {
            let room_id = fields.id("room_id", &request.room_id);
            (optional_op_id(fields, &request.op_id), Action::MarkUnread { room_id, seq: request.seq })
        })
        .await
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
            // Who types on is heard of once a second, whatever their client sends.
            if self.0.live.typed_just_now(room_id, actor.user_id) {
                return Ok(v1::SetTypingResponse {});
            }
            rooms::open(self.0.db.reader(), room_id, actor, policy::Action::Post).await?;
            self.0.live.typed(room_id, actor.user_id);
            let typing = Typing { user_id: actor.user_id.to_string() };
            let ephemeral = Ephemeral { feed_id: room_id.to_string(), body: Some(Body::Typing(typing)) };
            self.0.live.ephemeral(room_id, &ephemeral.encode_to_vec().into());
            Ok(v1::SetTypingResponse {})
        };
        answer(self.0.db.within(run).await)
    }
}

impl Rpc {
    /// Asks auth-svc whether there is such an account.
    async fn must_exist(&self, user_id: Uuid) -> Result<(), ChatError> {
        if self.accounts(&[user_id]).await?.is_empty() { Err(ChatError::UserNotFound) } else { Ok(()) }
    }
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

/// What a request says of permissions; what it does not say is left out.
fn permissions(fields: &mut Fields, asked: Option<&v1::RoomPermissions>) -> Vec<(Permission, RoomRole)> {
    let Some(asked) = asked else { return Vec::new() };
    let (set, wrong) = policy::asked(asked);
    wrong.into_iter().for_each(|field| fields.wrong(field, "is not a value of RoomRole"));
    set
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
