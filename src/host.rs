//! This host's name.

/// The name the system has, `localhost` where it has none that is text.
pub fn name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

/// The EHLO argument for a host called `name`: a name without a dot is not one that a server could
/// accept, an address literal is (RFC 5321 4.1.4).
pub fn ehlo_argument(name: &str) -> &str {
    let is_domain = name.contains('.') && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    if is_domain { name } else { "[127.0.0.1]" }
}
