#!/bin/sh
# Installs mailchute, and takes it away again. It never writes a configuration: a configuration file,
# even an empty one, would take the place of the environment that a container is set up with.
set -eu
umask 022

usage() {
    cat <<'END'
Usage: ./install.sh [--binary FILE] [--links] [--force] [--set-group-id | --no-set-group-id]
       ./install.sh --uninstall

  --binary FILE  install this binary instead of building one with cargo
  --links        also put the binary in the place of /usr/sbin/sendmail, /usr/lib/sendmail,
                 /usr/bin/mailq and /usr/bin/newaliases; what is there is renamed to
                 NAME.mailchute-saved (by dpkg-divert where dpkg has it, so that an upgrade of the
                 other mail program does not take the name back)
  --force        with --links: where NAME.mailchute-saved exists already, replace NAME all the same
  --set-group-id make the group mailchute and give it the binary, the secrets and what is kept
                 below /var, so that no site reads even its own secret; see "Two modes" in README.md
  --no-set-group-id
                 undo that; with neither, an upgrade leaves it as it is
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
mode=keep
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
        --set-group-id) mode=on ;;
        --no-set-group-id) mode=off ;;
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

# A package has its group made, and the files given to it, where it is installed.
[ "$mode" = keep ] || [ -z "$DESTDIR" ] ||
    die "--set-group-id changes the running system and goes with no DESTDIR; what a package does instead is in README.md"

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
report=$units/mailchute-report@
cron=/etc/cron.d/mailchute
# What is kept: the parents of the users' directories.
places="/var/lib/mailchute/tokens /var/lib/mailchute/state /var/spool/mailchute /var/log/mailchute /run/mailchute"
# What --set-group-id gave to the group, a line each: MODE GROUP PATH, as it was.
given=/var/lib/mailchute/set-group-id.before
group=mailchute

# put FILE PATH MODE [GROUP]: the new file takes the old one's place in one step, so a sender never meets half a binary.
# It is made under a name that nobody can have laid a link at.
put() {
    mkdir -p "$DESTDIR$(dirname "$2")"
    [ ! -d "$DESTDIR$2" ] || die "$2: is a directory"
    new=$(mktemp "$DESTDIR$2.XXXXXX")
    { cp "$1" "$new" && { [ -z "${4:-}" ] || chgrp "$4" "$new"; } && chmod "$3" "$new" && mv -f "$new" "$DESTDIR$2"; } || {
        rm -f "$new"
        die "$2: cannot be written"
    }
}

# place FILE PATH MODE [GROUP]: as put, but a file that is the same already is left alone.
place() {
    if [ -f "$DESTDIR$2" ] && [ ! -L "$DESTDIR$2" ] && cmp -s "$1" "$DESTDIR$2" &&
        [ "$(stat -c %a "$DESTDIR$2")" = "$3" ] && { [ -z "${4:-}" ] || [ "$(stat -c %G "$DESTDIR$2")" = "$4" ]; }; then
        return
    fi
    put "$1" "$2" "$3" "${4:-}"
}

# place_for FILE PATH: as place, with the path of the binary that is installed.
place_for() {
    text=$(mktemp)
    sed "s|/usr/local/bin/mailchute|$target|g" "$1" >"$text"
    place "$text" "$2" 644
    rm -f "$text"
}

# directory PATH MODE [GROUP]: one that exists is left as the administrator made it.
directory() {
    [ -d "$DESTDIR$1" ] && return
    mkdir -p "$DESTDIR$1"
    [ -z "${3:-}" ] || chgrp "$3" "$DESTDIR$1"
    chmod "$2" "$DESTDIR$1"
}

# Whether the installed binary has a group of its own.
is_set_group_id() { [ -f "$target" ] && [ -g "$target" ] && [ -z "$DESTDIR" ]; }

has_group() {
    if command -v getent >/dev/null 2>&1; then getent group "$group" >/dev/null; else grep -q "^$group:" /etc/group; fi
}

make_group() {
    if ! has_group; then
        if command -v groupadd >/dev/null 2>&1; then
            groupadd --system "$group"
        else
            addgroup -S "$group" 2>/dev/null || addgroup --system "$group"
        fi
        has_group || die "the group $group could not be made"
        say "the group $group is made"
    fi
    members=$(sed -n "s/^$group:[^:]*:[^:]*://p" /etc/group)
    [ -z "$members" ] || say "in the group $group, and so able to read every secret: $members"
}

