//! Conditions one by one, routes in their order, and the shares of a spread.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::date;
use jiff::tz::TimeZone;

use super::*;
use crate::config::Config;
use crate::envelope::Envelope;

/// uid 33 in /srv/www/shop/public.
fn caller() -> Caller {
    let (user, cwd) = (Some("www-data".to_owned()), Some("/srv/www/shop/public".into()));
    Caller { uid: 33, gid: 33, user, home: None, cwd }
}

const RELAYS: &str = "[relay.main]\nhost = 'main.example'\n[relay.bulk]\nhost = 'bulk.example'\nweight = 3\n\
    [relay.other]\nhost = 'other.example'\nweight = 2\n";

/// The site of a file that begins with `toml`, behind which the relays stand.
fn site(toml: &str) -> Site {
    let source = format!("{toml}\n{RELAYS}");
    let config = Config::parse(Path::new("/config.toml"), &source, &caller());
    config.unwrap_or_else(|failure| panic!("{toml}: {failure}")).sites.remove(0)
}

/// What a route is chosen by at half past `hour`, called by `parent`.
fn at<T>(hour: i8, parent: Option<&str>, ask: impl FnOnce(Circumstances<'_>) -> T) -> T {
    let now = || date(2026, 11, 27).at(hour, 30, 0, 0).to_zoned(TimeZone::UTC).unwrap();
    let parent = || parent.map(str::to_owned);
    ask(Circumstances { caller: &caller(), now: &now, parent: &parent })
}

/// Reverse-path `from`, or none where it is empty, and forward-paths.
fn envelope(from: &str, to: &[&str]) -> Envelope {
    let reverse_path = (!from.is_empty()).then(|| from.parse().unwrap());
    Envelope { reverse_path, forward_paths: to.iter().map(|to| to.parse().unwrap()).collect(), dsn: Default::default() }
}

fn names_of(route: &[Arc<Relay>]) -> Vec<&str> {
    route.iter().map(|relay| relay.name.as_str()).collect()
}

/// The first relay for a message.
fn relay(site: &Site, envelope: &Envelope, text: &[u8]) -> String {
    let message = Message::read(&mut &*text, false).unwrap();
    let mail = MailObject { envelope, message: &message };
    at(14, Some("php-fpm8.4"), |circumstances| of_mail(site, None, circumstances, mail).unwrap()[0].name.clone())
}

/// Whether a route with this condition is for such a message, asked with the condition and with its contrary.
fn holds(condition: &str, envelope: &Envelope, text: &[u8]) -> Option<bool> {
    let asked = relay(&site(&format!("[[route]]\n{condition}\nrelay = 'bulk'")), envelope, text) == "bulk";
    let contrary =
        relay(&site(&format!("[[route]]\nrelay = 'bulk'\n[route.not]\n{condition}")), envelope, text) == "bulk";
    match (asked, contrary) {
        (true, false) => Some(true),
        (false, true) => Some(false),
        (false, false) => None,
        (true, true) => panic!("{condition} and its contrary hold"),
    }
}

const MESSAGE: &str = "From: =?utf-8?Q?B=C3=BCcher=2C?= Inc. <Orders@B\u{fc}cher.example>, second@x.org\n\
    To: team: ann@x.org, \"b o b\"@y.org;\n\
    Cc: Carol (of sales) <carol@z.org>\n\
    Reply-To: undisclosed:;\n\
    Subject: =?utf-8?B?UmVjaG51bmcgWw==?= =?utf-8?Q?Gr=C3=BC=C3=9Fe]?=\n for you\n\
    X-Campaign: Spring =?utf-8?Q?Sal=C3=A9?=\n\
    X-Empty:\n\
    x-campaign: second\n\
    X-PHP-Originating-Script: 33:class-newsletter.php\n\
    Content-Type: text/plain; charset=utf-8\n\
    \n\
    Dear ann,\nYour C\u{d6}DE is 1234.\n";

#[test]
fn each_condition_holds_or_does_not() {
    let envelope = envelope("bounce@news.example", &["ann@x.org", "hidden@xn--bcher-kva.example"]);
    for (condition, expected) in [
        ("subject = 'Rechnung [Grüße] for you'", true),
        ("subject = '*[GRÜSSE]*'", false),
        ("subject = '*[GRÜßE]*'", true),
        ("subject = 'rechnung*'", true),
        ("subject = 'Rechnung'", false),
        ("subject = '*utf-8*'", false),
        ("subject = ['nothing', '*for you']", true),
        ("from = '*@bücher.example'", true),
        ("from = '*@xn--bcher-kva.example'", true),
        ("from = 'orders@*'", true),
        ("from = 'second@x.org'", true),
        ("from = 'inc*@*'", false),
        ("from = '*@*.example'", true),
        ("from = 'bounce@*'", false),
        ("sender = 'bounce@news.example'", true),
        ("sender = '*@NEWS.example'", true),
        ("sender = '*@bücher.example'", false),
        ("sender = '<>'", false),
        // Everybody who gets it, whether a field names them or not.
        ("to = '*@x.org'", true),
        ("to = '*@bücher.example'", true),
        ("to = 'carol@*'", false),
        ("to = ['*@nowhere.example', 'ann@*']", true),
        ("cc = 'carol@z.org'", true),
        ("cc = '*sales*@*'", false),
        ("cc = '*'", true),
        ("reply_to = '*'", false),
        ("header = { 'x-campaign' = 'spring salé' }", true),
        ("header = { X-CAMPAIGN = 'second' }", true),
        ("header = { X-Campaign = ['nothing', 'sec*'] }", true),
        ("header = { X-Campaign = 'spring' }", false),
        ("header = { X-Empty = '*' }", true),
        ("header = { X-Missing = '*' }", false),
        // Mailbox by mailbox, as the one reader has them.
        ("header = { From = 'Bücher, Inc. <*>' }", true),
        ("header = { From = 'second@x.org' }", true),
        ("header = { From = 'Inc. <*>' }", false),
        ("header = { To = 'b o b@y.org' }", false),
        ("header = { To = '\"b o b\"@y.org' }", true),
        ("header = { To = 'team*' }", false),
        ("body = '*cöde is 12*'", true),
        ("body = 'dear ann*'", true),
        ("body = 'code'", false),
        ("body = '*Rechnung*'", false),
        ("larger = '1 GB'", false),
        ("larger = '1 MB'", false),
        ("attachment = true", false),
        ("attachment = false", true),
        ("attachment = '*'", false),
        ("script = 'class-newsletter.php'", true),
        ("script = '*newsletter*'", true),
        ("script = '33:*'", false),
        ("script = 'php-fpm*'", true),
        ("script = ['cron', 'sendmail']", false),
        ("uid = 33", true),
        ("uid = [0, 33]", true),
        ("uid = ['root']", false),
        ("cwd = '/srv/www/shop'", true),
        ("cwd = '/srv/*/shop'", true),
        ("cwd = '/srv/www/shopping'", false),
        ("hour = '14-15'", true),
        ("hour = '22-06'", false),
        ("hour = ['22-06', '12-18']", true),
        ("hour = '15-14'", false),
        ("hour = '23-15'", true),
    ] {
        assert_eq!(holds(condition, &envelope, MESSAGE.as_bytes()), Some(expected), "{condition}");
    }
}

#[test]
fn what_no_route_names_is_not_asked() {
    let (envelope, message) =
        (envelope("a@x.org", &["b@x.org"]), Message::read(&mut &b"Subject: x\n\nx\n"[..], false).unwrap());
    let (now, parent) = (|| panic!("the time"), || panic!("the program"));
    let circumstances = Circumstances { caller: &caller(), now: &now, parent: &parent };
    let mail = MailObject { envelope: &envelope, message: &message };
    for toml in [
        "",
        "[[route]]\nsubject = 'y'\nbody = 'y'\nrelay = 'bulk'",
        // What costs least is asked first, and nothing behind what does not hold.
        "[[route]]\nscript = 'y'\nhour = '14-15'\nuid = 0\nrelay = 'bulk'",
        "[[route]]\nto = 'y@*'\nrelay = 'bulk'\n[route.not]\nhour = '14-15'\n[[route]]\nrelay = 'main'",
    ] {
        assert_eq!(of_mail(&site(toml), None, circumstances, mail).unwrap()[0].name, "main", "{toml}");
    }
}

#[test]
fn fields_are_read_in_the_charset_of_the_message() {
    let envelope = envelope("", &["ann@x.org"]);
    let text = b"Subject: \xcf\xd2\xc9\xd7\xc5\xd4\nContent-Type: text/plain; charset=koi8-r\n\n\xcf\xd2\xc9\n";
    assert_eq!(holds("subject = 'ОРИВЕТ'", &envelope, text), Some(true));
    assert_eq!(holds("sender = '<>'", &envelope, text), Some(true));
    assert_eq!(holds("sender = '*'", &envelope, text), Some(false));
    // Raw octets: what the body says in another charset is not decoded.
    assert_eq!(holds("body = '*ори*'", &envelope, text), Some(false));
    let none = b"To: ann@x.org\n\nx\n";
    for condition in ["subject = '*'", "from = '*'", "cc = '*'", "reply_to = '*'"] {
        assert_eq!(holds(condition, &envelope, none), Some(false), "{condition}");
    }
}

#[test]
fn files_are_found_by_their_decoded_names() {
    let envelope = envelope("a@x.org", &["ann@x.org"]);
    let text = "Content-Type: multipart/mixed; boundary=b\n\n--b\n\ntext\n--b\nContent-Type: application/pdf\n\
        Content-Disposition: attachment; filename*0*=utf-8''%C3; filename*1*=%9Cbersicht.PDF\n\nx\n--b--\n";
    for (condition, expected) in [
        ("attachment = true", true),
        ("attachment = false", false),
        ("attachment = '*.pdf'", true),
        ("attachment = ['*.zip', 'übersicht.*']", true),
        ("attachment = '*.zip'", false),
    ] {
        assert_eq!(holds(condition, &envelope, text.as_bytes()), Some(expected), "{condition}");
    }
}

#[test]
fn the_size_is_that_of_the_whole_message() {
    let envelope = envelope("a@x.org", &["ann@x.org"]);
    // 20 octets of fields and empty line in their CRLF form, and the body's line end.
    for (body, expected) in [(1002, false), (1003, true)] {
        let text = format!("Subject: 1234567\n\n{}\n", "x".repeat(body));
        assert_eq!(holds("larger = '1 KB'", &envelope, text.as_bytes()), Some(expected), "{body}");
    }
}

#[test]
fn what_cannot_be_told_holds_neither_so_nor_otherwise() {
    let envelope = envelope("a@x.org", &["ann@x.org"]);
    let text = format!("Subject: x\n\nfound{}\n", "x".repeat(1 << 20));
    assert_eq!(holds("body = '*found*'", &envelope, text.as_bytes()), None);
    let nested = "Content-Type: multipart/mixed; boundary=b\n\n--b\n".repeat(60);
    assert_eq!(holds("attachment = true", &envelope, nested.as_bytes()), None);
}

#[test]
fn the_first_route_of_which_everything_holds_decides() {
    let site = site(
        "[[route]]\nsubject = '*invoice*'\nto = '*@x.org'\nrelay = 'other'\n\
         [[route]]\nsubject = '*invoice*'\nnot = { to = '*@y.org', cc = '*' }\nrelay = ['bulk', 'main']\n\
         [[route]]\nhour = '14-15'\nsubject = '*'\nrelay = 'other'\n",
    );
    for (subject, to, cc, relays) in [
        ("Invoice 7", "a@x.org", "", "other"),
        ("Invoice 7", "a@z.org", "", "bulk"),
        ("Invoice 7", "a@y.org", "", "other"),
        ("Invoice 7", "a@z.org", "Cc: b@z.org\n", "other"),
        ("Hello", "a@x.org", "", "other"),
    ] {
        let text = format!("Subject: {subject}\n{cc}\nx\n");
        assert_eq!(relay(&site, &envelope("s@x.org", &[to]), text.as_bytes()), relays, "{subject} {to} {cc}");
    }
    assert_eq!(relay(&site, &envelope("s@x.org", &["a@x.org"]), b"To: a@x.org\n\nx\n"), "main");
}

#[test]
fn a_route_without_conditions_is_for_the_rest() {
    let site = site("[[route]]\nsender = 'a@*'\nrelay = 'other'\n[[route]]\nrelay = 'bulk'\n");
    assert_eq!(relay(&site, &envelope("a@x.org", &["b@x.org"]), b"\nx\n"), "other");
    assert_eq!(relay(&site, &envelope("b@x.org", &["b@x.org"]), b"\nx\n"), "bulk");
}

#[test]
fn the_relay_that_is_asked_for_needs_no_route() {
    let site = site("[site.shop]\nrelay = 'main'\n[[site.shop.route]]\nsender = 'a@*'\nrelay = 'other'\n");
    let (envelope, message) = (envelope("a@x.org", &["b@x.org"]), Message::read(&mut &b"\nx\n"[..], false).unwrap());
    let mail = MailObject { envelope: &envelope, message: &message };
    let asked = |name: &str| at(14, None, |circumstances| of_mail(&site, Some(name), circumstances, mail));
    assert_eq!(names_of(&asked("main").unwrap()), ["main"]);
    assert_eq!(names_of(&asked("other").unwrap()), ["other"]);
    let failure = asked("bulk").unwrap_err();
    assert_eq!(failure.hint.as_deref(), Some("it has main, other"), "{failure}");
    let at_mail = at(14, None, |circumstances| at_mail(&site, Some("other"), circumstances, None)).unwrap();
    assert_eq!(names_of(&at_mail.unwrap()), ["other"]);
}

#[test]
fn at_mail_nothing_is_settled_that_the_message_could_change() {
    let sender: Address = "a@x.org".parse().unwrap();
    let routed = |toml: &str, parent| {
        let site = site(toml);
        let route = at(14, parent, |circumstances| at_mail(&site, None, circumstances, Some(&sender))).unwrap();
        route.map_or("open".to_owned(), |route| route[0].name.clone())
    };
    for (toml, route) in [
        ("", "main"),
        ("[[route]]\nsender = 'a@*'\nrelay = 'bulk'", "bulk"),
        ("[[route]]\nsender = 'b@*'\nsubject = '*'\nrelay = 'bulk'", "main"),
        ("[[route]]\nsender = 'a@*'\nsubject = '*'\nrelay = 'bulk'", "open"),
        ("[[route]]\nnot = { subject = '*' }\nrelay = 'bulk'", "open"),
        ("[[route]]\nsubject = '*'\nnot = { uid = 33 }\nrelay = 'bulk'", "main"),
        ("[[route]]\nhour = '14-15'\nrelay = 'other'\n[[route]]\nsubject = '*'\nrelay = 'bulk'", "other"),
        ("[[route]]\nsubject = '*'\nrelay = 'bulk'\n[[route]]\nhour = '14-15'\nrelay = 'other'", "open"),
        ("[[route]]\nto = '*'\nrelay = 'bulk'", "open"),
        ("[[route]]\nlarger = '1 KB'\nrelay = 'bulk'", "open"),
        ("[[route]]\nattachment = true\nrelay = 'bulk'", "open"),
        ("[[route]]\nbody = '*'\nrelay = 'bulk'", "open"),
        ("[[route]]\nheader = { X = '*' }\nrelay = 'bulk'", "open"),
        ("[[route]]\nscript = 'cron'\nrelay = 'bulk'", "bulk"),
        ("[[route]]\nscript = 'send.php'\nrelay = 'bulk'", "open"),
    ] {
        assert_eq!(routed(toml, Some("cron")), route, "{toml}");
    }
}

#[test]
fn a_site_says_its_own_routes_in_place_of_those_at_the_top() {
    let source = format!(
        "[[route]]\nsender = 'a@*'\nrelay = 'bulk'\n{RELAYS}\
         [site.top]\nrelay = 'main'\n[site.own]\n[[site.own.route]]\nsender = 'b@*'\nrelay = 'other'\nstrategy = 'spread'\n\
         [site.none]\nroute = []\n"
    );
    let config = Config::parse(Path::new("/config.toml"), &source, &caller()).unwrap();
    for (name, from, expected) in [
        ("top", "a@x.org", "bulk"),
        ("top", "b@x.org", "main"),
        ("own", "a@x.org", "main"),
        ("own", "b@x.org", "other"),
        ("none", "a@x.org", "main"),
    ] {
        let site = config.site(name).unwrap();
        assert_eq!(relay(site, &envelope(from, &["b@x.org"]), b"\nx\n"), expected, "{name} {from}");
    }
}

#[test]
fn a_spread_gives_each_relay_its_share() {
    let site = site("strategy = 'spread'");
    // Every thousandth of what chance may be: the shares are exact, whatever is drawn.
    let mut shares = BTreeMap::new();
    for part in 0..6000_u64 {
        let route = spread(&site.relays, part * (u64::MAX / 6000) + 1);
        *shares.entry(names_of(&route).join(" ")).or_insert(0) += 1;
    }
    let expected = [("bulk other main", 3000), ("main bulk other", 1000), ("other bulk main", 2000)];
    for (order, share) in expected {
        let found = shares.remove(order).unwrap_or_default();
        assert!((share - 1..=share + 1).contains(&found), "{order}: {found}");
    }
    assert!(shares.is_empty(), "{shares:?}");
    for chance in [0, 1, u64::MAX] {
        assert_eq!(spread(&site.relays, chance).len(), 3);
        assert_eq!(spread(&site.relays[..1], chance).len(), 1);
    }
    // Every relay has its turn: with these weights none is missing once in 10^78 runs.
    let drawn: std::collections::BTreeSet<_> =
        (0..1000).map(|_| in_order(&site.relays, Strategy::Spread)[0].name.clone()).collect();
    assert_eq!(drawn.len(), 3);
    assert_eq!(names_of(&in_order(&site.relays, Strategy::Order)), ["main", "bulk", "other"]);
}

#[test]
fn it_is_told_why_a_route_is_not_meant() {
    let site = site(
        "[[route]]\nsubject = ['*[Invoice]*', 'x']\nrelay = 'bulk'\n\
         [[route]]\nnot = { header = { X = '*' } }\nrelay = 'bulk'\n\
         [[route]]\nbody = '*a*'\nrelay = 'bulk'\n\
         [[route]]\nlarger = '1 MB'\nuid = 33\nrelay = ['bulk', 'other']\nstrategy = 'spread'\n\
         [[route]]\nhour = '22-6'\nrelay = 'bulk'\n",
    );
    let told = |text: &str| {
        let (envelope, message) =
            (envelope("a@x.org", &["b@x.org"]), Message::read(&mut text.as_bytes(), false).unwrap());
        at(14, None, |circumstances| {
            explain(&site, circumstances, MailObject { envelope: &envelope, message: &message })
        })
    };
    let rows = told(&format!("X: y\n\na{}\n", "x".repeat(1 << 20)));
    let rows: Vec<_> = rows.iter().map(|(label, text)| format!("{label}: {text}")).collect();
    assert_eq!(
        rows,
        [
            "route 1: passed over: subject = [\"*[Invoice]*\", \"x\"] does not hold",
            "route 2: passed over: not = { header = { \"X\" = \"*\" } } does not hold",
            "route 3: passed over: body = \"*a*\" cannot be told: the body is larger than 1 MiB",
            "route 4: matches: bulk, other",
            "route 5: not looked at: one before it matches",
            "strategy: spread by chance and weight (bulk 3, other 2); this time as follows",
        ]
    );
    let rows = told("X: y\n\nb\n");
    let rows: Vec<_> = rows.iter().map(|(label, text)| format!("{label}: {text}")).collect();
    assert_eq!(
        rows[3..],
        [
            "route 4: passed over: larger = \"1 MB\" does not hold",
            "route 5: passed over: hour = \"22-06\" does not hold",
            "route: no [[route]] matches, so the site's relays: main, bulk, other",
        ]
    );
}
