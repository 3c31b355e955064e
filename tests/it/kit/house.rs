//! io: a whole server in the test's own process

use tokio_util::sync::CancellationToken;

use visavis::agent::server::Desk;
use visavis::agent::session::calls::Calls;
use visavis::app::{House, RunError};
use visavis::config::{Config, Place};
use visavis::load::CallSettings;
use visavis::metrics::Metrics;
use visavis::rtc::Identity;
use visavis::runtime::scope::TaskCounter;

use super::speech::models;

/// A server that runs until [`Running::stop`]; dropped, it goes at once.
pub struct Running {
    /// `http://127.0.0.1:PORT`
    pub url: String,
    pub desk: Desk,
    pub calls: Calls,
    pub metrics: Metrics,
    /// The tasks of all calls.
    pub tasks: TaskCounter,
    stop: CancellationToken,
    ended: tokio::task::JoinHandle<Result<(), RunError>>,
}

impl Running {
    /// With scripts for engines, on loopback, and whatever `change` does to that.
    pub async fn scripted(change: impl FnOnce(&mut Config)) -> Self {
        Self::open(|config| {
            config.engines.scripted = true;
            config.stt.place = Place::Scripted;
            config.tts.place = Place::Scripted;
            config.llm.place = Place::Scripted;
            change(config);
        })
        .await
    }

    /// With the models, on loopback, and whatever `change` does to that.
    pub async fn open(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::defaults();
        config.engines.models = models();
        config.server.listen = ([127, 0, 0, 1], 0).into();
        config.rtc.listen = ([127, 0, 0, 1], 0).into();
        change(&mut config);
        let listener = tokio::net::TcpListener::bind(config.server.listen).await.expect("loopback has ports");
        let house = House::open(config, listener).await.unwrap_or_else(|error| panic!("{error}"));
        let (url, desk, calls) = (format!("http://{}", house.http), house.desk.clone(), house.calls.clone());
        let (metrics, tasks, stop) = (house.metrics.clone(), house.tasks.clone(), CancellationToken::new());
        let ended = tokio::spawn(house.run(stop.clone().cancelled_owned()));
        Self { url, desk, calls, metrics, tasks, stop, ended }
    }

    /// A caller of this server with everything on.
    pub fn caller(&self) -> CallSettings {
        CallSettings::new(self.url.clone(), Identity::generate().expect("a certificate can be made"))
    }

    /// As SIGTERM does it.
    pub async fn stop(mut self) -> Result<(), RunError> {
        self.stop.cancel();
        (&mut self.ended).await.expect("the house does not panic")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.ended.abort();
    }
}
