//! Requests by which eve asks for what is alice's, method by method, and how each is refused.

use bytes::Bytes;
use prost::Message as _;
use proto::{
    auth::v1::{self as auth, token_service_client::TokenServiceClient, user_service_client::UserServiceClient},
    chat::v1::{
        self as chat, RoomKind, RoomPermissions, RoomRole,
        incoming_webhook_service_client::IncomingWebhookServiceClient,
        scheduled_message_service_client::ScheduledMessageServiceClient,
    },
    edge::v1::{Cursor, ServerFrame, SubscribeRequest, server_frame::Frame},
    file::v1 as file,
};
use tests::{Person, Town, op_id};
use tonic::Code;

/// One request of eve's.
pub struct Case {
    /// What she asks for.
    pub what: &'static str,
    pub request: Vec<u8>,
    pub expected: Expected,
}

/// What becomes of it.
pub enum Expected {
    /// It is refused, with this code and reason.
    Refused(Code, &'static str),
    /// It is answered with nothing of alice's in it.
    Answer(Box<dyn Fn(&Bytes) -> bool + Send + Sync>),
}

fn refused<M: prost::Message>(what: &'static str, request: &M, code: Code, reason: &'static str) -> Case {
    Case { what, request: request.encode_to_vec(), expected: Expected::Refused(code, reason) }
}

/// An answer in which something does not occur.
fn without<M: prost::Message>(what: &'static str, request: &M, id: &str) -> Case {
    let id = id.to_owned().into_bytes();
    let holds = move |answer: &Bytes| !answer.windows(id.len()).any(|bytes| bytes == id);
    Case { what, request: request.encode_to_vec(), expected: Expected::Answer(Box::new(holds)) }
}

const PRIVATE: &str = "a private room of others";
const MANAGED: &str = "a room where she only is a member";

/// People, and what is theirs.
pub struct Scene {
    /// The first account, which owns the workspace.
    pub founder: Person,
    pub alice: Person,
    /// A member of the workspace, in none of alice's rooms but one.
    pub eve: Person,
    /// Shares no room with eve.
    stranger: Person,
    /// Alice's, without eve.
    private: chat::Room,
    /// Alice's, with eve as a member who may only read.
    shared: chat::Room,
    said: chat::Message,
    said_there: chat::Message,
    /// Not finished.
    upload: file::Upload,
    /// Finished and looked at, of the private room.
    file: file::File,
    /// The same of the shared room.
    file_there: file::File,
    scheduled: chat::ScheduledMessage,
    /// Of the private room.
    webhook: chat::IncomingWebhook,
    /// Eve's own.
    own: chat::Room,
    alices_session: String,
    alices_token: String,
}

impl Scene {
    pub async fn play(town: &Town) -> Self {
        let founder = town.registers("founder").await;
        let (alice, eve) = (town.registers("alice").await, town.registers("eve").await);
        let stranger = town.registers("stranger").await;
        let private = alice.creates_private_room("private").await;
        let reading = chat::CreateRoomRequest {
            name: "shared".into(),
            kind: RoomKind::Private.into(),
            permissions: Some(RoomPermissions { post: RoomRole::Moderator.into(), ..Default::default() }),
            ..Default::default()
        };
        let shared = alice.rooms().create_room(reading).await.unwrap().into_inner().room.unwrap();
        alice.adds(&shared, &eve).await;
        let (said, said_there) = (alice.says(&private, "secret").await, alice.says(&shared, "for all").await);
        let create = file::CreateUploadRequest {
            op_id: op_id(),
            room_id: private.id.clone(),
            size: Some(3),
            metadata: Some(file::FileMetadata { name: "secret.txt".into(), ..Default::default() }),
        };
        let upload = alice.files().create_upload(create).await.unwrap().into_inner().upload.unwrap();
        // They are there, so that what eve is told of them is said by the policy and not by an empty table.
        let file = alice.brings(&private, "private.txt", b"secret").await;
        let file_there = alice.brings(&shared, "shared.txt", b"for all").await;
        let me = UserServiceClient::new(alice.channel()).get_me(auth::GetMeRequest {}).await.unwrap().into_inner();
        let new = auth::CreateTokenRequest {
            name: "alice's".into(),
            scopes: vec!["messages:read".into()],
            ..Default::default()
        };
        let token = TokenServiceClient::new(alice.channel()).create_token(new).await.unwrap().into_inner().token;
        let (alices_session, alices_token) = (me.session_id, token.unwrap().id);
        let later = chat::SendMessageRequest {
            room_id: private.id.clone(),
            text: "later".into(),
            op_id: op_id(),
            ..Default::default()
        };
        let tomorrow =
            prost_types::Timestamp { seconds: mesh::clock::Clock::system().now().unix_timestamp() + 86_400, nanos: 0 };
        let request = chat::ScheduleMessageRequest { request: Some(later), send_at: Some(tomorrow) };
        let mut scheduling = ScheduledMessageServiceClient::new(alice.channel());
        let scheduled = scheduling.schedule_message(request).await.unwrap().into_inner().scheduled.unwrap();
        let hook = chat::CreateIncomingWebhookRequest { room_id: private.id.clone(), name: "secret".into() };
        let mut hooks = IncomingWebhookServiceClient::new(alice.channel());
        let webhook = hooks.create_incoming_webhook(hook).await.unwrap().into_inner().webhook.unwrap();
        let own = eve.creates_private_room("eve's").await;
        Self {
            founder,
            alice,
            eve,
            stranger,
            private,
            shared,
            said,
            said_there,
            upload,
            file,
            file_there,
            scheduled,
            webhook,
            own,
            alices_session,
            alices_token,
        }
    }

