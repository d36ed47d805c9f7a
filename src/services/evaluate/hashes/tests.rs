use std::{
    collections::BTreeSet,
    sync::{
        LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::*;
use crate::{
    domain::frame::BufferPool,
    engines::{
        hashing::pdq_cpu,
        media::{Decoder, Limits, edit},
    },
};

/// A small scene: what is tested does not depend on the size, but the time does.
fn small(number: usize) -> Frame {
    static SCENES: LazyLock<[Frame; 6]> = LazyLock::new(|| std::array::from_fn(|at| edit::resize(&scene(5, at as u64), 224, 168)));
    edit::crop(&SCENES[number], (0, 0), (224, 168))
}

/// Number 2 is a mirrored number 0, number 3 has nothing on it, number 4 cannot be read.
fn load(at: usize) -> Result<Picture, String> {
    let frame = match at {
        2 => edit::mirror(&small(0)),
        3 => Frame::new(64, 64, vec![90; 3 * 64 * 64]).unwrap(),
        4 => return Err("it is a text".to_owned()),
        _ => small(at),
    };
    Ok(Picture { name: format!("picture-{at}"), frame })
}

fn row<'a>(report: &'a HashReport, alteration: &str, all_positions: bool) -> &'a Row {
    report.rows.iter().find(|row| row.alteration == alteration && row.all_positions == all_positions).unwrap()
}

#[test]
fn names_are_unique_and_every_group_of_the_issue_is_there() {
    let names: BTreeSet<&str> = ALTERATIONS.iter().map(|alteration| alteration.name).collect();
    assert_eq!(names.len(), ALTERATIONS.len());
    let groups: BTreeSet<&str> = ALTERATIONS.iter().map(|alteration| alteration.group).collect();
    for group in ["resize", "crop", "jpeg", "rotate", "flip", "grey", "text", "border", "tone", "blur"] {
        assert!(groups.contains(group), "{group}");
    }
}

#[test]
fn every_alteration_changes_the_picture_and_chance_follows_the_seed() {
    let frame = small(0);
    for (number, alteration) in ALTERATIONS.iter().enumerate().skip(1) {
        let altered = |seed| alteration.apply(&frame, seed, (0, number)).unwrap().frame;
        let [one, same] = [1, 1].map(altered);
        assert!((one.width(), one.pixels()) != (frame.width(), frame.pixels()), "{}", alteration.name);
        assert_eq!(one.pixels(), same.pixels(), "{}", alteration.name);
        if alteration.group == "crop" {
            assert!((2..9).any(|seed| altered(seed).pixels() != one.pixels()), "{}", alteration.name);
        }
    }
    let as_it_is = ALTERATIONS[0].apply(&frame, 1, (0, 0)).unwrap();
    assert_eq!((ALTERATIONS[0].name, as_it_is.frame.pixels()), ("none", frame.pixels()));
}

