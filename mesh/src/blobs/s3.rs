//! Blobs on S3, by its older and widely spoken half: path style, signed payloads, parts of 5 MiB.
//!
//! Servers differ. Zenko CloudServer ignores conditional puts, knows only the host names it was told, and runs no lifecycle
//! rules: so keys are written once, there is one endpoint for this server and one that is signed for browsers, and multipart
//! uploads that were cut off are found by markers of our own (`multipart/…`) and aborted.

use std::{sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http::Method;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, PutPayload, RetryConfig,
    aws::{AmazonS3, AmazonS3Builder},
    multipart::{MultipartStore as _, PartId},
    path::Path as Key,
    signer::{SignedUrlOptions, Signer as _},
};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{BlobError, Blobs, PART_BYTES};
use crate::config::Secret;

/// Where multipart uploads under way are noted.
const MARKERS: &str = "multipart";
/// How long the store may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long it may take to answer one request.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a request is tried again. Short: the sender holds what it sends, and is told to come again.
const RETRY_WITHIN: Duration = Duration::from_secs(3);
/// Parts of one size.
const SAME_PARTS: usize = 1000;
const BUCKET_LIFE: Duration = Duration::from_secs(60);

/// The section `file.s3` of the configuration: how the bucket of `file.blobs = "s3://BUCKET"` is reached.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct S3Config {
    /// Where this server reaches the store, such as `http://s3:8000`. Empty: that of Amazon for the region.
    pub endpoint: String,
    /// Where browsers reach it, for signed addresses; another host name would not match the signature. Empty: `endpoint`.
    pub public_endpoint: String,
    /// Default `us-east-1`.
    pub region: String,
    /// The access key.
    pub access_key: String,
    /// The secret key.
    pub secret_key: Secret,
    /// Make the bucket when it is not there (the default).
    pub make_bucket: bool,
}

impl Default for S3Config {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            public_endpoint: String::new(),
            region: "us-east-1".into(),
            access_key: String::new(),
            secret_key: Secret::default(),
            make_bucket: true,
        }
    }
}

/// A bucket.
pub(super) struct S3 {
    store: Arc<AmazonS3>,
    /// The same bucket as browsers see it.
    public: AmazonS3,
    make_bucket: bool,
    region: String,
    http: reqwest::Client,
}

impl S3 {
    pub(super) fn open(bucket: &str, config: &S3Config) -> Result<Self, BlobError> {
        let bucket = bucket.trim_end_matches('/');
        if bucket.is_empty() || bucket.contains('/') {
            return Err(BlobError::Url(format!("s3://{bucket}")));
        }
        if config.access_key.is_empty() || config.secret_key.is_empty() {
            return Err(BlobError::Config("set file.s3.access_key and file.s3.secret_key".into()));
        }
        // Fails when somebody else chose a provider before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let at = |endpoint: &str| builder(bucket, config, endpoint).build();
        let public = if config.public_endpoint.is_empty() { &config.endpoint } else { &config.public_endpoint };
        let http = reqwest::Client::builder().connect_timeout(CONNECT_WITHIN).timeout(ANSWER_WITHIN).build();
        Ok(Self {
            store: Arc::new(at(&config.endpoint)?),
            public: at(public)?,
            make_bucket: config.make_bucket,
            region: config.region.clone(),
            http: http.map_err(|cause| BlobError::Config(cause.to_string()))?,
        })
    }

