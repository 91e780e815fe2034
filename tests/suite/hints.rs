//! The next step a user is told, for refusals and failures that are really met.

use testkit::{Action, Moment, Scratch, Script, Server, TlsStart, Web};

use crate::setup::{MESSAGE, Setup, every, mailchute, with_enough_time};

/// The moment, the reply, and what the hint begins with; no hint where that is empty.
const REPLIES: &[(Moment, &str, &str)] = &[
    (Moment::Auth, "535 5.7.8 no", "check the user name `alice` and its password"),
    (Moment::Auth, "535 5.7.8 Username and Password not accepted - gsmtp", "Google refuses the account's own password"),
    (Moment::Auth, "534 5.7.9 Application-specific password required - gsmtp", "Google wants an app password"),
    (Moment::Auth, "454 4.7.0 Too many login attempts - gsmtp", "127.0.0.1 did not check the password"),
    (Moment::Auth, "530 5.7.0 Must issue a STARTTLS command first", "the server wants TLS before anything else"),
    (Moment::Greeting, "554 5.7.1 blocked using zen.spamhaus.org", "the server refuses this host's address"),
    (Moment::Mail, "550 5.7.1 sender is not verified", "verify this sender"),
    (Moment::Mail, "550 Sender address is not allowed.", "127.0.0.1 takes mail from this account's own addresses"),
    (Moment::Mail, "553 5.7.1 Relaying disallowed as x@example.org", "127.0.0.1 takes mail from this account's own"),
    (
        Moment::Mail,
        "550 5.7.60 SMTP; Client does not have permissions to send as this sender",
        "the mailbox that logs in",
    ),
    (
        Moment::Mail,
        "550 5.7.708 Service unavailable. Access denied, traffic not accepted from this IP",
        "Microsoft does",
    ),
    (
        Moment::Mail,
        "550 5.7.1 Invalid credentials for relay [192.0.2.1]. The IP address you've registered in your G Suite SMTP Relay",
        "register this host's address",
    ),
    (Moment::Mail, "550 5.7.1 Client host [192.0.2.1] blocked using dnsbl", "the server refuses this host's address"),
    (Moment::Mail, "550 5.7.1 no", "127.0.0.1 accepts nothing from this sender or this host"),
    (Moment::Mail, "550 5.7.23 SPF validation failed for the domain", "set the SPF, DKIM and DMARC records"),
    (Moment::Mail, "552 5.3.4 Message size exceeds fixed limit", "the message is larger"),
    (Moment::Mail, "501 5.5.4 syntax", ""),
    (Moment::Mail, "451 4.7.1 rate limit exceeded", "127.0.0.1 is limiting how fast"),
    (Moment::Mail, "550 5.4.5 Daily user sending limit exceeded", "127.0.0.1 is limiting how fast"),
    (Moment::Rcpt, "450 4.7.1 Greylisted, try later", "the server asks to come back later"),
    (Moment::Rcpt, "452 4.2.2 mailbox full, over quota", ""),
    (Moment::Rcpt, "452 4.5.3 too many recipients", "this is too many recipients for one message"),
    (Moment::Rcpt, "552 5.2.2 mailbox full", ""),
    (Moment::Rcpt, "552 mailbox full", ""),
    (Moment::Rcpt, "550 5.1.1 no such user", "check how the recipient's address is spelt"),
    (Moment::Rcpt, "550 mailbox unavailable", "check how the recipient's address is spelt"),
    (Moment::Rcpt, "550 5.7.1 no", ""),
    (Moment::Rcpt, "554 5.7.1 Relay access denied", "the login was accepted but may not relay"),
    (
        Moment::Rcpt,
        "550 You can only send testing emails to your own email address (a@example.org)",
        "this account is in test mode",
    ),
    (
        Moment::Message,
        "552 5.7.0 content presents a potential security issue",
        "127.0.0.1 blocks something in the message",
    ),
    (Moment::Message, "552 too big", "the message is larger"),
    (
        Moment::Message,
        "554 5.2.252 SendAsDenied; shop@example.org not allowed to send as x",
        "the mailbox that logs in",
    ),
    (Moment::Message, "550 5.7.26 This mail is unauthenticated", "set the SPF, DKIM and DMARC records"),
    (
        Moment::Message,
        "550 5.7.515 Access denied, sending domain SHOP.EXAMPLE does not meet the required authentication level",
        "set the SPF, DKIM and DMARC records",
    ),
    (Moment::Message, "550 5.7.509 Access denied, does not pass verification", "set the SPF, DKIM and DMARC records"),
    (
        Moment::Message,
        "550 5.7.1 Unauthenticated email from shop.example is not accepted due to domain's DMARC policy",
        "set the SPF, DKIM and DMARC records",
    ),
    (Moment::Message, "550 5.7.27 SPF [shop.example] with ip: [192.0.2.1] = Did not pass", "set the SPF, DKIM and"),
    (Moment::Message, "550 5.7.30 DKIM = did not pass", "set the SPF, DKIM and DMARC records"),
    (Moment::Message, "550 5.7.32 the From header does not have alignment", "set the SPF, DKIM and DMARC records"),
    (
        Moment::Message,
        "421 4.7.26 Your email has been rate limited because it is unauthenticated",
        "set the SPF, DKIM and DMARC records",
    ),
    (
        Moment::Message,
        "421 4.7.32 Your email has been rate limited: the From header is not aligned with SPF or DKIM",
        "set the SPF, DKIM and DMARC records",
    ),
    // Hosts and mailboxes whose users report them: accounts that write as themselves only.
    (
        Moment::Mail,
        "550 5.7.0 From address is not one of your addresses",
        "127.0.0.1 takes mail from this account's own",
    ),
    (Moment::Mail, "553 Mail from must equal authorized user", "127.0.0.1 takes mail from this account's own"),
    (Moment::Mail, "550 not local sender over smtp", "127.0.0.1 takes mail from this account's own"),
    (
        Moment::Rcpt,
        "553 5.7.1 <x@shop.example>: Sender address rejected: not owned by auth user.",
        "127.0.0.1 takes mail from this account's own",
    ),
    (
        Moment::Message,
        "551 5.7.1 Not authorised to send from this header address",
        "127.0.0.1 takes mail from this account's own",
    ),
    // Accounts that are closed, at their end, or not open yet.
    (Moment::Auth, "451 Authentication failed: Maximum credits exceeded", "the quota at 127.0.0.1 is used up"),
    (
        Moment::Auth,
        "535 5.7.0 The email limit is reached. Please upgrade your plan",
        "the quota at 127.0.0.1 is used up",
    ),
    (Moment::Auth, "535 Authentication failed: account disabled", "the account at 127.0.0.1 is closed for sending"),
    (Moment::Auth, "525 5.7.1 Unauthorized IP address", "add this host's address to those that may use the account"),
    (
        Moment::Auth,
        "535 5.7.8 Error: authentication failed: This user does not have access rights to this service",
        "127.0.0.1 wants an app password here",
    ),
    (
        Moment::Auth,
        "535 Login Fail. Please enter your authorization code to login.",
        "127.0.0.1 wants an app password here",
    ),
    (Moment::Message, "454 Throttling failure: Daily message quota exceeded.", "the quota at 127.0.0.1 is used up"),
    (Moment::Message, "454 Throttling failure: Maximum sending rate exceeded.", "127.0.0.1 is limiting how fast"),
    (
        Moment::Message,
        "550 Message rejected: domain shop.example has exceeded the max emails per hour (150/150 (100%)) allowed. Message discarded.",
        "127.0.0.1 is limiting how fast",
    ),
    (
        Moment::Rcpt,
        "550 User shop@shop.example has exceeded its 24-hour sending limit. Messages to 250 recipients out of 250 allowed",
        "127.0.0.1 is limiting how fast",
    ),
    (
        Moment::Rcpt,
        "550 5.7.0 Requested action not taken: too many emails per second",
        "127.0.0.1 is limiting how fast",
    ),
    (Moment::Message, "550 5.4.6 Unusual sending activity detected. Please try after sometime", "Zoho has blocked"),
    (Moment::Message, "550 5.1.8 Access denied, bad outbound sender", "Microsoft has blocked this mailbox"),
    (
        Moment::Message,
        "554 5.2.0 STOREDRV.Submission.Exception:OutboundSpamException; Failed to process message",
        "Microsoft has blocked this mailbox",
    ),
    (
        Moment::Message,
        "502 5.7.0 Your SMTP account is not yet activated. Please contact us at contact@brevo.com to request activation",
        "Brevo has not activated",
    ),
    (
        Moment::Message,
        "450 The from.email domain must be verified in your account to send emails. #MS42207",
        "verify this sender",
    ),
    (
        Moment::Message,
        "450 You have reached trial account unique recipients limit. #MS42225",
        "this account is on trial and reaches few recipients",
    ),
    // Recipients.
    (
        Moment::Rcpt,
        "550 5.4.1 Recipient address rejected: Access denied.",
        "check how the recipient's address is spelt",
    ),
    (
        Moment::Rcpt,
        "550 5.7.1 [internal] recipient address suppressed due to customer policy",
        "127.0.0.1 sends nothing",
    ),
    (
        Moment::Message,
        "550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient",
        "the message is larger than this",
    ),
    (
        Moment::Message,
        "554 Message rejected: Address is on the suppression list for your account",
        "127.0.0.1 sends nothing",
    ),
    // Hosts.
    (
        Moment::Message,
        "550 5.7.25 [192.0.2.1] The IP address sending this message does not have a PTR record setup",
        "the address that sends has no name (PTR record)",
    ),
    (
        Moment::Rcpt,
        "450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.1]",
        "the address that sends has no name (PTR record)",
    ),
    (
        Moment::Rcpt,
        "550 5.7.606 Access denied, banned sending IP [192.0.2.1]. To request removal from this list please visit",
        "the server refuses this host's address",
    ),
    (
        Moment::Message,
        "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address.",
        "the recipient's side distrusts",
    ),
    (
        Moment::Mail,
        "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints",
        "the recipient's side distrusts",
    ),
    (
        Moment::Mail,
        "550 Requested action not taken: mailbox unavailable, invalid DNS MX or A/AAAA resource record",
        "the sender's domain has neither",
    ),
    (Moment::Rcpt, "550 5.7.1 SPF: 192.0.2.1 is not allowed to send for shop.example", "set the SPF, DKIM and DMARC"),
    (Moment::Message, "554 5.7.1 rejected as spam", "127.0.0.1 refuses this message itself, often as spam"),
    (Moment::Message, "550 5.7.1 no", "127.0.0.1 refuses this message itself"),
];

