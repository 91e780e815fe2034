//! The authorization server that Authlib is: a login by each way, and tokens that follow each other.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};

use testkit::{Host, Mailchute, PATIENCE, apart, need};

use crate::setup::{MESSAGE, mailchute};

const SHOP: u32 = 61042;
const TOKENS: &str = "/var/lib/mailchute/tokens/61042";

/// The server, ended on drop.
struct Authlib {
    child: Child,
    port: u16,
}

impl Authlib {
    fn start() -> Option<Self> {
        let python = need("oracles-python")?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/authlib/server.py");
        let mut command = apart(python);
        command.arg("-B").arg(script).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("python starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("a line");
        Some(Self { child, port: line.trim().parse().expect("the server says its port") })
    }

    /// What a browser gets at `target`.
    fn get(&self, target: &str) -> String {
        get(&format!("127.0.0.1:{}", self.port), target)
    }
}

impl Drop for Authlib {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(place: &str, target: &str) -> String {
    let mut stream = TcpStream::connect(place).unwrap_or_else(|error| panic!("{place}: {error}"));
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {target} HTTP/1.1\r\nHost: {place}\r\nConnection: close\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

/// The line of `output` that holds `mark`, once it is complete.
fn line(output: &str, mark: &str) -> Option<String> {
    let complete = &output[..output.rfind('\n')?];
    complete.lines().find(|line| line.contains(mark)).map(|line| line.trim().to_owned())
}

fn send() -> Mailchute {
    mailchute().uid(SHOP).args(["-i", "bob@example.net"]).stdin(MESSAGE)
}

/// Ends every access token that is kept, as far as we know.
fn age() {
    for file in fs::read_dir(TOKENS).unwrap().map(|file| file.unwrap().path()) {
        if file.extension().is_some_and(|extension| extension == "json") {
            let mut tokens: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
            tokens["access"][0]["until"] = 1_000_000_000.into();
            fs::write(&file, tokens.to_string()).unwrap();
        }
    }
}

#[test]
fn every_login_is_one_that_sends_and_is_renewed() {
    Host::run(&[("shop", SHOP)], |host| {
        let Some(server) = Authlib::start() else { return };
        let url = format!("http://127.0.0.1:{}", server.port);
        let config = format!(
            "[relay.main]\nprovider = \"outlook\"\nvia = \"api\"\nendpoint = \"{url}\"\nclient_id = \"app\"\n\
             token_endpoint = \"{url}/token\"\nauthorization_endpoint = \"{url}/authorize\"\n\
             device_authorization_endpoint = \"{url}/device\"\n[log]\nto = [\"/run/log\"]\n"
        );
        host.write_as("/run/log", "", 0o660, (0, SHOP));
        host.write_as("/etc/mailchute/config.toml", &config, 0o640, (0, SHOP));
        send().run().expect_status(78);
        let login = |way: &str| mailchute().args(["login", way, "--as", "shop"]);

        let mut device = login("--device").spawn();
        let address = device.wait_for(|output| line(output, "user_code="));
        assert!(server.get(address.split_once(&url).expect("an address").1).ends_with("agreed"), "{address}");
        device.finish().expect_status(0);
        send().run().expect_status(0);

        let mut browser = login("--browser").spawn();
        let address = browser.wait_for(|output| line(output, "/authorize?"));
        let redirect = server.get(address.strip_prefix(&url).expect("the server's"));
        let target = redirect.lines().find_map(|line| line.strip_prefix("Location: http://localhost:"));
        let (port, target) = target.unwrap_or_else(|| panic!("{redirect}")).split_once('?').expect("a query");
        let place = format!("127.0.0.1:{}", port.trim_end_matches('/'));
        assert!(get(&place, &format!("/?{target}")).starts_with("HTTP/1.1 200 "));
        browser.finish().expect_status(0);

        // The refresh token is another one every time, and an old one is worth nothing.
        for _ in 0..3 {
            age();
            send().run().expect_status(0);
        }
        mailchute().args(["login", "--status", "--as", "shop"]).run().expect_status(0);
    });
}
