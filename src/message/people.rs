//! The fields that hold addresses, and who is in them.

use super::content_type::ContentType;
use super::header::{Field, Header};
use crate::address::{Address, List, read_authors, read_list};

/// Fields that hold addresses.
pub const ADDRESS_FIELDS: [&str; 16] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Resent-From",
    "Resent-Sender",
    "Resent-Reply-To",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
    "Disposition-Notification-To",
    "Return-Receipt-To",
    "Mail-Followup-To",
    "Errors-To",
];

/// Those that say who receives. All others say who writes, or is answered.
const RECIPIENTS: [&str; 6] = ["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc"];

impl Field<'_> {
    /// Whether it holds addresses.
    pub fn is_address(&self) -> bool {
        is_address_field(self.name_octets())
    }

    /// Whether it holds the addresses of those who receive.
    pub fn is_recipients(&self) -> bool {
        RECIPIENTS.iter().any(|name| self.is(name))
    }

    /// Whether `octet` stands in its value.
    pub fn holds(&self, octet: u8) -> bool {
        memchr::memchr(octet, self.value()).is_some()
    }

    /// Who is in it.
    pub fn people(&self) -> List {
        let text = self.text();
        if self.is_recipients() { read_list(&text) } else { read_authors(&text) }
    }

    /// The first address with a domain that it holds.
    pub fn first_address(&self) -> Option<Address> {
        self.people().mailboxes().find_map(|listed| listed.mailbox.spec.address().ok())
    }
}

/// Whether fields of this name hold addresses.
pub(super) fn is_address_field(name: &[u8]) -> bool {
    ADDRESS_FIELDS.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

impl Header {
    /// The charset that the message declares for its content, and so the one of raw octets in its fields.
    pub(super) fn charset(&self) -> Option<&str> {
        self.charset.get_or_init(|| ContentType::of(self).charset().map(str::to_owned)).as_deref()
    }
}

#[cfg(test)]
mod tests {
    use crate::message::Message;

    /// The people of the first field of a message, as `name | address`.
    fn people(text: &[u8]) -> Vec<String> {
        let message = Message::read(&mut &text[..], false).unwrap();
        let list = message.header().fields().next().unwrap().people();
        assert_eq!(list.errors().collect::<Vec<_>>(), Vec::<&crate::address::Unreadable>::new());
        list.mailboxes()
            .map(|listed| format!("{} | {}", listed.mailbox.decoded_name().unwrap_or_default(), listed.mailbox.spec))
            .collect()
    }

    #[test]
    fn no_charset_keeps_an_address_from_being_read() {
        for (field, charset, person) in [
            (&b"To: Pat O\x92Neil <p@x.org>"[..], "us-ascii", "Pat O’Neil | p@x.org"),
            (b"To: Pat O\x92Neil <p@x.org>", "utf-8", "Pat O’Neil | p@x.org"),
            (b"To: \xc8\xe2\xe0\xed <p@x.org>", "windows-1251", "Иван | p@x.org"),
            (b"To: \xe9\xd7\xc1\xce <p@x.org>", "koi8-r", "Иван | p@x.org"),
            (b"To: \xa3ukasz <p@x.org>", "iso-8859-2", "Łukasz | p@x.org"),
            (b"To: \xb1\xe8\xc3\xb6\xbc\xf6 <p@x.org>", "euc-kr", "김철수 | p@x.org"),
            (b"To: \xc4\xe3\x81\x40 <p@x.org>", "gbk", "你丂 | p@x.org"),
            (b"To: \x83\x5c\x94\x5c\x8e\x40 <p@x.org>", "Shift_JIS", "ソ能察 | p@x.org"),
            (b"To: \"\x83\x5c\" <p@x.org>", "shift_jis", "ソ | p@x.org"),
            (b"To: \x1b$B;3ED\x1b(B <p@x.org>", "iso-2022-jp", "山田 | p@x.org"),
            (b"To: \x1b$B$\"$(\x1b(B <p@x.org>", "us-ascii", "あえ | p@x.org"),
            (b"To: p@x.org (\xfc)", "iso-8859-1", "ü | p@x.org"),
        ] {
            let text = [field, b"\nContent-Type: text/plain; charset=", charset.as_bytes(), b"\n\nx\n"].concat();
            assert_eq!(people(&text), [person], "{}", field.escape_ascii());
        }
    }

    #[test]
    fn one_name_with_commas_is_told_from_a_list() {
        for (field, expected) in [
            ("From: Shop, Inc. <j@x.org>", &["Shop, Inc. | j@x.org"][..]),
            ("From: shop, inc <j@x.org>", &["shop, inc | j@x.org"]),
            ("To: Müller, Jürgen <j@x.org>", &["Müller, Jürgen | j@x.org"]),
            ("To: van der Berg, Jan, <j@x.org>", &["van der Berg, Jan | j@x.org"]),
            ("To: root, Bob <j@x.org>", &[" | root", "Bob | j@x.org"]),
            ("To: Shop, Inc. <j@x.org>, Bob <b@x.org>", &[" | Shop", "Inc. | j@x.org", "Bob | b@x.org"]),
            ("From: Shop; Inc <j@x.org>", &["Shop; Inc | j@x.org"]),
            ("From: Tom &amp; Jerry&#039;s <j@x.org>", &["Tom &amp; Jerry&#039;s | j@x.org"]),
            ("From: Acme: The Shop <j@x.org>", &["Acme: The Shop | j@x.org"]),
            ("From: Team: Ann <j@x.org>;", &["Ann | j@x.org"]),
            ("Reply-To: j@x.org; b@x.org", &[" | j@x.org", " | b@x.org"]),
            ("To: Team: Ann <j@x.org>", &["Ann | j@x.org"]),
            ("To: root, bob@x.org", &[" | root", " | bob@x.org"]),
            ("To: =?ISO-8859-1?Q?M=FCller,_J.?= <j@x.org>", &["Müller, J. | j@x.org"]),
        ] {
            assert_eq!(people(format!("{field}\n\nx\n").as_bytes()), expected, "{field}");
        }
    }
}
