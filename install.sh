#!/bin/sh
# Installs mailchute, and takes it away again. It never writes a configuration: a configuration file,
# even an empty one, would take the place of the environment that a container is set up with.
set -eu
umask 022

usage() {
    cat <<'END'
Usage: ./install.sh [--binary FILE] [--links] [--force]
       ./install.sh --uninstall

  --binary FILE  install this binary instead of building one with cargo
  --links        also put the binary in the place of /usr/sbin/sendmail, /usr/lib/sendmail,
                 /usr/bin/mailq and /usr/bin/newaliases; what is there is renamed to
                 NAME.mailchute-saved (by dpkg-divert where dpkg has it, so that an upgrade of the
                 other mail program does not take the name back)
  --force        with --links: where NAME.mailchute-saved exists already, replace NAME all the same
  --uninstall    remove what was installed, put back what --links renamed, and leave
                 /etc/mailchute, the records and the messages that wait as they are; with the PREFIX it was
                 installed with
  --help         this text

What waits in the spool is sent by a systemd timer, which is enabled where systemd runs the machine,
else by a line in /etc/cron.d where there is that directory. An upgrade leaves a disabled timer and a
changed line as they are.

Environment:
  PREFIX         where to install (default /usr/local); the links of --links do not move with it
  DESTDIR        put in front of every path, for packages; root is not needed then, and no timer is
                 enabled
END
}

die() {
    printf 'install.sh: %s\n' "$1" >&2
    exit 1
}

say() { printf '%s\n' "$1"; }

here=$(cd "$(dirname "$0")" && pwd)
DESTDIR=${DESTDIR:-}
PREFIX=${PREFIX:-/usr/local}
binary=
links=no
force=no
action=install

while [ $# -gt 0 ]; do
    case $1 in
        --binary)
            [ $# -gt 1 ] || die "--binary needs a file"
            binary=$2
            shift
            ;;
        --binary=*) binary=${1#--binary=} ;;
        --links) links=yes ;;
        --force) force=yes ;;
        --uninstall) action=uninstall ;;
        --help | -h)
            usage
            exit 0
            ;;
        *) die "$1: unknown option, see --help" ;;
    esac
    shift
done

case $PREFIX in /*) ;; *) die "PREFIX=$PREFIX: must be an absolute path" ;; esac
case $PREFIX in *[!A-Za-z0-9/._+-]*) die "PREFIX=$PREFIX: has a character that a unit or a cron line would not take" ;; esac
case $DESTDIR in '' | /*) ;; *) DESTDIR=$(pwd)/$DESTDIR ;; esac
if [ -z "$DESTDIR" ] && [ "$(id -u)" -ne 0 ]; then
    die "must run as root, or with DESTDIR"
fi

target=$PREFIX/bin/mailchute
names="/usr/sbin/sendmail /usr/lib/sendmail /usr/bin/mailq /usr/bin/newaliases"
man=$PREFIX/share/man
bash_completion=$PREFIX/share/bash-completion/completions/mailchute
zsh_completion=$PREFIX/share/zsh/site-functions/_mailchute
fish_completion=$PREFIX/share/fish/vendor_completions.d/mailchute.fish
doc=$PREFIX/share/doc/mailchute
# systemd looks into these and into no other prefix.
case $PREFIX in
    /usr | /usr/local) units=$PREFIX/lib/systemd/system tmpfiles=$PREFIX/lib/tmpfiles.d/mailchute.conf ;;
    *) units=/etc/systemd/system tmpfiles=/etc/tmpfiles.d/mailchute.conf ;;
esac
service=$units/mailchute-flush.service
timer=$units/mailchute-flush.timer
cron=/etc/cron.d/mailchute

# put FILE PATH MODE: the new file takes the old one's place in one step, so a sender never meets half a binary.
# It is made under a name that nobody can have laid a link at.
put() {
    mkdir -p "$DESTDIR$(dirname "$2")"
    [ ! -d "$DESTDIR$2" ] || die "$2: is a directory"
    new=$(mktemp "$DESTDIR$2.XXXXXX")
    { cp "$1" "$new" && chmod "$3" "$new" && mv -f "$new" "$DESTDIR$2"; } || {
        rm -f "$new"
        die "$2: cannot be written"
    }
}

# place FILE PATH MODE: as put, but a file that is the same already is left alone.
place() {
    if [ -f "$DESTDIR$2" ] && [ ! -L "$DESTDIR$2" ] && cmp -s "$1" "$DESTDIR$2" &&
        [ "$(stat -c %a "$DESTDIR$2")" = "$3" ]; then
        return
    fi
    put "$1" "$2" "$3"
}

# place_for FILE PATH: as place, with the path of the binary that is installed.
place_for() {
    text=$(mktemp)
    sed "s|/usr/local/bin/mailchute|$target|g" "$1" >"$text"
    place "$text" "$2" 644
    rm -f "$text"
}

# directory PATH MODE: one that exists is left as the administrator made it.
directory() {
    [ -d "$DESTDIR$1" ] && return
    mkdir -p "$DESTDIR$1"
    chmod "$2" "$DESTDIR$1"
}

is_ours() { [ -L "$DESTDIR$1" ] && [ "$(readlink "$DESTDIR$1")" = "$target" ]; }

is_there() { [ -e "$DESTDIR$1" ] || [ -L "$DESTDIR$1" ]; }

# dpkg's diversions belong to the running system, never to a DESTDIR.
has_divert() { [ -z "$DESTDIR" ] && command -v dpkg-divert >/dev/null 2>&1; }

divert() { dpkg-divert --quiet --local --rename --divert "$2.mailchute-saved" "--$1" "$2"; }

# Whether systemd runs the machine, by the test of sd_booted(3).
has_systemd() { [ -d "$DESTDIR/run/systemd/system" ]; }

# Busybox's cron has its own tables and never looks into /etc/cron.d.
has_cron() {
    [ -d "$DESTDIR/etc/cron.d" ] || return 1
    if [ -z "$DESTDIR" ] && daemon=$(command -v crond); then
        case $(readlink -f "$daemon") in */busybox) return 1 ;; esac
    fi
}

