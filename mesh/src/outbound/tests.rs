use std::sync::atomic::{AtomicU32, Ordering};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

const LIMITS: Limits = Limits { within: Duration::from_secs(5), bytes: 1000, redirects: 3 };

/// Addresses that must get no connection: the URL, what it is, and where the trick is known from. `PORT` is where something listens.
const REFUSED: &[(&str, &str, &str)] = &[
    ("http://127.0.0.1:PORT/", "loopback", "RFC 6890"),
    ("http://127.0.0.2:PORT/", "loopback", "RFC 6890: the whole of 127/8"),
    ("http://127.1:PORT/", "loopback", "short form, inet_aton"),
    ("http://127.0.1:PORT/", "loopback", "short form, inet_aton"),
    ("http://127.255.255.254:PORT/", "loopback", "RFC 6890"),
    ("http://2130706433:PORT/", "loopback", "decimal, OWASP SSRF"),
    ("http://017700000001:PORT/", "loopback", "octal, OWASP SSRF"),
    ("http://0x7f000001:PORT/", "loopback", "hexadecimal, OWASP SSRF"),
    ("http://0x7f.0.0.1:PORT/", "loopback", "mixed, OWASP SSRF"),
    ("http://0177.0.0.1:PORT/", "loopback", "mixed octal, OWASP SSRF"),
    ("http://0x7f.1:PORT/", "loopback", "mixed and short, OWASP SSRF"),
    ("http://127.0.0x0.1:PORT/", "loopback", "mixed, OWASP SSRF"),
    ("http://127.0.0.1.:PORT/", "loopback", "with a last dot"),
    ("http://１２７.0.0.1:PORT/", "loopback", "wide digits, UTS 46"),
    ("http://①②⑦.0.0.1:PORT/", "loopback", "digits in circles, UTS 46"),
    ("http://127。0。0。1:PORT/", "loopback", "ideographic full stops, UTS 46"),
    ("http://%31%32%37.0.0.1:PORT/", "loopback", "percent-encoded, WHATWG URL"),
    ("http://[::1]:PORT/", "loopback", "RFC 4291"),
    ("http://[0:0:0:0:0:0:0:1]:PORT/", "loopback", "RFC 4291, long form"),
    ("http://[0000::0001]:PORT/", "loopback", "RFC 4291, with zeros"),
    ("http://[::ffff:127.0.0.1]:PORT/", "loopback", "IPv4-mapped, CVE-2026-2455"),
    ("http://[::ffff:7f00:1]:PORT/", "loopback", "IPv4-mapped in hexadecimal, CVE-2021-21392"),
    ("http://[0:0:0:0:0:ffff:127.0.0.1]:PORT/", "loopback", "IPv4-mapped, long form"),
    ("http://[::ffff:10.0.0.1]/", "private", "IPv4-mapped"),
    ("http://[::ffff:169.254.169.254]/", "link-local", "IPv4-mapped metadata"),
    ("http://[::ffff:192.168.1.1]/", "private", "IPv4-mapped"),
    ("http://[::ffff:0.0.0.0]:PORT/", "this network", "IPv4-mapped"),
    ("http://[::127.0.0.1]:PORT/", "carries another address", "IPv4-compatible, RFC 4291"),
    ("http://[::7f00:1]:PORT/", "carries another address", "IPv4-compatible in hexadecimal"),
    ("http://[::10.0.0.1]/", "carries another address", "IPv4-compatible"),
    ("http://[::]:PORT/", "unspecified", "RFC 4291: reaches this machine"),
    ("http://0.0.0.0:PORT/", "this network", "RFC 6890: reaches this machine"),
    ("http://0:PORT/", "this network", "short form"),
    ("http://0x0:PORT/", "this network", "short form"),
    ("http://0.1.2.3/", "this network", "RFC 6890"),
    ("http://[64:ff9b::127.0.0.1]:PORT/", "a translator's", "NAT64, RFC 6052"),
    ("http://[64:ff9b::7f00:1]:PORT/", "a translator's", "NAT64, RFC 6052"),
    ("http://[64:ff9b::a00:1]/", "a translator's", "NAT64 to 10.0.0.1"),
    ("http://[64:ff9b::a9fe:a9fe]/", "a translator's", "NAT64 to metadata"),
    ("http://[64:ff9b:1::1]/", "a translator's", "local NAT64, RFC 8215"),
    ("http://[2002:7f00:1::]:PORT/", "6to4", "6to4 of 127.0.0.1, RFC 3056"),
    ("http://[2002:a00:1::1]/", "6to4", "6to4 of 10.0.0.1"),
    ("http://[2002:c0a8:101::1]/", "6to4", "6to4 of 192.168.1.1"),
    ("http://[2002:a9fe:a9fe::]/", "6to4", "6to4 of metadata"),
    ("http://[2001:0:7f00:1::]/", "Teredo", "RFC 4380"),
    ("http://[2001::1]/", "Teredo", "RFC 4380"),
    ("http://[2001:0:5ef5:79fb:0:59d:a0ff:fffe]/", "Teredo", "RFC 4380"),
    ("http://[2001:2::1]/", "protocol assignments", "benchmarks, RFC 5180"),
    ("http://[2001:10::1]/", "protocol assignments", "ORCHID, RFC 4843"),
    ("http://[2001:20::1]/", "protocol assignments", "ORCHIDv2, RFC 7343"),
    ("http://[2001:1ff:ffff::]/", "protocol assignments", "RFC 2928"),
    ("http://[2001:db8::1]/", "documentation", "RFC 3849"),
    ("http://[3fff::1]/", "documentation", "RFC 9637"),
    ("http://[3fff:fff::1]/", "documentation", "RFC 9637"),
    ("http://[fe80::1]/", "link-local", "RFC 4291"),
    ("http://[febf:ffff::1]/", "link-local", "RFC 4291"),
    ("http://[fec0::1]/", "private", "site-local, RFC 3879"),
    ("http://[fc00::1]/", "private", "RFC 4193"),
    ("http://[fd00::1]/", "private", "RFC 4193"),
    ("http://[fd00:ec2::254]/", "private", "metadata of AWS over IPv6"),
    ("http://[fd20:ce::254]/", "private", "metadata of GCP over IPv6"),
    ("http://[fdff:ffff::1]/", "private", "RFC 4193"),
    ("http://[ff02::1]/", "multicast", "RFC 4291"),
    ("http://[ff0e::1]/", "multicast", "RFC 4291"),
    ("http://[100::1]/", "reserved", "discard, RFC 6666"),
    ("http://[5f00::1]/", "reserved", "segment routing, RFC 9602"),
    ("http://[4000::1]/", "reserved", "not given out"),
    ("http://[::1:0:0:0:1]/", "reserved", "not given out"),
    ("http://[::ffff:0:7f00:1]/", "reserved", "IPv4-translated, RFC 2765"),
    ("http://10.0.0.1/", "private", "RFC 1918"),
    ("http://10.255.255.255/", "private", "RFC 1918"),
    ("http://0xa.0.0.1/", "private", "mixed"),
    ("http://167772161/", "private", "decimal of 10.0.0.1"),
    ("http://172.16.0.1/", "private", "RFC 1918"),
    ("http://172.31.255.254/", "private", "RFC 1918"),
    ("http://192.168.0.1/", "private", "RFC 1918"),
    ("http://192.168.255.255/", "private", "RFC 1918"),
    ("http://3232235777/", "private", "decimal of 192.168.1.1"),
    ("http://0300.0250.1.1/", "private", "octal of 192.168.1.1"),
    ("http://169.254.169.254/latest/meta-data/", "link-local", "metadata of AWS, GCP, Azure"),
    ("http://169.254.170.2/v2/credentials", "link-local", "metadata of ECS"),
    ("http://2852039166/", "link-local", "decimal of 169.254.169.254"),
    ("http://0xa9fea9fe/", "link-local", "hexadecimal of 169.254.169.254"),
    ("http://0251.0376.0251.0376/", "link-local", "octal of 169.254.169.254"),
    ("http://169.254.43518/", "link-local", "short form of 169.254.169.254"),
    ("http://169.254.0.1/", "link-local", "RFC 3927"),
    ("http://100.100.100.200/", "metadata of a cloud", "Alibaba"),
    ("http://168.63.129.16/", "metadata of a cloud", "Azure's wire server"),
    ("http://100.64.0.1/", "shared by a carrier", "RFC 6598"),
    ("http://100.127.255.254/", "shared by a carrier", "RFC 6598"),
    ("http://192.0.0.1/", "protocol assignments", "RFC 6890"),
    ("http://192.0.0.192/", "protocol assignments", "metadata of Oracle"),
    ("http://192.0.2.1/", "documentation", "RFC 5737"),
    ("http://198.51.100.1/", "documentation", "RFC 5737"),
    ("http://203.0.113.1/", "documentation", "RFC 5737"),
    ("http://192.88.99.1/", "6to4 relays", "RFC 7526"),
    ("http://198.18.0.1/", "benchmarks", "RFC 2544"),
    ("http://198.19.255.255/", "benchmarks", "RFC 2544"),
    ("http://224.0.0.1/", "multicast", "RFC 5771"),
    ("http://239.255.255.250:1900/", "multicast", "discovery of devices"),
    ("http://240.0.0.1/", "reserved", "RFC 1112"),
    ("http://255.255.255.255/", "reserved", "broadcast"),
    ("https://127.0.0.1:PORT/", "loopback", "https is no other"),
    ("http://localhost:PORT/", "loopback", "a name of this machine"),
    ("http://inside.example:PORT/", "private", "a name of a private address"),
    ("http://both.example:PORT/", "loopback", "a name of a public and a private address"),
    ("http://metadata.google.internal/computeMetadata/v1/", "link-local", "metadata of GCP by its name"),
    ("http://127.0.0.1.nip.example:PORT/", "loopback", "a name of the internet for any address, as nip.io has them"),
    ("http://LOCALHOST.:PORT/", "loopback", "a name of this machine, in capitals and with a last dot"),
    ("http://translated.example/", "a translator's", "a name of a NAT64 address"),
    ("http://127.0.0.1:PORT\\@example.org/", "loopback", "a backslash before the host that is meant, WHATWG URL"),
    ("http://mapped.example:PORT/", "loopback", "a name of an IPv4-mapped address"),
];

