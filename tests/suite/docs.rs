//! The documents say what the program does: tables, examples, man pages, completions.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use mailchute::caller::Caller;
use mailchute::cli::options::{LETTERS, LONGS, MODES};
use mailchute::config::{Config, Search};
use mailchute::exit::{self, Scheme};
use mailchute::failure::Kind;
use mailchute::finding::codes as findings;
use mailchute::import::KINDS;
use mailchute::import::draft::code::{CODES, Mark};
use mailchute::providers::{self, Provider, TlsMode, UserName};
use testkit::{Scratch, need_root};

use crate::setup::{MESSAGE, mailchute};

/// The subcommands of this version.
const SUBCOMMANDS: [&str; 18] = [
    "check",
    "import",
    "explain",
    "test",
    "lint",
    "login",
    "log",
    "show",
    "providers",
    "queue",
    "resend",
    "alert",
    "ban",
    "unban",
    "bans",
    "secret",
    "status",
    "init",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What a document says between two of its lines is made from the program's own tables. With `UPDATE_DOCS=1` in the
/// environment it is written there, else it has to be there.
fn is_made(path: &str, first: &str, last: &str, text: &str) {
    let document = read(path);
    let (head, rest) = document.split_once(first).unwrap_or_else(|| panic!("{path}: no {first:?}"));
    let (_, tail) = rest.split_once(last).unwrap_or_else(|| panic!("{path}: no {last:?} behind {first:?}"));
    let made = format!("{head}{first}{text}{last}{tail}");
    if made != document && std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(root().join(path), &made).unwrap();
        return;
    }
    assert!(made == document, "{path}: run `UPDATE_DOCS=1 cargo test --test suite -- docs`, or write there:\n{text}");
}

#[test]
fn the_readmes_table_of_providers_is_the_registry() {
    let mut table = String::new();
    for provider in providers::all().filter(|provider| provider.id != "smtp") {
        let port = &provider.ports[0];
        let tls = if port.tls == TlsMode::StartTls { " STARTTLS" } else { "" };
        let host = if provider.host.is_empty() { "`host`" } else { provider.host };
        let _ = writeln!(
            table,
            "| `{}` | {} | {host}:{}{tls} | {} | {} |",
            provider.id,
            provider.name,
            port.number,
            credentials(provider),
            by_api(provider),
        );
    }
    let head = "| `provider` | Service | SMTP server | by SMTP | by its API |\n|---|---|---|---|---|\n";
    is_made("README.md", head, "\nThe facts come from", &table);
    let printed = mailchute().arg("providers").run();
    printed.expect_status(0);
    for provider in providers::all() {
        assert!(printed.stdout.contains(provider.id), "{} is not printed:\n{}", provider.id, printed.stdout);
    }
}

/// Text in lines of the man page's width; a new line begins one.
fn filled(text: &str) -> String {
    let mut out = String::new();
    for sentence in text.lines() {
        let mut width = 0;
        for word in sentence.split(' ') {
            let is_full = width > 0 && width + 1 + word.len() > 79;
            out.push_str(if width == 0 {
                ""
            } else if is_full {
                "\n"
            } else {
                " "
            });
            out.push_str(word);
            width = if is_full || width == 0 { word.len() } else { width + 1 + word.len() };
        }
        out.push('\n');
    }
    out
}

/// The line of the man page behind which the list of providers begins.
const MADE: &str = ".\\\" Made from the providers' files.\n";

#[test]
fn the_man_pages_list_of_providers_is_the_registry() {
    let mut list = String::new();
    let line = |what: &str, macro_: &str, words: &[&str]| match words {
        [] => String::new(),
        words => format!("{what}:\n.{macro_} {} .\n", words.join(" , ")),
    };
    for provider in providers::all() {
        let _ = write!(list, ".It Cm {}\n{}.\n", provider.words().collect::<Vec<_>>().join(" , "), provider.name);
        list += &line("By SMTP", "Ic", &credential_keys(provider));
        if let Some(entry) = provider.api {
            let settings: Vec<_> = entry.keys().iter().copied().filter(|key| *key != "region").collect();
            let credentials: Vec<_> = entry.credentials.iter().map(|credential| credential.key).collect();
            list += &line("By its API", "Ic", &[credentials, settings].concat());
            for (key, about) in entry.about {
                let _ = write!(list, ".Ic {key} :\n{}", filled(about));
            }
        }
        list += &line("Regions", "Cm", &provider.regions.iter().map(|region| region.name).collect::<Vec<_>>());
    }
    is_made("man/mailchute.toml.5", MADE, ".El\n", &list);
}

