use super::{
    layers::{DEFAULTS, env_name},
    *,
};
use crate::{
    domain::{decision::Category, evidence::UnscoredReason},
    engines::routing::{Fate, Policy},
};

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
        // `routing_unscored_has_every_reason` is about the last ones.
        assert!(
            value.key.starts_with("operating_points.")
                || value.key.starts_with("routing.unscored.")
                || sources.contains(&format!("\"{}\"", value.key)),
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
    assert!(!Config::load(&env("NIGHTLIGHT__REVIEW__CLUSTER_MATCHES", "false")).unwrap().review.cluster_matches);
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
        ("NIGHTLIGHT__ROUTING__UNSCORED_EXEMPT", "[\"bored\"]", "a list of reasons: undecodable_media, "),
        ("NIGHTLIGHT__ROUTING__UNSCORED_EXEMPT", "[\"conversation_truncated\"]", "text_truncated"),
        ("NIGHTLIGHT__ROUTING__UNSCORED", "maybe", "\"review\", \"none\", or a table of reasons"),
        ("NIGHTLIGHT__ROUTING__UNSCORED", "{ bored = 'none' }", "unknown key `routing.unscored.bored`; allowed are routing.policy"),
        ("NIGHTLIGHT__ROUTING__UNSCORED__EMPTY_TEXT", "1.5", "the share that is drawn for review, from 0.0 to 1.0"),
        ("NIGHTLIGHT__ROUTING__UNSCORED__EMPTY_TEXT", "maybe", "`routing.unscored.empty_text` cannot be \"maybe\""),
        ("NIGHTLIGHT__ROUTING__UNSCORED__BORED", "none", "unknown key `routing.unscored.bored`"),
        ("NIGHTLIGHT__REVIEW__KNOWN_DECIDED", "drop", "\"attach\" or \"queue\""),
        ("NIGHTLIGHT__REVIEW__KNOWN_SECOND_LOOK", "2.0", "a number from 0 to 1"),
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

/// The table is the enum, with the defaults that routing has by itself.
#[test]
fn routing_unscored_has_every_reason() {
    let config = Config::load(&Sources::default()).unwrap();
    assert_eq!(config.routing.policy, Policy::default());
    let listed: Vec<_> = config.effective().iter().filter_map(|value| value.key.strip_prefix("routing.unscored.")).collect();
    assert_eq!(listed, UnscoredReason::ALL.map(UnscoredReason::as_str));
    assert!(config.warnings.is_empty());
}

#[test]
fn routing_unscored_is_a_table_of_words_and_shares() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nightlight.toml");
    std::fs::write(
        &path,
        "[routing.unscored]\nundecodable_media = \"none\"\nmedia_too_small = 0.25\nempty_text = 1\ntext_truncated = 0.0\n",
    )
    .unwrap();
    let sources = Sources {
        env: vec![
            ("NIGHTLIGHT__ROUTING__UNSCORED__UNREADABLE_TEXT".into(), "none".into()),
            ("NIGHTLIGHT__ROUTING__UNSCORED__MEDIA_TOO_LARGE".into(), "0.5".into()),
            ("NIGHTLIGHT__ROUTING__UNSCORED".into(), "{ media_too_large = \"none\", unsupported_kind = \"none\" }".into()),
        ],
        file: Some(path.clone()),
        ..Sources::default()
    };
    let config = Config::load(&sources).unwrap();
    let fate = |reason| config.routing.policy.unscored[&reason];
    assert_eq!(fate(UnscoredReason::UndecodableMedia), Fate::None);
    assert_eq!(fate(UnscoredReason::MediaTooSmall), Fate::Share(0.25));
    assert_eq!(fate(UnscoredReason::EmptyText), Fate::Review);
    assert_eq!(fate(UnscoredReason::TextTruncated), Fate::None);
    assert_eq!(fate(UnscoredReason::UnreadableText), Fate::None);
    assert_eq!(fate(UnscoredReason::MediaTooLarge), Fate::Share(0.5), "an entry counts before the table, in whatever order they come");
    assert_eq!(fate(UnscoredReason::UnsupportedKind), Fate::None);
    assert_eq!(fate(UnscoredReason::TechnologyFailed), Fate::Review);
    let from = |key: &str| config.effective().iter().find(|value| value.key == key).unwrap().origin.to_string();
    assert_eq!(from("routing.unscored.media_too_small"), format!("file {}", path.display()));
    assert_eq!(from("routing.unscored.unsupported_kind"), "env NIGHTLIGHT__ROUTING__UNSCORED");
    assert_eq!((from("routing.unscored.technology_failed").as_str(), config.warnings.len()), ("default", 0));
}

