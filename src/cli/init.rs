//! The words of `mailchute init`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

use super::check::server;
use super::commands::{Writing, address};

/// `mailchute init`. What is asked at a terminal is said here, field by field: a question fills in the option of its answer.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Init {
    /// Mail is sent as this mailbox where a message does not say: an address, with or without a name
    #[arg(long, value_name = "MAILBOX")]
    pub from: Option<String>,
    /// As --from, and the provider is looked for by its domain
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub email: Option<String>,
    /// Begin with what another mailer is set up with: its server, login and sender
    #[arg(long, value_name = "KIND",
        conflicts_with_all = ["provider", "region", "via", "host", "port", "username", "domain", "set", "client_id"])]
    pub import: Option<String>,
    /// Take this difference, which --import names; may be repeated
    #[arg(long, value_name = "CODE", requires = "import")]
    pub accept: Vec<String>,
    /// The mail provider, see `mailchute providers`
    #[arg(long, value_name = "ID")]
    pub provider: Option<String>,
    /// The provider's region
    #[arg(long, value_name = "NAME")]
    pub region: Option<String>,
    /// By SMTP, or by the provider's HTTP API
    #[arg(long, value_name = "smtp|api")]
    pub via: Option<String>,
    /// The SMTP server, where it is no provider's
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// Its port
    #[arg(long, value_name = "NUMBER")]
    pub port: Option<u16>,
    /// The user name, or the key that stands for one
    #[arg(long, value_name = "NAME")]
    pub username: Option<String>,
    /// The sending domain, where the provider's API asks for it
    #[arg(long, value_name = "DOMAIN")]
    pub domain: Option<String>,
    /// Any other key of the relay, see mailchute.toml(5); may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Log in with OAuth, as this client; its secret is the one that is asked for
    #[arg(long, value_name = "ID")]
    pub client_id: Option<String>,
    /// Read the password, token or key from standard input, and store it
    #[arg(long, group = "secret")]
    pub secret_stdin: bool,
    /// The file that holds it
    #[arg(long, value_name = "FILE", group = "secret")]
    pub secret_file: Option<PathBuf>,
    /// The environment variable that holds it
    #[arg(long, value_name = "NAME", group = "secret")]
    pub secret_env: Option<String>,
    /// The program that prints it, with its words
    #[arg(long, value_name = "COMMAND", group = "secret")]
    pub secret_command: Option<String>,
    /// The systemd credential that holds it
    #[arg(long, value_name = "NAME", group = "secret")]
    pub secret_credential: Option<String>,
    /// Only this user sends, and root; may be repeated
    #[arg(long, value_name = "USER", conflicts_with = "sites_by_pool")]
    pub user: Vec<String>,
    /// One site for each pool of PHP-FPM, which only the pool's user speaks for
    #[arg(long)]
    pub sites_by_pool: bool,
    /// The site's name, where users are named [default: main]
    #[arg(long, value_name = "NAME", conflicts_with = "sites_by_pool")]
    pub site: Option<String>,
    /// The group that reads the secret [default: that of the users; without users, everybody in it may send]
    #[arg(long, value_name = "GROUP")]
    pub group: Option<String>,
    /// Whom mail may be from; may be repeated [default: everybody at the domain of --from, or that address alone where the provider has people's mailboxes]
    #[arg(long, value_name = "PATTERN")]
    pub sender: Vec<String>,
    /// Put another sender right (the default)
    #[arg(long, conflicts_with = "refuse")]
    pub rewrite: bool,
    /// Refuse another sender
    #[arg(long)]
    pub refuse: bool,
    /// Mail to this local name goes to this address; * stands for every other; may be repeated
    #[arg(long, value_name = "NAME=ADDRESS")]
    pub alias: Vec<String>,
    /// Make the links /usr/sbin/sendmail, mailq and newaliases, as the installer does if asked to; alone: only these
    #[arg(long)]
    pub take_sendmail: bool,
    /// Whom the test message goes to [default: the alias of every other name, else the address of --from]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub to: Option<String>,
    /// Send no test message
    #[arg(long)]
    pub no_test: bool,
    /// Ask this name server about the domain, in place of the system's
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = server)]
    pub dns: Option<SocketAddr>,
    /// Ask no network for anything, and send no test message
    #[arg(long)]
    pub no_network: bool,
    /// Where it goes.
    #[command(flatten)]
    pub writing: Writing,
    /// Ask nothing: take what would stand in [ ]
    #[arg(long)]
    pub yes: bool,
    /// Print the configuration in MAILCHUTE_URL, MAILER_DSN or MAIL_HOST and their companions as a file
    #[arg(long, exclusive = true)]
    pub from_env: bool,
    /// As root: make the directories in which the users that sites name keep tokens, state and messages
    #[arg(long, exclusive = true)]
    pub users: bool,
    /// What --import comes to.
    #[arg(skip)]
    pub taken: Option<Taken>,
}

impl Init {
    /// Whether the names of sendmail are all that is asked for.
    pub fn only_takes_sendmail(&self) -> bool {
        *self == Self { take_sendmail: true, ..Self::default() }
    }
}

/// What another mailer is set up with, in lines of ours; no secret is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// The lines of the relay.
    pub relay: Vec<String>,
    /// The key of the relay that its secret is stored for.
    pub secret_key: Option<String>,
    /// Whether the secret is known, or where it is.
    pub has_secret: bool,
    /// The sender, where it says one that no option says.
    pub from: Option<String>,
    /// The other lines of the top level.
    pub top: Vec<String>,
    /// Whether those say whom mail may be from.
    pub has_senders: bool,
    /// The lines of `[alias]`.
    pub alias: Vec<String>,
    /// Whether those say where mail to every other local name goes.
    pub has_every_name: bool,
    /// The lines of `[log]`.
    pub log: Vec<String>,
}
