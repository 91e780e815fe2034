//! `mailchute import`: takes over what another program is configured with, shows it first, and says what changes.

mod listing;
pub(in crate::tools) mod told;
mod write;

use std::path::Path;

use nix::unistd::{Uid, User, getuid};

use crate::caller::Caller;
use crate::cli::import::{Import, Keeping, Reading};
use crate::config::Config;
use crate::door;
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind as Failing};
use crate::host;
use crate::import::draft::{BESIDE, Draft, Shape, Storing};
use crate::import::source::{Belief, Inquiry, MailUser};
use crate::import::{Given, Program};
use crate::root::Root;
use crate::tools::secret::is_name;

/// The largest password database that is looked through, in octets.
const ACCOUNTS: usize = 1 << 20;

/// Does it, and returns the exit status.
///
/// # Errors
/// There is no such kind, its files are missing or wrong, or the result cannot be written.
pub(crate) fn run(of: &Import) -> Result<u8, Failure> {
    if host::is_privileged() && !getuid().is_root() {
        return Err(Failure::new(
            Failing::NoPermission,
            "import",
            "a set-group-id binary reads no files that its caller names",
        )
        .hint("put `sudo` in front of the command"));
    }
    let root = Root::at(of.root.as_deref())?;
    let person = person(&root, of.user.as_deref())?;
    let Some(name) = &of.kind else {
        door::print(&listing::of(&root, &person, of.json))?;
        return Ok(exit::OK);
    };
    let kind = Program::named(name)?;
    if of.secrets == Keeping::Inline && !of.writing.is_wanted() {
        return Err(Failure::new(Failing::Usage, "--secrets inline", "no secret is printed")
            .hint("say --output FILE or --write, too"));
    }
    let given: Vec<Given> =
        of.alias.iter().map(|(name, address)| Given { name: name.clone(), address: address.clone() }).collect();
    let asked = Inquiry {
        root: &root,
        files: &of.files,
        person: &person,
        account: of.account.as_deref(),
        all: of.all,
        take: of.take.map(|reading| match reading {
            Reading::File => Belief::File,
            Reading::Effective => Belief::Effective,
        }),
        given: &given,
    };
    let draft = kind.read(&asked)?;
    if of.site.is_some() && draft.has_sites() {
        return Err(Failure::new(Failing::Usage, "--site", "this import makes several sites of its own")
            .hint("leave --site out, or choose one with --account"));
    }
    let head = format!("imported from {} by mailchute {}", origin(kind, &draft), env!("CARGO_PKG_VERSION"));
    let shape = Shape {
        secrets: Storing::Files(BESIDE),
        site: of.site.as_deref().map(|site| (site, of.user.as_deref().filter(|user| *user != "root"))),
        head: &head,
    };
    let kept = draft.secrets().into_iter().map(|(relay, _)| relay).chain(draft.wanted());
    let mut names = kept.map(|relay| shape.stored(relay)).chain(of.site.clone());
    if let Some(name) = names.find(|name| !is_name(name)) {
        let why = "a name has letters, digits, dots, dashes and underscores, 64 at most: files are called after it";
        return Err(Failure::new(Failing::Usage, format!("--site {name}"), why));
    }
    check(&draft, &shape)?;
    let unaccepted = draft.ledger.unaccepted(&of.accept);
    let is_written = of.writing.is_wanted();
    match (of.json, is_written && unaccepted.is_empty()) {
        (true, _) => door::print(&told::json(kind, &draft, &shape, &unaccepted))?,
        (false, true) => {}
        (false, false) => door::print(&draft.toml(&shape))?,
    }
    if !of.json {
        told::tell(kind, &draft, &unaccepted);
    }
    if !unaccepted.is_empty() {
        let words: Vec<String> = unaccepted.iter().map(|word| format!("--accept {word}")).collect();
        let why = match is_written {
            true => "nothing was written: something would change, see above",
            false => "something would change, see above",
        };
        let failure = Failure::new(Failing::Configuration, kind.name, why);
        door::report(&failure.hint(format!("to take it as it is, say {}", words.join(" "))));
        return Ok(exit::of_kind(&Failing::Configuration, Scheme::Reply));
    }
    if is_written {
        let target = write::target(of);
        let made = write::write(of, &draft, &shape, &target)?;
        if !of.json {
            door::print(&made)?;
        }
    }
    told::next(kind, of, &draft, &shape, is_written);
    Ok(exit::OK)
}

