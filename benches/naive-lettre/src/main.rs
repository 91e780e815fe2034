//! What a programmer writes in ten minutes with lettre: the yardstick of mailchute's benchmark.
//!
//! `naive-lettre HOST PORT implicit|starttls USER PASSWORD FROM TO...`, the message on standard input.
//! Trust comes from the system's store, so `SSL_CERT_FILE` names the bundle.

use std::error::Error;
use std::io::{Read, stdin};

use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::{SmtpTransport, Transport};

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [host, port, tls, user, password, from, to @ ..] = args.as_slice() else {
        return Err("usage: naive-lettre HOST PORT implicit|starttls USER PASSWORD FROM TO...".into());
    };
    let mut message = Vec::new();
    stdin().read_to_end(&mut message)?;
    let to = to.iter().map(|address| address.parse()).collect::<Result<_, _>>()?;
    let envelope = Envelope::new(Some(from.parse()?), to)?;
    let builder = if tls == "starttls" { SmtpTransport::starttls_relay(host)? } else { SmtpTransport::relay(host)? };
    let transport = builder
        .port(port.parse()?)
        .credentials(Credentials::new(user.clone(), password.clone()))
        .authentication(vec![Mechanism::Plain])
        .build();
    transport.send_raw(&envelope, &message)?;
    Ok(())
}
