//! Connections: sockets, names, proxies, TLS and trust, for everything that speaks to somebody else's machine
//! (`smtp`, `http`, `oauth`).

mod certificate;
mod connect;
pub(crate) mod connection;
pub(crate) mod foreign;
mod names;
mod roots;
mod socket;
mod socks;
mod tls;
mod tls_failure;
pub mod trust;
mod tunnel;
mod verdict;

pub(crate) use connect::begin;
pub use connection::Connection;
pub use socket::WireError;
pub(crate) use socket::wait;
