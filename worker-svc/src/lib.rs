//! Background work between services, and the operator's view of it. Owns the worker database, which also holds the queues of
//! the in-process bus.
//!
//! Reads and writes no other service's tables.

mod audit;
mod errors;
mod expiry;
mod files;
mod jobs;
mod look;
mod mentions;
mod migration;
mod previews;
mod sandbox;
mod scan;
mod schedule;
mod store;
mod webhooks;

use std::{path::PathBuf, time::Duration};

use futures::future::BoxFuture;
use mesh::{
    authn::Rank,
    blobs::Blobs,
    bus::{Bus, QueueSpec},
    clock::Clock,
    db::{Db, DbConfig},
    lifecycle::Tasks,
    outbound::{IpNet, Limits, Outbound},
    rpc::{Direct, Method, Upstream},
    service::Service,
};
use proto::{
    auth::internal::v1::mail_service_client::MailServiceClient,
    chat::internal::v1::{mention_service_client::MentionServiceClient, preview_service_client::PreviewServiceClient},
    file::internal::v1::processing_service_client::ProcessingServiceClient,
    worker::v1::{
        audit_service_server::AuditServiceServer, job_service_server::JobServiceServer,
        webhook_service_server::WebhookServiceServer,
    },
};
use serde::{Deserialize, Serialize};
use tonic::service::Routes;

pub use self::{
    errors::WorkerError,
    migration::Migrator,
    sandbox::{SUBCOMMAND as LOOK_AT_FILE, look_at_file},
};
use self::{
    mentions::Mentions,
    previews::Previews,
    schedule::{Plan, Planned, Schedule},
    webhooks::{WebhookRpc, Webhooks},
};

/// How many files are worked on at a time.
const PREFETCH: usize = 4;
/// How many webhooks are asked at a time: one that does not answer should not hold up many others.
const REQUESTS: usize = 32;
/// What a request to a webhook may take.
const REQUEST_LIMITS: Limits = Limits { within: Duration::from_secs(10), bytes: 64 * 1024, redirects: 0 };
/// For how long a handled message is known: longer than anybody repeats one.
const REMEMBERED: time::Duration = time::Duration::days(30);

/// Who may call what.
pub const METHODS: &[Method] = &[
    Method::user("/loquat.worker.v1.JobService/ListQueues").least(Rank::Admin).scope("admin:read"),
    Method::user("/loquat.worker.v1.JobService/ListFailedMessages").least(Rank::Admin).scope("admin:read"),
    Method::user("/loquat.worker.v1.JobService/GetFailedMessage").least(Rank::Admin).scope("admin:read"),
    Method::user("/loquat.worker.v1.JobService/RetryFailedMessage")
        .least(Rank::Admin)
        .scope("admin:write")
        .asks_origin(),
    Method::user("/loquat.worker.v1.JobService/DiscardFailedMessage")
        .least(Rank::Admin)
        .scope("admin:write")
        .asks_origin(),
    Method::user("/loquat.worker.v1.JobService/WatchQueues").least(Rank::Admin).scope("admin:read").streaming(),
    Method::user("/loquat.worker.v1.JobService/ListJobs").least(Rank::Admin).scope("admin:read"),
    Method::user("/loquat.worker.v1.JobService/RunJob").least(Rank::Admin).scope("admin:write").asks_origin(),
    Method::user("/loquat.worker.v1.JobService/CancelJob").least(Rank::Admin).scope("admin:write").asks_origin(),
    Method::user("/loquat.worker.v1.WebhookService/CreateWebhook")
        .least(Rank::Admin)
        .scope("admin:write")
        .asks_origin(),
    Method::user("/loquat.worker.v1.WebhookService/ListWebhooks").least(Rank::Admin).scope("admin:read"),
    Method::user("/loquat.worker.v1.WebhookService/DeleteWebhook")
        .least(Rank::Admin)
        .scope("admin:write")
        .asks_origin(),
    Method::user("/loquat.worker.v1.WebhookService/ListDeliveries").least(Rank::Admin).scope("admin:read"),
    Method::user("/loquat.worker.v1.AuditService/List").least(Rank::Admin).scope("admin:read"),
    Method::user("/loquat.worker.v1.AuditService/Verify").least(Rank::Admin).scope("admin:read"),
];