    /// What eve tries with a method; nothing for one that nobody thought of.
    pub fn cases(&self, path: &str) -> Option<Vec<Case>> {
        let (package, name) = path.trim_start_matches('/').rsplit_once('.')?;
        match package {
            // For those who run the workspace, to whom all of it belongs.
            "loquat.chat.v1" if name.starts_with("AuditService/") => Some(Vec::new()),
            "loquat.chat.v1" => self
                .rooms(name)
                .or_else(|| self.members(name))
                .or_else(|| self.messages(name))
                .or_else(|| self.scheduled(name))
                .or_else(|| self.webhooks(name))
                .or_else(|| self.log(name)),
            "loquat.file.v1" => self.files(name),
            "loquat.edge.v1" => self.edge(name),
            "loquat.auth.v1" => self.accounts(name),
            // For administrators only, to whom all of it belongs.
            "loquat.worker.v1"
                if ["JobService/", "WebhookService/", "AuditService/"].iter().any(|one| name.starts_with(one)) =>
            {
                Some(Vec::new())
            }
            _ => None,
        }
    }

    fn accounts(&self, name: &str) -> Option<Vec<Case>> {
        let session_id = self.alices_session.clone();
        let session = auth::RevokeSessionRequest { session_id };
        let token = auth::RevokeTokenRequest { token_id: self.alices_token.clone() };
        Some(match name {
            // The directory shows everybody to every member; the others name nobody, and are about the caller.
            "UserService/GetUsers"
            | "UserService/SearchUsers"
            | "UserService/GetMe"
            | "UserService/UpdateMe"
            | "AuthService/ChangePassword"
            | "AuthService/ChangeEmail"
            | "SessionService/RevokeOtherSessions"
            | "TokenService/CreateToken" => Vec::new(),
            "SessionService/ListSessions" => {
                vec![without("her sessions", &auth::ListSessionsRequest::default(), &self.alices_session)]
            }
            "SessionService/RevokeSession" => {
                vec![refused("alice's session", &session, Code::NotFound, "SESSION_NOT_FOUND")]
            }
            "TokenService/ListTokens" => {
                vec![without("her tokens", &auth::ListTokensRequest::default(), &self.alices_token)]
            }
            "TokenService/RevokeToken" => vec![refused("alice's token", &token, Code::NotFound, "TOKEN_NOT_FOUND")],
            "InviteService/AcceptInvite" => {
                let request = auth::AcceptInviteRequest { invite_token: "guessed".into() };
                vec![refused("an invitation she does not have", &request, Code::PermissionDenied, "INVITE_INVALID")]
            }
            // For administrators only, to whom all of it belongs.
            _ if ["AdminService/", "BotService/", "AuditService/", "InviteService/"]
                .iter()
                .any(|service| name.starts_with(service)) =>
            {
                Vec::new()
            }
            _ => return None,
        })
    }

    /// A room that is not there, and one that she may not manage.
    fn room<M: prost::Message>(&self, request: impl Fn(String) -> M) -> Vec<Case> {
        vec![
            refused(PRIVATE, &request(self.private.id.clone()), Code::NotFound, "ROOM_NOT_FOUND"),
            refused(MANAGED, &request(self.shared.id.clone()), Code::PermissionDenied, "ROLE_TOO_LOW"),
        ]
    }

