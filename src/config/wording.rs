//! How a next step is worded for whoever reads it: hints name the keys of a file, and a container has variables.

use nix::unistd::getuid;

use super::relay::read::KEYS as OF_RELAY;
use super::site::policy::KEYS as OF_SITE;
use super::variables::Unknown;
use super::{dsn, laravel};
use crate::failure::Failure;

/// Where the settings are that a hint names.
#[derive(Clone, Debug, Default)]
pub struct Wording {
    /// The variable that decides; `None`: a file, in whose words every hint is written.
    pub(super) variable: Option<&'static str>,
    /// The variable that says how Laravel's relay speaks TLS.
    pub(super) tls: Option<&'static str>,
    /// Names of variables that mean nothing here.
    pub(super) unknown: Vec<Unknown>,
    /// What is said of a variable that does not count although somebody set it for this program.
    pub(super) ignored: Option<String>,
}

/// What hints say of keys without a value, or in other words, and how it is said before it is told in variables.
const WORDS: &[(&str, &str)] = &[
    ("set username and password", "set {username} and {password}"),
    ("username and app_password", "{username} and {password}"),
    ("a login takes username and password, or username and token", "a login takes {username} and {password}"),
    ("leave username and password out", "leave {username} and {password} out"),
    ("leave username out", "leave {username} out"),
    ("tls = \"starttls\" or \"implicit\"", "tls = \"either\""),
    ("tls = \"implicit\" with port 465", "tls = \"465\""),
    ("set host to a name", "write a name as the host"),
    ("set `from`", "set {from}"),
    ("let `from` take", "let that of {from} take"),
    ("set ca_file", "set ca_file = FILE"),
    ("set client_cert", "set client_cert = FILE"),
    ("set client_id", "set client_id = ID"),
    ("set `mailbox`", "set mailbox = ADDRESS"),
    ("set `domain`", "set domain = DOMAIN"),
    ("raise `deadline` (and `connect_timeout`)", "set deadline = 60s and connect_timeout = 30s"),
    ("raise `deadline`", "set deadline = 60s"),
    ("add it to `sender`", "set sender = ADDRESSES"),
    ("if it is: ", ""),
    ("or name the place where it is", "or name the place where it is in the variable that ends in _FILE"),
    ("use { file = ... }", "name a file in its twin that ends in _FILE"),
    ("write { file = \"PATH\" } to have the file read", "name the file in {password}_FILE to have it read"),
    ("[alias] \"*\" = \"YOU@YOUR.DOMAIN\" in the configuration", ALIAS),
    ("give the name an address under [alias]", "write a configuration file that has the name under [alias]"),
];

const ALIAS: &str = "no variable names an alias: if such mail is sent here, set domain = YOUR.DOMAIN, or write a \
                     configuration file with [alias]";

/// Keys that hints name, beside those that every relay and every site takes.
const MORE: &[&str] = &["client_id", "mailbox", "tenant", "undisclosed", "username", "custom_headers", "reply_to"];

impl Wording {
    /// For the settings of a file.
    pub const FILE: Self = Self { variable: None, tls: None, unknown: Vec::new(), ignored: None };

    /// For the settings of `variable` and its companions.
    pub(super) fn of_variable(variable: &'static str) -> Self {
        Self { variable: Some(variable), ..Self::FILE }
    }

    /// `hint`, which is about the relay of this name where it is about one, in the words of this configuration; with
    /// what is wrong about a variable that it would have somebody set.
    pub fn told(&self, hint: &str, relay: Option<&str>) -> String {
        let text = match self.variable {
            Some(variable) => Variables::of(variable, self.tls, relay).told(hint),
            None => hint.to_owned(),
        };
        let is_named = |unknown: &&Unknown| {
            let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            unknown.ours.as_deref().is_some_and(|ours| text.split(ours).skip(1).any(ends))
        };
        let named: Vec<&Unknown> = self.unknown.iter().filter(is_named).collect();
        let unknown = (!named.is_empty()).then(|| Unknown::told(&named));
        unknown.iter().chain(&self.ignored).fold(text, |text, more| with_more(Some(&text), more))
    }

    /// `failure`, of the relay of this name where it is one's, with its hint in these words.
    pub fn of_failure(&self, failure: Failure, relay: Option<&str>) -> Failure {
        let hint = failure.hint.as_deref().map(|hint| self.told(hint, relay));
        Failure { hint, ..failure }
    }

    /// What is said where there is no hint: of a variable that does not count.
    pub fn alone(&self) -> Option<&str> {
        self.ignored.as_deref()
    }
}

/// `hint` with this beside it; a command is left as it is, to be copied whole.
pub(super) fn with_more(hint: Option<&str>, more: &str) -> String {
    match hint {
        Some(hint) if hint.starts_with("sudo ") => hint.to_owned(),
        Some(hint) => format!("{hint}; {more}"),
        None => more.to_owned(),
    }
}

