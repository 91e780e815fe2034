//! Amazon SES as moto plays it: an implementation of the service that is not ours.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use testkit::{PATIENCE, Run, Scratch, apart, need};

use crate::setup::{data, mailchute};

/// The service, ended on drop.
struct Moto {
    child: Child,
    port: u16,
}

impl Moto {
    fn start() -> Option<Self> {
        let program = need("moto_server")?;
        let mut command = apart(program);
        command.args(["-H", "127.0.0.1", "-p", "0"]).env("PYTHONUNBUFFERED", "1");
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("moto_server starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let says_port = |line: &str| line.split("http://127.0.0.1:").nth(1)?.trim_end_matches('/').parse().ok();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| says_port(&line));
        // It goes on writing there.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Some(Self { child, port: port.expect("moto_server says where it listens") })
    }

    /// Makes an identity that mail may be sent from.
    fn verify(&self, identity: &str) {
        let body = format!("{{\"EmailIdentity\":\"{identity}\"}}");
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = "Host: email.us-east-1.amazonaws.com\r\nContent-Type: application/json\r\nConnection: close\r\n\
                    Authorization: AWS4-HMAC-SHA256 Credential=x/20261102/us-east-1/ses/aws4_request\r\n";
        let length = body.len();
        write!(stream, "POST /v2/email/identities HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// Sends the canonical message to these recipients beside its own.
    fn send(&self, recipients: &[String]) -> Run {
        let scratch = Scratch::new();
        let config = format!(
            "[relay.main]\nprovider = \"ses\"\nvia = \"api\"\nregion = \"us-east-1\"\nendpoint = \"http://127.0.0.1:{}\"\naccess_key_id = \"x\"\n\
             secret_access_key = \"x-secret\"\ntags = {{ kind = \"test\" }}\n",
            self.port
        );
        let call = mailchute().config(&scratch.write("config.toml", config, 0o644)).args(["-i", "-t"]);
        let message = std::fs::read(data("providers").join("canonical.eml")).unwrap();
        call.args(recipients.iter()).stdin(message).run()
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn ses_takes_the_message_of_a_verified_sender_only() {
    let Some(moto) = Moto::start() else { return };
    // It loads what it needs with the first request, which may take longer than a relay is given.
    moto.verify("example.net");
    let run = moto.send(&[]);
    run.expect_status(150);
    run.expect_stderr("mailchute: sender@example.com: 550 5.7.1 *");
    moto.verify("example.com");
    moto.send(&[]).expect_status(0);
    // Keys that it lends for a web identity sign as well.
    let scratch = Scratch::new();
    let here = format!("http://127.0.0.1:{}", moto.port);
    let config =
        format!("[relay.main]\nprovider = \"ses\"\nvia = \"api\"\nregion = \"us-east-1\"\nendpoint = \"{here}\"\n");
    let call = mailchute().config(&scratch.write("config.toml", config, 0o644)).args(["-i", "-t"]);
    let call = call.env("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/mail").env("AWS_ENDPOINT_URL_STS", &here);
    let call = call.env("AWS_WEB_IDENTITY_TOKEN_FILE", scratch.write("token", "an.identity.token", 0o600));
    call.stdin(std::fs::read(data("providers").join("canonical.eml")).unwrap()).run().expect_status(0);
    let many: Vec<String> = (0..60).map(|number| format!("user{number}@example.net")).collect();
    moto.send(&many).expect_status(150);
}
