//! Where messages go, in the forms in which MassTransit writes it.

/// The scheme of short addresses of queues.
const QUEUE: &str = "queue:";
/// The scheme of short addresses of exchanges.
const EXCHANGE: &str = "exchange:";
/// The longest name that the protocol takes, and room for what is put behind a queue's name.
const LONGEST: usize = 200;

/// A place for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// One queue.
    Queue(String),
    /// Everybody who listens to an exchange, which has the name of a kind of messages.
    Exchange(String),
}

impl Destination {
    /// Reads `queue:NAME`, `exchange:NAME` and `rabbitmq://HOST/VHOST/NAME?…`, whatever the host: the bus that is asked is meant.
    pub fn parse(text: &str) -> Option<Self> {
        let name = |name: &str| (!name.is_empty() && name.len() <= LONGEST).then(|| name.to_owned());
        if let Some(queue) = text.strip_prefix(QUEUE) {
            return name(queue.split('?').next()?).map(Self::Queue);
        }
        if let Some(exchange) = text.strip_prefix(EXCHANGE) {
            return name(exchange.split('?').next()?).map(Self::Exchange);
        }
        let (scheme, rest) = text.split_once("://")?;
        if !["rabbitmq", "rabbitmqs", "amqp", "amqps", "loopback"].contains(&scheme) {
            return None;
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (_, last) = path.rsplit_once('/')?;
        let last = percent_encoding::percent_decode_str(last).decode_utf8().ok()?;
        // Only a queue's address says that a queue is bound to its exchange.
        let queue = query.split('&').any(|part| part == "bind=true");
        name(&last).map(if queue { Self::Queue } else { Self::Exchange })
    }
}

impl std::fmt::Display for Destination {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Queue(name) => write!(formatter, "{QUEUE}{name}"),
            Self::Exchange(name) => write!(formatter, "{EXCHANGE}{name}"),
        }
    }
}

/// The exchange of a kind of messages: `A:B` is `A:B`, `Ns:G[[A:B],[C:D]]` is `Ns:G--A:B::C:D--` and a nested `A:B+C` is
/// `A:B-C`.
pub fn exchange_of(kind: &str) -> String {
    kind.replace("],[", "::").replace("[[", "--").replace("]]", "--").replace('+', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_exchanges_that_masstransit_gives_them() {
        for (kind, exchange) in [
            ("Loquat.Chat.V1:MessagePosted", "Loquat.Chat.V1:MessagePosted"),
            ("MassTransit:Fault[[A.B:C]]", "MassTransit:Fault--A.B:C--"),
            ("Ns:G[[NsA:A],[NsB:B]]", "Ns:G--NsA:A::NsB:B--"),
            ("Ns:Outer+Inner", "Ns:Outer-Inner"),
        ] {
            assert_eq!(exchange_of(kind), exchange);
        }
    }

    #[test]
    fn addresses_are_read_in_every_form() {
        let queue = |name: &str| Some(Destination::Queue(name.into()));
        let exchange = |name: &str| Some(Destination::Exchange(name.into()));
        for (text, wanted) in [
            ("queue:Orders", queue("Orders")),
            ("exchange:A.B:C", exchange("A.B:C")),
            ("rabbitmq://broker/Orders", exchange("Orders")),
            ("rabbitmq://broker:5673/shop/Orders?bind=true&queue=Orders", queue("Orders")),
            ("rabbitmq://broker/A.B%3AC?temporary=true", exchange("A.B:C")),
            ("loopback://localhost/Orders", exchange("Orders")),
            ("https://example.org/x", None),
            ("queue:", None),
            ("Orders", None),
        ] {
            assert_eq!(Destination::parse(text), wanted, "{text}");
        }
        assert_eq!(Destination::parse(&format!("queue:{}", "x".repeat(201))), None);
    }
}
