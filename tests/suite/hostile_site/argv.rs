//! Words: every long option of every subcommand, and what the sendmail dialect has, with what is the neighbour's.

use std::collections::BTreeSet;

use testkit::Mailchute;

use super::{BLOG, PLANTED, SHOP, in_both_modes};
use crate::setup::data;

/// A subcommand, or none, with the long options it takes and whether each takes a value.
type Words = (Vec<String>, BTreeSet<(String, bool)>);

/// The subcommands and their options, as the completions have them, which are made from the program.
fn subcommands() -> Vec<Words> {
    let path = data("../examples/completions/mailchute.fish");
    let text = std::fs::read_to_string(path).unwrap();
    let words = |line: &str, flag: &str| {
        let behind = line.split_once(&format!(" {flag} "))?.1;
        let end = match behind.strip_prefix('\'') {
            Some(quoted) => quoted.split('\'').next(),
            None => behind.split(' ').next(),
        };
        end.map(str::to_owned)
    };
    let mut names: Vec<Vec<String>> = vec![Vec::new()];
    for line in text.lines().filter(|line| line.contains("__fish_use_subcommand -a ")) {
        names.push(vec![words(line, "-a").unwrap()]);
    }
    // Those that have subcommands of their own, such as `queue`.
    for line in text.lines().filter(|line| line.contains("__fish_seen_subcommand_from") && !line.contains(" -l ")) {
        let Some((above, below)) = words(line, "-n").zip(words(line, "-a")) else { continue };
        let above = above.trim_start_matches("__fish_seen_subcommand_from ").to_owned();
        names.extend(below.split(' ').map(|name| vec![above.clone(), name.to_owned()]));
    }
    let options_of = |name: &[String]| {
        let of = |line: &&str| match name.first() {
            None => line.contains("-n __fish_use_subcommand -l "),
            Some(first) => {
                let from = words(line, "-n").unwrap_or_default();
                from.starts_with("__fish_seen_subcommand_from ") && from.split(' ').any(|word| word == first)
            }
        };
        let option = |line: &str| Some((words(line, "-l")?, line.contains(" -x") || line.contains(" -r")));
        text.lines().filter(of).filter_map(option).collect()
    };
    names.into_iter().map(|name| (name.clone(), options_of(&name))).collect()
}

#[test]
fn no_word_reaches_what_is_another_sites() {
    in_both_modes("words", |bench| {
        let entry = bench.waiting();
        let id = entry.file_name().unwrap().to_str().unwrap();
        let climbing = format!("../../{BLOG}/queue/{id}");
        let uid = BLOG.to_string();
        let values: [&str; 11] = [
            "blog",
            &uid,
            "root",
            "0",
            id,
            &climbing,
            entry.to_str().unwrap(),
            "/etc/mailchute/secrets/blog",
            "/etc/mailchute/sites.d/blog.toml",
            PLANTED,
            "",
        ];
        for (name, options) in subcommands() {
            let base = |more: &[&str]| -> Mailchute {
                // A message's own words come last, so that the options before them are ours.
                let (before, behind) =
                    if name.is_empty() { (more, &["-i", "bob@example.net"][..]) } else { (&[][..], more) };
                bench.call().args(before).args(&name).args(behind)
            };
            for value in values {
                bench.attempt(&format!("{name:?} {value:?}"), base(&[value]));
            }
            // One that goes on until it is stopped shows nothing more than it does at once.
            for (option, takes_value) in options.iter().filter(|(option, _)| option != "follow") {
                let option = format!("--{option}");
                if !takes_value {
                    bench.attempt(&format!("{name:?} {option}"), base(&[&option]));
                    bench.attempt(&format!("{name:?} {option} {id}"), base(&[&option, id]));
                    continue;
                }
                bench.attempt(&format!("{name:?} {option} blog {id}"), base(&[&option, "blog", id]));
                for value in values {
                    bench.attempt(&format!("{name:?} {option} {value:?}"), base(&[&option, value]));
                }
            }
        }
        // What other programs of the name sendmail do with a file that they are told.
        for option in [
            "-C",
            "-X",
            "-oQ",
            "-O QueueDirectory=",
            "-be",
            "-bi",
            "-bp",
            "-bv",
            "-q",
            "-qR",
            "-f",
            "-r",
            "-F",
            "-L",
            "-R",
            "-V",
            "-B",
            "-D",
            "-h",
            "-A",
            "-d",
            "-p",
            "-N",
        ] {
            for value in values {
                let call =
                    bench.call().name("sendmail").arg(format!("{option}{value}")).args(["-i", "bob@example.net"]);
                bench.attempt(&format!("sendmail {option}{value}"), call);
            }
        }
        // A chain of words that names another caller than the one who calls.
        for user in ["blog", "root", "0", &SHOP.to_string()] {
            let call = bench.call().args(["--site", "blog", "explain", "--as", user, "-v", "-i", "bob@example.net"]);
            bench.attempt(&format!("explain --as {user}"), call);
        }
    });
}
