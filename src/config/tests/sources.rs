//! Which source counts, file modes, and the files of `sites.d`.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use super::Host;
use crate::caller::Caller;
use crate::config::{DefaultSite, LogTarget, Origin};
use crate::failure::Kind;
use crate::plan::site::select;

const RELAY: &str = "[relay.main]\nhost = 'mx.example'\n";

fn names(host: &Host) -> Vec<String> {
    host.load().unwrap().sites.into_iter().map(|site| site.name).collect()
}

#[test]
fn the_first_source_that_exists_counts_alone() {
    let mut host = Host::new()
        .file("other.toml", RELAY)
        .file("etc/config.toml", RELAY)
        .file("home/.config/mailchute/config.toml", RELAY)
        .variable("MAILCHUTE_URL", "smtps://env.example");
    let option = host.path("option.toml");
    std::fs::copy(host.path("other.toml"), &option).unwrap();
    let caller = host.caller();
    host.variables.push(("MAILCHUTE_CONFIG", host.path("other.toml").display().to_string()));

    let origin = |host: &Host, option: Option<&Path>| host.load_for(&caller, option).unwrap().origin;
    assert_eq!(origin(&host, Some(&option)), Origin::File(option.clone()));
    assert_eq!(origin(&host, None), Origin::File(host.path("other.toml")));
    host.variables.pop();
    let config = host.load().unwrap();
    assert_eq!(config.origin, Origin::File(host.path("etc/config.toml")));
    let passed: Vec<_> = config.passed_over.iter().map(|p| p.place.as_str()).collect();
    assert_eq!(passed, [host.path("home/.config/mailchute/config.toml").to_str().unwrap(), "MAILCHUTE_URL"]);
    std::fs::remove_file(host.path("etc/config.toml")).unwrap();
    assert_eq!(origin(&host, None), Origin::File(host.path("home/.config/mailchute/config.toml")));
    std::fs::remove_file(host.path("home/.config/mailchute/config.toml")).unwrap();
    assert_eq!(origin(&host, None), Origin::Environment("MAILCHUTE_URL"));
    host.variables.pop();
    let failure = host.load().unwrap_err();
    assert_eq!(failure.kind, Kind::Configuration);
    assert!(failure.why.contains("etc/config.toml (does not exist)"), "{failure}");
    assert!(failure.hint.unwrap().contains("MAILCHUTE_URL"));
}

#[test]
fn a_broken_variable_stops_nobody_who_has_a_file() {
    let host = Host::new().variable("MAILER_DSN", "sweego+smtp://u:p@default");
    assert_eq!(host.load().unwrap_err().what, "MAILER_DSN");
    let config = host.file("etc/config.toml", RELAY).load().unwrap();
    assert!(config.passed_over.iter().any(|p| p.place == "MAILER_DSN"));
}

#[test]
fn a_file_that_was_asked_for_has_to_exist() {
    let host = Host::new().file("etc/config.toml", RELAY);
    let failure = host.load_for(&host.caller(), Some(Path::new("/nonexistent.toml"))).unwrap_err();
    assert_eq!(failure.to_string(), "/nonexistent.toml: no such file");
    assert_eq!(failure.kind, Kind::Configuration);
}

#[test]
fn another_users_file_in_the_home_does_not_count() {
    let host = Host::new().file("home/.config/mailchute/config.toml", RELAY);
    let caller = Caller { uid: 3_999_999_999, user: None, ..host.caller() };
    let failure = host.load_for(&caller, None).unwrap_err();
    assert!(failure.why.contains("is not owned by uid 3999999999"), "{failure}");
}

#[test]
fn modes_decide_who_may_have_written_it() {
    let secret = "[relay.main]\nprovider = 'resend'\napi_key = 'k'\n";
    let at = |mode, toml: &str| Host::new().file_with_mode("etc/config.toml", toml, mode).load();
    assert_eq!(at(0o666, RELAY).unwrap_err().kind, Kind::NoPermission);
    assert_eq!(at(0o644, RELAY).unwrap().warnings, Vec::<String>::new());
    assert_eq!(at(0o640, secret).unwrap().warnings, Vec::<String>::new());
    assert!(at(0o644, secret).unwrap().warnings[0].contains("world-readable, and a secret is inside"));
    assert!(at(0o664, RELAY).unwrap().warnings[0].contains("group-writable"));
    let strict = format!("strict_modes = true\n{secret}");
    let failure = at(0o644, &strict).unwrap_err();
    assert_eq!(failure.kind, Kind::NoPermission);
    assert!(failure.hint.unwrap().starts_with("sudo chmod o=,g-w "));
}

