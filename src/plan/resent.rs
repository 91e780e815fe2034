//! The Resent- fields of a message that goes to somebody else once more (RFC 5322 3.6.6).

use jiff::Zoned;

use super::fit;
use crate::address::Address;
use crate::failure::Failure;
use crate::message::Message;

/// Puts a block of Resent- fields before all others of `message`: by `by`, or by its first From address, to `to`, `now`.
///
/// # Errors
/// `System`: no date or Message-ID can be made.
pub fn prefix(
    message: &mut Message,
    by: Option<&Address>,
    to: &[String],
    now: &Zoned,
    host_name: &str,
) -> Result<(), Failure> {
    let author = message.header().all("From").find_map(|field| field.first_address());
    let by = by.or(author.as_ref()).map(ToString::to_string);
    let (date, id) = (fit::date(now)?, fit::message_id(message.header(), host_name)?);
    let to = to.join(", ");
    let mut fields = vec![("Resent-Date", date.as_str())];
    fields.extend(by.as_ref().map(|by| ("Resent-From", by.as_str())));
    fields.extend([("Resent-To", to.as_str()), ("Resent-Message-ID", id.as_str())]);
    message.edit_header(|header, _| header.prefix(&fields));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_block_stands_first_and_the_rest_is_as_it_was() {
        let before = "Received: x\r\nFrom: Ann <ann@shop.example>\r\nTo: bob@x.org\r\n\r\n";
        let mut message = Message::read(&mut format!("{before}hello\r\n").as_bytes(), false).unwrap();
        let now: Zoned = "2026-11-27T10:00:00+01:00[+01:00]".parse().unwrap();
        let to = ["carl@x.org".to_owned(), "dora@x.org".to_owned()];
        prefix(&mut message, None, &to, &now, "web1").unwrap();
        let text = String::from_utf8(message.header().as_bytes().to_vec()).unwrap();
        let block = text.strip_suffix(before).unwrap();
        let lines: Vec<&str> = block.lines().collect();
        assert_eq!(
            lines[..3],
            [
                "Resent-Date: Fri, 27 Nov 2026 10:00:00 +0100",
                "Resent-From: ann@shop.example",
                "Resent-To: carl@x.org, dora@x.org",
            ]
        );
        assert!(lines[3].starts_with("Resent-Message-ID: <") && lines.len() == 4, "{block}");
        assert_eq!(message.header().fields().count(), 7);
    }
}
