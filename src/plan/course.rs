//! The one beginning of everything that is asked about a message: who calls, what is configured, what was chosen.

use std::cell::OnceCell;
use std::sync::Arc;

use super::alias::{Followed, Names, checked};
use super::alias_file::AliasFile;
use super::envelope::{self, Chosen, Submitter, Wishes};
use super::route::Circumstances;
use super::site::{self, Selection};
use super::{Choice, Diversion, Plan, divert, fit, route, sender};
use crate::address::{AddrSpec, Address, parse_address};
use crate::caller::{self, Caller};
use crate::config::relay::Relay;
use crate::config::site::{Guard, Site};
use crate::config::{Config, Search};
use crate::envelope::{Envelope, ReversePath};
use crate::failure::Failure;
use crate::host;
use crate::message::{Header, MailObject, Message};

/// The host's alias file.
const ALIAS_FILE: &str = "/etc/aliases";

/// What a message has become that was made fit.
pub struct Fitted {
    /// What goes out as it is though it may not arrive so.
    pub warnings: Vec<String>,
    /// What the site's guard has made of it.
    pub diversion: Option<Diversion>,
}

/// What a message's course is decided by: the caller, what it chose, and the configuration that applies to it.
pub struct Course<'a> {
    caller: &'a Caller,
    choice: &'a Choice,
    search: Search<'static>,
    /// Read when it is first asked for, and again until it can be read.
    config: OnceCell<Config>,
    /// As much of it as one message takes; likewise.
    own: OnceCell<Config>,
    host_name: String,
    /// The caller's user name, or uid where it has none.
    user: String,
    aliases: AliasFile,
}

impl<'a> Course<'a> {
    /// The course of what `caller` sends. Nothing is read yet.
    pub fn begin(caller: &'a Caller, choice: &'a Choice) -> Self {
        let user = caller.user.clone().unwrap_or_else(|| caller.uid.to_string());
        let search = Search::new(choice.config.clone());
        let aliases = AliasFile::at(ALIAS_FILE);
        Self {
            caller,
            choice,
            search,
            config: OnceCell::new(),
            own: OnceCell::new(),
            host_name: host::name(),
            user,
            aliases,
        }
    }