#[test]
fn the_man_pages_list_of_findings_is_the_list() {
    let mut list = String::new();
    for code in findings::ALL {
        let mut is_open = false;
        let quoted = code.about.chars().fold(String::new(), |mut text, c| {
            match c {
                '`' => {
                    is_open = !is_open;
                    text += if is_open { "\\(oq" } else { "\\(cq" };
                }
                c => text.push(c),
            }
            text
        });
        assert!(!is_open, "{}: an odd number of backticks", code.word);
        let (first, rest) = quoted.split_at(quoted.chars().next().map_or(0, char::len_utf8));
        let _ = write!(
            list,
            ".It Cm {} Pq {}\n{}.\n",
            code.word,
            code.grade,
            filled(&(first.to_uppercase() + rest)).trim_end()
        );
    }
    is_made("man/mailchute.8", ".\\\" Made from the list of findings.\n", ".El\n", &list);
}

#[test]
fn the_man_pages_lists_of_imports_are_the_registries() {
    let kinds: String = KINDS
        .iter()
        .map(|kind| format!(".It Cm {}\n{}", kind.name, filled(&format!("{}: {}", kind.title, kind.files))))
        .collect();
    is_made("man/mailchute.8", ".\\\" Made from the registry of kinds.\n", ".El\n", &kinds);
    let mut codes = String::new();
    for code in CODES.iter().filter(|code| code.mark > Mark::Implied) {
        let star = if code.must_be_accepted { " *" } else { "" };
        let _ = write!(
            codes,
            ".It Cm {}{star}\n{}",
            code.word,
            filled(&format!("{}: {}", capital(code.mark.word()), code.about))
        );
    }
    is_made("man/mailchute.8", ".\\\" Made from the list of codes.\n", ".El\n", &codes);
}

fn capital(word: &str) -> String {
    word[..1].to_uppercase() + &word[1..]
}

#[test]
fn the_tables_that_providers_prints_load() {
    let scratch = Scratch::new();
    for provider in providers::all() {
        let printed = mailchute().args(["providers", provider.id]).run();
        printed.expect_status(0);
        let (_, table) = printed.stdout.split_once("\n\n").expect("a table behind an empty line");
        let config = load(Some(scratch.write("config.toml", table, 0o640)), &BTreeMap::new());
        assert!(config.warnings.is_empty() && config.sites.len() == 1, "{table}\n{:?}", config.warnings);
    }
}

/// The keys to write for the API, and whether it takes the message or fields.
fn by_api(provider: &Provider) -> String {
    let Some(entry) = provider.api else { return String::new() };
    let keys = entry.wanted_keys().into_iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    let or = if provider.authorization.is_some() { "`client_id` or " } else { "" };
    format!("{or}{keys} ({})", if entry.raw { "message" } else { "fields" })
}

/// The keys that hold user name and secret.
fn credential_keys(provider: &Provider) -> Vec<&'static str> {
    let mut keys = match provider.username {
        UserName::Given(key) => vec![key],
        UserName::Joined(keys) => keys.to_vec(),
        UserName::Word(_) | UserName::Secret => Vec::new(),
    };
    keys.push(provider.secrets[0]);
    keys
}

/// The keys to write for a login.
fn credentials(provider: &Provider) -> String {
    let keys = credential_keys(provider).into_iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
    match (provider.authorization, provider.bearer) {
        (Some(_), true) => keys + ", `client_id` or `token`",
        (None, true) => keys + " or `token`",
        (_, false) => keys,
    }
}

#[test]
fn the_readmes_branches_on_the_exit_status_hold() {
    let readme = read("README.md");
    let (_, rest) = readme.split_once("<!-- tested: the exit status branches -->\n```sh\n").expect("the marked block");
    let (block, _) = rest.split_once("\n```").expect("its end");
    let scratch = Scratch::new();
    scratch.write("message.eml", "Subject: x\n\n", 0o644);
    for (statuses, said) in [
        (&[0][..], "sent"),
        (&[1, 9, 10, 21, 50, 51, 59], "not now, try later: SMTP 4"),
        (&[69, 71], "nobody has it, try later"),
        (&[130, 134, 135, 138], "login refused, mend the credentials: SMTP 53"),
        (&[100, 121, 150, 152, 153, 154, 199], "refused, do not send again: SMTP 5"),
        (&[79], "somebody may have it, do not send again blindly"),
        (&[64, 65, 66, 68, 70, 73, 74, 76, 77, 78], "set up or called wrongly: "),
    ] {
        for status in statuses {
            scratch.write("mailchute", format!("#!/bin/sh\ncat >/dev/null\nexit {status}\n"), 0o755);
            let output = testkit::apart("/bin/sh")
                .args(["-c", block])
                .current_dir(scratch.path())
                .env("PATH", format!("{}:/usr/bin:/bin", scratch.path().display()))
                .output()
                .expect("a shell");
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(printed.starts_with(said) && printed.lines().count() == 1, "{status} is told as {printed}");
            if matches!(status, 1..=59 | 100..=199) {
                assert!(printed.trim().ends_with(&(status + 400).to_string()), "{status} is told as {printed}");
            }
        }
    }
}

