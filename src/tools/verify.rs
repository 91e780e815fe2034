//! `-bv`: who would receive, without a message.

use crate::caller::Caller;
use crate::cli::dialect::Sendmail;
use crate::cli::invocation::Invocation;
use crate::config::Search;
use crate::door;
use crate::exit::{self, Scheme};
use crate::failure::Failure;
use crate::host;
use crate::message::Message;
use crate::plan::{self, Choice, Wishes};

/// Prints a line per recipient and returns 0, or the status of what is wrong with them.
pub fn run(invocation: &Invocation, said: &Sendmail) -> u8 {
    let mut scheme = Scheme::Reply;
    match lines(&invocation.choice, &said.wishes, &Caller::current(), &mut scheme) {
        Ok(text) => {
            let _ = door::say(&text);
            exit::OK
        }
        Err(failure) => {
            door::report(&failure);
            exit::of_kind(&failure.kind, scheme)
        }
    }
}

fn lines(choice: &Choice, wishes: &Wishes, caller: &Caller, scheme: &mut Scheme) -> Result<String, Failure> {
    let search = Search::new(choice.config.clone());
    let config = search.load(caller)?;
    let mut message = Message::read(&mut &b"\n"[..], false)?;
    let wanted = search.wanted_site(choice.site.as_deref());
    let site = plan::choose_site(&config, caller, wanted.as_deref(), wishes, message.header())?.site;
    *scheme = site.exit_status;
    let plan = plan::make(site, caller, &host::name(), wishes, choice.relay.as_deref(), &mut message)?;
    let relay = plan.route.first().map_or("none", |relay| relay.name.as_str());
    let line = |path| format!("{path}... deliverable: relay {relay}, site {}\n", site.name);
    Ok(plan.envelope.forward_paths.iter().map(line).collect())
}
