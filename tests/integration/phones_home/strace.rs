//! What a process and its threads asked the kernel for, by strace(1): the files that they made or opened for writing, and where they sent something.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs,
    path::{Component, Path, PathBuf},
    process::Command,
};

/// Set where strace is known to work: a run without it is then a failure.
const REQUIRED: &str = "NIGHTLIGHT_REQUIRE_STRACE";

/// Whether processes can be watched here. Says loudly when they cannot, and panics when they must be.
pub fn works() -> bool {
    let seen = Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"]).output();
    let why = match seen {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    assert!(std::env::var_os(REQUIRED).is_none_or(|value| value != "1"), "{REQUIRED}=1, and strace does not work: {why}");
    eprintln!("NOT TESTED: whether the binary phones home or writes elsewhere. strace does not work here ({why}).");
    false
}

/// `program` in `folder` under strace, which writes to `log`; nothing of this process's environment but PATH, and `home` as HOME.
pub fn watched(program: impl AsRef<OsStr>, folder: &Path, home: &Path, log: &Path) -> Command {
    let mut command = Command::new("strace");
    command
        .args(["-f", "-qq", "-y", "-s", "512", "--seccomp-bpf", "-e"])
        .arg("trace=%file,socket,connect,bind,sendto,sendmsg,sendmmsg,mknodat,fchmodat")
        .arg("-o")
        .args([log.as_os_str(), program.as_ref()])
        .current_dir(folder)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home);
    command
}

/// One call that came back.
#[derive(Debug)]
pub struct Call {
    pub name: String,
    arguments: String,
    result: String,
    /// Where relative paths begin.
    folder: PathBuf,
}

/// What `log` holds: every call that succeeded, and those to the network whatever became of them. Relative paths begin at `folder`.
pub fn calls(log: &Path, folder: &Path) -> Vec<Call> {
    let text = String::from_utf8_lossy(&fs::read(log).expect("strace wrote its log")).into_owned();
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut calls = Vec::new();
    for line in text.lines() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let whole = if let Some(rest) = rest.strip_suffix(" <unfinished ...>") {
            begun.insert(pid, rest);
            continue;
        } else if let Some((_, end)) = rest.strip_prefix("<... ").and_then(|rest| rest.split_once(" resumed>")) {
            format!("{}{end}", begun.remove(pid).unwrap_or_default())
        } else {
            rest.to_owned()
        };
        calls.extend(call(&whole, folder));
    }
    // A call that never came back may have been done.
    calls.extend(begun.values().filter_map(|rest| call(&format!("{rest}) = ?"), folder)));
    calls
}

fn call(text: &str, folder: &Path) -> Option<Call> {
    let (name, rest) = text.split_once('(')?;
    // Results of short calls stand in a column of their own, behind blanks.
    let (arguments, result) = rest.rsplit_once(" = ")?;
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    plain.then(|| Call { name: name.to_owned(), arguments: arguments.to_owned(), result: result.to_owned(), folder: folder.to_owned() })
}

impl Call {
    fn succeeded(&self) -> bool {
        !self.result.starts_with('-')
    }

    /// The text that names an address of the internet, if the call does: connecting to it, or sending to it.
    pub fn internet(&self) -> Option<&str> {
        let sends = ["connect", "sendto", "sendmsg", "sendmmsg"].contains(&self.name.as_str());
        (sends && self.arguments.contains("sa_family=AF_INET")).then_some(self.arguments.as_str())
    }

    /// The files that the call made, changed or opened for writing.
    pub fn written(&self) -> Vec<PathBuf> {
        let opens = ["open", "openat", "openat2"].contains(&self.name.as_str());
        let writes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_TMPFILE"].iter().any(|flag| self.arguments.contains(flag));
        let makes = [
            "creat",
            "mkdir",
            "mkdirat",
            "mknod",
            "mknodat",
            "rename",
            "renameat",
            "renameat2",
            "link",
            "linkat",
            "symlink",
            "symlinkat",
            "unlink",
            "unlinkat",
            "rmdir",
            "truncate",
            "chmod",
            "fchmodat",
            "chown",
            "utimensat",
            "setxattr",
        ];
        if !self.succeeded() || !(makes.contains(&self.name.as_str()) || (opens && writes)) {
            return Vec::new();
        }
        self.paths()
    }

    /// The files that the call opened, for whatever.
    pub fn opened(&self) -> Vec<PathBuf> {
        if self.name.starts_with("open") { self.paths() } else { Vec::new() }
    }

    /// Every text of the call as a path: behind the folder before it (`-y` writes `7</folder>, "name"`), or behind the process's own.
    fn paths(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut parts = self.arguments.split('"');
        while let (Some(before), Some(text)) = (parts.next(), parts.next()) {
            let of_descriptor = before.rsplit_once('<').and_then(|(_, rest)| rest.split_once('>')).map(|(folder, _)| folder);
            let base = of_descriptor.filter(|folder| folder.starts_with('/')).map_or(self.folder.as_path(), Path::new);
            found.push(plain(&base.join(text)));
        }
        found
    }
}

/// Without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

#[test]
fn the_log_is_read_as_strace_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let lines = [
        r#"7 openat(AT_FDCWD</somewhere>, "a/../b", O_RDWR|O_CREAT|O_CLOEXEC, 0644) = 3</here/b>"#,
        r#"7 openat(AT_FDCWD</somewhere>, "/etc/hosts", O_RDONLY|O_CLOEXEC) = 4</etc/hosts>"#,
        r#"8 mkdirat(5</tmp>, "x", 0700 <unfinished ...>"#,
        r#"9 openat(AT_FDCWD</somewhere>, "/absent/c", O_WRONLY|O_CREAT, 0644) = -1 ENOENT (No such file or directory)"#,
        r#"9 connect(6<socket:[1]>, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("10.0.0.1")}, 16 <unfinished ...>"#,
        r"8 <... mkdirat resumed>)          = 0",
        r#"9 connect(6<socket:[2]>, {sa_family=AF_UNIX, sun_path="/run/x"}, 110) = 0"#,
        r#"9 sendto(7<socket:[3]>, "HTTP/1.1 200 OK"..., 120, MSG_NOSIGNAL, NULL, 0) = 120"#,
        r"7 +++ exited with 0 +++",
    ];
    fs::write(&log, lines.join("\n")).unwrap();
    let calls = calls(&log, Path::new("/here"));
    let written: Vec<PathBuf> = calls.iter().flat_map(Call::written).collect();
    assert_eq!(written, [PathBuf::from("/somewhere/b"), PathBuf::from("/tmp/x")]);
    let internet: Vec<&str> = calls.iter().filter_map(Call::internet).collect();
    assert!(internet.len() == 1 && internet[0].contains("10.0.0.1"), "{internet:?}");
}
