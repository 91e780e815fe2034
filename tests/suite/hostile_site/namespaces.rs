//! Namespaces of the site's own, where it is root of a kind.

use testkit::{Mailchute, need};

use super::{Mode, PLANTED, SHOP, in_both_modes};
use crate::setup::MESSAGE;

#[test]
fn no_namespace_of_its_own_gives_the_site_the_group() {
    let Some(unshare) = need("unshare") else { return };
    let unshare = unshare.display().to_string();
    in_both_modes("namespaces", |bench| {
        let binary = bench.binary.display().to_string();
        let over = |file: &str| format!("mount --bind {PLANTED} {file} 2>&1; ");
        let scripts = [
            String::new(),
            over("/etc/mailchute/config.toml"),
            over("/etc/mailchute/sites.d/shop.toml"),
            over("/etc/mailchute/secrets/shop"),
            "mount -t tmpfs x /etc/mailchute 2>&1; ".to_owned(),
            "mount -t tmpfs x /var/lib/mailchute 2>&1; ".to_owned(),
            "mount -t tmpfs x /usr/lib/ssl 2>&1; ".to_owned(),
            "mount --rbind /home/shop /run 2>&1; ".to_owned(),
            "chroot /home/shop true 2>&1; ".to_owned(),
            "cat /etc/mailchute/secrets/* /var/spool/mailchute/*/queue/* /var/lib/mailchute/tokens/*/* 2>&1; "
                .to_owned(),
            "chmod -R a+rwx /etc/mailchute /var/spool/mailchute /var/lib/mailchute 2>&1; ".to_owned(),
            "chown -R 0:0 /etc/mailchute /var/spool/mailchute 2>&1; ".to_owned(),
        ];
        let words = ["-v -i bob@example.net", "explain bob@example.net", "queue", "queue flush", "login --status"]
            .into_iter()
            .cycle();
        let flags = ["-Ur", "-U", "-Urm", "-Urmn", "-Urmpf", "-Urmi", "-UrmT", "-Urmu", "-c"];
        let all = flags.iter().flat_map(|flags| scripts.iter().map(move |script| (flags, script)));
        for ((flags, script), words) in all.zip(words) {
            let script = format!("{script}exec {binary} {words}");
            let call = Mailchute::new(&unshare).uid(SHOP).stdin(MESSAGE).args([flags, "sh", "-c", &script]);
            let run = bench.attempt(&format!("unshare {flags}: {script}"), call);
            // There the binary's group means nothing, and no secret can be read with it.
            if bench.mode == Mode::SetGroupId && words.starts_with("-v") && run.status == 0 {
                bench.breaks(&format!("unshare {flags}: {script}: {}", run.report()));
            }
        }
    });
}
