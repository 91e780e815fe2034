//! `mailchute status N`: which reply or sysexit a status stands for, who has the message, what to do.
//!
//! The numbers and the sentences about those that are no reply code are `exit`'s.

use crate::exit::{self, SYSEXITS};
use crate::failure::{Failure, Kind};
use crate::reply::printable;
use crate::tools::send::{But, End};

/// What a reply code means, for those that are met.
static REPLIES: &[(u16, &str, &str)] = &[
    (421, "service not available, closing the connection", "try later"),
    (450, "mailbox busy, greylisted, or a rate limit (ours is 4.7.1)", "try later"),
    (451, "local error at the relay, greylisted, or a rate limit", "try later"),
    (452, "too little storage, or too many recipients at once", "try later, with fewer recipients"),
    (454, "temporary authentication or TLS failure", "try later"),
    (500, "command not recognized", "check that the port speaks SMTP"),
    (501, "an argument the relay does not accept, often an address or the EHLO name", "check the address and `helo`"),
    (502, "command not implemented", "check that the port takes submissions"),
    (503, "bad sequence of commands, often no login", "check that credentials are configured"),
    (504, "a parameter or login mechanism is not implemented", "check `auth` of the relay"),
    (521, "the host takes no mail", "check `host` in the configuration"),
    (523, "the message is larger than the relay takes", "send a smaller message"),
    (530, "authentication or TLS is required first", "configure credentials; check port and tls"),
    (534, "the login mechanism is too weak, or an app password is needed", "make an app password at the provider"),
    (535, "user name or password is wrong", "check the credentials; many providers want a key made for SMTP"),
    (538, "the login mechanism needs TLS", "check `tls` of the relay"),
    (
        550,
        "mailbox unavailable, or refused by policy (site disabled or banned is ours)",
        "read the reply's text: address or policy",
    ),
    (551, "the user is not local", "check the address"),
    (552, "the message is too large, or the mailbox is full", "send a smaller message"),
    (
        553,
        "the sender or mailbox name is not allowed, by the relay or by the site's `sender`",
        "use a sender the site and the provider allow",
    ),
    (554, "the transaction failed, often refused as spam", "read the reply's text"),
    (555, "a parameter of MAIL or RCPT is not recognized", "leave out -N, -R and -V"),
    (556, "the domain accepts no mail", "check the address"),
];

/// Numbers above 128 that a shell also shows for a program killed by a signal.
static SIGNALS: &[(u16, &str)] = &[
    (1, "SIGHUP"),
    (2, "SIGINT"),
    (3, "SIGQUIT"),
    (4, "SIGILL"),
    (6, "SIGABRT"),
    (7, "SIGBUS"),
    (8, "SIGFPE"),
    (9, "SIGKILL"),
    (11, "SIGSEGV"),
    (13, "SIGPIPE"),
    (14, "SIGALRM"),
    (15, "SIGTERM"),
];

/// The codes of refusals that may be mailchute's own.
const OWN: [u16; 4] = [450, 550, 552, 553];

/// Statuses that are kept free for what a shell makes of a program.
const SHELL: [u16; 6] = [126, 127, 137, 139, 141, 143];

/// Explains `word`: an exit status, or an SMTP reply code from 200 to 599.
///
/// # Errors
/// `Usage`: `word` is neither.
pub fn explain(word: &str) -> Result<String, Failure> {
    let number = number(word).filter(|number| *number < 600).ok_or_else(|| {
        Failure::new(Kind::Usage, printable(word.as_bytes(), 100), "neither an exit status nor an SMTP reply code")
            .hint("give 0 to 255, 0x00 to 0xff, or a reply code such as 550")
    })?;
    Ok(match number {
        0 | 60..=99 => of_sysexit(number),
        _ if SHELL.contains(&number) => of_shell(number),
        1..=59 | 100..=199 => of_reply(number + 400, number),
        200..=399 => of_positive(number),
        400 | 460..=499 => of_reply(number, 50),
        526 | 527 | 537 | 539 | 541 | 543 => of_reply(number, 150),
        _ => of_reply(number, number - 400),
    })
}

/// Tells somebody who has just run `mailchute test`, and has cause and next step on standard error, how it `ended`.
pub(crate) fn after_test(ended: &End) -> String {
    let End { status, but } = ended;
    if let Some(But::Discarded) = but {
        let first = "0: the configuration has every message thrown away, and this one was";
        return page(first, "nobody has it", "nothing, if that is meant; `mailchute explain` names the place");
    }
    let text = explain(&status.to_string()).unwrap_or_default();
    let mut page: String = match *status {
        exit::OK | exit::IN_DOUBT => text,
        // What a shell makes of the number is for whoever asks for the number.
        _ => {
            let is_told = |line: &&str| !line.starts_with("next:") && !line.starts_with("also:");
            text.lines().filter(is_told).flat_map(|line| [line, "\n"]).collect()
        }
    };
    if let Some(But::WouldWait) = but {
        page += "also:    mail of programs would be kept in the spool now, and they would be told 0\n";
    }
    page
}

/// Decimal, or hexadecimal with `0x` or with a letter in it.
fn number(word: &str) -> Option<u16> {
    let word = word.trim();
    let is_number = |digits: &str| digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    match word.strip_prefix("0x").or(word.strip_prefix("0X")) {
        Some(digits) if is_number(digits) => u16::from_str_radix(digits, 16).ok(),
        None if word.bytes().all(|digit| digit.is_ascii_digit()) => word.parse().ok(),
        None if is_number(word) => u16::from_str_radix(word, 16).ok(),
        _ => None,
    }
}

