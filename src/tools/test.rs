//! `mailchute test`: a message composed here, submitted as a caller's would be.

use mail_builder::MessageBuilder;
use mail_builder::headers::address::{Address, EmailAddress};
use mail_builder::headers::raw::Raw;

use crate::attempt::Sink;
use crate::caller::Caller;
use crate::cli::Test;
use crate::cli::invocation::Invocation;
use crate::door;
use crate::envelope::ReversePath;
use crate::exit;
use crate::failure::{Failure, Kind};
use crate::host;
use crate::plan::{Course, Wishes};
use crate::tools::send::{self, Manner};
use crate::tools::status;

/// Sends the test message as `caller`, prints the masked dialogue and what has become of it, and returns the status of
/// a caller whose message would not be kept.
pub fn run(invocation: &Invocation, test: &Test, caller: &Caller) -> u8 {
    let reverse_path = test.from.clone().map(ReversePath::Typed);
    let wishes = Wishes { reverse_path, ..Wishes::default() };
    let show = (!host::is_privileged()).then_some(show_on_stdout as fn() -> Sink);
    let course = Course::begin(caller, &invocation.choice);
    let end = send::composed(invocation, &course, wishes, |id| compose(test, id), Manner { show, is_trial: true });
    let status = end.status;
    let _ = door::say(&status::after_test(&end));
    if caller.uid == 0 && test.speaker.user.is_none() {
        let say = if status == exit::OK { door::suggest } else { door::complain };
        say("this ran as root, who can read files that PHP cannot: add `--as www-data`, or the pool's user");
    }
    status
}

/// Text and HTML, so that what multipart mail needs is tried too.
fn compose(test: &Test, id: &str) -> Result<Vec<u8>, Failure> {
    let host = host::name();
    let text = format!(
        "This message was sent by `mailchute test` on {host}.\n\nIf you read it in the inbox, the relay and its \
         credentials work. If it is in the spam folder, look at SPF, DKIM and DMARC of the sender's domain.\n"
    );
    let html = format!("<p>{}</p>\n", text.trim_end().replace("\n\n", "</p>\n<p>"));
    let mailbox = |address: &String| Address::Address(EmailAddress { name: None, email: address.clone().into() });
    let mut builder = MessageBuilder::new()
        .to(Address::List(test.to.iter().map(mailbox).collect()))
        .subject(format!("mailchute test from {host}"))
        .message_id(format!("{id}.test@{host}"))
        .header("Auto-Submitted", Raw::new("auto-generated"))
        .text_body(text)
        .html_body(html);
    if let Some(from) = &test.from {
        builder = builder.from(mailbox(from));
    }
    builder.write_to_vec().map_err(|error| Failure::new(Kind::Software, "test message", error.to_string()))
}

/// The dialogue is what was asked for, so it is no diagnosis.
fn show_on_stdout() -> Sink {
    Box::new(|line| {
        let _ = door::say(&format!("{line}\n"));
    })
}
