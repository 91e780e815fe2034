//! Peers for mailchute's tests, examples and benchmarks.
//!
//! [`Server`] is a well-behaved SMTP or LMTP server with moods, [`Script`] a badly behaved one that says
//! what a file tells it, [`Mailchute`] runs the real binary. Everything listens on loopback at a port the
//! system chooses, and every socket and process has a deadline.

mod bare;
mod case;
mod certs;
mod channel;
mod command;
mod disk;
mod door;
mod fpm;
mod host;
mod peers;
mod port;
mod sasl;
mod scratch;
mod script;
mod server;
mod session;
mod socks;
mod spooled;
mod strace;
mod web;

pub use case::{Case, escaped, matches};
pub use certs::{Certs, Identity};
pub use channel::PATIENCE;
pub use command::{Mailchute, Run, Running, words};
pub use disk::{Disk, FileSystem, need_disks, unmount};
pub use fpm::Fpm;
pub use host::{Host, processes};
pub use peers::{apart, is_apart, missing, need, need_in, need_mount_namespace, need_root};
pub use port::Port;
pub use scratch::Scratch;
pub use script::{Dialogue, Script};
pub use server::{Action, Login, Moment, Server, TlsStart};
pub use session::{Delivery, Recipient, Session};
pub use socks::Socks;
pub use spooled::{Spooled, spooled};
pub use strace::{Fault, Point, Pretence, need_strace, points, points_in};
pub use web::{Answer, Asked, Web};
