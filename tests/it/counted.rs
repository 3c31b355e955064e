//! io: what a conversation leaves in the metrics: real turns through a whole server with scripts for engines

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use visavis::app::engines::{Ground, Kind, door_alone};
use visavis::config::Config;
use visavis::engine::serve::access::{Token, about};
use visavis::metrics::{Metrics, Object};

use crate::kit::house::Running;
use crate::kit::server::Served;
use crate::kit::speech::clip;
use crate::kit::talk::{SOON, call, greeting, say, utterance};

/// A page of metrics as it was read.
struct Page(String);

impl Page {
    fn of(metrics: &Metrics) -> Self {
        Self(metrics.render())
    }

    /// The value of one series, written as on the page.
    fn value(&self, series: &str) -> f64 {
        let found = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
        found.unwrap_or_else(|| panic!("{series} is not on the page"))
    }

    /// All values of a metric.
    fn values(&self, name: &str) -> Vec<f64> {
        let series = self.0.lines().filter(|line| line.starts_with(&format!("{name}{{")));
        series.map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap()).collect()
    }
}

/// Two answered turns and one that is talked over. The segments add up to what the callers waited for, every room has
/// counted what it did, the client is told of each turn what the counters say, and when the call is over nothing lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_counted() {
    let house = Running::scripted(|config| {
        config.scripted.heard = vec!["what is this".into()];
        config.scripted.replies = vec![
            "This is a test, and it goes well.".into(),
            "It goes on, too.".into(),
            "This answer is so long that nobody will hear its end, for somebody will speak over it before.".into(),
            "As you like.".into(),
        ];
    })
    .await;
    let mut caller = call(&house).await;
    greeting(&mut caller).await;
    let clip = clip("cities-00.wav");
    for _ in 0..2 {
        assert_eq!(say(&mut caller, &clip).await, "what is this");
    }
    caller.say(&utterance(&clip)).await.unwrap();
    caller.event("output_audio_buffer.started", SOON).await.unwrap();
    caller.say(&utterance(&clip)).await.unwrap();
    caller.event("output_audio_buffer.cleared", SOON).await.unwrap();
    caller.event("output_audio_buffer.started", SOON).await.unwrap();
    caller.event("output_audio_buffer.stopped", SOON).await.unwrap();
    let recording = caller.hang_up().await.unwrap();
    for _ in 0..500 {
        if house.tasks.alive() == 0 && house.metrics.sessions_active() == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let page = Page::of(&house.metrics);

    let turns = page.value("visavis_voice_to_voice_seconds_count");
    assert_eq!(turns, 4.0, "three questions and the one that cut the third answer");
    assert_eq!(page.values("visavis_turn_segment_seconds_count"), [turns; 5]);
    let (parts, whole) = (
        page.values("visavis_turn_segment_seconds_sum").iter().sum::<f64>(),
        page.value("visavis_voice_to_voice_seconds_sum"),
    );
    assert!((parts - whole).abs() < 1e-9 && whole > 0.5, "{parts} is not {whole}");

    assert_eq!(page.value(r#"visavis_replies_total{outcome="completed"}"#), 5.0, "their texts were all complete");
    assert!(page.value(r#"visavis_interrupts_total{kind="cut"}"#) >= 1.0);
    assert!(page.value("visavis_interrupt_to_silence_seconds_count") >= 1.0);
    assert!(page.value("visavis_interrupt_to_silence_seconds_sum") >= 0.09, "the detector alone takes 96 ms");

    let told: u64 = recording.events_of("visavis.playout").filter_map(|e| e.value["played_ms"].as_u64()).sum();
    let played = page.value("visavis_played_seconds_total");
    assert!((played - told as f64 / 1e3).abs() < 0.01 && told > 2_000, "{told} ms were told of, {played} s counted");
    assert_eq!(recording.events_of("visavis.playout").count(), 5, "once per turn");

    assert_eq!(page.value(r#"visavis_words_total{stage="stt"}"#), 12.0, "four times three words");
    assert_eq!(page.value(r#"visavis_words_total{stage="llm"}"#), 8.0 + 4.0 + 18.0 + 3.0);
    assert!(page.value(r#"visavis_words_total{stage="tts"}"#) > 15.0);
    assert_eq!(page.value(r#"visavis_engine_ping_seconds_count{stage="tts"}"#), 5.0, "one per connection");
    assert!(page.value(r#"visavis_engine_ping_seconds_count{stage="stt"}"#) >= 2.0, "one every five seconds");
    assert_eq!(page.value("visavis_llm_headers_seconds_count"), 4.0, "a greeting is not thought");
    assert!(page.value(r#"visavis_words_per_second_count{stage="llm"}"#) == 4.0);
    assert!(page.value(r#"visavis_engine_real_time_factor_count{stage="tts"}"#) >= 4.0);
    assert!(page.value(r#"visavis_engine_real_time_factor_count{stage="stt"}"#) >= 4.0);
    let chunks = page.value(r#"visavis_batch_size_sum{stage="vad"}"#);
    assert!(chunks > 100.0 && page.value(r#"visavis_engine_queue_wait_seconds_count{stage="vad"}"#) == chunks);

    let pictures = page.value("visavis_pictures_sent_total");
    assert!(pictures > 30.0 && page.value("visavis_keyframes_sent_total") >= 1.0);
    assert!(page.value("visavis_av_skew_seconds_count") > pictures / 2.0);
    for direction in ["in", "out"] {
        let count = page.value(&format!("visavis_datagrams_total{{direction=\"{direction}\"}}"));
        let bytes = page.value(&format!("visavis_datagram_bytes_total{{direction=\"{direction}\"}}"));
        assert!(count > 200.0 && bytes > 20.0 * count, "{direction}: {bytes} bytes in {count}");
    }
    for lane in ["mic", "asks", "heard", "datagrams", "say", "speech", "script", "sound", "picture", "notices"] {
        assert!(page.value(&format!("visavis_lane_depth_count{{lane=\"{lane}\"}}")) > 0.0, "{lane}");
    }
    for class in ["sound", "picture"] {
        assert!(page.value(&format!("visavis_pool_wait_seconds_count{{class=\"{class}\"}}")) > 30.0);
    }
    assert!(page.value("visavis_runtime_lag_seconds_count") > 10.0);

    assert_eq!(page.value(r#"visavis_sessions_ended_total{reason="asked"}"#), 1.0, "this caller hangs up by DELETE");
    for histogram in ["visavis_session_duration_seconds", "visavis_session_connect_seconds"] {
        assert_eq!(page.value(&format!("{histogram}_count")), 1.0);
    }
    for object in Object::ALL {
        assert_eq!(house.metrics.alive(*object), 0, "{}", object.label());
    }
    assert_eq!(page.values("visavis_engine_seats_taken"), [0.0; 3]);
    assert!(page.values("visavis_engine_seats").iter().all(|seats| *seats >= 1.0));
    house.stop().await.unwrap();
}

/// An engine that runs alone shows its health and its metrics beside its door, without the token that the door asks
/// for, and counts who speaks nonsense.
#[tokio::test]
async fn an_engine_alone_tells_about_itself() {
    for (kind, stage) in [(Kind::Stt, "stt"), (Kind::Tts, "tts"), (Kind::Llm, "llm")] {
        let mut config = Config::defaults();
        config.engines.scripted = true;
        config.server.max_sessions = 3;
        let ground = Ground { config, metrics: Metrics::new(), sound: None };
        let served = Served::start(door_alone(kind, ground, Some(Token::new("secret"))).await.unwrap()).await;
        let at = served.http();
        let get = async |path: &str| reqwest::get(format!("{at}{path}")).await.unwrap().text().await.unwrap();
        assert_eq!(get("/health").await, "ok\n");
        if kind == Kind::Llm {
            let nonsense = reqwest::Client::new()
                .post(format!("{at}/v1/chat/completions"))
                .bearer_auth("secret")
                .json(&json!({"messages": 7}))
                .send();
            assert_eq!(nonsense.await.unwrap().status(), 400);
        }
        let page = Page(get("/metrics").await);
        assert!(page.value(&format!("visavis_engine_seats{{stage=\"{stage}\"}}")) >= 3.0, "{stage}");
        assert!(page.value("process_resident_memory_bytes") > 1e6);
        let nonsense = page.value("visavis_bad_input_total{door=\"llm\"}");
        assert_eq!(nonsense, f64::from(u8::from(kind == Kind::Llm)));
    }
}

/// Well until the model's thread has gone; its figures can be read all the same.
#[tokio::test]
async fn an_engine_without_a_model_is_not_well() {
    let alive = Arc::new(AtomicBool::new(true));
    let told = alive.clone();
    let served = Served::start(about(Metrics::new(), Arc::new(move || told.load(Ordering::Relaxed)))).await;
    let at = served.http();
    let status = async |path: &str| reqwest::get(format!("{at}{path}")).await.unwrap().status().as_u16();
    assert_eq!(status("/health").await, 200);
    alive.store(false, Ordering::Relaxed);
    assert_eq!(status("/health").await, 503);
    assert_eq!(status("/metrics").await, 200);
}
