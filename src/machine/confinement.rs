//! What keeps a program that PHP starts from sending: SELinux, AppArmor, and the sandbox of FPM's unit.

use std::path::Path;

use super::php::{Kind, Php};
use super::{Wanted, exists, files, text};
use crate::finding::{Code, Finding, Grade, Section, codes};
use crate::root::Root;

/// Where units are, the first that has one counts.
const UNITS: [&str; 4] =
    ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];

pub(super) fn judge(root: &Root, php: &[Php], wanted: Wanted) -> Section {
    let mut section = Section::new("confinement");
    selinux(root, php, &mut section);
    apparmor(root, &mut section);
    for unit in php.iter().filter(|php| php.kind == Kind::Fpm).filter_map(|php| Unit::of(root, php)) {
        unit.judge(wanted, &mut section);
    }
    section
}

fn selinux(root: &Root, php: &[Php], section: &mut Section) {
    let is_enforced = text(root, "/sys/fs/selinux/enforce").is_some_and(|text| text.trim() == "1");
    if !is_enforced {
        return;
    }
    let is_served = php.iter().any(|php| matches!(php.kind, Kind::Fpm | Kind::Apache));
    // A web server that runs outside its domain is not held by these.
    let is_confined = contexts(root).iter().any(|context| context.contains(":httpd_t:"));
    let rows: [(&str, &str, &Code); 2] = [
        ("httpd_can_sendmail", "PHP may not run sendmail", &codes::SELINUX_SENDMAIL),
        ("httpd_can_network_connect", "what PHP runs may not connect to a relay", &codes::SELINUX_NETWORK),
    ];
    let mut is_open = true;
    for (name, what, code) in rows {
        let is_off = text(root, format!("/sys/fs/selinux/booleans/{name}")).is_some_and(|text| text.starts_with('0'));
        if is_off && is_served {
            is_open = false;
            let code: &'static Code = code;
            let finding = Finding::new(code, "SELinux", format!("{name} is off, so {what}"))
                .run(format!("sudo setsebool -P {name} on"));
            section.findings.push(if is_confined { finding } else { finding.at_most(Grade::Weak) });
        }
    }
    if is_open {
        section.fine.push("SELinux lets web servers send".to_owned());
    }
}

/// The SELinux contexts of the processes that serve PHP.
fn contexts(root: &Root) -> Vec<String> {
    let mut found = Vec::new();
    for name in root.list(Path::new("/proc")).unwrap_or_default() {
        let name = name.to_string_lossy();
        if !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let program = text(root, format!("/proc/{name}/comm")).unwrap_or_default();
        if ["php-fpm", "httpd", "apache2"].iter().any(|server| program.starts_with(server)) {
            found.extend(text(root, format!("/proc/{name}/attr/current")));
        }
    }
    found
}

fn apparmor(root: &Root, section: &mut Section) {
    let is_on = text(root, "/sys/module/apparmor/parameters/enabled").is_some_and(|text| text.starts_with('Y'));
    let profile = "/etc/apparmor.d/php-fpm";
    if !is_on || exists(root, "/etc/apparmor.d/disable/php-fpm") {
        return;
    }
    let Some(rules) = text(root, profile) else { return };
    let own = text(root, "/etc/apparmor.d/local/php-fpm").unwrap_or_default();
    let is_lenient = rules.lines().any(|line| line.contains("profile ") && line.contains("complain"));
    if !is_lenient && !own.contains("sendmail") && !own.contains("mailchute") {
        section.findings.push(
            Finding::new(&codes::APPARMOR_PHP, profile, "confines PHP-FPM, and nothing in it lets PHP run sendmail")
                .run("echo '/usr/{sbin/sendmail,local/bin/mailchute} Ux,' | sudo tee -a /etc/apparmor.d/local/php-fpm && sudo apparmor_parser -r /etc/apparmor.d/php-fpm"),
        );
    }
}

/// A unit that runs PHP-FPM, with its drop-ins.
struct Unit {
    name: String,
    /// Keys and values of `[Service]`, in the order in which they count.
    settings: Vec<(String, String)>,
}

/// The name of the service that runs this PHP-FPM.
pub(super) fn unit(root: &Root, php: &Php) -> Option<String> {
    let names = [format!("php{}-fpm", php.version), format!("php-fpm{}", php.version), "php-fpm".to_owned()];
    let is_there = |name: &String| UNITS.iter().any(|place| exists(root, format!("{place}/{name}.service")));
    names.into_iter().find(is_there)
}

