//! core: which call a datagram belongs to, on a port that all calls share
//! In:    the STUN name (ufrag) of each call; datagrams with their source.
//! Out:   the call's key.
//! Never: gives a STUN request to any call but the one it names, so that the remains of an old call behind the same
//!        address cannot swallow a new one; remembers an address after its call is removed.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;

/// Routes by what a call is named first, and by whence its datagrams came second. `K` is whatever names a call.
#[derive(Debug)]
pub struct Router<K> {
    by_ufrag: HashMap<String, K>,
    by_source: HashMap<SocketAddr, K>,
    calls: HashMap<K, Call>,
}

#[derive(Debug)]
struct Call {
    ufrag: String,
    /// Oldest first. More than one: browsers probe all their paths, and send media early on any of them.
    sources: Vec<SocketAddr>,
}

/// More addresses than any browser has paths to us; the oldest is forgotten beyond.
const MAX_SOURCES: usize = 16;

impl<K: Copy + Eq + Hash> Router<K> {
    pub fn new() -> Self {
        Self { by_ufrag: HashMap::new(), by_source: HashMap::new(), calls: HashMap::new() }
    }

    /// From now on `ufrag` (and what it teaches about sources) leads to `key`. An earlier registration of either goes.
    pub fn register(&mut self, key: K, ufrag: &str) {
        self.remove(key);
        if let Some(other) = self.by_ufrag.insert(ufrag.to_owned(), key) {
            self.remove(other);
            self.by_ufrag.insert(ufrag.to_owned(), key);
        }
        self.calls.insert(key, Call { ufrag: ufrag.to_owned(), sources: Vec::new() });
    }

    /// The call that `datagram` from `source` belongs to. A STUN request teaches the source of the call it names, also
    /// when the source was another call's.
    pub fn route(&mut self, source: SocketAddr, datagram: &[u8]) -> Option<K> {
        let Some(request) = StunRequest::read(datagram) else {
            return self.by_source.get(&source).copied();
        };
        let key = *self.by_ufrag.get(request.receiver?)?;
        match self.by_source.insert(source, key) {
            Some(before) if before == key => return Some(key),
            Some(before) => self.forget_source(before, source),
            None => {}
        }
        let call = self.calls.get_mut(&key)?;
        call.sources.push(source);
        if call.sources.len() > MAX_SOURCES {
            let oldest = call.sources.remove(0);
            self.by_source.remove(&oldest);
        }
        Some(key)
    }

    /// Forgets a call: its name and every source it was heard from.
    pub fn remove(&mut self, key: K) {
        let Some(call) = self.calls.remove(&key) else { return };
        if self.by_ufrag.get(&call.ufrag) == Some(&key) {
            self.by_ufrag.remove(&call.ufrag);
        }
        for source in call.sources {
            if self.by_source.get(&source) == Some(&key) {
                self.by_source.remove(&source);
            }
        }
    }

    pub fn len(&self) -> usize {
        self.calls.len()
    }

    pub fn is_empty(&self) -> bool {
        self.calls.is_empty() && self.by_ufrag.is_empty() && self.by_source.is_empty()
    }

    fn forget_source(&mut self, key: K, source: SocketAddr) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.sources.retain(|&s| s != source);
        }
    }
}

impl<K: Copy + Eq + Hash> Default for Router<K> {
    fn default() -> Self {
        Self::new()
    }
}

/// A STUN binding request (RFC 8489), as far as routing needs it.
struct StunRequest<'a> {
    /// The part of USERNAME that names the receiver: `receiver:sender` (RFC 8445, section 7.2.2).
    receiver: Option<&'a str>,
}

const BINDING_REQUEST: u16 = 0x0001;
const MAGIC_COOKIE: u32 = 0x2112_A442;
const USERNAME: u16 = 0x0006;

