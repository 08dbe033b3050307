"""Which service it is, where, and with whose key."""

import pytest

from overlay import Client, ConfigurationError
from overlay.services import ServiceProfile, known_services, service_at, service_named

NAMES = list(known_services())
WITH_A_PLACE = [name for name in NAMES if service_named(name).base_url]
OWN = [name for name in NAMES if not service_named(name).base_url]


def made(**options):
    with Client(**options) as client:
        return client._settings


@pytest.mark.parametrize("name", WITH_A_PLACE)
def test_a_name_is_enough(name, monkeypatch):
    profile = service_named(name)
    monkeypatch.setenv(profile.key_variable, "key-of-the-service")
    settings = made(service=name)
    assert (settings.base_url, settings.service) == (profile.base_url, profile)
    assert settings.tokens.identity == "key-of-the-service"


@pytest.mark.parametrize("name", WITH_A_PLACE)
def test_the_host_of_a_base_url_is_enough(name, monkeypatch):
    profile = service_named(name)
    monkeypatch.setenv(profile.key_variable, "key-of-the-service")
    settings = made(base_url=f"{profile.base_url.upper().replace('/V1', '/v1')}/")
    assert settings.service is profile
    assert settings.tokens.identity == "key-of-the-service"


@pytest.mark.parametrize("name", OWN)
def test_where_each_user_has_their_own_a_base_url_is_asked_for(name, monkeypatch):
    profile = service_named(name)
    monkeypatch.setenv(profile.key_variable, "key-of-the-service")
    with pytest.raises(ConfigurationError, match=r"base_url="):
        made(service=name)
    assert made(service=name, base_url="https://batches.example/v1").service is profile
    monkeypatch.setenv("OPENAI_BASE_URL", "https://batches.example/v1")
    assert made(service=name).base_url == "https://batches.example/v1"


@pytest.mark.parametrize("name", [name for name in NAMES if name != "openai"])
def test_the_key_of_openai_goes_to_no_service_that_is_named(name, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    with pytest.raises(ConfigurationError, match=f"set {service_named(name).key_variable}"):
        made(service=name, base_url="https://batches.example/v1")
    monkeypatch.setenv("OVERLAY_SERVICE", name)
    with pytest.raises(ConfigurationError, match=f"set {service_named(name).key_variable}"):
        made(base_url="https://batches.example/v1")


def test_the_key_of_openai_goes_to_a_host_that_is_all_that_was_named(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-openai")
    assert made(base_url="https://api.groq.com/openai/v1").tokens.identity == "sk-of-openai"
    monkeypatch.setenv("GROQ_API_KEY", "gsk-of-groq")
    assert made(base_url="https://api.groq.com/openai/v1").tokens.identity == "gsk-of-groq"
    assert made(base_url="https://batches.example/v1").tokens.identity == "sk-of-openai"


def test_a_key_of_another_service_does_not_go_where_openais_variable_points(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    monkeypatch.setenv("TOGETHER_API_KEY", "key-of-together")
    assert made(service="together").base_url == "https://api.together.xyz/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "https://api.together.ai/v1")
    assert made(service="together").base_url == "https://api.together.ai/v1"


def test_openai_named_goes_where_its_variable_points(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "https://gateway.example/v1")
    settings = made(service="openai", token="t")
    assert (settings.base_url, settings.service.name) == ("https://gateway.example/v1", "openai")


def test_the_environment_names_a_service_and_the_argument_another(monkeypatch):
    monkeypatch.setenv("OVERLAY_SERVICE", "groq")
    assert made(token="t").service.name == "groq"
    assert made(token="t", service="nebius").service.name == "nebius"
    monkeypatch.setenv("OVERLAY_SERVICE", "gorq")
    with pytest.raises(ConfigurationError, match="there is no service 'gorq'; did you mean groq"):
        made(token="t")


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://me.openai.azure.com/openai/v1", "azure"),
        ("https://me.services.ai.azure.com/openai/v1", "azure"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://API.OPENAI.COM./v1", "openai"),
        ("https://api.openai.com.evil.example/v1", "other"),
        ("https://notapi.groq.com/v1", "other"),
        ("https://openai.azure.com.example/v1", "other"),
        ("http://127.0.0.1:8000/v1", "other"),
        ("http://[::1/v1", "other"),
        ("", "other"),
    ],
)
def test_hosts(url, name):
    assert service_at(url).name == name


def test_a_profile_of_your_own():
    own = ServiceProfile(
        name="ours", base_url="https://batches.example/v1", key_variable="OURS", windows=("1h",)
    )
    settings = made(service=own, token="t")
    assert (settings.base_url, settings.service) == ("https://batches.example/v1", own)
    assert own.window == "1h"


@pytest.mark.parametrize("odd", ["", " ", "OpenAI ", "GROQ"])
def test_names_are_read_leniently_and_none_is_none(odd, monkeypatch):
    monkeypatch.setenv("GROQ_API_KEY", "k")
    if odd.strip():
        assert service_named(odd).name == odd.strip().lower()
    elif odd:
        with pytest.raises(ConfigurationError, match="there is no service"):
            made(token="t", service=odd)
    else:
        assert made(token="t", service=odd).service.name == "openai"


@pytest.mark.parametrize("name", NAMES)
def test_a_profile_says_who_says_so(name):
    profile = service_named(name)
    assert profile.source.startswith("https://")
    assert profile.read == "2026-11"
    assert profile.windows
    assert profile.title
    assert service_at(profile.base_url or "https://x.openai.azure.com").name == (
        name if profile.base_url else "azure"
    )
