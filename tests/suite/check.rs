//! `mailchute check` on copies of hosts: `tests/check/NAME.tree` is a set-up in which nothing is wrong, laid out as a
//! distribution, an image or a panel lays it. Each fault of [`FAULTS`] is put into each of them and has to be named with
//! its code, and where the finding has a command, the command has to remove it.
//!
//! Before the first `---` of a tree: `ini` (the files that hold PHP's settings), `pool` (that of the pool that the site
//! uses), `system` and `panel` as they are told. Then the files, `--- PATH` and the text. What every tree has in common
//! is in [`lay`].

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;
use testkit::{Run, Scratch};

use crate::setup::{data, mailchute};

/// A copy of a host, not laid yet.
struct Tree {
    name: String,
    head: BTreeMap<String, String>,
    files: Vec<(String, String)>,
}

/// What is done to a copy.
enum Edit {
    /// A line at the end of each file of PHP's settings.
    Ini(&'static str),
    /// A line at the end of the pool's file.
    Pool(&'static str),
    /// A file with this mode.
    Write(&'static str, &'static str, u32),
    /// A link in the place of what is there.
    Link(&'static str, &'static str),
    /// Nothing is there any more.
    Remove(&'static str),
}

use Edit::{Ini, Link, Pool, Remove, Write};

const UNIT: &str = "[Service]\nExecStart=/usr/sbin/php-fpm\n";
const MSMTP: Edit = Write("/usr/bin/msmtp", "", 0o755);
const POSTFIX: Edit = Write("/usr/sbin/sendmail.postfix", "", 0o755);

/// Name, code and edits.
#[rustfmt::skip]
const FAULTS: &[(&str, &str, &[Edit])] = &[
    ("empty", "php.empty-path", &[Ini("sendmail_path =")]),
    ("empty in quotes", "php.empty-path", &[Ini("sendmail_path = \"\"")]),
    ("none", "php.empty-path", &[Ini("sendmail_path = none")]),
    ("blank", "php.empty-path", &[Ini("sendmail_path = \" \"")]),
    ("gone", "php.no-program", &[Ini("sendmail_path = /opt/gone -t -i")]),
    ("gone, quoted", "php.no-program", &[Ini("sendmail_path = \"\\\"/opt/my mailer\\\" -t -i\"")]),
    ("gone, a link to nothing", "php.no-program", &[Link("/opt/mailer", "/opt/gone"), Ini("sendmail_path = /opt/mailer -t")]),
    ("msmtp", "php.other-mailer", &[MSMTP, Ini("sendmail_path = \"/usr/bin/msmtp -C /etc/msmtprc -t\"")]),
    ("msmtp by a link", "php.other-mailer", &[MSMTP, Link("/usr/local/bin/mail-it", "../../bin/msmtp"), Ini("sendmail_path = /usr/local/bin/mail-it -t")]),
    ("a script", "php.other-mailer", &[Write("/opt/mailer.sh", "", 0o755), Ini("sendmail_path = /opt/mailer.sh -t")]),
    ("thrown away", "php.other-mailer", &[Write("/bin/true", "", 0o755), Ini("sendmail_path = /bin/true -t")]),
    ("a catcher", "php.other-mailer", &[Write("/usr/local/bin/mhsendmail", "", 0o755), Ini("sendmail_path = /usr/local/bin/mhsendmail -t")]),
    ("no -t", "php.no-recipients", &[Ini("sendmail_path = /usr/sbin/sendmail")]),
    ("no -t but others", "php.no-recipients", &[Ini("sendmail_path = /usr/sbin/sendmail -i -ftest@shop.example")]),
    ("fixed sender", "php.fixed-sender", &[Ini("sendmail_path = /usr/sbin/sendmail -t -f admin@blog.example")]),
    ("mail disabled", "php.disabled", &[Ini("disable_functions = exec,mail,system")]),
    ("mail disabled alone", "php.disabled", &[Ini("disable_functions = mail")]),
    ("processes disabled", "php.no-process", &[Ini("disable_functions = popen, proc_open")]),
    ("forced", "php.forced", &[Ini("mail.force_extra_parameters = -fbounce@shop.example")]),
    ("empty in the pool", "php.empty-path", &[Pool("php_admin_value[sendmail_path] =")]),
    ("gone in the pool", "php.no-program", &[Pool("php_admin_value[sendmail_path] = /opt/gone -t")]),
    ("msmtp in the pool", "php.other-mailer", &[MSMTP, Pool("php_admin_value[sendmail_path] = /usr/bin/msmtp -t")]),
    ("no -t in the pool", "php.no-recipients", &[Pool("php_admin_value[sendmail_path] = /usr/sbin/sendmail")]),
    ("fixed in the pool", "php.fixed-sender", &[Pool("php_admin_value[sendmail_path] = \"/usr/sbin/sendmail -t -i -f admin@blog.example\"")]),
    ("without effect", "php.no-effect", &[Pool("php_value[sendmail_path] = /usr/sbin/sendmail -t")]),
    ("mail disabled in the pool", "php.disabled", &[Pool("php_admin_value[disable_functions] = exec,mail")]),
    ("forced in the pool", "php.forced", &[Pool("php_admin_value[mail.force_extra_parameters] = -fx@shop.example")]),
    ("chroot", "php.chroot", &[Pool("chroot = /srv/jail")]),
    ("chroot of the pool", "php.chroot", &[Pool("chroot = /srv/$pool")]),
    ("no user", "php.no-user", &[Pool("user = nobody-here")]),
    ("not executable", "php.not-executable", &[Write("/usr/local/bin/mailchute", "", 0o700)]),
    ("sendmail is msmtp", "sendmail.other", &[MSMTP, Link("/usr/sbin/sendmail", "../bin/msmtp")]),
    ("sendmail is Postfix by alternatives", "sendmail.other", &[POSTFIX, Link("/etc/alternatives/mta", "/usr/sbin/sendmail.postfix"), Link("/usr/sbin/sendmail", "/etc/alternatives/mta")]),
    ("sendmail is Postfix's own file", "sendmail.other", &[Remove("/usr/sbin/sendmail"), Write("/usr/sbin/sendmail", "", 0o755), Write("/etc/postfix/main.cf", "", 0o644)]),
    ("sendmail is a package's", "sendmail.other", &[Remove("/usr/sbin/sendmail"), Write("/usr/sbin/sendmail", "", 0o755), Write("/var/lib/dpkg/info/ssmtp.list", "/.\n/usr/sbin/sendmail\n", 0o644)]),
    ("sendmail is BusyBox", "sendmail.other", &[Write("/bin/busybox", "", 0o755), Link("/usr/sbin/sendmail", "/bin/busybox")]),
    ("no sendmail", "sendmail.missing", &[Remove("/usr/sbin/sendmail")]),
    ("a link in a circle", "sendmail.missing", &[Link("/usr/sbin/sendmail", "/usr/sbin/sendmail")]),
    ("mailq is Postfix's", "sendmail.companion", &[POSTFIX, Link("/usr/bin/mailq", "../sbin/sendmail.postfix")]),
    ("SELinux, sendmail", "selinux.sendmail", &[Write("/sys/fs/selinux/enforce", "1", 0o644), Write("/sys/fs/selinux/booleans/httpd_can_sendmail", "0 0", 0o644)]),
    ("SELinux, network", "selinux.network", &[Write("/sys/fs/selinux/enforce", "1", 0o644), Write("/sys/fs/selinux/booleans/httpd_can_network_connect", "0 0", 0o644)]),
    ("AppArmor", "apparmor.php", &[Write("/sys/module/apparmor/parameters/enabled", "Y\n", 0o644), Write("/etc/apparmor.d/php-fpm", "profile php-fpm /usr/sbin/php-fpm* {\n}\n", 0o644)]),
    ("no network", "unit.network", &[Write("/usr/lib/systemd/system/php-fpm.service", UNIT, 0o644), Write("/etc/systemd/system/php-fpm.service.d/hard.conf", "[Service]\nPrivateNetwork=yes\n", 0o644)]),
    ("no addresses", "unit.network", &[Write("/usr/lib/systemd/system/php-fpm.service", UNIT, 0o644), Write("/etc/systemd/system/php-fpm.service.d/hard.conf", "[Service]\nIPAddressDeny=any\nIPAddressAllow=localhost\n", 0o644)]),
    ("no families", "unit.network", &[Write("/usr/lib/systemd/system/php-fpm.service", UNIT, 0o644), Write("/etc/systemd/system/php-fpm.service.d/hard.conf", "[Service]\nRestrictAddressFamilies=AF_UNIX\n", 0o644)]),
];

/// Set-ups in which nothing is broken.
#[rustfmt::skip]
const GOOD: &[(&str, &[Edit])] = &[
    ("as it is", &[]),
    ("Postfix beside", &[Remove("/usr/sbin/sendmail"), Write("/usr/sbin/sendmail", "", 0o755), Write("/etc/postfix/main.cf", "", 0o644), Ini("sendmail_path = \"/usr/local/bin/mailchute -t -i\"")]),
    ("one word", &[Ini("sendmail_path = /usr/sbin/sendmail -ti")]),
    ("a sender", &[Ini("sendmail_path = \"/usr/sbin/sendmail -t -i -fbounce@shop.example\"")]),
    ("the pool's own", &[Pool("php_admin_value[sendmail_path] = \"/usr/sbin/sendmail -t -i -f shop@shop.example\"")]),
    ("the pool takes back", &[Ini("sendmail_path = /usr/sbin/sendmail -t"), Pool("php_admin_value[sendmail_path] = /usr/local/bin/mailchute -t")]),
    ("others disabled", &[Ini("disable_functions = exec,system,mb_send_mail,imap_mail")]),
    ("a comment", &[Ini(";sendmail_path = /opt/gone"), Ini("; disable_functions = mail")]),
    ("SELinux lets it", &[Write("/sys/fs/selinux/enforce", "1", 0o644), Write("/sys/fs/selinux/booleans/httpd_can_sendmail", "1 1", 0o644), Write("/sys/fs/selinux/booleans/httpd_can_network_connect", "1 1", 0o644)]),
    ("a hardened unit", &[Write("/usr/lib/systemd/system/php-fpm.service", "[Service]\nPrivateTmp=yes\nProtectSystem=full\nNoNewPrivileges=yes\nRestrictAddressFamilies=AF_UNIX AF_INET AF_INET6\n", 0o644)]),
    ("another directory's", &[Ini("[PATH=/srv/www/old]"), Ini("sendmail_path = /opt/gone")]),
];

fn trees() -> Vec<Tree> {
    let mut files: Vec<PathBuf> = fs::read_dir(data("check")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| Tree::read(file)).collect()
}

fn tree(name: &str) -> Tree {
    Tree::read(&data("check").join(format!("{name}.tree")))
}

impl Tree {
    fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap();
        let mut parts = text.split("--- ");
        let head = parts.next().unwrap().lines().filter(|line| !line.starts_with('#')).map(|line| {
            let (key, value) = line.split_once(": ").unwrap();
            (key.to_owned(), value.to_owned())
        });
        let of_part = |part: &str| {
            let (path, text) = part.split_once('\n').unwrap();
            (path.to_owned(), text.to_owned())
        };
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        Self { name, head: head.collect(), files: parts.map(of_part).collect() }
    }

    /// Lays it below `root`, with what every host has.
    fn lay(&self, root: &Path) {
        let passwd = "root:x:0:0::/root:/bin/sh\nwww-data:x:33:33::/:/bin/false\nshop:x:61042:61042::/:/bin/false\n";
        write(root, "/etc/passwd", passwd, 0o644);
        write(root, "/usr/local/bin/mailchute", "", 0o755);
        for name in ["/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases"] {
            link(root, name, "/usr/local/bin/mailchute");
        }
        for (path, text) in &self.files {
            write(root, path, text, 0o644);
        }
    }

    fn edit(&self, root: &Path, edit: &Edit) {
        let append = |path: &str, line: &str| {
            let file = below(root, path);
            let text = fs::read_to_string(&file).unwrap();
            fs::write(&file, format!("{text}{line}\n")).unwrap();
        };
        match edit {
            Ini(line) => self.head["ini"].split(' ').for_each(|path| append(path, line)),
            Pool(line) => append(&self.head["pool"], line),
            Write(path, text, mode) => write(root, path, text, *mode),
            Link(path, target) => link(root, path, target),
            Remove(path) => fs::remove_file(below(root, path)).unwrap(),
        }
    }
}

fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn write(root: &Path, path: &str, text: &str, mode: u32) {
    let file = below(root, path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
}

fn link(root: &Path, path: &str, target: &str) {
    let file = below(root, path);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&file);
    symlink(target, &file).unwrap();
}

fn look(root: &Path, words: &[&str]) -> Run {
    mailchute().args(["check", "--root"]).arg(root).args(words.iter().copied()).run()
}

/// The findings, as `--json` has them.
pub(crate) fn findings(run: &Run) -> Vec<Value> {
    let all: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}\n{}", run.report()));
    all.as_array().unwrap().clone()
}

/// The findings with this code.
pub(crate) fn with_code<'f>(all: &'f [Value], code: &str) -> Vec<&'f Value> {
    all.iter().filter(|finding| finding["code"] == code).collect()
}

