//! The one list of what can be found. Words are stable: `--ignore` and scripts name them.
//!
//! A line each, families together: the name in Rust, the word, the grade, what is in the way, what it means.

use super::Area::{Access, Login, Relay, Setup};
use super::Code;
use super::Grade::{Broken, Note, Weak};

/// Makes a constant of each line, and the list of them.
macro_rules! codes {
    ($($name:ident $word:literal $grade:ident $area:ident $about:literal)*) => {
        $(
            #[doc = $about]
            pub static $name: Code = Code { word: $word, grade: $grade, area: $area, about: $about };
        )*
        /// Every code, in the order of the man page.
        pub static ALL: &[&Code] = &[$(&$name),*];
    };
}

codes! {
    CONFIG_INVALID "config.invalid" Broken Setup "the configuration is missing, or there is a mistake in it"
    CONFIG_UNREADABLE "config.unreadable" Broken Access "a user who sends may not read the configuration"
    CONFIG_SKIPPED "config.skipped" Broken Setup "a file of `sites.d` is left out, with what it says"
    CONFIG_WARNING "config.warning" Weak Setup "something in the configuration deserves a look: a mode, an owner, a name"
    CONFIG_NOT_LOOKED_AT "config.not-looked-at" Note Setup "there were too many users to look at each"
    SITE_NONE "site.none" Broken Setup "a user who runs PHP has no site, so its messages are refused"
    SITE_DISABLED "site.disabled" Note Setup "a site sends nothing because its configuration says so"
    SITE_BANNED "site.banned" Broken Setup "a ban keeps a site, or a user, from sending"
    SITE_NO_SENDER "site.no-sender" Note Setup "a site names no `from`, so the domain to look up is not known"
    SECRET_MISSING "secret.missing" Broken Setup "a file that holds a secret is not there, or is none"
    SECRET_WRONG "secret.wrong" Broken Setup "a secret is empty, or looks like something else"
    SECRET_UNREADABLE "secret.unreadable" Broken Access "a user who sends may not read the secret"
    SECRET_MODES "secret.modes" Broken Access "others can change the file of a secret, or read it"
    SECRET_SHARED "secret.shared" Weak Access "a user who does not send with a secret can read it"
    SECRET_INLINE "secret.inline" Note Setup "a secret stands in the configuration itself"
    SECRET_UNSEEN "secret.unseen" Note Setup "a secret comes from where it is not seen before a message is sent"
    SECRET_UNUSED "secret.unused" Note Setup "a stored secret is named by nothing"
    SECRET_EXPIRES "secret.expires" Weak Setup "the day on which a secret ends is near, or over"
    RELAY_NO_HOST "relay.no-host" Broken Relay "the name of a relay's host does not exist"
    RELAY_BLOCKED "relay.blocked" Broken Relay "the ports for mail do not answer, and others of the same provider do"
    RELAY_UNREACHABLE "relay.unreachable" Broken Relay "nobody answers where a relay is said to be"
    RELAY_ADDRESS "relay.address" Note Relay "one of a relay's addresses does not answer, and another does"
    RELAY_TLS "relay.tls" Broken Relay "TLS with a relay fails: its certificate, its name, or the wrong mode"
    RELAY_NO_TLS "relay.no-tls" Weak Relay "a relay elsewhere is spoken to without TLS"
    RELAY_CERTIFICATE "relay.certificate" Weak Relay "the certificate of a relay ends within two weeks"
    RELAY_PROTOCOL "relay.protocol" Broken Relay "a relay does not speak as it should, or offers no way to log in"
    RELAY_REFUSED "relay.refused" Broken Relay "a relay turns this host away before the login"
    RELAY_SETTINGS "relay.settings" Broken Setup "a relay cannot be used as it is configured"
    RELAY_NOT_TRIED "relay.not-tried" Note Relay "a login that was not tried: nothing harmless is known to ask for"
    LOGIN_REFUSED "login.refused" Broken Login "a relay refuses the login"
    LOGIN_MISSING "login.missing" Broken Setup "somebody has to log in with `mailchute login` first"
    LIMIT_REACHED "limit.reached" Weak Setup "nothing is left of a limit at present"
    SPOOL_NO_PLACE "spool.no-place" Broken Access "a user whose messages may wait has no place for them"
    SPOOL_NO_FLUSHER "spool.no-flusher" Weak Setup "no timer or cron line sends what waits"
    ALIAS_NONE "alias.none" Note Setup "local names such as `root` lead nowhere, so mail from cron is refused"
    SENDMAIL_MISSING "sendmail.missing" Broken Setup "there is no `/usr/sbin/sendmail`, which programs call to send"
    SENDMAIL_OTHER "sendmail.other" Broken Setup "another mailer stands in sendmail's place, so mail does not come here"
    SENDMAIL_COMPANION "sendmail.companion" Weak Setup "`mailq` or `newaliases` is another mailer's"
    PHP_EMPTY_PATH "php.empty-path" Broken Setup "`sendmail_path` is empty, so PHP has no program to hand mail to"
    PHP_NO_DEFAULT "php.no-default" Broken Setup "`sendmail_path` is not set, and this PHP was built without a sendmail"
    PHP_NO_PROGRAM "php.no-program" Broken Setup "`sendmail_path` names a program that is not there"
    PHP_OTHER_MAILER "php.other-mailer" Broken Setup "`sendmail_path` names another mailer"
    PHP_NO_RECIPIENTS "php.no-recipients" Broken Setup "`sendmail_path` lacks `-t`, so no message has a recipient"
    PHP_NOT_EXECUTABLE "php.not-executable" Broken Setup "the user of a pool may not run what `sendmail_path` names"
    PHP_DISABLED "php.disabled" Broken Setup "`disable_functions` takes PHP's mail function away"
    PHP_NO_PROCESS "php.no-process" Note Setup "`disable_functions` keeps libraries from starting sendmail themselves"
    PHP_NO_EFFECT "php.no-effect" Weak Setup "`php_value` cannot set `sendmail_path`, only `php_admin_value` can"
    PHP_FIXED_SENDER "php.fixed-sender" Note Setup "`sendmail_path` gives every message the same sender"
    PHP_FORCED "php.forced" Note Setup "`mail.force_extra_parameters` takes the place of what a script asks for"
    PHP_CHROOT "php.chroot" Broken Setup "a pool's `chroot` lacks the program, or the shell that starts it"
    PHP_CLEAR_ENV "php.clear-env" Broken Setup "PHP-FPM clears the environment, in which the configuration is"
    PHP_NO_USER "php.no-user" Broken Setup "a pool runs as a user that does not exist"
    SELINUX_SENDMAIL "selinux.sendmail" Broken Setup "SELinux keeps web servers from running sendmail"
    SELINUX_NETWORK "selinux.network" Broken Setup "SELinux keeps web servers from connecting to a relay"
    APPARMOR_PHP "apparmor.php" Weak Setup "AppArmor confines PHP-FPM, and nothing lets it run sendmail"
    UNIT_NETWORK "unit.network" Broken Setup "the sandbox of PHP-FPM's unit keeps it from the network"
    UNIT_PRIVILEGES "unit.privileges" Broken Setup "`NoNewPrivileges=` keeps a set-group-id mailchute from its group"
    UNIT_READ_ONLY "unit.read-only" Weak Setup "the sandbox of PHP-FPM's unit keeps messages from the spool"
}
