//! wgrad's side of a comparison with other engines: the same workloads, inputs and JSON lines as theirs.
//!
//! `wgrad-peers [--list] [--profile] [--only NAME[:PASS]]…` prints one JSON object a line, or with `--profile` the time
//! of each kernel; `run.sh` beside this crate runs each workload in a process of its own, and `ratios.py` prints the table.

mod inputs;
mod measure;
mod models;
mod operations;
mod workload;

use std::{env, error::Error, process::ExitCode};

/// What the command line asks for.
#[derive(Default)]
struct Wish {
    list: bool,
    profile: bool,
    only: Vec<String>,
}

impl Wish {
    fn read() -> Result<Wish, String> {
        let mut wish = Wish::default();
        let mut words = env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--list" => wish.list = true,
                "--profile" => wish.profile = true,
                "--only" => wish.only.push(words.next().ok_or("--only needs NAME or NAME:PASS")?),
                _ => {
                    return Err(format!(
                        "unknown argument {word:?}; there are --list, --profile and --only NAME[:PASS]"
                    ));
                }
            }
        }
        Ok(wish)
    }

    fn takes(&self, name: &str, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name || only == row)
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let launched = measure::launched();
    let wish = Wish::read()?;
    let mut workloads = operations::operations();
    workloads.extend(models::models());
    let mut known = false;
    for workload in &workloads {
        for &pass in workload.passes {
            let row = format!("{}:{}", workload.name, pass.name());
            if !wish.takes(workload.name, &row) {
                continue;
            }
            known = true;
            if wish.list {
                println!("{row}");
            } else if wish.profile {
                measure::profile(workload, pass)?;
            } else {
                println!("{}", measure::line(workload, pass, launched));
            }
        }
    }
    if !known {
        eprintln!("no workload is called {}; --list names them", wish.only.join(" or "));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