fn of_sysexit(status: u16) -> String {
    let Some(row) = SYSEXITS.iter().find(|row| row.status == status) else {
        return page(
            &format!("{status}: not a status of mailchute"),
            "unknown",
            "find out which program ended with it",
        );
    };
    let name = if row.name.is_empty() { String::new() } else { format!(" ({})", row.name) };
    let who = match status {
        0 => "every recipient's relay has it",
        79 => "perhaps somebody has it",
        _ => "nobody has it",
    };
    page(&format!("{status}{name}: {}", row.meaning), who, row.next)
}

fn of_reply(code: u16, status: u16) -> String {
    let kind = if code < 500 { "transient" } else { "permanent" };
    // The replies that mailchute gives itself.
    let who = if OWN.contains(&code) { "the relay, or mailchute itself," } else { "the relay" };
    let row = REPLIES.iter().find(|(known, ..)| *known == code);
    let meaning = row.map(|(_, meaning, _)| format!(": {meaning}")).unwrap_or_default();
    let next = row.map_or("read the reply's text on standard error or in the log record", |(.., next)| *next);
    let mut out = page(&format!("{status}: {who} said {code}, a {kind} refusal{meaning}"), "nobody has it", next);
    match status {
        50 => out.push_str("also:    reply codes 400 and 460 to 499 are reported as 50\n"),
        150 => out.push_str("also:    reply codes 526, 527, 537, 539, 541 and 543 are reported as 150\n"),
        _ => {}
    }
    if let Some((_, name)) = SIGNALS.iter().find(|(signal, _)| signal + 128 == status) {
        out.push_str(&format!("also:    a shell shows {status} for a program killed by {name}; mailchute is not\n"));
    }
    out
}

fn of_shell(status: u16) -> String {
    match status {
        126 => page(
            "126: the shell found the program but could not run it",
            "nobody has it",
            "check the file's mode, its architecture and the mount option noexec",
        ),
        127 => page("127: the shell did not find the program", "nobody has it", "check the path in sendmail_path"),
        _ => {
            let name = SIGNALS.iter().find(|(signal, _)| signal + 128 == status).map_or("a signal", |(_, name)| name);
            page(
                &format!("{status}: the program was killed by {name}"),
                "perhaps somebody has it",
                "look at the kernel's log (out of memory?) and at the provider's",
            )
        }
    }
}

fn of_positive(code: u16) -> String {
    match code {
        200..=299 => page(
            &format!("{code}: as a reply code, the relay accepted; the status is 0"),
            "every recipient's relay has it",
            "nothing",
        ),
        _ => page(&format!("{code}: as a reply code, the relay waits for more; no status"), "nobody has it", "nothing"),
    }
}

fn page(first: &str, who: &str, next: &str) -> String {
    format!("{first}\nmessage: {who}\nnext:    {next}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{self, Scheme};
    use crate::reply::Reply;

    fn first_line(word: &str) -> String {
        explain(word).expect("a status").lines().next().unwrap_or_default().to_owned()
    }

    #[test]
    fn every_status_that_exit_can_give_is_explained() {
        let kinds = [
            Kind::Usage,
            Kind::Data,
            Kind::NoInput,
            Kind::NoHost,
            Kind::Unavailable,
            Kind::Software,
            Kind::System,
            Kind::CannotCreate,
            Kind::Io,
            Kind::Protocol,
            Kind::NoPermission,
            Kind::Configuration,
            Kind::InDoubt,
        ];
        for kind in kinds {
            let status = exit::of_kind(&kind, Scheme::Reply);
            assert!(SYSEXITS.iter().any(|row| row.status == u16::from(status)), "{kind:?} is {status}");
        }
    }

    #[test]
    fn a_reply_code_is_explained_under_the_status_it_gives() {
        for code in 400..600 {
            let status = exit::of_kind(&Kind::Refused(Reply::new(code, None, "")), Scheme::Reply);
            let line = first_line(&code.to_string());
            assert!(line.starts_with(&format!("{status}: ")) && line.contains(&code.to_string()), "{code}: {line}");
        }
    }

    #[test]
    fn statuses_are_read_in_decimal_and_hexadecimal() {
        assert!(first_line("154").contains("said 554"));
        assert!(first_line("0x9a").contains("said 554"));
        assert!(first_line("9A").contains("said 554"));
        assert!(first_line("0").contains("accepted"));
        assert!(explain("79").expect("a status").contains("perhaps somebody"));
        for word in ["", "-1", "600", "1000000", "0x", "bounce", "0x+1"] {
            assert_eq!(explain(word).map_err(|failure| failure.kind), Err(Kind::Usage), "{word}");
        }
    }

    #[test]
    fn what_a_shell_makes_is_told_from_a_reply() {
        assert!(first_line("127").contains("did not find"));
        assert!(first_line("137").contains("SIGKILL"));
        assert!(first_line("75").contains("never returned"));
        let both = explain("130").expect("a status");
        assert!(both.contains("said 530") && both.contains("SIGINT"), "{both}");
        assert!(first_line("62").contains("not a status of mailchute"));
    }
}
