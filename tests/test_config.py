from __future__ import annotations

from pathlib import Path

import pytest

from fileflux.config import Setting, load, read_file
from fileflux.errors import ConfigError

pytestmark = pytest.mark.unit

SETTINGS = (
    Setting("hub"),
    Setting("token", secret=True),
    Setting("workers", "integer", 2),
    Setting("fast", "boolean", default=False),
    Setting("read", "list", ()),
    Setting("limits", "table", {}),
)


def resolve(tmp_path, *, flags=None, environment=None, file=None, name="c.yaml"):
    path = None
    if file is not None:
        path = tmp_path / name
        path.write_text(file)
    return load(SETTINGS, prefix="X", flags=flags or {}, environment=environment or {}, file=path)


def test_flag_goes_before_environment_before_file_before_default(tmp_path):
    layers = {"flags": {"workers": 5}, "environment": {"X_WORKERS": "4"}, "file": "workers: 3\n"}
    values = []
    for gone in (None, "flags", "environment", "file"):
        layers.pop(gone, None)
        loaded = resolve(tmp_path, **layers)
        values.append((loaded.values["workers"], loaded.origins["workers"].split()[0]))
    assert values == [(5, "flag"), (4, "environment"), (3, "file"), (2, "default")]


def test_a_secret_comes_from_its_file(tmp_path):
    secret = tmp_path / "token"
    secret.write_text("ffx_abc\n")
    assert resolve(tmp_path, environment={"X_TOKEN_FILE": str(secret)}).values["token"] == "ffx_abc"
    assert resolve(tmp_path, file=f"token_file: {secret}\n").values["token"] == "ffx_abc"


def test_a_secret_given_twice_at_one_place_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="give one"):
        resolve(tmp_path, flags={"token": "a", "token_file": "b"})


def test_lists_and_tables_of_the_environment(tmp_path):
    loaded = resolve(tmp_path, environment={"X_READ": "/a:/b", "X_LIMITS_PING_INTERVAL": "3"})
    assert loaded.values["read"] == ("/a", "/b")
    assert loaded.values["limits"] == {"ping_interval": "3"}


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("wrokers: 3", "did you mean 'workers'"),
        ("workers: true", "must be a integer"),
        ("workers: 3.5", "must be a integer"),
        ("workers: [1]", "must be a integer"),
        ("hub: yes", "must be a text"),
        ("hub: 8040", "must be a text"),
        ("fast: maybe", "must be a boolean"),
        ("read: /a", "must be a list"),
        ("workers: 3\nworkers: 4", "line 2.*twice"),
        ("a: &x [1]\nhub: *x", "aliases are not allowed"),
        ("hub: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("hub: 'open", "line"),
        ("\thub: x", "line 1"),
        ("- a\n- b", "must hold keys"),
        ("? [1]\n: 2", "twice"),
    ],
)
def test_bad_yaml_is_one_clear_line(tmp_path, file, message):
    with pytest.raises(ConfigError, match=message) as caught:
        resolve(tmp_path, file=file)
    assert "\n" not in str(caught.value)


def test_bad_toml_names_the_line(tmp_path):
    with pytest.raises(ConfigError, match="line 1"):
        resolve(tmp_path, file="workers = = 3", name="c.toml")


def test_toml_is_read(tmp_path):
    assert resolve(tmp_path, file='hub = "h"\n[limits]\nping_interval = 3', name="c.toml").values["limits"] == {
        "ping_interval": 3
    }


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot read"):
        read_file(tmp_path / "none.yaml")


def test_a_file_that_is_far_too_large(tmp_path):
    path = tmp_path / "big.yaml"
    path.write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(ConfigError, match="larger"):
        read_file(path)


def test_an_empty_secret_file(tmp_path):
    (tmp_path / "t").write_text("\n")
    with pytest.raises(ConfigError, match="empty"):
        resolve(tmp_path, flags={"token_file": str(tmp_path / "t")})


def test_every_file_that_is_named_is_told(tmp_path):
    assert resolve(tmp_path).files == ()
    (tmp_path / "one").write_text("1")
    loaded = resolve(
        tmp_path,
        flags={"token_file": str(tmp_path / "one")},
        environment={"X_TOKEN_FILE": "/two"},
        file="token_file: three\nhub: h\n",
    )
    assert loaded.values["token"] == "1"
    assert loaded.files == (tmp_path / "c.yaml", tmp_path / "one", Path("/two"), Path("three"))
