//! etcd over its API, version 3 (`etcd/api/etcdserverpb/rpc.proto`): only the fields that the load needs.

use anyhow::{Result, anyhow, bail};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http::uri::PathAndQuery;
use prost::Message;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;

use crate::target::{self, PREFIX, Target};

/// Connections that many clients share; more made etcd slower on two cores.
const CONNECTIONS: usize = 16;
/// Answers to a range of 10 000 keys are larger than the default of 4 MiB.
const LARGEST_ANSWER: usize = 1 << 30;

/// Clients of etcd.
#[derive(Debug, Clone)]
pub(crate) struct Etcd {
    channels: Vec<Channel>,
    index: usize,
}

#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct PutResponse {}

#[derive(Clone, PartialEq, Message)]
struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    range_end: Bytes,
    #[prost(int64, tag = "3")]
    limit: i64,
}

#[derive(Clone, PartialEq, Message)]
struct RangeResponse {
    #[prost(message, repeated, tag = "2")]
    kvs: Vec<KeyValue>,
}

/// A key, or what it held.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeyValue {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "5")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    create_request: Option<WatchCreateRequest>,
}

#[derive(Clone, PartialEq, Message)]
struct WatchCreateRequest {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    range_end: Bytes,
}

/// What a watch sends.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct WatchResponse {
    #[prost(bool, tag = "3")]
    created: bool,
    #[prost(bool, tag = "4")]
    canceled: bool,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Event>,
}

/// A change.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Event {
    #[prost(message, optional, tag = "2")]
    kv: Option<KeyValue>,
}

impl Etcd {
    /// Clients of the etcd at `url`, which connect when they are first used.
    ///
    /// # Errors
    ///
    /// Fails where `url` is none.
    pub(crate) fn at(url: &str) -> Result<Self> {
        let endpoint = Endpoint::from_shared(url.to_owned())?.tcp_nodelay(true);
        Ok(Self {
            channels: (0..CONNECTIONS).map(|_| endpoint.connect_lazy()).collect(),
            index: 0,
        })
    }

    async fn grpc(&self) -> Result<Grpc<Channel>> {
        let channel = self
            .channels
            .get(self.index % CONNECTIONS)
            .ok_or_else(|| anyhow!("no connection"))?;
        let mut grpc = Grpc::new(channel.clone()).max_decoding_message_size(LARGEST_ANSWER);
        grpc.ready().await?;
        Ok(grpc)
    }

    async fn ask<Q, A>(&self, path: &'static str, question: Q) -> Result<A>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let path = PathAndQuery::from_static(path);
        let codec = ProstCodec::<Q, A>::default();
        let answer = self
            .grpc()
            .await?
            .unary(Request::new(question), path, codec)
            .await?;
        Ok(answer.into_inner())
    }
}

/// The end of a range that begins with [`PREFIX`]: its last byte, one higher.
fn range_end() -> Bytes {
    let mut end = PREFIX.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end.into()
}

impl Target for Etcd {
    type Watch = Streaming<WatchResponse>;

    async fn put(&self, name: &str, bytes: usize) -> Result<()> {
        let put = PutRequest {
            key: format!("{PREFIX}{name}").into(),
            value: target::bytes(bytes),
        };
        self.ask::<_, PutResponse>("/etcdserverpb.KV/Put", put).await?;
        Ok(())
    }

    async fn range(&self, limit: usize) -> Result<(usize, usize)> {
        let range = RangeRequest {
            key: Bytes::from_static(PREFIX.as_bytes()),
            range_end: range_end(),
            limit: i64::try_from(limit)?,
        };
        let found: RangeResponse = self.ask("/etcdserverpb.KV/Range", range).await?;
        let bytes = found.kvs.iter().map(|kv| kv.value.len()).sum();
        Ok((found.kvs.len(), bytes))
    }

    async fn watch(&self) -> Result<Self::Watch> {
        let create = WatchRequest {
            create_request: Some(WatchCreateRequest {
                key: Bytes::from_static(PREFIX.as_bytes()),
                range_end: range_end(),
            }),
        };
        // The stream of requests stays open: its end would end the watch.
        let questions = stream::once(std::future::ready(create)).chain(stream::pending());
        let path = PathAndQuery::from_static("/etcdserverpb.Watch/Watch");
        let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
        let answer = self
            .grpc()
            .await?
            .streaming(Request::new(questions), path, codec)
            .await?;
        let mut events = answer.into_inner();
        match events.message().await? {
            Some(first) if first.created => Ok(events),
            other => bail!("the watch did not begin: {other:?}"),
        }
    }

    fn client(&self, index: usize) -> Self {
        Self {
            index,
            ..self.clone()
        }
    }

    async fn close(self) {}
}

impl target::Watch for Streaming<WatchResponse> {
    async fn next(&mut self) -> Result<usize> {
        match self.message().await? {
            Some(answer) if !answer.canceled => Ok(answer.events.len()),
            other => bail!("the watch ended: {other:?}"),
        }
    }
}