# What sends the messages that wait.
install_flusher() {
    is_new=yes
    if is_there "$timer"; then is_new=no; fi
    # In a package the units are for whoever enables them.
    if has_systemd || [ -n "$DESTDIR" ]; then
        place_for "$here/examples/units/mailchute-flush.service" "$service"
        place_for "$here/examples/units/mailchute-flush.timer" "$timer"
    fi
    if has_systemd; then
        [ -z "$DESTDIR" ] || return 0
        systemctl daemon-reload || :
        if [ $is_new = no ]; then
            say "mailchute-flush.timer is left as it was: $(systemctl is-enabled mailchute-flush.timer 2>&1 || :)"
        elif systemctl enable --now mailchute-flush.timer; then
            say "mailchute-flush.timer is enabled: it sends the messages that wait, if a site spools"
        else
            say "mailchute-flush.timer is not enabled; until it is, the process that keeps a message starts the flush itself"
        fi
    elif has_cron; then
        if is_there "$cron"; then
            say "$cron is left as it was"
        else
            place_for "$here/examples/units/mailchute.cron" "$cron"
            say "$cron sends the messages that wait, if a site spools"
        fi
    else
        say "neither systemd nor a cron that reads /etc/cron.d is here: the process that keeps a message starts the flush itself"
    fi
}

uninstall_flusher() {
    enabled=/etc/systemd/system/timers.target.wants/mailchute-flush.timer
    if is_there "$timer" && has_systemd && [ -z "$DESTDIR" ]; then
        systemctl disable --now mailchute-flush.timer || :
    fi
    if [ "$(readlink "$DESTDIR$enabled")" = "$timer" ]; then rm -f "$DESTDIR$enabled"; fi
    rm -f "$DESTDIR$service" "$DESTDIR$timer" "$DESTDIR$tmpfiles"
    if has_systemd && [ -z "$DESTDIR" ]; then systemctl daemon-reload || :; fi
    # Whatever else somebody wrote there is theirs.
    if [ -f "$DESTDIR$cron" ]; then
        if sed "s|/usr/local/bin/mailchute|$target|g" "$here/examples/units/mailchute.cron" | cmp -s - "$DESTDIR$cron"; then
            rm -f "$DESTDIR$cron"
        else
            say "still there, because it was changed: $cron"
        fi
    fi
}

# Whoever sends has directories of its own, made before somebody else takes their names.
make_directories() {
    [ -z "$DESTDIR" ] || return 0
    is_there /etc/mailchute/config.toml ||
        [ -n "$(find /etc/mailchute/sites.d -name '*.toml' 2>/dev/null | head -n 1)" ] || return 0
    "$target" init --users || say "the users' directories were not made: run $target init --users"
}

# Asked for every name before anything is installed.
may_take() {
    is_ours "$1" || ! is_there "$1" || ! is_there "$1.mailchute-saved" || [ "$force" = yes ] ||
        die "$1: is in the way, and so is $1.mailchute-saved; compare the two, then use --force"
}

take_name() {
    is_ours "$1" && return
    if is_there "$1"; then
        if is_there "$1.mailchute-saved"; then
            rm -f "$DESTDIR$1"
        elif has_divert && dpkg-query --search "$1" >/dev/null 2>&1; then
            divert add "$1"
            say "$1 diverted to $1.mailchute-saved"
        else
            mv "$DESTDIR$1" "$DESTDIR$1.mailchute-saved"
            say "$1 renamed to $1.mailchute-saved"
        fi
    fi
    mkdir -p "$DESTDIR$(dirname "$1")"
    ln -s "$target" "$DESTDIR$1" || {
        give_name_back "$1"
        die "$1: cannot be made"
    }
}

