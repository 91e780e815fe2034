//! The loopback server of `quickstart.sh`: TLS from the first octet, AUTH, and a mailbox that is a
//! directory. Takes the directory, prints its port, and serves until it is killed.
//!
//! Everything is accepted except mail for `nobody@...`, who does not exist.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::thread;

use testkit::{Certs, Moment, Server, TlsStart};

fn main() -> io::Result<()> {
    let usage = || io::Error::other("usage: quickstart-server DIRECTORY");
    let directory = PathBuf::from(std::env::args_os().nth(1).ok_or_else(usage)?);
    Certs::shared().write_authority_to(&directory.join("ca.pem"))?;

    let mailbox = directory.clone();
    let server = Server::new()
        .tls(TlsStart::Implicit)
        .login("shop@example.org", "correct horse battery staple", &["PLAIN", "SCRAM-SHA-256", "LOGIN"])
        .reply(Moment::RcptOf("nobody@example.net".to_owned()), "550 5.1.1 no such user here")
        .on_delivery(move |session, delivery| {
            let login = session.login.as_ref().map_or("nobody", |(_, user)| user);
            let envelope = format!(
                "TLS: {}\nlogged in as: {login}\nMAIL FROM:<{}>\nRCPT TO:<{}>\n",
                if session.tls { "yes" } else { "no" },
                delivery.reverse_path,
                delivery.forward_paths().join(">\nRCPT TO:<"),
            );
            let written = fs::write(mailbox.join("arrived.envelope"), envelope)
                .and_then(|()| fs::write(mailbox.join("arrived.eml"), &delivery.octets));
            if let Err(error) = written {
                let _ = writeln!(io::stderr(), "{}: {error}", mailbox.display());
            }
        })
        .start();

    let mut stdout = io::stdout();
    writeln!(stdout, "{}", server.port())?;
    stdout.flush()?;
    loop {
        thread::park();
    }
}
