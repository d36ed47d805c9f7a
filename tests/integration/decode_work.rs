//! Small files that ask for much work: each is refused by what it would cost, counted, before or while it costs it, and says so; and every decoder ends at its deadline.
//!
//! `scripts/attack/amplify.py` makes any number of such files and measures the processor's time.

use std::io::Write;
use std::time::Instant;

use flate2::{Compress, Compression, Crc, FlushCompress, write::ZlibEncoder};
use nightlight::domain::frame::BufferPool;
use nightlight::engines::media::{DecodeError, Decoder, Limits};

const LIMITS: Limits = Limits { max_pixels: 1 << 24, max_side: 30_000, max_bytes: 16 << 20 };

fn decoder() -> Decoder {
    Decoder::new(LIMITS, BufferPool::new(0))
}

/// How many frames were read, and what ended them.
fn read(decoder: &Decoder, file: &[u8]) -> (usize, Option<DecodeError>) {
    let clip = match decoder.clip(file) {
        Ok((_, clip)) => clip,
        Err(error) => return (0, Some(error)),
    };
    let (mut frames, mut ended) = (0, None);
    for shot in clip.shots {
        assert!(!matches!(ended, Some(DecodeError::TooMuchWork { .. } | DecodeError::Deadline { .. })), "something comes behind a bound");
        match shot {
            Ok(_) => frames += 1,
            Err(error) => ended = Some(error),
        }
    }
    (frames, ended)
}

#[track_caller]
fn is_too_much(file: &[u8], of: &str) {
    match read(&decoder(), file) {
        (_, Some(error @ DecodeError::TooMuchWork { .. })) => {
            assert!(error.to_string().contains(of), "{error}");
            assert_eq!(error.code(), "too_large");
        }
        (frames, other) => panic!("{frames} frames, then {other:?}"),
    }
}

#[track_caller]
fn is_fine(file: &[u8]) {
    let (frames, error) = read(&decoder(), file);
    assert!(error.is_none() && frames > 0, "{frames} frames, then {error:?}");
}

/// A TIFF of so many pages, all of the same entries: tag, kind, count, value.
fn tiff(body: &[u8], entries: &[(u16, u16, u32, u32)], pages: usize) -> Vec<u8> {
    let mut file = [b"II*\0".as_slice(), &(8 + body.len() as u32).to_le_bytes(), body].concat();
    for page in 0..pages {
        let next = if page + 1 < pages { file.len() + 6 + 12 * entries.len() } else { 0 };
        file.extend((entries.len() as u16).to_le_bytes());
        for &(tag, kind, count, value) in entries {
            file.extend([tag.to_le_bytes(), kind.to_le_bytes()].as_flattened());
            file.extend([count.to_le_bytes(), value.to_le_bytes()].as_flattened());
        }
        file.extend((next as u32).to_le_bytes());
    }
    file
}

/// Strips of a pixel each, all of the same stored bytes.
fn strips(stored: &[u8], compression: u32, strips: u32, pages: usize) -> Vec<u8> {
    let lists = 8 + stored.len() as u32;
    let mut body = stored.to_vec();
    body.extend(8_u32.to_le_bytes().repeat(strips as usize));
    body.extend((stored.len() as u32).to_le_bytes().repeat(strips as usize));
    let short = |tag: u16, value: u32| (tag, 3_u16, 1, value);
    // A list of one stands in its entry.
    let (offsets, lengths) = if strips == 1 { (8, stored.len() as u32) } else { (lists, lists + 4 * strips) };
    let entries = [
        short(256, 1),
        short(257, strips),
        short(258, 8),
        short(259, compression),
        short(262, 1),
        (273, 4, strips, offsets),
        short(277, 1),
        short(278, 1),
        (279, 4, strips, lengths),
    ];
    tiff(&body, &entries, pages)
}

fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    [&[0xff, marker], &(data.len() as u16 + 2).to_be_bytes()[..], data].concat()
}

/// A grey progressive JPEG, all of whose coefficients are zero, sent as often as is wanted.
fn jpeg(width: u16, height: u16, scans: usize) -> Vec<u8> {
    let table = |kind: u8, symbols: &[u8]| {
        let counts: Vec<u8> = (0..16).map(|at| u8::from(at < symbols.len())).collect();
        segment(0xc4, &[&[kind], &counts[..], symbols].concat())
    };
    let blocks = usize::from(width).div_ceil(8) * usize::from(height).div_ceil(8);
    let [high, low, wide_high, wide_low] = [height.to_be_bytes(), width.to_be_bytes()].concat()[..] else { unreachable!() };
    let mut file = [vec![0xff, 0xd8], segment(0xdb, &[&[0], &[1; 64][..]].concat())].concat();
    file.extend(segment(0xc2, &[8, high, low, wide_high, wide_low, 1, 1, 0x11, 0]));
    file.extend([table(0, &[0]), table(0x10, &[0])].concat());
    file.extend([segment(0xda, &[1, 1, 0, 0, 0, 0]), vec![0; blocks.div_ceil(8)]].concat());
    for scan in 0..scans {
        let band = 1 + (scan % 63) as u8;
        file.extend([segment(0xda, &[1, 1, 0, band, band, 0]), vec![0; blocks.div_ceil(8)]].concat());
    }
    file.extend([0xff, 0xd9]);
    file
}

