"""SPF as others understand it: pyspf (Debian's python3-spf, from its file) and checkdmarc, both from memory.

spf.py suite FILE: the test suite of RFC 7208 as pyspf brings it, as JSON, with what pyspf itself makes of each case. One
array of scenarios: {"zone": {name: [[type, value], ...]}, "tests": {name: {...}}}; a type of "TIMEOUT" stands for a
name that nobody answers for. `lookups` is the count of pyspf (None: an error).

spf.py trees: standard input is an array of {"zone", "domain", "address"}; for each one {"verdict", "lookups"} by pyspf and
{"total"} by checkdmarc, the look-ups of the whole tree (None: it gives no number)."""

import gzip
import importlib.util
import json
import socket
import sys

import yaml

spec = importlib.util.spec_from_file_location("spf", "/usr/lib/python3/dist-packages/spf.py")
spf = importlib.util.module_from_spec(spec)
spec.loader.exec_module(spf)


def zone_of(data):
    """Records by name; SPF stands for TXT where a name has no TXT of its own (the suite's header says so)."""
    zone = {}
    for name, entries in data.items():
        records, generated, has_text = [], [], False
        for entry in entries:
            if not isinstance(entry, dict):
                records.append(["TIMEOUT", None])
                continue
            for kind, value in entry.items():
                has_text = has_text or kind == "TXT"
                if kind in ("TXT", "SPF"):
                    value = value if isinstance(value, list) else [value]
                if value == ["NONE"]:
                    continue
                (generated if kind == "SPF" else records).append(["TXT" if kind == "SPF" else kind, value])
        zone[name.lower().rstrip(".")] = records + ([] if has_text else generated)
    return zone


zone = {}


def look_up(name, kind, *_, level=0, **__):
    """In place of pyspf's questions, as its own test driver answers them."""
    labels = [label for label in name.split(".") if label]
    if any(len(label) > 63 for label in labels):
        raise spf.TempError("DNS label too long")
    found = []
    waits = True
    for found_kind, value in zone.get(".".join(labels).lower(), []):
        if found_kind == "TIMEOUT" or value == "TIMEOUT":
            if found_kind in ("TIMEOUT", kind) and waits:
                raise spf.TempError("DNS timeout")
            continue
        if found_kind == kind:
            waits = False
        shown = value
        if found_kind == "AAAA":
            shown = bytes(socket.inet_pton(socket.AF_INET6, value))
        elif found_kind == "TXT":
            shown = tuple(text.encode("utf-8") for text in value)
        elif found_kind == "MX":
            shown = tuple(value)
        found.append(((name, found_kind), shown))
        if not level and found_kind == "CNAME":
            found += look_up(value, kind, level=1)
    return found


spf.DNSLookup = look_up



def by_pyspf(address, sender, helo):
    """The verdict, and how many terms asked; no number after an error."""
    query = spf.query(i=address, s=sender, h=helo, strict=True)
    query.set_default_explanation("DEFAULT")
    verdict = query.check()[0]
    return verdict, None if verdict in ("permerror", "temperror", "none") else query.lookups


def suite(file):
    global zone
    scenarios = []
    for scenario in yaml.safe_load_all(gzip.open(file)):
        zone = zone_of(scenario["zonedata"])
        for test in scenario["tests"].values():
            test["lookups"] = by_pyspf(test["host"], test["mailfrom"], test["helo"])[1]
        scenarios.append({"zone": zone, "tests": scenario["tests"]})
    return scenarios


def trees():
    global zone
    import checkdmarc.spf
    import checkdmarc.utils
    import dns.rdata
    import dns.resolver

    def resolve(name, kind, **_):
        """In place of checkdmarc's questions."""
        if name.lower() not in zone:
            raise dns.resolver.NXDOMAIN()
        values = [value for found, value in zone[name.lower()] if found == kind]
        if not values:
            raise dns.resolver.NoAnswer(response=dns.message.make_response(dns.message.make_query(name, kind)))
        text = {"TXT": lambda value: json.dumps(value[0]), "MX": lambda value: "%d %s." % tuple(value)}.get(kind, str)
        return [dns.rdata.from_text("IN", kind, text(value)) for value in values]

    checkdmarc.utils._resolve_with_failover = resolve
    judged = []
    for tree in json.load(sys.stdin):
        zone = tree["zone"]
        domain = tree["domain"]
        verdict, lookups = by_pyspf(tree["address"], "a@" + domain, domain)
        records = [value[0] for kind, value in zone[domain] if kind == "TXT"]
        try:
            parsed = checkdmarc.spf.parse_spf_record(records[0], domain, ignore_too_many_lookups=True)
            total = None if parsed.get("error") else parsed["dns_lookups"]
        except checkdmarc.spf.SPFError:
            total = None
        judged.append({"verdict": verdict, "lookups": lookups, "total": total})
    return judged


json.dump(suite(sys.argv[2]) if sys.argv[1] == "suite" else trees(), sys.stdout, default=str)