/// The section `worker` of the configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The role's own port when it runs apart. Default `127.0.0.1:8084`.
    pub listen: String,
    /// Where other processes reach the role. Default `http://127.0.0.1:8084`.
    pub url: String,
    /// The database. Default: `worker.db` in `data_dir`.
    pub db: DbConfig,
    /// The program that looks at files in a process of its own. Default: this very one.
    pub program: PathBuf,
    /// Pages that messages link to are fetched, and what they say of themselves is shown below the message. Default true.
    pub link_previews: bool,
    /// Who is mentioned and has neither read it nor been there so many seconds later is sent a mail, if `auth.mail` is configured; 0 for
    /// never. Default 300.
    pub mention_mail_after_seconds: u32,
    /// Networks that are not of the internet and that webhooks and previews of links may reach all the same, such as `10.1.0.0/16`. Default: none.
    pub allow_networks: Vec<IpNet>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8084".into(),
            url: "http://127.0.0.1:8084".into(),
            db: DbConfig::default(),
            program: PathBuf::new(),
            link_previews: true,
            mention_mail_after_seconds: 300,
            allow_networks: Vec::new(),
        }
    }
}

/// What worker-svc needs.
pub struct Deps {
    /// Its database, open and not yet migrated.
    pub db: Db,
    /// Events between services.
    pub bus: Bus,
    /// The blob store that file-svc uses.
    pub blobs: Blobs,
    /// The time.
    pub clock: Clock,
    /// Where tasks run.
    pub tasks: Tasks,
    /// file-svc, called as `service:worker`.
    pub file: Upstream,
    /// chat-svc, called as `service:worker`.
    pub chat: Upstream,
    /// auth-svc, called as `service:worker`.
    pub auth: Upstream,
}

