//! The rooms of the house: who may import whom, and which room owns which foreign crate. `src/lib.rs` tells it in words; this table decides.
//!
//! Sources are read as text: comments, strings and `#[cfg(test)]` items are taken out, and what remains is searched for paths that begin with
//! `crate` or `super` and for names of foreign crates. No compiler is needed, and a path inside a function counts like one in a `use`.

mod source;

use std::{
    fs,
    path::{Path, PathBuf},
};

use source::{Source, room_of};

/// Room -> what it may import beside itself. `engines::*` stands for all engines.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("cli", &["http", "services", "engines::*", "store", "outbound", "config", "domain", "telemetry"]),
    ("http", &["services", "store", "domain", "telemetry"]),
    ("services", &["engines::*", "store", "outbound", "config", "domain", "telemetry"]),
    // A policy is a value that configuration gives and its engine, or the room for requests, defines.
    ("config", &["domain", "engines::routing", "outbound"]),
    ("telemetry", &["config"]),
    // For the names of its metrics.
    ("store", &["domain", "engines::ledger", "telemetry"]),
    ("outbound", &["domain"]),
    ("engines::media", &["domain"]),
    ("engines::gpu", &["domain"]),
    ("engines::preprocess", &["domain", "engines::gpu"]),
    ("engines::hashing", &["domain", "engines::gpu"]),
    ("engines::matching", &["domain", "engines::gpu"]),
    ("engines::classify", &["domain"]),
    ("engines::calibration", &["domain"]),
    ("engines::routing", &["domain"]),
    ("engines::ledger", &["domain"]),
    // For the name of its metric.
    ("engines::batch", &["domain", "telemetry"]),
    ("domain", &[]),
    // The map and the lists of rooms; the binary.
    ("lib", &[]),
    ("engines", &[]),
    ("main", &["cli"]),
];

