//! Moves the code that a message over SMTP does not run behind the code that it does, and spares it a library.
//!
//! When a page of a program is touched, Linux maps its neighbours too, sixteen pages or more at a time, and they
//! count as memory of the process. The quarter of this program that a message runs, scattered over the whole, so
//! mapped nearly everything: 6.1 MB for a message of 2 KB, and 4.9 MB like this. Smaller code instead of nearer code
//! (`opt-level = "z"`, `panic = "abort"`) gains 0.2 MB each.
//!
//! The linker is told by name, and a name that is missing or wrong costs a few pages, nothing else. After an upgrade,
//! the peak memory of `cargo bench --bench side_by_side -- --scenario small` says whether it is time to look again.

// How a build script speaks to Cargo.
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Hot code with a name that is among [`COLD`], placed at the end that is next to the hot code: of functions that
/// are equal, the compiler keeps one with any of their names; the log record has the cipher suite as `Debug` prints it;
/// every relay of a provider reads its preset.
const HOT: &[&str] = &["*drop_in_place*", "*raw_vec*", "*rustls..enums*", "*providers*preset*"];

/// Modules, and a few single items, that only other errands need.
const COLD: &[&str] = &[
    // Subcommands, and the caller who speaks SMTP.
    "clap_builder",
    "mailchute::program::errand",
    "mailchute::program::run_tool",
    "mailchute::cli::commands",
    "mailchute::cli::help",
    "mailchute::tools::alert",
    "mailchute::tools::ban",
    "mailchute::tools::bans",
    "mailchute::cli::init",
    "mailchute::tools::bs",
    "mailchute::tools::check",
    "mailchute::import",
    "mailchute::tools::culprits",
    "mailchute::tools::explain",
    "mailchute::tools::import",
    "mailchute::tools::init",
    "mailchute::tools::lint",
    "mailchute::tools::log",
    "mailchute::tools::login",
    "mailchute::tools::providers",
    "mailchute::tools::queue",
    "mailchute::tools::report",
    "mailchute::tools::secret",
    "mailchute::tools::show",
    "mailchute::tools::speaker",
    "mailchute::tools::status",
    "mailchute::tools::table",
    "mailchute::tools::test",
    "mailchute::tools::verify",
    "mailchute::journal::read",
    "mailchute::dns",
    "mailchute::records",
    "simple_dns",
    "mailchute::smtp::server",
    "mailchute::smtp::client::replies",
    "mailchute::spool::bounce",
    "mailchute::submit::login",
    "mailchute::submit::stepwise",
    // What waits, and what is told of it.
    "mailchute::alert",
    "mailchute::flush",
    "mailchute::spool::entry",
    "mailchute::spool::flusher",
    "mailchute::spool::room",
    "mailchute::spool::store",
    "std::process",
    "std::sys::process",
    "mail_builder",
    // The HTTP APIs, their settings included, and access tokens.
    "mailchute::providers",
    "mailchute::http",
    "mailchute::keep",
    "mailchute::oauth::ask",
    "mailchute::oauth::code",
    "mailchute::oauth::device",
    "mailchute::oauth::endpoint",
    "mailchute::oauth::login",
    "mailchute::oauth::loopback",
    "mailchute::oauth::refusal",
    "mailchute::oauth::service_account",
    "mailchute::oauth::store",
    "http",
    "serde_core::de",
    "serde_json::de",
    "toml::de::deserializer",
    "ureq",
    "ureq_proto",
    // Messages that need repair, and names outside ASCII.
    "mailchute::charset",
    "mailchute::encoded_word",
    "mailchute::message::content_type",
    "mailchute::message::encoding",
    "mailchute::message::repair::fields",
    "mailchute::message::repair::fold",
    "mailchute::message::repair::grammar",
    "mailchute::message::repair::mailboxes",
    "mailchute::message::repair::parameters",
    "mailchute::message::repair::words",
    "mailchute::message::scan",
    "mailchute::message::tree",
    "encodify",
    "encoding_rs",
    "icu_normalizer",
    "idna",
    "mail_parser",
    // Configuration by environment variables.
    "mailchute::config::dsn",
    "mailchute::config::environment",
    "mailchute::config::laravel",
    "mailchute::config::setting",
    "mailchute::config::url",
    "mailchute::config::variables",
    // TLS as this client does not speak it, or not with most servers.
    "ring::ec::suite_b::ops::p384",
    "ring::rsa",
    "rustls::client::ech",
    "rustls::client::tls12",
    "rustls::crypto::ring::sign",
    "webpki::crl",
    // More than one message.
    "mailchute::limit::ban",
    // Failures: their words, and the backtrace of a panic.
    "mailchute::conclude::report",
    "mailchute::finding",
    "mailchute::root",
    "mailchute::wire::certificate",
    "mailchute::machine",
    "mailchute::hint",
    "mailchute::plan::site::nobodys",
    "mailchute::spelling",
    "mailchute::wire::tls_failure",
    "mailchute::wire::verdict",
    "core::fmt::Debug",
    "jiff::error",
    "std::backtrace_rs",
    "addr2line",
    "gimli",
    "miniz_oxide",
    "rustc_demangle",
    // Zones of local time, floating point, lists of more than 20.
    "jiff::fmt::strtime",
    "jiff::tz::db",
    "jiff_core",
    "core::num::dec2flt",
    "core::num::flt2dec",
    "core::slice::sort::stable",
    "core::slice::sort::unstable",
];

