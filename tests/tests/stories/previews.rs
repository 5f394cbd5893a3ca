//! Stories of links: what the pages say of themselves is shown in the room, and goes with the message.

use mesh::errors::reason;
use proto::chat::{
    internal::v1::{AttachPreviewsRequest, preview_service_client::PreviewServiceClient},
    v1::{
        CreateRoomRequest, DeleteMessageRequest, EditMessageRequest, Event, LinkPreview, LinksPreviewed,
        ListMessagesRequest, Message, RemovePreviewsRequest, Room, RoomHistory, RoomKind, event::Body,
    },
};
use server::config::{Config, Role};
use tests::{Forge, Person, Shape, Town, op_id, within};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};
use tonic::{
    Code, Request,
    metadata::{Ascii, MetadataValue},
};
use tonic_types::StatusExt as _;

tests::stories!(
    by super::town;
    a_link_gets_a_preview,
    an_edit_changes_what_is_previewed,
    previews_are_removed_by_who_may,
    what_is_deleted_has_no_preview,
    who_came_later_sees_no_older_preview,
);

async fn town(shape: Shape) -> Town {
    Town::start_with(shape, |config: &mut Config| {
        config.worker.allow_networks = vec!["127.0.0.0/8".parse().unwrap()];
    })
    .await
}

/// A web site whose pages are called as their paths are. It tells who asked; a page whose name begins with `slow` waits for a word.
struct Site {
    url: String,
    asked: mpsc::Receiver<String>,
    go_on: mpsc::Sender<()>,
}

async fn site() -> Site {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (asks, asked) = mpsc::channel(64);
    let (go_on, mut words) = mpsc::channel::<()>(1);
    mesh::lifecycle::Tasks::new().spawn("site", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).await.unwrap();
            let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
            let name = head.split_whitespace().nth(1).unwrap_or_default().trim_matches('/').to_owned();
            asks.send(name.clone()).await.unwrap();
            if name.starts_with("slow") {
                words.recv().await;
            }
            let page = format!(
                "<title>{name}</title><meta property=og:description content='About {name}'><meta property=og:site_name \
                 content='The site'><meta property=og:image content='/{name}.png'>"
            );
            let length = page.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{page}"
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    Site { url, asked, go_on }
}

fn previewed(event: &Event) -> Option<LinksPreviewed> {
    match &event.body {
        Some(Body::LinksPreviewed(previewed)) => Some(previewed.clone()),
        _ => None,
    }
}

fn titles(previews: &[LinkPreview]) -> Vec<&str> {
    previews.iter().map(|preview| preview.title.as_str()).collect()
}

async fn messages(person: &Person, room: &Room) -> Vec<Message> {
    let request = ListMessagesRequest { room_id: room.id.clone(), ..Default::default() };
    person.messages().list_messages(request).await.unwrap().into_inner().messages
}

async fn edits(person: &Person, message: &Message, text: &str) -> Message {
    let (room_id, message_id) = (message.room_id.clone(), message.id.clone());
    let request = EditMessageRequest { room_id, message_id, text: text.into(), op_id: op_id() };
    person.messages().edit_message(request).await.unwrap().into_inner().message.unwrap()
}

fn removal(message: &Message) -> RemovePreviewsRequest {
    RemovePreviewsRequest { room_id: message.room_id.clone(), message_id: message.id.clone(), op_id: op_id() }
}

async fn a_link_gets_a_preview(town: Town) {
    let site = site().await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let room = alice.creates_room("general").await;
    bob.joins(&room).await;
    let mut listens = bob.listens().await;
    let url = format!("{}/one", site.url);
    alice.says(&room, &format!("no `{}/code` and no link", site.url)).await;
    let said = alice.says(&room, &format!("look: {url}, and [again]({}/two)", site.url)).await;
    let seen = listens.waits_for("the previews", previewed).await;
    assert_eq!((seen.message_id.as_str(), seen.message_seq), (said.id.as_str(), said.seq));
    let expected = LinkPreview {
        url: url.clone(),
        title: "one".into(),
        description: "About one".into(),
        site_name: "The site".into(),
        image_url: format!("{url}.png"),
    };
    assert_eq!(seen.previews[0], expected);
    assert_eq!(titles(&seen.previews), ["one", "two"]);
    let event = listens.log.iter().find(|event| previewed(event).is_some()).unwrap();
    assert_eq!((event.seq, event.actor_id.as_str()), (said.seq + 1, ""));
    let listed = messages(&bob, &room).await;
    assert!(listed[0].previews.is_empty() && listed[0].previews_seq == 0);
    assert_eq!((&listed[1].previews, listed[1].previews_seq), (&seen.previews, event.seq));
    assert_eq!(listed[1].seq, said.seq, "what stands there stays where it was");
}