impl<'a> StunRequest<'a> {
    /// `None`: something else (DTLS, RTP, RTCP, or a STUN answer), or cut short.
    fn read(datagram: &'a [u8]) -> Option<Self> {
        let (header, mut attributes) = datagram.split_at_checked(20)?;
        let u16_at = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let cookie = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        if u16_at(header, 0) != BINDING_REQUEST || cookie != MAGIC_COOKIE {
            return None;
        }
        while attributes.len() >= 4 {
            let (kind, length) = (u16_at(attributes, 0), usize::from(u16_at(attributes, 2)));
            let Some(value) = attributes.get(4..4 + length) else { break };
            if kind == USERNAME {
                let name = std::str::from_utf8(value).ok();
                return Some(Self {
                    receiver: name.and_then(|name| name.split_once(':')).map(|(receiver, _)| receiver),
                });
            }
            let padded = 4 + length.next_multiple_of(4);
            attributes = attributes.get(padded..).unwrap_or_default();
        }
        Some(Self { receiver: None })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn request(username: &str) -> Vec<u8> {
        let mut attributes = vec![0x80, 0x22, 0, 3, b'a', b'b', b'c', 0];
        attributes.extend(USERNAME.to_be_bytes());
        attributes.extend((username.len() as u16).to_be_bytes());
        attributes.extend(username.as_bytes());
        attributes.resize(attributes.len().next_multiple_of(4), 0);
        let mut datagram = Vec::new();
        datagram.extend(BINDING_REQUEST.to_be_bytes());
        datagram.extend((attributes.len() as u16).to_be_bytes());
        datagram.extend(MAGIC_COOKIE.to_be_bytes());
        datagram.extend([7; 12]);
        datagram.extend(attributes);
        datagram
    }

    const MEDIA: &[u8] = &[0x80, 111, 0, 1, 0, 0, 0, 0];

    #[test]
    fn media_follows_the_stun_before_it() {
        let mut router = Router::new();
        router.register(1, "alpha");
        router.register(2, "beta");
        assert_eq!(router.route(source(1), MEDIA), None);
        assert_eq!(router.route(source(1), &request("alpha:x")), Some(1));
        assert_eq!(router.route(source(2), &request("beta:x")), Some(2));
        assert_eq!(router.route(source(1), MEDIA), Some(1));
        assert_eq!(router.route(source(2), MEDIA), Some(2));
    }

    /// A reload behind the same NAT mapping: the new call's STUN comes from the address that the old call owned.
    #[test]
    fn a_stale_call_does_not_swallow_a_new_one() {
        let mut router = Router::new();
        router.register(1, "old");
        assert_eq!(router.route(source(1), &request("old:x")), Some(1));
        assert_eq!(
            router.route(source(1), &request("new:x")),
            None,
            "unknown names are nobody's, whatever the address"
        );
        router.register(2, "new");
        assert_eq!(router.route(source(1), &request("new:x")), Some(2));
        assert_eq!(router.route(source(1), MEDIA), Some(2));
        router.remove(1);
        assert_eq!(
            router.route(source(1), MEDIA),
            Some(2),
            "the end of the old call leaves the new one's address alone"
        );
    }

    #[test]
    fn nothing_stays_behind() {
        let mut router = Router::new();
        for key in 0..100u16 {
            router.register(key, &format!("call{key}"));
            for port in 0..40 {
                assert_eq!(router.route(source(key * 40 + port), &request(&format!("call{key}:x"))), Some(key));
            }
            assert!(router.by_source.len() <= MAX_SOURCES * router.len());
        }
        for key in 0..100 {
            router.remove(key);
        }
        assert!(router.is_empty());
    }

    proptest! {
        /// Any bytes are routed or not; none panics, and a broken request goes to nobody.
        #[test]
        fn any_datagram_is_survived(mut bytes in proptest::collection::vec(any::<u8>(), 0..120), cut in 0usize..60) {
            let mut router = Router::new();
            router.register(1, "alpha");
            let _ = router.route(source(1), &bytes);
            let whole = request("alpha:x");
            let _ = router.route(source(1), &whole[..cut.min(whole.len())]);
            bytes.splice(0..0, whole[..20].iter().copied());
            let _ = router.route(source(1), &bytes);
        }

        /// Whatever calls come and go: after the last has gone nothing is remembered.
        #[test]
        fn registrations_leave_no_trace(operations in proptest::collection::vec((0u8..4, 0u8..4, 0u16..6), 0..200)) {
            let mut router = Router::new();
            for (what, key, port) in operations {
                match what {
                    0 => router.register(key, &format!("call{}", key % 3)),
                    1 => router.remove(key),
                    _ => { router.route(source(port), &request(&format!("call{}:x", key % 3))); }
                }
                for (source, key) in &router.by_source {
                    prop_assert!(router.calls[key].sources.contains(source));
                }
            }
            for key in 0..4 {
                router.remove(key);
            }
            prop_assert!(router.is_empty());
        }
    }
}