#[test]
fn strips_and_pages_that_share_their_bytes() {
    is_fine(&strips(&[0, 7], 32_773, 5_000, 3));
    // 440 kB took 14 s: strips that are all the same JPEG of hundreds of scans.
    let jpeg = jpeg(1, 1, 63);
    is_too_much(&strips(&jpeg, 7, 20_000, 1), "");
    // Codes that say nothing, read again for each strip, or each page.
    let nothing = [vec![0x80; 100_000], vec![0, 7]].concat();
    is_too_much(&strips(&nothing, 32_773, 100, 1), "overlap");
    is_too_much(&strips(&nothing, 32_773, 1, 100), "overlap");
}

fn png_chunk(kind: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut sum = Crc::new();
    sum.update(kind);
    sum.update(data);
    [&(data.len() as u32).to_be_bytes(), &kind[..], data, &sum.sum().to_be_bytes()].concat()
}

fn deflated(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn png(width: u32, height: u32, chunks: &[Vec<u8>]) -> Vec<u8> {
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    [b"\x89PNG\r\n\x1a\n".to_vec(), png_chunk(b"IHDR", &header), chunks.concat(), png_chunk(b"IEND", &[])].concat()
}

#[test]
fn blocks_of_a_png_that_hold_nothing() {
    let sound = deflated(&[0, 9]);
    is_fine(&png(1, 1, &[png_chunk(b"IDAT", &sound)]));
    // Stored blocks of no bytes, behind the head of the stream.
    let empty = [&sound[..2], &[0, 0, 0, 0xff, 0xff].repeat(600_000), &sound[2..]].concat();
    is_too_much(&png(1, 1, &[png_chunk(b"IDAT", &empty)]), "blocks");
}

/// Eight blocks of 91 bits that build the tables of a code of two symbols, the second of which ends the block (`dynamic_block("one")` in `scripts/attack/amplify_files.py`).
const TABLES: &str = "04c081000000000010ffd524000e040000000080f8af260170200000000000c47f35098003010000000020feab49001c080000000000f15f4d02e040000000000088ff6a120007020000000040fc57930038100000000000e2bf9a";

/// A zlib stream of `data` behind so many blocks that say nothing.
fn behind_tables(data: &[u8], blocks: usize) -> Vec<u8> {
    let sound = deflated(data);
    [&sound[..2], &hex::decode(TABLES).unwrap().repeat(blocks / 8), &sound[2..]].concat()
}

#[test]
fn blocks_of_compressed_data_that_are_all_tables() {
    let idat = |blocks| png_chunk(b"IDAT", &behind_tables(&[0, 9], blocks));
    is_fine(&png(1, 1, &[idat(1_000)]));
    is_too_much(&png(1, 1, &[idat(10_000)]), "blocks");
    // The same in many chunks; and where pixels pay for some.
    let bytes = behind_tables(&[0, 9], 10_000);
    is_too_much(&png(1, 1, &bytes.chunks(97).map(|part| png_chunk(b"IDAT", part)).collect::<Vec<_>>()), "blocks");
    let whole = vec![0; 1000 * 1001];
    is_fine(&png(1000, 1000, &[png_chunk(b"IDAT", &behind_tables(&whole, 10_000))]));
    is_too_much(&png(1000, 1000, &[png_chunk(b"IDAT", &behind_tables(&whole, 90_000))]), "blocks");
    // Where the end of the file is missing, what is there was counted all the same.
    let cut = png(1, 1, &[idat(100_000)]);
    is_too_much(&cut[..cut.len() / 2], "blocks");
    // In a later frame, and in a profile.
    let frame = |blocks| {
        let mut chunks = vec![png_chunk(b"acTL", &[1_u32, 0].map(u32::to_be_bytes).concat()), idat(8)];
        let place = [0_u32, 1, 1, 0, 0].map(u32::to_be_bytes).concat();
        chunks.push(png_chunk(b"fcTL", &[&place[..], &[0, 1, 0, 100, 0, 0]].concat()));
        chunks.push(png_chunk(b"fdAT", &[&1_u32.to_be_bytes()[..], &behind_tables(&[0, 9], blocks)].concat()));
        png(1, 1, &chunks)
    };
    is_fine(&frame(1_000));
    is_too_much(&frame(10_000), "blocks");
    let profile = |blocks| png(1, 1, &[png_chunk(b"iCCP", &[b"a\0\0", &behind_tables(&[0; 200], blocks)[..]].concat()), idat(8)]);
    is_fine(&profile(1_000));
    is_too_much(&profile(8_000), "blocks");
    // Any number of profiles that cannot be read: of nothing, and of all that one may be without an end.
    let profiles = |data: &[u8], count| png(1, 1, &[png_chunk(b"iCCP", data).repeat(count), idat(8)]);
    let endless = deflated(&b"ab".repeat(1 << 20));
    let endless = [b"a\0\0", &endless[..endless.len() - 4]].concat();
    is_fine(&profiles(b"a\0\0", 100));
    is_too_much(&profiles(b"a\0\0", 10_000), "");
    is_fine(&profiles(&endless, 3));
    is_too_much(&profiles(&endless, 100), "");
    // Behind the pixels: of a picture of which most passes have no columns, and of each of many frames.
    let narrow = |blocks: usize| {
        let tables = hex::decode(TABLES).unwrap().repeat(blocks / 8);
        let data = [&deflated(&[0, 9])[..2], &[0, 2, 0, 0xfd, 0xff, 0, 9], &tables, &[3, 0, 0, 0, 0, 0]].concat();
        let header = [&[1, 1].map(u32::to_be_bytes).concat()[..], &[8, 0, 0, 0, 1]].concat();
        [b"\x89PNG\r\n\x1a\n".to_vec(), png_chunk(b"IHDR", &header), png_chunk(b"IDAT", &data), png_chunk(b"IEND", &[])].concat()
    };
    is_fine(&narrow(8));
    is_too_much(&narrow(8_000), "blocks");
    let behind = |frames: u32| {
        let mut chunks = vec![png_chunk(b"acTL", &[frames, 0].map(u32::to_be_bytes).concat()), idat(8)];
        let data = [&deflated(&[0, 9])[..2], &[0, 2, 0, 0xfd, 0xff, 0, 9], &hex::decode(TABLES).unwrap().repeat(30)].concat();
        for frame in 0..frames {
            let place = [2 * frame, 1, 1, 0, 0].map(u32::to_be_bytes).concat();
            chunks.push(png_chunk(b"fcTL", &[&place[..], &[0, 1, 0, 100, 0, 0]].concat()));
            chunks.push(png_chunk(b"fdAT", &[&(2 * frame + 1).to_be_bytes()[..], &data].concat()));
        }
        png(1, 1, &chunks)
    };
    is_fine(&behind(3));
    is_too_much(&behind(100), "blocks");
    is_fine(&strips(&behind_tables(&[7], 1_000), 8, 1, 1));
    is_too_much(&strips(&behind_tables(&[7], 8_000), 8, 1, 1), "blocks");
}

/// Narrow pictures as encoders that keep nothing write them: a block for each row, or an empty one behind it; and data in chunks of any length.
#[test]
fn blocks_and_chunks_that_are_many_and_cheap() {
    let rows: Vec<[u8; 17]> =
        (0..4_000_u32).map(|row| std::array::from_fn(|at| if at == 0 { 0 } else { (row * 31 + at as u32 * 7) as u8 })).collect();
    for (level, flush) in [(0, FlushCompress::Sync), (1, FlushCompress::Sync), (6, FlushCompress::Partial)] {
        let (mut encoder, mut stored) = (Compress::new(Compression::new(level), true), Vec::with_capacity(1 << 21));
        for row in &rows {
            encoder.compress_vec(row, &mut stored, flush).unwrap();
        }
        encoder.compress_vec(&[], &mut stored, FlushCompress::Finish).unwrap();
        is_fine(&png(16, 4_000, &[png_chunk(b"IDAT", &stored)]));
    }
    let noise: Vec<u8> = (0..64 * 65_u32).map(|at| if at % 65 == 0 { 0 } else { (at.wrapping_mul(2_654_435_761) >> 24) as u8 }).collect();
    let alone: Vec<_> = deflated(&noise).iter().map(|byte| png_chunk(b"IDAT", &[*byte])).collect();
    is_fine(&png(64, 64, &alone));
    is_fine(&strips(&deflated(&[7]), 8, 4_000, 1));
}

/// A grey picture of so many pixels a side, and behind it an animation of frames of one.
fn animation(side: u32, frames: u32) -> Vec<u8> {
    let whole = vec![0; (side * (side + 1)) as usize];
    let mut chunks = vec![png_chunk(b"acTL", &[frames, 0].map(u32::to_be_bytes).concat()), png_chunk(b"IDAT", &deflated(&whole))];
    let pixel = deflated(&[0, 9]);
    for frame in 0..frames {
        let place = [2 * frame, 1, 1, 0, 0].map(u32::to_be_bytes).concat();
        chunks.push(png_chunk(b"fcTL", &[&place[..], &[0, 1, 0, 100, 0, 0]].concat()));
        chunks.push(png_chunk(b"fdAT", &[&(2 * frame + 1).to_be_bytes()[..], &pixel].concat()));
    }
    png(side, side, &chunks)
}

#[test]
fn frames_of_a_png_that_show_nothing() {
    is_fine(&animation(100, 300));
    is_too_much(&animation(1, 20_000), "");
}

/// A GIF whose frames of one pixel stand behind so many bytes of codes that say nothing.
fn gif(frames: usize, nothing: usize) -> Vec<u8> {
    // Codes of two bits, of a code size of 1: clear (2) again and again; then index 0.
    let codes = [vec![0b1010_1010; nothing], vec![0b1010_1000]].concat();
    let mut file = b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff".to_vec();
    for _ in 0..frames {
        file.extend(b",\0\0\0\0\x01\0\x01\0\0\x01");
        codes.chunks(255).for_each(|block| file.extend([&[block.len() as u8], block].concat()));
        file.push(0);
    }
    file.push(b';');
    file
}

#[test]
fn codes_and_frames_of_a_gif_that_show_nothing() {
    is_fine(&gif(1_000, 1));
    is_too_much(&gif(1, 6_000_000), "codes of a GIF");
    is_too_much(&gif(20_000, 1), "frames");
}

#[test]
fn scans_of_a_jpeg() {
    is_fine(&jpeg(64, 64, 63));
    let (_, error) = read(&decoder(), &jpeg(2048, 2048, 1_200));
    assert!(matches!(&error, Some(DecodeError::TooMuchWork { .. } | DecodeError::UnsupportedFeature { .. })), "{error:?}");
}

/// A lossless WebP of one pixel, under so many groups of codes of which the last is used.
fn webp(groups: u32) -> Vec<u8> {
    let mut bits: Vec<bool> = Vec::new();
    let mut put = |value: u32, count: usize| bits.extend((0..count).map(|bit| value >> bit & 1 == 1));
    // No transform, no cache, groups, and their picture without a cache: five codes of one symbol.
    let head = [(0, 2), (1, 1), (0, 4), (0b101, 3), ((groups - 1) & 255, 8), (0b101, 3), ((groups - 1) >> 8, 8)];
    head.into_iter().for_each(|(value, count)| put(value, count));
    put(0b0001_0001_0001, 12);
    (0..5 * groups).for_each(|_| put(1, 4));
    let codes = bits.chunks(8).map(|bits| bits.iter().rev().fold(0, |byte, &bit| byte << 1 | u8::from(bit)));
    let data: Vec<u8> = [0x2f, 0, 0, 0, 0].into_iter().chain(codes).chain([0; 8]).collect();
    let chunk = [b"VP8L", &(data.len() as u32).to_le_bytes()[..], &data, &[0][..data.len() % 2]].concat();
    [b"RIFF", &(chunk.len() as u32 + 4).to_le_bytes()[..], b"WEBP", &chunk].concat()
}

#[test]
fn groups_of_codes_of_a_webp() {
    is_fine(&webp(1));
    is_fine(&webp(1_000));
    is_too_much(&webp(60_000), "tables of a WebP");
}

/// The deadline is behind: no decoder begins what it could not end, and each says why.
#[test]
fn every_decoder_ends_at_its_deadline() {
    let bmp = {
        let header = [40_u32, 64, 64].map(u32::to_le_bytes).concat();
        let rest = [&[1, 0, 24, 0][..], &[0; 24]].concat();
        [b"BM", &[0; 8][..], &54_u32.to_le_bytes(), &header, &rest, &[7; 64 * 64 * 3]].concat()
    };
    let files =
        [jpeg(64, 64, 63), png(1, 1, &[png_chunk(b"IDAT", &deflated(&[0, 9]))]), webp(1), gif(3, 1), bmp, strips(&[0, 7], 32_773, 9, 1)];
    for file in files {
        is_fine(&file);
        let (frames, error) = read(&decoder().until(Instant::now()), &file);
        assert!(frames == 0 && matches!(error, Some(DecodeError::Deadline { .. })), "{:?}: {frames} frames, then {error:?}", &file[..4]);
    }
}
