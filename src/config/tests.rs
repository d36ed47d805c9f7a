use super::{
    layers::{DEFAULTS, env_name},
    *,
};
use crate::domain::{decision::Category, decision::Route, evidence::UnscoredReason};

fn env(name: &str, value: &str) -> Sources {
    Sources { env: vec![(name.to_owned(), value.to_owned())], ..Sources::default() }
}

fn refused(name: &str, value: &str) -> String {
    Config::load(&env(name, value)).map(|_| ()).unwrap_err().to_string()
}

/// Every key has a comment of its own that names its environment variable, and every such name is a key's.
#[test]
fn default_toml_is_the_manual() {
    let mut comment = String::new();
    let (mut section, mut documented) = (String::new(), Vec::new());
    for line in DEFAULTS.lines() {
        if line.starts_with('#') {
            comment.push_str(line.trim_start_matches('#'));
        } else if let Some(header) = line.strip_prefix('[') {
            section = header.trim_matches(['[', ']']).to_owned();
            if header.starts_with('[') && !comment.is_empty() {
                assert!(comment.ends_with(&format!("Env {}", env_name(&section))), "[[{section}]]");
            }
        } else if let Some((name, _)) = line.split_once(" =").filter(|_| section != "operating_points") {
            let key = if section.is_empty() { name.to_owned() } else { format!("{section}.{name}") };
            let text = comment.split("Env ").next().unwrap_or_default().trim();
            assert!(text.len() > 20, "{key} needs a comment that says what it does");
            assert!(comment.ends_with(&format!("Env {}", env_name(&key))), "{key}: its comment must end in `Env {}`", env_name(&key));
            documented.push(key);
        }
        if !line.starts_with('#') {
            comment.clear();
        }
    }
    let config = Config::load(&Sources::default()).unwrap();
    let plain: Vec<_> =
        config.effective().iter().map(|value| value.key.clone()).filter(|key| !key.starts_with("operating_points")).collect();
    assert_eq!(plain, documented);
}

/// A key that no section reads would be accepted and do nothing; one that `default.toml` lacks would panic at the start.
#[test]
fn sections_read_exactly_the_keys_of_default_toml() {
    let sources = [
        include_str!("mod.rs"),
        include_str!("curation.rs"),
        include_str!("engine.rs"),
        include_str!("exchange.rs"),
        include_str!("limits.rs"),
        include_str!("log.rs"),
        include_str!("matching.rs"),
        include_str!("models.rs"),
        include_str!("monitor.rs"),
        include_str!("outbound.rs"),
        include_str!("routing.rs"),
        include_str!("server.rs"),
        include_str!("services.rs"),
        include_str!("store.rs"),
    ]
    .concat();
    for value in Config::load(&Sources::default()).unwrap().effective() {
        assert!(
            value.key.starts_with("operating_points.") || sources.contains(&format!("\"{}\"", value.key)),
            "nobody reads {}",
            value.key
        );
    }
}

#[test]
fn later_sources_win_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nightlight.toml");
    std::fs::write(&path, "data_dir = \"d\"\n[server]\npermits = 7\ndeadline_ms = 9\n[routing]\nqueues = { new = \"fresh\" }\n").unwrap();
    let mut sources = env("NIGHTLIGHT__SERVER__PERMITS", "8");
    sources.file = Some(path.clone());
    let config = Config::load(&sources.clone().with_flag("--data-dir", "data_dir", "e")).unwrap();
    let from = |key: &str| config.effective().iter().find(|value| value.key == key).unwrap().origin.to_string();
    assert_eq!((config.server.permits, from("server.permits").as_str()), (8, "env NIGHTLIGHT__SERVER__PERMITS"));
    assert_eq!((config.server.deadline_ms, from("server.deadline_ms")), (9, format!("file {}", path.display())));
    assert_eq!((config.store_file().to_str(), from("data_dir").as_str()), (Some("e/nightlight.db"), "flag --data-dir"));
    assert_eq!(config.routing.policy.queues, [(Category::New, "fresh".to_owned())]);
    assert_eq!(from("log.level"), "default");
}

