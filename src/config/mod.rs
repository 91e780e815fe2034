//! The configuration: one source, checked whole, with every default filled in.

pub mod relay;
pub mod site;