/// Why worker-svc cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database could not be migrated.
    #[error("the worker database: {0}")]
    Db(#[from] mesh::db::DbError),
    /// The planned jobs could not be written down.
    #[error("the worker database: {0}")]
    Query(#[from] sea_orm::DbErr),
    /// A queue could not be declared.
    #[error("the worker queues: {0}")]
    Bus(#[from] mesh::bus::BusError),
    /// This program does not know where it is.
    #[error("worker.program: {0}")]
    Program(std::io::Error),
}

/// The jobs that come back.
fn planned(chat: Upstream) -> Vec<Planned> {
    vec![
        Planned {
            name: "forget-handled-messages",
            plan: Plan::new("15 3 * * *"),
            run: Box::new(|db, now| Box::pin(async move { Ok(mesh::inbox::forget(&db, now - REMEMBERED).await?) })),
        },
        Planned {
            name: "forget-deliveries",
            plan: Plan::new("30 3 * * *"),
            run: Box::new(|db, now| {
                Box::pin(async move { Ok(store::delivery::forget_before(&db, now - REMEMBERED).await?) })
            }),
        },
        Planned {
            name: "expire-messages",
            plan: Plan::new("*/10 * * * *"),
            run: Box::new(move |_, _| Box::pin(expiry::run(chat.clone()))),
        },
        Planned {
            name: "forget-link-previews",
            plan: Plan::new("45 3 * * *"),
            run: Box::new(|db, now| {
                Box::pin(async move { Ok(store::link_preview::forget_before(&db, now - previews::REMEMBERED).await?) })
            }),
        },
        Planned {
            name: "forget-mentions",
            plan: Plan::new("0 4 * * *"),
            run: Box::new(|db, now| {
                Box::pin(async move { Ok(store::mention::forget_before(&db, now - mentions::KEPT).await?) })
            }),
        },
    ]
}

/// The queues that worker-svc handles.
pub fn queues() -> Vec<QueueSpec> {
    let [mentioned, rounds] = mentions::queues();
    let webhooks = [webhooks::idle_events(), webhooks::requests()];
    [vec![files::queue(), schedule::queue(), previews::queue(), mentioned, rounds], webhooks.to_vec()].concat()
}

/// Makes worker-svc ready.
///
/// # Errors
/// When the database cannot be migrated or the queues cannot be declared.
pub async fn start(config: &Config, deps: Deps) -> Result<Service, StartError> {
    let Deps { db, bus, blobs, clock, tasks, file, chat, auth } = deps;
    db.migrate::<Migrator>().await?;
    let program = match config.program.as_os_str().is_empty() {
        true => this_program().map_err(StartError::Program)?,
        false => config.program.clone(),
    };
    let queue = files::queue();
    bus.declare(&queue).await?;
    let job = files::FileJob {
        blobs,
        processing: ProcessingServiceClient::new(file),
        sandbox: sandbox::Sandbox::new(program),
    };
    let outbound = Outbound::new(REQUEST_LIMITS, config.allow_networks.clone());
    let webhooks = Webhooks { db: db.clone(), bus: bus.clone(), clock: clock.clone(), outbound };
    bus.declare(&webhooks::requests()).await?;
    webhooks.listen().await?;
    let (previews, mentions) = set_off(config, &db, &clock, auth, chat.clone());
    for queue in mentions::queues().iter().chain([&previews::queue()]) {
        bus.declare(queue).await?;
    }
    let log = audit::AuditRpc(db.clone());
    let schedule = Schedule::new(db, bus.clone(), clock, planned(chat));
    schedule.prepare().await?;
    let scheduler = schedule::queue();
    bus.declare(&scheduler).await?;
    let scheduling = {
        let (bus, schedule, stopping) = (bus.clone(), schedule.clone(), tasks.stopping());
        async move {
            let handler = move |delivery| schedule::handle(schedule.clone(), delivery);
            bus.consume(&scheduler, PREFETCH, stopping, handler).await;
        }
    };
    let consumer = {
        let (bus, stopping) = (bus.clone(), tasks.stopping());
        async move {
            bus.consume(&queue, PREFETCH, stopping, move |delivery| job.clone().handle(delivery)).await;
        }
    };
    let spreading = {
        let (bus, webhooks, stopping) = (bus.clone(), webhooks.clone(), tasks.stopping());
        async move {
            bus.consume(&webhooks::events(), PREFETCH, stopping, move |came| webhooks.clone().spread(came)).await;
        }
    };
    let requesting = {
        let (bus, webhooks, stopping) = (bus.clone(), webhooks.clone(), tasks.stopping());
        async move {
            bus.consume(&webhooks::requests(), REQUESTS, stopping, move |came| webhooks.clone().request(came)).await;
        }
    };
    let mentioning = mentions.run(bus.clone(), tasks.stopping());
    let previewing = previews.run(bus.clone(), tasks.stopping());
    let mut routes = Routes::builder();
    routes.add_service(AuditServiceServer::new(log));
    routes.add_service(WebhookServiceServer::new(WebhookRpc(webhooks)));
    routes.add_service(JobServiceServer::new(jobs::Jobs {
        bus,
        schedule: schedule.clone(),
        stopping: tasks.stopping(),
    }));
    let background: Vec<(&'static str, BoxFuture<'static, ()>)> = vec![
        ("worker-files", Box::pin(consumer)),
        ("worker-scheduler", Box::pin(scheduling)),
        ("worker-schedule", Box::pin(schedule.run(tasks.stopping()))),
        ("worker-webhook-events", Box::pin(spreading)),
        ("worker-webhook-requests", Box::pin(requesting)),
        ("worker-previews", Box::pin(previewing)),
        ("worker-mentions", Box::pin(mentioning)),
    ];
    Ok(Service { routes: routes.routes(), direct: Direct::default(), methods: METHODS, background })
}

/// What is done about the links and names in messages.
fn set_off(config: &Config, db: &Db, clock: &Clock, auth: Upstream, chat: Upstream) -> (Previews, Mentions) {
    let previews = Previews {
        enabled: config.link_previews,
        db: db.clone(),
        clock: clock.clone(),
        outbound: Outbound::new(previews::LIMITS, config.allow_networks.clone()),
        chat: PreviewServiceClient::new(chat.clone()),
    };
    let after = Duration::from_secs(config.mention_mail_after_seconds.into());
    let mentions = Mentions {
        after: (!after.is_zero()).then_some(after),
        db: db.clone(),
        clock: clock.clone(),
        auth: MailServiceClient::new(auth),
        chat: MentionServiceClient::new(chat),
    };
    (previews, mentions)
}

/// This very program, also after an update has put another one in its place.
fn this_program() -> std::io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() { Ok(running) } else { std::env::current_exe() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_has_an_entry_and_every_entry_a_method() {
        let mut listed: Vec<&str> = METHODS.iter().map(|method| method.path).collect();
        listed.sort_unstable();
        assert_eq!(listed, proto::method_paths(|package| package.starts_with("loquat.worker.")));
    }
}
