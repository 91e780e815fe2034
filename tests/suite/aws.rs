//! What the surroundings of a program in AWS give it: keys, a role, a region.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use serde_json::json;
use testkit::{Answer, Asked, Host, Mailchute, Run, Scratch, Web};

use crate::setup::{MESSAGE, mailchute};

/// Names and values.
type Variables<'a> = &'a [(&'a str, &'a str)];

/// What the token file of a web identity holds.
const TOKEN: &str = "web-identity-secret";

/// Every service that gives keys, each with a key id of its own, and SES.
fn services() -> Web {
    Web::start(None, |asked| {
        let temporary = |id: &str| {
            let text = json!({ "AccessKeyId": id, "SecretAccessKey": "t-secret", "Token": "session-secret" });
            Answer::text(&format!("HTTP/1.1 200 OK\n\n{text}"))
        };
        let role = "/latest/meta-data/iam/security-credentials/";
        let has_token = asked.header("x-aws-ec2-metadata-token") == Some("imds-token");
        match (asked.method.as_str(), asked.target.as_str()) {
            ("POST", "/") => assume(asked),
            ("POST", _) => Answer::text("HTTP/1.1 200 OK\n\n{\"MessageId\":\"1\"}"),
            ("GET", "/task") => temporary("AKIDTASK"),
            ("PUT", "/latest/api/token") => Answer::text("HTTP/1.1 200 OK\n\nimds-token"),
            ("GET", target) if target == role && has_token => Answer::text("HTTP/1.1 200 OK\n\nmail-role"),
            ("GET", target) if target == format!("{role}mail-role") && has_token => temporary("AKIDROLE"),
            _ => Answer::text("HTTP/1.1 404 Not Found\n\n"),
        }
    })
}

/// The security token service. It lends the role `arn:aws:iam::1:role/lent` only; the session tells the key id.
fn assume(asked: &Asked) -> Answer {
    let form = String::from_utf8_lossy(&asked.body).into_owned();
    let is_right = form.contains("Action=AssumeRoleWithWebIdentity&Version=2011-06-15&")
        && form.contains("&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Flent&")
        && form.ends_with(&format!("&WebIdentityToken={TOKEN}"));
    let session = form.split("&RoleSessionName=").nth(1).and_then(|rest| rest.split('&').next()).unwrap_or_default();
    if !is_right {
        return Answer::text(&format!(
            "HTTP/1.1 403 Forbidden\nContent-Type: text/xml\n\n<ErrorResponse><Error><Code>AccessDenied</Code>\
             <Message>Not authorized, {TOKEN}</Message></Error></ErrorResponse>"
        ));
    }
    Answer::text(&format!(
        "HTTP/1.1 200 OK\nContent-Type: text/xml\n\n<AssumeRoleWithWebIdentityResponse><Credentials>\
         <AccessKeyId>AKID{session}</AccessKeyId><SecretAccessKey>t-secret</SecretAccessKey>\
         <SessionToken>session-secret</SessionToken></Credentials></AssumeRoleWithWebIdentityResponse>"
    ))
}

/// The two files of an AWS client, and a token.
fn files(scratch: &Scratch) -> impl Fn(&str) -> String + use<> {
    let keys = |id: &str| format!("aws_access_key_id = {id}\naws_secret_access_key = f-secret\n");
    let token = scratch.write("token", TOKEN, 0o600).display().to_string();
    let file = format!(
        "[default]\n{}[shop]\n{}[both]\n{}[odd]\n{}",
        keys("AKIDFILE"),
        keys("AKIDSHOP"),
        keys("AKIDOLD"),
        keys("AKID\u{a0}ODD")
    );
    let file = scratch.write("credentials", file, 0o600).display().to_string();
    let role = format!("role_arn = arn:aws:iam::1:role/lent\nweb_identity_token_file = {token}\n");
    let config = format!(
        "[default]\nregion = eu-north-1\n[profile pod]\n{role}role_session_name = POD\n[profile both]\n{role}\
         [profile sso]\nsso_session = s\n[profile chain]\nrole_arn = x\nsource_profile = default\n\
         [profile process]\ncredential_process = /bin/false\n[profile conf]\n{}[profile empty]\nregion = sa-east-1\n",
        keys("AKIDCONF")
    );
    let config = scratch.write("config", config, 0o644).display().to_string();
    move |text| text.replace("{file}", &file).replace("{config}", &config).replace("{token}", &token)
}