/// The variables of one relay.
struct Variables {
    url: &'static str,
    from: &'static str,
    username: &'static str,
    password: &'static str,
    tls: Option<&'static str>,
}

impl Variables {
    fn of(variable: &'static str, tls: Option<&'static str>, relay: Option<&str>) -> Self {
        let (url, from, username, password) = match (variable, relay) {
            // Its login stands in it; where that is wrong, these are not what holds it, but say what is meant.
            (dsn::VARIABLE, _) => (variable, "MAILCHUTE_FROM", "the user name", "the password in MAILER_DSN"),
            (laravel::VARIABLE, _) => (variable, "MAIL_FROM_ADDRESS", "MAIL_USERNAME", "MAIL_PASSWORD"),
            (_, Some("backup")) => {
                ("MAILCHUTE_BACKUP_URL", "MAILCHUTE_FROM", "MAILCHUTE_BACKUP_USERNAME", "MAILCHUTE_BACKUP_PASSWORD")
            }
            _ => (variable, "MAILCHUTE_FROM", "MAILCHUTE_USERNAME", "MAILCHUTE_PASSWORD"),
        };
        Self { url, from, username, password, tls }
    }

    fn told(&self, hint: &str) -> String {
        if let Some(told) = mounted(hint) {
            return told;
        }
        let mut text = hint.to_owned();
        for (theirs, ours) in WORDS {
            text = text.replace(theirs, ours);
        }
        let text = text.replace("{from}", self.from).replace("{username}", self.username);
        let text = text.replace("{password}_FILE", &self.file()).replace("{password}", self.password);
        self.settings(&text)
    }

    /// The variable that names the file of the password.
    fn file(&self) -> String {
        match self.url {
            dsn::VARIABLE => "MAILCHUTE_PASSWORD_FILE, beside MAILCHUTE_URL in place of MAILER_DSN,".to_owned(),
            _ => format!("{}_FILE", self.password),
        }
    }

    /// `text` with each run of `KEY = VALUE` as what is to be done with the variables.
    fn settings(&self, text: &str) -> String {
        let (mut done, mut rest) = (String::with_capacity(text.len()), text);
        while let Some((before, setting, after)) = first_setting(rest) {
            let mut run = vec![setting];
            let mut behind = after;
            while let Some((gap, setting, after)) = first_setting(behind)
                && [" and ", ", ", " with ", " or "].contains(&gap)
            {
                run.push(setting);
                behind = after;
            }
            let verb = ["set ", "add ", "write "].iter().find_map(|verb| before.strip_suffix(verb));
            done.push_str(verb.unwrap_or(before));
            done.push_str(&self.clause(&run));
            rest = of_nobody(behind);
        }
        done + rest
    }

