//! What is read for one caller alone leads to the site that the whole leads to.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::Host;
use crate::address::Address;
use crate::caller::Caller;
use crate::config::accounts::Accounts;
use crate::config::{Config, glance};
use crate::failure::Failure;
use crate::plan::site::select;

const MAIN: &str = "[relay.main]\nhost = 'mx.example'\n";

/// Numbers that look random and are not.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % below as u64).unwrap()
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

/// The caller that is asked about: an account of every system.
fn daemon(cwd: &str) -> Caller {
    Caller { uid: 1, gid: 1, user: Some("daemon".to_owned()), home: None, cwd: Some(cwd.into()) }
}

/// One statement, plain or as odd as TOML allows, or with a mistake.
fn statement(dice: &mut Dice, user: &str) -> String {
    match dice.roll(30) {
        0..=4 | 7..=9 => format!("user = {user}"),
        10 => format!("user = [{user}]"),
        11 => format!("user = [\n  {user},\n]"),
        12 => format!("\"user\" = {user} # who"),
        13 => format!("  user\t=\t[ {user} , \"bin\" ]  # \"daemon\""),
        14 => format!("disabled = '''\nuser = {user}\npath = '''"),
        5 => format!("disabled = '''a'\nuser = {user}\npath = ''' # '"),
        6 => format!("disabled = \"\"\"a\" # \nuser = {user}\npath = \"\"\" # \""),
        15 => format!("from = \"\"\"\\\n[site.x]\nuser = {user}\"\"\""),
        16 => format!("alias = {{ root = [\n\"a@x.example\"\n] }}\n# user = {user}"),
        17 => format!("alias = {{\nuser = {user}\n}}"),
        18 => format!("alias.user = {user}"),
        19 => "path = '/srv/a' # [site.z]".to_owned(),
        20 => "path = ['/srv/a', \"/srv/b\"]".to_owned(),
        21 => "sender = [\n'*@a.example']".to_owned(),
        22 => "sender = '*@a.example'".to_owned(),
        23 => "disabled = 'a \"\"\" b'".to_owned(),
        24 => "disabled = \"it's \\\" [site.q]\"".to_owned(),
        25 => format!("from = \"\"\nuser = {user}"),
        26 => "deadline = \"30s\"\r".to_owned(),
        27 => "unknown = 1".to_owned(),
        28 => "partial".to_owned(),
        _ => String::new(),
    }
}

/// A file of `sites.d` as people write them, or with one oddity.
fn plain(dice: &mut Dice) -> String {
    let mut text = "[relay.main]\nhost = \"mx.example\"\npassword = { file = '/etc/x' }\nusername = 'x'\n".to_owned();
    let first = dice.roll(5);
    for name in ["a", "b", "c", "d", "e"].iter().cycle().skip(first).take(1 + dice.roll(2)) {
        let user = dice.one(&["\"bin\"", "2", "['bin', 3]", "'nobody here'", "['bin', 'daemon']", "1"]);
        let odd = dice.one(&["# all\n", "path = ['/srv/a', \"/srv/b\"]\n", "sender = '*@a.example'\n", "\r\n"]);
        let says = if dice.roll(3) > 0 { format!("user = {user}") } else { statement(dice, user) };
        text += &format!("[site.{name}]\n{says}\n{odd}");
    }
    text
}