#[test]
fn environment_values_have_the_type_of_their_key() {
    let names = env("NIGHTLIGHT__ROUTING__UNSCORED_EXEMPT", "[\"empty_text\"]");
    assert_eq!(Config::load(&names).unwrap().routing.policy.unscored_exempt, [UnscoredReason::EmptyText].into());
    assert_eq!(Config::load(&env("NIGHTLIGHT__ROUTING__UNSCORED", "none")).unwrap().routing.policy.unscored, Route::None);
    assert_eq!(Config::load(&env("NIGHTLIGHT_DATA_DIR", "/d")).unwrap().admin_key_file().to_str(), Some("/d/admin.key"));
    // A text that looks like a number stays a text.
    assert_eq!(Config::load(&env("NIGHTLIGHT__ENGINE__GPU_ADAPTER", "4090")).unwrap().engine.gpu_adapter.as_deref(), Some("4090"));
}

#[test]
fn what_is_wrong_is_named_with_its_source_and_what_is_allowed() {
    let cases = [
        ("NIGHTLIGHT__SERVER__PORT", "80", "unknown key `server.port`"),
        ("NIGHTLIGHT__SERVER__PORT", "80", "server.listen, server.body_limit_bytes"),
        ("NIGHTLIGHT__SEVER__LISTEN", "x", "unknown key `sever.listen`; allowed are data_dir, server, auth"),
        ("NIGHTLIGHT__SERVER__PERMITS", "0", "`server.permits` cannot be 0; allowed: a whole number from 1 to 65536"),
        ("NIGHTLIGHT__SERVER__PERMITS", "many", "`server.permits` cannot be \"many\"; allowed: a value of type integer"),
        ("NIGHTLIGHT__SERVER__PERMITS", "1.5", "a value of type integer"),
        ("NIGHTLIGHT__SERVER__LISTEN", "8080", "an IP address with a port"),
        ("NIGHTLIGHT__LOG__LEVEL", "loud", "\"error\", \"warn\""),
        ("NIGHTLIGHT__ENGINE__BACKEND", "tpu", "\"auto\", \"gpu\" or \"cpu\""),
        ("NIGHTLIGHT__ROUTING__POLICY", "default", "name@version"),
        ("NIGHTLIGHT__ROUTING__QUEUES", "{ none = \"x\" }", "known, new, solicitation, other"),
        ("NIGHTLIGHT__ROUTING__UNSCORED_EXEMPT", "[\"bored\"]", "a list of reasons"),
        ("NIGHTLIGHT__MODELS__IMAGE", "[\"../x\"]", "lower-case letters"),
        ("NIGHTLIGHT__STORE__FILE", "../x.db", "within the data directory"),
        ("NIGHTLIGHT__MONITOR__FALLBACK", "panic", "\"keep\", \"queue_everything\""),
        ("NIGHTLIGHT__MONITOR__MIN_REVIEW_SHARE", "1.5", "a number from 0 to 1"),
        ("NIGHTLIGHT__AUDIT__STRATA", "[{ from = 0.5, rate = 0.1 }, { from = 0.5, rate = 0.2 }]", "ascending"),
        ("NIGHTLIGHT__AUDIT__STRATA", "[{ from = 0.5, rate = 2.0 }]", "`rate` in 0..=1"),
        ("NIGHTLIGHT__REVIEW__DOUBLE_RATE", "-0.1", "a number from 0 to 1"),
        ("NIGHTLIGHT__MATCHING__PDQ_MAX_DISTANCE", "257", "from 0 to 256"),
    ];
    for (name, value, expected) in cases {
        let text = refused(name, value);
        assert!(text.contains(expected) && text.contains(&format!("(env {name})")), "{text}");
    }
}

#[test]
fn keys_are_needed_wherever_others_can_reach_the_port() {
    let open = env("NIGHTLIGHT__AUTH__ENABLED", "false");
    assert!(!Config::load(&open).unwrap().auth.enabled);
    let reachable = open.with_flag("--listen", "server.listen", "0.0.0.0:80");
    assert!(Config::load(&reachable).unwrap_err().to_string().contains("not a loopback address"));
}

