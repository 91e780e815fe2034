//! What `mailchute check` finds that no other test has it find, so that every code on the list is known to be found; `law`
//! holds the list to that.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::thread;

use testkit::{Host, Identity, Mailchute, Port, Server, TlsStart, Web};

use crate::check::{findings, with_code};
use crate::setup::mailchute;

const SHOP: u32 = 61042;
const BLOG: u32 = 61043;
const USERS: [(&str, u32); 2] = [("shop", SHOP), ("blog", BLOG)];
const MAIN: &str = "/etc/mailchute/config.toml";
const SECRET: &str = "/etc/mailchute/secrets/main";
const RELAY: &str = "host = \"mail.example.net\"\n";

/// A site of the user shop, with a secret that its group reads.
fn lay(host: &Host<'_>, relay: &str, site: &str, more: &str) {
    let text =
        format!("[relay.main]\n{relay}[site.shop]\nuser = \"shop\"\nfrom = \"orders@shop.example\"\n{site}\n{more}\n");
    host.write(MAIN, &text, 0o644);
    host.write_as(SECRET, "Kx7-quite-2026\n", 0o640, (0, SHOP));
}

/// The finding with this code is there, is left out where that is asked for, and says what is given.
fn expect(call: &dyn Fn() -> Mailchute, code: &str, says: &str) {
    let run = call().args(["check", "--json", "--dns", "127.0.0.1:9"]).run();
    let all = findings(&run);
    let found = with_code(&all, code);
    assert!(!found.is_empty(), "no {code}\n{}", run.report());
    assert!(found.iter().any(|one| one.to_string().contains(says)), "{says}\n{}", run.report());
    let without = call().args(["check", "--json", "--dns", "127.0.0.1:9", "--ignore", code]).run();
    assert!(with_code(&findings(&without), code).is_empty(), "{}", without.report());
}

fn root() -> Mailchute {
    mailchute()
}

/// A server at another address of this host, at this port, that says hello and goodbye.
fn greets(port: u16) {
    let listener = TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), port)).unwrap();
    // It ends with the process.
    thread::spawn(move || {
        for stream in listener.incoming().filter_map(Result::ok) {
            let mut answers = &stream;
            let _ = answers.write_all(b"220 mail.test\r\n");
            for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                let answer: &[u8] = if line.starts_with("QUIT") { b"221 2.0.0 x\r\n" } else { b"250 mail.test\r\n" };
                let _ = answers.write_all(answer);
            }
        }
    });
}

#[test]
fn relays_that_are_found_wanting() {
    Host::run(&USERS, |host| {
        lay(host, RELAY, "", "");
        expect(&root, "relay.no-host", "mail.example.net");
        // The address that is tried first answers nobody.
        let nobody = Port::reserve();
        greets(nobody.number());
        host.write("/etc/host.conf", "multi on\n", 0o644);
        host.write("/etc/hosts", "127.0.0.1 localhost\n127.0.0.1 mail.test\n127.0.0.2 mail.test\n", 0o644);
        lay(host, &format!("host = \"mail.test\"\nport = {}\ntls = \"none\"\n", nobody.number()), "", "");
        expect(&root, "relay.no-tls", "in clear");
        expect(&root, "relay.address", "127.0.0.1");
        let ending = Server::new().tls(TlsStart::Implicit).identity(Identity::Ending).start();
        lay(host, &ending.relay_lines(host.scratch()), "", "");
        expect(&root, "relay.certificate", "ends on");
        ending.finish();
        lay(host, &format!("{RELAY}username = \"shop\"\npassword = {{ file = \"{SECRET}\" }}\n"), "", "");
        fs::remove_file(SECRET).unwrap();
        expect(&root, "relay.settings", SECRET);
        let web = Web::saying("HTTP/1.1 200 OK\nContent-Type: application/json\n\n{\"scopes\":[\"stats.read\"]}");
        let api = format!(
            "provider = \"sendgrid\"\nvia = \"api\"\nendpoint = \"http://127.0.0.1:{}\"\napi_key = \"SG.x\"\n",
            web.port()
        );
        lay(host, &api, "", "");
        expect(&root, "login.limited", "Mail Send");
        web.finish();
    });
}