/// One of those, or one of what else TOML allows.
fn file(dice: &mut Dice) -> String {
    if dice.roll(2) == 0 {
        return plain(dice);
    }
    let users = [
        "\"bin\"",
        "'bin'",
        "2",
        "\"daemon\"",
        "1",
        "\"bin\", 3",
        "2, \"daemon\"",
        "\"nobody here\"",
        "\"bi\\u006e\"",
        "\"d\\u0061emon\"",
        "0x1",
        "+1",
        "1_0",
        "[]",
        "\"\"",
        "true",
    ];
    let mut text = String::new();
    if dice.roll(8) == 0 {
        text +=
            dice.one(&["default_site = 'a'\n", "site.a.user = 1\n", "site = { a = {} }\n", "\"default_site\" = 'b'\n"]);
    }
    if dice.roll(6) == 0 {
        text +=
            dice.one(&["domain = 'x.example' # one\n", "strict_modes = false\n", "from = 'a@x.example'\n", "\u{feff}"]);
    }
    text += dice.one(&[
        "[relay.main]\nhost = 'mx.example'\n",
        "[relay.main]\nprotocol = 'null'\n",
        "relay.main.host = 'x'\n",
    ]);
    if dice.roll(10) == 0 {
        text += dice.one(&[
            "[alias]\n\"*\" = 'a@x.example'\n",
            "[site]\n",
            "[site]\na.user = 1\n",
            "[site.a.alias]\nroot = 'a@x.example'\n",
        ]);
    }
    for _ in 0..dice.roll(4) {
        let name = dice.one(&["a", "b", "c", "d", "e", "\"a\"", "'shop.example'", "\"x y\"", "\"\\u0061\"", "default"]);
        text += &match dice.roll(12) {
            0 => format!("[ site . {name} ] # here\n"),
            1 => format!("[\"site\".{name}]\n"),
            2 => format!("[[site.{name}.route]]\nrelay = 'main'\n[site.{name}]\n"),
            3 => format!("[site.{name}.alias]\nuser = 'a@x.example'\n"),
            4 => format!("[[site.{name}]]\n"),
            _ => format!("[site.{name}]\n"),
        };
        for _ in 0..dice.roll(3) {
            let of = if dice.roll(3) == 0 { &users[..] } else { &users[..3] };
            let user = dice.one(of);
            text += &statement(dice, user);
            text.push('\n');
        }
    }
    text
}

/// What is said of a site, or why there is none.
fn told(chosen: &Result<(Config, String), Failure>) -> String {
    match chosen {
        Ok((config, name)) => format!("{:?} {:?}", config.site(name), config.log(config.site(name))),
        Err(failure) => failure.to_string(),
    }
}

#[test]
fn a_file_that_is_taken_for_others_is_theirs_or_nobodys() {
    let caller = daemon("/");
    let (mut dice, mut left_out) = (Dice(0x2545_f491_4f6c_dd1d), 0);
    for round in 0..20_000 {
        let text = file(&mut dice);
        let Some(mut names) = glance::others(&text, &Accounts::of(&caller)) else { continue };
        left_out += 1;
        let Ok(config) = Config::parse(Path::new("/etc/mailchute/sites.d/x.toml"), &text, &caller) else { continue };
        assert!(!config.sites.is_empty());
        for site in &config.sites {
            assert!(!site.is_open_to(1), "{round}: {} of {text}", site.name);
        }
        let mut found: Vec<_> = config.sites.iter().map(|site| site.name.as_str()).collect();
        names.sort_unstable();
        found.sort_unstable();
        assert_eq!(names, found, "{text}");
    }
    assert!(left_out > 1500, "{left_out}");
}

#[test]
fn the_usual_file_is_not_parsed_for_others() {
    let usual = "# The shop.\n[relay.main]\nprovider = \"postmark\"\ntoken = { file = \"/etc/x/shop\" }\n\n[site.\"shop.example\"]\n\
                 user = [\"bin\", 3]\npath = [\"/srv/www/shop\"]\nsender = [\"*@shop.example\"] # theirs\n\
                 [site.blog]\r\nuser = 'bin'\r\n[site.blog.alias]\nroot = \"a@shop.example\"\n[log]\nto = ['journal']\n";
    let others = |text: &str| glance::others(text, &Accounts::of(&daemon("/"))).map(|names| names.join(" "));
    assert_eq!(others(usual).as_deref(), Some("blog shop.example"));
    for (from, to) in [
        ("3]", "1]"),
        ("'bin'", "'daemon'"),
        ("user = 'bin'", "# user = 'bin'"),
        ("\"bin\", 3", ""),
        ("[site.blog]\r\nuser = 'bin'\r\n", ""),
        ("[log]", "[site]"),
        ("# The shop.", "default_site = 'refuse'"),
        ("# theirs", "\nuser.x = 3"),
        ("[\"*@shop.example\"]", "[\n\"*@shop.example\"\n]"),
        ("\"/etc/x/shop\"", "\"/etc/\\x\""),
        ("'bin'", "'''bin'''"),
        ("blog.alias", "news.alias"),
    ] {
        assert!(usual.contains(from), "{from}");
        assert_eq!(others(&usual.replacen(from, to, 1)), None, "{from} -> {to}");
    }
}

