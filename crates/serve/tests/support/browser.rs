//! A headless Chromium, told what to do over two pipes (the DevTools protocol): no driver and no library beside it.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A browser with one page.
pub(crate) struct Browser {
    process: Child,
    commands: File,
    messages: Receiver<Value>,
    sent: u64,
    session: Value,
    /// What went wrong in the page: errors and warnings on its console, exceptions.
    pub(crate) complaints: Vec<String>,
    /// The addresses of everything that the page loaded.
    pub(crate) requests: Vec<String>,
    /// Removed with the browser.
    _folder: tempfile::TempDir,
}

impl Browser {
    /// Starts Chromium; none where there is none.
    pub(crate) fn start() -> Option<Self> {
        let name = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
            Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success())
        })?;
        let folder = tempfile::tempdir().unwrap();
        let [to, from] = ["to", "from"].map(|pipe| folder.path().join(pipe));
        assert!(Command::new("mkfifo").args([&to, &from]).status().unwrap().success());
        let flags = "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking \
                     --disable-component-update --remote-debugging-pipe";
        // The browser reads commands from its file 3 and writes to its file 4, which a shell can give it.
        let script = format!(
            "exec {name} {flags} --user-data-dir=\"$0/profile\" about:blank 3<\"$0/to\" 4>\"$0/from\""
        );
        let process = Command::new("sh")
            .args(["-c", &script])
            .arg(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let commands = OpenOptions::new().write(true).open(to).unwrap();
        let mut browser = Self {
            process,
            commands,
            messages: listen(File::open(from).unwrap()),
            sent: 0,
            session: Value::Null,
            complaints: Vec::new(),
            requests: Vec::new(),
            _folder: folder,
        };
        browser.open_page();
        Some(browser)
    }

    fn open_page(&mut self) {
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        self.session = self.call("Target.attachToTarget", attach)["sessionId"].clone();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    /// Has the browser do something, and takes in what happens meanwhile.
    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut command = json!({ "id": self.sent, "method": method, "params": parameters });
        if !self.session.is_null() {
            command["sessionId"] = self.session.clone();
        }
        self.commands.write_all((command.to_string() + "\0").as_bytes()).unwrap();
        loop {
            let message = self.messages.recv_timeout(PATIENCE).expect("the browser answers");
            if message["id"] == self.sent {
                assert!(message["error"].is_null(), "{method}: {}", message["error"]);
                return message["result"].clone();
            }
            self.note(&message);
        }
    }

    fn note(&mut self, message: &Value) {
        let event = &message["params"];
        match message["method"].as_str() {
            Some("Runtime.exceptionThrown") => {
                self.complaints.push(event["exceptionDetails"].to_string());
            }
            Some("Runtime.consoleAPICalled") if event["type"] != "log" => {
                self.complaints.push(event.to_string());
            }
            Some("Log.entryAdded") => self.complaints.push(event["entry"].to_string()),
            Some("Network.requestWillBeSent") => {
                self.requests.push(event["request"]["url"].as_str().unwrap().to_owned());
            }
            _ => {}
        }
    }

    /// Sets the size of the window, and whether the system is dark.
    pub(crate) fn look(&mut self, width: u32, height: u32, scheme: &str) {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let dark = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", dark);
    }

    pub(crate) fn open(&mut self, address: &str) {
        self.call("Page.navigate", json!({ "url": address }));
    }

    /// What a JavaScript expression is.
    pub(crate) fn evaluate(&mut self, expression: &str) -> Value {
        let how = json!({ "expression": expression, "returnByValue": true, "awaitPromise": true });
        let result = self.call("Runtime.evaluate", how);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Waits until an expression holds.
    pub(crate) fn wait(&mut self, expression: &str) {
        let end = Instant::now() + PATIENCE;
        while self.evaluate(expression) != true {
            assert!(Instant::now() < end, "{expression} does not come true: {:?}", self.complaints);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses a key that has a name and no character.
    pub(crate) fn press(&mut self, key: &str, code: u32) {
        for kind in ["rawKeyDown", "keyUp"] {
            let event =
                json!({ "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code });
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Writes a picture of the whole page.
    pub(crate) fn picture(&mut self, path: &Path) {
        let how = json!({ "format": "png", "captureBeyondViewport": true });
        let picture = self.call("Page.captureScreenshot", how);
        // Decoding base64 is the system's work, to need no crate for it.
        let mut decoder = Command::new("base64")
            .arg("-d")
            .stdin(Stdio::piped())
            .stdout(File::create(path).unwrap())
            .spawn()
            .unwrap();
        decoder
            .stdin
            .take()
            .unwrap()
            .write_all(picture["data"].as_str().unwrap().as_bytes())
            .unwrap();
        assert!(decoder.wait().unwrap().success());
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = Value::Null;
        let _ = self.commands.write_all(b"{\"id\":0,\"method\":\"Browser.close\"}\0");
        let _ = self.process.wait();
    }
}

/// The messages that come from the browser, each ended by a zero byte.
fn listen(pipe: File) -> Receiver<Value> {
    let (sender, messages) = channel();
    std::thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        let mut message = Vec::new();
        while pipe.read_until(0, &mut message).is_ok_and(|read| read > 0) {
            message.pop();
            let Ok(value) = serde_json::from_slice(&message) else { return };
            message.clear();
            if sender.send(value).is_err() {
                return;
            }
        }
    });
    messages
}
