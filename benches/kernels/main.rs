//! Kernels against their peers: the half of the duel that is ours.
//!
//! `scripts/bench/` drives this program over standard input and output, one JSON object a line, and takes turns with the peer (A B A B), so
//! that both meet the same noise of the machine. A request names an operation, its input files and how many times to run it; the reply
//! has the seconds of each run and the answer, which the driver compares with the peer's before it believes any figure.
//!
//! `{"op":"pdq","file":"picture.rgb","width":512,"height":512,"rounds":9}` -> `{"seconds":[…],"answer":{"pdq":"…","quality":100}}`

mod gpu;
mod hamming;
mod pdq;
mod preprocess;
mod soak;

use std::io::{BufRead, Write};
use std::time::Instant;

use serde_json::{Value, json};

type Answered = Result<Value, Box<dyn std::error::Error>>;

fn main() -> std::io::Result<()> {
    let (stdin, mut stdout) = (std::io::stdin().lock(), std::io::stdout().lock());
    for line in stdin.lines() {
        let reply = answer(&line?).unwrap_or_else(|error| json!({ "error": error.to_string() }));
        writeln!(stdout, "{reply}")?;
        stdout.flush()?;
    }
    Ok(())
}

fn answer(line: &str) -> Answered {
    let request: Value = serde_json::from_str(line)?;
    match request["op"].as_str() {
        Some(op @ ("pdq" | "pdq_estimate" | "pdq_exact")) => {
            pdq::answer(&serde_json::from_value(request.clone())?, op.strip_prefix("pdq_").unwrap_or("cpu"))
        }
        Some("pdq_margins") => pdq::margins(&serde_json::from_value(request.clone())?),
        Some("preprocess") => preprocess::answer(serde_json::from_value(request)?),
        Some("device") => gpu::facts(),
        Some("gpu_pixels") => gpu::answer(serde_json::from_value(request)?),
        Some("hamming_bank") => hamming::bank(serde_json::from_value(request)?),
        Some("hamming") => hamming::answer(serde_json::from_value(request)?),
        Some("soak") => soak::answer(serde_json::from_value(request)?),
        other => Err(format!("unknown op {other:?}").into()),
    }
}

/// Runs `work` `rounds` times; the last result, and the seconds of each run.
fn timed<T>(rounds: usize, mut work: impl FnMut() -> T) -> (T, Vec<f64>) {
    let mut seconds = Vec::with_capacity(rounds.max(1));
    loop {
        let started = Instant::now();
        let result = work();
        seconds.push(started.elapsed().as_secs_f64());
        if seconds.len() >= rounds {
            return (result, seconds);
        }
    }
}