#[test]
fn one_site_cannot_stop_the_others() {
    let host = Host::new()
        .file("etc/config.toml", "domain = 'host.example'\n[alias]\nroot = 'host@host.example'\n")
        .file("etc/sites.d/a.toml", RELAY)
        .file("etc/sites.d/b.toml", "[relay.main]\nhost = 1\n")
        .file(
            "etc/sites.d/c.toml",
            "[relay.c]\nhost = 'c.example'\n[site.shop]\nrelay = 'c'\n[alias]\nroot = 'c@c.example'\n",
        )
        .file("etc/sites.d/d.toml", &format!("{RELAY}[site.shop]\n"))
        .file_with_mode("etc/sites.d/e.toml", RELAY, 0o602)
        .file("etc/sites.d/f.toml", "[relay.f]\nhost = 'f.example'\n[site.f]\nrelay = 'main'\n")
        .file("etc/sites.d/.hidden.toml", "x")
        .file("etc/sites.d/g.toml~", "x");
    assert_eq!(names(&host), ["a", "shop"]);
    let config = host.load().unwrap();
    let whys: Vec<_> =
        config.skipped.iter().map(|s| (s.file.file_name().unwrap().to_str().unwrap(), s.why.as_str())).collect();
    assert_eq!(whys.iter().map(|(file, _)| *file).collect::<Vec<_>>(), ["b.toml", "d.toml", "e.toml", "f.toml"]);
    assert!(
        whys[0].1.ends_with("sites.d/b.toml:2: \"host\" in [relay.main] must be a string, not a number"),
        "{}",
        whys[0].1
    );
    assert!(whys[1].1.ends_with("sites.d/c.toml defines already"), "{}", whys[1].1);
    assert!(whys[2].1.starts_with("is world-writable"));
    assert!(whys[3].1.contains("names \"main\", which this file does not define"));
    let shop = config.site("shop").unwrap();
    assert_eq!(shop.alias.get("root").unwrap(), ["c@c.example"]);
    assert_eq!(shop.domain.as_deref(), Some("host.example"));
    assert!(config.site("a").unwrap().alias.is_empty(), "aliases belong to their file");
}

/// What the sites of a file with `count` sites, relays, aliases and senders keep in memory together: relays, entries of
/// routes, senders and own aliases, and tables of shared ones.
fn held(count: usize) -> [usize; 5] {
    let all = 0..count;
    let senders = all.clone().map(|n| format!("'*@s{n}.example', ")).collect::<String>();
    let relays = all.clone().map(|n| format!("[relay.r{n}]\nhost = 'r{n}.example'\n")).collect::<String>();
    let sites = all.clone().map(|n| match n % 2 {
        0 => format!("[site.s{n}]\n"),
        _ => format!("[site.s{n}]\nrelay = ['r1', 'r{n}', 'r1']\nalias.a{n} = 'o@x.example'\nsender = '*@o.example'\n"),
    });
    let aliases = all.map(|n| format!("a{n} = 'a@x.example'\n")).collect::<String>();
    let sites = sites.collect::<String>();
    let text = format!("strict_modes = true\nsender = [{senders}]\n{relays}{sites}[alias]\n{aliases}");
    let config = Host::new().file("etc/config.toml", &text).load().unwrap();
    assert_eq!(config.sites.len(), count);
    assert!(config.sites.iter().flat_map(|site| &*site.relays).all(|relay| relay.strict_modes));
    let relays: HashSet<_> = config.sites.iter().flat_map(|site| &*site.relays).map(Arc::as_ptr).collect();
    let routes: HashMap<_, _> = config.sites.iter().map(|site| (site.relays.as_ptr(), site.relays.len())).collect();
    let senders: HashMap<_, _> = config.sites.iter().map(|site| (site.sender.as_ptr(), site.sender.len())).collect();
    let aliases: Vec<_> = config.sites.iter().map(|site| site.alias.held()).collect();
    [
        relays.len(),
        routes.values().sum(),
        senders.values().sum(),
        aliases.iter().map(|(own, _)| own).sum(),
        aliases.iter().map(|(_, shared)| shared).collect::<HashSet<_>>().len(),
    ]
}

