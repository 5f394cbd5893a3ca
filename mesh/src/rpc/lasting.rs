//! Calls that last, such as a stream that somebody watches or a large file on its way: they are ended when what they were allowed by
//! is taken away. Other calls are over before that matters, and cost nothing here.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::{
    FutureExt as _,
    future::{self, BoxFuture, Shared},
};
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use tokio::sync::broadcast::error::RecvError;
use tonic::Status;

use super::Body;
use crate::authn::{Authn, UserPrincipal};

/// Comes when the caller's session has ended, or the account's rights have changed, with what the call is ended with.
type Lost = Shared<BoxFuture<'static, Status>>;

/// A call of somebody's that may last.
pub(super) struct Lasting {
    lost: Lost,
}

impl Lasting {
    pub(super) fn of(authn: &Authn, user: Arc<UserPrincipal>) -> Self {
        Self { lost: lost(authn.clone(), user).boxed().shared() }
    }

    /// What the caller sends breaks off when the right is lost: nobody goes on bringing something in.
    pub(super) fn asks(&self, request: Request<Body>) -> Request<Body> {
        request.map(|body| held(body, &self.lost, Way::In))
    }

    /// The answer, which ends when the right is lost, whether it has begun or not.
    ///
    /// # Errors
    /// Those of the call, and UNAUTHENTICATED as [`Authn::recheck`] tells it.
    pub(super) async fn answers(
        self,
        call: impl Future<Output = Result<Response<Body>, Status>>,
    ) -> Result<Response<Body>, Status> {
        let answered = tokio::select! {
            biased;
            ended = self.lost.clone() => Err(ended),
            answered = call => answered,
        };
        Ok(answered?.map(|body| held(body, &self.lost, Way::Out)))
    }
}

async fn lost(authn: Authn, user: Arc<UserPrincipal>) -> Status {
    let mut told = authn.revocations().listen();
    loop {
        // Before anything is waited for as well: it may have been taken away since the caller was verified.
        if let Err(ended) = authn.recheck(&user) {
            return ended;
        }
        // That some of what was told was lost is a reason to look, too.
        if let Err(RecvError::Closed) = told.recv().await {
            return future::pending().await;
        }
    }
}

/// Which way a body goes, seen from the service.
#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

/// A body that ends when the right to it is lost. Passes frames on as they come, trailers included.
struct Held {
    body: Body,
    /// Nothing once the last word was said.
    lost: Option<Lost>,
    way: Way,
}

fn held(body: Body, lost: &Lost, way: Way) -> Body {
    Body::new(Held { body, lost: Some(lost.clone()), way })
}