#[test]
fn the_old_forms_of_routing_unscored_keep_their_meaning_and_warn() {
    const UNSCORED: &str = "NIGHTLIGHT__ROUTING__UNSCORED";
    const EXEMPT: &str = "NIGHTLIGHT__ROUTING__UNSCORED_EXEMPT";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nightlight.toml");
    let load = |file: &str, env: &[(&str, &str)]| {
        std::fs::write(&path, file).unwrap();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::load(&Sources { file: Some(path.clone()), env, ..Sources::default() }).unwrap()
    };
    let nowhere = |config: &Config| -> Vec<_> {
        UnscoredReason::ALL.into_iter().filter(|reason| config.routing.policy.unscored[reason] == Fate::None).collect()
    };
    let reviewed =
        |config: &Config| UnscoredReason::ALL.into_iter().filter(|reason| config.routing.policy.unscored[reason] == Fate::Review).count();
    let all = UnscoredReason::ALL.len();

    let none = load("", &[(UNSCORED, "none")]);
    assert_eq!(nowhere(&none).len(), all);
    let review = load("[routing]\nunscored = \"review\"\n", &[]);
    assert_eq!(reviewed(&review), all);
    // The word and its exemptions are of one meaning, wherever they stand.
    for (file, env) in [
        ("[routing]\nunscored = \"review\"\nunscored_exempt = [\"media_too_small\"]\n", vec![]),
        ("[routing]\nunscored_exempt = [\"media_too_small\"]\n", vec![(UNSCORED, "review")]),
        ("[routing]\nunscored = \"review\"\n", vec![(EXEMPT, "[\"media_too_small\"]")]),
    ] {
        let config = load(file, &env);
        assert_eq!((nowhere(&config), reviewed(&config)), (vec![UnscoredReason::MediaTooSmall], all - 1), "{file} {env:?}");
        assert_eq!(config.warnings.len(), 1);
    }
    // Alone, an exemption changes what it names.
    let exempt = load("", &[(EXEMPT, "[\"media_too_small\"]")]);
    let defaults = Policy::default().unscored;
    let changed: Vec<_> =
        UnscoredReason::ALL.into_iter().filter(|reason| exempt.routing.policy.unscored[reason] != defaults[reason]).collect();
    assert_eq!(changed, [UnscoredReason::MediaTooSmall]);
    // An entry of the table is newer than the word beside it, and weaker than a word in a stronger source.
    let both = load(
        "[routing.unscored]\nmedia_too_small = \"review\"\n",
        &[(UNSCORED, "none"), ("NIGHTLIGHT__ROUTING__UNSCORED__EMPTY_TEXT", "0.5")],
    );
    assert_eq!(both.routing.policy.unscored[&UnscoredReason::EmptyText], Fate::Share(0.5));
    assert_eq!(nowhere(&both).len(), all - 1);

    let warning = &load("[routing]\nunscored = \"none\"\n", &[(EXEMPT, "[]")]).warnings[0];
    assert!(
        warning
            .starts_with(&format!("routing.unscored = \"none\" (file {}) and routing.unscored_exempt = [] (env {EXEMPT})", path.display())),
        "{warning}"
    );
    // What it says to write is the same policy, without a warning.
    let (_, table) = warning.split_once("write in its place\n").unwrap();
    let again = load(table, &[]);
    assert_eq!((again.routing.policy.unscored, again.warnings.len()), (none.routing.policy.unscored.clone(), 0));
    let from = |key: &str| none.effective().iter().find(|value| value.key == key).unwrap().clone();
    let shown = from("routing.unscored.empty_text");
    assert_eq!((shown.value.as_str(), shown.origin.to_string()), (Some("none"), format!("env {UNSCORED}")));
}

#[test]
fn the_front_door_is_checked() {
    let told = refused("NIGHTLIGHT__SERVER__TRUSTED_PROXIES", "[\"10.0.0.1/8\"]");
    assert!(told.contains("bits behind the prefix must be zero"), "{told}");
    // The largest body that is allowed has to fit.
    let told = refused("NIGHTLIGHT__SERVER__BODY_MEMORY_BYTES", "1000");
    assert!(told.contains("server.body_limit_bytes (104857600)"), "{told}");
    assert!(Config::load(&env("NIGHTLIGHT__SERVER__BODY_MEMORY_BYTES", "104857600")).is_ok());
}
