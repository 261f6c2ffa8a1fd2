//! Prints the promises, and tells at the end whether all of them were kept.
use std::time::Duration;

use crate::load::Tally;

/// Every promise that was made, and whether it held.
#[derive(Debug, Default)]
pub(crate) struct Promises {
    broken: Vec<String>,
    made: usize,
}

impl Promises {
    pub(crate) fn chapter(number: u32, title: &str) {
        println!("\n\x1b[1m{number}. {title}\x1b[0m");
    }

    pub(crate) fn tell(line: &str) {
        println!("   {line}");
    }

    /// A promise with its mark.
    pub(crate) fn check(&mut self, held: bool, promise: &str) {
        self.made += 1;
        if held {
            println!("   \x1b[32m✔\x1b[0m {promise}");
        } else {
            println!("   \x1b[31m✘ {promise}\x1b[0m");
            self.broken.push(promise.to_owned());
        }
    }

    /// The share of each instance as a bar, beside the share that its weight asks for.
    pub(crate) fn shares(&mut self, tally: &Tally, weights: &[(String, u32)]) {
        let total = f64::from(tally.answered().max(1));
        let all: f64 = weights.iter().map(|(_, weight)| f64::from(*weight)).sum();
        for (name, weight) in weights {
            let answers = tally.answers.get(name).copied().unwrap_or_default();
            let (share, fair) = (f64::from(answers) / total, f64::from(*weight) / all);
            println!(
                "   {name}  {}  {:4.1} % of {:4.1} %",
                bar(share),
                share * 100.0,
                fair * 100.0
            );
            // Four standard deviations of a fair draw: one run in some ten thousand is unlucky.
            let tolerance = 4.0 * (fair * (1.0 - fair) / total).sqrt();
            let promise =
                format!("{name} has its share, give or take {:.1} points", tolerance * 100.0);
            self.check((share - fair).abs() <= tolerance, &promise);
        }
    }

    /// Whether every promise held.
    pub(crate) fn all_held(&self, took: Duration) -> bool {
        let held = self.made - self.broken.len();
        println!("\n{held} of {} promises held, in {:.1} s.", self.made, took.as_secs_f64());
        for promise in &self.broken {
            println!("broken: {promise}");
        }
        self.broken.is_empty()
    }
}

fn bar(share: f64) -> String {
    const WIDTH: f64 = 40.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share is within 0 and 1"
    )]
    let filled = (share.clamp(0.0, 1.0) * WIDTH).round() as usize;
    format!("{:░<40}", "█".repeat(filled))
}
