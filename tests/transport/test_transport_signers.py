"""Who signs what: as far as it can be said without the libraries that do it."""

from __future__ import annotations

import sys

import pytest

from deluge.errors import ConfigError
from deluge.transport._aws import AwsSigner, scope
from deluge.transport.signers import signers
from deluge.wire import HttpCall


def call(url: str, **headers: str) -> HttpCall:
    return HttpCall("POST", url, headers, b"{}", sign="aws", sign_args={"service": "bedrock"})


@pytest.mark.parametrize("url, wanted", [
    ("https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse", ("bedrock", "eu-west-1")),
    ("https://bedrock-runtime-fips.us-gov-west-1.amazonaws.com/x", ("bedrock", "us-gov-west-1")),
    ("https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1/chat/completions", ("bedrock", "us-west-2")),
    ("https://bedrock-mantle.us-east-2.api.aws/openai/v1/chat/completions", ("bedrock-mantle", "us-east-2")),
    ("https://vpce-0a-1b.bedrock-runtime.ap-southeast-2.vpce.amazonaws.com/x", ("bedrock", "ap-southeast-2")),
    ("https://bedrock-runtime.cn-north-1.amazonaws.com.cn/x", ("bedrock", "cn-north-1")),
    ("http://127.0.0.1:8080/model/m/converse", ("bedrock", "sa-east-1")),
    ("https://notbedrock.example/bedrock-runtime.eu-west-1.amazonaws.com", ("bedrock", "sa-east-1")),
])
def test_what_a_signature_is_for(url: str, wanted: tuple[str, str]) -> None:
    assert scope(call(url), "sa-east-1") == wanted


def test_the_users_own_authorization_stays() -> None:
    assert AwsSigner()(call("https://h.example", Authorization="Bearer mine")) == {}


def test_without_botocore_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore", None)
    with pytest.raises(ConfigError, match=r"deluge-llm\[aws\]"):
        AwsSigner()(call("https://h.example"))


def test_signers_by_name() -> None:
    found = signers()
    assert found.keys() == {"aws", "google"} and repr(found["aws"]) == "<AwsSigner not used yet>"
