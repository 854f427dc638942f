//! BLEU: how many runs of words a translation shares with a reference.

use std::{collections::HashMap, hash::Hash};

/// Corpus BLEU with runs of up to four words (Papineni et al. 2002), as sacrebleu counts it for words that are
/// split already.
///
/// 100·min(1, e^(1 − r/h))·(p₁·p₂·p₃·p₄)^¼ with r words in the references, h in the hypotheses, and pₙ the
/// share of the hypotheses' runs of n words that the references have, each as often as there at most. Where no
/// run of n is shared, pₙ is 1/(2ᵏ·runs) for the k-th such n.
///
/// ```
/// let mut bleu = wgrad::train::Bleu::default();
/// let words = |text: &'static str| text.split(' ').collect::<Vec<_>>();
/// bleu.add(&words("the cat sat on the mat"), &words("the cat sat on a mat"));
/// assert!((bleu.score() - 53.73).abs() < 0.01);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Bleu {
    shared: [u64; 4],
    runs: [u64; 4],
    reference: u64,
    hypothesis: u64,
}

impl Bleu {
    /// Counts a hypothesis against its reference; words may be of any type, token numbers too.
    pub fn add<W: Hash + Eq>(&mut self, reference: &[W], hypothesis: &[W]) {
        self.reference += reference.len() as u64;
        self.hypothesis += hypothesis.len() as u64;
        for n in 1..=4 {
            let known = counts(reference, n);
            for (run, count) in counts(hypothesis, n) {
                self.runs[n - 1] += count;
                self.shared[n - 1] += count.min(known.get(run).copied().unwrap_or(0));
            }
        }
    }

    /// The score so far, 0 to 100; 0 of nothing.
    pub fn score(&self) -> f64 {
        // Hypotheses too short for runs of four give no score: sacrebleu's choice for a corpus.
        if self.runs.contains(&0) || self.shared[0] == 0 {
            return 0.0;
        }
        let mut none = 1.0;
        let logarithms = self.shared.iter().zip(&self.runs).map(|(&shared, &runs)| {
            let share = if shared == 0 {
                none *= 2.0;
                1.0 / (none * runs as f64)
            } else {
                shared as f64 / runs as f64
            };
            share.ln()
        });
        let mean: f64 = logarithms.sum::<f64>() / 4.0;
        let brevity = (1.0 - self.reference as f64 / self.hypothesis as f64).min(0.0);
        100.0 * (mean + brevity).exp()
    }
}

/// How often each run of `n` words occurs.
fn counts<W: Hash + Eq>(words: &[W], n: usize) -> HashMap<&[W], u64> {
    let mut counts = HashMap::new();
    for run in words.windows(n) {
        *counts.entry(run).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_sacrebleus() {
        let cases: serde_json::Value = serde_json::from_str(include_str!("../../tests/fixtures/bleu.json")).unwrap();
        let sentences = |case: &serde_json::Value, of: &str| -> Vec<Vec<String>> {
            serde_json::from_value(case[of].clone()).unwrap()
        };
        for case in cases.as_array().unwrap() {
            let mut bleu = Bleu::default();
            for (reference, hypothesis) in sentences(case, "references").iter().zip(&sentences(case, "hypotheses")) {
                bleu.add(reference, hypothesis);
            }
            let expected = case["bleu"].as_f64().unwrap();
            assert!((bleu.score() - expected).abs() < 1e-9, "{}, not {expected}", bleu.score());
        }
        assert_eq!(Bleu::default().score(), 0.0);
    }
}