async fn an_edit_changes_what_is_previewed(town: Town) {
    let mut site = site().await;
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let mut listens = alice.listens().await;
    // Edited while the page is being fetched, so that the link is gone when the answer comes.
    let said = alice.says(&room, &format!("{}/slow", site.url)).await;
    assert_eq!(within("it is asked for", site.asked.recv()).await.unwrap(), "slow");
    edits(&alice, &said, &format!("rather {}/other", site.url)).await;
    site.go_on.send(()).await.unwrap();
    let seen = listens.waits_for_new("the other preview", previewed).await;
    assert_eq!(titles(&seen.previews), ["other"]);
    edits(&alice, &said, "rather nothing").await;
    assert!(messages(&alice, &room).await[0].previews.is_empty(), "they go with the link");
    edits(&alice, &said, &format!("{0}/other {0}/third", site.url)).await;
    let seen = listens.waits_for_new("previews of the new text", previewed).await;
    assert_eq!(titles(&seen.previews), ["other", "third"]);
    assert_eq!(titles(&messages(&alice, &room).await[0].previews), ["other", "third"]);
    assert!(listens.log.iter().filter_map(previewed).all(|seen| titles(&seen.previews) != ["slow"]));
}

async fn previews_are_removed_by_who_may(town: Town) {
    let site = site().await;
    let (owner, alice, bob) =
        (town.registers("owner").await, town.registers("alice").await, town.registers("bob").await);
    let room = owner.creates_room("general").await;
    alice.joins(&room).await;
    bob.joins(&room).await;
    let mut listens = bob.listens().await;
    let first = alice.says(&room, &format!("{}/first", site.url)).await;
    listens.waits_for_new("a preview", previewed).await;
    let refused = bob.messages().remove_previews(removal(&first)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused)), (Code::PermissionDenied, "ROLE_TOO_LOW".into()));
    let request = removal(&first);
    let removed = alice.messages().remove_previews(request.clone()).await.unwrap().into_inner();
    let seen = listens.waits_for_new("the removal", previewed).await;
    assert!(seen.previews.is_empty());
    assert_eq!(listens.log.last().unwrap().seq, removed.seq);
    assert_eq!(alice.messages().remove_previews(request).await.unwrap().into_inner(), removed, "the same answer again");
    assert_eq!(alice.messages().remove_previews(removal(&first)).await.unwrap().into_inner().seq, 0);
    let listed = messages(&bob, &room).await;
    assert_eq!((listed[0].previews.len(), listed[0].previews_seq), (0, removed.seq));
    // None come any more, whatever is posted later.
    edits(&alice, &first, &format!("{}/edited", site.url)).await;
    let second = alice.says(&room, &format!("{}/second", site.url)).await;
    let seen = listens.waits_for_new("the next preview", previewed).await;
    assert_eq!(seen.message_id, second.id);
    owner.messages().remove_previews(removal(&second)).await.unwrap();
    assert!(messages(&bob, &room).await.iter().all(|message| message.previews.is_empty()));
    // What was removed is gone from the log.
    let mut again = bob.resumes([(room.id.clone(), 0)].into(), "").await;
    again.reaches(&room.id, listens.cursors[&room.id]).await;
    assert!(again.log.iter().filter_map(previewed).all(|seen| seen.previews.is_empty()));
    let missing = RemovePreviewsRequest { message_id: op_id(), ..removal(&second) };
    assert_eq!(reason(&bob.messages().remove_previews(missing).await.unwrap_err()), "MESSAGE_NOT_FOUND");
}

async fn what_is_deleted_has_no_preview(town: Town) {
    let mut site = site().await;
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let mut listens = alice.listens().await;
    let delete = |message: &Message| DeleteMessageRequest {
        room_id: message.room_id.clone(),
        message_id: message.id.clone(),
        op_id: op_id(),
    };
    let shown = alice.says(&room, &format!("{}/shown", site.url)).await;
    listens.waits_for_new("a preview", previewed).await;
    site.asked.recv().await;
    alice.messages().delete_message(delete(&shown)).await.unwrap();
    // Deleted while the page is being fetched.
    let slow = alice.says(&room, &format!("{}/slow", site.url)).await;
    assert_eq!(within("it is asked for", site.asked.recv()).await.unwrap(), "slow");
    alice.messages().delete_message(delete(&slow)).await.unwrap();
    site.go_on.send(()).await.unwrap();
    let last = alice.says(&room, &format!("{}/last", site.url)).await;
    let seen = listens.waits_for_new("the last preview", previewed).await;
    assert_eq!(seen.message_id, last.id);
    let listed = messages(&alice, &room).await;
    assert!(listed[..2].iter().all(|message| message.previews.is_empty() && message.text.is_empty()));
    let mut again = alice.resumes([(room.id.clone(), 0)].into(), "").await;
    again.reaches(&room.id, listens.cursors[&room.id]).await;
    let left: Vec<String> = again.log.iter().filter_map(previewed).map(|seen| seen.message_id).collect();
    assert_eq!(left, [last.id], "what was previewed of the deleted one is gone from the log");
}