# The secrets, and what may hold one: what root keeps from others so far. What lies elsewhere is root's to find.
give_files() {
    umask 077
    touch "$given"
    umask 022
    # Who may change a directory may lay a link in a file's place before its modes are set.
    find /etc/mailchute -type d \( ! -user root -o -perm /022 \) -prune -o \
        -type f -user root \( -perm 600 -o -perm 640 \) ! -group "$group" -print | while IFS= read -r file; do
        before=$(stat -c '%a %G' "$file")
        printf '%s %s\n' "$before" "$file" >>"$given"
        chgrp "$group" "$file" && chmod 640 "$file"
        say "$file: was root:${before#* } 0${before%% *}, is root:$group 0640"
    done
    find /etc/mailchute -type d \( ! -user root -o -perm /022 \) | while IFS= read -r path; do
        say "$path: others than root may change what is in it, so it is left as it is"
    done
    find /etc/mailchute -type f ! -user root | while IFS= read -r file; do
        say "$file: is not root's, so a set-group-id binary refuses it"
    done
}

# As far as nobody has changed them since.
take_files_back() {
    [ -f "$given" ] || return 0
    while read -r before owner file; do
        if [ -f "$file" ] && [ ! -L "$file" ] && [ "$(stat -c '%U %G %a' "$file")" = "root $group 640" ]; then
            chgrp "$owner" "$file" && chmod "$before" "$file"
            say "$file: is root:$owner 0$before again"
        fi
    done <"$given"
    rm -f "$given"
}

# close PLACE: nobody but the group enters. What the users have in it is theirs as before.
close() {
    directory "$1" 3770 "$group"
    case $(stat -c '%u %a' "$1") in
        "0 1733" | "0 3770") ;;
        *)
            say "$1: is neither root:root 1733 nor root:$group 3770, and left so: what is kept there may be out of nobody's reach"
            return 0
            ;;
    esac
    chgrp "$group" "$1" && chmod 3770 "$1"
    # Whoever laid something there under this name cannot reach it any more.
    if is_there "$1/shared" && { [ -L "$1/shared" ] || [ "$(stat -c %u "$1/shared")" != 0 ]; }; then
        mv "$1/shared" "$(mktemp -u "$1/shared.XXXXXX")"
    fi
    mkdir -p "$1/shared"
    chgrp "$group" "$1/shared" && chmod 2770 "$1/shared"
}

# open PLACE: as it is without the group.
open() {
    if [ -d "$1" ] && [ "$(stat -c '%u %a' "$1")" = "0 3770" ]; then
        # A number alone leaves that bit of a directory.
        chgrp 0 "$1" && chmod g-s "$1" && chmod 1733 "$1"
    fi
}

# What was kept in a home, on a host that had no place for it yet: a set-group-id binary looks into nobody's home, and
# root moves nothing that lies where its user can lay something else.
name_homes() {
    [ -z "$DESTDIR" ] || return 0
    { getent passwd 2>/dev/null || cat /etc/passwd; } | while IFS=: read -r user _ _ _ _ home _; do
        waits=$home/.local/state/mailchute/spool/queue
        [ -n "$(find "$waits" -maxdepth 1 -type f 2>/dev/null | head -n 1)" ] || continue
        say "messages of $user wait in $waits, where a set-group-id binary does not look; to send them:"
        say "    $0 --no-set-group-id; sudo -u $user $target queue flush; $0 --set-group-id"
    done
}

# What the installation has beside the binary in one mode and the other. Who starts to send meanwhile may be refused.
enter_mode() {
    case $mode in
        on)
            give_files
            for place in $places; do close "$place"; done
            name_homes
            # Who is banned has to be read by the group, and is by nobody else: to list the bans mends that.
            [ ! -d /var/lib/mailchute/bans ] || "$target" bans >/dev/null || :
            say "mailchute has the group $group now: no site reads a secret any more, so change those that were readable before"
            ;;
        off) leave_mode ;;
        keep) if is_set_group_id; then for place in $places; do close "$place"; done; fi ;;
    esac
}

leave_mode() {
    [ -z "$DESTDIR" ] || return 0
    take_files_back
    for place in $places; do open "$place"; done
    # Where a ban cannot be read, nothing is sent.
    if [ -d /var/lib/mailchute/bans ]; then
        chgrp -R 0 /var/lib/mailchute/bans && chmod g-s /var/lib/mailchute/bans && chmod 711 /var/lib/mailchute/bans
        find /var/lib/mailchute/bans -type f -exec chmod 644 {} +
    fi
}

