//! The real binary as a child process, and a small HTTP client for it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

/// `nightlight serve` on a free loopback port. Killed when dropped.
pub struct Server {
    child: Child,
    pub address: String,
    pub key: String,
}

impl Server {
    /// Starts on `data_dir` and waits until it is ready. `settings` are environment variables.
    pub fn start(data_dir: &Path, settings: &[(&str, &str)]) -> Self {
        Self::logging(data_dir, settings, Stdio::inherit())
    }

    /// The same with its log somewhere else.
    pub fn logging(data_dir: &Path, settings: &[(&str, &str)], log: Stdio) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_nightlight"))
            .arg("--data-dir")
            .arg(data_dir)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .env("NIGHTLIGHT__SERVER__DRAIN_MS", "0") // no load balancer waits here
            .envs(settings.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        Self::spawned(child, data_dir)
    }

    /// One that was started on `data_dir` by a command of the caller's, with its output piped.
    pub fn spawned(child: Child, data_dir: &Path) -> Self {
        Self::when(child, data_dir, "/readyz")
    }

    /// The same for one that never becomes ready: alive is enough.
    pub fn alive(child: Child, data_dir: &Path) -> Self {
        Self::when(child, data_dir, "/livez")
    }

    /// Waits until it says yes to `path`.
    fn when(mut child: Child, data_dir: &Path, path: &str) -> Self {
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = loop {
            let line = lines.next().expect("the server prints its address before it ends").unwrap();
            if let Some(at) = line.find("http://127.0.0.1:") {
                let rest = &line[at + "http://".len()..];
                break rest[..rest.find('/').unwrap_or(rest.len())].trim().to_owned();
            }
        };
        // Keep reading, so that the server never blocks on a full pipe.
        std::thread::spawn(move || lines.for_each(drop));
        let key = std::fs::read_to_string(data_dir.join("admin.key")).expect("the first start writes admin.key").trim().to_owned();
        let server = Self { child, address, key };
        for _ in 0..600 {
            if server.try_request("GET", path, &[], b"").is_ok_and(|answer| answer.status == 200) {
                return server;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the server did not become ready");
    }

    /// SIGKILL: no handler runs, nothing is flushed.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; gives the exit status.
    pub fn terminate(self) -> std::process::ExitStatus {
        self.signal("TERM");
        self.wait()
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    /// Waits until it ends by itself.
    pub fn wait(mut self) -> std::process::ExitStatus {
        self.child.wait().unwrap()
    }

    /// One request with the admin key.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_request(method, path, headers, body).expect("an answer")
    }

    /// One request; an error when the connection breaks.
    pub fn try_request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Answer> {
        request(&self.address, &self.key, method, path, headers, body)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Already dead is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A status and a body.
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

/// One HTTP/1.1 request on a connection of its own.
pub fn request(address: &str, key: &str, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> std::io::Result<Answer> {
    let broken = |what: &str| std::io::Error::other(format!("broken answer: {what}"));
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer {key}\r\nContent-Length: {}\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    // A server may answer and close before it has read a body that it refuses.
    let _ = stream.write_all(body);
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let Some(end) = end else {
        read?;
        return Err(broken("no head"));
    };
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(|| broken("no status"))?;
    let body = answer[end + 4..].to_vec();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok()).flatten()
    });
    if length.is_some_and(|length| length != body.len()) {
        return Err(broken("cut short"));
    }
    Ok(Answer { status, body })
}
