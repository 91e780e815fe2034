//! The subcommands, read by clap. Never touched on the sendmail path.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use super::alert::{AlertTask, Alerts};
use super::check::Check;
use super::dialect::{self, Mode, OUR_NAME, Sendmail};
use super::import::{IMPORT, Import};
use super::init::Init;
use super::log::{self, Log, Report, SEARCH, Show};
use super::queue::{Queue, Task};
use super::secret::SecretTask;
use crate::config;
use crate::failure::{Failure, Kind};
use crate::oauth::login::Flow;
use crate::plan::Choice;
use crate::reply::{TEXT_LIMIT, printable};
use crate::spelling;

/// A subcommand with what was typed behind it. `--site`, `--config` and `--relay` stand in the invocation, wherever
/// they were written.
#[derive(Clone, Debug)]
pub enum Tool {
    /// Look after alerts.
    Alert(AlertTask),
    /// Let a site or a user send nothing for a while.
    Ban(SetBan),
    /// List who is banned.
    Bans(ListBans),
    /// Look at the whole set-up.
    Check(Check),
    /// Show what would be sent, and why.
    Explain(Explain),
    /// Take over what another program sends mail with.
    Import(Import),
    /// Set up a relay, or print the environment's configuration.
    Init(Box<Init>),
    /// Say what would be changed in the message on standard input.
    Lint,
    /// Have a person grant what a relay needs to send.
    Login(Login),
    /// Find messages again.
    Log(Log),
    /// Print the registry of providers.
    Providers(Providers),
    /// Look after the messages that wait.
    Queue(Task),
    /// The figures of a week.
    Report(Report),
    /// Send messages once more that are done with.
    Resend(Resend),
    /// Store secrets, or look at those that are stored.
    Secret(SecretTask),
    /// Tell all that is known of one message.
    Show(Show),
    /// Say what an exit status stands for.
    Status(Status),
    /// Send a message composed here.
    Test(Test),
    /// Lift a ban.
    Unban(LiftBan),
}

/// Whom a ban hits.
#[derive(Args, Clone, Debug, Default)]
#[group(required = true, multiple = false)]
pub struct Whom {
    /// The site, and its users wherever they would speak instead
    #[arg(value_name = "SITE")]
    pub site: Option<String>,
    /// This user (name or uid), as whatever site
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
}

/// `mailchute ban`.
#[derive(Args, Clone, Debug)]
pub struct SetBan {
    /// Whom it hits.
    #[command(flatten)]
    pub whom: Whom,
    /// How long, such as 30m, 6h, 2d or 1w [default: until it is lifted]
    #[arg(long = "for", value_name = "TIME", value_parser = span)]
    pub span: Option<Duration>,
    /// The reason, which a refused caller is told
    #[arg(long, value_name = "TEXT")]
    pub because: Option<String>,
}

/// `mailchute unban`.
#[derive(Args, Clone, Debug)]
pub struct LiftBan {
    /// Whom it hits.
    #[command(flatten)]
    pub whom: Whom,
}

/// `mailchute bans`.
#[derive(Args, Clone, Debug)]
pub struct ListBans {
    /// Only this site, and what sent the last hundred of its messages
    #[arg(value_name = "SITE")]
    pub name: Option<String>,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
}

/// `mailchute explain`.
#[derive(Clone, Debug)]
pub struct Explain {
    /// Who calls.
    pub speaker: Speaker,
    /// The command line to explain, in the sendmail dialect. May lack recipients.
    pub of: Sendmail,
}

/// `mailchute test`.
#[derive(Args, Clone, Debug)]
pub struct Test {
    /// Recipient; may be repeated
    #[arg(long, required = true, value_name = "ADDRESS", value_parser = address)]
    pub to: Vec<String>,
    /// Sender: reverse-path and From field [default: the site's]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub from: Option<String>,
    /// Who calls.
    #[command(flatten)]
    pub speaker: Speaker,
    #[command(flatten)]
    options: Options,
}