    fn hidden<M: prost::Message>(&self, request: impl Fn(String) -> M) -> Vec<Case> {
        self.room(request).into_iter().take(1).collect()
    }

    fn rooms(&self, name: &str) -> Option<Vec<Case>> {
        let op_id = String::new;
        Some(match name {
            // Whoever may make rooms makes their own.
            "RoomService/CreateRoom" => Vec::new(),
            "RoomService/UpdateRoom" => {
                self.room(|room_id| chat::UpdateRoomRequest { room_id, name: Some("x".into()), ..Default::default() })
            }
            "RoomService/ArchiveRoom" => self.room(|room_id| chat::ArchiveRoomRequest { room_id, op_id: op_id() }),
            "RoomService/UnarchiveRoom" => self.room(|room_id| chat::UnarchiveRoomRequest { room_id, op_id: op_id() }),
            "RoomService/GetRoom" => self.hidden(|room_id| chat::GetRoomRequest { room_id }),
            "RoomService/ListRooms" => {
                vec![without("her rooms", &chat::ListRoomsRequest::default(), &self.private.id)]
            }
            "RoomService/JoinRoom" => self.hidden(|room_id| chat::JoinRoomRequest { room_id, op_id: op_id() }),
            "RoomService/LeaveRoom" => self.hidden(|room_id| chat::LeaveRoomRequest { room_id, op_id: op_id() }),
            "RoomService/MarkRead" => self.hidden(|room_id| chat::MarkReadRequest { room_id, seq: 1, op_id: op_id() }),
            "RoomService/MarkUnread" => {
                self.hidden(|room_id| chat::MarkUnreadRequest { room_id, seq: 1, op_id: op_id() })
            }
            "RoomService/SetTyping" => self.room(|room_id| chat::SetTypingRequest { room_id }),
            _ => return None,
        })
    }

    fn members(&self, name: &str) -> Option<Vec<Case>> {
        let (alice, stranger, op_id) = (&self.alice.user.id, &self.stranger.user.id, String::new);
        Some(match name {
            "RoomService/AddMember" => {
                self.room(|room_id| chat::AddMemberRequest { room_id, user_id: stranger.clone(), ..Default::default() })
            }
            "RoomService/RemoveMember" => {
                self.room(|room_id| chat::RemoveMemberRequest { room_id, user_id: alice.clone(), op_id: op_id() })
            }
            "RoomService/SetMemberRole" => self.room(|room_id| chat::SetMemberRoleRequest {
                room_id,
                user_id: self.eve.user.id.clone(),
                role: RoomRole::Owner.into(),
                op_id: op_id(),
            }),
            "RoomService/ListMembers" => {
                self.hidden(|room_id| chat::ListMembersRequest { room_id, ..Default::default() })
            }
            "PeopleService/GetPeople" => {
                let user_ids = vec![stranger.clone(), alice.clone()];
                vec![without("somebody she shares no room with", &chat::GetPeopleRequest { user_ids }, stranger)]
            }
            "PeopleService/ListPeople" => {
                vec![without("everybody", &chat::ListPeopleRequest::default(), stranger)]
            }
            _ => return None,
        })
    }

