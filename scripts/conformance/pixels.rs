//! What the media room makes of picture files, as bytes: `scripts/conformance/` holds them against other decoders.
//!
//! Reads names from standard input, one a line, and answers each at once with a line and then the pixels: `ok WIDTH HEIGHT` and width times
//! height times RGB, `error CODE: TEXT`, or `none`. `luma NAME` asks for the luma plane alone, which few files have: then `none` says so.

use std::io::{BufWriter, Write, stdin, stdout};

use nightlight::domain::frame::BufferPool;
use nightlight::engines::media::{Decoder, Limits};

fn main() -> std::io::Result<()> {
    let limits = Limits { max_pixels: 100_000_000, max_side: 30_000, max_bytes: 64 << 20 };
    let decoder = Decoder::new(limits, BufferPool::new(256 << 20));
    let mut out = BufWriter::new(stdout().lock());
    for line in stdin().lines() {
        let line = line?;
        let luma = line.strip_prefix("luma ");
        let bytes = std::fs::read(luma.unwrap_or(&line))?;
        let frame = match luma {
            Some(_) => decoder.decode_luma(&bytes),
            None => decoder.decode(&bytes).map(|(_, frame)| Some(frame)),
        };
        match frame {
            Ok(Some(frame)) => {
                writeln!(out, "ok {} {}", frame.width(), frame.height())?;
                out.write_all(frame.pixels())?;
            }
            Ok(None) => writeln!(out, "none")?,
            Err(error) => writeln!(out, "error {}: {error}", error.code())?,
        }
        out.flush()?;
    }
    Ok(())
}