async fn who_came_later_sees_no_older_preview(town: Town) {
    let mut site = site().await;
    let (alice, bob) = (town.registers("alice").await, town.registers("bob").await);
    let request = CreateRoomRequest {
        name: "closed".into(),
        kind: RoomKind::Private.into(),
        history: RoomHistory::SinceJoined.into(),
        ..Default::default()
    };
    let room = alice.rooms().create_room(request).await.unwrap().into_inner().room.unwrap();
    let mut alices = alice.listens().await;
    alice.says(&room, &format!("{}/slow", site.url)).await;
    within("it is asked for", site.asked.recv()).await;
    let mut bobs = bob.listens().await;
    alice.adds(&room, &bob).await;
    bobs.opens(&room.id).await;
    site.go_on.send(()).await.unwrap();
    alices.waits_for_new("the preview", previewed).await;
    alice.says(&room, "afterwards").await;
    bobs.sees("afterwards").await;
    assert!(bobs.log.iter().all(|event| previewed(event).is_none()), "it is of a message from before");
    assert!(bobs.log.iter().any(|event| matches!(event.body, Some(Body::Redacted(_)))));
}

/// A report that comes again, as it does when a worker ends before it says that it is done, or that comes too late.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_that_comes_again_changes_nothing() {
    let town = Town::start_with(Shape::Split, |config| config.worker.link_previews = false).await;
    let alice = town.registers("alice").await;
    let room = alice.creates_room("general").await;
    let mut listens = alice.listens().await;
    let said = alice.says(&room, "https://example.org/").await;
    let token: MetadataValue<Ascii> = format!("Bearer {}", Forge::of(&town).service_token("worker")).parse().unwrap();
    let chat = tests::town::channel(town.service(Role::Chat));
    let mut chat = PreviewServiceClient::with_interceptor(chat, move |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", token.clone());
        Ok(request)
    });
    let preview = LinkPreview { url: "https://example.org/".into(), title: "Example".into(), ..Default::default() };
    let report = AttachPreviewsRequest {
        room_id: room.id.clone(),
        message_id: said.id.clone(),
        seq: said.seq,
        previews: vec![preview.clone()],
    };
    let mut reports = async |report: &AttachPreviewsRequest| {
        chat.attach_previews(report.clone()).await.map(|answer| answer.into_inner().attached)
    };
    assert!(reports(&report).await.unwrap());
    assert!(!reports(&report).await.unwrap(), "it is known");
    assert!(!reports(&AttachPreviewsRequest { seq: said.seq + 1, ..report.clone() }).await.unwrap(), "another text");
    assert!(!reports(&AttachPreviewsRequest { message_id: op_id(), ..report.clone() }).await.unwrap());
    let more = AttachPreviewsRequest { previews: vec![preview.clone(), preview.clone()], ..report.clone() };
    assert!(reports(&more).await.unwrap(), "a page that was slower is added");
    for (wrong, field) in [
        (AttachPreviewsRequest { previews: Vec::new(), ..report.clone() }, "previews"),
        (AttachPreviewsRequest { previews: vec![preview.clone(); 6], ..report.clone() }, "previews"),
        (AttachPreviewsRequest { room_id: "x".into(), ..report.clone() }, "room_id"),
        (AttachPreviewsRequest { message_id: String::new(), ..report.clone() }, "message_id"),
    ] {
        let refused = reports(&wrong).await.unwrap_err();
        assert_eq!(refused.get_details_bad_request().unwrap().field_violations[0].field, field);
    }
    alice.says(&room, "afterwards").await;
    listens.sees("afterwards").await;
    let seen: Vec<usize> = listens.log.iter().filter_map(previewed).map(|seen| seen.previews.len()).collect();
    assert_eq!(seen, [1, 2]);
}