/// Where a configuration that a command makes goes.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Writing {
    /// Write what would be shown, secrets included
    #[arg(long, conflicts_with = "output")]
    pub write: bool,
    /// Write it, to this file in place of the one in /etc/mailchute
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Put it in the place of what is there
    #[arg(long)]
    pub replace: bool,
}

impl Writing {
    /// Whether anything is to be written.
    pub fn is_wanted(&self) -> bool {
        self.write || self.output.is_some()
    }
}

/// `mailchute login`.
#[derive(Args, Clone, Debug)]
pub struct Login {
    /// The relay to log in for [default: the only one that uses OAuth]
    #[arg(value_name = "RELAY")]
    pub name: Option<String>,
    /// Show stored logins; contact no one
    #[arg(long, conflicts_with_all = ["device", "browser", "paste"])]
    pub status: bool,
    /// Log in for this user (name or uid), the one that sends mail
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,
    /// Confirm a code in any browser, on any machine (the default for Microsoft)
    #[arg(long, group = "flow")]
    device: bool,
    /// Use a browser on this machine
    #[arg(long, group = "flow")]
    browser: bool,
    /// Use a browser on another machine, and paste the address it ends at
    #[arg(long, group = "flow")]
    paste: bool,
    /// Somebody types at standard input, though it is no terminal: what root's own process says to the user's.
    #[arg(long, hide = true)]
    pub typed: bool,
    #[command(flatten)]
    options: Options,
}

impl Login {
    /// The way that was asked for.
    pub fn flow(&self) -> Option<Flow> {
        let flows = [(self.device, Flow::Device), (self.browser, Flow::Browser), (self.paste, Flow::Paste)];
        flows.into_iter().find_map(|(is_meant, flow)| is_meant.then_some(flow))
    }
}

/// `mailchute providers`.
#[derive(Args, Clone, Debug)]
pub struct Providers {
    /// Show everything known about this provider
    #[arg(value_name = "ID")]
    pub id: Option<String>,
}

/// `mailchute resend`.
#[derive(Args, Clone, Debug)]
pub struct Resend {
    /// The messages' IDs
    #[arg(value_name = "ID", required = true)]
    pub ids: Vec<String>,
    /// Send it to this address instead, below a block of Resent- fields; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub to: Vec<String>,
    /// Send again what was accepted, or may have been
    #[arg(long)]
    pub again: bool,
    /// What this user (name or uid) sent; for root, who sees everybody's otherwise
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,
}

/// `mailchute status`.
#[derive(Args, Clone, Debug)]
pub struct Status {
    /// An exit status, decimal or hexadecimal (154, 0x9a), or an SMTP reply code (554)
    #[arg(value_name = "NUMBER")]
    pub number: String,
}

/// Stands in for the caller: sites are chosen by uid and working directory.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct Speaker {
    /// As this user (name or uid)
    #[arg(long = "as", value_name = "USER")]
    pub user: Option<String>,
    /// In this working directory
    #[arg(long, value_name = "DIR")]
    pub cwd: Option<PathBuf>,
}

/// Our long options, behind the subcommand's name.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct Options {
    /// Send as this site
    #[arg(long)]
    site: Option<String>,
    /// Read this configuration file and nothing else
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Use only this relay of the site
    #[arg(long)]
    relay: Option<String>,
}

