//! Somebody with an account, and what they do over gRPC.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use proto::{
    auth::v1::{LoginRequest, RegisterRequest, RegisterResponse, User, auth_service_client::AuthServiceClient},
    chat::v1::{
        self as chat, Event, Message, Room, RoomKind, event::Body, message_service_client::MessageServiceClient,
        room_service_client::RoomServiceClient,
    },
    edge::v1::{Cursor, ServerFrame, SubscribeRequest, edge_service_client::EdgeServiceClient, server_frame::Frame},
    file::v1::file_service_client::FileServiceClient,
};
use tonic::{
    Request, Response, Status, Streaming,
    metadata::{Ascii, MetadataValue},
    service::{Interceptor, interceptor::InterceptedService},
    transport::Channel,
};

use crate::{op_id, town, within};

/// A channel that carries somebody's token.
pub type Signed = InterceptedService<Channel, Bearer>;

/// Adds a token to every call.
#[derive(Clone)]
pub struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// Somebody with an account.
#[derive(Clone)]
pub struct Person {
    /// Their account.
    pub user: User,
    /// Their access token.
    pub token: String,
    /// Their refresh token.
    pub refresh_token: String,
    /// The server's public port.
    pub address: SocketAddr,
    channel: Signed,
}

/// The password of everybody.
pub const PASSWORD: &str = "correct horse battery";
/// What the first account brings along, wherever it is asked for.
pub const SETUP_TOKEN: &str = "open-sesame";

/// How long somebody waits who is told that too many passwords are being hashed.
const BUSY: Duration = Duration::from_millis(250);
/// How often somebody comes back who is told that too many passwords are being hashed.
const COMES_BACK: usize = 80;

/// Makes a call, and makes it again when it is told that too many passwords are being hashed: on a busy machine they wait for all else.
///
/// # Errors
/// Every other refusal.
pub async fn comes_back<T, F>(mut call: impl FnMut() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    for _ in 0..COMES_BACK {
        match call().await {
            Err(busy) if mesh::errors::reason(&busy) == "HASHING_BUSY" => tokio::time::sleep(BUSY).await,
            answer => return answer.map(Response::into_inner),
        }
    }
    call().await.map(Response::into_inner)
}

/// Makes an account, however busy the machine is.
///
/// # Errors
/// Every other refusal.
pub async fn registered(
    auth: AuthServiceClient<Channel>,
    request: RegisterRequest,
) -> Result<RegisterResponse, Status> {
    comes_back(|| {
        let (mut auth, request) = (auth.clone(), request.clone());
        async move { auth.register(request).await }
    })
    .await
}

