//! "A model of your own" in models/README.md: its configuration and its commands.

use std::{path::Path, process::Command};

use crate::cli::{run_with, sample};

const README: &str = include_str!("../../models/README.md");

fn block(language: &str) -> &'static str {
    let section = README.split_once("## A model of your own").unwrap().1;
    section.split_once(&format!("```{language}\n")).unwrap().1.split_once("```").unwrap().0
}

#[test]
fn a_model_of_one_s_own_runs_beside_the_others_and_flags_at_its_threshold() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join(".nightlight/models");
    std::fs::create_dir_all(&home).unwrap();
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join(".nightlight/models");
    for name in ["open-nsfw", "conversation-demo", "minilm"] {
        std::os::unix::fs::symlink(installed.join(name), home.join(name)).unwrap();
    }
    std::fs::write(folder.path().join("own.toml"), block("toml")).unwrap();
    let made: String = block("sh").lines().take(2).map(|line| format!("{line}\n")).collect();
    // The link itself is a folder of the checkout; what is copied is what it holds.
    let made = made.replace("cp -r ", "cp -rL ");
    assert!(Command::new("sh").arg("-ec").arg(made).current_dir(folder.path()).status().unwrap().success());
    let known = sample("known.jpg");
    let words = ["--config", "own.toml", "score", known.to_str().unwrap()];
    let found = run_with(folder.path(), &words, &[("NIGHTLIGHT__MODELS__DIRECTORY", home.to_str().unwrap())], "");
    assert_eq!(found.code, 0, "{}", found.stderr);
    let answer = found.json_lines().remove(0);
    let of = |technology: &str| {
        let scores = answer["scores"].as_array().unwrap();
        scores.iter().find(|score| score["technology"] == technology && score["label"] == "nsfw").unwrap().clone()
    };
    let (mine, shipped) = (of("mine"), of("open-nsfw"));
    assert_eq!((&mine["raw"], &mine["threshold"], &shipped["threshold"]), (&shipped["raw"], &0.5.into(), &0.8.into()), "{answer}");
}
