//! `nightlight match`.

use std::{path::PathBuf, sync::Arc};

use clap::{Args, builder::PossibleValuesParser};
use indicatif::ProgressBar;
use serde::Serialize;

use super::{Failure, bank::unknown_bank, block_on, lines::Lines, open_existing_store, output};
use crate::{
    config::{Backend, Config},
    domain::{hash::PdqHash, ids::TenantId},
    engines::{
        gpu::{Gpu, GpuError},
        matching::{Bank, GpuScan, Hit},
    },
    services::{banks::load_bank, gpu_options},
};

/// Hashes looked up between two lines of progress; enough to keep all cores busy.
const CHUNK: usize = 1024;

#[derive(Args, Debug)]
pub(super) struct Match {
    /// Bank to search; say it again for further banks
    ///
    /// A bank, or an item of it, that is disabled gives no matches.
    #[arg(long = "bank", value_name = "NAME", required = true)]
    banks: Vec<String>,
    /// Largest distance of a match in bits, 0 to 256; the banks' own radius plays no part
    #[arg(long, value_name = "R", value_parser = clap::value_parser!(u32).range(0..=i64::from(PdqHash::BITS)))]
    radius: u32,
    /// What searches [default: auto]
    ///
    /// Both give the same answers. cpu, and auto, search an index in memory. gpu compares each hash of the banks with each that is looked up, on the
    /// device of engine.gpu_adapter, and fails without one.
    #[arg(long, default_value = Backend::Auto.as_str(), hide_default_value = true,
          value_parser = PossibleValuesParser::new(Backend::ALL.map(Backend::as_str)))]
    backend: String,
    /// File of PDQ hashes, 64 hex digits a line; - reads standard input
    ///
    /// Blank lines and lines that begin with # are ignored. Each hash gives one JSON line, in the order of the file:
    /// {"hash","matches":[{"content_id","signal","distance"}]}, the matches sorted by distance, then content id; with several banks each match also names
    /// its "bank". A line that cannot be read is told by its number before anything is printed, and the exit code is 2.
    #[arg(long, value_name = "FILE")]
    hashes: PathBuf,
}

#[derive(Serialize)]
struct Line {
    hash: PdqHash,
    matches: Vec<Matched>,
}

#[derive(Serialize)]
struct Matched {
    #[serde(skip_serializing_if = "Option::is_none")]
    bank: Option<Arc<str>>,
    content_id: i64,
    signal: PdqHash,
    distance: u32,
}

/// A bank and, with the GPU, its hashes on the device.
struct Searched {
    name: Arc<str>,
    bank: Bank,
    device: Option<GpuScan>,
}

impl Match {
    pub fn run(&self, config: &Config) -> Result<(), Failure> {
        let hashes = self.read()?;
        let gpu = match self.backend.parse() {
            Ok(Backend::Gpu) => Some(Arc::new(Gpu::open(&gpu_options(config)).map_err(without_gpu)?)),
            _ => None,
        };
        let banks = self.load(config, gpu.as_ref())?;
        let bar = output::progress(Some(hashes.len() as u64), "hashes");
        let printed = self.look_up(&banks, &hashes, &bar);
        bar.finish_and_clear();
        printed
    }

    /// All hashes of the file.
    fn read(&self) -> Result<Vec<PdqHash>, Failure> {
        let (mut lines, mut hashes) = (Lines::open(&self.hashes)?, Vec::new());
        while let Some(line) = lines.next()? {
            match line.and_then(|line| line.parse::<PdqHash>().map_err(|error| error.to_string())) {
                Ok(hash) => hashes.push(hash),
                Err(reason) => return Err(Failure::input(format!("line {}: {reason}; nothing was looked up", lines.number()))),
            }
        }
        Ok(hashes)
    }

    fn load(&self, config: &Config, gpu: Option<&Arc<Gpu>>) -> Result<Vec<Searched>, Failure> {
        let banks = block_on(async {
            let store = open_existing_store(config).await?;
            let (stored, mut banks) = (store.banks(TenantId::DEFAULT).await?, Vec::new());
            if let Some(name) = self.banks.iter().find(|name| stored.iter().all(|bank| bank.name != **name)) {
                return Err(unknown_bank(&store, name).await);
            }
            for stored in stored.iter().filter(|stored| self.banks.contains(&stored.name)) {
                banks.push(load_bank(&store, stored, config.matching.dihedral, None).await?);
            }
            store.close().await;
            Ok(banks)
        })?;
        let searched = |bank: Bank| {
            if !bank.enabled {
                eprintln!("the bank {} is disabled, so nothing in it matches", bank.name);
            }
            let device = gpu.filter(|_| bank.enabled).map(|gpu| {
                let mut device = GpuScan::new(gpu.clone());
                device.extend(&bank.pdq().iter().collect::<Vec<_>>()).map(|()| device)
            });
            Ok(Searched { name: bank.name.as_str().into(), device: device.transpose().map_err(without_gpu)?, bank })
        };
        banks.into_iter().map(searched).collect()
    }

    /// Prints a line for each hash.
    fn look_up(&self, banks: &[Searched], hashes: &[PdqHash], bar: &ProgressBar) -> Result<(), Failure> {
        for hashes in hashes.chunks(CHUNK) {
            let queries: Vec<(PdqHash, u32)> = hashes.iter().map(|hash| (*hash, self.radius)).collect();
            let mut lines: Vec<Line> = hashes.iter().map(|hash| Line { hash: *hash, matches: Vec::new() }).collect();
            for searched in banks.iter().filter(|searched| searched.bank.enabled) {
                let name = (banks.len() > 1).then(|| searched.name.clone());
                for (line, hits) in lines.iter_mut().zip(searched.find(&queries)?) {
                    let matched =
                        |hit: Hit| Matched { bank: name.clone(), content_id: hit.content_id, signal: hit.hash, distance: hit.distance };
                    line.matches.extend(hits.into_iter().map(matched));
                }
            }
            if banks.len() > 1 {
                lines.iter_mut().for_each(|line| line.matches.sort_by_key(|matched| (matched.distance, matched.content_id)));
            }
            bar.suspend(|| lines.iter().try_for_each(output::json_line))?;
            bar.inc(hashes.len() as u64);
        }
        Ok(())
    }
}

impl Searched {
    fn find(&self, queries: &[(PdqHash, u32)]) -> Result<Vec<Vec<Hit>>, Failure> {
        let index = self.bank.pdq();
        match &self.device {
            Some(device) => device.search_many(index, queries).map_err(without_gpu),
            None => Ok(index.search_many(queries)),
        }
    }
}

fn without_gpu(error: GpuError) -> Failure {
    Failure::failed(format!("{error}; see `nightlight doctor`, or use --backend cpu"))
}