/// Sends one message through SES, with `variables` and the relay's `lines`, and returns what was asked.
fn send(variables: &[(&str, &str)], lines: &str) -> (Run, Vec<Asked>) {
    let (web, scratch) = (services(), Scratch::new());
    let here = format!("http://127.0.0.1:{}", web.port());
    let place = files(&scratch);
    let config = format!("[relay.main]\nprovider = \"ses\"\nvia = \"api\"\nendpoint = \"{here}\"\n{lines}");
    let mut call = mailchute().config(&scratch.write("config.toml", config, 0o644));
    call = call.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &here).env("AWS_ENDPOINT_URL_STS", &here);
    call = call.env("AWS_SHARED_CREDENTIALS_FILE", scratch.join("none")).env("AWS_CONFIG_FILE", scratch.join("none"));
    for (name, value) in variables {
        call = call.env(*name, place(value).replace("{web}", &here));
    }
    let run = call.args(["-v", "-i", "bob@example.net"]).stdin(MESSAGE).run();
    assert!(!run.stderr.contains("-secret"), "{}", run.report());
    (run, web.finish())
}

const FILE: (&str, &str) = ("AWS_SHARED_CREDENTIALS_FILE", "{file}");
const CONFIG: (&str, &str) = ("AWS_CONFIG_FILE", "{config}");
const LENT: (&str, &str) = ("AWS_ROLE_ARN", "arn:aws:iam::1:role/lent");
const IDENTITY: (&str, &str) = ("AWS_WEB_IDENTITY_TOKEN_FILE", "{token}");
const TASK: (&str, &str) = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "{web}/task");
const ENV: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "AKIDENV"), ("AWS_SECRET_ACCESS_KEY", "x-secret")];

/// Where AWS clients look for keys, each place with a key id of its own: what comes first wins.
#[test]
fn aws_keys_are_found_where_aws_clients_look() {
    let profile = |name| ("AWS_PROFILE", name);
    let places: [(&str, Variables<'_>, &str); 13] = [
        ("AKIDENV", &[ENV[0], ENV[1], LENT, IDENTITY, FILE, TASK], ""),
        ("AKIDmailchute", &[LENT, IDENTITY, FILE, CONFIG, TASK], ""),
        ("AKIDNAMED", &[LENT, IDENTITY, ("AWS_ROLE_SESSION_NAME", "NAMED")], ""),
        ("AKIDFILE", &[FILE, CONFIG, LENT, TASK], ""),
        ("AKIDSHOP", &[FILE, profile("shop"), TASK], ""),
        ("AKIDSHOP", &[FILE, profile("x"), ENV[0], ENV[1], LENT, IDENTITY], "profile = \"shop\"\n"),
        ("AKIDPOD", &[CONFIG, FILE, profile("pod"), TASK], ""),
        ("AKIDPOD", &[CONFIG, ENV[0], ENV[1]], "profile = \"pod\"\n"),
        ("AKIDmailchute", &[CONFIG, FILE, profile("both")], ""),
        ("AKIDCONF", &[CONFIG, FILE, profile("conf")], ""),
        ("AKIDTASK", &[TASK, LENT], ""),
        ("AKIDROLE", &[CONFIG], ""),
        ("AKIDROLE", &[], ""),
    ];
    for (id, variables, lines) in places {
        let (run, asked) = send(variables, lines);
        run.expect_status(0);
        let last = asked.last().expect("a request");
        let authorization = last.header("authorization").unwrap_or_default();
        assert!(authorization.contains(&format!("Credential={id}/")), "{id}: {authorization}");
        let is_temporary = last.header("x-amz-security-token") == Some("session-secret");
        let keeps = ["AKIDENV", "AKIDFILE", "AKIDSHOP", "AKIDCONF"];
        assert_eq!(is_temporary, !keeps.contains(&id), "{id}");
    }
}

/// A pod's own service wants the token that the pod was given.
#[test]
fn the_service_of_a_pod_is_given_its_token() {
    let (run, asked) = send(&[TASK, ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "{token}")], "");
    run.expect_status(0);
    assert_eq!(asked.first().and_then(|asked| asked.header("authorization")), Some(TOKEN));
}

