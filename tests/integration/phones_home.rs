//! Nothing phones home, and nothing is written outside the data directory: the real binary under strace(1), with an empty home directory.
//!
//! Seen are every file that is made, changed or opened for writing, and every connect or send to an address of the internet, by whichever thread and
//! library. ONNX Runtime, for one, would keep an identifier in the home directory and report to its maker; Mesa would keep a cache of shaders there.
//! Where strace may not watch (some containers) the tests say so and pass, unless NIGHTLIGHT_REQUIRE_STRACE=1.

mod strace;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use self::strace::Call;
use crate::{cli::sample, client::Server};

/// What else may be opened for writing. None of it is a file that stays, or that anybody else reads.
const HARMLESS: [&str; 5] = [
    "/dev/null",
    "/dev/dri/",   // the graphics device itself
    "/dev/nvidia", // likewise
    "/proc/self/", // names of threads
    "/proc/thread-self/",
];

/// How long the server is left alone before it ends: telemetry comes in batches.
const QUIET: Duration = Duration::from_secs(8);

/// A home directory with nothing in it, a data directory, and a folder for strace's log.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["home", "data"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        // Without links: strace shows where the kernel went.
        self.folder.path().canonicalize().unwrap().join(name)
    }

    /// A command of the binary.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = strace::watched(env!("CARGO_BIN_EXE_nightlight"), &self.path("."), &self.path("home"), &self.path("log"));
        let models = crate::classify::home();
        command
            .arg("--data-dir")
            .arg(self.path("data"))
            .args(words)
            .env("NIGHTLIGHT__ENGINE__GPU_TIMEOUT_MS", "120000") // software Vulkan under strace
            .env("NIGHTLIGHT__MODELS__DIRECTORY", models.join("models"))
            .env("NIGHTLIGHT__MODELS__ONNXRUNTIME", models.join("lib/libonnxruntime.so"));
        command
    }

    fn run(&self, words: &[&str]) {
        let output = self.command(words).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {error}{}", String::from_utf8_lossy(&output.stdout));
        self.was_quiet(words);
    }

    /// What was done since the last call, against what may be done.
    fn was_quiet(&self, what: &[&str]) {
        let calls = strace::calls(&self.path("log"), &self.path("."));
        assert!(calls.len() > 20, "{what:?}: strace saw the binary");
        let wrong = wrong(&calls, &self.path("data"));
        assert!(wrong.is_empty(), "{what:?}:\n{}", wrong.join("\n"));
        assert_eq!(fs::read_dir(self.path("home")).unwrap().count(), 0, "{what:?}: the home directory is as empty as before");
    }
}

/// What nobody asked for, in words: files outside `data`, words with the internet, and names that were to be resolved.
fn wrong(calls: &[Call], data: &Path) -> Vec<String> {
    let allowed = |path: &Path| path.starts_with(data) || HARMLESS.iter().any(|prefix| path.to_string_lossy().starts_with(prefix));
    let mut wrong: Vec<String> = Vec::new();
    for call in calls {
        wrong.extend(call.internet().map(|address| format!("{} {address}", call.name)));
        wrong.extend(call.written().into_iter().filter(|path| !allowed(path)).map(|path| format!("{} {}", call.name, path.display())));
        wrong.extend(call.opened().into_iter().filter(|path| path.ends_with("etc/resolv.conf")).map(|_| "a name is resolved".to_owned()));
    }
    wrong.sort();
    wrong.dedup();
    wrong
}

fn post(server: &Server, kind: &str, body: &[u8]) {
    let answer = server.request("POST", "/score", &[("Content-Type", kind)], body);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let answer = answer.json();
    assert!(!answer["scores"].as_array().unwrap().is_empty(), "the models run: {answer}");
}

#[test]
fn a_server_talks_to_its_callers_alone_and_writes_into_its_folder_alone() {
    if !strace::works() {
        return;
    }
    let place = Place::new();
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
    command.env("NIGHTLIGHT__ENGINE__BACKEND", "auto");
    let server = Server::spawned(command.stdout(Stdio::piped()).spawn().unwrap(), &place.path("data"));
    post(&server, "image/jpeg", &fs::read(sample("known.jpg")).unwrap());
    post(&server, "text/plain", b"see you at practice tomorrow");
    post(&server, "application/json", &fs::read(sample("chat-pattern.json")).unwrap());
    assert_eq!(server.request("GET", "/metrics", &[], b"").status, 200);
    std::thread::sleep(QUIET);
    // strace's first line is of the process that it started.
    let log = fs::read_to_string(place.path("log")).unwrap();
    let pid = log.split(' ').next().unwrap();
    assert!(Command::new("kill").args(["-TERM", pid]).status().unwrap().success());
    assert!(server.wait().success());
    place.was_quiet(&["serve"]);
}

#[test]
fn commands_are_as_quiet() {
    if !strace::works() {
        return;
    }
    let place = Place::new();
    let [picture, chat] = ["known.jpg", "chat-classmates.json"].map(|name| sample(name).to_str().unwrap().to_owned());
    fs::write(place.path("list.csv"), format!("path,label\n{picture},0\n{},0\n", sample("other.png").display())).unwrap();
    place.run(&["score", &picture, &chat]);
    place.run(&["doctor"]);
    place.run(&["hash", "--backend", "cpu", &picture]);
    place.run(&["evaluate", "files", "--manifest", place.path("list.csv").to_str().unwrap(), "--bootstrap", "0"]);
    if nightlight::testing::gpu::open(&Default::default()).is_some() {
        place.run(&["hash", "--backend", "gpu", &picture]);
    }
}

/// The wrong twin: what the watcher has to see.
#[test]
fn a_program_that_writes_home_and_calls_home_is_caught() {
    if !strace::works() {
        return;
    }
    let place = Place::new();
    // Port 9 of this machine: nobody listens there, and the attempt is what counts.
    let script = r#"echo x >"$HOME/seen"; echo y >"$1/fine"; mkdir -p "$HOME/.cache/a"; (exec 3<>/dev/tcp/127.0.0.1/9) 2>/dev/null; true"#;
    let status = strace::watched("bash", &place.path("."), &place.path("home"), &place.path("log"))
        .args(["-c", script, "bash"])
        .arg(place.path("data"))
        .status()
        .unwrap();
    assert!(status.success());
    let found = wrong(&strace::calls(&place.path("log"), &place.path(".")), &place.path("data"));
    let seen = |part: &str| found.iter().any(|line| line.contains(part));
    assert!(seen("home/seen") && seen("mkdir") && seen("127.0.0.1") && !seen("fine"), "{found:?}");
}
