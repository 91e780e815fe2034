//! Who may send how much.

pub mod ban;