give_name_back() {
    if is_ours "$1"; then
        rm -f "$DESTDIR$1"
    fi
    if is_there "$1"; then
        return # not ours: somebody has taken the name since
    fi
    if has_divert && [ "$(dpkg-divert --truename "$1")" = "$1.mailchute-saved" ]; then
        divert remove "$1"
        if is_there "$1"; then say "$1 is back"; else say "$1 is removed; there was nothing left to put back"; fi
    elif is_there "$1.mailchute-saved"; then
        mv "$DESTDIR$1.mailchute-saved" "$DESTDIR$1"
        say "$1 is back"
    fi
}

install_all() {
    if [ "$links" = yes ]; then
        for name in $names; do may_take "$name"; done
    fi
    if [ -z "$binary" ]; then
        command -v cargo >/dev/null 2>&1 ||
            die "cargo is not in PATH; build as yourself with 'cargo build --release --locked', then use --binary target/release/mailchute"
        (cd "$here" && cargo build --release --locked)
        binary=${CARGO_TARGET_DIR:-$here/target}/release/mailchute
    fi
    [ -f "$binary" ] || die "$binary: no such file"

    place "$binary" "$target" 755
    place "$here/man/mailchute.8" "$man/man8/mailchute.8" 644
    place "$here/man/mailchute.toml.5" "$man/man5/mailchute.toml.5" 644
    place "$here/examples/completions/mailchute.bash" "$bash_completion" 644
    place "$here/examples/completions/_mailchute" "$zsh_completion" 644
    place "$here/examples/completions/mailchute.fish" "$fish_completion" 644
    place "$here/README.md" "$doc/README.md" 644
    place "$here/CHANGELOG.md" "$doc/CHANGELOG.md" 644
    place "$here/LICENSE-MIT" "$doc/LICENSE-MIT" 644
    place "$here/LICENSE-APACHE" "$doc/LICENSE-APACHE" 644
    for example in "$here"/examples/*.toml "$here"/examples/*.env; do
        place "$example" "$doc/examples/$(basename "$example")" 644
    done

    directory /etc/mailchute 755
    directory /etc/mailchute/sites.d 755
    directory /etc/mailchute/secrets 711
    # State that the sending users keep: each makes its own directory in there and sees no other.
    directory /var/lib/mailchute 755
    directory /var/lib/mailchute/tokens 1733
    directory /var/lib/mailchute/state 1733
    directory /var/spool/mailchute 1733
    directory /var/log/mailchute 1733
    if [ -n "$DESTDIR" ] || [ -d /usr/lib/tmpfiles.d ]; then
        place "$here/examples/units/mailchute.tmpfiles" "$tmpfiles" 644
    fi
    [ -n "$DESTDIR" ] || directory /run/mailchute 1733
    make_directories
    install_flusher

    if [ "$links" = yes ]; then
        for name in $names; do take_name "$name"; done
    fi
    say "mailchute is installed as $target"
    if ! is_there /etc/mailchute/config.toml; then
        say "next: write /etc/mailchute/config.toml (examples in $doc/examples), then test as the user that sends:"
        say "  mailchute test --as www-data --to YOUR-ADDRESS"
    fi
}

uninstall_all() {
    if [ "$links" = yes ]; then
        for name in $names; do may_take "$name"; done
    fi
    for name in $names; do give_name_back "$name"; done
    uninstall_flusher
    for path in "$target" "$man/man8/mailchute.8" "$man/man5/mailchute.toml.5" \
        "$bash_completion" "$zsh_completion" "$fish_completion"; do
        rm -f "$DESTDIR$path"
    done
    rm -rf "$DESTDIR$doc"
    # What its user keeps something in is not empty.
    for path in /var/lib/mailchute/tokens /var/lib/mailchute/state /var/spool/mailchute /var/log/mailchute /run/mailchute; do
        rmdir "$DESTDIR$path"/* 2>/dev/null || :
    done
    for path in /var/lib/mailchute/tokens /var/lib/mailchute/state /var/lib/mailchute /var/spool/mailchute \
        /var/log/mailchute /run/mailchute /etc/mailchute/sites.d /etc/mailchute/secrets /etc/mailchute; do
        rmdir "$DESTDIR$path" 2>/dev/null || :
    done
    say "mailchute is removed"
    waiting=$(find "$DESTDIR/var/spool/mailchute" -path '*/queue/*' -type f 2>/dev/null | wc -l)
    if [ "$waiting" -gt 0 ]; then
        say "messages that still wait: $waiting; they are sent once mailchute is installed again"
    fi
    for path in /etc/mailchute /var/lib/mailchute /var/spool/mailchute /var/log/mailchute; do
        if is_there "$path"; then say "still there, because it is not empty: $path"; fi
    done
}

"${action}_all"