#[test]
fn operating_points_are_merged_by_model_and_label() {
    const NAME: &str = "NIGHTLIGHT__OPERATING_POINTS";
    let config =
        Config::load(&env(NAME, "[{ model = \"open-nsfw\", label = \"nsfw\", threshold = 0.9, target_precision = 0.99 }]")).unwrap();
    let get = |model: &str, label: &str| {
        config.operating_points.iter().find(|((m, l), _)| (m.as_str(), l.as_str()) == (model, label)).map(|(_, point)| point)
    };
    let point = get("open-nsfw", "nsfw").unwrap();
    assert_eq!((point.threshold.get(), point.target_precision, point.certified), (0.9, Some(0.99), false));
    assert!(get("conversation-demo", "conversation").is_some(), "others stay in force");
    assert!(get("open-nsfw", "sfw").is_none());

    let one = "{ model = \"open-nsfw\", label = \"nsfw\", threshold = 0.9 }";
    let cases = [
        (format!("[{one}, {one}]"), "one entry for each model and label"),
        (one.replace("0.9", "nan"), "a finite number"),
        (one.replace("0.9", "\"high\""), "threshold"),
        (one.replace("open-nsfw", "open_nsfw"), "a model that runs: open-nsfw, conversation-demo"),
        (one.replace(" }", ", confidence = 1.0 }"), "between 0 and 1"),
        (one.replace(" }", ", recall = 1.0 }"), "unknown field `recall`"),
    ];
    for (value, expected) in cases {
        let value = if value.starts_with('[') { value } else { format!("[{value}]") };
        let text = refused(NAME, &value);
        assert!(text.contains(expected) && text.contains("operating_points["), "{text}");
    }
}

#[test]
fn services_are_merged_and_a_prevalence_is_a_share() {
    const NAME: &str = "NIGHTLIGHT__SERVICES";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nightlight.toml");
    std::fs::write(&path, "[services.photos]\nprevalence = 0.01\n[services.\"Chat, EU\"]\nprevalence = 0.5\n").unwrap();
    let sources = Sources { file: Some(path), ..env(NAME, "{ photos = { prevalence = 0.0001 } }") };
    let config = Config::load(&sources).unwrap();
    let prevalences: Vec<_> = config.services.iter().map(|(name, service)| (name.as_str(), service.prevalence)).collect();
    assert_eq!(prevalences, [("Chat, EU", Some(0.5)), ("photos", Some(0.0001))]);
    let of_photos = config.effective().iter().find(|value| value.key == "services.photos.prevalence").unwrap();
    assert_eq!((of_photos.value.as_float(), of_photos.origin.to_string()), (Some(0.0001), format!("env {NAME}")));
    assert!(Config::load(&Sources::default()).unwrap().services.is_empty());
    for (value, expected) in [
        ("{ photos = { prevalence = 0.0 } }", "`services.photos.prevalence` cannot be 0; allowed: a number between 0 and 1"),
        ("{ photos = { prevalence = nan } }", "between 0 and 1"),
        ("{ photos = { prevalance = 0.1 } }", "unknown field `prevalance`"),
        ("{ photos = 0.1 }", "{ prevalence? }"),
        ("{ \"\" = { prevalence = 0.1 } }", "1 to 256 characters"),
        ("[]", "a table of services"),
    ] {
        let text = refused(NAME, value);
        assert!(text.contains(expected) && text.contains(NAME), "{text}");
    }
}

#[test]
fn a_file_that_is_missing_or_no_toml_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = Sources { file: Some(folder.path().join("absent.toml")), ..Sources::default() };
    assert!(matches!(Config::load(&sources), Err(ConfigError::Unreadable { .. })));
    let path = folder.path().join("broken.toml");
    std::fs::write(&path, "[server\n").unwrap();
    sources.file = Some(path);
    assert!(matches!(Config::load(&sources), Err(ConfigError::Syntax { .. })));
}

#[test]
fn outbound_lists_are_checked() {
    let name = |key: &str| format!("NIGHTLIGHT__OUTBOUND__{key}");
    let sources = Sources {
        env: vec![
            (name("ALLOW_NETWORKS"), "['10.0.0.0/8', '::1']".into()),
            (name("ALLOW_HOSTS"), "['hma.internal']".into()),
            (name("PORTS"), "[443, 8443]".into()),
        ],
        ..Sources::default()
    };
    let outbound = Config::load(&sources).unwrap().outbound;
    assert_eq!((outbound.policy.allow_networks.len(), outbound.policy.ports.as_slice()), (2, &[443, 8443][..]));
    assert!(!outbound.url_fetch && outbound.policy.allow_hosts == ["hma.internal"]);
    assert!(refused(&name("ALLOW_NETWORKS"), "['10.0.0.1/8']").contains("10.0.0.0/8"));
    assert!(refused(&name("ALLOW_HOSTS"), "['https://x']").contains("host names"));
    assert!(refused(&name("PORTS"), "[0]").contains("1 to 65535"));
}
