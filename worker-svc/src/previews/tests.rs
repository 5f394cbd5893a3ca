use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use mesh::{bus::Envelope, db::DbConfig, ids, lifecycle::Tasks};
use proto::chat::internal::v1::{
    AttachPreviewsResponse,
    preview_service_server::{PreviewService, PreviewServiceServer},
};
use time::macros::datetime;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tonic::{Request, Response, Status, service::Routes};

use super::*;

/// Keeps what it is told, as the room's log would.
#[derive(Clone, Default)]
struct Room(Arc<Mutex<Vec<AttachPreviewsRequest>>>);

#[tonic::async_trait]
impl PreviewService for Room {
    async fn attach_previews(
        &self,
        request: Request<AttachPreviewsRequest>,
    ) -> Result<Response<AttachPreviewsResponse>, Status> {
        self.0.lock().unwrap().push(request.into_inner());
        Ok(Response::new(AttachPreviewsResponse { attached: true }))
    }
}

/// A web server; it keeps the path of every request.
async fn site(tasks: &Tasks) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    tasks.spawn("site", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut buffer = vec![0; 8192];
            let read = stream.read(&mut buffer).await.unwrap();
            let head = String::from_utf8_lossy(&buffer[..read]).into_owned();
            let path = head.split_whitespace().nth(1).unwrap_or_default().to_owned();
            let tries = {
                let mut kept = kept.lock().unwrap();
                kept.push(path.clone());
                kept.iter().filter(|known| **known == path).count()
            };
            let page = "<title>A page</title>";
            let html = "200 OK\r\ncontent-type: text/html; charset=utf-8";
            let (head, body) = match path.as_str() {
                "/moved" => ("302 Found\r\nlocation: /page", ""),
                "/round" => ("302 Found\r\nlocation: /round", ""),
                "/inside" => ("302 Found\r\nlocation: http://10.1.2.3/", ""),
                "/gone" => ("404 Not Found\r\ncontent-type: text/html", page),
                "/broken" => ("503 Service Unavailable", ""),
                "/mended" if tries < 3 => ("500 Internal Server Error", ""),
                "/text" => ("200 OK\r\ncontent-type: text/plain", page),
                "/zipped" => ("200 OK\r\ncontent-type: text/html\r\ncontent-encoding: gzip", page),
                "/cat.png" => ("200 OK\r\ncontent-type: image/png", "PNG"),
                _ => (html, page),
            };
            let length = body.len();
            let answer = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, asked)
}

struct Bench {
    _folder: tempfile::TempDir,
    previews: Previews,
    bus: Bus,
    tasks: Tasks,
    room: Room,
}

async fn bench(allowed: &[&str]) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("worker.db").display());
    let db = Db::open(&DbConfig { url, ..DbConfig::default() }).await.unwrap();
    db.migrate::<crate::Migrator>().await.unwrap();
    let clock = Clock::manual(datetime!(2026-01-01 0:00 UTC));
    let bus = Bus::open_memory(db.clone(), clock.clone()).await.unwrap();
    bus.declare(&queue()).await.unwrap();
    let room = Room::default();
    let chat = PreviewServiceClient::new(mesh::rpc::local(Routes::new(PreviewServiceServer::new(room.clone()))));
    let outbound = Outbound::new(LIMITS, allowed.iter().map(|network| network.parse().unwrap()).collect());
    let previews = Previews { enabled: true, db, clock, outbound, chat };
    let tasks = Tasks::new();
    tasks.spawn("previews", previews.clone().run(bus.clone(), tasks.stopping()));
    Bench { _folder: folder, previews, bus, tasks, room }
}

impl Bench {
    fn envelope(&self, urls: &[String]) -> Envelope {
        let (room_id, message_id) = (ids::new_id().to_string(), ids::new_id().to_string());
        let posted = LinksPosted { room_id, message_id, seq: 7, urls: urls.to_vec() };
        let (kind, body) = (proto::event_kind::<LinksPosted>(), proto::to_json(&posted).unwrap());
        Envelope::new(ids::new_id(), kind, body, self.previews.clock.now())
    }

