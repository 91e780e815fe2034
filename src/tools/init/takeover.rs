//! What another mailer is set up with, as the beginning of the interview: its server, login and sender stand for answers.

use super::ask::{NONE, ask, is_wanted, say};
use super::draft;
use super::surroundings::Surroundings;
use crate::cli::init::{Init, Taken};
use crate::failure::{Failure, Kind};
use crate::import::Program;
use crate::import::draft::code::{LOCAL_NAMES, PASSWORD};
use crate::import::draft::{Draft, Table, Written};
use crate::import::source::{Inquiry, MailUser};
use crate::root::Root;
use crate::secret::Secret;
use crate::tools::import::told;

/// A mailer that can be taken over.
pub(super) struct Takeover {
    /// What `import` calls it.
    pub(super) name: &'static str,
    /// A file of it.
    pub(super) file: String,
    program: &'static Program,
    draft: Draft,
}

impl Takeover {
    /// Reads what `program` is set up with for `person`.
    ///
    /// # Errors
    /// As [`Program::read`]; `Usage`: it is more than one server and sender, which the interview has no answers for.
    pub(super) fn read(program: &'static Program, root: &Root, person: &MailUser) -> Result<Self, Failure> {
        let asked = Inquiry { root, files: &[], person, account: None, all: false, take: None, given: &[] };
        let draft = program.read(&asked)?;
        let why = match draft.relays().len() {
            0 => Some("names no server that it hands mail to"),
            1 if !draft.has_sites() => None,
            _ => Some("has several accounts or servers"),
        };
        if let Some(why) = why {
            return Err(Failure::new(Kind::Usage, "--import", format!("{} {why}", program.title))
                .hint(format!("`mailchute import {}` shows what becomes of it", program.name)));
        }
        let file = draft.ledger.files().next().map(|file| file.display().to_string()).unwrap_or_default();
        Ok(Self { name: program.name, file, program, draft })
    }

    /// What would not be as before, and has to be accepted by its name, less what is in `accepted`.
    pub(super) fn unaccepted(&self, accepted: &[String]) -> Vec<&'static str> {
        let mut words = self.draft.ledger.unaccepted(accepted);
        let asked = self.asked();
        words.retain(|word| !asked.contains(word));
        words
    }

    /// What is asked for by itself: where local names go, and a secret that there is a place for.
    fn asked(&self) -> Vec<&'static str> {
        let has_place = !self.draft.wanted().is_empty();
        std::iter::once(LOCAL_NAMES.word).chain(has_place.then_some(PASSWORD.word)).collect()
    }

    /// Says what is not as before.
    pub(super) fn tell(&self, unaccepted: &[&str]) {
        told::lines(self.program, &self.draft, unaccepted, &self.asked()).iter().for_each(|line| say(line));
    }

    /// Fills in what it says beside what is said already; returns its secret.
    ///
    /// # Errors
    /// `Usage`: a secret is said, and the server takes none.
    pub(super) fn fill(&self, of: &mut Init) -> Result<Option<Secret>, Failure> {
        let is_secret_said = draft::is_secret_said(of);
        let mut taken = Taken::default();
        let mut secret = None;
        let relay = self.draft.relays().first().map(|name| Table::Relay((*name).to_owned()));
        for (key, value, line) in relay.iter().flat_map(|relay| self.draft.entries(relay)) {
            match (key, value) {
                ("provider", Written::Text(id)) => of.provider = Some(id.clone()),
                ("host", Written::Text(host)) => of.host = Some(host.clone()),
                _ => {}
            }
            match value {
                Written::Secret(_) | Written::Wanted | Written::File(_) | Written::Command(_) if is_secret_said => {
                    taken.secret_key = Some(key.to_owned());
                }
                Written::Secret(text) => {
                    taken.secret_key = Some(key.to_owned());
                    secret = Some(Secret::new(text.to_string()));
                }
                Written::Wanted => taken.secret_key = Some(key.to_owned()),
                Written::File(_) | Written::Command(_) => {
                    taken.has_secret = true;
                    taken.relay.push(line);
                }
                _ => taken.relay.push(line),
            }
        }
        if is_secret_said && taken.secret_key.is_none() {
            let why = format!("{} logs in with no secret here, so there is no place for one", self.program.title);
            return Err(Failure::new(Kind::Usage, "--import", why));
        }
        taken.has_secret |= secret.is_some();
        let is_sender_said = !of.sender.is_empty() || of.refuse || of.rewrite;
        for (key, value, line) in self.draft.entries(&Table::Top) {
            match (key, value) {
                ("from", Written::Text(from)) if draft::from(of).is_none() => {
                    of.from = Some(from.clone());
                    taken.from = Some(from.clone());
                }
                ("from", _) => {}
                ("sender" | "other_sender", _) if is_sender_said => {}
                (key, _) => {
                    taken.has_senders |= matches!(key, "sender" | "other_sender");
                    taken.top.push(line);
                }
            }
        }
        for (name, _, line) in self.draft.entries(&Table::Alias) {
            let is_it = |alias: &String| alias.split_once('=').is_some_and(|(known, _)| known.trim() == name);
            if !of.alias.iter().any(is_it) {
                taken.has_every_name |= name == "*";
                taken.alias.push(line);
            }
        }
        taken.log = self.draft.entries(&Table::Log).map(|(_, _, line)| line).collect();
        of.import = Some(self.name.to_owned());
        of.taken = Some(taken);
        Ok(secret)
    }

    /// Fills it in where nobody is asked.
    ///
    /// # Errors
    /// As [`Self::fill`]; `Configuration`: something would change that is not accepted.
    pub(super) fn fill_unasked(&self, of: &mut Init) -> Result<Option<Secret>, Failure> {
        let unaccepted = self.unaccepted(&of.accept);
        self.tell(&unaccepted);
        if unaccepted.is_empty() {
            return self.fill(of);
        }
        let words: Vec<String> = unaccepted.iter().map(|word| format!("--accept {word}")).collect();
        Err(Failure::new(Kind::Configuration, self.name, "nothing was written: something would change, see above")
            .hint(format!("to take it as it is, say {}", words.join(" "))))
    }
}