impl Unit {
    fn of(root: &Root, php: &Php) -> Option<Self> {
        let name = unit(root, php)?;
        let mut settings = Vec::new();
        let own = UNITS.iter().find_map(|place| text(root, format!("{place}/{name}.service")))?;
        service(&own, &mut settings);
        for place in UNITS.iter().rev() {
            for file in files(root, format!("{place}/{name}.service.d"), ".conf") {
                service(&text(root, file).unwrap_or_default(), &mut settings);
            }
        }
        Some(Self { name, settings })
    }

    /// The value that counts for a key with one.
    fn last(&self, key: &str) -> &str {
        self.settings.iter().rev().find(|(name, _)| name == key).map_or("", |(_, value)| value)
    }

    /// The words of a key with many; an empty value takes back what was before.
    fn list(&self, key: &str) -> Vec<&str> {
        let mut words = Vec::new();
        for (_, value) in self.settings.iter().filter(|(name, _)| name == key) {
            if value.is_empty() {
                words.clear();
            }
            words.extend(value.split_whitespace());
        }
        words
    }

    fn judge(&self, wanted: Wanted, section: &mut Section) {
        let is_on = |key: &str| matches!(self.last(key), "yes" | "true" | "1" | "on");
        let mut found = |code: &'static Code, key: &str, value: &str, why: &str, line: &str| {
            let service = &self.name;
            let unit = format!("{service}.service");
            section.findings.push(Finding::new(code, &unit, format!("{key}={value}, {why}")).run(format!(
                "printf '[Service]\\n{line}\\n' | sudo install -Dm 644 /dev/stdin \
                 /etc/systemd/system/{unit}.d/zz-mailchute.conf && sudo systemctl daemon-reload && sudo systemctl restart {service}"
            )));
        };
        if is_on("PrivateNetwork") {
            found(&codes::UNIT_NETWORK, "PrivateNetwork", "yes", "so no relay can be reached", "PrivateNetwork=no");
        }
        let denied = self.list("IPAddressDeny");
        if denied.contains(&"any") && self.list("IPAddressAllow").iter().all(|word| *word == "localhost") {
            found(&codes::UNIT_NETWORK, "IPAddressDeny", "any", "so no relay can be reached", "IPAddressDeny=");
        }
        let families = self.list("RestrictAddressFamilies");
        let is_forbidding = families.first().is_some_and(|word| word.starts_with('~'));
        let has_internet = match is_forbidding {
            true => !families.iter().any(|word| word.trim_start_matches('~') == "AF_INET"),
            false => families.is_empty() || families.contains(&"AF_INET"),
        };
        if !has_internet || families == ["none"] {
            found(
                &codes::UNIT_NETWORK,
                "RestrictAddressFamilies",
                &families.join(" "),
                "so no relay can be reached",
                "RestrictAddressFamilies=\\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
            );
        }
        if wanted.set_group_id && is_on("NoNewPrivileges") {
            let why = "so mailchute does not get the group that reads the secrets";
            found(&codes::UNIT_PRIVILEGES, "NoNewPrivileges", "yes", why, "NoNewPrivileges=no");
        }
        let writable = self.list("ReadWritePaths");
        let is_writable =
            |path: &str| writable.iter().any(|word| Path::new(path).starts_with(word.trim_start_matches(['-', '+'])));
        if wanted.spools && self.last("ProtectSystem") == "strict" && !is_writable("/var/spool/mailchute") {
            let line = "ReadWritePaths=/var/spool/mailchute /var/lib/mailchute";
            let why = "so no message can wait in /var/spool/mailchute";
            found(&codes::UNIT_READ_ONLY, "ProtectSystem", "strict", why, line);
        }
    }
}

/// The settings of the section `[Service]`, continued lines joined.
fn service(text: &str, settings: &mut Vec<(String, String)>) {
    let mut is_service = false;
    let joined = text.replace("\\\n", " ");
    for line in joined.lines().map(str::trim) {
        if line.starts_with('[') {
            is_service = line == "[Service]";
        } else if is_service
            && !line.starts_with(['#', ';'])
            && let Some((key, value)) = line.split_once('=')
        {
            settings.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
}
