//! Certificates in force on a running server: the real binary, its command line beside it, and what callers see.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use nightlight::{
    config::{Config, Sources},
    domain::{
        certificate::{Certificate, Claim},
        score::as_written,
    },
    services::certificates::{ModelFacts, SigningKey, sign},
    testing::certificates::certificate,
};
use serde_json::Value;

use crate::client::Server;

const JPEG: &[u8] = include_bytes!("../../scripts/samples/known.jpg");
/// A picture that is in its transparency: three looks.
const LOOKS: &[u8] = include_bytes!("fixtures/cases/12_picture_in_alpha.png");
const CHAT: &[u8] = include_bytes!("../../scripts/samples/chat-pattern.json");
/// Claimed at 10 % (see `testing::certificates`): `rare` has less, `dense` more.
const SERVICES: &[(&str, &str)] = &[
    ("NIGHTLIGHT__SERVICES", "{ rare = { prevalence = 0.0001 }, dense = { prevalence = 0.5 } }"),
    ("NIGHTLIGHT__ENGINE__BACKEND", "cpu"),
    ("NIGHTLIGHT__AUTH__METRICS_OPEN", "true"),
];
/// What the issue promises for a change to be in force.
const A_SECOND: Duration = Duration::from_secs(1);

/// A data directory with a running server.
struct House {
    folder: tempfile::TempDir,
    server: Server,
    config: Config,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path(), SERVICES);
        let config = Config::load(&Sources::default().with_flag("--data-dir", "data_dir", folder.path().to_string_lossy())).unwrap();
        Self { folder, server, config }
    }

    fn run(&self, words: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nightlight"));
        command.arg("--data-dir").arg(self.folder.path()).arg("operating-point").args(words);
        command.envs(SERVICES.iter().copied()).current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap()
    }

    /// Runs what has to work; its lines.
    fn lines(&self, words: &[&str]) -> Vec<Value> {
        let output = self.run(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Runs what has to be refused; exit code and message.
    fn refused(&self, words: &[&str]) -> (i32, String) {
        let output = self.run(words);
        assert!(output.stdout.is_empty(), "{words:?}: {}", String::from_utf8_lossy(&output.stdout));
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    }

    /// A certificate for a label of a model, changed, signed by the data directory's key, in a file.
    fn certificate(&self, (model, label): (&str, &str), change: impl FnOnce(&mut Certificate)) -> (Certificate, PathBuf) {
        let mut new = certificate();
        new.model = Some(ModelFacts::load(&self.config, model).unwrap().binding(label));
        change(&mut new);
        sign(&mut new, &SigningKey::of_data_dir(self.folder.path()).unwrap());
        let path = self.write(&new);
        (new, path)
    }

    fn write(&self, certificate: &Certificate) -> PathBuf {
        let path = self.folder.path().join(format!("{}.json", certificate.id));
        std::fs::write(&path, serde_json::to_vec_pretty(certificate).unwrap()).unwrap();
        path
    }

    fn install(&self, path: &Path) -> Vec<Value> {
        self.lines(&["install", path.to_str().unwrap()])
    }

    /// What `/score` says of `nsfw` for the picture.
    fn nsfw(&self, service: &str) -> Value {
        let query = if service.is_empty() { String::new() } else { format!("?service={service}") };
        let answer = self.server.request("POST", &format!("/score{query}"), &[("Content-Type", "image/jpeg")], JPEG).json();
        answer["scores"].as_array().unwrap().iter().find(|score| score["label"] == "nsfw").unwrap().clone()
    }

    /// The answer once it satisfies `wanted`, see [`soon`].
    fn soon(&self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        soon(what, || self.nsfw(""), wanted)
    }

    fn get(&self, path: &str) -> Value {
        let answer = self.server.request("GET", path, &[], b"");
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    }

    fn gauge(&self, name: &str, slice: &str) -> f64 {
        let text = self.server.request("GET", "/metrics", &[], b"").body;
        let line = format!("{name}{{technology=\"open-nsfw\",label=\"nsfw\",slice=\"{slice}\"}} ");
        let text = String::from_utf8(text).unwrap();
        let value = text.lines().find_map(|found| found.strip_prefix(&line));
        value.unwrap_or_else(|| panic!("{line} in {text}")).parse().unwrap()
    }
}

/// The answer that satisfies `wanted`: a call that begins a second from now has to get it. (On a busy machine a call alone can take as long.)
fn soon(what: &str, call: impl Fn() -> Value, wanted: impl Fn(&Value) -> bool) -> Value {
    let changed = Instant::now();
    loop {
        let began = changed.elapsed();
        let answer = call();
        if wanted(&answer) {
            return answer;
        }
        assert!(began < A_SECOND, "{what}: not in force within a second: {answer}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

const NSFW: (&str, &str) = ("open-nsfw", "nsfw");

fn of<'a>(score: &'a Value, field: &str) -> &'a Value {
    &score["operating_point"][field]
}

#[test]
fn a_certificate_is_in_force_within_a_second_and_gone_within_another() {
    let house = House::new();
    let before = house.nsfw("");
    assert_eq!((of(&before, "certified"), &before["probability"]), (&false.into(), &Value::Null));
    // The raw score as the answer writes it: the shortest decimal of a float of 32 bits, as in the score files that calibration reads.
    let raw = before["raw"].as_f64().unwrap();
    let float: f32 = raw.to_string().parse().unwrap();

    let mut last = String::new();
    for (at, threshold, flagged) in [(0, raw, true), (1, f64::from(float.next_up()), false), (-1, f64::from(float.next_down()), true)] {
        let (certificate, path) = house.certificate(NSFW, |new| new.claim.threshold = Some(threshold));
        let line = &house.install(&path)[0];
        assert_eq!((&line["installed"], &line["certified"], &line["technology"]), (&true.into(), &true.into(), &"open-nsfw".into()));
        assert_eq!(line["replaced"], if last.is_empty() { Value::Null } else { last.clone().into() });
        let score = house.soon("install", |score| of(score, "certificate") == &Value::from(certificate.id.clone()));
        assert_eq!((of(&score, "certified"), &score["flagged"]), (&true.into(), &flagged.into()), "{at} ulp: {score}");
        assert_eq!((of(&score, "precision_lower"), of(&score, "target_precision")), (&0.9902.into(), &0.99.into()));
        assert_eq!(of(&score, "reason"), &Value::Null);
        let expected = 1.0 / (1.0 + (5.0 - 10.0 * f64::from(float)).exp());
        assert!((score["probability"].as_f64().unwrap() - expected).abs() < 1e-12, "{score}");
        last = certificate.id;
    }

    // Per service: the claim holds where positives are as frequent as claimed, or more.
    let (rare, dense) = (house.nsfw("rare"), house.nsfw("dense"));
    assert_eq!((of(&rare, "certified"), of(&dense, "certified"), &rare["flagged"]), (&false.into(), &true.into(), &true.into()));
    assert!(of(&rare, "reason").as_str().unwrap().contains("the service rare has 0.0001"), "{rare}");
    let probability = |score: &Value| score["probability"].as_f64().unwrap();
    assert!(probability(&rare) < probability(&house.nsfw("")) && probability(&house.nsfw("")) < probability(&dense));

    // What is in force, everywhere that it is shown.
    let points = house.get("/operating-points");
    let all = points["operating_points"].as_array().unwrap();
    let entry = |service: Value| all.iter().find(|point| point["label"] == "nsfw" && point["service"] == service).unwrap();
    assert_eq!((&entry(Value::Null)["certified"], &entry("rare".into())["certified"]), (&true.into(), &false.into()));
    assert_eq!((&entry(Value::Null)["claim"]["n_flagged"], &entry(Value::Null)["signed_by"]), (&480.into(), &"this data directory".into()));
    assert_eq!(entry(Value::Null)["assumptions"][0], "items are independent");
    assert!(all.iter().any(|point| point["source"] == "configuration" && point["label"] == "conversation"));
    assert_eq!(points["warnings"], serde_json::json!([]));
    let document = house.get(&format!("/operating-points/{last}"));
    assert_eq!(
        document,
        serde_json::from_slice::<Value>(&std::fs::read(house.folder.path().join(format!("{last}.json"))).unwrap()).unwrap()
    );
    for (id, status) in [("x", 400), ("00000000-0000-7000-8000-000000000000", 404)] {
        assert_eq!(house.server.request("GET", &format!("/operating-points/{id}"), &[], b"").status, status);
    }
    let certified = |slice| house.gauge("nightlight_operating_point_certified", slice);
    assert_eq!([certified("all"), certified("dense"), certified("rare")], [1.0, 1.0, 0.0]);
    assert_eq!(house.gauge("nightlight_operating_point_precision_lower", "all"), 0.9902);
    assert_eq!(house.gauge("nightlight_operating_point_threshold", "all"), as_written(float.next_down()));
    let listed = house.lines(&["list", "--json"]);
    let line = listed.iter().find(|line| line["label"] == "nsfw" && line["service"].is_null()).unwrap();
    assert_eq!((&line["certificate"], &line["certified"], &line["recall"]), (&last.clone().into(), &true.into(), &(479.0 / 600.0).into()));

    // The monitor says the same of each population.
    let monitor = house.get("/monitor");
    let watched: Vec<&Value> = monitor["points"].as_array().unwrap().iter().filter(|point| point["label"] == "nsfw").collect();
    assert!(watched.iter().any(|point| point["slice"] == "rare") && watched.iter().any(|point| point["slice"].is_null()), "{monitor}");
    for point in watched {
        let line = listed.iter().find(|line| line["label"] == "nsfw" && line["service"] == point["slice"]).unwrap();
        assert_eq!((&point["certified"], &point["reason"]), (&line["certified"], &line["reason"]), "{point}");
    }

    // A restart finds it again.
    let House { folder, server, config } = house;
    server.kill();
    let house = House { server: Server::start(folder.path(), SERVICES), folder, config };
    assert_eq!(of(&house.nsfw(""), "certificate"), &Value::from(last.clone()));

    let retired = &house.lines(&["retire", "--model", "open-nsfw", "--label", "nsfw"])[0];
    assert_eq!(retired["certificate"], Value::from(last));
    let after = house.soon("retire", |score| of(score, "certificate").is_null());
    assert_eq!((&after["threshold"], &after["probability"]), (&0.8.into(), &Value::Null));
    assert_eq!(house.gauge("nightlight_operating_point_certified", "all"), 0.0);
    let (code, message) = house.refused(&["retire", "--model", "open-nsfw", "--label", "nsfw"]);
    assert!(code == 2 && message.contains("no certificate is in force for open-nsfw/nsfw"), "{code}: {message}");
    let audit =
        Command::new(env!("CARGO_BIN_EXE_nightlight")).arg("--data-dir").arg(house.folder.path()).args(["audit", "verify"]).output();
    assert!(audit.unwrap().status.success());
}

#[test]
fn what_cannot_be_valid_is_refused_and_what_is_not_certified_here_is_said_to_be() {
    let house = House::new();
    let (good, path) = house.certificate(NSFW, |_| {});
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = house.folder.path().join("changed.json");
    let (_, insufficient) = house.certificate(NSFW, |new| {
        (new.claim.certified, new.claim.threshold) = (false, None);
        new.claim.reason = Some("12 flagged items are too few".to_owned());
    });
    let (_, elsewhere) = house.certificate(NSFW, |new| new.model.as_mut().unwrap().name = "elsewhere".to_owned());
    let absent = house.folder.path().join("absent.json");
    std::fs::write(&changed, text.replace("0.9902", "0.9999")).unwrap();
    for (path, code, expected) in [
        (&changed, 2, "was changed after it was signed"),
        (&insufficient, 3, "12 flagged items are too few"),
        (&elsewhere, 2, "does not run here"),
        (&absent, 2, "cannot be read"),
    ] {
        let (found, message) = house.refused(&["install", path.to_str().unwrap()]);
        assert!(found == code && message.contains(expected) && message.contains(".json"), "{found}: {message}");
    }
    // A bad one among several changes nothing.
    house.refused(&["install", path.to_str().unwrap(), changed.to_str().unwrap()]);
    assert!(house.lines(&["list", "--json"]).iter().all(|line| line["certificate"].is_null()));

    // Signed by a key of another house: in force, not certified, until somebody trusts the key.
    let other = tempfile::tempdir().unwrap();
    let key = SigningKey::of_data_dir(other.path()).unwrap();
    let mut foreign = good.clone();
    sign(&mut foreign, &key);
    let line = &house.install(&house.write(&foreign))[0];
    assert_eq!((&line["installed"], &line["certified"]), (&true.into(), &false.into()));
    let score = house.soon("install", |score| of(score, "certificate") == &Value::from(foreign.id.clone()));
    assert_eq!(of(&score, "certified"), &Value::Bool(false));
    assert!(of(&score, "reason").as_str().unwrap().contains(&key.public().to_string()), "{score}");
    let printed =
        Command::new(env!("CARGO_BIN_EXE_nightlight")).arg("--data-dir").arg(other.path()).args(["operating-point", "key"]).output();
    let printed = String::from_utf8(printed.unwrap().stdout).unwrap();
    house.lines(&["trust", "--name", "partner", printed.trim()]);
    house.soon("trust", |score| of(score, "certified") == &Value::Bool(true));
    let points = house.get("/operating-points");
    assert!(points["operating_points"].as_array().unwrap().iter().any(|point| point["signed_by"] == "partner"), "{points}");
    assert_eq!(house.lines(&["trusted", "--json"])[0]["public_key"], Value::from(printed.trim()));
    let (code, message) = house.refused(&["trust", "--name", "partner", printed.trim()]);
    assert!(code == 2 && message.contains("trusted key or name"), "{message}");
    assert_eq!(house.refused(&["trust", "--name", "x", "1234"]).0, 2);
    house.lines(&["untrust", "--name", "partner"]);
    house.soon("untrust", |score| of(score, "certified") == &Value::Bool(false));

    // Another version of the model: the threshold holds, the claim does not, the calibrator is not used, and operators see it.
    let (other_model, path) = house.certificate(NSFW, |new| {
        new.model.as_mut().unwrap().digest = Some(format!("sha256:{}", "0".repeat(64)));
        new.claim.threshold = Some(0.25);
    });
    assert_eq!(house.install(&path)[0]["certified"], Value::Bool(false));
    let score = house.soon("install", |score| of(score, "certificate") == &Value::from(other_model.id.clone()));
    assert_eq!((&score["threshold"], of(&score, "certified"), &score["probability"]), (&0.25.into(), &false.into(), &Value::Null));
    let reason = of(&score, "reason").as_str().unwrap().to_owned();
    assert!(reason.contains("another version of the model"), "{reason}");
    let ready = house.get("/readyz");
    assert_eq!(ready["ready"], true);
    assert!(ready["warnings"].as_array().unwrap().iter().any(|warning| warning.as_str().unwrap().contains(&reason)), "{ready}");
}

#[test]
fn a_conversation_alarms_at_its_certificates_threshold() {
    let house = House::new();
    let whole = |house: &House| {
        let answer = house.server.request("POST", "/score", &[("Content-Type", "application/json")], CHAT).json();
        answer["scores"].as_array().unwrap().iter().find(|score| score["label"] == "conversation").unwrap().clone()
    };
    let before = whole(&house);
    let first = before["detail"]["first_alarm_message_index"].as_u64().unwrap();
    let raw = before["raw"].as_f64().unwrap();
    let install = |threshold: f64, slice: Option<&str>| {
        let (certificate, path) = house.certificate(("conversation-demo", "conversation"), |new| {
            new.claim.threshold = Some(threshold);
            new.points = slice.map(|slice| Claim { slice: Some(slice.to_owned()), ..new.claim.clone() }).into_iter().collect();
        });
        assert!(house.install(&path).iter().all(|line| line["certified"] == true));
        soon("install", || whole(&house), |score| of(score, "certificate") == &Value::from(certificate.id.clone()))
    };
    let at = install(raw, Some("chat"));
    assert!(at["flagged"] == true && at["detail"]["first_alarm_message_index"].as_u64().unwrap() >= first, "{at}");
    let above = install(f64::from(raw.to_string().parse::<f32>().unwrap().next_up()), None);
    assert!(above["flagged"] == false && above["detail"]["first_alarm_message_index"].is_null(), "{above}");
    // The claim for the slice is still the first one's.
    let body = String::from_utf8(CHAT.to_vec()).unwrap();
    let mut request: Value = serde_json::from_str(&body).unwrap();
    request["context"]["service"] = "chat".into();
    let answer = house.server.request("POST", "/score", &[("Content-Type", "application/json")], request.to_string().as_bytes()).json();
    let sliced = answer["scores"].as_array().unwrap().iter().find(|score| score["label"] == "conversation").unwrap();
    assert_eq!((&sliced["flagged"], of(sliced, "certified")), (&true.into(), &true.into()), "{sliced}");
}

#[test]
fn a_certificate_of_one_look_is_told_from_one_of_several() {
    let house = House::new();
    let of_looks = || {
        let answer = house.server.request("POST", "/score", &[("Content-Type", "image/png")], LOOKS).json();
        answer["scores"].as_array().unwrap().iter().find(|score| score["label"] == "nsfw").unwrap().clone()
    };
    let put = |change: fn(&mut Certificate)| {
        let (certificate, path) = house.certificate(NSFW, change);
        assert_eq!(house.install(&path)[0]["certified"], true);
        house.soon("install", |score| of(score, "certificate") == &Value::from(certificate.id.clone()))
    };
    let listed = || house.lines(&["list", "--json"]).into_iter().find(|line| line["label"] == "nsfw" && line["service"].is_null()).unwrap();
    let table = || String::from_utf8(house.run(&["list"]).stdout).unwrap();

    assert_eq!(of(&put(|_| {}), "certified"), true);
    assert_eq!((of(&of_looks(), "certified"), &listed()["one_look_only"]), (&true.into(), &Value::Null));
    assert!(!table().contains("one look"));

    // As 59328be made them: the threshold stays, and every list says where it is not certified.
    assert_eq!(of(&put(|new| new.model.as_mut().unwrap().rule = None), "certified"), true);
    let several = of_looks();
    assert_eq!((of(&several, "certified"), &several["threshold"]), (&false.into(), &listed()["threshold"]));
    let why = of(&several, "reason").as_str().unwrap();
    assert!(why.contains("highest of several looks"), "{why}");
    let line = listed();
    assert_eq!((&line["certified"], line["one_look_only"].as_str()), (&true.into(), Some(why)));
    let points = house.get("/operating-points");
    let point = points["operating_points"].as_array().unwrap().iter().find(|point| point["label"] == "nsfw" && point["service"].is_null());
    assert_eq!(point.unwrap()["one_look_only"].as_str(), Some(why));
    assert!(table().lines().any(|line| line.contains("one look ") && line.ends_with(why)), "{}", table());
}
