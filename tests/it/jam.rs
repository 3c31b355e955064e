//! data: a path that carried no more pictures for a while, in virtual time

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use visavis::agent::flow::{Floor, Mic};
use visavis::agent::transport::film::EncodedFrame;
use visavis::agent::transport::projector::Path;
use visavis::agent::transport::realtime::Protocol;
use visavis::agent::transport::webrtc::{self, Arrival, Lanes};
use visavis::load::{CallSettings, Dial, Link as _, Offering};
use visavis::media::time::Samples;
use visavis::metrics::{LaneName, Metrics};
use visavis::rtc::{Endpoint, Identity};
use visavis::runtime::{clock, lane};

use crate::kit::link::{caller_address, config, server_address};
use crate::kit::setup;
use crate::kit::wire::{self, End};

/// The server's end of the wire as a call sees it.
struct Line {
    out: mpsc::UnboundedSender<Bytes>,
    coming: mpsc::UnboundedReceiver<Bytes>,
}

impl Line {
    /// Carries datagrams between the call and its end of the wire.
    fn over(mut end: End) -> Self {
        let ((out, mut leaving), (arrived, coming)) = (mpsc::unbounded_channel::<Bytes>(), mpsc::unbounded_channel());
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            loop {
                tokio::select! {
                    bytes = leaving.recv() => match bytes {
                        Some(bytes) => end.send(caller_address(), &bytes),
                        None => return,
                    },
                    ready = end.readable() => {
                        ready.unwrap();
                        while let Ok(Some((length, _))) = end.try_recv(&mut buffer) {
                            drop(arrived.send(Bytes::copy_from_slice(&buffer[..length])));
                        }
                    }
                }
            }
        });
        Self { out, coming }
    }
}

impl webrtc::Link for Line {
    async fn recv(&mut self) -> Option<Arrival> {
        let bytes = self.coming.recv().await?;
        Some(Arrival { source: caller_address(), destination: server_address(), bytes })
    }

    fn try_recv(&mut self) -> Option<Arrival> {
        let bytes = self.coming.try_recv().ok()?;
        Some(Arrival { source: caller_address(), destination: server_address(), bytes })
    }

    fn send(&self, _: std::net::SocketAddr, bytes: &[u8]) {
        drop(self.out.send(Bytes::copy_from_slice(bytes)));
    }
}

/// Pictures leave more slowly than they come: none is encoded for a while. They come again when the path has caught up,
/// although no picture came meanwhile to ask by. (Once they did not: one burst froze the face for the rest of the call.)
#[tokio::test(start_paused = true)]
async fn a_path_that_was_jammed_is_tried_again() {
    // Far ahead of the real clock, which the SCTP of the dialling side reads once.
    tokio::time::advance(Duration::from_secs(1000)).await;
    let identity = Identity::generate().unwrap();
    let settings = CallSettings {
        dial: Dial::Realtime,
        video: true,
        ..CallSettings::measuring("http://nowhere", identity, clock::now())
    };
    let (theirs, ours) = wire::pair(Duration::from_millis(10));
    let (offering, offer) = Offering::new(&settings, ours).unwrap();
    let (endpoint, answer) = Endpoint::answer(&config(server_address()), &offer, clock::now()).unwrap();

    let metrics = Metrics::new();
    let protocol = Protocol::new(setup::scripted(), None).unwrap();
    let (mic, _mic_out) = lane::shedding::<Mic>(LaneName::Mic, 8, &metrics);
    let ((asks, _asks_out), (_notices, notices)) = (mpsc::channel(8), mpsc::channel(8));
    let (settings_in, _settings_out) = watch::channel(protocol.settings().clone());
    let (_floor, floor) = watch::channel(Floor::default());
    let ((sound_in, sound), (pictures_in, pictures)) = (mpsc::channel(8), mpsc::channel(8));
    let (path, mut path_out) = watch::channel(Path::default());
    let (loss, _loss_out) = watch::channel(0.0);
    let (connected, up) = oneshot::channel();
    let lanes = Lanes { mic, asks, settings: settings_in, notices, floor, sound, pictures, path, loss, connected };
    let token = CancellationToken::new();
    let call = tokio::spawn(webrtc::run(lanes, endpoint, Line::over(theirs), protocol, token.clone(), metrics));
    let mut caller = offering.accept(&reqwest::Client::new(), answer, None).unwrap();
    up.await.unwrap();
    caller.connected(Duration::from_secs(20)).await.unwrap();

    // A second of pictures ten times as large as the path may carry.
    for n in 0..15u64 {
        let vp8 = Bytes::from(vec![0; 40_000]);
        pictures_in.send(EncodedFrame { media_time: Samples(n * 1_600), vp8, keyframe: n == 0 }).await.unwrap();
        clock::sleep(Duration::from_millis(66)).await;
    }
    let limit = Duration::from_secs(60);
    clock::timeout(limit, path_out.wait_for(|path| path.jammed)).await.expect("it is too much").unwrap();
    // From now on there are no pictures; time goes on with the sound.
    let freed = clock::timeout(limit, path_out.wait_for(|path| !path.jammed));
    tokio::pin!(freed);
    for n in 0u64.. {
        let opus = std::sync::Arc::from(&b"\xf8\xff\xfe"[..]);
        let packet = visavis::agent::transport::encode::Packet { media_time: Samples(24_000 + n * 480), opus };
        tokio::select! {
            biased;
            freed = &mut freed => {
                freed.expect("the path is free again").unwrap();
                break;
            }
            sent = sound_in.send(packet) => sent.unwrap(),
        }
        tokio::select! {
            biased;
            freed = &mut freed => {
                freed.expect("the path is free again").unwrap();
                break;
            }
            () = clock::sleep(Duration::from_millis(20)) => {}
        }
    }
    token.cancel();
    call.await.unwrap().unwrap();
}