/// Whoever names a role or a profile gets that one or nothing, never the node's role.
#[test]
fn an_aws_role_that_is_not_lent_is_no_other_one() {
    let cases: [(i32, Variables<'_>, &str); 15] = [
        (
            135,
            &[("AWS_ROLE_ARN", "arn:aws:iam::1:role/other"), IDENTITY],
            "mailchute: 127.0.0.1:*: 535 5.7.8 gave no keys: AccessDenied: Not authorized, \\*\\*\\* (HTTP 403) *",
        ),
        (78, &[IDENTITY], "mailchute: AWS_WEB_IDENTITY_TOKEN_FILE: is set, and AWS_ROLE_ARN is not *"),
        (78, &[LENT, ("AWS_WEB_IDENTITY_TOKEN_FILE", "/proc/nonexistent")], "mailchute: /proc/nonexistent: *"),
        (
            78,
            &[LENT, IDENTITY, ("AWS_ENDPOINT_URL_STS", "http://sts.example")],
            "mailchute: http://sts.example: is plain http to another host *",
        ),
        (
            78,
            &[LENT, IDENTITY, ("AWS_ENDPOINT_URL_STS", "http://169.254.169.254")],
            "mailchute: http://169.254.169.254: is plain http to another host *",
        ),
        (
            78,
            &[FILE, ("AWS_PROFILE", "gone")],
            "mailchute: relay main: the AWS profile \"gone\" has not been written *",
        ),
        (78, &[CONFIG, ("AWS_PROFILE", "empty")], "mailchute: relay main: the AWS profile \"empty\" has no keys *"),
        (78, &[CONFIG, FILE, ("AWS_PROFILE", "sso")], "mailchute: relay main: * by sso_session, which *"),
        (78, &[CONFIG, FILE, ("AWS_PROFILE", "chain")], "mailchute: relay main: * by source_profile, which *"),
        (78, &[("AWS_EC2_METADATA_DISABLED", "true")], "mailchute: relay main: no AWS keys are found *"),
        (
            78,
            &[ENV[0], ("AWS_SECRET_ACCESS_KEY", "x\u{200b}-secret")],
            "mailchute: AWS_SECRET_ACCESS_KEY: holds U+200B (a space without width), which no key has *",
        ),
        (
            78,
            &[ENV[0], ENV[1], ("AWS_SESSION_TOKEN", "\"session\"")],
            "mailchute: AWS_SESSION_TOKEN: is in quotes, which are taken as part of it *",
        ),
        (
            78,
            &[FILE, ("AWS_PROFILE", "odd")],
            "mailchute: aws_access_key_id of the AWS profile \"odd\": holds U+00A0 (a no-break space), which no key has *",
        ),
        (78, &[CONFIG, ("AWS_PROFILE", "process")], "mailchute: relay main: * by credential_process, which *"),
        (
            78,
            &[TASK, ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "{file}")],
            "mailchute: file *: holds U+000A (a line end)*",
        ),
    ];
    for (status, variables, line) in cases {
        let (run, asked) = send(variables, "");
        run.expect_status(status);
        let first = run.stderr.lines().find(|line| line.starts_with("mailchute: ")).unwrap_or_default();
        let said = first.replace("***", "\\*\\*\\*");
        assert!(testkit::matches(line, &said), "{line}\n{}", run.report());
        assert!(asked.iter().all(|asked| asked.method == "POST" && asked.target == "/"), "{line}");
    }
}