/// Asks whether another mailer's settings are the beginning: whether that was asked, and its secret.
pub(super) fn offer(of: &mut Init, here: &Surroundings) -> Result<(bool, Option<Secret>), Failure> {
    let is_server_said = of.provider.is_some() || of.host.is_some() || of.client_id.is_some() || of.via.is_some();
    let named = of.import.as_deref().map(Surroundings::takeover).transpose()?;
    let takeover = match (&named, &here.takeovers[..]) {
        (Some(named), _) => named,
        (None, []) => return Ok((false, None)),
        (None, _) if is_server_said => return Ok((false, None)),
        (None, [only]) => {
            let question = format!("{} is set up here ({}). Take that over?", only.name, only.file);
            match is_wanted(&question, true)? {
                true => only,
                false => return Ok((true, None)),
            }
        }
        (None, [first, ..]) => {
            let names: Vec<String> = here.takeovers.iter().map(|one| format!("{} ({})", one.name, one.file)).collect();
            let question = format!("Set up here: {}. Which to take over (- for none)", names.join(", "));
            let chosen = ask(&question, Some(first.name), |answer| {
                let found = here.takeovers.iter().find(|one| one.name == answer);
                let is_one = found.is_some() || answer == NONE;
                is_one.then_some(found).ok_or_else(|| Failure::new(Kind::Usage, "the answer", "must be one of them"))
            })?;
            match chosen {
                Some(chosen) => chosen,
                None => return Ok((true, None)),
            }
        }
    };
    let unaccepted = takeover.unaccepted(&of.accept);
    takeover.tell(&unaccepted);
    if !unaccepted.is_empty() {
        if !is_wanted("What is marked ! would change. Take it over all the same?", false)? {
            of.import = None;
            return Ok((true, None));
        }
        of.accept.extend(unaccepted.iter().map(|word| (*word).to_owned()));
    }
    Ok((true, takeover.fill(of)?))
}
