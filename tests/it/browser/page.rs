//! io: one tab: open an address, run script, wait until something is true, take a picture

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use serde_json::{Value, json};

use super::devtools::{DevTools, thrown};

pub struct Page {
    devtools: Arc<DevTools>,
    session: String,
}

impl Page {
    pub(super) async fn attach(devtools: Arc<DevTools>, session: String) -> Self {
        let page = Self { devtools, session };
        for domain in ["Page.enable", "Runtime.enable", "Log.enable"] {
            page.call(domain, json!({})).await;
        }
        page
    }

    /// Runs `script` in every document before its own scripts.
    pub async fn before_load(&self, script: &str) {
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script })).await;
    }

    /// Goes to `address` and waits until the document and what it needs are there.
    pub async fn open(&self, address: &str) {
        let answer = self.call("Page.navigate", json!({ "url": address })).await;
        assert!(answer.get("errorText").is_none(), "{address}: {}", answer["errorText"]);
        self.wait_until("document.readyState === 'complete'", Duration::from_secs(60)).await;
    }

    /// The value of an expression; a promise is awaited. Panics with what the page threw.
    pub async fn eval(&self, expression: &str) -> Value {
        match self.try_eval(expression).await {
            Ok(value) => value,
            Err(why) => panic!("{expression}\nthrew {why}\n{}", self.told()),
        }
    }

    pub async fn try_eval(&self, expression: &str) -> Result<Value, String> {
        let parameters =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true });
        let answer = self.call("Runtime.evaluate", parameters).await;
        match answer.get("exceptionDetails") {
            Some(details) => Err(thrown(details)),
            None => Ok(answer["result"]["value"].clone()),
        }
    }

    /// Asks `expression` until it is true (not null, false, 0 or ""), and returns what it is then. Panics after `limit`,
    /// with what the page says of itself.
    pub async fn wait_until(&self, expression: &str, limit: Duration) -> Value {
        let deadline = Instant::now() + limit;
        loop {
            let value = self.try_eval(expression).await;
            match &value {
                Ok(Value::Null | Value::Bool(false)) | Err(_) => {}
                Ok(Value::Number(number)) if number.as_f64() == Some(0.0) => {}
                Ok(Value::String(text)) if text.is_empty() => {}
                Ok(value) => return value.clone(),
            }
            if Instant::now() > deadline {
                let text = self.try_eval("document.body?.innerText").await;
                panic!("after {limit:?} {expression} is still {value:?}; the page shows {text:?}\n{}", self.told());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// A picture of the tab as PNG, written to `path`.
    pub async fn screenshot(&self, path: &Path) {
        let png = self.picture().await;
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).unwrap();
        std::fs::write(path, png).unwrap();
    }

    pub async fn picture(&self) -> Vec<u8> {
        let answer = self.call("Page.captureScreenshot", json!({ "format": "png" })).await;
        let text = answer["data"].as_str().expect("a picture is base64");
        base64::engine::general_purpose::STANDARD.decode(text).expect("a picture is base64")
    }

    /// The window's size in CSS pixels, and whether the user likes it dark.
    pub async fn looks(&self, width: u32, height: u32, dark: bool) {
        let size = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", size).await;
        let scheme = json!([{ "name": "prefers-color-scheme", "value": if dark { "dark" } else { "light" } }]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": scheme })).await;
    }

    /// Presses and releases a key as a keyboard would: `Enter`, `Tab`, ` `.
    pub async fn press(&self, key: &str) {
        let text = match key {
            "Enter" => Some("\r"),
            one if one.chars().count() == 1 => Some(one),
            _ => None,
        };
        let code = match key {
            "Enter" => 13,
            "Tab" => 9,
            "Escape" => 27,
            other => other.chars().next().map_or(0, |first| first.to_ascii_uppercase() as u32),
        };
        for kind in ["keyDown", "keyUp"] {
            let mut event = json!({ "type": kind, "key": key, "windowsVirtualKeyCode": code });
            if let (Some(text), "keyDown") = (text, kind) {
                event["text"] = text.into();
            }
            self.call("Input.dispatchKeyEvent", event).await;
        }
    }

    /// What the page wrote to its console or threw.
    pub fn console(&self) -> Vec<String> {
        self.devtools.console(&self.session)
    }

    fn told(&self) -> String {
        format!("console:\n{}", self.console().join("\n"))
    }

    async fn call(&self, method: &str, parameters: Value) -> Value {
        self.devtools.call(Some(&self.session), method, parameters).await
    }
}
