//! Work that grows with what is read and never with its square: each case has a limit on its CPU time that is a tenth of
//! what the square would take, and ten times of what it takes.

use std::fmt::Write as _;

use testkit::{Run, Server, need};

use crate::setup::{Setup, every};

/// How many of everything.
const MANY: usize = 6000;
/// What each run may take, in seconds; it takes about a quarter of one.
const SECONDS: &str = "--cpu=3";

/// `what` for each number, with `{}` replaced by it.
fn each(count: usize, what: &str) -> String {
    (0..count).fold(String::new(), |mut all, number| {
        let _ = write!(all, "{}", what.replace("{}", &number.to_string()));
        all
    })
}

/// What is configured at the top, and a message of which every recipient is in the header section.
fn cases() -> Vec<(&'static str, String, String)> {
    let to = format!("To: {}z@x.example\n", each(MANY, "b{}@d{}.example,\n "));
    let from = format!("From: {}a@d1.example\nTo: b@x.example\n", each(MANY, "a@d{}.example,\n "));
    let bare = format!("To: {}z\n", each(MANY, "b{},\n "));
    let many = |key: &str, what: &str| format!("{key} = [{}]\n", each(MANY, what));
    vec![
        ("senders", many("sender", "'*@d{}.example',") + "other_sender = 'refuse'\n", from.clone()),
        ("addresses of senders", many("sender", "'*@*.d{}.example','a@d{}.example',"), from),
        ("local domains", many("local_domains", "'e{}.example',"), to.clone()),
        ("those who get all", many("divert", "'c{}@d{}.example',"), to.clone()),
        ("recipients", String::new(), to),
        ("local names", format!("domain = 'x.example'\n[alias]\n{}", each(MANY, "c{} = 'c@x.example'\n")), bare),
    ]
}

#[test]
fn no_list_is_looked_through_for_each_member_of_another() {
    if need("prlimit").is_none() {
        return;
    }
    every(
        &cases(),
        |(name, ..)| (*name).to_owned(),
        |(_, top, header)| {
            let setup = Setup::new(Server::new()).top(top);
            let call = setup.mailchute().args(["-t", "-i"]).under("prlimit", &[SECONDS]);
            let run: Run = call.stdin(format!("{header}Subject: x\n\nHello.\n")).run();
            assert!(run.signal.is_none(), "{}", run.report());
            run.expect_status(0);
            assert_eq!(setup.deliveries().len(), 1);
        },
    );
}