#[test]
fn refusals_have_the_right_next_step() {
    every(
        REPLIES,
        |case| case.1.to_owned(),
        |(moment, reply, hint)| {
            let server = Server::new().login("alice", "a good secret", &["PLAIN"]).reply(moment.clone(), reply);
            let run = Setup::new(server).send(&["bob@example.net"]);
            let hints: Vec<&str> = run.stderr.lines().filter_map(|line| line.strip_prefix("hint: ")).collect();
            match hint.is_empty() {
                true => assert!(hints.is_empty(), "{}", run.report()),
                false => assert!(hints.len() == 1 && hints[0].starts_with(hint), "{hint}\n{}", run.report()),
            }
            // Whoever is told of records is told what looks at them.
            let is_told = |text: &str| hints.iter().any(|hint| hint.contains(text));
            assert_eq!(is_told("SPF, DKIM"), is_told("`mailchute check`"), "{}", run.report());
        },
    );
}

/// The provider, the moment, the reply, and what the hint begins with.
const OF_PROVIDERS: &[(&str, Moment, &str, &str)] = &[
    (
        "microsoft365",
        Moment::Auth,
        "535 5.7.139 Authentication unsuccessful, the request did not meet the criteria to be authenticated successfully.",
        "a Conditional Access policy or the security defaults keep this login out",
    ),
    (
        "microsoft365",
        Moment::Auth,
        "535 5.7.139 Authentication unsuccessful, user is locked by your organization's security defaults policy.",
        "a Conditional Access policy or the security defaults keep this login out",
    ),
    (
        "microsoft365",
        Moment::Auth,
        "535 5.7.139 Authentication unsuccessful, the user credentials were incorrect.",
        "check the mailbox address and password",
    ),
    (
        "microsoft365",
        Moment::Auth,
        "535 5.7.139 Authentication unsuccessful, basic authentication is disabled.",
        "this tenant no longer takes passwords",
    ),
    (
        "microsoft365",
        Moment::Auth,
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.",
        "SMTP AUTH is switched off",
    ),
    (
        "amazon-ses",
        Moment::Message,
        "554 Message rejected: Sending suspended for this account. For more information, please check the inbox",
        "AWS has stopped this account's sending",
    ),
    (
        "amazon-ses",
        Moment::Message,
        "554 Access denied: User `arn:aws:iam::1:user/x' is not authorized to perform `ses:SendRawEmail' on resource `x'",
        "give the key's user ses:SendRawEmail",
    ),
    (
        "amazon-ses",
        Moment::Message,
        "554 Message rejected: Email address is not verified. The following identities failed the check in region EU-WEST-1: x",
        "verify the address that the reply names",
    ),
    ("mailgun", Moment::Message, "421 Free accounts are for test purposes only. Please upgrade", "a Mailgun sandbox"),
    (
        "mailgun",
        Moment::Mail,
        "421 Domain mg.x is not allowed to send: recipient limit exceeded, try again after Mon, 02 Nov 2026",
        "Mailgun is limiting how fast",
    ),
    ("sendgrid", Moment::Mail, "550 The from address does not match a verified Sender Identity.", "verify this sender"),
    (
        "yandex",
        Moment::Message,
        "554 5.7.1 Message rejected under suspicion of SPAM",
        "Yandex Mail refuses this message",
    ),
    (
        "zoho-mail",
        Moment::Mail,
        "553 Relaying disallowed as x@shop.example",
        "Zoho Mail takes mail from this account's own",
    ),
];

