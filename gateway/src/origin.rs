//! From where somebody comes: the other end of the connection, or what a proxy that is trusted says of it.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, Request, header::USER_AGENT};
use ipnet::IpNet;
use mesh::{
    authn::Origin,
    rpc::{Caller, Peer},
};
use serde::{Deserialize, Serialize};

const FORWARDED: &str = "x-forwarded-for";
/// The longest agent that is looked at.
const MAX_AGENT_BYTES: usize = 256;

/// Networks whose word counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct TrustedProxies(Vec<IpNet>);

impl TryFrom<Vec<String>> for TrustedProxies {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        let read = |text: &String| {
            let network = text.parse::<IpNet>().ok();
            let address = || text.parse::<IpAddr>().ok().map(IpNet::from);
            network
                .or_else(address)
                .ok_or_else(|| format!("{text:?} is neither an address nor a network such as 10.0.0.0/8"))
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl From<TrustedProxies> for Vec<String> {
    fn from(proxies: TrustedProxies) -> Self {
        proxies.0.iter().map(IpNet::to_string).collect()
    }
}

impl TrustedProxies {
    fn trusts(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address.to_canonical()))
    }

    /// The nearest address that is not one of ours, from the right: what stands further left anybody may have written.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            return peer.to_canonical();
        }
        let mut client = peer;
        let values = headers.get_all(FORWARDED).into_iter().filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = values.flat_map(|value| value.split(',')).map(str::trim).collect();
        for hop in hops.into_iter().rev() {
            if !self.trusts(client) {
                break;
            }
            let with_port = || hop.parse::<SocketAddr>().ok().map(|address| address.ip());
            match hop.parse().ok().or_else(with_port) {
                Some(address) => client = address,
                None => break,
            }
        }
        client.to_canonical()
    }
}

/// Tells services from where somebody comes.
pub(crate) struct Origins {
    proxies: TrustedProxies,
    edge: Caller,
}

impl Origins {
    /// `edge` is who says it.
    pub(crate) fn new(proxies: TrustedProxies, edge: Caller) -> Self {
        Self { proxies, edge }
    }

    /// The address that a request comes from.
    pub(crate) fn address<B>(&self, request: &Request<B>) -> Option<IpAddr> {
        let peer = request.extensions().get::<Peer>();
        peer.map(|Peer(peer)| self.proxies.client(peer.ip(), request.headers()))
    }

    /// From where a request comes.
    pub(crate) fn of<B>(&self, request: &Request<B>) -> Origin {
        let address = self.address(request);
        let agent = request.headers().get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        Origin { address, agent: agent.chars().take(MAX_AGENT_BYTES).collect() }
    }

    /// Says it in the headers of a call.
    pub(crate) fn tell(&self, origin: &Origin, headers: &mut HeaderMap) {
        if let Some(proof) = self.edge.token() {
            origin.write(headers, proof);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_proxy_that_is_trusted_is_believed() {
        let proxies = TrustedProxies::try_from(vec!["10.0.0.0/8".to_owned(), "2001:db8::7".to_owned()]).unwrap();
        let table: &[(&str, &[&str], &str)] = &[
            ("203.0.113.9", &[], "203.0.113.9"),
            // Somebody from outside says what they like.
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.66, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["192.0.2.66", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("10.0.0.1", &["junk"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, junk"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.3"], "10.0.0.3"),
            ("2001:db8::7", &["2001:db8:5::1"], "2001:db8:5::1"),
            ("2001:db8::8", &["2001:db8:5::1"], "2001:db8::8"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
        ];
        for (peer, forwarded, client) in table {
            let mut headers = HeaderMap::new();
            for value in *forwarded {
                headers.append(FORWARDED, value.parse().unwrap());
            }
            let found = proxies.client(peer.parse().unwrap(), &headers);
            assert_eq!(found.to_string(), *client, "{peer} {forwarded:?}");
        }
        assert!(TrustedProxies::try_from(vec!["somewhere".to_owned()]).unwrap_err().contains("somewhere"));
    }
}
