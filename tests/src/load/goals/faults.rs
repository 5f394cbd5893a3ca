//! Goal 11: processes that are killed at random moments, twenty times in each shape. The drill does it, and this adds up.

use std::process::Command;

use super::{Bench, Limit};

const SHAPES: [&str; 3] = ["embedded", "edge", "mesh"];
const ROUNDS: u32 = 20;
/// Counts of a drill that say how much was done; every other one must be 0.
const DONE: [&str; 4] = ["attempted", "acknowledged", "refused", "recovered"];

pub(super) fn measure(bench: &mut Bench) {
    let drill = bench.server.with_file_name("loquat-drill");
    for shape in SHAPES {
        let mut command = Command::new("taskset");
        // On all cores, unlike the measurements.
        command.args(["--cpu-list", "0-1023"]).arg(&drill);
        command.args(["--shape", shape, "--faults", "kill", "--rounds", &ROUNDS.to_string()]);
        let output = command.output().expect("the drill runs; build it beside the server");
        let told = String::from_utf8_lossy(&output.stdout);
        bench.report.raw(&serde_json::json!({ "drill": shape, "told": told }));
        let rounds: Vec<&str> = told.lines().filter(|line| line.starts_with("round ")).collect();
        let wrong: f64 = rounds.iter().map(|round| wrong(round)).sum();
        let missing = f64::from(ROUNDS) - rounds.len() as f64;
        let note =
            rounds.last().map_or("nothing was told", |round| round.find(DONE[0]).map_or(*round, |from| &round[from..]));
        let name = format!("{ROUNDS} rounds of kill -9, {shape}: whatever went wrong");
        let value = if output.status.success() { wrong } else { wrong + missing.max(1.0) };
        bench.noted(11, name, value, Limit::AtMost(0.0), note);
    }
}

/// Adds up the counts of a line that must be 0: words, each followed by a number.
fn wrong(round: &str) -> f64 {
    let counts = round.find(DONE[0]).map_or("", |from| &round[from..]);
    let words: Vec<&str> = counts.split_whitespace().collect();
    let wrong = words.windows(2).filter(|pair| !DONE.contains(&pair[0]));
    wrong.filter_map(|pair| pair[1].parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_went_wrong_is_added_up() {
        let good = "round 3: chat is killed; all caught up 1.2 s after. attempted 3690 acknowledged 3385 refused 305 lost 0 duplicated 0 recovered 1950 holes 0";
        assert_eq!(wrong(good), 0.0);
        assert_eq!(wrong(&good.replace("lost 0", "lost 2").replace("holes 0", "holes 1")), 3.0);
    }
}