#[test]
fn what_is_read_for_one_caller_leads_to_the_same_site() {
    if !nix::unistd::getuid().is_root() {
        return;
    }
    let (mut dice, mut narrowed, mut spoke, mut refused) = (Dice(0x9e37_79b9_7f4a_7c15), 0, 0, 0);
    for round in 0..600 {
        let main = match dice.roll(6) {
            0 => "",
            1 => "[site.main]\nuser = 'daemon'\n",
            2 => "[site.main]\n[site.e]\nuser = 2\n",
            3 => "[site.main]\nsender = '*@a.example'\n[site.cold]\npath = '/srv/a'\n",
            _ => "[site.main]\nuser = [1, 2]\npath = '/srv/b'\n",
        };
        let default =
            dice.one(&["", "", "", "default_site = 'refuse'\n", "default_site = 'main'\n", "default_site = 'a'\n"]);
        let mut host = Host::new().file("etc/config.toml", &format!("{default}{MAIN}{main}"));
        for name in ["a", "m", "z"] {
            host = host.file_with_mode(&format!("etc/sites.d/{name}.toml"), &file(&mut dice), 0o644);
        }
        if dice.roll(3) == 0 {
            host = host.file_with_mode("etc/sites.d/own.toml", &format!("{MAIN}[site.own]\nuser = 'daemon'\n"), 0o644);
        }
        let caller = daemon(dice.one(&["/", "/srv/a/x", "/srv/b"]));
        let sender: Address = dice.one(&["x@a.example", "x@b.example"]).parse().unwrap();
        let wanted = Some(dice.one(&["a", "b", "main", "own"])).filter(|_| dice.roll(4) == 0);
        let search = |config: Result<Config, Failure>| {
            let config = config?;
            let name = select(&config, &caller, wanted, &[&sender])?.site.name.clone();
            Ok((config, name))
        };
        let own = host.load_own(&caller);
        let is_part = own.as_ref().is_ok_and(|config| config.is_part);
        let (whole, own) = (search(host.load_for(&caller, None)), search(own));
        refused += usize::from(own.is_err() && !is_part);
        if let (Ok((whole, _)), Ok((own, _))) = (&whole, &own) {
            spoke += 1;
            narrowed += usize::from(own.sites.len() < whole.sites.len());
        }
        match (&whole, &own) {
            // Whoever has none is told why by the whole.
            (Err(_), Err(_)) if is_part => {}
            _ => assert_eq!(told(&own), told(&whole), "{round}: {}", host.dir.path().display()),
        }
    }
    assert!(spoke > 100 && narrowed > 30 && refused > 30, "{spoke} {narrowed} {refused}");
}