#[test]
fn the_readmes_links_lead_somewhere() {
    let readme = read("README.md");
    for target in readme.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target) {
        match target.strip_prefix('#') {
            Some(anchor) => {
                let heading = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
                assert!(readme.lines().any(|line| line.starts_with('#') && heading(line) == anchor), "#{anchor}");
            }
            None => assert!(target.contains("://") || root().join(target).exists(), "{target}"),
        }
    }
}

#[test]
fn the_man_page_has_every_option_status_and_subcommand() {
    let page = read("man/mailchute.8");
    let items: Vec<&str> =
        page.lines().filter(|line| line.starts_with(".It Fl ") || line.starts_with(".Fl ")).collect();
    let named = |option: &str| items.iter().any(|line| line.split([' ', ',']).any(|word| word == option));
    for row in LETTERS {
        let letter = char::from(row.letter).to_string();
        assert!(named(&letter) || letter == "b", "-{letter} is not in the man page");
    }
    for (mode, _) in MODES {
        assert!(named(&format!("b{}", char::from(*mode))), "-b{} is not in the man page", char::from(*mode));
    }
    for long in LONGS {
        assert!(named(&format!("-{}", long.name)), "--{} is not in the man page", long.name);
    }
    let kinds = [
        Kind::Usage,
        Kind::Data,
        Kind::NoInput,
        Kind::NoHost,
        Kind::Unavailable,
        Kind::Software,
        Kind::System,
        Kind::CannotCreate,
        Kind::Io,
        Kind::Protocol,
        Kind::NoPermission,
        Kind::Configuration,
        Kind::InDoubt,
    ];
    for kind in kinds {
        let status = exit::of_kind(&kind, Scheme::Reply);
        assert!(page.contains(&format!("\n.It {status}\n")), "{status} ({kind:?}) is not in the man page");
    }
    for name in SUBCOMMANDS {
        assert!(page.contains(&format!("\n.It Cm {name}")), "{name} is not in the man page");
    }
}

#[test]
fn the_other_man_page_has_every_key() {
    let page = read("man/mailchute.toml.5");
    let scratch = Scratch::new();
    // What a table takes is told to who writes something far from all of it.
    for table in ["", "[relay.x]\nhost = \"localhost\"\n", "[site.x]\n", "[[route]]\n", "[staging]\n", "[alert.x]\n"] {
        let config = scratch.write("config.toml", format!("{table}qqqqqqqqqqqqqqqqqqqqqqqq = 1\n"), 0o644);
        let run = mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
        let keys = run.stderr.split_once("keys: ").map(|(_, keys)| keys.trim().split(", "));
        for key in keys.unwrap_or_else(|| panic!("{table} names no keys: {}", run.report())) {
            let entry = |line: &str| line.starts_with(".It Ic ") && line.split([' ', ',']).any(|word| word == key);
            let is_table = matches!(key, "relay" | "route" | "site" | "alias" | "alert" | "log" | "staging");
            assert!(is_table || page.lines().any(entry), "{key} is not in the man page");
        }
    }
    // The list of providers names every key, and tells of none.
    let (before, rest) = page.split_once(MADE).expect("the list of providers");
    let by_hand = format!("{before}{}", rest.split_once(".El\n").expect("its end").1);
    for provider in providers::all() {
        for key in provider.secrets {
            assert!(by_hand.contains(key), "{key} of {} is not in the man page", provider.id);
        }
    }
    for (provider, entry) in providers::all().filter_map(|provider| Some((provider, provider.api?))) {
        for key in entry.credentials.iter().map(|credential| &credential.key).chain(entry.keys()) {
            let said = |line: &str| line.split([' ', ',', '=']).any(|word| word == *key);
            let is_told = entry.about.iter().any(|(told, _)| told == key);
            assert!(is_told || by_hand.lines().any(said), "{key} of {}'s API is not in the man page", provider.id);
        }
    }
}