/// The region is the relay's own, else that of the surroundings, for the API, its signature and the SMTP password.
#[test]
fn the_region_is_where_aws_clients_look() {
    let lines = "access_key_id = \"AKIDOWN\"\nsecret_access_key = \"own-secret\"\n";
    let (region, default) = (("AWS_REGION", "eu-west-1"), ("AWS_DEFAULT_REGION", "eu-west-2"));
    let cases: [(&str, Variables<'_>, &str); 8] = [
        ("us-east-1", &[], ""),
        ("ap-south-1", &[region, default, CONFIG], "region = \"ap-south-1\"\n"),
        ("eu-west-1", &[region, default, CONFIG], ""),
        ("eu-west-2", &[default, CONFIG], ""),
        ("eu-north-1", &[CONFIG], ""),
        ("sa-east-1", &[CONFIG, ("AWS_PROFILE", "empty")], ""),
        ("us-east-1", &[CONFIG, ("AWS_PROFILE", "gone")], ""),
        ("us-east-1", &[("AWS_REGION", "evil.example/")], ""),
    ];
    for (region, variables, own) in cases {
        let (run, asked) = send(variables, &format!("{lines}{own}"));
        run.expect_status(0);
        let authorization = asked[0].header("authorization").unwrap_or_default();
        assert!(authorization.contains(&format!("/{region}/ses/")), "{region}: {authorization}");

        let scratch = Scratch::new();
        let place = files(&scratch);
        for (via, host) in [
            ("api", format!("email.{region}.amazonaws.com\n")),
            ("smtp", format!("email-smtp.{region}.amazonaws.com:465")),
        ] {
            let config = format!("[relay.main]\nprovider = \"ses\"\nvia = \"{via}\"\n{lines}{own}");
            let mut call = mailchute().config(&scratch.write("config.toml", config, 0o644));
            call =
                call.env("AWS_CONFIG_FILE", "/nonexistent/aws").env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/aws");
            for (name, value) in variables {
                call = call.env(*name, place(value));
            }
            let run = call.args(["explain", "bob@example.net"]).run();
            assert!(run.stdout.contains(&host), "{region} {via}\n{}", run.report());
        }
    }
}

/// The SMTP password is derived for the region of the surroundings; other providers' relays ask nobody.
#[test]
fn the_smtp_password_is_of_that_region() {
    let server =
        testkit::Server::new().login("AKID", "BEW1uMsJNijX9ThCfEJCkeH4gPo9MWFsAUXj6NZO5jyz", &["PLAIN"]).start();
    let scratch = Scratch::new();
    let config = format!(
        "[relay.main]\nprovider = \"ses\"\nhost = \"127.0.0.1\"\nport = {}\naccess_key_id = \"AKID\"\n\
         secret_access_key = \"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\"\n",
        server.port()
    );
    let call = mailchute().config(&scratch.write("config.toml", config, 0o644));
    let call = call.args(["-i", "bob@example.net"]).stdin(MESSAGE).env("AWS_CONFIG_FILE", "/nonexistent/aws");
    call.env("AWS_REGION", "eu-west-1").run().expect_status(0);
    assert_eq!(server.finish().len(), 1);
}

/// Whoever calls a set-group-id binary chooses neither role nor region.
#[test]
fn a_set_group_id_binary_asks_nobody_of_its_callers() {
    let (shop, group) = (61042, 61050);
    Host::run(&[("shop", shop), ("mailchute", group)], |host| {
        let path = host.scratch().join("mailchute");
        assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_mailchute")).arg(&path).status().unwrap().success());
        chown(&path, Some(0), Some(group)).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o2755)).unwrap();
        let web = services();
        let here = format!("http://127.0.0.1:{}", web.port());
        let config = format!("[relay.main]\nprovider = \"ses\"\nvia = \"api\"\nendpoint = \"{here}\"\n");
        let write = |config: &str| host.write_as("/etc/mailchute/config.toml", config, 0o640, (0, group));
        write(&config);
        let token = host.write_as("/home/shop/token", TOKEN, 0o600, (shop, shop));
        let file = host.write_as("/home/shop/.aws/config", "[default]\nregion = eu-west-1\n", 0o600, (shop, shop));
        let call = || {
            let call = Mailchute::new(Path::new(&path)).uid(shop).stdin(MESSAGE).args(["-i", "bob@example.net"]);
            let call = call.env("AWS_ROLE_ARN", LENT.1).env("AWS_WEB_IDENTITY_TOKEN_FILE", &token);
            let call = call.env("AWS_ENDPOINT_URL_STS", &here).env("AWS_CONFIG_FILE", &file);
            call.env("AWS_EC2_METADATA_SERVICE_ENDPOINT", &here).env("AWS_REGION", "eu-west-2").run()
        };
        call().expect_status(78);
        write(&format!("{config}access_key_id = \"AKIDOWN\"\nsecret_access_key = \"own-secret\"\n"));
        call().expect_status(0);
        let asked = web.finish();
        assert_eq!(asked.len(), 1);
        let authorization = asked[0].header("authorization").unwrap_or_default();
        assert!(authorization.contains("/us-east-1/ses/"), "{authorization}");
    });
}
