//! The trust bundle that every program is given.

use std::path::Path;

use anyhow::{Context, Result};
use testkit::Certs;

const SYSTEM_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
const END: &str = "-----END CERTIFICATE-----\n";

/// Writes the system's whole bundle, with the authority of the test certificates in its middle, to `bundle`.
pub(crate) fn write_bundle(bundle: &Path) -> Result<()> {
    let mut roots = std::fs::read_to_string(SYSTEM_BUNDLE)
        .with_context(|| format!("cannot read {SYSTEM_BUNDLE} (Debian's package ca-certificates has it)"))?;
    let half = roots.len() / 2;
    let middle = roots[half..].find(END).map_or(0, |at| half + at + END.len());
    roots.insert_str(middle, Certs::shared().authority_pem());
    std::fs::write(bundle, roots)?;
    Ok(())
}
