//! `mailchute init`: a configuration from what is asked or said, the environment's as a file, and the directories of those
//! that send.

mod again;
mod ask;
mod attempted;
mod discovery;
mod draft;
mod links;
mod plan;
mod reroute;
mod surroundings;
mod takeover;
mod trial;

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use nix::unistd::{geteuid, getuid};
use zeroize::Zeroizing;

use self::ask::{is_wanted, say};
use self::links::Links;
use self::plan::Plan;
use self::surroundings::Surroundings;
use crate::caller::Caller;
use crate::cli::init::Init;
use crate::config::site::NOBODY;
use crate::config::{Search, init_from_environment};
use crate::door;
use crate::exit;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::keep::Place;
use crate::limit::ban;
use crate::modes::group_name;
use crate::plan::Choice;
use crate::secret::Secret;
use crate::tools::secret::typed;

/// Does it, and returns the exit status.
///
/// # Errors
/// An option is wrong or missing, there is no configuration or it has a mistake, this is not root, something is in the
/// way, or standard output cannot be written.
pub fn run(of: &Init, choice: &Choice) -> anyhow::Result<u8> {
    let text = match () {
        () if of.users => made_directories(choice)?.into(),
        () if of.from_env => from_environment()?,
        () if of.only_takes_sendmail() => taken_names()?.into(),
        () => return Ok(set_up(of.clone())?),
    };
    door::say(&text).context("standard output")?;
    Ok(exit::OK)
}

/// What whoever is stopped is told.
struct Stage {
    /// How far it came. Held while files are written, so that none of them is half of it.
    at: Arc<Mutex<&'static str>>,
}

impl Stage {
    /// From now on a signal ends this between two steps and never within one.
    fn watch() -> Self {
        let at = Arc::new(Mutex::new("stopped: nothing was written"));
        let seen = Arc::clone(&at);
        typed::watch(move || *seen.lock().unwrap_or_else(PoisonError::into_inner));
        Self { at }
    }

    /// Does `step`, in one, and then is where `done` says.
    fn step(&self, step: impl FnOnce() -> Result<(), Failure>, done: &'static str) -> Result<(), Failure> {
        let mut at = self.at.lock().unwrap_or_else(PoisonError::into_inner);
        step()?;
        *at = done;
        Ok(())
    }
}

/// Asks, shows, writes and tests.
fn set_up(mut of: Init) -> Result<u8, Failure> {
    let is_root = geteuid().is_root();
    if host::is_privileged() && !is_root {
        return Err(Failure::new(Kind::NoPermission, "init", "only root sets up mail for a set-group-id binary")
            .hint("put `sudo` in front of the command"));
    }
    plan::fill(&mut of);
    let here = Surroundings::look();
    let is_asked = !of.yes && !of.secret_stdin && ask::has_terminal();
    let writes = of.writing.is_wanted();
    if !is_root && of.writing.output.is_none() && (of.writing.write || is_asked) {
        return Err(Failure::new(Kind::NoPermission, "init", "only root writes /etc/mailchute")
            .hint("put `sudo` in front of the command, or say --output FILE for a configuration of your own"));
    }
    let stage = Stage::watch();
    if is_asked {
        in_the_way(&of)?;
    }
    let secret = match is_asked {
        true => ask::interview(&mut of, &here)?,
        false => {
            let taken = match of.import.clone() {
                Some(name) => Surroundings::takeover(&name)?.fill_unasked(&mut of)?,
                None => None,
            };
            if of.email.is_some() && of.provider.is_none() && of.host.is_none() && !of.no_network {
                let domain = draft::domain(draft::from(&of).unwrap_or_default());
                let found = discovery::look(domain, of.dns).filter(|found| !found.is_foreign());
                found.iter().for_each(|found| found.fill(&mut of));
            }
            missing(&of)?;
            match of.secret_stdin {
                true => Some(read_secret()?),
                false => taken,
            }
        }
    };
    let plan = Plan::of(&of, &here.pools, secret.as_ref())?;
    let links = of.take_sendmail.then(Links::plan).transpose()?;
    let rows = links.iter().flat_map(Links::rows).map(|row| format!("# {row}\n")).collect::<String>();
    door::print(&format!("{rows}{}", plan.shown()))?;
    if is_asked && !of.writing.replace && plan.is_in_the_way() {
        of.writing.replace = is_wanted("Put it in the place of what is there?", false)?;
    }
    plan.check_places(of.writing.replace || !(writes || is_asked))?;
    let is_right = !(writes || is_asked) || is_accepted(&of, secret.as_ref(), is_asked)?;
    if is_asked && !writes {
        of.writing.write = is_wanted(if is_right { "Write this?" } else { "Write this all the same?" }, is_right)?;
    }
    if !of.writing.is_wanted() {
        say(if is_asked { "nothing was written" } else { "nothing was written; --write does" });
        return Ok(exit::OK);
    }
    stage.step(|| plan.write(of.writing.replace), "stopped: the files are written, and nothing was tested")?;
    say(&format!("written: {}", plan.configuration().display()));
    if is_root && of.writing.output.is_none() {
        made_directories(&Choice::default())?;
    }
    let links = match links {
        None if is_asked && is_root => offered()?.inspect(|_| of.take_sendmail = true),
        links => links,
    };
    if let Some(links) = links {
        stage.step(|| links.make(), "stopped: the files and links are made, and nothing was tested")?;
    }
    let status = tried(&mut of, &plan, &here, is_asked)?;
    if is_asked {
        say("What is left to do, DNS records included: mailchute check");
        say("The same without questions:");
        say(&format!("  {}", again::command(&of)));
    }
    Ok(status)
}

