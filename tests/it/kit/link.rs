//! core: two WebRTC endpoints back to back over a seeded lossy link, in virtual time
//!
//! Nothing sleeps: eight seconds of a call take a fraction of one. Losses and delays come from the seed alone.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use visavis::rtc::{Endpoint, Event, Identity, Output, RtcConfig};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Server,
    Caller,
}

pub struct Link {
    pub server: Endpoint,
    pub caller: Endpoint,
    /// What each side was told, and when.
    pub events: Vec<(Instant, Side, Event)>,
    pub now: Instant,
    pub started: Instant,
    /// Share of datagrams that vanish, 0–1.
    pub loss: f64,
    /// The least time from one side to the other; up to 3 ms come on top.
    pub delay: Duration,
    /// Nothing of this side arrives any more.
    pub dead: Option<Side>,
    rng: fastrand::Rng,
    flying: BinaryHeap<Reverse<Datagram>>,
    sent: u64,
    /// When the last datagram arrives at either side: a link delays unevenly but does not reorder.
    last_arrival: [Instant; 2],
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Datagram {
    at: Instant,
    number: u64,
    to_server: bool,
    bytes: Vec<u8>,
}

pub fn server_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 8443))
}

pub fn caller_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 77], 40_000))
}

pub fn config(address: SocketAddr) -> RtcConfig {
    RtcConfig::new(Identity::generate().unwrap(), vec![address])
}

impl Link {
    /// A call is offered and answered; nothing has been sent yet.
    pub fn new(seed: u64, loss: f64, video: bool) -> Self {
        // Far ahead of the real clock, which the SCTP of the dialling side reads once.
        let now = Instant::now() + Duration::from_secs(1000);
        let (mut caller, offer) = Endpoint::offer(&config(caller_address()), video, now).unwrap();
        let (server, answer) = Endpoint::answer(&config(server_address()), &offer, now).unwrap();
        caller.accept_answer(now, &answer).unwrap();
        Self {
            server,
            caller,
            events: vec![],
            now,
            started: now,
            loss,
            delay: Duration::from_millis(20),
            dead: None,
            rng: fastrand::Rng::with_seed(seed),
            flying: BinaryHeap::new(),
            sent: 0,
            last_arrival: [now; 2],
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.started
    }

    /// Lets `span` of virtual time pass, calling `every` at each multiple of 20 ms of it.
    pub fn run(&mut self, span: Duration, mut every: impl FnMut(&mut Self, u64)) {
        let (from, until) = (self.now, self.now + span);
        let mut tick = 0;
        loop {
            while self.now >= from + Duration::from_millis(20 * tick) && self.now < until {
                every(self, tick);
                tick += 1;
            }
            let mut next = until.min(from + Duration::from_millis(20 * tick));
            for side in [Side::Server, Side::Caller] {
                next = next.min(self.drain(side));
            }
            if let Some(Reverse(datagram)) = self.flying.peek() {
                next = next.min(datagram.at);
            }
            // At least a little must pass, whatever an endpoint asks for.
            self.now = next.max(self.now + Duration::from_micros(100)).min(until);
            while self.flying.peek().is_some_and(|Reverse(datagram)| datagram.at <= self.now) {
                let Some(Reverse(datagram)) = self.flying.pop() else { break };
                if datagram.to_server {
                    self.server.handle_datagram(self.now, caller_address(), server_address(), &datagram.bytes);
                    self.drain(Side::Server);
                } else {
                    self.caller.handle_datagram(self.now, server_address(), caller_address(), &datagram.bytes);
                    self.drain(Side::Caller);
                }
            }
            self.server.handle_timeout(self.now);
            self.caller.handle_timeout(self.now);
            if self.now >= until {
                self.drain(Side::Server);
                self.drain(Side::Caller);
                return;
            }
        }
    }

    pub fn wait(&mut self, span: Duration) {
        self.run(span, |_, _| {});
    }

    /// Runs until `found` is among the events of `side`; how long after the start of the call that was.
    pub fn until(&mut self, side: Side, limit: Duration, found: impl Fn(&Event) -> bool) -> Option<Duration> {
        let end = self.now + limit;
        while self.now < end {
            if let Some((at, ..)) = self.events.iter().find(|(_, s, event)| *s == side && found(event)) {
                return Some(*at - self.started);
            }
            self.wait(Duration::from_millis(5));
        }
        None
    }

    pub fn connect(&mut self) -> Duration {
        let limit = Duration::from_secs(15);
        let server = self.until(Side::Server, limit, |e| matches!(e, Event::Connected)).expect("the server connects");
        let caller = self.until(Side::Caller, limit, |e| matches!(e, Event::Connected)).expect("the caller connects");
        server.max(caller)
    }

    pub fn of(&self, side: Side) -> impl Iterator<Item = (Instant, &Event)> {
        self.events.iter().filter(move |(_, s, _)| *s == side).map(|(at, _, event)| (*at, event))
    }

    /// Takes everything that one side has to say; gives the time of its next timeout.
    fn drain(&mut self, side: Side) -> Instant {
        loop {
            let output = match side {
                Side::Server => self.server.poll(),
                Side::Caller => self.caller.poll(),
            };
            match output {
                Output::Timeout(at) => return at,
                Output::Event(event) => self.events.push((self.now, side, event)),
                Output::Transmit { bytes, .. } => {
                    if self.dead == Some(side) || self.rng.f64() < self.loss {
                        continue;
                    }
                    let delay = self.delay + Duration::from_micros(self.rng.u64(0..3_000));
                    let last = &mut self.last_arrival[side as usize];
                    *last = (*last).max(self.now + delay);
                    self.sent += 1;
                    self.flying.push(Reverse(Datagram {
                        at: *last,
                        number: self.sent,
                        to_server: side == Side::Caller,
                        bytes,
                    }));
                }
            }
        }
    }
}