#[test]
fn sites_share_what_they_take_from_their_file() {
    // The first site of the odd ones names one relay, the others two.
    assert_eq!(held(20), [20, 20 + 19, 20 + 10, 10, 1]);
    assert_eq!(held(40), [40, 40 + 39, 40 + 20, 20, 1]);
}

#[test]
fn strict_modes_of_the_main_file_counts_for_every_file() {
    for (main, own, strict) in [("true", "false", true), ("false", "true", false)] {
        let host = Host::new()
            .file("etc/config.toml", &format!("strict_modes = {main}\n{RELAY}"))
            .file("etc/sites.d/a.toml", &format!("strict_modes = {own}\n{RELAY}"));
        // Only root's files may say so; the test may run as somebody else.
        if nix::unistd::getuid().is_root() {
            let sites = host.load().unwrap().sites;
            assert_eq!(sites.len(), 2);
            assert!(sites.iter().all(|site| site.relays[0].strict_modes == strict), "{main} {own}");
        }
    }
}

#[test]
fn sites_alone_are_a_system_configuration() {
    let host = Host::new().file("etc/sites.d/shop.toml", RELAY).variable("MAILCHUTE_URL", "smtps://env.example");
    assert_eq!(names(&host), ["shop"]);
}

#[test]
fn log_targets_belong_to_the_file_that_names_them() {
    let host = Host::new()
        .file("etc/config.toml", &format!("{RELAY}[log]\nto = ['journal', '/var/log/{{user}}.log']\n"))
        .file("etc/sites.d/a.toml", &format!("{RELAY}[log]\nto = 'stderr'\n"))
        .file("etc/sites.d/b.toml", RELAY);
    // Only root's files may say so; the test may run as somebody else.
    if nix::unistd::getuid().is_root() {
        let config = host.load().unwrap();
        let main = [LogTarget::Journal, LogTarget::File("/var/log/{user}.log".into())];
        assert_eq!(config.log(None), main);
        assert_eq!(config.log(config.site("a")), [LogTarget::Stderr]);
        assert_eq!(config.log(config.site("b")), main);
    }
}

#[test]
fn files_of_other_owners_bind_or_are_skipped() {
    if !nix::unistd::getuid().is_root() {
        return;
    }
    let host = Host::new()
        .file("etc/config.toml", RELAY)
        .file_with_mode("etc/sites.d/bound.toml", RELAY, 0o644)
        .file_with_mode("etc/sites.d/greedy.toml", &format!("{RELAY}[site.greedy]\nuser = 0\n"), 0o644)
        .file_with_mode("etc/sites.d/logs.toml", &format!("{RELAY}[log]\nto = '/etc/passwd'\n"), 0o644);
    for name in ["bound", "greedy", "logs"] {
        let file = host.path(&format!("etc/sites.d/{name}.toml"));
        std::os::unix::fs::chown(&file, Some(1042), None).unwrap();
    }
    std::os::unix::fs::chown(host.dir.path(), Some(1042), None).unwrap();
    std::fs::set_permissions(host.path("etc/config.toml"), std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .unwrap();

    let owner = Caller { uid: 1042, user: None, ..host.caller() };
    let config = host.load_for(&owner, None).unwrap();
    assert_eq!(config.site("bound").unwrap().users, [1042]);
    assert_eq!(select(&config, &owner, None, &[]).unwrap().site.name, "bound");
    let whys: Vec<_> = config.skipped.iter().map(|s| s.why.as_str()).collect();
    assert!(whys[0].contains("\"user\" in [site.greedy] may not be set"), "{whys:?}");
    assert!(whys[1].contains("\"log\" may not be set"), "{whys:?}");

    let config = host.load().unwrap();
    assert!(config.skipped.iter().all(|s| s.why.contains("neither root nor the caller")), "root follows nobody's file");
    assert_eq!(config.default_site, DefaultSite::Refuse);
    assert!(
        select(&config, &host.caller(), None, &[]).unwrap_err().hint.unwrap().contains("3 files belong to other users")
    );
}