/// Runs the command of a finding on the copy; `None`: it has none, or one for a host that runs.
fn apply(root: &Path, finding: &Value) -> Option<()> {
    let line = finding["next"]["run"].as_str()?;
    let line = line.split(" && sudo systemctl").next().unwrap().replace("sudo ", "");
    if ["setsebool", "apparmor_parser", "init --take-sendmail", "apt install"].iter().any(|word| line.contains(word)) {
        return None;
    }
    let place = root.display();
    let line = ["etc", "usr", "opt"]
        .iter()
        .fold(line, |line, top| line.replace(&format!(" /{top}/"), &format!(" {place}/{top}/")));
    fs::create_dir_all(below(root, "/etc/php/8.2/cli/conf.d")).unwrap();
    let done = testkit::apart("/bin/sh").args(["-c", &line]).output().unwrap();
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    Some(())
}

#[test]
fn every_fault_is_named_and_what_is_said_mends_it() {
    let (mut seeded, mut missed, mut mended, mut unmended) = (0, Vec::new(), 0, Vec::new());
    for tree in trees() {
        for (name, code, edits) in FAULTS {
            let scratch = Scratch::new();
            let root = scratch.path();
            tree.lay(root);
            edits.iter().for_each(|edit| tree.edit(root, edit));
            seeded += 1;
            let all = findings(&look(root, &["--json"]));
            let found = with_code(&all, code);
            if found.is_empty() {
                missed.push(format!("{}, {name}: {all:?}", tree.name));
                continue;
            }
            let applied: Vec<_> = found.iter().filter_map(|finding| apply(root, finding)).collect();
            if applied.len() == found.len() {
                mended += 1;
                let after = findings(&look(root, &["--json"]));
                if !with_code(&after, code).is_empty() {
                    unmended.push(format!("{}, {name}: {}", tree.name, found[0]["next"]));
                }
            }
        }
    }
    assert!(seeded >= 300 && mended >= 150, "{seeded} faults, {mended} with a command");
    assert!(missed.len() * 100 <= seeded, "{} of {seeded} are not named:\n{}", missed.len(), missed.join("\n"));
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert!(unmended.is_empty(), "{}", unmended.join("\n"));
}