    /// Who calls.
    pub fn caller(&self) -> &'a Caller {
        self.caller
    }

    /// The argument of EHLO where a relay names none.
    pub fn ehlo_argument(&self) -> &str {
        host::ehlo_argument(&self.host_name)
    }

    /// The configuration that applies to this caller.
    ///
    /// # Errors
    /// As [`Search::load`].
    pub fn config(&self) -> Result<&Config, Failure> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = self.search.load(self.caller)?;
        Ok(self.config.get_or_init(|| config))
    }

    /// As [`Course::config`], as far as it takes to send: without what others have in files of their own.
    ///
    /// # Errors
    /// As [`Search::load_own`].
    pub fn own_config(&self) -> Result<&Config, Failure> {
        if let Some(config) = self.config.get().or_else(|| self.own.get()) {
            return Ok(config);
        }
        let config = self.search.load_own(self.caller)?;
        Ok(self.own.get_or_init(|| config))
    }

    /// The site that was asked for: `--site`, else `MAILCHUTE_SITE`.
    pub fn wanted_site(&self) -> Option<String> {
        self.search.wanted_site(self.choice.site.as_deref())
    }

    /// The site that speaks: the one that was asked for, else the one that fits caller, directory and sender.
    ///
    /// # Errors
    /// `NoPermission`: no site is this caller's. `Configuration`: as [`Course::config`].
    pub fn site(&self, wishes: &Wishes, header: &Header) -> Result<Selection<'_>, Failure> {
        let typed = match &wishes.reverse_path {
            Some(ReversePath::Typed(path)) => parse_address(path).ok().and_then(|spec| spec.address().ok()),
            _ => None,
        };
        let authors = header.all("From").filter_map(|field| field.first_address());
        let senders: Vec<Address> = typed.into_iter().chain(authors).collect();
        let senders: Vec<&Address> = senders.iter().collect();
        let select = |config| site::select(config, self.caller, self.wanted_site().as_deref(), &senders);
        let own = self.own_config()?;
        match select(own) {
            // Why there is none may be in what is others'.
            Err(_) if own.is_part => select(self.config()?),
            selected => selected,
        }
    }

    /// Chooses the envelope, makes `message` fit and finds the route.
    ///
    /// # Errors
    /// Our refusal where the site is disabled or may not write as this sender, `Usage` without a recipient,
    /// `Data` for an invalid address, `Configuration` for a relay that the site has not.
    pub fn plan(&self, site: &Site, wishes: &Wishes, message: &mut Message) -> Result<Plan, Failure> {
        site.check_enabled()?;
        let origin = self.origin(site);
        let Chosen { mut envelope, notes, mut warnings } = envelope::choose(wishes, message.header(), &origin)?;
        let fitted = self.fit(site, wishes, &mut envelope, message)?;
        warnings.extend(fitted.warnings);
        let route = self.route(site, MailObject { envelope: &envelope, message })?;
        Ok(Plan { envelope, notes, route, warnings, diversion: fitted.diversion })
    }

    /// The relays to try for `mail`, which was made fit, in order.
    ///
    /// # Errors
    /// `Configuration`: the one that was asked for is not the site's.
    pub fn route(&self, site: &Site, mail: MailObject<'_>) -> Result<Vec<Arc<Relay>>, Failure> {
        if site.staging.guard == Some(Guard::Discard) {
            return Ok(divert::nowhere());
        }
        route::of_mail(site, self.choice.relay.as_deref(), self.circumstances(), mail)
    }

    /// The relays to try for a message that is still to come; `None`: that decides.
    ///
    /// # Errors
    /// As [`Course::route`].
    pub fn route_at_mail(
        &self,
        site: &Site,
        reverse_path: Option<&Address>,
    ) -> Result<Option<Vec<Arc<Relay>>>, Failure> {
        if site.staging.guard.is_some() {
            // No relay is asked about those whom the message will not reach.
            return Ok(None);
        }
        route::at_mail(site, self.choice.relay.as_deref(), self.circumstances(), reverse_path)
    }

    /// What becomes of each of the site's routes for `mail`, for `explain`: label and text. Nothing where there are none,
    /// or `--relay` names the only relay.
    pub fn explain_route(&self, site: &Site, mail: MailObject<'_>) -> Vec<(String, String)> {
        match self.choice.relay {
            Some(_) => Vec::new(),
            None if site.staging.guard == Some(Guard::Discard) => Vec::new(),
            None => route::explain(site, self.circumstances(), mail),
        }
    }

    fn circumstances(&self) -> Circumstances<'a> {
        Circumstances { caller: self.caller, now: &host::now, parent: &caller::parent }
    }

    /// The reverse-path of a message that is still to come: what the caller said, held to the site's senders;
    /// a bare name becomes the site's own address. The strings tell what was changed.
    ///
    /// # Errors
    /// Our refusal where the site is disabled or may not write so, `Data` for an invalid address.
    pub fn reverse_path(
        &self,
        site: &Site,
        said: Option<&AddrSpec>,
    ) -> Result<(Option<Address>, Vec<String>), Failure> {
        site.check_enabled()?;
        let origin = self.origin(site);
        let path = match said {
            None => None,
            Some(spec) if spec.domain.is_some() => Some(checked(spec)?),
            Some(_) => Some(origin.own_address()?.0),
        };
        let mut repairs = Vec::new();
        let path = sender::apply_to_path(path, &origin, &mut repairs)?;
        Ok((path, repairs))
    }

    /// The addresses that `said`, a forward-path, stands for.
    ///
    /// # Errors
    /// `Data`: a local name that leads nowhere.
    pub fn forward_paths(&self, site: &Site, said: &AddrSpec) -> Result<Vec<Address>, Failure> {
        self.names(site).expand(said, &mut Followed::default())
    }

    /// Makes a message fit whose envelope is settled, and applies the site's guard to both.
    ///
    /// # Errors
    /// As [`Course::plan`].
    pub fn fit(
        &self,
        site: &Site,
        wishes: &Wishes,
        envelope: &mut Envelope,
        message: &mut Message,
    ) -> Result<Fitted, Failure> {
        let warnings = fit::make_fit(message, envelope, wishes, &self.origin(site), host::now)?;
        let diversion = site.staging.guard.as_ref().map(|guard| divert::apply(guard, envelope, message));
        Ok(Fitted { warnings, diversion })
    }

    fn names<'s>(&'s self, site: &'s Site) -> Names<'s> {
        Names { site, host_name: &self.host_name, aliases: &self.aliases }
    }

    fn origin<'s>(&'s self, site: &'s Site) -> Submitter<'s> {
        Submitter { names: self.names(site), user: &self.user }
    }
}
