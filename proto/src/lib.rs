//! The contracts: Rust types, clients and servers generated from `proto/loquat/**.proto`, with their descriptors.
//!
//! Owns nothing but what is generated and the naming rule of bus events. Imports no crate of the workspace.

use std::sync::LazyLock;

use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor, SerializeOptions};
use prost_types::FileDescriptorSet;

#[allow(missing_docs, clippy::all, clippy::pedantic, reason = "generated; documented in the .proto files")]
mod generated {
    /// `loquat.*`
    pub mod loquat {
        pub mod auth {
            pub mod v1 {
                tonic::include_proto!("loquat.auth.v1");
            }
            pub mod internal {
                pub mod v1 {
                    tonic::include_proto!("loquat.auth.internal.v1");
                }
            }
        }
        pub mod chat {
            pub mod v1 {
                tonic::include_proto!("loquat.chat.v1");
            }
            pub mod internal {
                pub mod v1 {
                    tonic::include_proto!("loquat.chat.internal.v1");
                }
            }
        }
        pub mod file {
            pub mod v1 {
                tonic::include_proto!("loquat.file.v1");
            }
            pub mod internal {
                pub mod v1 {
                    tonic::include_proto!("loquat.file.internal.v1");
                }
            }
        }
        pub mod edge {
            pub mod v1 {
                tonic::include_proto!("loquat.edge.v1");
            }
        }
        pub mod worker {
            pub mod v1 {
                tonic::include_proto!("loquat.worker.v1");
            }
        }
    }
}

pub use generated::loquat::{auth, chat, edge, file, worker};

/// The encoded `FileDescriptorSet` of every package, internal ones included: for reflection on the ops port.
pub const ALL_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/all.bin"));

/// The encoded `FileDescriptorSet` of the public packages: for reflection on the public port.
pub const PUBLIC_DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/public.bin"));

/// Without comments, which only reflection tells.
static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    let set = FileDescriptorSet::decode(ALL_DESCRIPTORS);
    let mut set = set.unwrap_or_else(|cause| unreachable!("built by build.rs: {cause}"));
    set.file.iter_mut().for_each(|file| file.source_code_info = None);
    DescriptorPool::from_file_descriptor_set(set).unwrap_or_else(|cause| unreachable!("built by build.rs: {cause}"))
});

/// A service of the contracts.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    /// Its package, such as `loquat.chat.v1`.
    pub package: &'static str,
    /// Its full name, such as `loquat.chat.v1.RoomService`.
    pub name: &'static str,
    /// Its methods, in the order of the contract.
    pub methods: &'static [Method],
}

/// A method of a service.
#[derive(Clone, Copy, Debug)]
pub struct Method {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// It takes or answers a stream.
    pub streams: bool,
}

/// Every service, internal ones included: what can be known without the descriptors, which take much memory.
pub static SERVICES: &[Service] = include!(concat!(env!("OUT_DIR"), "/services.rs"));

/// Full method paths (`/package.Service/Method`) of every service whose package satisfies `wanted`, sorted.
pub fn method_paths(wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let services = SERVICES.iter().filter(|service| wanted(service.package));
    let mut paths: Vec<String> =
        services.flat_map(|service| service.methods).map(|method| method.path.to_owned()).collect();
    paths.sort();
    paths
}

/// The bus name of an event type: `loquat.chat.v1.MessagePosted` is `Loquat.Chat.V1:MessagePosted`, the exchange and (behind
/// `urn:message:`) the message type that MassTransit would give a .NET type of that namespace.
pub fn event_kind<M: Name>() -> String {
    let namespace: Vec<String> = M::PACKAGE
        .split('.')
        .map(|part| {
            let mut letters = part.chars();
            letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
        })
        .collect();
    format!("{}:{}", namespace.join("."), M::NAME)
}