#[test]
fn nothing_is_broken_where_nothing_is() {
    let mut count = 0;
    for tree in trees() {
        for (name, edits) in GOOD {
            let scratch = Scratch::new();
            tree.lay(scratch.path());
            edits.iter().for_each(|edit| tree.edit(scratch.path(), edit));
            let run = look(scratch.path(), &["--json"]);
            let all = findings(&run);
            let broken: Vec<_> = all.iter().filter(|finding| finding["grade"] == "broken").collect();
            assert!(broken.is_empty(), "{}, {name}: {broken:?}", tree.name);
            run.expect_status(0);
            count += 1;
        }
    }
    assert!(count >= 60, "{count}");
}

#[test]
fn a_page_tells_of_the_system_and_of_every_pool() {
    for tree in trees() {
        let scratch = Scratch::new();
        tree.lay(scratch.path());
        let run = look(scratch.path(), &[]);
        run.expect_status(0);
        for word in ["system", "panel"].iter().filter_map(|key| tree.head.get(*key)) {
            assert!(run.stdout.lines().next().unwrap().contains(word.as_str()), "{}", run.report());
        }
        assert!(run.stdout.contains("shop"), "{}", run.report());
        assert!(run.stdout.lines().all(|line| line.contains("->") || line.chars().count() <= 100), "{}", run.report());
        assert!(!run.stdout.contains('\x1b'), "{}", run.report());
        let quiet = look(scratch.path(), &["-q"]);
        quiet.expect_status(0);
        assert_eq!(quiet.stdout, "");
    }
}

