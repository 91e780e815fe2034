//! The program: one command line in, one exit status out.

use std::ffi::OsString;

use nix::sys::prctl::{set_dumpable, set_name};

use crate::caller::Caller;
use crate::cli::dialect::Mode;
use crate::cli::invocation::{Errand, Invocation};
use crate::cli::{Speaker, Tool, parse};
use crate::door;
use crate::exit::{self, Scheme};
use crate::failure::{Failure, Kind};
use crate::host;
use crate::keep::Place;
use crate::process;
use crate::tools::alert;
use crate::tools::speaker::{Provision, Stand};
use crate::tools::{
    ban, bans, bs, check, explain, import, init, lint, log, login, providers, queue, report, secret, send, show,
    speaker, status, test, verify,
};

/// Runs one command line, `argv[0]` first, and returns the exit status.
pub fn run(argv: impl IntoIterator<Item = OsString>) -> u8 {
    // A core file would hold the message and its relay's secret. This is one system call, reaches the cores that go into
    // a pipe as well, and ends with exec, so that what `{command=}` starts is as it is without us.
    let _ = set_dumpable(false);
    let words: Vec<OsString> = argv.into_iter().collect();
    let status = process::with_enough_stack(|| {
        door::guard(|| match parsed(&words) {
            Ok(mut invocation) => {
                if host::is_privileged() {
                    invocation.restrict();
                }
                dispatch(&invocation)
            }
            Err(failure) => send::refuse(&words, &failure),
        })
    });
    status.unwrap_or_else(|| exit::of_kind(&Kind::Software, Scheme::Reply))
}

/// The memory that a message of any size and two threads take, with their stacks, in octets.
const ROOM: usize = 8 << 20;

fn parsed(words: &[OsString]) -> Result<Invocation, Failure> {
    match process::has_room(ROOM) {
        true => parse::parse(words.iter().cloned()),
        false => Err(Failure::no_memory(ROOM)),
    }
}

fn dispatch(invocation: &Invocation) -> u8 {
    match &invocation.errand {
        Errand::Sendmail(said) => match said.mode {
            Mode::Deliver => send::deliver(invocation, said),
            Mode::Smtp => bs::serve(invocation, said),
            Mode::Queue => queue::mailq(invocation, &Caller::current()),
            Mode::RunQueue => queue::run_queue(invocation, &Caller::current()),
            // There is no alias database to build: it is done.
            Mode::Aliases => exit::OK,
            Mode::Verify => verify::run(invocation, said),
        },
        Errand::Help(text) => printed(text),
        Errand::Version => printed(concat!("mailchute ", env!("CARGO_PKG_VERSION"), "\n")),
        Errand::Misuse(failure) => told(failure.clone().into()),
        Errand::Tool(tool) => errand(tool, invocation),
    }
}

/// Runs a subcommand.
///
/// Cold, so that it is not built into [`dispatch`], which every message goes through (see `build.rs`).
#[cold]
fn errand(tool: &Tool, invocation: &Invocation) -> u8 {
    // A process that this program started by its descriptor (`process::again`) would be called after that.
    let _ = set_name(c"mailchute");
    run_tool(tool, invocation).unwrap_or_else(told)
}

fn run_tool(tool: &Tool, invocation: &Invocation) -> anyhow::Result<u8> {
    Ok(match tool {
        Tool::Ban(of) => ban::set(&invocation.choice, of)?,
        Tool::Bans(of) => bans::run(&invocation.choice, of)?,
        Tool::Unban(of) => ban::lift(of)?,
        Tool::Check(of) => check::run(invocation, of)?,
        Tool::Providers(of) => printed(&providers::show(of.id.as_deref())?),
        Tool::Secret(task) => secret::run(task)?,
        Tool::Status(of) => printed(&status::explain(&of.number)?),
        Tool::Log(words) => log::run(words, &Caller::current()),
        Tool::Report(words) => report::run(invocation, words, &Caller::current()),
        Tool::Show(words) => show::run(invocation, words, &Caller::current()),
        Tool::Lint => printed(&lint::page(&send::read_standard_input(true)?)?),
        Tool::Import(of) => import::run(of)?,
        Tool::Init(of) => init::run(of, &invocation.choice)?,
        Tool::Explain(of) => {
            standing_in(&of.speaker, Provision::default(), |caller| explain::run(invocation, &of.of, caller))?
        }
        Tool::Test(of) => standing_in(&of.speaker, Provision::default(), |caller| test::run(invocation, of, caller))?,
        Tool::Queue(task) if task.is_for_all() && task.user().is_none() && Caller::current().uid == 0 => {
            queue::run_for_all(invocation, task)
        }
        Tool::Queue(task) => {
            let speaker = Speaker { user: task.user().cloned(), cwd: None };
            standing_in(&speaker, Provision::default(), |caller| queue::run(invocation, task, caller))?
        }
        Tool::Resend(of) if of.user.is_none() && Caller::current().uid == 0 => {
            queue::resend_for_all(&invocation.choice, of)
        }
        Tool::Resend(of) => {
            let speaker = Speaker { user: of.user.clone(), cwd: None };
            standing_in(&speaker, Provision::default(), |caller| queue::resend(invocation, of, caller))?
        }
        Tool::Alert(of) => {
            let speaker = Speaker { user: of.user().cloned(), cwd: None };
            standing_in(&speaker, Provision::default(), |caller| alert::run(invocation, of, caller))?
        }
        Tool::Login(of) => {
            let speaker = Speaker { user: of.user.clone(), cwd: None };
            let provision = Provision { place: (!of.status).then_some(Place::Tokens), typed: Some("--typed") };
            standing_in(&speaker, provision, |caller| login::run(&invocation.choice, of, caller))?
        }
    })
}

/// Runs what is to be run as the caller that `speaker` names.
///
/// # Errors
/// This process may not become that caller.
fn standing_in(speaker: &Speaker, provision: Provision<'_>, run: impl FnOnce(&Caller) -> u8) -> Result<u8, Failure> {
    Ok(match speaker::turn_into(speaker, provision)? {
        Stand::Here(caller) => run(&caller),
        Stand::There(status) => status,
    })
}

/// Tells why a subcommand came to nothing: our own failures by their kind, the operating system's as input and output.
fn told(error: anyhow::Error) -> u8 {
    let failure = error.downcast::<Failure>().unwrap_or_else(|error| {
        let why = error.root_cause().to_string();
        Failure::new(Kind::Io, error.to_string(), why)
    });
    door::report(&failure);
    exit::of_kind(&failure.kind, Scheme::Reply)
}

fn printed(text: &str) -> u8 {
    door::print(text).map_or_else(|failure| told(failure.into()), |()| exit::OK)
}
