//! The suite: the real binary against peers of the kit. One test binary, a module per subject; a new
//! behaviour is a new file in `tests/smtp`, `tests/bs`, `tests/messages`, `tests/config`, `tests/oauth` or `tests/callers`.

// Helpers outside `#[test]` functions are tests all the same.
#![allow(clippy::unwrap_used)]

mod aliases;
mod authlib;
mod aws;
mod bad_input;
mod bans;
mod bounces;
mod breaker;
mod bs;
mod callers;
mod codes;
mod config;
mod daemons;
mod docs;
mod doubt;
mod environment;
mod flush;
mod hints;
mod hostile;
mod http;
mod inherited;
mod injection;
mod install;
mod kit;
mod laid;
mod law;
mod log;
mod log_targets;
mod login;
mod manners;
mod messages;
mod moto;
mod never_lost;
mod never_lost_flush;
mod never_lost_power;
mod never_lost_runs;
mod never_lost_together;
mod oauth;
mod oracles;
mod partial;
mod php;
mod postfix;
mod provenance;
mod providers;
mod queue;
mod record_file;
mod relays;
mod resend;
mod round_trips;
mod secrets;
mod set_group_id;
mod setup;
mod signals;
mod sites;
mod smtp;
mod spool;
mod staging;
mod stand_in;
mod standard_input;
mod system;
mod tls;
mod tools;
mod upgrade;
