//! The real binary: decisions over HTTP, and what the next answer says.

use std::process::Command;

use serde_json::Value;

use crate::client::Server;

const CHAT: &[u8] = include_bytes!("../../../scripts/samples/chat-pattern.json");
const JPEG: &[u8] = include_bytes!("../../../scripts/samples/known.jpg");

const POINT: &str =
    "[{ model = \"conversation-demo\", label = \"conversation\", threshold = 0.5, target_precision = 0.9, confidence = 0.9 }]";

fn score(server: &Server) -> Value {
    let answer = server.request("POST", "/score", &[("Content-Type", "application/json")], CHAT);
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()
}

fn point(answer: &Value) -> &Value {
    &answer["scores"].as_array().unwrap().iter().find(|score| score["label"] == "conversation").unwrap()["operating_point"]
}

fn decide(server: &Server, id: &str, verdict: &str) {
    assert_eq!(server.request("POST", &format!("/review/items/{id}/claim"), &[], b"").status, 200);
    let body = format!("{{\"verdict\":\"{verdict}\"}}");
    assert_eq!(server.request("POST", &format!("/review/items/{id}/decision"), &[], body.as_bytes()).status, 200);
}

#[test]
fn the_next_answer_knows_what_reviewers_decided() {
    let folder = tempfile::tempdir().unwrap();
    // The same chat again and again has to be decided again and again.
    let queue = ("NIGHTLIGHT__REVIEW__KNOWN_DECIDED", "queue");
    let settings = [("NIGHTLIGHT__OPERATING_POINTS", POINT), ("NIGHTLIGHT__MONITOR__FALLBACK", "shadow"), queue];
    let server = Server::start(folder.path(), &settings);
    let first = score(&server);
    assert_eq!((&point(&first)["live"]["state"], &first["inclusion_probability"]), (&"unconfirmed".into(), &1.0.into()), "{first}");
    let mut answers = 0;
    while point(&score(&server))["live"]["state"] != "violated" {
        let answer = score(&server);
        decide(&server, answer["review_item"].as_str().unwrap(), "rejected");
        answers += 1;
        assert!(answers < 20);
    }
    let after = score(&server);
    let live = point(&after);
    assert_eq!((&live["certified"], &live["fallback"]), (&false.into(), &"shadow".into()), "{after}");
    assert!(live["reason"].as_str().unwrap().contains("live review"), "{live}");
    let flagged = after["scores"].as_array().unwrap().iter().find(|score| score["label"] == "conversation").unwrap();
    assert_eq!(flagged["flagged"], false, "in shadow nothing is flagged");

    let metrics = String::from_utf8(server.request("GET", "/metrics", &[], b"").body).unwrap();
    let series = "nightlight_operating_point_state{technology=\"conversation-demo\",label=\"conversation\",slice=\"all\"} -1";
    assert!(metrics.contains(series) && metrics.contains("nightlight_decertifications_total 1"), "{metrics}");
    let ready = server.request("GET", "/readyz", &[], b"").json();
    assert!(ready["ready"] == true && ready["warnings"].to_string().contains("conversation-demo/conversation"), "{ready}");
    let monitor = server.request("GET", "/monitor", &[], b"").json();
    let told = |report: &Value| {
        let points = report["points"].as_array().unwrap();
        let point = points.iter().find(|point| point["label"] == "conversation").unwrap_or_else(|| panic!("{report}"));
        ["state", "epoch", "n", "errors", "reason", "threshold"].map(|field| point[field].clone())
    };
    assert_eq!(told(&monitor)[0], "violated");

    let nightlight = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nightlight"));
        command.arg("--data-dir").arg(folder.path()).args(words).envs(settings).current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(told(&serde_json::from_str(&nightlight(&["monitor", "--json"])).unwrap()), told(&monitor), "beside the server");
    assert!(nightlight(&["monitor"]).contains("violated"));
    assert!(server.terminate().success());
    assert!(nightlight(&["audit", "verify"]).contains("\"ok\":true"));
    let server = Server::start(folder.path(), &settings);
    assert_eq!(told(&server.request("GET", "/monitor", &[], b"").json()), told(&monitor), "after a restart");
    assert_eq!(point(&score(&server))["live"]["state"], "violated");
}

#[test]
fn audit_samples_are_drawn_at_their_rate_and_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &[("NIGHTLIGHT__AUDIT__STRATA", "[{ from = 0.0, rate = 0.5 }]")]);
    let post = |item: usize| {
        let answer = server.request("POST", &format!("/score?item_id=item-{item}&cluster=c"), &[("Content-Type", "image/jpeg")], JPEG);
        assert_eq!(answer.status, 200);
        answer.json()
    };
    let answers: Vec<_> = (0..24).map(post).collect();
    let drawn: Vec<_> = answers.iter().filter(|answer| answer["decision"]["route"] == "review").collect();
    // Bin(24, 1/2) outside 2..=22 has a chance of 3e-6.
    assert!((2..=22).contains(&drawn.len()), "{}", drawn.len());
    for answer in &drawn {
        let decision = &answer["decision"];
        assert_eq!(
            (&decision["queue"], &decision["category"], &decision["reasons"][0]["code"]),
            (&"audit".into(), &"other".into(), &"audit_sample".into())
        );
        assert_eq!(answer["inclusion_probability"], 0.5);
    }
    assert!(answers.iter().all(|answer| answer["review_item"].is_null() == answer["inclusion_probability"].is_null()));
    let again: Vec<_> = (0..24).map(post).map(|answer| answer["decision"]["route"].clone()).collect();
    assert_eq!(
        again,
        answers.iter().map(|answer| answer["decision"]["route"].clone()).collect::<Vec<_>>(),
        "an item is drawn twice or never"
    );
    let items = server.request("GET", "/review/items?queue=audit&limit=200", &[], b"").json();
    let items = items["items"].as_array().unwrap();
    assert_eq!(items.len(), 2 * drawn.len());
    assert!(items.iter().all(|item| item["inclusion_probability"] == 0.5), "{}", items[0]);
    items.iter().for_each(|item| decide(&server, item["id"].as_str().unwrap(), "rejected"));
    let monitor = server.request("GET", "/monitor", &[], b"").json();
    let point = monitor["points"].as_array().unwrap().iter().find(|point| point["label"] == "nsfw").unwrap();
    assert_eq!(
        (&point["n"], &point["recall"]["below"], &point["recall"]["below_decided"]),
        (&0.into(), &48.into(), &items.len().into()),
        "{point}"
    );
    assert!(point["recall"]["recall"].is_null(), "nothing above was decided");
}
