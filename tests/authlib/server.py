"""An authorization server and a protected API made of Authlib: the protocol as somebody else understands it.

The person at the browser agrees to everything. Says its port on standard output; all it knows ends with it.
"""

import os
import secrets
import time

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2.rfc6749 import AuthorizationCodeMixin, ClientMixin, TokenMixin, grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint, DeviceCodeGrant, DeviceCredentialDict
from flask import Flask, request
from werkzeug.serving import make_server

PERSON = "shop@example.com"
SEND = "https://graph.microsoft.com/Mail.Send"


class Client(ClientMixin):
    client_id = "app"

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return " ".join(word for word in scope.split() if word in (SEND, "offline_access"))

    def check_redirect_uri(self, redirect_uri):
        # Any port of the loopback interface (RFC 8252, 7.3).
        return redirect_uri.rsplit(":", 1)[0] in ("http://localhost", "http://127.0.0.1")

    def check_client_secret(self, client_secret):
        return False

    def check_endpoint_auth_method(self, method, endpoint):
        return method == "none"

    def check_response_type(self, response_type):
        return response_type == "code"

    def check_grant_type(self, grant_type):
        return True


class Kept:
    """Something given out, with the fields it was given out with."""

    def __init__(self, **fields):
        self.__dict__.update(fields)


class Code(Kept, AuthorizationCodeMixin):
    def get_redirect_uri(self):
        return self.redirect_uri

    def get_scope(self):
        return self.scope


class Token(Kept, TokenMixin):
    revoked = False

    def check_client(self, client):
        return client.client_id == "app"

    def get_scope(self):
        return self.scope

    def get_expires_in(self):
        return self.expires_in

    def is_expired(self):
        return self.issued + self.expires_in < time.time()

    def is_revoked(self):
        return self.revoked

    def get_user(self):
        return PERSON

    def get_client(self):
        return CLIENT


CLIENT = Client()
codes, devices, tokens, agreed = {}, {}, [], set()


class CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]

    def save_authorization_code(self, code, request):
        data = request.payload.data
        fields = {name: data.get(name) for name in ("code_challenge", "code_challenge_method", "redirect_uri")}
        codes[code] = Code(code=code, scope=request.payload.scope, **fields)

    def query_authorization_code(self, code, client):
        return codes.get(code)

    def delete_authorization_code(self, authorization_code):
        del codes[authorization_code.code]

    def authenticate_user(self, authorization_code):
        return PERSON


class RefreshGrant(grants.RefreshTokenGrant):
    INCLUDE_NEW_REFRESH_TOKEN = True
    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]

    def authenticate_refresh_token(self, refresh_token):
        return next((token for token in tokens if token.refresh_token == refresh_token and not token.revoked), None)

    def authenticate_user(self, refresh_token):
        return PERSON

    def revoke_old_credential(self, refresh_token):
        refresh_token.revoked = True


class DeviceGrant(DeviceCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["none"]

    def query_device_credential(self, device_code):
        return devices.get(device_code)

    def query_user_grant(self, user_code):
        return (PERSON, True) if user_code in agreed else None

    def should_slow_down(self, credential):
        # Whoever asks twice within what was agreed, with a little for the way.
        now, before = time.monotonic(), credential.get("asked", 0)
        credential["asked"] = now
        return now - before < 0.9


class DeviceEndpoint(DeviceAuthorizationEndpoint):
    CLIENT_AUTH_METHODS = ["none"]
    INTERVAL = 1

    def get_verification_uri(self):
        return request.host_url + "agree"

    def save_device_credential(self, client_id, scope, data):
        fields = {"client_id": client_id, "scope": scope, "expires_at": time.time() + data["expires_in"]}
        devices[data["device_code"]] = DeviceCredentialDict(user_code=data["user_code"], **fields)


class Validator(BearerTokenValidator):
    def authenticate_token(self, token_string):
        return next((token for token in tokens if token.access_token == token_string), None)


def save_token(token, request):
    scope = token.get("scope", "")
    fields = {name: token.get(name) for name in ("access_token", "refresh_token", "expires_in")}
    tokens.append(Token(scope=scope, issued=time.time(), **fields))


app = Flask(__name__)
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = lambda *_, **__: secrets.token_urlsafe(48)
server = AuthorizationServer(app, query_client=lambda client_id: CLIENT if client_id == "app" else None, save_token=save_token)
server.register_grant(CodeGrant, [CodeChallenge(required=True)])
server.register_grant(RefreshGrant)
server.register_grant(DeviceGrant)
server.register_endpoint(DeviceEndpoint)
protected = ResourceProtector()
protected.register_token_validator(Validator())


@app.get("/authorize")
def authorize():
    grant = server.get_consent_grant(end_user=PERSON)
    return server.create_authorization_response(grant_user=PERSON, grant=grant)


@app.post("/device")
def device():
    return server.create_endpoint_response(DeviceEndpoint.ENDPOINT_NAME)


@app.get("/agree")
def agree():
    agreed.add(request.args["user_code"])
    return "agreed"


@app.post("/token")
def token():
    return server.create_token_response()


@app.post("/me/sendMail")
@protected(SEND)
def send():
    return "", 202, {"request-id": secrets.token_hex(8)}


if __name__ == "__main__":
    running = make_server("127.0.0.1", 0, app, threaded=True)
    print(running.port, flush=True)
    running.serve_forever()
