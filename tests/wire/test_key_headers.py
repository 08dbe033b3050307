"""Where a key goes: a bearer token, or the service's own header; what an identity provider issues is a bearer."""

import pytest
from support.raw_server import answer

JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"


def headers_of(raw_server, connect, token, **options):
    server = raw_server(lambda request: answer({"id": "batch_1", "status": "completed"}))
    connect(server.base_url, token=token, **options).batches.retrieve("batch_1")
    return server.received[0].headers


@pytest.mark.parametrize("token", ["a-key-of-azure", "eyJ.not", "a.b.c"])
def test_a_key_of_azure_goes_into_its_own_header(raw_server, connect, token):
    sent = headers_of(raw_server, connect, token, service="azure")
    assert sent["api-key"] == token
    assert "authorization" not in sent


@pytest.mark.parametrize("given", [JWT, lambda: JWT])
def test_a_token_of_entra_is_a_bearer_token(raw_server, connect, given):
    sent = headers_of(raw_server, connect, given, service="azure")
    assert sent["authorization"] == f"Bearer {JWT}"
    assert "api-key" not in sent


@pytest.mark.parametrize(
    ("service", "header", "value"),
    [
        ("openai", "authorization", "Bearer the-key-123"),
        ("portkey", "x-portkey-api-key", "the-key-123"),
        ("groq", "authorization", "Bearer the-key-123"),
    ],
)
def test_each_service_has_its_header(raw_server, connect, service, header, value):
    assert headers_of(raw_server, connect, "the-key-123", service=service)[header] == value


def test_a_renewed_key_replaces_the_old_one(raw_server, connect):
    keys = iter(["old-key-12345", "new-key-12345"])

    def script(request):
        if request.headers["api-key"].startswith("old"):
            return answer({"error": "expired"}, 401)
        return answer({"id": "batch_1"})

    server = raw_server(script)
    api = connect(server.base_url, token=lambda: next(keys), service="azure")
    assert api.batches.retrieve("batch_1").id == "batch_1"
    assert [each.headers["api-key"][:3] for each in server.received] == ["old", "new"]