#[test]
fn refusals_of_a_provider_have_the_right_next_step() {
    every(
        OF_PROVIDERS,
        |case| format!("{}: {}", case.0, case.2),
        |(provider, moment, reply, hint)| {
            let server = Server::new().login("alice@example.org", "a good secret", &["PLAIN"]);
            let server = server.reply(moment.clone(), reply).start();
            let login = "username = 'alice@example.org'\npassword = 'a good secret'";
            let here = format!("host = '127.0.0.1'\nport = {}\ntls = 'none'\nauth = 'plain'", server.port());
            let scratch = Scratch::new();
            let text = format!("[relay.main]\nprovider = '{provider}'\nvia = 'smtp'\n{here}\n{login}\n");
            let config = scratch.write("config.toml", text, 0o600);
            let run = mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
            let hints: Vec<&str> = run.stderr.lines().filter_map(|line| line.strip_prefix("hint: ")).collect();
            assert!(hints.len() == 1 && hints[0].starts_with(hint), "{hint}\n{}", run.report());
        },
    );
}

/// A server that wants a login says so in many ways, and not with 530 alone.
#[test]
fn a_relay_without_a_login_is_told_where_one_is_wanted() {
    for (moment, reply) in [
        (Moment::Mail, "550 Unauthenticated senders not allowed"),
        (Moment::Mail, "530 5.7.57 Client not authenticated to send mail."),
        (Moment::Mail, "553 5.7.1 <x@shop.example>: Sender address rejected: not logged in"),
        (
            Moment::Rcpt,
            "550 Please turn on SMTP Authentication: not permitted to relay through this server without authentication",
        ),
        (Moment::Rcpt, "454 4.7.1 <bob@example.net>: Relay access denied"),
        (Moment::Mail, "530 Authentication required"),
    ] {
        let server = Server::new().reply(moment, reply).start();
        let run = sent(server.port(), "none", 30);
        let hint = "hint: this relay requires a login: set username and password";
        assert!(run.stderr.contains(hint), "{reply}\n{}", run.report());
    }
}