/// `msmtp (/etc/msmtprc, /etc/aliases)`.
fn origin(kind: &Program, draft: &Draft) -> String {
    let files: Vec<String> = draft.ledger.files().map(|file| file.display().to_string()).collect();
    format!("{} ({})", kind.title, files.join(", "))
}

/// Reads the result as every message would.
fn check(draft: &Draft, shape: &Shape<'_>) -> Result<(), Failure> {
    let toml = draft.toml(shape);
    Config::parse(Path::new("/etc/mailchute/config.toml"), &toml, &Caller::current()).map(drop).map_err(|failure| {
        let line = failure.what.rsplit_once(':').and_then(|(_, number)| number.parse::<usize>().ok());
        let source = line.and_then(|number| source(&toml, number)).unwrap_or_else(|| "the result".to_owned());
        let told = Failure::new(Failing::Data, source, format!("cannot be taken over: {}", failure.why));
        match failure.hint {
            Some(hint) => told.hint(hint),
            None => told,
        }
    })
}

/// Where line `number` of the result is from, with the file, which is said only where it is another than before.
fn source(toml: &str, number: usize) -> Option<String> {
    let places = |line: &str| line.rsplit_once("  # ").map(|(_, places)| places.to_owned());
    let place = places(toml.lines().nth(number.checked_sub(1)?)?)?;
    if !place.starts_with(':') {
        return Some(place);
    }
    let before = toml.lines().take(number - 1).filter_map(places).collect::<Vec<_>>().join(", ");
    let (file, _) = before.rsplit(", ").find(|place| place.starts_with('/'))?.split_once(':')?;
    Some(format!("{file}{place}"))
}

/// Whose mail it is about.
fn person(root: &Root, named: Option<&str>) -> Result<MailUser, Failure> {
    let number = named.map_or(Some(getuid().as_raw()), |name| name.parse().ok());
    let nobody = || Failure::new(Failing::Usage, named.unwrap_or("--as"), "no such user");
    if root.is_host() {
        let by_name = named.and_then(|name| User::from_name(name).ok().flatten());
        let entry = by_name.or_else(|| User::from_uid(Uid::from_raw(number?)).ok().flatten()).ok_or_else(nobody)?;
        return Ok(MailUser { name: entry.name, uid: entry.uid.as_raw(), gid: entry.gid.as_raw(), home: entry.dir });
    }
    // Of another host's users, the first is root: nobody calls there.
    let number = if named.is_none() { Some(0) } else { number };
    let text =
        root.read(Path::new("/etc/passwd"), ACCOUNTS).map(|(text, _)| String::from_utf8_lossy(&text).into_owned());
    let entry = |line: &str| {
        let mut fields = line.split(':');
        let (name, _, uid, gid, _, home) =
            (fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?, fields.next()?);
        let (uid, gid): (u32, u32) = (uid.parse().ok()?, gid.parse().ok()?);
        let is_it = named == Some(name) || number == Some(uid);
        is_it.then(|| MailUser { name: name.to_owned(), uid, gid, home: home.into() })
    };
    let found = text.ok().and_then(|text| text.lines().find_map(entry));
    match (found, named) {
        (Some(person), _) => Ok(person),
        (None, None) => Ok(MailUser { name: "root".to_owned(), uid: 0, gid: 0, home: "/root".into() }),
        (None, Some(_)) => Err(nobody()),
    }
}
