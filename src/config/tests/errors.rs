//! What is wrong is named by file, line and key, with the next step; never by a secret.

use super::Host;
use crate::failure::Kind;

/// The configuration, the sentence behind `config.toml`, and a piece of the hint.
const CASES: &[(&str, &str, &str)] = &[
    (
        "[relay.main]\nhost = 'a.example'\npasword = 'hunter2'",
        ":3: unknown key \"pasword\" in [relay.main]",
        "did you mean \"password\"?",
    ),
    (
        "[relay.main]\nhost = 'a.example'\ndeadline = '5s'",
        ":3: unknown key \"deadline\" in [relay.main]",
        "before the first [table]",
    ),
    (
        "[relay.main]\nhost = 'a.example'\npass = 'hunter2'",
        ":3: unknown key \"pass\" in [relay.main]",
        "it is called \"password\" here",
    ),
    (
        "[relay.main]\nprovider = 'postmark'\napi_key = 'hunter2'",
        ":3: unknown key \"api_key\" in [relay.main]",
        "postmark takes token",
    ),
    (
        "[relay.main]\nprovider = 'brevo'\napikey = 'hunter2'",
        ":3: unknown key \"apikey\" in [relay.main]",
        "brevo takes username and smtp_key; by its HTTP API api_key",
    ),
    (
        "[relay.main]\nprovider = 'brevo'\nvia = 'api'\ntoken = 'hunter2'",
        ":4: unknown key \"token\" in [relay.main]",
        "by its HTTP API api_key",
    ),
    ("[main]\nhost = 'a.example'", ":1: unknown key \"main\"", "write [relay.main] for a relay"),
    ("[relays.main]\nhost = 'a.example'", ":1: unknown key \"relays\"", "did you mean \"relay\"?"),
    ("relays = 1", ":1: unknown key \"relays\"", "did you mean \"relay\"?"),
    (
        "[relay.main]\npassword = \"hunter2\nhost = 'x'",
        ":2:12: the text that begins here has no closing quotation mark",
        "write \" at its end",
    ),
    ("[relay.main]\npassword = hunter2\n", ":2:12: a text stands in quotation marks", "write password = \"...\""),
    (
        "[relay.main]\nhost = 'a.example'\nhost = 'hunter2'",
        ":3:1: the key \"host\" is there twice in its table, on line 2 as well",
        "take one of the two out",
    ),
    (
        "[relay.main]\nhost = 'a.example'\n[log]\nlimit = '20/minute'",
        ":4: unknown key \"limit\" in [log]",
        "\"limit\" belongs at the top, before the first [table]",
    ),
    ("limit = 100\n[relay.main]\nhost = 'a.example'", ":1: \"limit\" must be a string", "write \"20/minute\""),
    (
        "[relay.main]\nhost = 'a.example'\nlimit = 100",
        ":3: \"limit\" in [relay.main] must be a string",
        "write \"20/minute\"",
    ),
    ("relay = 'hunter2'", ":1: \"relay\" must be a table, not a string", ""),
    ("[relay]\nprovider = 'postmark'", ":2: \"relay\" takes named tables", "write [relay.NAME]"),
    (
        "[relay.main]\nhost = 'a.example'\nport = '587'",
        ":3: \"port\" in [relay.main] must be a number, not a string",
        "",
    ),
    (
        "[relay.main]\nhost = 'a.example'\nport = 70000",
        ":3: \"port\" in [relay.main] must be a number from 1 to 65535",
        "",
    ),
    (
        "[relay.main]\nhost = 'a.example'\nusername = 'u'\npassword = 12345",
        ":4: \"password\" in [relay.main] must be a string or one of",
        "",
    ),
    (
        "[relay.main]\nhost = 'a.example'\nusername = 'u'\npassword = ''",
        ":4: \"password\" in [relay.main] is empty",
        "write the secret there, or password = { file = \"PATH\" }",
    ),
    (
        "[relay.main]\nhost = 'a.example'\nusername = 'u'\npassword_file = '/x'",
        ":4: unknown key \"password_file\" in [relay.main]",
        "write password = { file = \"PATH\" }",
    ),
    (
        "[relay.main]\nhost = 'a.example'\nusername = 'u'\npasswordeval = 'pass x'",
        ":4: unknown key \"passwordeval\" in [relay.main]",
        "write password = { command = [\"PROGRAM\", \"ARGUMENT\"] }",
    ),
    (
        "[relay.main]\nprovider = 'resend'\napi_key_file = '/x'",
        ":3: unknown key \"api_key_file\" in [relay.main]",
        "write api_key = { file = \"PATH\" }",
    ),
    (
        "[relay.main]\nhost = 'a.example'\n[alias]\nroot = 'a@b.example'\nfrom = 'c@b.example'",
        ":5: \"from\" in [alias] is a setting, not an alias",
        "\"from\" belongs at the top",
    ),
    (
        "[relay.main]\nhost = 'a.example'\n[alias]\ndefault_site = 'a@b.example'",
        ":4: \"default_site\" in [alias] is a setting, not an alias",
        "\"default_site\" belongs at the top",
    ),
    (
        "[relay.main]\nhost = 'a.example'\nusername = 'u'\npassword = { fiel = '/x' }",
        ":4: unknown key \"fiel\" in [relay.main.password]",
        "\"file\"",
    ),
    (
        "[relay.main]\nhost = 'a.example'\nusername = 'u'\npassword = { command = 'pass show hunter2' }",
        ":4: \"command\" in [relay.main.password] is one word with spaces in it",
        "write the words apart",
    ),
    (
        "[relay.main]\nhost = 'a.example'\ntls = 'ssl'",
        ":3: \"tls\" in [relay.main] must be \"implicit\" or \"starttls\" or \"none\", not \"ssl\"",
        "leave it out: port 465 speaks TLS from the start",
    ),
    ("[relay.main]\nhost = 'a.example:587'", ":2: \"host\" in [relay.main] holds a colon", "port = 587"),
    (
        "[relay.main]\nhost = 'smtp://a.example'",
        ":2: \"host\" in [relay.main] is a name, not a URL",
        "write the name alone",
    ),
    ("[relay.main]\nusername = 'u'", ":1: the relay has neither \"provider\" nor \"host\"", ""),
    ("[relay.main]\nprovider = 'postmrk'", ":2: unknown provider \"postmrk\"", "did you mean \"postmark\"?"),
    (
        "[relay.main]\nprovider = 'mailgun'\nregion = 'uk'\nusername = 'u'\npassword = 'p'",
        ":3: mailgun has no region \"uk\"",
        "regions: us, eu",
    ),
    (
        "[relay.main]\nprovider = 'mailgun'\napi_key = 'hunter2'",
        ":2: the relay has no \"domain\", which the HTTP API needs",
        "",
    ),
    (
        "[relay.main]\nprovider = 'mailgun'\nusername = 'u'\npassword = 'hunter2'\napi_key = 'hunter2'",
        ":5: \"api_key\" is for mailgun's HTTP API, and this relay uses SMTP",
        "set via = \"api\" with api_key",
    ),
    (
        "[relay.main]\nprovider = 'mailgun'\nvia = 'api'\ndomain = 'd'\nusername = 'u'\npassword = 'hunter2'",
        ":5: \"username\" is for SMTP, and this relay uses mailgun's HTTP API",
        "the API takes api_key; or set via = \"smtp\"",
    ),
    (
        "[relay.main]\nprovider = 'postmark'\nmessage_stream = 'x'\ntoken = 'hunter2'",
        ":3: \"message_stream\" is for postmark's HTTP API, and this relay uses SMTP",
        "set via = \"api\"",
    ),
    ("[relay.main]\nprovider = 'postmark'\nvia = 'api'\ntag = 'x'", ":2: the relay has no \"token\"", "takes token"),
    (
        "[relay.main]\nprovider = 'postmark'\nvia = 'api'\ntoken = 'hunter2'\nmesage_stream = 'x'",
        ":5: unknown key \"mesage_stream\" in [relay.main]",
        "did you mean \"message_stream\"?",
    ),
    (
        "[relay.main]\nprovider = 'sendgrid'\nvia = 'api'\napi_key = 'hunter2'\nsandbox = 'hunter2'",
        ":5: \"sandbox\" in [relay.main] must be true or false",
        "",
    ),
    (
        "[relay.main]\nprovider = 'sendgrid'\nvia = 'api'\napi_key = 'hunter2'\ntags = { hunter2 = 1 }",
        ":5: \"tags\" in [relay.main] must be a string or an array of strings",
        "",
    ),
    (
        "[relay.main]\nprovider = 'sendgrid'\nvia = 'api'\napi_key = 'hunter2'\nregion = 'hunter2'",
        ":5: \"region\" in [relay.main] must be `global` or `eu`",
        "",
    ),
    (
        "[relay.main]\nprovider = 'sendgrid'\nvia = 'api'\napi_key = 'k'\nendpoint = 'http://api.example.com'",
        ":5: \"endpoint\" in [relay.main] would send the credentials unencrypted",
        "https://",
    ),
    (
        "[relay.main]\nprovider = 'fastmail'\nvia = 'api'\nusername = 'u'\npassword = 'hunter2'",
        ":3: fastmail has no HTTP API in this version",
        "fastmail takes username and app_password",
    ),
    ("[relay.main]\nprovider = 'gmail'\nrefresh_token = 'hunter2'", ":3: \"refresh_token\" needs \"client_id\"", ""),
    (
        "[relay.main]\nprovider = 'o365'\nvia = 'api'\ntenant = 'hunter2'\ntoken = 'hunter2'",
        ":4: \"tenant\" needs \"client_id\"",
        "",
    ),
    (
        "[relay.main]\nprovider = 'gmail'\nclient_id = 'c'\napp_password = 'hunter2'\nusername = 'u@example.org'",
        ":3: \"app_password\" and \"client_id\" are two secrets for one login",
        "",
    ),
    (
        "[relay.main]\nprovider = 'gmail'\nclient_id = 'c'",
        ":3: a password or token is set, but no username",
        "username and app_password",
    ),
    (
        "[relay.main]\nprovider = 'gmail'\nservice_account = { file = 'k' }\nvia = 'api'",
        ":3: a service account needs \"username\", the mailbox it sends as",
        "",
    ),
    (
        "[relay.main]\nprovider = 'gmail'\nservice_account = { file = 'k' }\nclient_id = 'c'",
        ":4: \"client_id\" in [relay.main] has no meaning beside \"service_account\"",
        "",
    ),
    (
        "[relay.main]\nprovider = 'gmail'\nclient_id = 'c'\ngrant = 'client_credentials'",
        ":4: \"grant\" in [relay.main] is not what this provider gives tokens for",
        "service_account",
    ),
    (
        "[relay.main]\nprovider = 'o365'\nclient_id = 'c'\ngrant = 'client_credentials'\nclient_secret = 'hunter2'",
        ":3: an application's own login needs \"tenant\"",
        "",
    ),
    (
        "[relay.main]\nprovider = 'o365'\nvia = 'api'\nclient_id = 'c'\ntenant = 't.example'\nclient_secret = 'hunter2'",
        ":4: an application needs \"mailbox\", the mailbox it sends from",
        "",
    ),
    (
        "[relay.main]\nprovider = 'o365'\nclient_id = 'c'\ntenant = '../x'\nusername = 'u@example.org'",
        ":4: \"tenant\" in [relay.main] must be the directory's id or one of its domains",
        "",
    ),
    (
        "[relay.main]\nhost = 'a.example'\nclient_id = 'c'\nusername = 'u'",
        ":3: \"client_id\" needs \"token_endpoint\"",
        "",
    ),
    (
        "[relay.main]\nhost = 'a.example'\nclient_id = 'c'\nusername = 'u'\ntoken_endpoint = 'http://id.example/token'",
        ":5: \"token_endpoint\" in [relay.main] would send the credentials unencrypted",
        "https://",
    ),
    ("[relay.main]\nprovider = 'postmark'\nclient_id = 'c'", ":3: unknown key \"client_id\" in [relay.main]", ""),
    (
        "[relay.main]\nhost = 'a.example'\nsecret_expires = 'soon'",
        ":3: \"secret_expires\" in [relay.main] must be a day",
        "",
    ),
    (
        "[relay.main]\nprovider = 'o365'\ntoken = 'hunter2'\nusername = 'u'\nmailbox = 'm@example.org'",
        ":5: \"mailbox\" is for microsoft365's HTTP API, and this relay uses SMTP",
        "via = \"api\"",
    ),
    (
        "[relay.main]\nhost = 'a.example'\nlimit = '1/s'",
        ":3: \"limit\" in [relay.main] holds \"1/s\", which is not a limit",
        "20/minute",
    ),
    (
        "limit = ['20/minute', '0/day']\n[relay.main]\nhost = 'a.example'",
        ":1: \"limit\" holds \"0/day\", which allows nothing",
        "1000/day",
    ),
    (
        "[relay.main]\nhost = 'a.example'\n[site.a]\nlimit = ['20/minute', '5 recipients/minute', '1/60 seconds']",
        ":4: \"limit\" in [site.a] holds \"20/minute\" and \"1/60 seconds\", two limits for one span",
        "leave one",
    ),
    ("limit = 20\n[relay.main]\nhost = 'a.example'", ":1: \"limit\" must be a string or an array of strings", ""),
    (
        "limit = 'provider'\n[relay.main]\nprovider = 'postmark'\ntoken = 't'",
        ":1: \"limit\" says \"provider\", and a site has none",
        "[relay.NAME]",
    ),
    (
        "[relay.main]\nhost = 'a.example'\nlimit = 'provider'",
        ":3: \"limit\" in [relay.main] says \"provider\", and this relay names none",
        "name the provider",
    ),
    (
        "[relay.main]\nprovider = 'gmx'\nusername = 'u'\npassword = 'p'\nlimit = ['provider', '9/day']",
        ":5: \"limit\" in [relay.main] says \"provider\", and the limits of gmx are not known here",
        "look them up",
    ),
    (
        "over_limit = 'wait'\n[relay.main]\nhost = 'a.example'",
        ":1: \"over_limit\" must be \"refuse\" or \"spool\" or \"ban\", not \"wait\"",
        "",
    ),
    ("divert = 'x'", ":1: \"divert\" holds \"x\", which is not an address", "no alias leads on"),
    ("divert = []", ":1: \"divert\" is empty", "discard = true"),
    ("discard = true\ndivert = 'qa@example.org'", ":1: \"discard\" stands beside \"divert\"", "keep one of them"),
    ("discard = 1", ":1: \"discard\" must be true or false", ""),
    ("[staging]\nhosts = 'x'", ":2: [staging] has neither \"divert\" nor \"discard\"", ""),
    ("[staging]\ndiscard = true", ":1: [staging] does not say where", "except_hosts"),
    ("[staging]\ndiscard = true\nhosts = []", ":3: \"hosts\" in [staging] is empty", ""),
    (
        "[staging]\ndiscard = true\nhosts = 'a'\nexcept_hosts = 'b'",
        ":4: [staging] \"hosts\" and \"except_hosts\" exclude each other",
        "",
    ),
    ("[staging]\nhost = 'a'\ndiscard = true", ":2: unknown key \"host\" in [staging]", "did you mean \"hosts\"?"),
    (
        "[relay.main]\nhost = 'a.example'\n[site.a]\nstaging = { discard = true }",
        ":4: unknown key \"staging\" in [site.a]",
        "belongs at the top",
    ),
    ("[relay.main]\nprovider = 'postmark'", ":2: the relay has no credentials", "postmark takes token"),
    (
        "[relay.main]\nhost = 'a.example'\npassword = 'hunter2'",
        ":3: a password or token is set, but no username",
        "username and password",
    ),
    ("[relay.main]\nhost = 'a.example'\nusername = 'u'", ":3: username is set, but no password or token", ""),
    (
        "[relay.main]\nhost = 'a.example'\nusername = 'u'\npassword = 'hunter2'\ntoken = 't'",
        ":5: \"password\" and \"token\" are two secrets for one login",
        "",
    ),
    (
        "[relay.main]\nhost = 'a.example'\nusername = 'u'\npassword = 'hunter2'\ntls = 'none'",
        ":5: \"tls\" in [relay.main] would send the credentials unencrypted",
        "SCRAM",
    ),
    (
        "[relay.main]\nhost = 'a.example'\nusername = 'u'\ntoken = 'hunter2'\nauth = ['plain']",
        ":5: \"auth\" in [relay.main] lists no mechanism that can carry \"token\"",
        "",
    ),
    ("[relay.main]\nhost = 'a.example'\nauth = ['plan']", ":3: \"auth\" in [relay.main] takes PLAIN", ""),
    (
        "[relay.main]\nhost = 'a.example'\nproxy = 'https://u:hunter2@p:1'",
        ":3: \"proxy\" in [relay.main] must be \"socks5://HOST:PORT\"",
        "",
    ),
    (
        "[relay.main]\nhost = 'a.example'\nfingerprint = 'sha1'",
        ":3: \"fingerprint\" in [relay.main] must be 64 hexadecimal digits",
        "",
    ),
    (
        "[relay.main]\nprovider = 'postmark'\ntls = 'implicit'\ntoken = 'hunter2'",
        ":3: \"tls\" in [relay.main] matches no known port of postmark",
        "587",
    ),
    ("deadline = 30", ":1: \"deadline\" must be a time such as \"30s\", not a number", ""),
    ("deadline = '30'", ":1: \"deadline\" must be a time such as \"30s\", \"2m\" or \"500ms\"", ""),
    ("from = 'root'", ":1: \"from\" is not an address: \"root\"", "local@domain"),
    ("sender = 'shop.example'", ":1: \"sender\" holds \"shop.example\", which is not a sender pattern", "*@domain"),
    ("other_sender = 'rewrite'\n[relay.main]\nhost = 'a.example'", ":1: other_sender = \"rewrite\" needs \"from\"", ""),
    (
        "[relay.main]\nhost = 'a.example'\n[site.a]\nrelay = ['mian']",
        ":4: \"relay\" in [site.a] names \"mian\", which this file does not define",
        "did you mean \"main\"?",
    ),
    (
        "[relay.main]\nhost = 'a.example'\n[site.a]\npath = 'www'",
        ":4: \"path\" in [site.a] holds \"www\", which is not absolute",
        "",
    ),
    (
        "[relay.main]\nhost = 'a.example'\n[site.a]\npartial = true",
        ":4: \"partial\" in [site.a] must be \"deliver\" or \"refuse\", not true or false",
        "",
    ),
    ("[relay.main]\nhost = 'a.example'\n[alias]\nroot = []", ":4: \"root\" in [alias] is empty", "leave it out"),
    ("[relay.main]\nhost = 'a.example'\n[site.a]\nuser = []", ":4: \"user\" in [site.a] is empty", ""),
    (
        "[relay.main]\nhost = 'a.example'\n[site.a]\nuser = -1",
        ":4: \"user\" in [site.a] must be a name, a number or an array of them, not a number",
        "",
    ),
    ("[site.a]\nuser = 1", ":1: no [relay.NAME] is configured", ""),
    ("", ": no [relay.NAME] is configured", "here or in a file of sites.d"),
    (
        "default_site = 'b'\n[relay.main]\nhost = 'a.example'\n[site.a]\nuser = 1",
        ":1: \"default_site\" names \"b\", which is not a site",
        "",
    ),
    (
        "default_site = 'a'\n[relay.main]\nhost = 'a.example'\n[site.a]\nuser = 1",
        ":1: \"default_site\" names \"a\", which is bound to users",
        "",
    ),
    ("[relay.main]\nhost = 'a.example'\n[alias]\nroot = '|/bin/sh'", ":4: \"root\" in [alias] holds \"|/bin/sh\"", ""),
    (
        "[relay.main]\nhost = 'a.example'\n[log]\nto = 'jornal'",
        ":4: \"to\" in [log] takes",
        "did you mean \"journal\"?",
    ),
    ("[relay.main]\nhost = 'a.example'\n[log]\nto = 'x'\nlevel = 1", ":5: unknown key \"level\" in [log]", ""),
];

