//! Mutation fuzzing on the stable toolchain.
//!
//! ```text
//! cargo run --example fuzz -- [TARGET ...] [--seconds N | --runs N] [--seed N]
//! cargo run --example fuzz -- TARGET --replay FILE
//! ```
//!
//! Each target holds its seeds and a check that panics when a property does not hold. What a check
//! returns stands for the path the input took; an input with a new one joins the corpus, which gives the
//! mutation a direction without instrumenting the code. The same seed and number of runs give the same
//! inputs.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

mod mutate;
mod readers;
mod targets;

use std::any::Any;
use std::collections::HashSet;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mutate::Mutator;
use targets::{TARGETS, Target};

/// An input that keeps a check busy for this long has found an endless loop.
const STUCK: Duration = Duration::from_secs(20);
/// The corpus stays this small, so that the seeds stay in play.
const CORPUS: usize = 4096;

/// The input under way and since when, for the watchdog.
static UNDER_WAY: Mutex<Option<(&str, Instant, Vec<u8>)>> = Mutex::new(None);

struct Options {
    targets: Vec<&'static Target>,
    seconds: u64,
    runs: u64,
    seed: u64,
    replay: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("fuzz: {why}");
            return ExitCode::from(64);
        }
    };
    // A panic is the finding, not the report of it.
    panic::set_hook(Box::new(|_| {}));
    thread::spawn(watch);
    let sound = match &options.replay {
        Some(file) => replay(options.targets[0], file),
        // All of them, whatever the first ones found.
        None => options.targets.iter().filter(|target| !fuzz(target, &options)).count() == 0,
    };
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options { targets: Vec::new(), seconds: 10, runs: u64::MAX, seed: 1, replay: None };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word}: its value is missing"));
        let number = |text: String| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
        match word.as_str() {
            "--seconds" => options.seconds = number(value()?)?,
            "--runs" => (options.runs, options.seconds) = (number(value()?)?, u64::MAX),
            "--seed" => options.seed = number(value()?)?,
            "--replay" => options.replay = Some(value()?.into()),
            name => match TARGETS.iter().find(|target| target.name == name) {
                Some(target) => options.targets.push(target),
                None => {
                    let names: Vec<_> = TARGETS.iter().map(|target| target.name).collect();
                    return Err(format!("{name}: not one of {}", names.join(", ")));
                }
            },
        }
    }
    match (&options.replay, options.targets.len()) {
        (Some(_), count) if count != 1 => Err("--replay needs the one target it is for".to_owned()),
        (None, 0) => Ok(Options { targets: TARGETS.iter().collect(), ..options }),
        _ => Ok(options),
    }
}

/// Whether the target held.
fn fuzz(target: &'static Target, options: &Options) -> bool {
    let mut mutator = Mutator::new(options.seed, target.words, target.grammar);
    let mut corpus: Vec<Vec<u8>> = (target.seeds)();
    let mut paths = HashSet::new();
    let begun = Instant::now();
    let mut runs = 0;
    // The seeds as they are, then what is made of them.
    let seeds = corpus.len() as u64;
    while runs < options.runs.max(seeds) && (runs < seeds || begun.elapsed().as_secs() < options.seconds) {
        let input = match corpus.get(runs as usize) {
            Some(seed) if runs < seeds => seed.clone(),
            _ => mutator.mutate(&corpus),
        };
        runs += 1;
        match check(target, &input) {
            Ok(path) if paths.insert(path) && runs > seeds && corpus.len() < CORPUS => corpus.push(input),
            Ok(_) => {}
            Err(why) => {
                let input = smallest(target, input);
                // What is left may fail for another reason.
                report(target, &input, &check(target, &input).err().unwrap_or(why));
                return false;
            }
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{}: {runs} runs in {seconds:.1} s, {:.0} a second, {} paths, seed {}",
        target.name,
        runs as f64 / seconds,
        paths.len(),
        options.seed
    );
    true
}

fn replay(target: &'static Target, file: &PathBuf) -> bool {
    let input = match fs::read(file) {
        Ok(input) => input,
        Err(error) => {
            eprintln!("fuzz: {}: {error}", file.display());
            return false;
        }
    };
    match check(target, &input) {
        Ok(_) => println!("{}: {} holds", target.name, file.display()),
        Err(why) => println!("{}: {}: {why}", target.name, file.display()),
    }
    check(target, &input).is_ok()
}

/// The path the input took, or the sentence of the panic.
fn check(target: &'static Target, input: &[u8]) -> Result<u64, String> {
    let set = |state| *UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner) = state;
    set(Some((target.name, Instant::now(), input.to_vec())));
    let result = panic::catch_unwind(AssertUnwindSafe(|| (target.check)(input)));
    set(None);
    result.map_err(|payload| sentence(payload.as_ref()))
}

fn sentence(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str).or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a sentence").to_owned()
}

/// What is left of a failing input when everything that can go is gone, or the time for it is over.
fn smallest(target: &'static Target, mut input: Vec<u8>) -> Vec<u8> {
    let begun = Instant::now();
    let mut piece = input.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < input.len() && begun.elapsed() < STUCK {
            let mut less = input.clone();
            less.drain(at..(at + piece).min(less.len()));
            if check(target, &less).is_err() {
                input = less;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    input
}

fn report(target: &Target, input: &[u8], why: &str) {
    let directory = PathBuf::from("target/fuzz");
    let file = directory.join(format!("{}-{:016x}", target.name, mutate::hash(input)));
    let written = fs::create_dir_all(&directory).and_then(|()| fs::write(&file, input));
    println!("{}: FAILED: {why}\n  {}", target.name, input.escape_ascii());
    match written {
        Ok(()) => println!("  replay: cargo run --example fuzz -- {} --replay {}", target.name, file.display()),
        Err(error) => println!("  not kept: {}: {error}", file.display()),
    }
}

fn watch() {
    loop {
        thread::sleep(STUCK / 4);
        let state = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((name, since, input)) = state
            && since.elapsed() > STUCK
            && let Some(target) = TARGETS.iter().find(|target| target.name == name)
        {
            report(target, &input, "still busy, an endless loop");
            std::process::exit(1);
        }
    }
}