#[test]
fn a_refused_secret_that_looks_like_a_mistake_is_told() {
    every(
        &[
            ("\"a wrong one\"", "check the user name"),
            ("' leading'", "the secret (in the configuration) begins or ends with a blank"),
            ("'\"quoted\"'", "the secret (in the configuration) is in quotes"),
            ("'/run/secrets/smtp'", "the secret (in the configuration) is a path: write { file ="),
            ("'SMTP_PASSWORD=hunter2'", "the secret (in the configuration) looks like a variable"),
            ("{ file = 'several' }", "the secret ("),
        ],
        |case| case.0.to_owned(),
        |(password, hint)| {
            let server = Server::new().login("alice", "a good secret", &["PLAIN"]).start();
            let scratch = Scratch::new();
            scratch.write("several", "one\n# for the shop\n", 0o600);
            let text = format!(
                "[relay.main]\nhost = \"127.0.0.1\"\nport = {}\nusername = \"alice\"\npassword = {password}\n",
                server.port()
            );
            let call = mailchute().config(&scratch.write("config.toml", text, 0o600));
            let run = call.args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
            run.expect_status(135);
            assert!(run.stderr.contains(&format!("hint: {hint}")), "{}", run.report());
            assert!(!run.stderr.contains("hunter2") && !run.stderr.contains("quoted\""), "{}", run.report());
        },
    );
}