/// A message as camelCase proto3 JSON with 64-bit integers as numbers and enums as names: what bus events carry.
///
/// # Errors
/// When the type is not in the contracts, which the compiler rules out for generated types, or does not fit JSON.
pub fn to_json<M: Message + Name>(message: &M) -> Result<serde_json::Value, JsonError> {
    let descriptor = POOL.get_message_by_name(&M::full_name()).ok_or(JsonError::UnknownType)?;
    let dynamic = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice())?;
    let options = SerializeOptions::new().stringify_64_bit_integers(false);
    Ok(dynamic.serialize_with_options(serde_json::value::Serializer, &options)?)
}

/// The reverse of [`to_json`]; fields that the type does not have are skipped, since a newer sender may know more. Names may be
/// of any case: programs of another make may begin them with capitals.
///
/// # Errors
/// When a field has the wrong type.
pub fn from_json<M: Message + Name + Default>(value: &serde_json::Value) -> Result<M, JsonError> {
    let descriptor = POOL.get_message_by_name(&M::full_name()).ok_or(JsonError::UnknownType)?;
    let options = prost_reflect::DeserializeOptions::new().deny_unknown_fields(false);
    let dynamic = DynamicMessage::deserialize_with_options(descriptor.clone(), renamed(value, &descriptor), &options)?;
    Ok(dynamic.transcode_to()?)
}

/// The same value with the names of fields as the contracts have them.
fn renamed(value: &serde_json::Value, message: &MessageDescriptor) -> serde_json::Value {
    use serde_json::Value;
    let Value::Object(members) = value else { return value.clone() };
    let member = |(name, value): (&String, &Value)| {
        let field = message.fields().find(|field| field.json_name().eq_ignore_ascii_case(name));
        let Some(field) = field else { return (name.clone(), value.clone()) };
        let value = match (field.kind(), value) {
            (Kind::Message(_), value) if field.is_map() => value.clone(),
            (Kind::Message(inner), Value::Array(items)) => items.iter().map(|item| renamed(item, &inner)).collect(),
            (Kind::Message(inner), value) => renamed(value, &inner),
            (_, value) => value.clone(),
        };
        (field.json_name().to_owned(), value)
    };
    Value::Object(members.iter().map(member).collect())
}

/// Microseconds since 1970 as the contracts have times.
pub fn timestamp(micros: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: micros.div_euclid(1_000_000),
        nanos: i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or(0),
    }
}

/// Why a message and its JSON do not match.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The type is not in the descriptors.
    #[error("the type is not in the contracts")]
    UnknownType,
    /// The bytes are not of that type.
    #[error("the message cannot be decoded")]
    Decode(#[from] prost::DecodeError),
    /// A field does not fit.
    #[error("the JSON does not fit the message")]
    Json(#[from] serde_json::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_named_as_masstransit_would() {
        assert_eq!(event_kind::<chat::v1::MessagePosted>(), "Loquat.Chat.V1:MessagePosted");
    }

    #[test]
    fn events_travel_as_camel_case_json_with_plain_numbers() {
        let posted = chat::v1::MessagePosted {
            message: Some(chat::v1::Message { room_id: "r".into(), seq: 7, ..Default::default() }),
        };
        let json = to_json(&posted).unwrap();
        assert_eq!(json, serde_json::json!({"message": {"roomId": "r", "seq": 7}}));
        assert_eq!(from_json::<chat::v1::MessagePosted>(&json).unwrap(), posted);
        let capitals = serde_json::json!({"Message": {"RoomId": "r", "Seq": "7"}});
        assert_eq!(from_json::<chat::v1::MessagePosted>(&capitals).unwrap(), posted);
        let newer = serde_json::json!({"message": {"roomId": "r", "seq": 7}, "added": true});
        assert_eq!(from_json::<chat::v1::MessagePosted>(&newer).unwrap(), posted);
    }

    #[test]
    fn internal_packages_are_not_in_the_public_set() {
        let public = DescriptorPool::decode(PUBLIC_DESCRIPTORS).unwrap();
        assert!(public.services().all(|service| !service.package_name().contains("internal")));
        assert!(public.get_service_by_name("loquat.chat.v1.MessageService").is_some());
        assert!(POOL.get_service_by_name("loquat.chat.internal.v1.FeedService").is_some());
    }
}