    fn messages(&self, name: &str) -> Option<Vec<Case>> {
        let edit = |message: &chat::Message| chat::EditMessageRequest {
            room_id: message.room_id.clone(),
            message_id: message.id.clone(),
            text: "x".into(),
            op_id: op_id(),
        };
        let unpreview = |message: &chat::Message| chat::RemovePreviewsRequest {
            room_id: message.room_id.clone(),
            message_id: message.id.clone(),
            op_id: op_id(),
        };
        let delete = |message: &chat::Message| {
            let (room_id, message_id) = (message.room_id.clone(), message.id.clone());
            chat::DeleteMessageRequest { room_id, message_id, op_id: op_id() }
        };
        Some(match name {
            "MessageService/SendMessage" => self.room(|room_id| chat::SendMessageRequest {
                room_id,
                text: "x".into(),
                op_id: op_id(),
                file_ids: Vec::new(),
            }),
            "MessageService/EditMessage" => vec![
                refused(PRIVATE, &edit(&self.said), Code::NotFound, "ROOM_NOT_FOUND"),
                refused("what alice said", &edit(&self.said_there), Code::PermissionDenied, "ROLE_TOO_LOW"),
            ],
            "MessageService/DeleteMessage" => {
                let elsewhere = chat::Message { room_id: self.shared.id.clone(), ..self.said.clone() };
                vec![
                    refused(PRIVATE, &delete(&self.said), Code::NotFound, "ROOM_NOT_FOUND"),
                    refused("what alice said", &delete(&self.said_there), Code::PermissionDenied, "ROLE_TOO_LOW"),
                    refused("a message of another room", &delete(&elsewhere), Code::NotFound, "MESSAGE_NOT_FOUND"),
                ]
            }
            "MessageService/RemovePreviews" => vec![
                refused(PRIVATE, &unpreview(&self.said), Code::NotFound, "ROOM_NOT_FOUND"),
                refused("what alice said", &unpreview(&self.said_there), Code::PermissionDenied, "ROLE_TOO_LOW"),
            ],
            "MessageService/ListMessages" => {
                self.hidden(|room_id| chat::ListMessagesRequest { room_id, ..Default::default() })
            }
            _ => return None,
        })
    }

    fn scheduled(&self, name: &str) -> Option<Vec<Case>> {
        Some(match name {
            "ScheduledMessageService/ScheduleMessage" => self.room(|room_id| {
                let request =
                    chat::SendMessageRequest { room_id, text: "x".into(), op_id: op_id(), ..Default::default() };
                chat::ScheduleMessageRequest {
                    request: Some(request),
                    send_at: Some(prost_types::Timestamp::default()),
                }
            }),
            "ScheduledMessageService/ListScheduledMessages" => {
                vec![without("alice's", &chat::ListScheduledMessagesRequest {}, &self.scheduled.id)]
            }
            "ScheduledMessageService/CancelScheduledMessage" => {
                let request = chat::CancelScheduledMessageRequest { id: self.scheduled.id.clone() };
                vec![refused("alice's", &request, Code::NotFound, "SCHEDULED_MESSAGE_NOT_FOUND")]
            }
            _ => return None,
        })
    }

    fn webhooks(&self, name: &str) -> Option<Vec<Case>> {
        let webhook_id = || self.webhook.id.clone();
        let delete = |room_id| chat::DeleteIncomingWebhookRequest { room_id, webhook_id: webhook_id() };
        let rename =
            |room_id| chat::RenameIncomingWebhookRequest { room_id, webhook_id: webhook_id(), name: "x".into() };
        let own = self.own.id.clone();
        let (what, reason) = ("another room's webhook", "WEBHOOK_NOT_FOUND");
        Some(match name.strip_prefix("IncomingWebhookService/")? {
            "CreateIncomingWebhook" => {
                self.room(|room_id| chat::CreateIncomingWebhookRequest { room_id, name: "x".into() })
            }
            "ListIncomingWebhooks" => self.room(|room_id| chat::ListIncomingWebhooksRequest { room_id }),
            "DeleteIncomingWebhook" => {
                let mut cases = self.room(delete);
                cases.push(refused(what, &delete(own), Code::NotFound, reason));
                cases
            }
            "RenameIncomingWebhook" => {
                let mut cases = self.room(rename);
                cases.push(refused(what, &rename(own), Code::NotFound, reason));
                cases
            }
            _ => return None,
        })
    }

    fn log(&self, name: &str) -> Option<Vec<Case>> {
        let range = |feed_id: &String| chat::VerifyRangeRequest { feed_id: feed_id.clone(), from_seq: 1, to_seq: 1 };
        Some(match name {
            "FeedService/VerifyRange" => vec![
                refused(PRIVATE, &range(&self.private.id), Code::NotFound, "FEED_NOT_FOUND"),
                refused("alice's own feed", &range(&self.alice.user.id), Code::NotFound, "FEED_NOT_FOUND"),
            ],
            _ => return None,
        })
    }