impl http_body::Body for Held {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if let Some(lost) = &mut this.lost
            && let Poll::Ready(ended) = lost.poll_unpin(context)
        {
            this.lost = None;
            // Whoever made it is let go at once.
            this.body = Body::empty();
            return Poll::Ready(Some(this.way.last(ended)));
        }
        let next = ready!(Pin::new(&mut this.body).poll_frame(context));
        if !matches!(&next, Some(Ok(frame)) if frame.is_data()) {
            this.lost = None;
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

impl Way {
    /// The last frame of a body that is ended: an answer has its status in its trailers, what is sent just breaks off.
    fn last(self, ended: Status) -> Result<Frame<Bytes>, Status> {
        match self {
            Self::In => Err(ended),
            Self::Out => {
                let mut trailers = HeaderMap::new();
                ended.add_header(&mut trailers)?;
                Ok(Frame::trailers(trailers))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use http_body_util::{BodyExt as _, StreamBody};
    use time::OffsetDateTime;
    use tokio::sync::mpsc;
    use tokio_stream::wrappers::ReceiverStream;
    use uuid::Uuid;

    use super::*;
    use crate::{
        authn::{KeyStore, MeshSecret, Revocation},
        clock::Clock,
        config::Secret,
        errors,
    };

    const USER: Uuid = Uuid::from_u128(1);
    const SESSION: Uuid = Uuid::from_u128(2);

    type Frames = mpsc::Sender<Result<Frame<Bytes>, Status>>;

    fn authn() -> Authn {
        let clock = Clock::system();
        let secret = Secret::new("a secret of more than thirty-two bytes");
        let secret = MeshSecret::open(&secret, Path::new("no file is needed")).unwrap();
        let keys = KeyStore::new(Arc::new(|| Box::pin(async { Ok(Vec::new()) })), clock.clone());
        Authn::new("loquat", keys, secret, clock)
    }

    fn lasting(authn: &Authn) -> Lasting {
        let (role, expires_at) = ("admin".into(), OffsetDateTime::UNIX_EPOCH);
        let user = UserPrincipal { user_id: USER, session_id: SESSION, role, expires_at, epoch: 1, scopes: None };
        Lasting::of(authn, Arc::new(user))
    }

    fn body() -> (Frames, Body) {
        let (sender, frames) = mpsc::channel(4);
        (sender, Body::new(StreamBody::new(ReceiverStream::new(frames))))
    }

    async fn answer(lasting: Lasting) -> (Frames, Body) {
        let (sender, body) = body();
        let answered = lasting.answers(future::ready(Ok(Response::new(body)))).await;
        (sender, answered.unwrap().into_body())
    }

    async fn data(body: &mut Body) -> Bytes {
        body.frame().await.unwrap().unwrap().into_data().unwrap()
    }

    fn ended(sessions: &[Uuid]) -> Revocation {
        Revocation { sessions: sessions.to_vec(), ..Revocation::default() }
    }

    #[tokio::test]
    async fn an_answer_passes_as_it_comes_with_its_trailers() {
        let authn = authn();
        let (sender, mut body) = answer(lasting(&authn)).await;
        for part in ["first", "second"] {
            sender.send(Ok(Frame::data(part.into()))).await.unwrap();
            assert_eq!(data(&mut body).await, part, "nothing waits for what comes later");
        }
        authn.revocations().add(&ended(&[Uuid::from_u128(3)]));
        sender.send(Ok(Frame::data("third".into()))).await.unwrap();
        assert_eq!(data(&mut body).await, "third", "somebody else's session is none of its business");
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        sender.send(Ok(Frame::trailers(trailers.clone()))).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_trailers().unwrap(), trailers);
        authn.revocations().add(&ended(&[SESSION]));
        drop(sender);
        assert!(body.frame().await.is_none(), "what has ended well is not ended again");
    }

    #[tokio::test]
    async fn an_answer_ends_with_the_session() {
        let authn = authn();
        let (sender, mut body) = answer(lasting(&authn)).await;
        sender.send(Ok(Frame::data("before".into()))).await.unwrap();
        assert_eq!(data(&mut body).await, "before");
        let (last, ()) = tokio::join!(body.frame(), async {
            authn.revocations().add(&ended(&[SESSION]));
        });
        let trailers = last.unwrap().unwrap().into_trailers().unwrap();
        let status = Status::from_header_map(&trailers).unwrap();
        assert_eq!((status.code(), errors::reason(&status).as_str()), (tonic::Code::Unauthenticated, "SESSION_ENDED"));
        assert!(sender.is_closed(), "the handler's stream is let go");
        assert!(body.frame().await.is_none());
    }

    #[tokio::test]
    async fn what_is_sent_breaks_off_and_the_call_with_it() {
        let authn = authn();
        let lasting = lasting(&authn);
        let (sender, body) = body();
        let mut sent = lasting.asks(Request::new(body)).into_body();
        sender.send(Ok(Frame::data("before".into()))).await.unwrap();
        assert_eq!(data(&mut sent).await, "before");
        let changes = async {
            tokio::task::yield_now().await;
            authn.revocations().add(&Revocation { epochs: vec![(USER, 2)], ..Revocation::default() });
        };
        let (answered, broken, ()) = tokio::join!(lasting.answers(future::pending()), sent.frame(), changes);
        for status in [answered.unwrap_err(), broken.unwrap().unwrap_err()] {
            assert_eq!(errors::reason(&status), "TOKEN_EXPIRED", "the role may be another one now");
        }
        assert!(sender.is_closed(), "nothing more is taken");
    }

    #[tokio::test]
    async fn what_was_lost_before_the_call_began_counts() {
        let authn = authn();
        let late = lasting(&authn);
        authn.revocations().add(&ended(&[SESSION]));
        let refused = late.answers(future::ready(Ok(Response::new(Body::empty())))).await.unwrap_err();
        assert_eq!(errors::reason(&refused), "SESSION_ENDED");
    }
}