#[test]
fn a_key_that_is_not_for_this_way_is_told() {
    for (provider, keys, hint) in [
        (
            "brevo",
            "username = 'a@example.org'\nsmtp_key = 'xkeysib-1'",
            "is an API key, and SMTP wants username and smtp_key",
        ),
        ("brevo", "username = 'a@example.org'\nsmtp_key = 'SG.1'", "is a key of SendGrid, and this relay is Brevo"),
        ("sendgrid", "api_key = 'SG.one two'", "has a blank in it"),
        ("postmark", "token = 'a-token'", "check the user name"),
    ] {
        let server = Server::new().login("nobody", "a good secret", &["PLAIN"]).start();
        let scratch = Scratch::new();
        let here = format!("host = '127.0.0.1'\nport = {}\ntls = 'none'", server.port());
        let config =
            scratch.write("config.toml", format!("[relay.main]\nprovider = '{provider}'\n{here}\n{keys}\n"), 0o600);
        let run = mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
        run.expect_status(135);
        assert!(run.stderr.contains("hint: ") && run.stderr.contains(hint), "{provider}\n{}", run.report());
    }
}

#[test]
fn an_access_token_over_http_has_its_own_next_steps() {
    for (status, code, message, hint) in [
        ("401 Unauthorized", "InvalidAuthenticationToken", "expired", "get a new access token"),
        ("403 Forbidden", "ErrorSendAsDenied", "no", "the mailbox that logs in may not write as this sender"),
        (
            "400 Bad Request",
            "BadRequest",
            "/me request is only valid with delegated authentication flow.",
            "an application's token has no mailbox of its own: set `mailbox`",
        ),
    ] {
        let answer = format!("{{\"error\":{{\"code\":\"{code}\",\"message\":\"{message}\"}}}}");
        let web = Web::saying(&format!("HTTP/1.1 {status}\n\n{answer}"));
        let config = format!(
            "[relay.main]\nprovider = \"o365\"\nvia = \"api\"\ntoken = \"a-token\"\nendpoint = \"http://127.0.0.1:{}\"\n",
            web.port()
        );
        let scratch = Scratch::new();
        let call = mailchute().config(&scratch.write("config.toml", config, 0o644));
        let run = call.args(["-i", "bob@example.net"]).stdin(MESSAGE).run();
        assert!(run.stderr.contains(&format!("hint: {hint}")), "{}", run.report());
    }
}

#[test]
fn a_token_over_smtp_has_its_own_next_steps() {
    let server = Server::new().tls(TlsStart::Implicit).login("alice@example.org", "a good token", &["XOAUTH2"]);
    let run = Setup::new(server).secret("another token").send(&["bob@example.net"]);
    run.expect_status(135);
    assert!(run.stderr.contains("hint: get a new access token"), "{}", run.report());
}

#[test]
fn tls_in_the_wrong_mode_for_the_port_is_guessed_from_silence() {
    for (action, tls) in [(Action::Hang, "starttls"), (Action::Close, "starttls"), (Action::Hang, "none")] {
        with_enough_time(|deadline| {
            let server = Server::new().at(Moment::Greeting, action.clone()).start();
            let port = server.port();
            let run = sent(port, tls, deadline);
            if action == Action::Hang && !server.is_hanging() {
                return false;
            }
            run.expect_status(69);
            let hint = format!("hint: does port {port} speak TLS from the start?");
            assert!(run.stderr.contains(&hint), "{}", run.report());
            true
        });
    }
    // As long as it hears nothing that ends like a line, it waits.
    let late = Script::play("C: *\nclose", testkit::Identity::Good);
    let run = sent(late.port(), "implicit", 3);
    run.expect_status(69);
    assert!(run.stderr.contains("speak STARTTLS? Then set tls = \"starttls\""), "{}", run.report());
}

#[test]
fn a_missing_extension_has_a_next_step() {
    let server = Server::new().start();
    let run = sent(server.port(), "starttls", 30);
    run.expect_status(76);
    assert!(
        run.stderr.contains("hint: a test server such as Mailpit or MailHog has no TLS: set tls = \"none\""),
        "{}",
        run.report()
    );
    let setup = Setup::new(Server::new().tls(TlsStart::Never)).relay("username = \"alice\"\npassword = \"a secret\"");
    let run = setup.send(&["bob@example.net"]);
    run.expect_status(76);
    assert!(run.stderr.contains("hint: servers often offer AUTH, or more of it, only over TLS"), "{}", run.report());
}

fn sent(port: u16, tls: &str, deadline: u32) -> testkit::Run {
    let scratch = Scratch::new();
    let text =
        format!("deadline = \"{deadline}s\"\n[relay.main]\nhost = \"127.0.0.1\"\nport = {port}\ntls = \"{tls}\"\n");
    let config = scratch.write("config.toml", text, 0o644);
    mailchute().config(&config).args(["-i", "bob@example.net"]).stdin(MESSAGE).run()
}