/// The same of routes, which stand behind one relay from line 3 on.
const ROUTES: &[(&str, &str, &str)] = &[
    ("[[route]]\nsubjct = 'x'\nrelay = 'main'", ":4: unknown key \"subjct\" in [[route]]", "did you mean \"subject\"?"),
    (
        "[[route]]\nqqqqqqqqqqq = 'x'\nrelay = 'main'",
        ":4: unknown key \"qqqqqqqqqqq\" in [[route]]",
        "keys: subject, from,",
    ),
    (
        "[[route]]\ndeadline = '5s'\nrelay = 'main'",
        ":4: unknown key \"deadline\" in [[route]]",
        "before the first [table]",
    ),
    ("[[routes]]\nrelay = 'main'", ":3: unknown key \"routes\"", "did you mean \"route\"?"),
    ("[[rout]]\nrelay = 'main'", ":3: unknown key \"rout\"", "did you mean \"route\"?"),
    (
        "[route]\nrelay = 'main'",
        ":3: \"route\" must be an array of tables, not a table",
        "write [[route]], with two brackets",
    ),
    (
        "[site.a]\nroute = 'main'",
        ":4: \"route\" in [site.a] must be an array of tables, not a string",
        "write [[site.a.route]]",
    ),
    ("[site.a]\nroute = ['main']", ":4: \"route\" in [site.a] must be an array of tables, not a string", ""),
    ("[[route]]\nsubject = 'x'", ":3: the route names no relay", "add relay = [\"NAME\"]"),
    ("[[route]]\nrelay = []", ":4: \"relay\" in [[route]] is empty", ""),
    (
        "[[route]]\nrelay = ['mian']",
        ":4: \"relay\" in [[route]] names \"mian\", which this file",
        "did you mean \"main\"?",
    ),
    (
        "[[site.a.route]]\nrelay = 'bulk'",
        ":4: \"relay\" in [[site.a.route]] names \"bulk\"",
        "add a [relay.bulk] table",
    ),
    ("[[route]]\nrelay = 'main'\n[[route]]\nsubject = 'x'\nrelay = 'main'", ":5: this route stands behind one", "last"),
    ("[[route]]\nsubject = []\nrelay = 'main'", ":4: \"subject\" in [[route]] is empty", "say what has to hold"),
    ("[[route]]\nsubject = ''\nrelay = 'main'", ":4: \"subject\" in [[route]] holds an empty string", ""),
    ("[[route]]\nsubject = 1\nrelay = 'main'", ":4: \"subject\" in [[route]] must be a string or an array", ""),
    (
        "[[route]]\nto = 'x.org'\nrelay = 'main'",
        ":4: \"to\" in [[route]] holds \"x.org\", which is not a pattern",
        "\"*@domain\"",
    ),
    ("[[route]]\nto = '<>'\nrelay = 'main'", ":4: \"to\" in [[route]] holds \"<>\", which is not a pattern", ""),
    ("[[route]]\nfrom = '*@büch*.example'\nrelay = 'main'", ":4: \"from\" in [[route]] holds \"*@büch*.example\"", ""),
    (
        "[[route]]\nhour = '22'\nrelay = 'main'",
        ":4: \"hour\" in [[route]] holds \"22\", which is not hours such as \"22-06\"",
        "",
    ),
    ("[[route]]\nhour = 22\nrelay = 'main'", ":4: \"hour\" in [[route]] must be a string", ""),
    ("[[route]]\nlarger = '5'\nrelay = 'main'", ":4: \"larger\" in [[route]] must be a size such as \"5 MB\"", ""),
    (
        "[[route]]\nlarger = 5\nrelay = 'main'",
        ":4: \"larger\" in [[route]] must be a size such as \"5 MB\", not a number",
        "",
    ),
    (
        "[[route]]\ncwd = 'srv'\nrelay = 'main'",
        ":4: \"cwd\" in [[route]] holds \"srv\", which is not an absolute path",
        "",
    ),
    ("[[route]]\nuid = []\nrelay = 'main'", ":4: \"uid\" in [[route]] is empty", ""),
    ("[[route]]\nuid = -1\nrelay = 'main'", ":4: \"uid\" in [[route]] must be a name, a number", ""),
    (
        "[[route]]\nattachment = 1\nrelay = 'main'",
        ":4: \"attachment\" in [[route]] must be true, false or patterns",
        "",
    ),
    ("[[route]]\nheader = 'X'\nrelay = 'main'", ":4: \"header\" in [[route]] must be a table, not a string", ""),
    ("[[route]]\nheader = {}\nrelay = 'main'", ":4: \"header\" in [[route]] is empty", "X-Campaign"),
    (
        "[[route]]\nheader = { 'X Y' = '*' }\nrelay = 'main'",
        ":4: \"X Y\" in [route.header] is not the name of a header",
        "",
    ),
    (
        "[[route]]\nheader = { bcc = '*' }\nrelay = 'main'",
        ":4: \"bcc\" in [route.header] is removed before",
        "everybody who gets",
    ),
    ("[[route]]\nrelay = 'main'\n[route.not]\nrelay = 'main'", ":6: unknown key \"relay\" in [route.not]", ""),
    ("[[route]]\nrelay = 'main'\nnot = 'x'", ":5: \"not\" in [[route]] must be a table, not a string", ""),
    (
        "[[route]]\nrelay = 'main'\nstrategy = 'random'",
        ":5: \"strategy\" in [[route]] must be \"order\" or \"spread\"",
        "",
    ),
    ("weight = 0", ":3: \"weight\" in [relay.main] must be a number from 1 to 1000", ""),
    ("weight = 1.5", ":3: \"weight\" in [relay.main] must be a number, not a fraction", ""),
    ("[site.a]\nstrategy = 'none'", ":4: \"strategy\" in [site.a] must be \"order\" or \"spread\", not \"none\"", ""),
];

#[test]
fn each_mistake_has_its_sentence() {
    let routes = ROUTES
        .iter()
        .map(|(toml, sentence, hint)| (format!("[relay.main]\nhost = 'a.example'\n{toml}"), *sentence, *hint));
    let cases = CASES.iter().map(|(toml, sentence, hint)| ((*toml).to_owned(), *sentence, *hint));
    for (toml, sentence, hint) in cases.chain(routes) {
        let host = Host::new().file("etc/config.toml", &toml);
        let failure = host.load().unwrap_err();
        let shown = failure.to_string();
        let behind = shown.strip_prefix(host.path("etc/config.toml").to_str().unwrap()).unwrap_or(&shown);
        assert!(behind.starts_with(sentence), "{toml}\n  said {shown}");
        assert_eq!(failure.kind, Kind::Configuration, "{shown}");
        let given = failure.hint.unwrap_or_default();
        assert!(given.contains(hint), "{shown}\n  hinted {given}");
        assert!(!shown.contains("hunter2") && !given.contains("hunter2"), "{shown}");
    }
}
