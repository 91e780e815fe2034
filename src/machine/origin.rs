//! Whose machine it is: the system, a hosting panel, and who runs the host, with what that one does to mail's ports.

use super::{exists, text};
use crate::reply::printable;
use crate::root::Root;

/// The longest name of a system, in octets.
const NAME: usize = 80;

/// Whose machine it is, as far as its files tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The system's own name for itself: `Debian GNU/Linux 12 (bookworm)`.
    pub system: Option<String>,
    /// The hosting panel.
    pub panel: Option<&'static str>,
    /// Who runs the host.
    pub host: Option<&'static Host>,
}

/// Somebody who runs hosts.
#[derive(Debug, PartialEq, Eq)]
pub struct Host {
    /// The name.
    pub name: &'static str,
    /// What a field of the firmware begins with.
    firmware: &'static str,
    /// The outgoing ports of mail that are closed at first.
    ///
    /// Reported by customers and in vendors' pages, and new accounts differ from old ones: good for a note.
    pub closed: &'static [u16],
    /// Until what, a clause.
    pub until: &'static str,
}

const fn host(name: &'static str, firmware: &'static str, closed: &'static [u16], until: &'static str) -> Host {
    Host { name, firmware, closed, until }
}

const LINODE: &str = "for new accounts until support is asked";

#[rustfmt::skip]
static HOSTS: &[Host] = &[
    host("Amazon EC2", "Amazon EC2", &[25], "until Amazon is asked"),
    host("Google Cloud", "Google", &[25], "for good"),
    host("Microsoft Azure", "7783-7084-3265-9085-8269-3286-77", &[25], "for most subscriptions"),
    host("DigitalOcean", "DigitalOcean", &[25, 465, 587], "for new accounts"),
    host("Hetzner", "Hetzner", &[25, 465], "for new customers until support is asked"),
    host("Vultr", "Vultr", &[25], "until support is asked"),
    host("Akamai (Linode)", "Linode", &[25, 465, 587], LINODE),
    host("Akamai (Linode)", "Akamai", &[25, 465, 587], LINODE),
    host("OVHcloud", "OVH", &[], ""),
    host("Oracle Cloud", "OracleCloud", &[25], "until support is asked"),
    host("Scaleway", "Scaleway", &[25, 465, 587], "until it is allowed in its console"),
];

/// Where the firmware names its maker.
const FIRMWARE: [&str; 4] = ["sys_vendor", "chassis_asset_tag", "product_name", "bios_vendor"];

/// A path that only this panel has.
const PANELS: &[(&str, &str)] = &[
    ("/usr/local/cpanel", "cPanel"),
    ("/etc/psa/.psa.conf", "Plesk"),
    ("/usr/local/directadmin", "DirectAdmin"),
    ("/usr/local/hestia", "Hestia"),
    ("/usr/local/vesta", "Vesta"),
    ("/usr/local/ispconfig", "ISPConfig"),
    ("/usr/local/CyberCP", "CyberPanel"),
    ("/www/server/panel", "aaPanel"),
    ("/home/clp", "CloudPanel"),
    ("/usr/local/mgr5", "ISPmanager"),
    ("/etc/froxlor", "Froxlor"),
    ("/etc/webmin/virtual-server", "Virtualmin"),
];

impl Origin {
    pub(super) fn of(root: &Root) -> Self {
        let release = text(root, "/etc/os-release").or_else(|| text(root, "/usr/lib/os-release")).unwrap_or_default();
        let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="));
        let firmware: Vec<String> =
            FIRMWARE.iter().filter_map(|field| text(root, format!("/sys/class/dmi/id/{field}"))).collect();
        let is_of = |host: &&Host| firmware.iter().any(|field| field.starts_with(host.firmware));
        Self {
            system: name.map(|name| printable(name.trim_matches(['"', '\'']).as_bytes(), NAME)),
            panel: PANELS.iter().find(|(path, _)| exists(root, path)).map(|(_, name)| *name),
            host: HOSTS.iter().find(is_of),
        }
    }

    /// System, panel and host, as far as they are known: `Debian GNU/Linux 12 (bookworm)`, `Plesk`, `Hetzner`.
    pub fn words(&self) -> Vec<String> {
        let known = [self.system.clone(), self.panel.map(str::to_owned), self.host.map(|host| host.name.to_owned())];
        known.into_iter().flatten().collect()
    }
}