    /// Waits until nothing is left in the queue, however long that takes by its clock.
    async fn settles(&self) {
        let waiting = async {
            loop {
                // While the disk is busy with something else, a look may take longer than anybody waits for one.
                let Ok(queues) = self.bus.queues().await else { continue };
                let queue = queues.iter().find(|status| status.name == queue().name).unwrap();
                if queue.ready + queue.in_flight + queue.delayed == 0 {
                    assert_eq!(queue.failed + queue.skipped, 0, "nothing is left for a person to mend");
                    return;
                }
                self.previews.clock.advance(Duration::from_secs(20));
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.unwrap();
    }

    fn told(&self) -> Vec<Vec<String>> {
        let told = self.room.0.lock().unwrap();
        told.iter().map(|request| request.previews.iter().map(|preview| preview.title.clone()).collect()).collect()
    }
}

#[tokio::test]
async fn a_page_is_asked_once_a_day_however_often_it_is_posted() {
    let bench = bench(&["127.0.0.0/8"]).await;
    let (site, asked) = site(&bench.tasks).await;
    let links = bench.envelope(&[format!("{site}/page"), format!("{site}/cat.png"), format!("{site}/moved")]);
    bench.bus.publish(vec![links.clone()]).await.unwrap();
    bench.settles().await;
    assert_eq!(bench.told(), [["A page", "cat.png", "A page"]]);
    let sent = bench.room.0.lock().unwrap()[0].clone();
    assert_eq!(
        (sent.seq, sent.previews[2].url.as_str()),
        (7, format!("{site}/moved").as_str()),
        "the link as it was posted"
    );
    assert_eq!(
        (sent.previews[0].site_name.as_str(), sent.previews[1].image_url.as_str()),
        ("127.0.0.1", format!("{site}/cat.png").as_str())
    );
    let before = asked.lock().unwrap().len();
    bench.bus.publish(vec![links, bench.envelope(&[format!("{site}/page")])]).await.unwrap();
    bench.settles().await;
    assert_eq!(asked.lock().unwrap().len(), before, "it is remembered");
    bench.previews.clock.advance(Duration::from_secs(86_401));
    bench.bus.publish(vec![bench.envelope(&[format!("{site}/page")])]).await.unwrap();
    bench.settles().await;
    assert_eq!(asked.lock().unwrap().len(), before + 1, "for a day");
    bench.tasks.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn what_cannot_be_had_is_let_go() {
    let bench = bench(&["127.0.0.0/8"]).await;
    let (site, asked) = site(&bench.tasks).await;
    let count = |path: &str| asked.lock().unwrap().iter().filter(|known| *known == path).count();
    let never = ["/gone", "/text", "/zipped", "/inside"].map(|path| format!("{site}{path}"));
    bench.bus.publish(vec![bench.envelope(&never)]).await.unwrap();
    bench.bus.publish(vec![bench.envelope(&[format!("{site}/round")])]).await.unwrap();
    bench.settles().await;
    assert_eq!(["/gone", "/text", "/zipped", "/inside"].map(&count), [1; 4], "asked once, for good");
    assert_eq!(count("/round"), 4, "three redirects are followed");
    let outside = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let later = [format!("{site}/broken"), format!("{site}/page"), format!("http://{outside}/")];
    bench.bus.publish(vec![bench.envelope(&later)]).await.unwrap();
    bench.settles().await;
    assert_eq!(count("/broken"), 3, "tried again a few times, and then no more");
    assert!(bench.told().iter().all(|titles| titles == &["A page"]), "the other link has its preview at once");
    bench.bus.publish(vec![bench.envelope(&[format!("{site}/mended")])]).await.unwrap();
    bench.settles().await;
    assert_eq!((count("/mended"), bench.told().last().unwrap().len()), (3, 1));
    bench.tasks.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn an_address_within_gets_no_connection() {
    let bench = bench(&[]).await;
    let (site, asked) = site(&bench.tasks).await;
    let port = site.rsplit(':').next().unwrap();
    let urls = [
        format!("{site}/page"),
        format!("http://localhost:{port}/page"),
        format!("http://[::ffff:127.0.0.1]:{port}/page"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://10.0.0.1/".to_owned(),
    ];
    bench.bus.publish(vec![bench.envelope(&urls)]).await.unwrap();
    bench.settles().await;
    assert_eq!((bench.told().len(), asked.lock().unwrap().len(), bench.previews.outbound.dialled()), (0, 0, 0));
    bench.tasks.stop(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn nobody_is_asked_when_there_are_to_be_no_previews() {
    let bench = bench(&["127.0.0.0/8"]).await;
    let (site, asked) = site(&bench.tasks).await;
    let off = Previews { enabled: false, ..bench.previews.clone() };
    let envelope = bench.envelope(&[format!("{site}/page")]);
    off.handle(Delivery { envelope, redelivery: 0, last: false }).await.unwrap();
    assert_eq!((bench.told().len(), asked.lock().unwrap().len()), (0, 0));
    bench.tasks.stop(Duration::from_secs(1)).await;
}
