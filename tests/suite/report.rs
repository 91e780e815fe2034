//! `mailchute report`: as text, as a page, and by mail.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

use testkit::{Host, Mailchute, Run, Server};

use crate::setup::mailchute;

const SHOP: u32 = 61042;
const OTHER: u32 = 61043;
const GROUP: u32 = 61050;
const USERS: [(&str, u32); 3] = [("shop", SHOP), ("other", OTHER), ("mailchute", GROUP)];
const PLACE: &str = "/var/log/mailchute";
const MAIN: &str = "/etc/mailchute/config.toml";
const PAGE: &str = "/var/lib/pages/mail.html";

/// Records of two users, now.
fn prepare(host: &Host<'_>, server: &Server) {
    fs::create_dir_all(PLACE).unwrap();
    fs::set_permissions(PLACE, Permissions::from_mode(0o1733)).unwrap();
    let record = |uid: u32, site: &str, number: u32, status: &str, code: u32, text: &str| {
        let time = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(i64::from(number));
        format!(
            "{{\"v\":1,\"time\":\"{time:.3}\",\"id\":\"5cc24c00aa{number:02}\",\"status\":\"{status}\",\"site\":\"{site}\",\
             \"uid\":{uid},\"relay\":\"main\",\"code\":{code},\"text\":\"{text}\",\"hint\":\"ask <them>\",\"ms\":12,\"exit\":0}}\n"
        )
    };
    let shop: String = (0..9).rev().map(|number| record(SHOP, "shop", number, "accepted", 250, "ok")).collect();
    host.write_as(&format!("{PLACE}/{SHOP}.log"), &shop, 0o640, (SHOP, SHOP));
    let other = record(OTHER, "other", 3, "refused", 550, "no such user <b>")
        + &record(OTHER, "other", 1, "spooled", 451, "later");
    host.write_as(&format!("{PLACE}/{OTHER}.log"), &other, 0o640, (OTHER, OTHER));
    let port = server.port();
    host.write(
        MAIN,
        &format!(
            "from = \"ops@web1.example\"\n[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\n[log]\nto = \"stderr\"\n"
        ),
        0o644,
    );
}

fn report(uid: u32, line: &str) -> Run {
    let call = mailchute().arg("report").line(line);
    if uid == 0 { call } else { call.uid(uid) }.run()
}

#[test]
fn root_sees_all_and_others_their_own() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        prepare(host, &server);
        let all = report(0, "");
        let text = &all.expect_status(0).stdout;
        assert!(text.starts_with("11 messages, "), "{}", all.report());
        assert!(text.contains("550 no such user <b> (main)") && text.contains("-> ask <them>"), "{}", all.report());
        let own = report(SHOP, "");
        assert!(own.stdout.starts_with("9 messages, ") && !own.stdout.contains("other"), "{}", own.report());
        let site = report(0, "--site other");
        assert!(site.stdout.starts_with("2 messages, "), "{}", site.report());
        let recent = report(0, "--since 90m");
        assert!(recent.stdout.starts_with("3 messages, "), "{}", recent.report());
        let none = report(SHOP, "--site other");
        assert_eq!(none.expect_status(0).stdout, "No message was recorded in this time.\n");
        report(0, "--since nonsense").expect_status(64);
        drop(server);
    });
}

#[test]
fn a_page_is_written_in_one_step_and_keeps_its_rights() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        prepare(host, &server);
        fs::create_dir_all("/var/lib/pages").unwrap();
        report(0, &format!("--output {PAGE}")).expect_status(0);
        let page = fs::read_to_string(PAGE).unwrap();
        assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"));
        assert!(page.contains("550 no such user &lt;b&gt; (main)") && !page.contains("<b>"), "{page}");
        assert_eq!(fs::metadata(PAGE).unwrap().permissions().mode() & 0o777, 0o640);
        fs::set_permissions(PAGE, Permissions::from_mode(0o604)).unwrap();
        report(0, &format!("--output {PAGE}")).expect_status(0);
        assert_eq!(fs::metadata(PAGE).unwrap().permissions().mode() & 0o777, 0o604);
        assert_eq!(fs::read_dir("/var/lib/pages").unwrap().count(), 1, "nothing is left behind");
        assert_eq!(report(0, "--output -").stdout.len(), page.len());
        // A link is replaced, not followed.
        fs::write("/var/lib/precious", "precious").unwrap();
        fs::remove_file(PAGE).unwrap();
        symlink("/var/lib/precious", PAGE).unwrap();
        report(0, &format!("--output {PAGE}")).expect_status(0);
        assert_eq!(fs::read_to_string("/var/lib/precious").unwrap(), "precious");
        // Nor does a file that somebody else has laid there say who reads and writes it.
        fs::remove_file(PAGE).unwrap();
        host.write_as(PAGE, "", 0o666, (SHOP, SHOP));
        report(0, &format!("--output {PAGE}")).expect_status(0);
        let found = fs::metadata(PAGE).unwrap();
        assert_eq!((found.uid(), found.permissions().mode() & 0o777), (0, 0o640));
        report(0, "--output /nowhere/page.html")
            .expect_status(73)
            .expect_stderr("mailchute: /nowhere/page.html: cannot be written: *");
        drop(server);
    });
}

#[test]
fn with_a_group_of_its_own_it_writes_no_file_for_its_caller() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        prepare(host, &server);
        let binary = host.set_group_id(env!("CARGO_BIN_EXE_mailchute"), GROUP);
        fs::create_dir_all("/var/lib/pages").unwrap();
        chown("/var/lib/pages", Some(0), Some(GROUP)).unwrap();
        fs::set_permissions("/var/lib/pages", Permissions::from_mode(0o2775)).unwrap();
        let call = |line: &str| Mailchute::new(&binary).uid(SHOP).arg("report").line(line).run();
        call(&format!("--output {PAGE}")).expect_status(77);
        assert_eq!(fs::read_dir("/var/lib/pages").unwrap().count(), 0);
        assert!(call("--output -").expect_status(0).stdout.contains("<h1 "));
        drop(server);
    });
}

#[test]
fn by_mail_it_is_text_and_a_page() {
    Host::run(&USERS, |host| {
        let server = Server::new().start();
        prepare(host, &server);
        report(0, "--to ann@example.net --to bob@example.net").expect_status(0);
        let sessions = server.finish();
        let delivery = &sessions[0].deliveries[0];
        let paths: Vec<&str> = delivery.recipients.iter().map(|one| one.path.as_str()).collect();
        assert_eq!(paths, ["ann@example.net", "bob@example.net"]);
        let text = delivery.text();
        for part in [
            "From: ops@web1.example",
            "Auto-Submitted: auto-generated",
            "multipart/alternative",
            "text/plain",
            "text/html",
            ": 9 accepted, 1 not, 1 waiting",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    });
}
