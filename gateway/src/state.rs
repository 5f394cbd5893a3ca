//! What the edges share.

use std::sync::Arc;

use mesh::{
    authn::{Authn, Origin, UserPrincipal},
    lifecycle::Tasks,
    rpc::Upstream,
};
use tonic::Status;

use crate::{
    hub::Hub,
    limits::{Class, Limits},
    methods::Methods,
    origin::Origins,
    programs::Programs,
    session::Cookies,
};

/// The services behind the gateway.
#[derive(Clone)]
pub struct Upstreams {
    /// auth-svc.
    pub auth: Upstream,
    /// chat-svc.
    pub chat: Upstream,
    /// file-svc.
    pub file: Upstream,
    /// worker-svc.
    pub worker: Upstream,
}

/// What the edges share.
pub(crate) struct State {
    /// For calls with the caller's own token.
    pub(crate) upstreams: Upstreams,
    /// chat-svc, called as `service:gateway`.
    pub(crate) chat: Upstream,
    pub(crate) authn: Authn,
    pub(crate) tasks: Tasks,
    pub(crate) hub: Hub,
    pub(crate) cookies: Cookies,
    pub(crate) programs: Programs,
    pub(crate) origins: Origins,
    pub(crate) limits: Arc<Limits>,
    pub(crate) methods: Methods,
    /// Answered by the gateway itself, as is reflection.
    pub(crate) health: Upstream,
    pub(crate) reflection: Upstream,
}

impl State {
    /// Who has this token, an access token or a program's own.
    pub(crate) async fn who(&self, token: &str, origin: &Origin) -> Result<Arc<UserPrincipal>, Status> {
        let signed = self.programs.signed(token, origin).await?;
        self.authn.verify(&signed).await
    }

    /// Counts a call with this token. What it is worth, the service that is called finds out: one that is not good is nobody's.
    pub(crate) async fn counted(&self, signed: &str, class: Option<Class>) -> Result<(), Status> {
        match self.authn.verify(signed).await {
            Ok(user) => self.limits.calls(&self.limits.account(user.user_id), class),
            Err(_) => Ok(()),
        }
    }

    /// The service that answers a method of a public package; nothing for internal and unknown packages.
    pub(crate) fn route(&self, path: &str) -> Option<&Upstream> {
        let package = path.strip_prefix('/')?.split_once('/')?.0.rsplit_once('.')?.0;
        match package {
            "loquat.auth.v1" => Some(&self.upstreams.auth),
            "loquat.chat.v1" => Some(&self.upstreams.chat),
            "loquat.file.v1" => Some(&self.upstreams.file),
            "loquat.worker.v1" => Some(&self.upstreams.worker),
            "grpc.health.v1" => Some(&self.health),
            "grpc.reflection.v1" | "grpc.reflection.v1alpha" => Some(&self.reflection),
            _ => None,
        }
    }
}

/// The state as handlers hold it.
pub(crate) type Shared = Arc<State>;