#[test]
fn completions_know_the_subcommands_and_their_options() {
    let files = ["mailchute.bash", "_mailchute", "mailchute.fish"]
        .map(|name| (name, read(&format!("examples/completions/{name}")).replace("-l ", "--")));
    let mut words: Vec<String> = LONGS.iter().map(|long| format!("--{}", long.name)).collect();
    for name in SUBCOMMANDS {
        words.push(name.to_owned());
        let help = mailchute().args([name, "--help"]).run();
        help.expect_status(0);
        let options = help.stdout.split_whitespace().filter(|word| word.starts_with("--") && word.len() > 2);
        words.extend(options.map(|word| word.trim_end_matches([',', ']', '>', '.']).to_owned()));
    }
    for (name, text) in files {
        for word in &words {
            assert!(text.contains(word.as_str()), "{name} does not know {word}");
        }
    }
}

/// Loads a configuration as this process would.
fn load(option: Option<PathBuf>, variables: &BTreeMap<String, String>) -> Config {
    let search = Search {
        option,
        system: PathBuf::from("/nowhere"),
        variables: &|name| variables.get(name).map(OsString::from),
        names: &|| variables.keys().map(OsString::from).collect(),
    };
    let mut caller = Caller::current();
    caller.home = None;
    search.load(&caller).unwrap_or_else(|failure| panic!("{failure}"))
}

#[test]
fn every_example_loads() {
    let scratch = Scratch::new();
    let mut count = 0;
    for entry in fs::read_dir(root().join("examples")).expect("examples") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = || fs::read_to_string(&path).expect("an example");
        let config = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") if name == "strict-hosting-site.toml" => continue,
            // A file of sites that sets `user` has to be root's.
            Some("toml") if name == "strict-hosting.toml" && !need_root() => {
                count += 1;
                continue;
            }
            Some("toml") if name == "strict-hosting.toml" => {
                scratch.write("strict/sites.d/shop.toml", read("examples/strict-hosting-site.toml"), 0o640);
                load(Some(scratch.write("strict/config.toml", text(), 0o644)), &BTreeMap::new())
            }
            Some("toml") => load(Some(scratch.write(&name, text(), 0o640)), &BTreeMap::new()),
            Some("env") => {
                let lines = text();
                let pairs = lines.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
                load(None, &pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
            }
            _ => continue,
        };
        assert!(config.skipped.is_empty(), "{name}: {:?}", config.skipped);
        assert!(!config.sites.is_empty(), "{name} has no site");
        count += 1;
    }
    assert!(count >= 8, "only {count} examples were found");
}

#[test]
fn the_examples_with_a_spool_keep_what_no_relay_takes() {
    let scratch = Scratch::new();
    for (name, relays) in [("wordpress-spool.toml", 1), ("backup-relay.toml", 2)] {
        let text = read(&format!("examples/{name}"));
        let config = load(Some(scratch.write(name, text, 0o640)), &BTreeMap::new());
        for site in &config.sites {
            assert!(site.spooling.is_on, "{name}, site {}", site.name);
            assert_eq!(site.relays.len(), relays, "{name}, site {}", site.name);
        }
    }
}

#[test]
fn the_configurations_in_the_documents_load() {
    let readme = read("README.md");
    let page = read("man/mailchute.toml.5");
    let blocks = |text: &str, begin: &str, end: &str| -> Vec<String> {
        text.split(begin).skip(1).filter_map(|rest| rest.split_once(end)).map(|(block, _)| block.to_owned()).collect()
    };
    let mut blocks =
        [blocks(&readme, "```toml\n", "```"), blocks(&page, ".Bd -literal -offset indent\n", ".Ed")].concat();
    // The others are commands.
    blocks.retain(|block| block.lines().any(|line| line.starts_with('[')));
    assert!(blocks.len() >= 6, "{blocks:?}");
    let scratch = Scratch::new();
    for (number, mut block) in blocks.into_iter().enumerate() {
        if !block.contains("[relay.") {
            block += "\n[relay.main]\nhost = \"localhost\"\n";
        }
        let config = load(Some(scratch.write(&format!("{number}.toml"), &block, 0o640)), &BTreeMap::new());
        assert!(!config.sites.is_empty(), "{block}");
    }
}