#[test]
fn what_a_user_lacks() {
    Host::run(&USERS, |host| {
        lay(host, "provider = \"outlook\"\nusername = \"shop@shop.example\"\nclient_id = \"app\"\n", "", "");
        expect(&root, "login.missing", "mailchute login");
        // Another site's user is of the group.
        let secret = format!("{RELAY}username = \"shop\"\npassword = {{ file = \"{SECRET}\" }}\n");
        let other = format!(
            "[relay.other]\n{RELAY}[site.blog]\nuser = \"blog\"\nrelay = \"other\"\nfrom = \"a@blog.example\"\n"
        );
        lay(host, &secret, "relay = \"main\"", &other);
        host.write("/etc/group", &format!("root:x:0:\nshop:x:{SHOP}:blog\nblog:x:{BLOG}:\n"), 0o644);
        expect(&root, "secret.shared", "blog");
        // A site for everybody, without an alias.
        host.write(MAIN, &format!("from = \"a@shop.example\"\n[relay.main]\n{RELAY}"), 0o644);
        expect(&root, "alias.none", "root");
        // No home, and no place for all.
        host.write("/etc/passwd", &format!("root:x:0:0::/root:/bin/sh\nblog:x:{BLOG}:{BLOG}::/:/bin/sh\n"), 0o644);
        let _ = fs::remove_dir_all("/var/spool/mailchute");
        host.write(
            MAIN,
            &format!("from = \"a@shop.example\"\non_relay_failure = \"spool\"\n[relay.main]\n{RELAY}"),
            0o644,
        );
        expect(&|| mailchute().uid(77_777), "spool.no-place", "wait");
    });
}

/// A pool of PHP-FPM.
fn pool(host: &Host<'_>, name: &str, lines: &str) {
    host.write("/etc/php/8.2/fpm/php-fpm.conf", "include=/etc/php/8.2/fpm/pool.d/*.conf\n", 0o644);
    host.write(&format!("/etc/php/8.2/fpm/pool.d/{name}.conf"), &format!("[{name}]\nuser = {name}\n{lines}\n"), 0o644);
}

#[test]
fn what_php_is_kept_from() {
    Host::run(&USERS, |host| {
        pool(host, "shop", "");
        let by_environment = || mailchute().env("MAILCHUTE_URL", "smtps://shop:x@mail.example.net");
        expect(&by_environment, "php.clear-env", "clear_env = no");
        let by_stderr = || by_environment().env("MAILCHUTE_LOG", "stderr");
        expect(&by_stderr, "php.output-lost", "catch_workers_output = yes");
        pool(host, "shop", "env[MAILCHUTE_URL] = $MAILCHUTE_URL\ncatch_workers_output = yes");
        let run = by_stderr().args(["check", "--offline", "--json"]).run();
        assert!(!run.stdout.contains("php.clear-env") && !run.stdout.contains("php.output-lost"), "{}", run.report());
        pool(host, "shop", "");
        lay(host, RELAY, "on_relay_failure = \"spool\"", "");
        let unit = "/etc/systemd/system/php8.2-fpm.service";
        let sandbox =
            |line: &str| host.write(unit, &format!("[Service]\nExecStart=/usr/sbin/php-fpm8.2\n{line}\n"), 0o644);
        sandbox("ProtectSystem=strict");
        expect(&root, "unit.read-only", "ReadWritePaths=/var/spool/mailchute");
        sandbox("NoNewPrivileges=yes");
        let binary = host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), BLOG);
        let set_group_id = || Mailchute::new(Path::new(&binary));
        expect(&set_group_id, "unit.privileges", "NoNewPrivileges=no");
    });
}

#[test]
fn of_many_users_some_are_looked_at() {
    let names: Vec<(String, u32)> = (0..12).map(|number| (format!("u{number}"), 61050 + number)).collect();
    let users: Vec<(&str, u32)> = names.iter().map(|(name, uid)| (name.as_str(), *uid)).collect();
    Host::run(&users, |host| {
        host.write(MAIN, &format!("from = \"a@shop.example\"\n[relay.main]\n{RELAY}"), 0o644);
        for (name, _) in &names {
            pool(host, name, "");
        }
        expect(&root, "config.not-looked-at", "4 more");
    });
}