#[test]
fn the_table_says_what_the_hashes_say() {
    let ticks = AtomicUsize::new(0);
    let tick = || {
        ticks.fetch_add(1, Ordering::Relaxed);
    };
    let bench = Bench::new(Looker::of_hashes(), HashOptions::default());
    let report = bench.run(6, &load, None, &tick).unwrap();
    // Two scenes and number 5 are left; the mirrored one is a copy in another position.
    assert_eq!((report.pictures, ticks.into_inner()), (3, 6 + 3));
    assert_eq!(report.rows.len(), 2 * ALTERATIONS.len());
    let left: Vec<(&str, &str)> = report.left_out.iter().map(|one| (one.name.as_str(), one.reason.as_str())).collect();
    assert_eq!(left, [("picture-3", "PDQ quality 0 is below 50"), ("picture 4", "it is a text")]);
    let copies: Vec<(&str, &str)> = report.copies.iter().map(|one| (one.name.as_str(), one.of.as_str())).collect();
    assert_eq!(copies, [("picture-2", "picture-0")]);
    assert!(report.copies[0].distance <= 31);

    // Held against the plain way: alter, hash, count bits. Every third alteration: the same code counts them all.
    for (number, alteration) in ALTERATIONS.iter().enumerate().step_by(3) {
        let distances: Vec<[u32; 2]> = [0, 1, 5]
            .map(|at| {
                let frame = small(at);
                let original = pdq_cpu(&frame).unwrap().original();
                let altered = pdq_cpu(&alteration.apply(&frame, 1, (at, number)).unwrap().frame).unwrap();
                assert!(altered.quality.get() >= 50, "{}: every scene keeps enough detail", alteration.name);
                let nearest = altered.hashes.iter().map(|hash| hash.distance(&original)).min().unwrap();
                [altered.original().distance(&original), nearest]
            })
            .to_vec();
        for (way, all_positions) in [false, true].into_iter().enumerate() {
            let row = row(&report, alteration.name, all_positions);
            let mut of_way: Vec<u32> = distances.iter().map(|pair| pair[way]).collect();
            of_way.sort_unstable();
            let found = of_way.iter().filter(|distance| **distance <= 31).count() as u64;
            assert_eq!((row.found, row.pictures, row.unusable, row.wrong), (found, 3, 0, 0), "{} {all_positions}", alteration.name);
            let distance = row.distance.unwrap();
            assert!(distance.median == of_way[1] && distance.largest == of_way[2], "{}: {distance:?} {of_way:?}", alteration.name);
            assert!(row.recall_interval[0] <= row.recall && row.recall <= row.recall_interval[1]);
        }
    }
    // Small pictures lose some bits when they are turned; as they stand none is found.
    let turned = ["rotate-90", "rotate-180", "rotate-270", "flip-horizontal", "flip-vertical"];
    let found = |all_positions| turned.map(|name| row(&report, name, all_positions).found).iter().sum::<u64>();
    assert!(found(false) == 0 && found(true) >= 10, "{} and {} of 15", found(false), found(true));
    // All of three: the lower end is the cube root of a fortieth.
    let [low, high] = row(&report, "none", false).recall_interval;
    assert!((low - 0.025f64.cbrt()).abs() < 1e-9 && high == 1.0, "{low} {high}");
}

#[test]
fn a_radius_that_holds_everything_finds_wrong_ones_too() {
    let options = HashOptions { radius: 256, ..HashOptions::default() };
    let bench = Bench::new(Looker::of_hashes(), options);
    // At this radius all are copies of the first.
    let report = bench.run(2, &load, None, &|| {}).unwrap();
    assert_eq!((report.pictures, report.copies.len()), (1, 1));
    // Just too small for that: some alteration brings one a little nearer to the other.
    let hash = |at| pdq_cpu(&small(at)).unwrap();
    let apart = hash(1).hashes.iter().map(|one| one.distance(&hash(0).original())).min().unwrap();
    let near = HashOptions { radius: apart - 1, ..HashOptions::default() };
    let report = Bench::new(Looker::of_hashes(), near).run(2, &load, None, &|| {}).unwrap();
    let wrong: u64 = report.rows.iter().map(|row| row.wrong).sum();
    assert!(report.pictures == 2 && wrong > 0, "{} pictures, {wrong} wrong", report.pictures);
    let nothing = Bench::new(Looker::of_hashes(), HashOptions::default()).run(1, &|_| Err("gone".to_owned()), None, &|| {});
    assert!(matches!(nothing, Err(HashesError::NoPictures(left)) if left[0].reason == "gone"));
}

#[test]
fn files_decode_to_what_was_looked_up() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Kept::create(&folder.path().join("new")).unwrap();
    Bench::new(Looker::of_hashes(), HashOptions::default()).run(1, &load, Some(&kept), &|| {}).unwrap();
    let list = std::fs::read_to_string(folder.path().join("new/pictures.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), ALTERATIONS.len());
    let limits = Limits { max_pixels: 10_000_000, max_side: 10_000, max_bytes: 1 << 26 };
    let decoder = Decoder::new(limits, BufferPool::new(0));
    for (line, alteration) in lines.iter().zip(ALTERATIONS) {
        let file = line["file"].as_str().unwrap();
        assert_eq!((line["alteration"].as_str(), line["picture"].as_u64()), (Some(alteration.name), Some(0)));
        assert_eq!(file.ends_with(".jpg"), ["jpeg", "repost"].contains(&alteration.group), "{file}");
        let (_, frame) = decoder.decode(&std::fs::read(folder.path().join("new").join(file)).unwrap()).unwrap();
        let hash = pdq_cpu(&frame).unwrap();
        let positions: Vec<String> = hash.hashes.iter().map(ToString::to_string).collect();
        assert_eq!(
            serde_json::json!([positions[0], positions, hash.quality.get()]),
            serde_json::json!([line["pdq"], line["positions"], line["quality"]])
        );
    }
    assert!(matches!(Kept::create(&folder.path().join("new")), Err(KeepError::NotEmpty(_))));
}