/// Foreign crate -> the rooms that may name it: one, unless a reason stands beside it.
const OWNED: &[(&str, &[&str])] = &[
    ("axum", &["http"]),
    // Servers there, clients here.
    ("hyper", &["http", "outbound"]),
    ("hyper_util", &["http", "outbound"]),
    ("http_body_util", &["outbound"]),
    ("tokio_rustls", &["outbound"]),
    ("rustls_native_certs", &["outbound"]),
    // Addresses there, forms here.
    ("url", &["outbound", "http"]),
    ("tower", &["http"]),
    ("tower_http", &["http"]),
    ("utoipa_swagger_ui", &["http"]),
    // Texts come in over HTTP and in files of the command line.
    ("encoding_rs", &["domain"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("rustix", &["cli"]),
    // Large pages there, the number of a signal here.
    ("libc", &["engines::matching", "cli"]),
    ("wgpu", &["engines::gpu"]),
    ("naga", &["engines::gpu"]),
    ("pollster", &["engines::gpu"]),
    ("ort", &["engines::classify"]),
    ("tokenizers", &["engines::classify"]),
    ("icu_normalizer", &["engines::classify"]),
    ("icu_properties", &["engines::classify"]),
    ("unicode_bidi", &["engines::classify"]),
    ("unicode_security", &["engines::classify"]),
    ("image", &["engines::media"]),
    ("image_webp", &["engines::media"]),
    ("png", &["engines::media"]),
    ("weezl", &["engines::media"]),
    ("miniz_oxide", &["engines::media"]),
    ("crc32fast", &["engines::media"]),
    ("zune_core", &["engines::media"]),
    ("zune_jpeg", &["engines::media"]),
    // Data sets, reports and certificates are use cases.
    ("csv", &["services"]),
    ("quick_xml", &["services"]),
    ("data_encoding", &["services"]),
    ("age", &["services"]),
    ("parquet", &["services"]),
    ("fast_float2", &["services"]),
    // Pages of the console, and reports that stand in files.
    ("maud", &["http", "services"]),
    ("ed25519_dalek", &["services"]),
    // Both draw: cross-fitting and placement there, bootstrap here.
    ("rand_xoshiro", &["engines::calibration", "services"]),
    ("sqlx", &["store"]),
    ("libsqlite3_sys", &["store"]),
    ("tracing_subscriber", &["telemetry"]),
    ("tracing_chrome", &["telemetry"]),
    // HTTP renders what telemetry collects.
    ("metrics_exporter_prometheus", &["telemetry", "http"]),
    // Two kinds of file are TOML: settings and model manifests.
    ("toml", &["config", "engines::classify"]),
];

/// Lines of the longest file: above the goal of about 400, so that a comment does not force a split.
const LONGEST: usize = 450;

/// What is wrong with one source, in words.
fn violations(source: &Source) -> Vec<String> {
    let room = room_of(&source.module);
    let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == room) else {
        return vec![format!("{}: the room {room} is not in the table; add it to tests/integration/architecture.rs", source.path)];
    };
    let mut found = Vec::new();
    for path in source.imports() {
        let target = room_of(&path);
        let engine = target.starts_with("engines::") && allowed.contains(&"engines::*");
        if target != room && !engine && !allowed.contains(&target.as_str()) {
            found.push(format!("{}: {room} may not import {target} (crate::{})", source.path, path.join("::")));
        }
    }
    for (krate, owners) in OWNED {
        if !owners.contains(&room.as_str()) && source.names_crate(krate) {
            found.push(format!("{}: the crate {krate} belongs to {}, not to {room}", source.path, owners.join(" and ")));
        }
    }
    found
}

/// Every file of `src/` except `testing/`, which serves the tests and may reach everywhere.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(files.len() > 50, "src/ was not found");
    files
        .iter()
        .map(|file| Source::new(file.strip_prefix(&root).unwrap().to_str().unwrap(), &fs::read_to_string(file).unwrap()))
        .filter(|source| source.module.first().is_none_or(|room| room != "testing"))
        .collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[test]
fn imports_go_down_the_floors_and_crates_stay_in_their_rooms() {
    let found: Vec<_> = sources().iter().flat_map(violations).collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

#[test]
fn files_are_short_finished_and_introduced() {
    let mut found = Vec::new();
    for source in sources() {
        let lines = source.text.lines().count();
        if lines > LONGEST {
            found.push(format!("{}: {lines} lines; split it by concept", source.path));
        }
        for word in ["todo!", "unimplemented!", "dbg!"] {
            if source.code.contains(word) {
                found.push(format!("{}: {word}", source.path));
            }
        }
        if source.text.contains("LIMIT ?") {
            found.push(format!("{}: a bound limit is LIMIT +?, see store/mod.rs", source.path));
        }
        if (source.path.ends_with("mod.rs") || source.path == "lib.rs") && !source.text.starts_with("//!") {
            found.push(format!("{}: a room opens with an essay (//!)", source.path));
        }
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// A check that cannot fail is none.
#[test]
fn forbidden_edges_are_found_wherever_they_hide() {
    let forbidden = [
        ("engines/hashing/x.rs", "use crate::store::Store;", "may not import store"),
        ("engines/hashing/x.rs", "use crate::{domain::hash::PdqHash, engines::media::Decoder};", "may not import engines::media"),
        ("engines/hashing/mod.rs", "use super::media::Decoder;", "may not import engines::media"),
        ("engines/hashing/x.rs", "use super::super::{gpu::Gpu, routing};", "may not import engines::routing"),
        ("engines/batch/mod.rs", "fn f() { crate::engines::gpu::open() }", "may not import engines::gpu"),
        ("domain/x.rs", "pub(crate) use crate :: services :: App;", "may not import services"),
        ("services/x.rs", "use crate::http::router;", "may not import http"),
        ("http/x.rs", "fn f(_: crate::engines::media::Decoder) {}", "may not import engines::media"),
        ("services/x.rs", "use crate::engines;", "may not import engines "),
        ("attic/mod.rs", "", "not in the table"),
        ("http/x.rs", "use sqlx::Row;", "sqlx belongs to store"),
        ("store/x.rs", "fn f(_: ::axum::Router) {}", "axum belongs to http"),
        ("engines/hashing/x.rs", "#[cfg(test)] mod tests { use wgpu::A; } use wgpu::B;", "wgpu belongs to engines::gpu"),
        ("services/x.rs", "#[cfg(test)] use a::b; fn f() { image::open() }", "image belongs to engines::media"),
        ("domain/x.rs", "use {serde::Serialize, ort::Session};", "ort belongs to"),
        ("domain/x.rs", "const A: char = '\"'; use toml::Value; const B: char = '\"';", "toml belongs to"),
    ];
    for (path, text, expected) in forbidden {
        let found = violations(&Source::new(path, text));
        assert!(found.len() == 1 && found[0].contains(expected), "{text}: {found:?}");
    }
}

#[test]
fn allowed_edges_and_mere_words_are_not_found() {
    let allowed = [
        ("engines/hashing/gpu.rs", "use super::check; use crate::engines::gpu::{Gpu, self as device}; use crate::domain::{frame::Frame};"),
        ("cli/serve/mod.rs", "use crate::{http, services::App}; use super::super::config::Settings; use super::Failure;"),
        ("services/x.rs", "mod image; use self::image::Way; fn f() { image::look(); crate::engines::media::sniff() }"),
        (
            "domain/x.rs",
            "//! [`crate::store`]\n/* crate::store /* nested */ sqlx:: */ const A: &str = \"crate::store sqlx::\"; const B: &str = r#\"\" axum::\"#;",
        ),
        (
            "domain/x.rs",
            "#[cfg(test)]\nmod tests { use crate::store::Store; fn f() -> &'static str { \"}\" } }\n#[cfg(any(test, feature = \"testing\"))] use crate::store::A;",
        ),
        ("services/scoring/start.rs", "use super::{Scoring, image::Way}; use super::png; fn f() { png::read() }"),
        ("store/x.rs", "fn f<'a>(x: &'a str) -> sqlx::Row { x.image::<u8>(); crate::engines::ledger::chain(x) }"),
    ];
    for (path, text) in allowed {
        assert_eq!(violations(&Source::new(path, text)), Vec::<String>::new(), "{text}");
    }
}
