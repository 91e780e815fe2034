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
    /// What is known about outgoing ports, a clause; `None`: nothing that would keep anybody from 465 and 587.
    ///
    /// Reported by customers and in vendors' pages, and new accounts differ from old ones: good for a note.
    pub closes: Option<&'static str>,
}

#[rustfmt::skip]
static HOSTS: &[Host] = &[
    Host { name: "Amazon EC2", firmware: "Amazon EC2", closes: None },
    Host { name: "Google Cloud", firmware: "Google", closes: None },
    Host { name: "Microsoft Azure", firmware: "7783-7084-3265-9085-8269-3286-77", closes: None },
    Host {
        name: "DigitalOcean",
        firmware: "DigitalOcean",
        closes: Some("DigitalOcean closes 25, 465 and 587 for new accounts; 2525 is open"),
    },
    Host { name: "Hetzner", firmware: "Hetzner", closes: Some("Hetzner closes 25 and 465 for new customers; 587 is open") },
    Host { name: "Vultr", firmware: "Vultr", closes: None },
    Host {
        name: "Akamai (Linode)",
        firmware: "Linode",
        closes: Some("Linode closes 25, 465 and 587 for new accounts until support is asked"),
    },
    Host { name: "Akamai (Linode)", firmware: "Akamai", closes: Some("Linode closes 25, 465 and 587 for new accounts until support is asked") },
    Host { name: "OVHcloud", firmware: "OVH", closes: None },
    Host { name: "Oracle Cloud", firmware: "OracleCloud", closes: None },
    Host { name: "Scaleway", firmware: "Scaleway", closes: Some("Scaleway closes 25, 465 and 587 until it is allowed in its console") },
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