/// URLs that are none for this way out.
const NOT_TAKEN: &[&str] = &[
    "file:///etc/passwd",
    "gopher://127.0.0.1:25/x",
    "ftp://127.0.0.1/",
    "unix:///run/docker.sock",
    "http+unix://%2Frun%2Fdocker.sock/",
    "javascript:alert(1)",
    "data:text/plain,x",
    "dict://127.0.0.1:11211/",
    "http://user:password@example.org/",
    "http://example.org@127.0.0.1/",
    "http:///",
    "//127.0.0.1/",
    "127.0.0.1",
    "http://256.256.256.256/",
    "http://[::1",
    "http://[fe80::1%25eth0]/",
    "http://127.0.0.1:99999/",
    "",
];

/// Names that mean what an attacker would let them mean; one means something else at each look.
fn lookup() -> Lookup {
    let looks = Arc::new(AtomicU32::new(0));
    Arc::new(move |name| {
        let addresses: &[&str] = match (name.as_str(), looks.fetch_add(1, Ordering::SeqCst) % 2) {
            ("localhost" | "127.0.0.1.nip.example", _) | ("flips.example", 0) => &["127.0.0.1"],
            ("metadata.google.internal", _) => &["169.254.169.254"],
            ("translated.example", _) => &["64:ff9b::a9fe:a9fe"],
            ("inside.example", _) => &["10.1.2.3"],
            ("both.example", _) => &["93.184.216.34", "127.0.0.1"],
            ("mapped.example", _) => &["::ffff:127.0.0.1"],
            ("flips.example", _) => &["127.0.0.2"],
            _ => &[],
        };
        let found = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Box::pin(async move { Ok(found) })
    })
}