/// Set for a binary that is to run on hosts with an older glibc: the static unwinder of GCC 12 asks for 2.35, and packed
/// relocations for 2.36, which is newer than anything else does, and than RHEL 9.
const SHARED_UNWINDER: &str = "MAILCHUTE_SHARED_UNWINDER";

fn main() {
    println!("cargo::rerun-if-changed=src/build.rs");
    let variable = |name| env::var(name).unwrap_or_default();
    // GNU ld and LLD, one of which is the default here, know `INSERT`. Whoever chooses a linker may choose another.
    let flags = variable("CARGO_ENCODED_RUSTFLAGS");
    // A path that is only renamed may have that word in it.
    let is_about_linking = |flag: &str| flag.contains("link") && !flag.starts_with("--remap-path-prefix");
    let is_linker_chosen = env::var_os("RUSTC_LINKER").is_some() || flags.split('\x1f').any(is_about_linking);
    if variable("CARGO_CFG_TARGET_OS") != "linux" || is_linker_chosen {
        return;
    }
    let place = PathBuf::from(variable("OUT_DIR"));
    println!("cargo::rerun-if-env-changed={SHARED_UNWINDER}");
    let may_take_it_in = env::var_os(SHARED_UNWINDER).is_none();
    if may_take_it_in && variable("CARGO_CFG_TARGET_ENV") == "gnu" && variable("HOST") == variable("TARGET") {
        take_in_the_unwinder(&place);
        pack_relocations();
    }
    if variable("PROFILE") == "release" {
        let script = place.join("cold.ld");
        fs::write(&script, layout()).expect("OUT_DIR can be written");
        println!("cargo::rustc-link-arg-bins=-T{}", script.display());
    }
}

/// Has what the standard library asks of libgcc_s, the unwinding of the stack, taken into the program: to find and load
/// that library, whose constructor asks the processor what it can do, took 0.1 ms of each run on a virtual machine, and
/// a tenth of a megabyte. Where GCC has no static one it is loaded as before.
fn take_in_the_unwinder(place: &Path) {
    let (Some(unwinder), Some(helpers)) = (find("libgcc_eh.a"), find("libgcc.a")) else { return };
    // The linker takes this file for the library of that name, which it looks for here first.
    let stand_in = format!("INPUT({} {})\n", unwinder.display(), helpers.display());
    fs::write(place.join("libgcc_s.so"), stand_in).expect("OUT_DIR can be written");
    println!("cargo::rustc-link-search=native={}", place.display());
}

/// Has the places that hold an address, which the loader fills in, told by bits: a list of them has 24 octets for each,
/// and 0.2 MB of it are read at each start. Where glibc does not know that, as before 2.36, the list stays.
fn pack_relocations() {
    const KNOWN_BY: &[u8] = b"GLIBC_ABI_DT_RELR";
    let library = find("libc.so.6").and_then(|path| fs::read(path).ok()).unwrap_or_default();
    if library.windows(KNOWN_BY.len()).any(|octets| octets == KNOWN_BY) {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// The file of this name that the C compiler would link.
fn find(name: &str) -> Option<PathBuf> {
    let asked = Command::new("cc").arg(format!("-print-file-name={name}")).output().ok()?;
    let said = String::from_utf8(asked.stdout).ok()?;
    Some(PathBuf::from(said.trim())).filter(|path| path.is_absolute() && path.is_file())
}

/// The linker script: a section of its own for the cold code, after all other code.
fn layout() -> String {
    let hot = HOT.iter().map(|&glob| glob.to_owned());
    let globs: String =
        hot.chain(COLD.iter().flat_map(|path| globs(path))).map(|glob| format!("*(.text.{glob})\n")).collect();
    format!("SECTIONS {{ .text.cold : {{\n{globs}}} }}\nINSERT AFTER .text;\n")
}

/// What the symbols of `path` look like. As a path, each name stands behind its length (in the legacy mangling and
/// in v0); within a type, which the legacy mangling spells out, there are dots between them.
fn globs(path: &str) -> [String; 2] {
    let names: Vec<&str> = path.split("::").collect();
    let counted: String = names.iter().map(|name| format!("{}{name}", name.len())).collect();
    // One more character at least: in v0, the crate that instantiates a generic function ends its symbol.
    [format!("*{counted}?*"), format!("*{}[.$]*", names.join(".."))]
}