    /// What is to be done with the variables for these settings to hold.
    fn clause(&self, settings: &[(&str, String)]) -> String {
        let (mut clauses, mut query, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
        let url = self.url;
        for (key, value) in settings {
            match (url, *key, value.as_str()) {
                (laravel::VARIABLE, "tls", "implicit" | "starttls" | "either") => clauses.push(self.laravels(value)),
                (laravel::VARIABLE, "tls", "465") => clauses.push("set MAIL_PORT=465".to_owned()),
                (laravel::VARIABLE, "host", value) => clauses.push(format!("set MAIL_HOST={value}")),
                (laravel::VARIABLE, "port", value) => clauses.push(format!("set MAIL_PORT={value}")),
                (_, "username", value) => clauses.push(format!("set {} to {value}", self.username)),
                (laravel::VARIABLE, key, value) => foreign.push(format!("{key}={value}")),
                (_, "tls", "implicit") => clauses.push(format!("write smtps://HOST:PORT in {url}")),
                (_, "tls", "starttls") => clauses.push(format!("write smtp://HOST:PORT in {url}")),
                (_, "tls", "either") => clauses.push(format!("write smtp://HOST:587 or smtps://HOST in {url}")),
                (_, "tls", "465") => clauses.push(format!("write smtps://HOST in {url}")),
                (_, "host", value) => clauses.push(format!("write {value} as the host in {url}")),
                (_, "port", value) => clauses.push(format!("write :{value} behind the host in {url}")),
                (_, "via", way) => clauses.push(format!("write PROVIDER+{way}://default in {url}")),
                (dsn::VARIABLE, key, value) => match symfonys(key, value) {
                    Some(option) => query.push(option),
                    None => foreign.push(format!("{key}={value}")),
                },
                (_, key, value) => query.push(format!("{key}={value}")),
            }
        }
        if !query.is_empty() {
            clauses.push(format!("add ?{} to {url}", query.join("&")));
        }
        if !foreign.is_empty() {
            clauses.push(format!("use MAILCHUTE_URL in place of {url}, with ?{}", foreign.join("&")));
        }
        clauses.join(" and ")
    }

    /// The variable of Laravel that says this of TLS: the one that is set goes before the other.
    fn laravels(&self, tls: &str) -> String {
        let word = match (self.tls, tls) {
            (Some("MAIL_SCHEME"), "implicit") => "MAIL_SCHEME=smtps",
            (Some("MAIL_SCHEME"), "starttls") => "MAIL_SCHEME=smtp",
            (_, "implicit") => "MAIL_ENCRYPTION=ssl",
            (_, "starttls") => "MAIL_ENCRYPTION=tls",
            _ => "MAIL_ENCRYPTION=tls (port 587) or MAIL_ENCRYPTION=ssl (port 465)",
        };
        format!("set {word}")
    }
}

/// What Symfony's options call a setting, with its value.
fn symfonys(key: &str, value: &str) -> Option<String> {
    let key = match (key, value) {
        ("tls", "none") => return Some("auto_tls=false".to_owned()),
        ("fingerprint", _) => "peer_fingerprint",
        ("helo", _) => "local_domain",
        ("source", _) => "source_ip",
        ("auth", _) => "auth_mode",
        ("region", _) => "region",
        _ => return None,
    };
    Some(format!("{key}={value}"))
}

/// The first `KEY = VALUE` in `text`, with a key of ours: what stands before it, key and bare value, what follows.
fn first_setting(text: &str) -> Option<(&str, (&str, String), &str)> {
    text.match_indices(" = ").find_map(|(at, sign)| {
        let start = text[..at].rfind(|c: char| !(c.is_ascii_lowercase() || c == '_')).map_or(0, |before| before + 1);
        let key = &text[start..at];
        let is_ours = OF_RELAY.contains(&key) || OF_SITE.contains(&key) || MORE.contains(&key);
        let (value, rest) = value(&text[at + sign.len()..])?;
        is_ours.then(|| (&text[..start], (key, value), rest))
    })
}

/// A value as a URL has it, and what follows it.
fn value(text: &str) -> Option<(String, &str)> {
    let closed = |open: char, close: char| {
        let inside = text.strip_prefix(open)?;
        inside.split_once(close)
    };
    if let Some((value, rest)) = closed('"', '"').or_else(|| closed('`', '`')) {
        return Some((value.to_owned(), rest));
    }
    if let Some((list, rest)) = closed('[', ']') {
        let words: Vec<&str> = list.split(',').map(|word| word.trim().trim_matches('"')).collect();
        return Some((words.join(","), rest));
    }
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, ';' | ',' | ')')).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].to_owned(), &text[end..]))
}

/// `text` without the place in a file that it begins with.
fn of_nobody(text: &str) -> &str {
    let is_name = |name: &str| !name.contains(char::is_whitespace);
    let of_table = || text.strip_prefix(" in [relay.")?.split_once(']').filter(|(name, _)| is_name(name));
    match of_table() {
        Some((_, rest)) => rest,
        None => [" for this relay", " on this relay"].iter().find_map(|end| text.strip_prefix(end)).unwrap_or(text),
    }
}