    fn files(&self, name: &str) -> Option<Vec<Case>> {
        let upload_id = || self.upload.id.clone();
        let create = || file::CreateUploadRequest {
            op_id: op_id(),
            room_id: self.private.id.clone(),
            size: Some(1),
            metadata: None,
        };
        let no_room = |request: Vec<u8>| {
            vec![Case { what: PRIVATE, request, expected: Expected::Refused(Code::NotFound, "ROOM_NOT_FOUND") }]
        };
        let no_upload = |request: Vec<u8>| {
            let expected = Expected::Refused(Code::NotFound, "UPLOAD_NOT_FOUND");
            vec![Case { what: "alice's upload", request, expected }]
        };
        let file_id = || self.file.id.clone();
        let no_file = |request: Vec<u8>| {
            let expected = Expected::Refused(Code::NotFound, "FILE_NOT_FOUND");
            vec![Case { what: "alice's file", request, expected }]
        };
        Some(match name {
            "FileService/CreateUpload" => no_room(create().encode_to_vec()),
            "FileService/UploadFile" => {
                let header = |target| {
                    let header = file::UploadHeader { target: Some(target), ..Default::default() };
                    let part = Some(file::upload_file_request::Part::Header(header));
                    file::UploadFileRequest { part }.encode_to_vec()
                };
                let mut cases = no_room(header(file::upload_header::Target::Create(create())));
                cases.extend(no_upload(header(file::upload_header::Target::UploadId(upload_id()))));
                cases
            }
            "FileService/PutMetadata" => {
                let metadata = Some(file::FileMetadata { name: "x".into(), ..Default::default() });
                let room_id = self.private.id.clone();
                no_room(file::PutMetadataRequest { op_id: op_id(), room_id, metadata }.encode_to_vec())
            }
            "FileService/GetUpload" => {
                let target = Some(file::get_upload_request::Target::UploadId(upload_id()));
                no_upload(file::GetUploadRequest { target }.encode_to_vec())
            }
            "FileService/CancelUpload" => {
                no_upload(file::CancelUploadRequest { upload_id: upload_id() }.encode_to_vec())
            }
            // They are about the caller; the last is for administrators only, to whom all of it belongs.
            "FileService/GetUploadLimits" | "FileService/GetUsage" | "FileService/ListUsage" => Vec::new(),
            "FileService/CreatePartUrls" => {
                no_upload(file::CreatePartUrlsRequest { upload_id: upload_id(), parts: Vec::new() }.encode_to_vec())
            }
            "FileService/CommitParts" => {
                no_upload(file::CommitPartsRequest { upload_id: upload_id(), parts: Vec::new() }.encode_to_vec())
            }
            "FileService/ShareFile" => {
                let share = |file_id: &str, room: &chat::Room| {
                    let (file_id, room_id) = (file_id.to_owned(), room.id.clone());
                    file::ShareFileRequest { op_id: op_id(), file_id, room_id }
                };
                let there = &self.file_there.id;
                let mut cases = no_file(share(&self.file.id, &self.own).encode_to_vec());
                cases.push(refused(PRIVATE, &share(there, &self.private), Code::NotFound, "ROOM_NOT_FOUND"));
                cases.push(refused(MANAGED, &share(there, &self.shared), Code::PermissionDenied, "ROLE_TOO_LOW"));
                cases
            }
            "FileService/DeleteFile" => {
                let there = file::DeleteFileRequest { file_id: self.file_there.id.clone() };
                let mut cases = no_file(file::DeleteFileRequest { file_id: file_id() }.encode_to_vec());
                cases.push(refused(MANAGED, &there, Code::PermissionDenied, "ROLE_TOO_LOW"));
                cases
            }
            "FileService/GetFile" => no_file(file::GetFileRequest { file_id: file_id() }.encode_to_vec()),
            "FileService/DownloadFile" => {
                no_file(file::DownloadFileRequest { file_id: file_id(), ..Default::default() }.encode_to_vec())
            }
            "FileService/ListFiles" => {
                let room_id = self.private.id.clone();
                no_room(file::ListFilesRequest { room_id, ..Default::default() }.encode_to_vec())
            }
            _ => return None,
        })
    }

    fn edge(&self, name: &str) -> Option<Vec<Case>> {
        let feeds = [&self.private.id, &self.alice.user.id];
        let one = |feed: &String| {
            let cursors = vec![Cursor { feed_id: feed.clone(), seq: 0 }];
            let request = SubscribeRequest { cursors, only_listed: true, ..Default::default() };
            let holds = |answer: &Bytes| {
                matches!(ServerFrame::decode(answer.clone()).map(|frame| frame.frame), Ok(Some(Frame::Reset(_))))
            };
            let expected = Expected::Answer(Box::new(holds));
            Case { what: "the feed of others", request: request.encode_to_vec(), expected }
        };
        (name == "EdgeService/Subscribe").then(|| feeds.map(one).into_iter().collect())
    }
}
