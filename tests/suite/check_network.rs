//! `mailchute check` where the ports of mail are closed on the way, in a network of the test's own: that is told apart from
//! a server that is down, and what is said mends it.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrIn, bind, listen, setsockopt, socket, sockopt,
};
use serde_json::Value;
use std::os::fd::{AsRawFd as _, OwnedFd};
use testkit::{Answer, Certs, Host, Identity, Web};

use crate::check::{findings, with_code};
use crate::setup::mailchute;

const SHOP: (&str, u32) = ("shop", 61042);
const MAIN: &str = "/etc/mailchute/config.toml";
const SERVER: &str = "HTTP/1.1 200 OK\nContent-Type: application/json\n\n{\"ID\":1,\"Name\":\"shop\"}";

/// A site that sends through Postmark, whose names are at `address`, with a line more.
fn lay(host: &Host<'_>, address: &str, line: &str) {
    host.write(
        "/etc/hosts",
        &format!("127.0.0.1 localhost api.postmarkapp.com\n{address} smtp.postmarkapp.com\n"),
        0o644,
    );
    host.write("/etc/ssl/certs/ca-certificates.crt", Certs::shared().authority_pem(), 0o644);
    let text = format!(
        "[relay.main]\nprovider = \"postmark\"\ntoken = \"12345678-1234-1234-1234-123456789012\"\nconnect_timeout = \"2s\"\n{line}\n\
         [site.shop]\nuser = \"shop\"\nfrom = \"orders@shop.example\"\n"
    );
    host.write(MAIN, &text, 0o644);
}

fn found() -> (Vec<Value>, String) {
    let run = mailchute().args(["check", "--json", "--dns", "127.0.0.1:9"]).run();
    (findings(&run), run.report())
}

/// A port at which nobody answers, as where packets are dropped: its queue is full.
fn silent(port: u16) -> (OwnedFd, Vec<TcpStream>) {
    let listener = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
    setsockopt(&listener, sockopt::ReuseAddr, &true).unwrap();
    bind(listener.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)).unwrap();
    listen(&listener, Backlog::new(0).unwrap()).unwrap();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let full = TcpStream::connect(address).unwrap();
    (listener, vec![full])
}

#[test]
fn closed_ports_of_mail_are_told_and_what_is_said_mends_it() {
    Host::run(&[SHOP], |host| {
        if !host.leave_network() {
            return;
        }
        // Nobody answers anywhere: that is no port of mail's.
        lay(host, "127.0.0.1", "");
        let (all, report) = found();
        assert!(with_code(&all, "relay.blocked").is_empty(), "{report}");
        assert_eq!(with_code(&all, "relay.unreachable").len(), 1, "{report}");

        let web = Web::start_at(443, Some(Identity::Named), |_| Answer::text(SERVER));
        let api = "via = \"api\" in [relay.main]";
        // Refused, no way there, dropped.
        for (address, dropped) in [("127.0.0.1", None), ("192.0.2.1", None), ("127.0.0.1", Some(587))] {
            let _silent = dropped.map(silent);
            lay(host, address, "");
            let (all, report) = found();
            let blocked = with_code(&all, "relay.blocked");
            assert_eq!(blocked.len(), 1, "{address} {dropped:?}\n{report}");
            assert_eq!(blocked[0]["next"]["do"], api, "{report}");
            assert!(with_code(&all, "relay.unreachable").is_empty(), "{report}");
            lay(host, address, "via = \"api\"");
            let (all, report) = found();
            let of_relay = |one: &&Value| one["code"].as_str().unwrap().starts_with("relay.");
            assert!(all.iter().filter(of_relay).count() == 0, "{report}");
        }
        // Another port of the same server is nearer.
        let open = TcpListener::bind((Ipv4Addr::LOCALHOST, 2525)).unwrap();
        lay(host, "127.0.0.1", "");
        let (all, report) = found();
        let next: Vec<&Value> = with_code(&all, "relay.blocked").into_iter().map(|one| &one["next"]["do"]).collect();
        assert_eq!(next, ["port = 2525 in [relay.main]"], "{report}");
        lay(host, "127.0.0.1", "port = 2525");
        assert!(with_code(&found().0, "relay.blocked").is_empty());
        drop(open);
        // No port of mail's: then nothing is known of the way.
        lay(host, "127.0.0.1", "port = 10587");
        let (all, report) = found();
        assert!(with_code(&all, "relay.blocked").is_empty(), "{report}");
        let asked = web.finish();
        assert!(asked.iter().all(|asked| asked.target == "/server" && asked.body.is_empty()), "{asked:?}");
        assert_eq!(asked.len(), 3, "once for each time that it was chosen");
    });
}