/// Something that answers every request in the same way and counts connections.
async fn canary(answer: String) -> (u16, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, hits) = (listener.local_addr().unwrap().port(), Arc::new(AtomicU32::new(0)));
    let counted = hits.clone();
    crate::lifecycle::Tasks::new().spawn("canary", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (port, hits)
}

#[tokio::test]
async fn addresses_that_are_not_of_the_internet_get_no_connection() {
    assert!(REFUSED.len() >= 100, "{}", REFUSED.len());
    let (port, hits) = canary("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".into()).await;
    let outbound = Outbound::with_lookup(LIMITS, Vec::new(), lookup());
    for (url, wanted, source) in REFUSED {
        let url = url.replace("PORT", &port.to_string());
        match outbound.get(&url).await {
            Err(OutboundError::Refused(why)) => assert!(why.ends_with(wanted), "{url} ({source}): {why}"),
            other => panic!("{url} ({source}): {other:?}"),
        }
    }
    for url in NOT_TAKEN {
        assert!(matches!(outbound.get(url).await, Err(OutboundError::Url(_))), "{url}");
    }
    assert_eq!((outbound.dialled(), hits.load(Ordering::SeqCst)), (0, 0));
}

#[tokio::test]
async fn addresses_of_the_internet_are_none_of_those() {
    for address in ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2001:4860:4860::8888", "::ffff:8.8.8.8"]
    {
        assert_eq!(class(address.parse().unwrap()), None, "{address}");
    }
}