impl Person {
    /// Makes an account.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn registers(address: SocketAddr, name: &str) -> Self {
        let request = RegisterRequest {
            username: name.into(),
            password: PASSWORD.into(),
            setup_token: SETUP_TOKEN.into(),
            ..RegisterRequest::default()
        };
        let answer = registered(AuthServiceClient::new(town::channel(address)), request).await;
        let answer = answer.unwrap_or_else(|cause| panic!("{name} cannot register: {cause}"));
        Self::with(address, answer.user.unwrap_or_default(), answer.access_token, answer.refresh_token)
    }

    /// Signs in to an account that is there.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn signs_in(address: SocketAddr, name: &str) -> Self {
        let request = LoginRequest { username: name.into(), password: PASSWORD.into(), ..LoginRequest::default() };
        let answer = AuthServiceClient::new(town::channel(address)).login(request).await;
        let answer = answer.unwrap_or_else(|cause| panic!("{name} cannot sign in: {cause}")).into_inner();
        Self::with(address, answer.user.unwrap_or_default(), answer.access_token, answer.refresh_token)
    }

    /// Somebody whose account and session were made before.
    ///
    /// # Panics
    /// When the token is not one.
    pub fn returns(address: SocketAddr, user: User, token: String, refresh_token: String) -> Self {
        Self::with(address, user, token, refresh_token)
    }

    fn with(address: SocketAddr, user: User, token: String, refresh_token: String) -> Self {
        let bearer = Bearer(format!("Bearer {token}").parse().expect("a token is a header"));
        let channel = InterceptedService::new(town::channel(address), bearer);
        Self { user, token, refresh_token, address, channel }
    }

    /// The same person at a server that was started again elsewhere.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self::with(address, self.user.clone(), self.token.clone(), self.refresh_token.clone())
    }

    /// Adds their token to calls over another way than the public port.
    ///
    /// # Panics
    /// When the token is not one.
    pub fn bearer(&self) -> Bearer {
        Bearer(format!("Bearer {}", self.token).parse().expect("a token is a header"))
    }

    /// Calls of `RoomService`.
    pub fn rooms(&self) -> RoomServiceClient<Signed> {
        RoomServiceClient::new(self.channel.clone())
    }

    /// Calls of `MessageService`.
    pub fn messages(&self) -> MessageServiceClient<Signed> {
        MessageServiceClient::new(self.channel.clone())
    }

    /// Calls of `FileService`.
    pub fn files(&self) -> FileServiceClient<Signed> {
        FileServiceClient::new(self.channel.clone())
    }

    /// The channel itself, for other services.
    pub fn channel(&self) -> Signed {
        self.channel.clone()
    }

    /// Makes a public room.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn creates_room(&self, name: &str) -> Room {
        self.creates(name, RoomKind::Public).await
    }

    /// Makes a private room.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn creates_private_room(&self, name: &str) -> Room {
        self.creates(name, RoomKind::Private).await
    }

    async fn creates(&self, name: &str, kind: RoomKind) -> Room {
        let request = chat::CreateRoomRequest { name: name.into(), kind: kind.into(), ..Default::default() };
        let answer = self.rooms().create_room(request).await.expect("a room can be made");
        answer.into_inner().room.expect("the answer has the room")
    }

    /// Enters a room.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn joins(&self, room: &Room) {
        let request = chat::JoinRoomRequest { room_id: room.id.clone(), ..Default::default() };
        self.rooms().join_room(request).await.expect("the room can be joined");
    }

    /// Brings somebody into a room.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn adds(&self, room: &Room, other: &Self) {
        let (room_id, user_id) = (room.id.clone(), other.user.id.clone());
        let request = chat::AddMemberRequest { room_id, user_id, ..Default::default() };
        self.rooms().add_member(request).await.expect("a member can be added");
    }

    /// Puts somebody out of a room.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn removes(&self, room: &Room, other: &Self) {
        let (room_id, user_id) = (room.id.clone(), other.user.id.clone());
        let request = chat::RemoveMemberRequest { room_id, user_id, ..Default::default() };
        self.rooms().remove_member(request).await.expect("a member can be removed");
    }

    /// Posts a message.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn says(&self, room: &Room, text: &str) -> Message {
        self.tries_to_say(room, text, &op_id()).await.unwrap_or_else(|cause| panic!("cannot say {text:?}: {cause}"))
    }

    /// Posts a message under an operation id.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn tries_to_say(&self, room: &Room, text: &str, op_id: &str) -> Result<Message, Status> {
        let request = chat::SendMessageRequest {
            room_id: room.id.clone(),
            text: text.into(),
            op_id: op_id.into(),
            file_ids: Vec::new(),
        };
        let answer = self.messages().send_message(request).await?;
        Ok(answer.into_inner().message.expect("the answer has the message"))
    }

    /// The texts of the newest page of a room.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn reads(&self, room: &Room) -> Vec<String> {
        let request = chat::ListMessagesRequest { room_id: room.id.clone(), page_size: 200, ..Default::default() };
        let answer = self.messages().list_messages(request).await.expect("the room can be read");
        answer.into_inner().messages.into_iter().map(|message| message.text).collect()
    }

    /// Opens the live stream with nothing in hand, and waits until it has caught up.
    ///
    /// # Panics
    /// When it does not.
    pub async fn listens(&self) -> Listener {
        let mut listener = self.resumes(BTreeMap::new(), "").await;
        listener.catches_up().await;
        listener
    }

    /// Opens the live stream from cursors.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn resumes(&self, cursors: BTreeMap<String, u64>, epoch: &str) -> Listener {
        let listed = cursors.iter().map(|(feed_id, seq)| Cursor { feed_id: feed_id.clone(), seq: *seq });
        let request = SubscribeRequest {
            cursors: listed.collect(),
            epoch: epoch.into(),
            only_listed: false,
            look_at: Vec::new(),
        };
        self.subscribes(request, cursors).await
    }

    /// Opens the live stream as a request says.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn subscribes(&self, request: SubscribeRequest, cursors: BTreeMap<String, u64>) -> Listener {
        let stream = EdgeServiceClient::new(self.channel.clone()).subscribe(request).await.expect("the stream opens");
        let (epoch, log, resets) = (String::new(), Vec::new(), Vec::new());
        Listener { stream: stream.into_inner(), cursors, epoch, log, resets, looked: 0 }
    }
}