#[test]
fn codes_are_left_out_and_shown() {
    let tree = &tree("debian");
    let scratch = Scratch::new();
    tree.lay(scratch.path());
    tree.edit(scratch.path(), &Ini("sendmail_path = /opt/gone -t"));
    let run = look(scratch.path(), &["-v"]);
    run.expect_status(78);
    assert!(
        run.stdout.contains("[php.no-program]") && run.stdout.contains("sendmail_path = /opt/gone"),
        "{}",
        run.report()
    );
    look(scratch.path(), &["--ignore", "php.no-program"]).expect_status(0);
    let quiet = look(scratch.path(), &["-q"]);
    quiet.expect_status(78);
    assert!(quiet.stdout.contains("broken") && !quiet.stdout.contains("  ok  "), "{}", quiet.report());
    let run = look(scratch.path(), &["--ignore", "php.no-programme"]);
    run.expect_status(64);
    assert!(run.stderr.contains("php.no-program"), "{}", run.report());
}

#[test]
fn an_image_without_the_lines_knows_no_sendmail() {
    let scratch = Scratch::new();
    tree("image").lay(scratch.path());
    write(scratch.path(), "/usr/local/etc/php/conf.d/mail.ini", "", 0o644);
    let before = findings(&look(scratch.path(), &["--json"]));
    let found = with_code(&before, "php.no-default");
    assert!(!found.is_empty(), "{before:?}");
    assert!(found.into_iter().filter_map(|one| apply(scratch.path(), one)).count() > 0, "{before:?}");
    assert!(with_code(&findings(&look(scratch.path(), &["--json"])), "php.no-default").is_empty());
}

