//! Which mechanism logs in: what the server offers, the configuration allows and the channel makes safe.

use super::capabilities::PREFERENCE;
use super::{Capabilities, Channel};
use crate::config::relay::{Login, Mechanism, Relay, Smtp};

/// The mechanisms to try, best first.
pub(super) fn mechanisms(
    relay: &Relay,
    smtp: &Smtp,
    login: &Login,
    channel: Channel,
    offered: &Capabilities,
) -> impl Iterator<Item = Mechanism> {
    let usable = move |mechanism: &Mechanism| {
        offered.auth.contains(mechanism)
            && (smtp.auth.is_empty() || smtp.auth.contains(mechanism))
            && is_safe(*mechanism, channel)
            && fits(*mechanism, relay, smtp, login)
    };
    PREFERENCE.into_iter().filter(usable)
}

/// Why [`mechanisms`] has none.
pub(super) fn why_none(relay: &Relay, smtp: &Smtp, login: &Login, channel: Channel, offered: &Capabilities) -> String {
    if offered.auth_words.is_empty() {
        return "does not offer AUTH, though credentials are configured".to_owned();
    }
    let words = &offered.auth_words;
    let unsafe_only =
        offered.auth.iter().any(|&mechanism| fits(mechanism, relay, smtp, login) && !is_safe(mechanism, channel));
    if unsafe_only {
        return format!("offers AUTH {words}, which would send the credentials unencrypted");
    }
    if !smtp.auth.is_empty() {
        let wanted: Vec<_> = smtp.auth.iter().map(|&mechanism| mechanism.name()).collect();
        return format!("offers AUTH {words}, and `auth` allows only {}", wanted.join(", "));
    }
    match login.is_token {
        true => format!("offers AUTH {words}, none of which takes a token"),
        false => format!("offers AUTH {words}, none of which can be used with these credentials"),
    }
}

/// Without TLS only a mechanism that never shows the secret, unless the octets stay on this host.
fn is_safe(mechanism: Mechanism, channel: Channel) -> bool {
    channel.tls || channel.local || matches!(mechanism, Mechanism::ScramSha256 | Mechanism::ScramSha1)
}

fn fits(mechanism: Mechanism, relay: &Relay, smtp: &Smtp, login: &Login) -> bool {
    let external = relay.client_cert.is_some() || smtp.auth.contains(&Mechanism::External);
    match mechanism {
        Mechanism::XOAuth2 | Mechanism::OAuthBearer => login.is_token,
        Mechanism::External => external,
        // With a certificate and no password there is nothing to say but EXTERNAL.
        _ => !login.is_token && (!external || !login.secret.expose().is_empty()),
    }
}
