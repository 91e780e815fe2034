//! Sockets, TLS and time.
#![allow(missing_docs, dead_code, clippy::needless_pass_by_value)]

use crate::config::relay::Relay;
use crate::deadline::Deadline;
use crate::failure::{Failure, Kind};
use crate::trace::Trace;

pub struct Connection;

#[derive(Debug)]
pub enum WireError {
    Closed,
    TimedOut,
    Io(std::io::Error),
    Tls(String),
}

impl Connection {
    pub fn open(relay: &Relay, _: Deadline, _: &mut Trace) -> Result<Self, Failure> {
        Err(Failure::new(Kind::Software, relay.place.to_string(), "not built yet"))
    }
    pub fn start_tls(&mut self, relay: &Relay, _: Deadline, _: &mut Trace) -> Result<(), Failure> {
        Err(Failure::new(Kind::Software, relay.place.to_string(), "not built yet"))
    }
    pub fn queue(&mut self, _: &[u8]) {}
    pub fn flush(&mut self, _: Deadline) -> Result<(), WireError> {
        Err(WireError::Closed)
    }
    pub fn read(&mut self, _: &mut [u8], _: Deadline) -> Result<usize, WireError> {
        Err(WireError::Closed)
    }
    pub fn has_input(&self) -> bool {
        false
    }
    pub fn is_tls(&self) -> bool {
        false
    }
    pub fn is_local(&self) -> bool {
        false
    }
}
