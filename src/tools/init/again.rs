//! The command that does the same without a question.

use crate::cli::init::Init;

/// The command line of these options, as a shell takes it; the secret comes from standard input where it was typed.
pub(super) fn command(of: &Init) -> String {
    let mut words = vec!["mailchute".to_owned(), "init".to_owned()];
    let mut option = |name: &str, value: &str| words.extend([name.to_owned(), quoted(value)]);
    let port = of.port.map(|port| port.to_string());
    let path = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    // What another mailer's settings say is not said again.
    let taken = of.taken.as_ref();
    let own = |value: &Option<String>| value.clone().filter(|_| taken.is_none());
    let given = [
        ("--from", of.from.clone().filter(|from| taken.is_none_or(|taken| taken.from.as_ref() != Some(from)))),
        ("--email", of.email.clone()),
        ("--import", of.import.clone()),
        ("--provider", own(&of.provider)),
        ("--region", own(&of.region)),
        ("--via", own(&of.via)),
        ("--host", own(&of.host)),
        ("--port", port),
        ("--username", of.username.clone()),
        ("--domain", of.domain.clone()),
        ("--client-id", of.client_id.clone()),
        ("--secret-file", path(&of.secret_file)),
        ("--secret-env", of.secret_env.clone()),
        ("--secret-command", of.secret_command.clone()),
        ("--secret-credential", of.secret_credential.clone()),
        ("--site", of.site.clone()),
        ("--group", of.group.clone()),
        ("--to", of.to.clone()),
        ("--dns", of.dns.map(|server| server.to_string())),
        ("--output", path(&of.writing.output)),
    ];
    for (name, value) in given {
        if let Some(value) = value {
            option(name, &value);
        }
    }
    for (name, values) in [
        ("--accept", &of.accept),
        ("--set", &of.set),
        ("--user", &of.user),
        ("--sender", &of.sender),
        ("--alias", &of.alias),
    ] {
        values.iter().for_each(|value| option(name, value));
    }
    for (name, is_set) in [
        ("--sites-by-pool", of.sites_by_pool),
        ("--rewrite", of.rewrite),
        ("--refuse", of.refuse),
        ("--take-sendmail", of.take_sendmail),
        ("--no-test", of.no_test),
        ("--no-network", of.no_network),
        ("--write", of.writing.write),
        ("--replace", of.writing.replace),
        ("--secret-stdin", of.secret_stdin),
    ] {
        if is_set {
            words.push(name.to_owned());
        }
    }
    let end = if of.secret_stdin { " < FILE" } else { "" };
    words.join(" ") + end
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
