//! Are the claims true? Draws samples of populations whose precision is known, lets the engine certify, and counts how often a claim is false.
//!
//! usage: cargo bench --features testing --bench coverage -- [DRAWS, default 2000] [FILTER]; SEED=N in the environment draws others (default 0)
//!
//! A row is one setting. `false claims` may be at most delta, plus three standard errors of as many draws; `certified` is how often there was a
//! claim, and `recall` the mean recall of the certified thresholds as a share of the oracle's, who knows the population. `naive` takes the lowest
//! threshold with the target precision in the sample: the check has to reject it. Ends with 1 when a row breaks its bound, or when a naive one does not.

mod settings;

use std::time::Instant;

use rayon::iter::{IntoParallelIterator, ParallelIterator};
use settings::{Draw, Setting, settings};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let draws: u64 = arguments.first().and_then(|number| number.parse().ok()).unwrap_or(2000);
    let filter = arguments.iter().find(|argument| argument.parse::<u64>().is_err()).cloned().unwrap_or_default();
    let seed: u64 = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    // Far apart, so that runs with different seeds share no draw.
    let seeds = seed << 32..(seed << 32) + draws;
    println!("| setting | n | target | delta | false claims | allowed | certified | recall of the oracle's | holds |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let (mut broken, mut caught, mut naive) = (false, 0, 0);
    for setting in settings().into_iter().filter(|setting| setting.name.contains(&filter)) {
        let start = Instant::now();
        let drawn: Vec<Draw> = seeds.clone().into_par_iter().map(|seed| (setting.draw)(seed)).collect();
        let row = Row::of(&setting, &drawn);
        row.print(&setting, start.elapsed().as_secs_f64());
        if setting.naive {
            naive += 1;
            caught += i32::from(!row.holds);
        } else {
            broken |= !row.holds;
        }
    }
    println!();
    println!("{}; the naive method is rejected in {caught} of {naive} settings", if broken { "BROKEN" } else { "every claim holds" });
    if broken || caught < naive {
        std::process::exit(1);
    }
}

struct Row {
    wrong: f64,
    allowed: f64,
    certified: f64,
    recall: Option<f64>,
    holds: bool,
}

impl Row {
    fn of(setting: &Setting, drawn: &[Draw]) -> Self {
        let number = drawn.len() as f64;
        let share = |wanted: &dyn Fn(&Draw) -> bool| drawn.iter().filter(|draw| wanted(draw)).count() as f64 / number;
        let wrong = share(&|draw| draw.wrong);
        let allowed = setting.delta + 3.0 * (setting.delta * (1.0 - setting.delta) / number).sqrt();
        let recalls: Vec<f64> = drawn.iter().filter_map(|draw| draw.recall).collect();
        let recall = (!recalls.is_empty()).then(|| recalls.iter().sum::<f64>() / recalls.len() as f64 / setting.oracle);
        let certified = share(&|draw| draw.certified);
        let enough = setting.certified_at_least <= certified && setting.recall_at_least <= recall.unwrap_or(0.0);
        Self { wrong, allowed, certified, recall, holds: wrong <= allowed && (enough || setting.naive) }
    }

    fn print(&self, setting: &Setting, seconds: f64) {
        let recall = self.recall.map_or("-".to_owned(), |recall| format!("{:.3}", recall));
        let holds = if self.holds { "yes" } else { "**no**" };
        println!(
            "| {} | {} | {} | {} | {:.4} | {:.4} | {:.3} | {recall} | {holds} |",
            setting.name, setting.n, setting.target, setting.delta, self.wrong, self.allowed, self.certified
        );
        eprintln!("  {seconds:.1} s");
    }
}