/// An open live stream, and everything it brought. Checks on the way that numbers have neither holes nor repetitions.
pub struct Listener {
    stream: Streaming<ServerFrame>,
    /// The newest number of each feed.
    pub cursors: BTreeMap<String, u64>,
    /// The epoch that `caught_up` told.
    pub epoch: String,
    /// Every event, in the order it came.
    pub log: Vec<Event>,
    /// Feeds that were reset, and why.
    pub resets: Vec<(String, i32)>,
    /// How much of the log `waits_for_new` has looked at.
    looked: usize,
}

impl Listener {
    /// The next frame; an error when the stream ends.
    ///
    /// # Errors
    /// What the stream ended with.
    ///
    /// # Panics
    /// When nothing comes in time, or a number has a hole before it or came before.
    pub async fn next(&mut self) -> Result<Frame, Status> {
        let next = within("the next frame", self.stream.message()).await?;
        let frame = next.and_then(|frame| frame.frame).ok_or_else(|| Status::cancelled("the stream ended"))?;
        match &frame {
            Frame::Event(event) => self.take(event.clone()),
            Frame::Snapshot(snapshot) => {
                self.cursors.insert(snapshot.feed_id.clone(), snapshot.head);
            }
            Frame::CaughtUp(caught_up) => self.epoch.clone_from(&caught_up.epoch),
            Frame::Reset(reset) => {
                self.cursors.remove(&reset.feed_id);
                self.resets.push((reset.feed_id.clone(), reset.reason));
            }
            _ => {}
        }
        Ok(frame)
    }

    fn take(&mut self, event: Event) {
        let newest = self.cursors.get(&event.feed_id).copied();
        assert_eq!(
            newest.map(|newest| newest + 1),
            Some(event.seq),
            "a hole or a repetition in feed {}",
            event.feed_id
        );
        self.cursors.insert(event.feed_id.clone(), event.seq);
        self.log.push(event);
    }

    /// Waits for `caught_up`.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn catches_up(&mut self) {
        while !matches!(self.next().await.expect("the stream goes on"), Frame::CaughtUp(_)) {}
    }

    /// Waits for a feed to join the stream: what is said from now on comes as an event and not as a part of the snapshot.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn opens(&mut self, feed_id: &str) {
        loop {
            if let Frame::Snapshot(snapshot) = self.next().await.expect("the stream goes on")
                && snapshot.feed_id == feed_id
            {
                return;
            }
        }
    }

    /// Waits for an event that satisfies a condition, also among those that came already.
    ///
    /// # Panics
    /// When none comes.
    pub async fn waits_for<T>(&mut self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        if let Some(found) = self.log.iter().find_map(&wanted) {
            return found;
        }
        loop {
            let before = self.log.len();
            let next = self.next().await;
            assert!(next.is_ok(), "the stream ended before {what}: {next:?}");
            if let Some(found) = self.log[before..].iter().find_map(&wanted) {
                return found;
            }
        }
    }

    /// Waits for an event that satisfies a condition, only among those that came since the last one of this kind was waited for.
    ///
    /// # Panics
    /// When none comes.
    pub async fn waits_for_new<T>(&mut self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            while self.looked < self.log.len() {
                self.looked += 1;
                if let Some(found) = wanted(&self.log[self.looked - 1]) {
                    return found;
                }
            }
            let next = self.next().await;
            assert!(next.is_ok(), "the stream ended before {what}: {next:?}");
        }
    }

    /// Waits for a message with this text.
    ///
    /// # Panics
    /// When none comes.
    pub async fn sees(&mut self, text: &str) -> Message {
        let wanted = |event: &Event| match &event.body {
            Some(Body::MessagePosted(posted)) => posted.message.clone().filter(|message| message.text == text),
            _ => None,
        };
        self.waits_for(&format!("{text:?}"), wanted).await
    }

    /// Reads until a feed has reached a number.
    ///
    /// # Panics
    /// When the stream ends before.
    pub async fn reaches(&mut self, feed_id: &str, seq: u64) {
        while self.cursors.get(feed_id).copied().unwrap_or(0) < seq {
            let next = self.next().await;
            assert!(next.is_ok(), "the stream ended before number {seq}: {next:?}");
        }
    }

    /// The texts of the messages posted in a feed, in the order they came.
    pub fn texts(&self, feed_id: &str) -> Vec<String> {
        let text = |event: &Event| match &event.body {
            Some(Body::MessagePosted(posted)) => posted.message.as_ref().map(|message| message.text.clone()),
            _ => None,
        };
        self.log.iter().filter(|event| event.feed_id == feed_id).filter_map(text).collect()
    }
}
