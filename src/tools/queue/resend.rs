//! `mailchute resend`: a message that was given up, or of which a copy is kept, goes through the door once more, as its
//! caller's would: the same octets, the rules and the relays of today, a record of its own.

use std::sync::Arc;

use super::{find, now, told, unopened};
use crate::attempt::HandOver;
use crate::caller::Caller;
use crate::cli::Resend;
use crate::cli::invocation::Invocation;
use crate::conclude::Dossier;
use crate::door;
use crate::envelope::ReversePath;
use crate::exit;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::message::Message;
use crate::plan::{Choice, Course, Wishes, resent};
use crate::spool::{Entry, Folder, Line, Opened, Spool, Unopened};
use crate::tools::send::{self, Manner};

/// Sends what `words` name and what was `caller`'s; one that cannot be sent keeps no other from it. Returns the status
/// of the first that was not.
pub(crate) fn run(invocation: &Invocation, words: &Resend, caller: &Caller) -> u8 {
    // What was sent from a directory is sent without it.
    let caller = &Caller { cwd: None, ..caller.clone() };
    let hand_over = Arc::default();
    let dossier = door::open(invocation, caller, &hand_over);
    dossier.rest();
    let mut status = exit::OK;
    for id in &words.ids {
        let again = Again { invocation, words, caller, dossier: &dossier, hand_over: &hand_over };
        let one = again.send(id).unwrap_or_else(|failure| told(&failure));
        status = if status == exit::OK { one } else { status };
    }
    status
}

/// A resending.
struct Again<'a> {
    invocation: &'a Invocation,
    words: &'a Resend,
    caller: &'a Caller,
    dossier: &'a Dossier,
    hand_over: &'a Arc<HandOver>,
}

impl Again<'_> {
    /// Sends the message `id` and returns the status its caller would get.
    ///
    /// # Errors
    /// There is none that could be sent, or it was accepted already and nobody said that it is to go again.
    fn send(&self, id: &str) -> Result<u8, Failure> {
        let (spool, folder) = find(&Spool::every(self.caller), id)?;
        let mut opened = spool.open(folder, id).map_err(|why| unopened(id, why))?;
        self.check(&opened)?;
        let head = opened.entry.head.clone();
        let mut message = opened.message()?;
        let recipients = match self.words.to.is_empty() {
            true => head.envelope.forward_paths.iter().map(ToString::to_string).collect(),
            false => {
                let by = head.envelope.reverse_path.as_ref();
                resent::prefix(&mut message, by, &self.words.to, &host::now(), &host::name())?;
                self.words.to.clone()
            }
        };
        let reverse_path = head.envelope.reverse_path.as_ref();
        let reverse_path = reverse_path.map_or(ReversePath::Null, |path| ReversePath::Typed(path.to_string()));
        let (dsn, reverse_path) = (head.envelope.dsn.clone(), Some(reverse_path));
        let wishes = Wishes { reverse_path, recipients, dsn, ..Wishes::default() };
        let choice = Choice { site: Some(head.site), ..self.invocation.choice.clone() };
        let status = self.submit(&Course::begin(self.caller, &choice), &wishes, message, id);
        if status == exit::OK {
            let new = self.dossier.id();
            let waits = !matches!(spool.look(Folder::Queue, &new), Err(Unopened::Gone));
            let said = if waits { "waits in the spool" } else { "was accepted" };
            door::print(&format!("{id}: {said} as {new}\n"))?;
            self.settle(&spool, &mut opened, new)?;
        }
        Ok(status)
    }

    fn submit(&self, course: &Course<'_>, wishes: &Wishes, message: Message, id: &str) -> u8 {
        self.dossier.begin();
        self.dossier.set_resending(id);
        self.hand_over.reset();
        let sent = send::submit(course, wishes, self.dossier, self.hand_over, message, Manner::default());
        let status = sent.map_or_else(|failure| self.dossier.fail(&failure), |end| end.status);
        self.dossier.rest();
        status
    }

    /// Refuses what is not done with, and what its recipients may have already.
    fn check(&self, opened: &Opened) -> Result<(), Failure> {
        let (id, Entry { head, state, .. }) = (opened.id(), &opened.entry);
        let named = |why: &str| Failure::new(Kind::Data, id, why);
        match opened.folder() {
            Folder::Queue => {
                return Err(
                    named("waits, and is sent by itself").hint(format!("mailchute queue flush {id} sends it now"))
                );
            }
            Folder::Held => {
                return Err(named("is held").hint(format!("mailchute queue release {id} sends it")));
            }
            Folder::Failed | Folder::Sent => {}
        }
        let is_meant = self.words.again || !self.words.to.is_empty();
        let again = "--again sends it once more, --to ADDRESS to somebody else";
        match opened.folder() {
            _ if is_meant => Ok(()),
            Folder::Sent => Err(named("was accepted already").hint(again)),
            _ if state.is_in_doubt() => Err(named("may have been accepted already").hint(again)),
            _ => match state.resent.last() {
                Some(new) => Err(named(&format!("was sent once more already, as {new}")).hint(again)),
                None if head.is_bounce => Err(named("is a bounce, of which there is one only").hint(again)),
                None => Ok(()),
            },
        }
    }

    /// What was given up and is on its way now is done with; of everything else it is noted.
    fn settle(&self, spool: &Spool, opened: &mut Opened, new: String) -> Result<(), Failure> {
        opened.append(&Line::Resent { t: now(), id: new }, false)?;
        if opened.folder() == Folder::Failed && self.words.to.is_empty() {
            spool.take_back(Folder::Failed, opened.id());
            return spool.sync(Folder::Failed);
        }
        Ok(())
    }
}
