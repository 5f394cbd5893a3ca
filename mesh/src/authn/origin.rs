//! From where a call comes, as the edge saw it. Only the edge may say so: it proves itself beside the caller's own token.

use std::net::{IpAddr, Ipv6Addr};

use http::{HeaderMap, HeaderValue};

use super::MeshSecret;
use crate::clock::Clock;

/// Every header that says who or from where somebody is begins like this; none of them is taken from outside.
pub const PREFIX: &str = "x-loquat-";
const ADDRESS: &str = "x-loquat-address";
const AGENT: &str = "x-loquat-agent";
const PROOF: &str = "x-loquat-edge";
/// The longest agent that is passed on.
const MAX_AGENT_BYTES: usize = 256;

/// From where a call comes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The client's address; nothing when it is not known.
    pub address: Option<IpAddr>,
    /// What the client calls itself; may be empty.
    pub agent: String,
}

impl Origin {
    /// The address as text, empty when it is not known.
    pub fn place(&self) -> String {
        self.address.map(|address| address.to_string()).unwrap_or_default()
    }

    /// What counts as one place for limits: an IPv4 address, or the first 64 bits of an IPv6 one, since whoever has one address
    /// of such a network has all of them.
    pub fn network(&self) -> String {
        match self.address.map(|address| address.to_canonical()) {
            Some(IpAddr::V6(address)) => {
                let bits = u128::from(address) & !u128::from(u64::MAX);
                format!("{}/64", Ipv6Addr::from(bits))
            }
            Some(IpAddr::V4(address)) => address.to_string(),
            None => String::new(),
        }
    }

    /// Says in the headers of a call from where it comes. `proof` is a service token of the edge.
    pub fn write(&self, headers: &mut HeaderMap, proof: HeaderValue) {
        if let Ok(address) = HeaderValue::from_str(&self.place()) {
            headers.insert(ADDRESS, address);
        }
        let agent: String = self.agent.chars().filter(|letter| ('\u{20}'..'\u{7f}').contains(letter)).collect();
        if let Ok(agent) = HeaderValue::from_str(&agent[..agent.len().min(MAX_AGENT_BYTES)]) {
            headers.insert(AGENT, agent);
        }
        headers.insert(PROOF, proof);
    }

    /// What the headers of a call say, if it was the edge who wrote them.
    pub(super) fn read(headers: &HeaderMap, secret: &MeshSecret, clock: &Clock) -> Option<Self> {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        secret.verify_service(text(PROOF)?, clock)?;
        let address = text(ADDRESS).and_then(|address| address.parse().ok());
        Some(Self { address, agent: text(AGENT).unwrap_or_default().to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    #[test]
    fn only_the_edge_says_from_where_somebody_is() {
        let secret = MeshSecret::open(&Secret::new("0123456789abcdef0123456789abcdef"), "/nowhere".as_ref()).unwrap();
        let clock = Clock::system();
        let origin = Origin { address: Some("203.0.113.7".parse().unwrap()), agent: "Firefox\r\nx".into() };
        let mut headers = HeaderMap::new();
        origin.write(&mut headers, secret.service_token("gateway", &clock).parse().unwrap());
        let read = Origin::read(&headers, &secret, &clock).unwrap();
        assert_eq!((read.place().as_str(), read.agent.as_str()), ("203.0.113.7", "Firefoxx"));
        headers.insert(PROOF, "forged".parse().unwrap());
        assert_eq!(Origin::read(&headers, &secret, &clock), None);
        headers.remove(PROOF);
        assert_eq!(Origin::read(&headers, &secret, &clock), None);
    }

    #[test]
    fn a_network_is_what_one_party_has() {
        let network = |address: &str| Origin { address: address.parse().ok(), agent: String::new() }.network();
        assert_eq!(network("203.0.113.7"), "203.0.113.7");
        assert_eq!(network("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(network("2001:db8:1:2:ffff::1"), network("2001:db8:1:2::1"));
        assert_ne!(network("2001:db8:1:3::1"), network("2001:db8:1:2::1"));
        assert_eq!(network(""), "");
    }
}
