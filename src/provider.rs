//! The registry of mail providers: what `provider = "..."` stands for.

/// A company's mail service, with the facts its SMTP preset is made of.
#[derive(Debug)]
pub struct Provider {
    /// The id of the configuration.
    pub id: &'static str,
}