/// Who runs the host is told by its firmware, and closes what is said in its pages.
#[test]
fn a_port_that_the_host_closes_is_a_note() {
    for (firmware, relay, next) in [
        ("Hetzner", "provider = \"resend\"\napi_key = \"re_x\"\nport = 465", Some("port = ")),
        ("Hetzner", "provider = \"postmark\"\ntoken = \"x\"\nport = 587", None),
        ("DigitalOcean", "provider = \"postmark\"\ntoken = \"x\"", Some("port = 2525 in [relay.main]")),
        ("DigitalOcean", "provider = \"postmark\"\ntoken = \"x\"\nvia = \"api\"", None),
        ("Amazon EC2", "host = \"mail.example.net\"\nport = 25\ntls = \"starttls\"", Some("")),
        ("Amazon EC2", "host = \"127.0.0.1\"\nport = 25\ntls = \"none\"", None),
        ("QEMU", "host = \"mail.example.net\"\nport = 25\ntls = \"starttls\"", None),
    ] {
        let scratch = Scratch::new();
        tree("debian").lay(scratch.path());
        write(scratch.path(), "/sys/class/dmi/id/sys_vendor", &format!("{firmware}\n"), 0o644);
        let text = format!("from = \"orders@shop.example\"\n[relay.main]\n{relay}\n");
        let config = scratch.write("config.toml", text, 0o600);
        let all = findings(&look(scratch.path(), &["--json", "--config", config.to_str().unwrap()]));
        let found = with_code(&all, "relay.port");
        assert_eq!(found.len(), usize::from(next.is_some()), "{firmware}, {relay}: {all:?}");
        for one in found {
            assert_eq!(one["grade"], "note");
            assert!(one["sentence"].as_str().unwrap().starts_with(&format!("{firmware} closes port ")), "{one}");
            assert!(one["next"]["do"].as_str().unwrap_or_default().contains(next.unwrap()), "{one}");
        }
    }
}

