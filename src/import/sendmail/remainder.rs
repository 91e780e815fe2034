//! What a sendmail.mc says beside servers, logins and senders.

use super::Setup;
use super::m4::is_computed;
use crate::import::draft::Draft;
use crate::import::draft::code::{COMPUTED, EXECUTED, LOOKUP, SERVER, UNKNOWN, UNUSED};

impl Setup<'_> {
    /// What was not asked for until now.
    pub(super) fn rest(&self, draft: &mut Draft) {
        for (call, id) in &self.calls {
            if !draft.ledger.is_open(*id) {
                continue;
            }
            let what = call.text(0).unwrap_or_default();
            match (call.name.as_str(), what) {
                ("esyscmd" | "syscmd", _) => draft.ledger.say(*id, &EXECUTED, "m4 would run a program here"),
                (name, _) if is_computed(name) => draft.ledger.say(*id, &COMPUTED, "what stands in it depends on m4"),
                ("include" | "sinclude", path) if path.ends_with("cf.m4") => draft.ledger.imply(*id),
                ("include" | "sinclude", _) => {
                    draft.ledger.say(
                        *id,
                        &COMPUTED,
                        "what is included is not read; name what it says by options of `init`",
                    );
                }
                ("define", name) if CHANGES.contains(&name) => {
                    draft.ledger.say(*id, &UNKNOWN, "it changes where some of the mail goes");
                }
                ("define", name)
                    if self.calls.iter().rev().any(|(later, of)| of > id && later.text(0) == Some(name)) =>
                {
                    draft.ledger.say(*id, &UNUSED, "a later line says otherwise");
                }
                ("define", _) => draft.drop(*id, "it is about the queue, the server, its files or its limits"),
                ("FEATURE", name) if RELAYS.contains(&name) => {
                    draft.ledger.say(
                        *id,
                        &SERVER,
                        "this sendmail also takes mail from other hosts; mailchute is no server",
                    );
                }
                ("FEATURE", name) if TABLES.contains(&name) => {
                    draft.ledger.say(*id, &LOOKUP, "addresses and servers are not taken from tables here");
                }
                ("FEATURE", name) if PLAIN.contains(&name) => draft.ledger.imply(*id),
                ("DAEMON_OPTIONS", options) => {
                    let is_here = ["127.0.0.1", "::1", "localhost"].iter().any(|host| options.contains(host));
                    match is_here {
                        true => draft.ledger.imply(*id),
                        false => draft.ledger.say(
                            *id,
                            &SERVER,
                            "this sendmail also takes mail from other hosts; mailchute is no server: they need their own way out",
                        ),
                    }
                }
                ("RELAY_DOMAIN" | "RELAY_DOMAIN_FILE", _) => {
                    draft.ledger.say(
                        *id,
                        &SERVER,
                        "this sendmail also takes mail from other hosts; mailchute is no server",
                    );
                }
                ("INPUT_MAIL_FILTER" | "MAIL_FILTER", _) => {
                    draft.ledger.say(
                        *id,
                        &UNKNOWN,
                        "filters look at messages or change them on their way, which is not done here",
                    );
                }
                (
                    "undefine" | "VERSIONID" | "OSTYPE" | "DOMAIN" | "MAILER" | "LOCAL_DOMAIN" | "EXPOSED_USER"
                    | "TRUST_AUTH_MECH",
                    _,
                )
                | ("GENERICS_DOMAIN" | "GENERICS_DOMAIN_FILE" | "MASQUERADE_DOMAIN" | "MASQUERADE_DOMAIN_FILE", _)
                | ("MASQUERADE_EXCEPTION" | "MASQUERADE_AS" | "LOCAL_USER", _) => draft.ledger.imply(*id),
                (name, _) if name.starts_with("LOCAL_") => {
                    draft.ledger.say(
                        *id,
                        &COMPUTED,
                        "what stands behind it is sendmail.cf's own language, which is not read",
                    );
                }
                _ => {}
            }
        }
    }
}

/// Macros that change where mail goes.
const CHANGES: &[&str] = &[
    "MAIL_HUB",
    "LOCAL_RELAY",
    "LUSER_RELAY",
    "confFALLBACK_MX",
    "confFALLBACK_SMARTHOST",
    "confDEF_AUTH_INFO",
    "BITNET_RELAY",
    "UUCP_RELAY",
];

/// Features by which mail of other hosts is taken.
const RELAYS: &[&str] = &[
    "promiscuous_relay",
    "relay_entire_domain",
    "relay_based_on_MX",
    "relay_mail_from",
    "relay_local_from",
    "relay_hosts_only",
];

/// Features whose tables change addresses or servers.
const TABLES: &[&str] =
    &["mailertable", "domaintable", "virtusertable", "uucpdomain", "bitdomain", "ldap_routing", "genericstable"];

/// Features that are about mail that comes in, about mailboxes, or about what is done here anyway.
const PLAIN: &[&str] = &[
    "access_db",
    "accept_unqualified_senders",
    "accept_unresolvable_domains",
    "allmasquerade",
    "always_add_domain",
    "badmx",
    "blacklist_recipients",
    "block_bad_helo",
    "conncontrol",
    "delay_checks",
    "dnsbl",
    "enhdnsbl",
    "generics_entire_domain",
    "greet_pause",
    "limited_masquerade",
    "local_lmtp",
    "local_no_masquerade",
    "local_procmail",
    "lookupdotdomain",
    "masquerade_entire_domain",
    "masquerade_envelope",
    "no_default_msa",
    "nocanonify",
    "nodns",
    "notsticky",
    "nouucp",
    "nullclient",
    "ratecontrol",
    "redirect",
    "require_rdns",
    "smrsh",
    "stickyhost",
    "tls_session_features",
    "use_client_ptr",
    "use_ct_file",
    "use_cw_file",
];