/// What there is to do in a container where a host's root would run this command.
fn mounted(hint: &str) -> Option<String> {
    if let Some((_, path)) = hint.strip_prefix("sudo install ").and_then(|rest| rest.rsplit_once(" /dev/stdin ")) {
        let path = path.split(", GROUP ").next().unwrap_or(path);
        return Some(format!(
            "mount the secret at {path}, or name the place where it is in the variable that ends in _FILE"
        ));
    }
    let is_spool = hint.contains("install -d -m 1733 /var/spool/mailchute") || hint == "sudo mailchute init --users";
    is_spool.then(|| {
        format!(
            "mount a volume at /var/spool/mailchute that uid {} may write to (emptyDir, tmpfs), or leave \
             on_relay_failure out",
            getuid()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "MAILCHUTE_URL";

    fn told(variable: &'static str, hint: &str) -> String {
        Wording::of_variable(variable).told(hint, Some("main"))
    }

    #[test]
    fn hints_are_told_in_the_words_of_their_source() {
        for (hint, url, dsn, laravel) in [
            (
                "this relay requires a login: set username and password",
                "this relay requires a login: set MAILCHUTE_USERNAME and MAILCHUTE_PASSWORD",
                "this relay requires a login: set the user name and the password in MAILER_DSN",
                "this relay requires a login: set MAIL_USERNAME and MAIL_PASSWORD",
            ),
            (
                "does port 587 speak STARTTLS? Then set tls = \"starttls\"",
                "does port 587 speak STARTTLS? Then write smtp://HOST:PORT in MAILCHUTE_URL",
                "does port 587 speak STARTTLS? Then write smtp://HOST:PORT in MAILER_DSN",
                "does port 587 speak STARTTLS? Then set MAIL_ENCRYPTION=tls",
            ),
            (
                "if it is the right one, set fingerprint = \"57:C7\"",
                "if it is the right one, add ?fingerprint=57:C7 to MAILCHUTE_URL",
                "if it is the right one, add ?peer_fingerprint=57:C7 to MAILER_DSN",
                "if it is the right one, use MAILCHUTE_URL in place of MAIL_HOST, with ?fingerprint=57:C7",
            ),
            (
                "if that is the server meant, set host = \"mx.example\"",
                "if that is the server meant, write mx.example as the host in MAILCHUTE_URL",
                "if that is the server meant, write mx.example as the host in MAILER_DSN",
                "if that is the server meant, set MAIL_HOST=mx.example",
            ),
            (
                "if it is: port = 2525 in [relay.main]",
                "write :2525 behind the host in MAILCHUTE_URL",
                "write :2525 behind the host in MAILER_DSN",
                "set MAIL_PORT=2525",
            ),
            (
                "set `from` to `a@x`, and set sender = [\"a@x\", \"b@x\"] and other_sender = \"rewrite\"",
                "set MAILCHUTE_FROM to `a@x`, and add ?sender=a@x,b@x&other_sender=rewrite to MAILCHUTE_URL",
                "set MAILCHUTE_FROM to `a@x`, and use MAILCHUTE_URL in place of MAILER_DSN, with \
                 ?sender=a@x,b@x&other_sender=rewrite",
                "set MAIL_FROM_ADDRESS to `a@x`, and use MAILCHUTE_URL in place of MAIL_HOST, with \
                 ?sender=a@x,b@x&other_sender=rewrite",
            ),
            (
                "set pipelining = false on this relay, or set ca_file",
                "add ?pipelining=false to MAILCHUTE_URL, or add ?ca_file=FILE to MAILCHUTE_URL",
                "use MAILCHUTE_URL in place of MAILER_DSN, with ?pipelining=false, or use MAILCHUTE_URL in place of \
                 MAILER_DSN, with ?ca_file=FILE",
                "use MAILCHUTE_URL in place of MAIL_HOST, with ?pipelining=false, or use MAILCHUTE_URL in place of \
                 MAIL_HOST, with ?ca_file=FILE",
            ),
            (
                "sudo install -m 0640 -g root /dev/stdin /run/secrets/smtp",
                "mount the secret at /run/secrets/smtp, or name the place where it is in the variable that ends in _FILE",
                "mount the secret at /run/secrets/smtp, or name the place where it is in the variable that ends in _FILE",
                "mount the secret at /run/secrets/smtp, or name the place where it is in the variable that ends in _FILE",
            ),
            (
                "check how a = b is spelled",
                "check how a = b is spelled",
                "check how a = b is spelled",
                "check how a = b is spelled",
            ),
        ] {
            assert_eq!(Wording::FILE.told(hint, Some("main")), hint);
            assert_eq!(told(URL, hint), url);
            assert_eq!(told(dsn::VARIABLE, hint), dsn);
            assert_eq!(told(laravel::VARIABLE, hint), laravel);
        }
    }

    #[test]
    fn the_relay_and_what_is_set_decide_which_variable_it_is() {
        let hint = "set username and password; set tls = \"implicit\"";
        assert_eq!(
            Wording::of_variable(URL).told(hint, Some("backup")),
            "set MAILCHUTE_BACKUP_USERNAME and MAILCHUTE_BACKUP_PASSWORD; write smtps://HOST:PORT in MAILCHUTE_BACKUP_URL"
        );
        let scheme = Wording { tls: Some("MAIL_SCHEME"), ..Wording::of_variable(laravel::VARIABLE) };
        assert_eq!(scheme.told("set tls = \"starttls\"", None), "set MAIL_SCHEME=smtp");
    }

    #[test]
    fn a_name_that_means_nothing_is_told_where_its_right_one_is_named() {
        let unknown = |theirs: &str, ours: &str| Unknown { theirs: theirs.into(), ours: Some(ours.into()) };
        let wording = Wording {
            unknown: vec![
                unknown("MAILCHUTE_PASS", "MAILCHUTE_PASSWORD"),
                unknown("MAILCHUTE_USER", "MAILCHUTE_USERNAME"),
                unknown("MAILCHUTE_PASSW_FILE", "MAILCHUTE_PASSWORD_FILE"),
            ],
            ..Wording::of_variable(URL)
        };
        assert_eq!(
            wording.told("set username and password", None),
            "set MAILCHUTE_USERNAME and MAILCHUTE_PASSWORD; MAILCHUTE_PASS and MAILCHUTE_USER are not known here: \
             write MAILCHUTE_PASSWORD and MAILCHUTE_USERNAME"
        );
        assert_eq!(wording.told("check the clock", None), "check the clock");
    }
}
