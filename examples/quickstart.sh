#!/bin/sh
# Shows the whole path of a message without an account, without the network and without root:
# builds mailchute, starts a mail server on this machine (TLS, login), and sends two messages to it.
# With MAILCHUTE=FILE that binary is shown instead of one that is built.
set -eu

cd "$(dirname "$0")/.."
title() { printf '\n== %s\n\n' "$1"; }
indent() { tr -d '\r' | sed 's/^/    /'; }

command -v cargo >/dev/null || {
    echo "quickstart.sh: cargo is not in PATH: install a Rust toolchain, see https://rustup.rs" >&2
    exit 1
}
title "1. Build mailchute, and a small mail server to send to"
[ -n "${MAILCHUTE:-}" ] || set -- --bin mailchute
# What cargo says is of interest only if it fails.
built=$(mktemp)
cargo build "$@" --example quickstart-server >"$built" 2>&1 || {
    cat "$built" >&2
    rm -f "$built"
    exit 1
}
rm -f "$built"
bin=${CARGO_TARGET_DIR:-target}/debug
mailchute=${MAILCHUTE:-$bin/mailchute}
echo "    $mailchute"

dir=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server" 2>/dev/null || :; fi; rm -rf "$dir"' EXIT
trap 'exit 1' HUP INT TERM

title "2. Start the server on a free port of this machine"
mkfifo "$dir/ready"
"$bin/examples/quickstart-server" "$dir" >"$dir/ready" &
server=$!
read -r port <"$dir/ready"
echo "    127.0.0.1:$port, TLS from the first octet, its authority in $dir/ca.pem"

title "3. The configuration: one relay, and where to log"
printf '%s\n' 'correct horse battery staple' >"$dir/secret"
chmod 600 "$dir/secret"
cat >"$dir/config.toml" <<EOF
[relay.main]
host = "127.0.0.1"
port = $port
tls = "implicit"
ca_file = "$dir/ca.pem"
username = "shop@example.org"
password = { file = "$dir/secret" }

[log]
to = ["$dir/log"]
EOF
indent <"$dir/config.toml"

# The words that a php.ini or a cron job would have: sendmail_path = "mailchute -t -i".
send() { "$mailchute" --config "$dir/config.toml" -t -i; }

title "4. Send a message with two parts, as a web shop would:  mailchute -t -i <message"
cat >"$dir/message" <<'EOF'
From: "The Shop" <shop@example.org>
To: Jane Doe <jane@example.net>
Bcc: accounts@example.org
Subject: Your order 1042
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="=-shop-1042"

--=-shop-1042
Content-Type: text/plain; charset=utf-8

Thank you, Jane. Your order is on its way.
.
(The lone dot above is part of the text.)
--=-shop-1042
Content-Type: text/html; charset=utf-8

<p>Thank you, <b>Jane</b>. Your order is on its way.</p>
--=-shop-1042--
EOF
status=0
send <"$dir/message" || status=$?
echo "    exit status $status"
[ "$status" -eq 0 ]

title "5. What the server has: the envelope, and the message as it arrived"
indent <"$dir/arrived.envelope"
echo
indent <"$dir/arrived.eml"

title "6. The log record, one line of JSON"
indent <"$dir/log"

title "7. Send to somebody who does not exist"
status=0
printf 'From: shop@example.org\nTo: nobody@example.net\nSubject: Hello\n\nAnybody there?\n' |
    send 2>"$dir/stderr" || status=$?
echo "    standard error:"
indent <"$dir/stderr"
echo "    exit status $status, and $status + 400 = $((status + 400)), the server's reply code"
[ "$status" -eq 150 ]

title "Done. Both are what PHP, cron and every other caller of sendmail would have seen."