    pub(super) fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }

    /// Whether a put failed because there is no bucket yet, and it is to be made.
    pub(super) const fn makes_bucket(&self, cause: &object_store::Error) -> bool {
        self.make_bucket && matches!(cause, object_store::Error::NotFound { .. })
    }

    pub(super) async fn make_bucket(&self) -> Result<(), BlobError> {
        let url = self.store.signed_url(Method::PUT, &Key::default(), BUCKET_LIFE).await?;
        // The oldest region is named by not naming it.
        let body = if self.region == "us-east-1" {
            String::new()
        } else {
            format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{}\
                 </LocationConstraint></CreateBucketConfiguration>",
                self.region
            )
        };
        // The address is a secret for a while: it is kept out of the error.
        let refused = |cause: reqwest::Error| BlobError::Bucket(cause.without_url().to_string());
        let answer = self.http.put(url).body(body).send().await.map_err(refused)?;
        let status = answer.status();
        // 409: somebody else was quicker, or it is ours already.
        if status.is_success() || status == http::StatusCode::CONFLICT {
            return Ok(());
        }
        let said = answer.text().await.unwrap_or_default();
        Err(BlobError::Bucket(format!("{status} {}", said.chars().take(300).collect::<String>())))
    }

    /// Small blobs go in one request. Larger ones in parts, noted by a marker until they are complete.
    pub(super) async fn put_stream(
        &self,
        blobs: &Blobs,
        key: &str,
        source: impl Stream<Item = Result<Bytes, BlobError>> + Send,
    ) -> Result<u64, BlobError> {
        let mut source = std::pin::pin!(source);
        let mut held = BytesMut::new();
        let mut parts: Option<Parts> = None;
        loop {
            let next = match source.next().await {
                Some(Ok(chunk)) => Some(chunk),
                None => None,
                Some(Err(cause)) => {
                    if let Some(parts) = parts {
                        parts.abort(self, blobs).await?;
                    }
                    return Err(cause);
                }
            };
            let ended = next.is_none();
            held.extend_from_slice(&next.unwrap_or_default());
            if ended && parts.is_none() {
                let size = held.len() as u64;
                blobs.put(key, held.freeze()).await?;
                return Ok(size);
            }
            loop {
                let full = part_bytes(parts.as_ref().map_or(0, |parts| parts.done.len()));
                let rest = ended && !held.is_empty();
                if held.len() < full && !rest {
                    break;
                }
                let part = held.split_to(held.len().min(full)).freeze();
                let mut sending = match parts.take() {
                    Some(parts) => parts,
                    None => Parts::begin(self, blobs, key).await?,
                };
                if let Err(cause) = sending.put(self, part).await {
                    // The marker stays when the store is away altogether, and the sweep aborts it later.
                    let _ = sending.abort(self, blobs).await;
                    return Err(cause);
                }
                parts = Some(sending);
            }
            if ended && let Some(parts) = parts.take() {
                return parts.complete(self, blobs).await;
            }
        }
    }

    pub(super) async fn drop_leftovers(&self, blobs: &Blobs, before: OffsetDateTime) -> Result<usize, BlobError> {
        let markers = blobs.list(MARKERS).try_filter(|marker| futures::future::ready(marker.at < before));
        let markers: Vec<_> = markers.take(1000).try_collect().await?;
        for marker in &markers {
            let size = blobs.size(&marker.key).await?.unwrap_or(0);
            let text: Vec<Bytes> = blobs.get_range(&marker.key, 0..size).await?.try_collect().await?;
            let text = String::from_utf8_lossy(&text.concat()).into_owned();
            if let Some((key, id)) = text.split_once('\n') {
                match self.store.abort_multipart(&Key::from(key), &id.to_owned()).await {
                    Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                    Err(cause) => return Err(cause.into()),
                }
            }
            blobs.delete(&marker.key).await?;
        }
        Ok(markers.len())
    }

    pub(super) async fn url_to_get(
        &self,
        key: &str,
        content_type: &str,
        disposition: &str,
        life: Duration,
    ) -> Result<String, BlobError> {
        let options = SignedUrlOptions::new().with_query([
            ("response-content-type", content_type),
            ("response-content-disposition", disposition),
            ("response-cache-control", "private, no-store"),
        ]);
        let url = self.public.signed_url_opts(Method::GET, &Key::from(key), life, &options).await?;
        Ok(url.to_string())
    }

    pub(super) async fn url_to_put(&self, key: &str, life: Duration) -> Result<String, BlobError> {
        let url = self.public.signed_url(Method::PUT, &Key::from(key), life).await?;
        Ok(url.to_string())
    }
}