#[derive(Parser)]
#[command(name = "mailchute", disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Let a site, or a user, send nothing until a time or until `unban` (root)
    Ban(SetBan),
    /// List who is banned, until when and why
    Bans(ListBans),
    /// Look at the whole set-up, and say what is wrong and what mends it; change and send nothing
    Check(Check),
    /// Show what would be sent, and why: site, envelope, relays, credentials
    #[command(disable_help_flag = true)]
    Explain(ExplainWords),
    /// Send a short message, and show the conversation and the exit status
    Test(Test),
    /// List who is told when something goes wrong, and test it
    Alert(Alerts),
    /// List what would be changed in the message on standard input, and why
    Lint,
    /// Log in to Google, Microsoft 365 or others with OAuth, or show stored logins
    Login(Login),
    /// Find messages again, with figures, and follow them as they come
    #[command(after_help = SEARCH)]
    Log(Log),
    /// Tell all that is known of one message
    Show(Show),
    /// List the mail providers that are built in
    Providers(Providers),
    /// List the messages that wait, are held or were given up, and look after them
    Queue(Queue),
    /// Tell how mail fared: figures, reasons and charts, as text, as a page or by mail
    Report(Report),
    /// Send a message once more that was given up, or of which a copy is kept
    Resend(Resend),
    /// Store a password, token or key for those who send, or look at the ones that are stored
    #[command(subcommand, arg_required_else_help = false, disable_help_subcommand = true)]
    Secret(SecretTask),
    /// Explain an exit status or an SMTP reply code
    Status(Status),
    /// Lift a ban (root)
    Unban(LiftBan),
    /// Take over what msmtp, ssmtp and others are configured with, and say what changes
    #[command(after_help = IMPORT)]
    Import(Import),
    /// Set up mail: what is asked at a terminal, or said by options, as a configuration that works
    #[command(after_help = INIT)]
    Init(Box<Init>),
}

/// Where `init --help` leads.
const INIT: &str = "\
With neither --write nor --output it is shown, and nothing is written. At a terminal, what no option says
is asked; without one that is status 64 with the options that are missing. The secret is never an option.

With Postmark, for PHP as www-data:
  mailchute init --provider postmark --from 'Shop <orders@shop.example>' --user www-data \\
    --alias '*=ops@shop.example' --secret-stdin --write < token

The variables that --from-env reads:
  MAILCHUTE_URL        smtps://HOST (port 465), smtp://HOST:587 (STARTTLS), PROVIDER://default;
                       any key of a relay or site as a query: ?ca_file=/etc/ca.pem
  MAILCHUTE_USERNAME   user name
  MAILCHUTE_PASSWORD   password, or the client_secret beside a client_id
  MAILCHUTE_KEY        token or API key, for providers that have one instead
  MAILCHUTE_FROM       sender where a message names none
  MAILCHUTE_LOG        journal, syslog, stderr or a path
  MAILCHUTE_BACKUP_URL, MAILCHUTE_BACKUP_USERNAME, ...: a second relay
Each that holds a secret has a twin ending in _FILE. Without MAILCHUTE_URL, Symfony's MAILER_DSN is
read, and without that Laravel's MAIL_HOST, MAIL_PORT, MAIL_USERNAME, MAIL_PASSWORD and so on.

A file for PHP-FPM, which clears the environment, written when the container starts:
  mailchute init --from-env | install -D -m 0640 -g www-data /dev/stdin /etc/mailchute/config.toml";

#[derive(Args)]
struct ExplainWords {
    #[command(flatten)]
    speaker: Speaker,
    #[command(flatten)]
    options: Options,
    // `-h` belongs to the sendmail dialect.
    /// Print help
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// The words a program would give to sendmail
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "SENDMAIL ARGUMENT")]
    words: Vec<OsString>,
}

/// Name and purpose of every subcommand.
pub(super) fn list() -> Vec<(String, String)> {
    let about = |command: &clap::Command| command.get_about().map(ToString::to_string).unwrap_or_default();
    Line::command().get_subcommands().map(|command| (command.get_name().to_owned(), about(command))).collect()
}

/// What a subcommand's words come to.
pub(super) enum Read {
    /// The subcommand.
    Tool(Tool),
    /// Its help text.
    Help(String),
    /// Arguments it does not take.
    Misuse(Failure),
}