# The runtime directories, which are made anew when the host starts.
place_tmpfiles() {
    text=$(mktemp)
    if is_set_group_id; then
        sed "s|^d \(.*\) 1733 root root -|d \1 3770 root $group -\nd \1/shared 2770 root $group -|" \
            "$here/examples/units/mailchute.tmpfiles" >"$text"
    else
        cp "$here/examples/units/mailchute.tmpfiles" "$text"
    fi
    place "$text" "$tmpfiles" 644
    rm -f "$text"
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
        # Enabled by whoever wants one, with the address that it goes to.
        place_for "$here/examples/units/mailchute-report@.service" "${report}.service"
        place_for "$here/examples/units/mailchute-report@.timer" "${report}.timer"
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
    # Whoever enabled reports did so by a link for each address.
    for link in "$DESTDIR"/etc/systemd/system/timers.target.wants/mailchute-report@*.timer; do
        if [ "$(readlink "$link")" = "$report.timer" ]; then rm -f "$link"; fi
    done
    if [ "$(readlink "$DESTDIR$enabled")" = "$timer" ]; then rm -f "$DESTDIR$enabled"; fi
    rm -f "$DESTDIR$service" "$DESTDIR$timer" "$DESTDIR$tmpfiles" "$DESTDIR$report.service" "$DESTDIR$report.timer"
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

# Whether a package manager has put mailchute here.
packaged() {
    [ -z "$DESTDIR" ] || return 1
    # shellcheck disable=SC2016
    if command -v dpkg-query >/dev/null 2>&1 &&
        [ "$(dpkg-query --show --showformat '${db:Status-Status}' mailchute 2>/dev/null)" = installed ]; then
        return 0
    fi
    command -v rpm >/dev/null 2>&1 && rpm --query --quiet mailchute 2>/dev/null
}

install_all() {
    ! packaged ||
        die "mailchute is installed as a package: upgrade that, or remove it first; configuration and messages stay"
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

    if [ "$mode" = keep ] && is_set_group_id; then group=$(stat -c %G "$target"); fi
    case $mode in
        on)
            make_group
            place "$binary" "$target" 2755 "$group"
            ;;
        off) place "$binary" "$target" 755 root ;;
        keep)
            if is_set_group_id; then place "$binary" "$target" 2755 "$group"; else place "$binary" "$target" 755; fi
            ;;
    esac
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
    enter_mode
    for place in $places; do
        # What the host makes anew when it starts is no package's.
        if [ -z "$DESTDIR" ] || [ "$place" != /run/mailchute ]; then directory "$place" 1733; fi
    done
    if [ -n "$DESTDIR" ] || [ -d /usr/lib/tmpfiles.d ]; then place_tmpfiles; fi
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
    ! packaged || [ "$PREFIX" != /usr ] || die "what is below /usr is the package's: remove that"
    if [ "$links" = yes ]; then
        for name in $names; do may_take "$name"; done
    fi
    for name in $names; do give_name_back "$name"; done
    # What enables the timer is a link to the unit that goes now.
    was_enabled=no
    if packaged && has_systemd && systemctl --quiet is-enabled mailchute-flush.timer; then was_enabled=yes; fi
    uninstall_flusher
    if is_set_group_id; then group=$(stat -c %G "$target"); fi
    packaged || leave_mode
    for path in "$target" "$man/man8/mailchute.8" "$man/man5/mailchute.toml.5" \
        "$bash_completion" "$zsh_completion" "$fish_completion"; do
        rm -f "$DESTDIR$path"
    done
    rm -rf "$DESTDIR$doc"
    if packaged; then
        if [ $was_enabled = yes ]; then systemctl enable --now mailchute-flush.timer || :; fi
        say "what install.sh put here is removed; the package has the rest"
        return
    fi
    # What its user keeps something in is not empty.
    for path in $places; do
        rmdir "$DESTDIR$path"/* 2>/dev/null || :
    done
    for path in $places /var/lib/mailchute /etc/mailchute/sites.d /etc/mailchute/secrets /etc/mailchute; do
        rmdir "$DESTDIR$path" 2>/dev/null || :
    done
    say "mailchute is removed"
    waiting=$(find "$DESTDIR/var/spool/mailchute" -path '*/queue/*' -type f 2>/dev/null | wc -l)
    if [ "$waiting" -gt 0 ]; then
        say "messages that still wait: $waiting; they are sent once mailchute is installed again"
    fi
    if [ -z "$DESTDIR" ] && has_group; then say "still there, because files may be its own: the group $group"; fi
    for path in /etc/mailchute /var/lib/mailchute /var/spool/mailchute /var/log/mailchute; do
        if is_there "$path"; then say "still there, because it is not empty: $path"; fi
    done
}

"${action}_all"