#[test]
fn a_user_whose_directory_holds_files_has_these_sites_and_no_others() {
    if !nix::unistd::getuid().is_root() {
        return;
    }
    let host = Host::new()
        .file_with_mode("etc/config.toml", &format!("{MAIN}[site.host]\nuser = 'daemon'\n"), 0o644)
        .file_with_mode("etc/sites.d/flat.toml", &format!("{MAIN}[site.flat]\nuser = ['daemon', 'bin', 3]\n"), 0o644)
        .file_with_mode("etc/sites.d/daemon/shop.toml", MAIN, 0o644)
        .file_with_mode("etc/sites.d/daemon/blog.toml", &format!("{MAIN}[site.blog]\npath = '/srv/blog'\n"), 0o644)
        .file_with_mode("etc/sites.d/daemon/greedy.toml", &format!("{MAIN}[site.x]\nuser = 'bin'\n"), 0o644)
        .file_with_mode("etc/sites.d/bin/bin.toml", MAIN, 0o644)
        .file_with_mode("etc/sites.d/4000000001/x.toml", &format!("{MAIN}[site.number]\n"), 0o644);
    std::fs::create_dir(host.path("etc/sites.d/sys")).unwrap();
    let of = |uid, user: Option<&str>| Caller { uid, gid: uid, user: user.map(str::to_owned), home: None, cwd: None };
    let daemon = of(1, Some("daemon"));
    for config in [host.load_for(&daemon, None).unwrap(), host.load_own(&daemon).unwrap()] {
        let sites: Vec<_> = config.sites.iter().map(|site| (site.name.as_str(), site.users.as_slice())).collect();
        assert_eq!(sites, [("host", &[1][..]), ("blog", &[1]), ("shop", &[1])]);
        let [greedy] = &config.skipped[..] else { panic!("{:?}", config.skipped) };
        assert!(
            greedy.why.ends_with("\"user\" in [site.x] may not be set in a user's directory of sites.d"),
            "{greedy}"
        );
    }
    let names = |caller: &Caller| {
        let config = host.load_for(caller, None).unwrap();
        let names: Vec<_> = config.sites.iter().map(|site| site.name.clone()).collect();
        names.join(" ")
    };
    assert_eq!(names(&of(2, Some("bin"))), "host bin");
    assert_eq!(names(&of(3, Some("sys"))), "host flat", "an empty directory says nothing");
    assert_eq!(names(&of(4_000_000_001, None)), "host number");
    assert_eq!(names(&of(4_000_000_002, Some("../sites.d/bin"))), "host flat");
    // Root sees them all, in the order of their paths.
    let config = host.load().unwrap();
    let all: Vec<_> = config.sites.iter().map(|site| (site.name.as_str(), site.users.first().copied())).collect();
    let bound = |name, uid| (name, Some(uid));
    assert_eq!(
        all,
        [
            bound("host", 1),
            bound("number", 4_000_000_001),
            bound("bin", 2),
            bound("blog", 1),
            bound("shop", 1),
            bound("flat", 1)
        ]
    );
}

#[test]
fn a_directory_that_its_user_can_write_is_nobodys() {
    if !nix::unistd::getuid().is_root() {
        return;
    }
    for (owner, mode) in [(Some(2), 0o755), (None, 0o775), (None, 0o757)] {
        let host = Host::new().file_with_mode("etc/config.toml", MAIN, 0o644).file_with_mode(
            "etc/sites.d/other/other.toml",
            &format!("{MAIN}[site.other]\n"),
            0o644,
        );
        let own = host.path("etc/sites.d/daemon");
        std::fs::create_dir(&own).unwrap();
        symlink("../other/other.toml", own.join("mine.toml")).unwrap();
        std::os::unix::fs::chown(&own, owner, None).unwrap();
        std::fs::set_permissions(&own, std::fs::Permissions::from_mode(mode)).unwrap();
        let config = host.load_for(&daemon("/"), None).unwrap();
        assert_eq!(config.sites.len(), 1, "the host's");
        assert_eq!(select(&config, &daemon("/"), None, &[]).unwrap_err().kind, crate::failure::Kind::NoPermission);
        let told = config.skipped[0].to_string();
        assert!(told.ends_with("/sites.d/daemon: skipped: others than root can write to it"), "{told}");
        assert!(config.skipped[0].next_step().unwrap().starts_with("sudo chown root "), "{told}");
    }
}

#[test]
fn directories_alone_are_a_system_configuration() {
    if !nix::unistd::getuid().is_root() {
        return;
    }
    let host = Host::new()
        .file_with_mode("etc/sites.d/bin/bin.toml", MAIN, 0o644)
        .variable("MAILCHUTE_URL", "smtps://env.example");
    let config = host.load_for(&daemon("/"), None).unwrap();
    assert!(config.sites.is_empty());
    let failure = select(&config, &daemon("/"), None, &[]).unwrap_err();
    assert!(failure.to_string().starts_with("uid 1 (daemon): has no site in "), "{failure}");
    assert!(failure.hint.unwrap().ends_with("one file belongs to another user"));
}
