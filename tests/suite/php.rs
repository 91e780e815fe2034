//! PHP as the caller: `mail()` on the command line and in PHP-FPM pools, with `sendmail_path` naming the
//! binary.

use std::fmt::Write as _;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use testkit::{Fpm, Host, Moment, Port, Scratch, Server, TlsStart, apart, need, need_root};

const BINARY: &str = env!("CARGO_BIN_EXE_mailchute");

/// A script that prints what `mail()` returned. `arguments` go behind the header fields.
fn script(arguments: &str) -> String {
    format!(
        "var_export(mail('bob@example.org', 'Your order', \"Thank you.\\n.\\nThe shop\", \
         \"From: Shop <orders@shop.example>\\r\\nBcc: copy@shop.example\"{arguments}));"
    )
}

fn server() -> Server {
    Server::new().tls(TlsStart::Implicit).login("shop", "secret", &["PLAIN"])
}

/// Writes a configuration with one relay and returns its path.
fn configuration(scratch: &Scratch, relay: &str) -> PathBuf {
    scratch.write("config.toml", format!("[log]\nto = []\n[relay.main]\n{relay}"), 0o644)
}

/// What `php` prints for this script.
fn php(program: &Path, sendmail_path: &str, script: &str) -> String {
    let output = apart(program)
        .args(["-n", "-d", &format!("sendmail_path={sendmail_path}"), "-r", script])
        .stdin(Stdio::null())
        .output()
        .expect("php runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn mail_is_true_only_when_the_relay_has_the_message() {
    let Some(program) = need("php") else { return };
    let scratch = Scratch::new();
    let send = |relay: &str| {
        let config = configuration(&scratch, relay);
        php(&program, &format!("{BINARY} --config {} -t -i", config.display()), &script(""))
    };

    let accepting = server().start();
    assert_eq!(send(&accepting.relay_lines(&scratch)), "true");
    let sessions = accepting.finish();
    let delivery = &sessions[0].deliveries[0];
    assert_eq!(delivery.reverse_path, "orders@shop.example");
    assert_eq!(delivery.forward_paths(), ["bob@example.org", "copy@shop.example"]);
    let text = delivery.text();
    assert!(text.contains("Subject: Your order\r\n") && !text.contains("Bcc"), "{text}");
    assert!(text.ends_with("\r\n\r\nThank you.\r\n.\r\nThe shop\r\n"), "{text}");

    for (moment, reply) in [
        (Moment::Rcpt, "550 5.1.1 no such user"),
        (Moment::Mail, "451 4.7.1 greylisted"),
        (Moment::Message, "554 5.7.1 looks like spam"),
        (Moment::Message, "452 4.2.2 mailbox full"),
        (Moment::Greeting, "554 5.3.2 go away"),
        (Moment::Auth, "535 5.7.8 wrong password"),
    ] {
        let refusing = server().reply(moment, reply).start();
        assert_eq!(send(&refusing.relay_lines(&scratch)), "false", "{reply}");
    }

    let nobody = Port::reserve();
    assert_eq!(send(&format!("host = \"127.0.0.1\"\nport = {}\ntls = \"none\"\n", nobody.number())), "false");

    let strict = server().start();
    let wrong = strict.relay_lines(&scratch).replace("'secret'", "'wrong'");
    assert_eq!(send(&wrong), "false");
    assert!(strict.finish()[0].deliveries.is_empty());
}

#[test]
fn the_fifth_argument_sets_the_reverse_path_and_nothing_else() {
    let Some(program) = need("php") else { return };
    let scratch = Scratch::new();
    let (server, other) = (server().start(), Server::new().start());
    let config = configuration(&scratch, &server.relay_lines(&scratch));
    let planted = scratch.write("planted.toml", format!("[relay.x]\n{}", other.relay_lines(&scratch)), 0o644);
    let written = scratch.join("written");
    let sendmail_path = format!("{BINARY} --config {} -t -i", config.display());

    let send = |argument: &str| php(&program, &sendmail_path, &script(&format!(", '{argument}'")));
    assert_eq!(send("-fbounces@shop.example"), "true");
    assert_eq!(send(&format!("-f bounces@shop.example -C{0} -X{0} -OQueueDirectory={0}", written.display())), "true");
    assert_eq!(send(&format!("-f bounces@shop.example --config {}", planted.display())), "false");

    let sessions = server.finish();
    let paths: Vec<_> = sessions.iter().flat_map(|s| &s.deliveries).map(|d| d.reverse_path.as_str()).collect();
    assert_eq!(paths, ["bounces@shop.example"; 2]);
    assert!(other.finish().is_empty() && !written.exists());
}

#[test]
fn each_fpm_pool_sends_as_its_own_site() {
    const SHOP: u32 = 61042;
    const BLOG: u32 = 61043;
    if !need_root() {
        return;
    }
    let scratch = Scratch::new();
    let (shop, blog) =
        (server().start(), Server::new().tls(TlsStart::Implicit).login("blog", "hidden", &["PLAIN"]).start());
    let mut config = "[log]\nto = []\n".to_owned();
    for (name, uid, server, secret) in [("shop", SHOP, &shop, "secret"), ("blog", BLOG, &blog, "hidden")] {
        let file = scratch.write(&format!("secrets/{name}"), format!("{secret}\n"), 0o640);
        chown(&file, Some(0), Some(uid)).expect("root may");
        let lines = server.relay_lines(&scratch);
        let lines = lines.replace(&format!("'{secret}'"), &format!("{{ file = \"{}\" }}", file.display()));
        let _ = write!(
            config,
            "[relay.{name}]\n{lines}[site.{name}]\nuser = [{uid}]\nrelay = [\"{name}\"]\nsender = [\"*@{name}.example\"]\n\
             from = \"hello@{name}.example\"\nother_sender = \"rewrite\"\n"
        );
    }
    let config = scratch.write("config.toml", config, 0o644);
    let sendmail_path = format!("{BINARY} --config {} -t -i", config.display());
    let Some(fpm) = Fpm::start(scratch, &[("shop", SHOP, &sendmail_path), ("blog", BLOG, &sendmail_path)]) else {
        return;
    };

    assert_eq!(fpm.request("shop", &script("")), "true");
    assert_eq!(fpm.request("blog", &script("")), "true");
    // The other pool's site, asked for by name.
    let asked = format!(
        "exec('echo x | {BINARY} --config {} --site shop -i bob@example.org 2>&1', $lines, $status); echo $status;",
        config.display()
    );
    assert_eq!(fpm.request("blog", &asked), "77");
    let secret = format!("var_export(@file_get_contents('{}'));", fpm.scratch().join("secrets/shop").display());
    assert_eq!(fpm.request("blog", &secret), "false");
    assert_eq!(fpm.request("shop", &secret), "'secret\n'");

    let login = |server: Server| {
        let sessions = server.finish();
        assert_eq!(sessions.len(), 1);
        (sessions[0].login.clone().expect("a login").1, sessions[0].deliveries[0].reverse_path.clone())
    };
    assert_eq!(login(shop), ("shop".to_owned(), "orders@shop.example".to_owned()));
    assert_eq!(login(blog), ("blog".to_owned(), "hello@blog.example".to_owned()));
}

#[test]
fn the_record_names_pool_script_and_directory() {
    const SHOP: u32 = 61045;
    if !need_root() {
        return;
    }
    let scratch = Scratch::new();
    let server = Server::new().start();
    let logs = scratch.write("logs/.keep", "", 0o644).parent().expect("a directory").to_owned();
    chown(&logs, Some(SHOP), Some(SHOP)).expect("root may");
    let lines = server.relay_lines(&scratch);
    let log = logs.join("log");
    let config =
        scratch.write("config.toml", format!("[log]\nto = [\"{}\"]\n[relay.main]\n{lines}", log.display()), 0o644);
    let header = "php_admin_value[mail.add_x_header] = On";
    let sendmail_path = format!("{BINARY} --config {} -t -i\n{header}", config.display());
    let Some(fpm) = Fpm::start(scratch, &[("shop", SHOP, &sendmail_path)]) else { return };
    assert_eq!(fpm.request("shop", &script("")), "true");
    let record: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(log).expect("a log")).expect("JSON");
    assert_eq!((&record["pool"], &record["uid"]), (&"shop".into(), &SHOP.into()), "{record}");
    assert_eq!(record["script"], "0:page.php", "{record}");
    assert_eq!(record["cwd"].as_str(), fpm.scratch().path().to_str(), "{record}");
    assert!(record["parent"].as_str().is_some_and(|name| name.starts_with("php-fpm")), "{record}");
    assert!(record["parents"].as_array().is_some_and(|names| names.len() >= 2), "{record}");
    // A request's parameters are in no environment of FPM's processes, so there is no web site to name.
    assert_eq!(record["web_host"], serde_json::Value::Null, "{record}");
}

#[test]
fn a_pool_without_configuration_is_told_about_its_cleared_environment() {
    const UID: u32 = 61044;
    // On a host of its own, where no configuration is installed.
    Host::run(&[], |_| {
        let Some(fpm) = Fpm::start(Scratch::new(), &[("shop", UID, &format!("{BINARY} -t -i"))]) else { return };
        assert_eq!(fpm.request("shop", &script("")), "false");
        let line = fpm.wait_for("hint: ");
        assert!(line.contains("clear_env") || line.contains("init --from-env"), "{line}");
    });
}