/// Reads a subcommand and its arguments; our long options among them go into `choice`.
///
/// # Errors
/// `Usage`: no such subcommand.
pub(super) fn read(words: impl Iterator<Item = OsString>, choice: &mut Choice) -> Result<Read, Failure> {
    let words: Vec<OsString> = words.collect();
    let command = words.first().map(|word| printable(word.as_encoded_bytes(), TEXT_LIMIT)).unwrap_or_default();
    let names = list();
    if !names.iter().any(|(name, _)| *name == command) {
        return Err(unknown(&command, names.iter().map(|(name, _)| name.as_str())));
    }
    let words = if command == "log" { log::negated(words) } else { words };
    let line = match Line::try_parse_from(std::iter::once(OsString::from(OUR_NAME)).chain(words)) {
        Ok(line) => line,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => return Ok(Read::Help(error.render().to_string())),
        Err(error) => return Ok(Read::Misuse(misuse(&command, &error))),
    };
    let mut choose = |options: Options| {
        choice.site = options.site.or(choice.site.take());
        choice.config = options.config.or(choice.config.take());
        choice.relay = options.relay.or(choice.relay.take());
    };
    Ok(Read::Tool(match line.command {
        Command::Explain(words) => {
            choose(words.options);
            match dialect::read(words.words.into_iter(), OUR_NAME, Mode::Deliver) {
                Ok(of) => Tool::Explain(Explain { speaker: words.speaker, of }),
                Err(failure) => return Ok(Read::Misuse(failure)),
            }
        }
        Command::Test(mut test) => {
            choose(std::mem::take(&mut test.options));
            Tool::Test(test)
        }
        Command::Check(check) => Tool::Check(check.chosen(choice)),
        Command::Ban(ban) => Tool::Ban(ban),
        Command::Bans(bans) => Tool::Bans(bans),
        Command::Unban(unban) => Tool::Unban(unban),
        Command::Alert(alerts) => {
            let mut task = alerts.task();
            choose(task.options());
            Tool::Alert(task)
        }
        Command::Lint => Tool::Lint,
        Command::Log(log) => Tool::Log(log.within(choice)),
        Command::Show(show) => Tool::Show(show),
        Command::Login(mut login) => {
            choose(std::mem::take(&mut login.options));
            Tool::Login(login)
        }
        Command::Providers(providers) => Tool::Providers(providers),
        Command::Queue(queue) => Tool::Queue(queue.task(choice)),
        Command::Report(report) => Tool::Report(report.within(choice)),
        Command::Resend(resend) => Tool::Resend(resend),
        Command::Secret(task) => Tool::Secret(task.chosen(choice)),
        Command::Status(status) => Tool::Status(status),
        Command::Import(import) => {
            Tool::Import(Import { site: import.site.clone().or_else(|| choice.site.clone()), ..import })
        }
        Command::Init(init) => Tool::Init(init),
    }))
}

fn unknown<'a>(word: &str, names: impl Iterator<Item = &'a str>) -> Failure {
    let failure = Failure::new(Kind::Usage, word, "no such subcommand");
    match spelling::nearest(word, names) {
        Some(near) => failure.hint(format!("did you mean `mailchute {near}`?")),
        None => failure.hint("see `mailchute --help`; to send to this name, `mailchute -- NAME`"),
    }
}

/// clap's message as one line of ours: its first paragraph, without the `error: ` before it.
fn misuse(command: &str, error: &clap::Error) -> Failure {
    let text = error.render().to_string();
    let paragraph: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let why = paragraph.join(" ");
    let why = why.strip_prefix("error: ").unwrap_or(&why);
    Failure::new(Kind::Usage, command, printable(why.as_bytes(), TEXT_LIMIT))
        .hint(format!("see `mailchute {command} --help`"))
}

fn span(text: &str) -> Result<Duration, String> {
    config::days(text).ok_or_else(|| "must be a time such as 30m, 6h, 2d or 1w, from a minute to 60 days".to_owned())
}

pub(super) fn address(text: &str) -> Result<String, String> {
    dialect::address("address", text.as_ref()).map_err(|failure| failure.why)
}