/// Whether the relay accepts the login, as far as it can be asked: that what was typed is right is known before it is
/// written. A person hears why not, and decides.
fn is_accepted(of: &Init, secret: Option<&Secret>, is_asked: bool) -> Result<bool, Failure> {
    let is_elsewhere = draft::is_secret_said(of) && secret.is_none();
    if of.no_network || is_elsewhere || draft::is_oauth(of, draft::provider(of)?) {
        return Ok(true);
    }
    let Some(relay) = draft::relay(of, secret.map(Secret::expose))? else { return Ok(true) };
    match attempted::log_in(&relay, of.taken.is_none()) {
        Ok(told) => {
            say(&told);
            Ok(true)
        }
        Err(failure) if is_asked => {
            ask::complain(&failure);
            Ok(false)
        }
        Err(failure) => {
            say("nothing was written; --no-network writes it without asking the relay");
            Err(failure)
        }
    }
}

/// The value on standard input.
fn read_secret() -> Result<Secret, Failure> {
    let read = typed::read("the secret")?;
    Ok(typed::trimmed(&read)?.0)
}

/// Whether what is there stands in the way of all that would be asked.
fn in_the_way(of: &Init) -> Result<(), Failure> {
    let path = plan::place(of);
    match path.exists() && !of.writing.replace {
        false => Ok(()),
        true => Err(Failure::new(Kind::CannotCreate, path.display().to_string(), "is there already")
            .hint("--replace puts a new one in its place; --output /etc/mailchute/sites.d/NAME.toml adds a site")),
    }
}

/// The options without which nothing can be asked where nobody is.
fn missing(of: &Init) -> Result<(), Failure> {
    let mut missing = Vec::new();
    if draft::from(of).is_none() {
        missing.push("--from");
    }
    if of.provider.is_none() && of.host.is_none() {
        missing.push("--provider or --host");
    }
    let provider = draft::provider(of)?;
    if of.username.is_none() && of.taken.is_none() && draft::username_key(of, provider).is_some() {
        missing.push("--username");
    }
    if !draft::is_secret_said(of) && !draft::is_oauth(of, provider) && draft::secret_key(of, provider).is_some() {
        missing.push("--secret-stdin (or --secret-file, --secret-env, --secret-command, --secret-credential)");
    }
    if !plan::has_readers(of) {
        missing.push("--user, --sites-by-pool or --group");
    }
    match missing[..] {
        [] => Ok(()),
        _ => Err(Failure::new(Kind::Usage, "init", format!("missing: {}", missing.join(", ")))
            .hint("at a terminal, `mailchute init` asks for them; see `mailchute init --help`")),
    }
}

/// Makes the links and nothing else, and tells them.
fn taken_names() -> Result<String, Failure> {
    if !getuid().is_root() {
        return Err(Failure::new(Kind::NoPermission, "init --take-sendmail", "only root can make these links")
            .hint("put `sudo` in front of the command"));
    }
    let links = Links::plan()?;
    let rows: String = links.rows().iter().map(|row| format!("{row}\n")).collect();
    links.make()?;
    Ok(if rows.is_empty() { "nothing to do\n".to_owned() } else { rows })
}