/// What stands in sendmail's place is replaced in the way that the program itself came.
#[test]
fn a_package_is_answered_by_its_own() {
    let of_alternatives = "auto\n/usr/sbin/sendmail\n\n/usr/sbin/sendmail.postfix\n60\n/usr/bin/mailchute\n20\n";
    for (name, path, text, line) in [
        ("debian", "/var/lib/dpkg/info/mailchute.list", "/.\n/usr/bin/mailchute\n", "sudo apt install mailchute-mta"),
        ("rhel", "/var/lib/alternatives/mta", of_alternatives, "sudo alternatives --set mta /usr/bin/mailchute"),
        ("rhel", "/var/lib/alternatives/mta", "auto\n/usr/sbin/sendmail\n", "sudo mailchute init --take-sendmail"),
        ("arch", "/etc/none", "", "sudo mailchute init --take-sendmail"),
    ] {
        for (code, edits) in [
            ("sendmail.missing", &[Remove("/usr/sbin/sendmail")][..]),
            ("sendmail.other", &[MSMTP, Link("/usr/sbin/sendmail", "../bin/msmtp")]),
            ("sendmail.companion", &[POSTFIX, Link("/usr/bin/mailq", "../sbin/sendmail.postfix")]),
        ] {
            let scratch = Scratch::new();
            let tree = tree(name);
            tree.lay(scratch.path());
            edits.iter().for_each(|edit| tree.edit(scratch.path(), edit));
            write(scratch.path(), path, text, 0o644);
            let all = findings(&look(scratch.path(), &["--json"]));
            let found = with_code(&all, code);
            assert!(!found.is_empty() && found.iter().all(|one| one["next"]["run"] == line), "{name}: {found:?}");
        }
    }
}

/// What a copy says is for nobody's terminal, and no link leads out of it.
#[test]
fn a_hostile_copy_is_only_read() {
    let scratch = Scratch::new();
    let root = scratch.join("copy");
    let tree = &tree("debian");
    tree.lay(&root);
    let outside = scratch.write("outside.ini", "sendmail_path = /opt/outside -t\n", 0o644);
    link(&root, "/etc/php/8.2/fpm/conf.d/99.ini", outside.to_str().unwrap());
    write(
        &root,
        "/etc/php/8.2/fpm/pool.d/z.conf",
        "[\x1b[2Jz]\nuser = \x1b]0;x\x07\nphp_admin_value[sendmail_path] = /opt/\x1b[1m\n",
        0o644,
    );
    write(&root, "/etc/php/8.2/fpm/pool.d/loop.conf", "include=/etc/php/8.2/fpm/pool.d/*.conf\n[loop]\n", 0o644);
    write(&root, "/etc/os-release", "PRETTY_NAME=\"\x1b[31mred\"\n", 0o644);
    let run = look(&root, &[]);
    assert!(!run.stdout.contains(['\x1b', '\x07']), "{}", run.report());
    assert!(!run.stdout.contains("outside"), "{}", run.report());
    run.expect_status(78);
}
