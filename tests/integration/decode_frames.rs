//! Every frame, page and picture of a file, its alpha and its time: against the truth of `fixtures/frames/make.py`, and against files that lie.
//!
//! `scripts/conformance/frames.py` asks the ignored test here about files of a fresh seed.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use nightlight::domain::clip::{Drawn, Shot};
use nightlight::domain::frame::{BufferPool, Frame};
use nightlight::engines::hashing::digests::digests;
use nightlight::engines::media::{DecodeError, Decoder, Limits};
use serde::Deserialize;

const LIMITS: Limits = Limits { max_pixels: 1 << 20, max_side: 4096, max_bytes: 8 << 20 };

#[derive(Deserialize)]
struct Truth {
    frames: BTreeMap<String, Vec<Right>>,
    #[serde(rename = "three.mpo")]
    mpo: Vec<usize>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Right {
    width: u32,
    height: u32,
    time_s: Option<f64>,
    rgb: String,
    alpha: Option<String>,
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/integration/fixtures/frames").join(name)).unwrap()
}

fn truth() -> Truth {
    serde_json::from_slice(&read("truth.json")).unwrap()
}

/// A decoder whose pool lends buffers that other pictures seem to have been in.
fn decoder(limits: Limits) -> Decoder {
    let pool = BufferPool::new(64 << 20);
    let mut buffers: Vec<_> = (0..6).map(|_| pool.take(64 << 10)).collect();
    buffers.iter_mut().for_each(|buffer| buffer.fill(0xa5));
    drop(buffers);
    Decoder::new(limits, pool)
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(digests(bytes, false, false).sha256)
}

fn described(shot: &Shot) -> Right {
    Right {
        width: shot.frame.width(),
        height: shot.frame.height(),
        // As it is written in answers.
        time_s: shot.at.time.map(|time| (time.as_secs_f64() * 1e6).round() / 1e6),
        rgb: sha256(shot.frame.pixels()),
        alpha: shot.alpha.as_ref().map(|alpha| sha256(alpha)),
    }
}

/// All shots, and what ended them; the number that the file states comes first.
fn shots(decoder: &Decoder, bytes: &[u8]) -> (Option<u32>, Vec<Shot>, Option<DecodeError>) {
    let (_, mut clip) = decoder.clip(bytes).unwrap();
    let mut shots = Vec::new();
    let error = loop {
        match clip.shots.next() {
            Some(Ok(shot)) => {
                assert_eq!(shot.at.index as usize, shots.len());
                shots.push(shot);
            }
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert!(error.is_some() || clip.shots.next().is_none(), "nothing comes behind the end");
    (clip.frames, shots, error)
}

#[test]
fn every_frame_is_what_pillow_or_the_specification_makes_of_it() {
    for (name, right) in truth().frames {
        let (bytes, decoder) = (read(&name), decoder(LIMITS));
        let (frames, shots, error) = shots(&decoder, &bytes);
        assert!(error.is_none(), "{name}: {error:?}");
        assert_eq!(shots.iter().map(described).collect::<Vec<_>>(), right, "{name}");
        assert_eq!(frames, Some(right.len() as u32), "{name}");
        let (_, first) = decoder.decode(&bytes).unwrap();
        assert_eq!(first.pixels(), shots[0].frame.pixels(), "{name}: a decoded file is its first frame");
    }
}

/// A viewer may show another picture than the stored one, and nobody here knows which: that is said, beside what is stored.
#[test]
fn a_file_says_what_of_its_colours_is_not_read() {
    let grey = |chunk: Option<(&[u8; 4], Vec<u8>)>| {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 2, 2);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header().unwrap();
        if let Some((kind, data)) = chunk {
            writer.write_chunk(png::chunk::ChunkType(*kind), &data).unwrap();
        }
        writer.write_image_data(&[9; 12]).unwrap();
        drop(writer);
        file
    };
    let profile = |bytes: usize| {
        let mut compressed = flate2::write::ZlibEncoder::new(b"p\0\0".to_vec(), flate2::Compression::best());
        compressed.write_all(&vec![0; bytes]).unwrap();
        compressed.finish().unwrap()
    };
    let decoder = decoder(LIMITS);
    let undrawn = |chunk| {
        let (_, shots, error) = shots(&decoder, &grey(chunk));
        assert!(error.is_none(), "{error:?}");
        assert_eq!(shots[0].frame.pixels(), [9; 12]);
        shots[0].undrawn
    };
    assert_eq!(undrawn(None), None);
    assert_eq!(undrawn(Some((b"iCCP", profile(2 << 20)))), None, "read, and no profile");
    assert_eq!(undrawn(Some((b"iCCP", profile(3 << 20)))), Some("a colour profile of more than its file may have"));
    for (points, unread) in
        [([1, 13, 0, 1], false), ([9, 1, 0, 1], false), ([9, 16, 0, 1], true), ([1, 8, 0, 1], true), ([1, 13, 0, 0], true)]
    {
        assert_eq!(undrawn(Some((b"cICP", points.to_vec()))).is_some(), unread, "{points:?}");
    }
    assert_eq!(undrawn(Some((b"cICP", vec![9, 16, 0]))), None, "no chunk of code points");
}

/// Browsers show the page through what the frames of a WebP leave uncovered, whether its header speaks of alpha or not.
#[test]
fn an_uncovered_canvas_is_transparent_whatever_the_header_says() {
    let chunk = |kind: &[u8], data: &[u8]| [kind, &(data.len() as u32).to_le_bytes()[..], data, &[0][..data.len() % 2]].concat();
    let frame = |left: u8, (width, height): (u8, u8), flags: u8| {
        let mut still = Vec::new();
        let pixels = vec![9; usize::from(width) * usize::from(height) * 3];
        let encoder = image_webp::WebPEncoder::new(&mut still);
        encoder.encode(&pixels, width.into(), height.into(), image_webp::ColorType::Rgb8).unwrap();
        let head = [left / 2, 0, 0, 0, 0, 0, width - 1, 0, 0, height - 1, 0, 0, 40, 0, 0, flags];
        chunk(b"ANMF", &[&head, &still[12..]].concat())
    };
    let file = |frames: &[Vec<u8>]| {
        let head = [chunk(b"VP8X", &[2, 0, 0, 0, 15, 0, 0, 15, 0, 0]), chunk(b"ANIM", &[0; 6])].concat();
        let mut file = chunk(b"RIFF", &[b"WEBP", &head[..], &frames.concat()].concat());
        file.truncate(file.len() & !1);
        file
    };
    let decoder = decoder(LIMITS);
    let alphas = |frames: &[Vec<u8>]| -> Vec<Option<(u8, u8)>> {
        let (_, shots, error) = shots(&decoder, &file(frames));
        assert!(error.is_none(), "{error:?}");
        let ends = |alpha: &[u8]| (alpha[0], alpha[alpha.len() - 1]);
        shots.iter().map(|shot| shot.alpha.as_deref().map(ends)).collect()
    };
    let (whole, half) = ((16, 16), (8, 16));
    assert_eq!(alphas(&[frame(0, whole, 0), frame(8, half, 0)]), [None, None]);
    assert_eq!(alphas(&[frame(0, half, 0), frame(8, half, 0)]), [Some((255, 0)), None]);
    // The first is cleared before the second is drawn.
    assert_eq!(alphas(&[frame(0, whole, 1), frame(8, half, 0)]), [None, Some((0, 255))]);
}

#[test]
fn pictures_of_an_index_are_read_where_they_stand() {
    let (bytes, starts, decoder) = (read("three.mpo"), truth().mpo, decoder(LIMITS));
    let (frames, pictures, error) = shots(&decoder, &bytes);
    assert!((frames, pictures.len()) == (Some(3), 3) && error.is_none(), "{error:?}");
    for (picture, start) in pictures.iter().zip(starts) {
        let (_, alone) = decoder.decode(&bytes[start..]).unwrap();
        assert_eq!((picture.frame.width(), picture.frame.pixels()), (alone.width(), alone.pixels()));
    }
}

/// The RGB of a frame whose alpha is all or nothing on a page.
fn on(page: u8, frame: &Frame, alpha: Option<&[u8]>) -> Vec<u8> {
    let Some(alpha) = alpha else { return frame.pixels().to_vec() };
    frame
        .pixels()
        .chunks_exact(3)
        .zip(alpha)
        .flat_map(|(pixel, alpha)| if *alpha == 0 { [page; 3] } else { [pixel[0], pixel[1], pixel[2]] })
        .collect()
}

/// Of every file here Pillow shows another picture than browsers on some page.
#[test]
fn what_browsers_show_is_looked_at() {
    let read = |name: &str| read(&format!("../browser/{name}"));
    let truth: BTreeMap<String, Vec<[String; 2]>> = serde_json::from_slice(&read("truth.json")).unwrap();
    assert!(truth.len() >= 10);
    for (name, right) in truth {
        let (_, shots, error) = shots(&decoder(LIMITS), &read(&name));
        assert!(error.is_none() && shots.len() == right.len(), "{name}: {error:?}");
        let mut drawn = 0;
        for (shot, right) in shots.iter().zip(&right) {
            let mut looks = vec![(&shot.frame, shot.alpha.as_deref())];
            looks.extend(shot.drawn.as_ref().map(|drawn| (&drawn.frame, drawn.alpha.as_deref())));
            drawn += looks.len() - 1;
            for (page, right) in [255, 0].into_iter().zip(right) {
                let known = looks.iter().any(|(frame, alpha)| sha256(&on(page, frame, *alpha)) == *right);
                assert!(known, "{name}: frame {} on {page}", shot.at.index);
            }
        }
        assert!(drawn > 0, "{name}");
    }
}

/// Pictures of one file that stand on their own: what is wrong with one of them hides none of the others.
#[test]
fn a_picture_that_is_missing_or_damaged_does_not_hide_the_next() {
    let (bytes, starts, decoder) = (read("three.mpo"), truth().mpo, decoder(LIMITS));
    let whole = shots(&decoder, &bytes).1;
    // No start marker: missing. Another length of the first segment: damaged.
    for (at, byte, code) in [(0, 0, "missing"), (5, 255, "malformed")] {
        let mut damaged = bytes.clone();
        damaged[starts[1] + at] = byte;
        let (_, clip) = decoder.clip(&damaged).unwrap();
        let found: Vec<_> = clip.shots.collect();
        let [Ok(first), Err(error), Ok(third)] = &found[..] else { panic!("{found:?}") };
        assert_eq!((first.at.index, third.at.index), (0, 2));
        assert_eq!(third.frame.pixels(), whole[2].frame.pixels());
        assert_eq!(matches!(error, DecodeError::Missing { .. }), code == "missing", "{error}");
    }
}

/// Mean difference of two equally long runs of samples.
fn difference(ours: &[u8], theirs: &[u8]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(&ours, &theirs)| f64::from(ours.abs_diff(theirs))).sum::<f64>() / ours.len() as f64
}

#[test]
fn what_a_second_frame_or_an_alpha_hides_is_there() {
    let decoder = decoder(LIMITS);
    let (_, picture) = decoder.decode(&read("00_picture.png")).unwrap();
    for name in ["10a_second_frame.gif", "10b_second_frame.webp"] {
        let bytes = read(name);
        let (_, shots, _) = shots(&decoder, &bytes);
        let differences: Vec<f64> = shots.iter().map(|shot| difference(shot.frame.pixels(), picture.pixels())).collect();
        assert!(differences.len() == 2 && differences[0] > 30.0 && differences[1] < 15.0, "{name}: {differences:?}");
    }
    let (_, shots, _) = shots(&decoder, &read("12_picture_in_alpha.png"));
    let [shot] = &shots[..] else { panic!("{} frames", shots.len()) };
    let on_white =
        |(pixel, &alpha): (&[u8], &u8)| pixel.iter().map(|&value| 255 - u32::from(alpha) * (255 - u32::from(value)) / 255).sum::<u32>() / 3;
    let seen: Vec<u8> = shot.frame.pixels().chunks_exact(3).zip(shot.alpha.as_deref().unwrap()).map(|pair| on_white(pair) as u8).collect();
    let grey: Vec<u8> =
        picture.pixels().chunks_exact(3).map(|pixel| (pixel.iter().map(|&value| u32::from(value)).sum::<u32>() / 3) as u8).collect();
    let dropped: Vec<u8> = shot.frame.pixels().chunks_exact(3).map(|pixel| pixel[0]).collect();
    let (white, dropped) = (difference(&seen, &grey), difference(&dropped, &grey));
    // It is a pale likeness, 18 bits of PDQ off; without its alpha the picture has nothing of it.
    assert!(white < 0.5 * dropped, "on white {white}, dropped {dropped}");
}

/// Some frames, then an error, then nothing.
fn lies(bytes: &[u8], readable: usize, limits: Limits) -> (Option<u32>, &'static str) {
    let decoder = decoder(limits);
    let (frames, shots, error) = shots(&decoder, bytes);
    assert_eq!(shots.len(), readable, "{error:?}");
    (frames, error.expect("a file that lies").code())
}

/// A GIF of `frames` frames of one pixel on a screen of 2 x 2.
fn gif(frames: usize) -> Vec<u8> {
    let mut file = b"GIF89a\x02\0\x02\0\x80\0\0\x01\x02\x03\xff\xff\xff".to_vec();
    for _ in 0..frames {
        file.extend(b",\0\0\0\0\x01\0\x01\0\0\x02\x02\x4c\x01\0");
    }
    file.push(b';');
    file
}

fn png_chunk(file: &[u8], kind: [u8; 4]) -> usize {
    file.windows(4).position(|name| name == kind).unwrap() - 4
}

/// Puts another number of frames into the acTL chunk, with its checksum.
fn with_stated(mut file: Vec<u8>, frames: u32) -> Vec<u8> {
    let at = png_chunk(&file, *b"acTL");
    file[at + 8..at + 12].copy_from_slice(&frames.to_be_bytes());
    let mut checksum = flate2::Crc::new();
    checksum.update(&file[at + 4..at + 16]);
    file[at + 16..at + 20].copy_from_slice(&checksum.sum().to_be_bytes());
    file
}

#[test]
fn a_frame_that_is_stated_and_missing_is_an_error() {
    // A GIF that is cut within its third frame's pixels, and one that is cut within a header.
    let whole = gif(3);
    assert_eq!(lies(&whole[..whole.len() - 3], 2, LIMITS), (Some(3), "malformed"));
    assert_eq!(lies(&whole[..whole.len() - 10], 2, LIMITS), (Some(3), "malformed"));
    let truth = truth();
    let animated =
        |(name, right): (&String, &Vec<Right>)| (name.starts_with("png") && right.len() > 2).then(|| (name.clone(), right.len()));
    let (name, frames) = truth.frames.iter().find_map(animated).unwrap();
    let file = read(&name);
    let stated = u32::from_be_bytes(file[png_chunk(&file, *b"acTL") + 8..][..4].try_into().unwrap());
    assert_eq!(lies(&with_stated(file.clone(), stated + 2), frames, LIMITS), (Some(frames as u32 + 2), "malformed"));
    // Frames that are there and not stated are no less a lie.
    assert_eq!(lies(&with_stated(file, stated - 1), frames - 1, LIMITS), (Some(frames as u32 - 1), "malformed"));
    let mpo = read("three.mpo");
    assert_eq!(lies(&mpo[..truth.mpo[2]], 2, LIMITS), (Some(3), "malformed"));
    assert_eq!(lies(&mpo[..truth.mpo[2] + 40], 2, LIMITS), (Some(3), "malformed"));
}

/// One page of one grey pixel, and where the next one stands.
fn tiff_page(at: u32, size: (u16, u16), next: u32) -> Vec<u8> {
    let mut page = 6_u16.to_le_bytes().to_vec();
    let entries = [(256, size.0), (257, size.1), (258, 8), (262, 1), (273, at as u16), (279, 1)];
    for (tag, value) in entries {
        page.extend([&u16::to_le_bytes(tag)[..], &3_u16.to_le_bytes(), &1_u32.to_le_bytes(), &value.to_le_bytes(), &[0; 2]].concat());
    }
    page.extend(next.to_le_bytes());
    page
}

#[test]
fn pages_end_where_they_go_round_and_where_they_lead_nowhere() {
    let file = |nexts: &[u32], large: (u16, u16)| {
        let mut file = b"II*\0\x08\0\0\0".to_vec();
        for (number, &next) in nexts.iter().enumerate() {
            file.extend(tiff_page(file.len() as u32, if number == 1 { large } else { (1, 1) }, next));
        }
        file
    };
    let page = tiff_page(8, (1, 1), 0).len() as u32;
    let decoder = decoder(LIMITS);
    let round = file(&[8 + page, 8], (1, 1));
    let (frames, pages, error) = shots(&decoder, &round);
    assert!((frames, pages.len()) == (Some(2), 2) && error.is_none(), "{error:?}");
    assert!(pages.iter().all(|page| page.at.time.is_none()));
    assert_eq!(lies(&file(&[8 + page, 90_000], (1, 1)), 2, LIMITS), (Some(3), "malformed"));
    // Every page is held against the limits.
    assert_eq!(lies(&file(&[8 + page, 0], (5000, 1)), 1, LIMITS), (Some(2), "too_large"));
}

#[test]
fn a_screen_that_grows_is_held_against_the_limits() {
    let mut file = gif(2);
    let second = file.len() - 16;
    file[second + 1..second + 3].copy_from_slice(&5000_u16.to_le_bytes());
    assert_eq!(lies(&file, 1, LIMITS), (Some(2), "too_large"));
}

#[test]
fn of_many_frames_only_those_that_are_asked_for_are_decoded() {
    let file = gif(400_000);
    let started = std::time::Instant::now();
    let decoder = decoder(LIMITS);
    let (_, clip) = decoder.clip(&file).unwrap();
    assert_eq!(clip.frames, Some(400_000));
    assert_eq!(clip.shots.take(5).filter_map(Result::ok).count(), 5);
    // Generous for a debug build on a busy machine; all frames would take many times as long.
    assert!(started.elapsed().as_secs() < 20);
}

#[test]
#[ignore = "the door of scripts/conformance/frames.py, which names the files"]
fn dump() {
    let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| panic!("set {name}"));
    let decoder = decoder(Limits { max_pixels: 100_000_000, max_side: 30_000, max_bytes: 32 << 20 });
    let mut out = std::io::BufWriter::new(std::fs::File::create(variable("NIGHTLIGHT_FRAMES_OUT")).unwrap());
    for file in std::fs::read_to_string(variable("NIGHTLIGHT_FRAMES_LIST")).unwrap().lines() {
        let bytes = std::fs::read(file).unwrap();
        let last = match decoder.clip(&bytes) {
            Err(error) => serde_json::json!({ "error": error.to_string() }),
            Ok((_, clip)) => {
                let mut last = serde_json::json!({ "frames": clip.frames });
                for shot in clip.shots {
                    match shot {
                        Err(error) => last["failed"] = error.to_string().into(),
                        Ok(shot) => {
                            let Right { width, height, time_s, .. } = described(&shot);
                            let alpha = shot.alpha.is_some();
                            let drawn = shot.drawn.as_ref().map(|Drawn { frame, alpha }| {
                                serde_json::json!({ "width": frame.width(), "height": frame.height(), "alpha": alpha.is_some() })
                            });
                            let line =
                                serde_json::json!({ "width": width, "height": height, "time_s": time_s, "alpha": alpha, "drawn": drawn });
                            writeln!(out, "{line}").unwrap();
                            let drawn = shot.drawn.map(|Drawn { frame, alpha }| (frame, alpha));
                            for (frame, alpha) in [(shot.frame, shot.alpha)].into_iter().chain(drawn) {
                                out.write_all(frame.pixels()).unwrap();
                                out.write_all(alpha.as_deref().unwrap_or_default()).unwrap();
                            }
                        }
                    }
                }
                last
            }
        };
        writeln!(out, "{last}").unwrap();
    }
}