/// The first server is allowed, and sends everybody to where nothing is.
#[tokio::test]
async fn a_redirect_is_judged_like_the_first_address() {
    let (inner, hits) = canary("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".into()).await;
    for target in ["http://127.0.0.2:PORT/", "http://[::1]:PORT/", "http://2130706434:PORT/", "//127.0.0.2:PORT/"] {
        let target = target.replace("PORT", &inner.to_string());
        let (outer, asked) =
            canary(format!("HTTP/1.1 302 Found\r\nlocation: {target}\r\ncontent-length: 0\r\n\r\n")).await;
        let allowed = vec!["127.0.0.1/32".parse().unwrap()];
        let outbound = Outbound::with_lookup(LIMITS, allowed, lookup());
        let refused = outbound.get(&format!("http://127.0.0.1:{outer}/")).await;
        assert!(matches!(refused, Err(OutboundError::Refused(_))), "{target}: {refused:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

/// Rebinding: what was judged is what is dialled, and the next request is judged anew.
#[tokio::test]
async fn a_name_is_looked_up_once_for_a_connection() {
    let (port, hits) = canary("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok".into()).await;
    let outbound = Outbound::with_lookup(LIMITS, vec!["127.0.0.1/32".parse().unwrap()], lookup());
    let url = format!("http://flips.example:{port}/");
    outbound.get(&url).await.unwrap();
    let again = outbound.get(&url).await;
    assert!(matches!(again, Err(OutboundError::Refused(_))), "{again:?}");
    assert_eq!((outbound.dialled(), hits.load(Ordering::SeqCst)), (1, 1));
}

#[tokio::test]
async fn an_answer_has_its_limits() {
    let outbound = Outbound::with_lookup(LIMITS, vec!["127.0.0.0/8".parse().unwrap()], lookup());
    let get = async |port: u16| outbound.get(&format!("http://127.0.0.1:{port}/")).await;
    let (good, _) = canary("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".into()).await;
    assert_eq!(&get(good).await.unwrap().1.into_body()[..], b"ok");
    let (large, _) = canary(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(2000))).await;
    assert!(matches!(get(large).await, Err(OutboundError::TooLarge)));
    let (round, _) = canary("HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n".into()).await;
    assert!(matches!(get(round).await, Err(OutboundError::Redirects)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let impatient = Limits { within: Duration::from_millis(100), ..LIMITS };
    let outbound = Outbound::with_lookup(impatient, vec!["127.0.0.0/8".parse().unwrap()], lookup());
    let silent = outbound.get(&format!("http://{}/", listener.local_addr().unwrap())).await;
    assert!(matches!(silent, Err(OutboundError::TooLate)));
}

#[tokio::test]
async fn of_a_page_the_beginning_is_enough() {
    let outbound = Outbound::with_lookup(LIMITS, vec!["127.0.0.0/8".parse().unwrap()], lookup());
    let get = async |port: u16, wanted: bool| {
        let page = outbound.get_beginning(&format!("http://127.0.0.1:{port}/"), "text/html", |_| wanted).await;
        page.map(|(_, page)| page.into_body().len())
    };
    // One that never ends, as far as anybody can tell.
    let (endless, _) = canary(format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(2000))).await;
    assert_eq!(get(endless, true).await.unwrap(), LIMITS.bytes);
    let (promised, _) = canary(format!("HTTP/1.1 200 OK\r\ncontent-length: 9999999\r\n\r\n{}", "x".repeat(1500))).await;
    assert_eq!(get(promised, true).await.unwrap(), LIMITS.bytes, "the rest is not waited for");
    assert_eq!(get(promised, false).await.unwrap(), 0, "nothing is read that is not wanted");
    let (short, _) = canary("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".into()).await;
    assert_eq!(get(short, true).await.unwrap(), 2);
    let (broken, _) = canary("HTTP/1.1 200 OK\r\ncontent-length: 900\r\nconnection: close\r\n\r\nok".into()).await;
    let cut = tokio::time::timeout(Duration::from_secs(8), get(broken, true)).await.unwrap();
    assert!(matches!(cut, Err(OutboundError::TooLate | OutboundError::Connection(_))), "{cut:?}");
}
