//! What foreign libraries are told through environment variables before the first of them is opened.
//!
//! They do things unasked: ONNX Runtime reports to its maker, graphics drivers keep a cache of shaders in the home directory. This server does
//! neither: it sends nothing anywhere but to its callers and to what its operator configured, and writes nothing outside its data directory.
//! `tests/integration/phones_home.rs` watches the binary do so.

use std::ffi::{OsStr, OsString};

use crate::engines::classify::Runtime;

/// A variable, its value, and the variables by which an operator says something else.
type Switch = (&'static str, &'static str, &'static [&'static str]);

const SWITCHES: [Switch; 4] = [
    // Nobody can ask for it back.
    (Runtime::SILENCE.0, Runtime::SILENCE.1, &[]),
    // Mesa, under its name of today and that of before 21.3. Compiling the shaders anew costs a start a fraction of a second.
    ("MESA_SHADER_CACHE_DISABLE", "true", &["MESA_SHADER_CACHE_DISABLE", "MESA_SHADER_CACHE_DIR"]),
    ("MESA_GLSL_CACHE_DISABLE", "true", &["MESA_GLSL_CACHE_DISABLE", "MESA_GLSL_CACHE_DIR", "MESA_SHADER_CACHE_DIR"]),
    // NVIDIA's driver, for Vulkan too.
    ("__GL_SHADER_DISK_CACHE", "0", &["__GL_SHADER_DISK_CACHE", "__GL_SHADER_DISK_CACHE_PATH"]),
];

/// Variables to set before any thread runs and any library is opened: `main` does it, because only there both are certain.
pub fn environment() -> Vec<(&'static str, OsString)> {
    settings(|name| std::env::var_os(name))
}

fn settings(now: impl Fn(&str) -> Option<OsString>) -> Vec<(&'static str, OsString)> {
    let unsaid = |names: &[&str]| !names.iter().any(|name| now(name).is_some());
    let wanted = SWITCHES.iter().filter(|(_, _, outranked_by)| unsaid(outranked_by));
    let mut set: Vec<_> = wanted.map(|(name, value, _)| (*name, OsStr::new(value).to_owned())).collect();
    // Mesa prints an error at every look for a GPU when this is unset, as it is for services; it only wants any folder.
    if now("XDG_RUNTIME_DIR").is_none() {
        set.push(("XDG_RUNTIME_DIR", std::env::temp_dir().into_os_string()));
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_may_want_a_cache_and_nobody_can_want_telemetry() {
        let of = |said: &[(&str, &str)]| {
            let set = settings(|name| said.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value)));
            set.into_iter().map(|(name, value)| format!("{name}={}", value.to_string_lossy())).collect::<Vec<_>>()
        };
        let all = of(&[("XDG_RUNTIME_DIR", "/run/user/7")]);
        assert_eq!(
            all,
            ["ORT_DISABLE_TELEMETRY=1", "MESA_SHADER_CACHE_DISABLE=true", "MESA_GLSL_CACHE_DISABLE=true", "__GL_SHADER_DISK_CACHE=0"]
        );
        let said = [("ORT_DISABLE_TELEMETRY", "0"), ("MESA_SHADER_CACHE_DIR", "/var/cache/x"), ("__GL_SHADER_DISK_CACHE", "1")];
        let set = of(&said);
        assert!(set.len() == 2 && set[0] == "ORT_DISABLE_TELEMETRY=1" && set[1].starts_with("XDG_RUNTIME_DIR="), "{set:?}");
    }
}
