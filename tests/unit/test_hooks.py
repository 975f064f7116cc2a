"""What our own hooks look for: credentials, in words and options that others decide about."""

import re

import pytest
from modelbook.cli import hooks

#: Options that name a place, a person or a way to ask, and give no access by themselves.
HARMLESS = {
    "ask_passphrase",
    "ask_password",
    "bearer_token_command",
    "credentialpath",
    "exclude_environment_credential",
    "exclude_managed_identity_credential",
    "exclude_shared_token_cache_credential",
    "exclude_visual_studio_code_credential",
    "gdrive_user_credentials_file",
    "key_path",
    "keyfile",
    "sse_kms_key_id",
}


def test_every_option_of_dvc_that_sounds_like_a_credential_is_known():
    from dvc.config_schema import REMOTE_SCHEMAS

    options = {str(option) for schema in REMOTE_SCHEMAS.values() for option in schema}
    sounding = {
        o for o in options if re.search("key|secret|password|passphrase|token|credential|connection_str|auth_", o)
    }
    assert sounding - HARMLESS == hooks.CREDENTIALS


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "[core]\n  remote = a\n['remote \"my store\"']\n  url = s3://b\n  password = x\n",
            [("5", "my store", "password")],
        ),
        ('["remote \\"a\\""]\n', []),
        ('[remote "a"]\n    token=x\n[cache]\n    password = y\n', [("2", "a", "token")]),
        (
            "['remote \"a\"']\n    password =\n    user = me\n    secret_access_key = ${KEY}\n",
            [("4", "a", "secret_access_key")],
        ),
    ],
)
def test_credentials_are_found_under_the_remote_that_has_them(tmp_path, monkeypatch, text, found):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(text, encoding="utf-8")
    told = [problem.what for problem in hooks.secrets([".dvc/config"])]
    assert told == [f".dvc/config, line {n}: {key} of the remote {r} is a credential" for n, r, key in found]


def test_text_that_only_looks_like_an_address_with_a_password_is_left_alone(tmp_path):
    file = tmp_path / "x.md"
    file.write_text(
        "https://${USER}:${PASSWORD}@host http://<user>:<password>@host https://host:8080/a@b http://a/b:c@d\n",
        encoding="utf-8",
    )
    assert not list(hooks.secrets([str(file)]))


def test_a_key_at_the_end_of_a_binary_file_is_found(tmp_path):
    file = tmp_path / "x.bin"
    file.write_bytes(b"\xff\x00\n" * 3 + b"hf_" + b"aB" * 17)
    assert [problem.what for problem in hooks.secrets([str(file)])] == [f"{file}, line 4: a Hugging Face token"]
