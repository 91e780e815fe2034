//! The suite: the real binary against peers of the kit. One test binary, a module per subject.

mod php;
mod postfix;
