//! io: what the page says when a call cannot be, in a real browser before a real front desk

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use visavis::agent::server::{CallError, CallStarter, Desk, Permit, Started, router};
use visavis::config::Config;
use visavis::metrics::Metrics;

use super::{Chromium, Launch, Page, microphone};
use crate::kit::server::Served;

/// Nobody gets that far in these tests.
struct NoCalls;

impl CallStarter for NoCalls {
    async fn start(&self, _: String, _: Option<Value>, _: Permit) -> Result<Started, CallError> {
        panic!("a call was started")
    }

    fn end(&self, _: &str) -> bool {
        false
    }

    async fn end_all(&self) {}
}

fn front(desk: &Desk) -> axum::Router {
    let config = Config::defaults();
    router(&config.server, &config.voices, &config.llm.brain(), desk.clone(), Arc::new(NoCalls), Metrics::new())
}

/// Presses call and returns the trouble that follows: its kind, its title, its advice.
async fn call_fails(page: &Page) -> [String; 3] {
    page.wait_until("!document.getElementById('call').disabled", SOON).await;
    page.eval("document.getElementById('call').click()").await;
    let trouble = "(() => { const box = document.getElementById('trouble'); return !box.hidden && \
        [box.dataset.kind, box.querySelector('h2').innerText, box.querySelector('p').innerText] })()";
    let said = page.wait_until(trouble, SOON).await;
    [0, 1, 2].map(|n| said[n].as_str().expect("three texts").to_owned())
}

/// The next caller of a full server reads so, may not knock before the server said when, and gets in once somebody left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_says_so_on_the_page() {
    let desk = Desk::new(1);
    desk.open();
    let somebody = desk.admit().unwrap();
    let served = Served::start(front(&desk)).await;
    let browser = Chromium::launch(Launch::default()).await;
    let page = browser.page().await;
    microphone::install(&page).await;
    page.open(&served.http()).await;

    let [kind, title, advice] = call_fails(&page).await;
    assert_eq!((kind.as_str(), title.as_str()), ("full", "Everybody is in a call"));
    assert!(advice.contains("1"), "says how many lines there are: {advice:?}");
    assert_eq!(page.eval("document.body.dataset.state").await, "idle");
    assert!(
        page.eval("document.getElementById('call-label').innerText").await.as_str().unwrap().starts_with("Try again")
    );
    assert_eq!(page.eval("document.getElementById('call').disabled").await, true);
    page.screenshot(&screens().join("full.png")).await;
    // Nobody holds the microphone of somebody who is not in a call.
    page.eval("testMicrophone.given.every(track => track.readyState === 'ended') || Promise.reject('still open')")
        .await;
    drop(somebody);
    assert_eq!(desk.taken(), 0, "a refused call took a place");
}

/// A microphone that the user refuses, and a server that has gone: in words, with what to do next.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_of_others_are_explained() {
    let desk = Desk::new(1);
    desk.open();
    let served = Served::start(front(&desk)).await;
    let denied = Chromium::launch(Launch { microphone_denied: true, ..Launch::default() }).await;
    let page = denied.page().await;
    page.open(&served.http()).await;
    let [kind, title, advice] = call_fails(&page).await;
    assert_eq!((kind.as_str(), title.as_str()), ("blocked", "The microphone is blocked"));
    assert!(advice.contains("Allow it"), "{advice}");
    page.screenshot(&screens().join("blocked.png")).await;
    drop(denied);

    let browser = Chromium::launch(Launch::default()).await;
    let page = browser.page().await;
    microphone::install(&page).await;
    page.open(&served.http()).await;
    page.wait_until("!document.getElementById('call').disabled", SOON).await;
    drop(served);
    let [kind, title, _] = call_fails(&page).await;
    assert_eq!((kind.as_str(), title.as_str()), ("server-gone", "The server does not answer"));
}

/// Where tests leave pictures for people to look at.
pub fn screens() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screens")
}

/// Far longer than any of this takes.
const SOON: Duration = Duration::from_secs(30);