/// The links, where they are wanted.
fn offered() -> Result<Option<Links>, Failure> {
    let links = match Links::plan() {
        Ok(links) if links.is_done() => return Ok(None),
        Ok(links) => links,
        Err(failure) => {
            say(&format!("the names of sendmail are left as they are: {failure}"));
            return Ok(None);
        }
    };
    links.rows().iter().for_each(|row| say(row));
    Ok(is_wanted("Make these links, so that PHP and cron send through mailchute?", false)?.then_some(links))
}

/// Logs in where a person has to, and sends the test message as everybody who sends.
fn tried(of: &mut Init, plan: &Plan, here: &Surroundings, is_asked: bool) -> Result<u8, Failure> {
    let own = of.writing.output.as_deref().map(|_| plan.configuration());
    let users = speakers(plan, here);
    if draft::is_oauth(of, draft::provider(of)?) {
        if !is_asked || of.no_network {
            let of_user = users.first().cloned().flatten().map(|user| format!(" --as {user}")).unwrap_or_default();
            say(&format!("next: mailchute login{of_user}"));
            return Ok(exit::OK);
        }
        for user in &users {
            match trial::log_in(user.as_deref(), own)? {
                exit::OK => {}
                status => return Ok(status),
            }
        }
    }
    if of.no_test || of.no_network {
        return Ok(exit::OK);
    }
    let of_others = of.alias.iter().find_map(|alias| alias.strip_prefix("*="));
    let usual = of_others.unwrap_or_else(|| draft::bare(draft::from(of).unwrap_or_default())).to_owned();
    let mut to = of.to.clone();
    if to.is_none() && is_asked {
        let answer = ask::ask("Send a test message to (- for nobody)", Some(&usual), |answer| {
            Ok(Some(answer.to_owned()).filter(|answer| answer != "-"))
        })?;
        of.no_test = answer.is_none();
        to = answer;
        of.to = to.clone().filter(|to| *to != usual);
    } else if to.is_none() {
        to = Some(usual);
    }
    let Some(to) = to else { return Ok(exit::OK) };
    let mut worst = exit::OK;
    for user in &users {
        let status = trial::send(user.as_deref(), &to, own)?;
        worst = if worst == exit::OK { status } else { worst };
    }
    if worst != exit::OK {
        say("the files stay as they are; `mailchute init` with --replace writes them anew");
    }
    Ok(worst)
}

/// Who is to be tried: `None` is whoever runs this.
fn speakers(plan: &Plan, here: &Surroundings) -> Vec<Option<String>> {
    if !geteuid().is_root() {
        return vec![None];
    }
    let named = plan.users.iter().filter(|user| *user != "root").cloned();
    let mut users: Vec<Option<String>> = named.map(Some).collect();
    if users.is_empty() {
        users.push(here.web_user.clone().filter(|_| plan.users.is_empty()));
    }
    users
}

fn from_environment() -> Result<Zeroizing<String>, Failure> {
    init_from_environment(&host::variable, &Caller::current())?.ok_or_else(|| {
        let why = "none of MAILCHUTE_URL, MAILER_DSN and MAIL_HOST is set";
        Failure::new(Kind::Configuration, "environment", why)
            .hint("set MAILCHUTE_URL, such as smtps://mail.example.net, or postmark://default with MAILCHUTE_KEY")
    })
}

/// Fits the directories to the binary's group, or to its having none, and makes what is missing of those that the users
/// of the sites keep something in: a line each. The first needs no configuration: a package does it before there is one.
fn made_directories(choice: &Choice) -> Result<String, Failure> {
    if !getuid().is_root() {
        return Err(Failure::new(Kind::NoPermission, "init --users", "only root can make another user's directories")
            .hint("put `sudo` in front of the command"));
    }
    let mut said = String::new();
    for place in Place::ALL {
        if place.fit() {
            said += &match host::binary_group() {
                Some(group) => format!("closed {} to all but the group {}\n", place.parent(), group_name(group)),
                None => format!("opened {} to all users\n", place.parent()),
            };
        }
    }
    // Bans are read with the binary's group, too; to list them mends their modes.
    ban::all()?;
    let config = Search::new(choice.config.clone()).load(&Caller::current())?;
    let mut users: Vec<u32> = config.sites.iter().flat_map(|site| site.users.iter().copied()).collect();
    users.sort_unstable();
    users.dedup();
    let users = users.into_iter().filter(|uid| *uid != NOBODY);
    let made = users.flat_map(|uid| Place::ALL.into_iter().filter_map(move |place| place.prepare(uid)));
    said.extend(made.map(|directory| format!("made {}\n", directory.display())));
    Ok(said)
}