/// How large the part of a number is, from 0 on. S3 takes 10,000 of them: they double after every thousand, so that almost the 5 TiB
/// fit which S3 takes at most, and what is held in memory stays below two thousandths of what was sent.
const fn part_bytes(number: usize) -> usize {
    let doublings = number / SAME_PARTS;
    PART_BYTES << (if doublings < 9 { doublings } else { 9 })
}

fn builder(bucket: &str, config: &S3Config, endpoint: &str) -> AmazonS3Builder {
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_millis(500),
            ..BackoffConfig::default()
        },
        max_retries: 3,
        retry_timeout: RETRY_WITHIN,
    };
    let options = ClientOptions::new()
        .with_allow_http(true)
        .with_connect_timeout(CONNECT_WITHIN)
        // Also bounds a streamed answer: what takes longer is read on by a new request.
        .with_timeout_disabled()
        .with_read_timeout(ANSWER_WITHIN);
    let builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&config.region)
        .with_access_key_id(&config.access_key)
        .with_secret_access_key(config.secret_key.reveal())
        .with_virtual_hosted_style_request(false)
        .with_client_options(options)
        .with_retry(retry);
    if endpoint.is_empty() { builder } else { builder.with_endpoint(endpoint.trim_end_matches('/')) }
}

/// A multipart upload under way.
struct Parts {
    key: Key,
    id: String,
    marker: String,
    done: Vec<PartId>,
    size: u64,
}

impl Parts {
    async fn begin(s3: &S3, blobs: &Blobs, key: &str) -> Result<Self, BlobError> {
        let marker = format!("{MARKERS}/{}", crate::ids::new_id());
        let key_path = Key::from(key);
        let id = match s3.store.create_multipart(&key_path).await {
            Err(cause) if s3.makes_bucket(&cause) => {
                s3.make_bucket().await?;
                s3.store.create_multipart(&key_path).await?
            }
            outcome => outcome?,
        };
        let parts = Self { key: key_path, id, marker, done: Vec::new(), size: 0 };
        // Before the first byte: an upload without a marker holds nothing.
        if let Err(cause) = blobs.put(&parts.marker, format!("{key}\n{}", parts.id).into()).await {
            let _ = s3.store.abort_multipart(&parts.key, &parts.id).await;
            return Err(cause);
        }
        Ok(parts)
    }

    async fn put(&mut self, s3: &S3, part: Bytes) -> Result<(), BlobError> {
        self.size += part.len() as u64;
        let done = s3.store.put_part(&self.key, &self.id, self.done.len(), PutPayload::from(part)).await?;
        self.done.push(done);
        Ok(())
    }

    async fn complete(self, s3: &S3, blobs: &Blobs) -> Result<u64, BlobError> {
        s3.store.complete_multipart(&self.key, &self.id, self.done).await?;
        blobs.delete(&self.marker).await?;
        Ok(self.size)
    }

    async fn abort(self, s3: &S3, blobs: &Blobs) -> Result<(), BlobError> {
        s3.store.abort_multipart(&self.key, &self.id).await?;
        blobs.delete(&self.marker).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_hold_the_largest_blob() {
        const MIB: u64 = 1024 * 1024;
        let sizes: Vec<u64> = (0..10_000).map(|number| part_bytes(number) as u64).collect();
        assert!(sizes[..1000].iter().all(|size| *size == 5 * MIB), "ordinary files are sent in small parts");
        assert!(sizes.is_sorted() && sizes.iter().all(|size| *size <= 5 * 1024 * MIB), "S3 takes no larger part");
        let all: u64 = sizes.iter().sum();
        assert!((4_900_000 * MIB..=5 * 1024 * 1024 * MIB).contains(&all), "{} MiB", all / MIB);
        let mut sent = 0;
        for size in &sizes {
            assert!(*size <= (5 * MIB).max(sent / 500), "{size} in hand after {sent}");
            sent += size;
        }
    }
}
