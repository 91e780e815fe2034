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
                 /etc/mailchute as it is; with the PREFIX it was installed with
  --help         this text

Environment:
  PREFIX         where to install (default /usr/local); the links of --links do not move with it
  DESTDIR        put in front of every path, for packages; root is not needed then
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
tmpfiles=$PREFIX/lib/tmpfiles.d/mailchute.conf

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
    if [ -d "$DESTDIR/usr/lib/tmpfiles.d" ]; then
        echo 'd /run/mailchute 1733 root root -' | put /dev/stdin "$tmpfiles" 644
    fi

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
    for path in "$target" "$man/man8/mailchute.8" "$man/man5/mailchute.toml.5" \
        "$bash_completion" "$zsh_completion" "$fish_completion" "$tmpfiles"; do
        rm -f "$DESTDIR$path"
    done
    rm -rf "$DESTDIR$doc"
    for path in /var/lib/mailchute/tokens /var/lib/mailchute/state /var/lib/mailchute /var/spool/mailchute \
        /etc/mailchute/sites.d /etc/mailchute/secrets /etc/mailchute; do
        rmdir "$DESTDIR$path" 2>/dev/null || :
    done
    say "mailchute is removed"
    for path in /etc/mailchute /var/lib/mailchute /var/spool/mailchute; do
        if is_there "$path"; then say "still there, because it is not empty: $path"; fi
    done
}

"${action}_all"
