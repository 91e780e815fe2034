//! `-bv`: who would receive, without a message.

use crate::caller::Caller;
use crate::cli::dialect::Sendmail;
use crate::cli::invocation::Invocation;
use crate::door;
use crate::exit::{self, Scheme};
use crate::failure::Failure;
use crate::message::Message;
use crate::plan::{Course, Wishes};

/// Prints a line per recipient and returns 0, or the status of what is wrong with them.
pub fn run(invocation: &Invocation, said: &Sendmail) -> u8 {
    let mut scheme = Scheme::Reply;
    let caller = Caller::current();
    let course = Course::begin(&caller, &invocation.choice);
    match lines(&course, &said.wishes, &mut scheme) {
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

fn lines(course: &Course<'_>, wishes: &Wishes, scheme: &mut Scheme) -> Result<String, Failure> {
    let mut message = Message::read(&mut &b"\n"[..], false)?;
    let site = course.site(wishes, message.header())?.site;
    *scheme = site.exit_status;
    let plan = course.plan(site, wishes, &mut message)?;
    let relay = plan.route.first().map_or("none", |relay| relay.name.as_str());
    let line = |path| format!("{path}... deliverable: relay {relay}, site {}\n", site.name);
    Ok(plan.envelope.forward_paths.iter().map(line).collect())
}
