//! Mail addresses: lettre's `Address` for what goes on the wire, and the reader of address lists in
//! header fields (RFC 5322 3.4).

pub use lettre::Address;

/// An addr-spec whose domain may be missing: what header fields and command lines hold before names
/// are aliased or qualified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddrSpec {
    /// Local part as it goes on the wire, quoted where it has to be.
    pub local: String,
    /// Domain, where one is written.
    pub domain: Option<String>,
}

/// An address with an optional display name (RFC 5322 3.4, decoded to text).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Display name, RFC 2047 words as they are written.
    pub name: Option<String>,
    /// The address.
    pub spec: AddrSpec,
}
