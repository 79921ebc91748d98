"""Rooms are found by name; one new file, or one registration, adds another."""

import sys
import textwrap

import pytest

import deluge.dialects
import deluge.models.catalog
from deluge import _plugins
from deluge.errors import ConfigError
from deluge.models import registry


@pytest.fixture
def new_file(tmp_path):
    """Writes one file as if it lay in the folder of a package, and takes it away again."""
    changed = []

    def write(package, name, text):
        folder = tmp_path / package.__name__
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
        package.__path__.append(str(folder))
        changed.append((package, str(folder), f"{package.__name__}.{name}"))

    yield write
    for package, folder, module in changed:
        package.__path__.remove(folder)
        sys.modules.pop(module, None)
        registry.forget_catalog(module.rpartition(".")[2])


def test_a_dialect_is_one_new_file(new_file):
    new_file(deluge.dialects, "telegraph", "DIALECT = 'dot dash'")
    assert "telegraph" in _plugins.names("dialects")
    assert "deluge.dialects.telegraph" not in sys.modules
    assert _plugins.load("dialects", "telegraph") == "dot dash"


def test_a_provider_is_one_new_file(new_file):
    new_file(deluge.models.catalog, "acme_ai", """
        from deluge.models.model import Provider
        from deluge.models.rows import rows_of

        PROVIDER = Provider("acme-ai", "https://api.acme.example/v1", key_env=("ACME_API_KEY",), aliases=("acme-corp",))
        MODELS = (rows_of(PROVIDER)("acme-large", "", input=1.0, output=2.0, flags="supports_tools"),)
    """)
    assert registry.get_model("acme-large").provider.name == "acme-ai"
    assert registry.resolve("acme-large-high")[1] == "high"
    assert registry.get_model("acme-corp:small").name == "small"
    assert "acme-large" in {model.id for model in registry.models()}


def test_registered_things_win_and_can_be_taken_back():
    thing = object()
    _plugins.register("caches", "my-cache", thing)
    try:
        assert _plugins.load("caches", "my-cache") is thing and _plugins.load("caches", "my_cache") is thing
        assert "my_cache" in _plugins.names("caches")
    finally:
        _plugins.unregister("caches", "my-cache")
    with pytest.raises(ConfigError, match="deluge.caches has no 'my-cache'"):
        _plugins.load("caches", "my-cache")


def test_an_installed_package_adds_a_display(tmp_path, monkeypatch):
    (tmp_path / "a_blinking_display.py").write_text("DISPLAY = 'blink'", encoding="utf-8")
    info = tmp_path / "a_blinking_display-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: a_blinking_display\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[deluge.progress]\nblink = a_blinking_display:DISPLAY\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "blink" in _plugins.names("progress")
    assert _plugins.load("progress", "blink") == "blink"
    _plugins.unregister("progress", "blink")


@pytest.mark.parametrize("name", ["nothing", "_parts", "", "a.b", "../x", "__init__"])
def test_missing_names_list_what_there_is(name):
    with pytest.raises(ConfigError, match="there are: .*openai_chat"):
        _plugins.load("dialects", name)


def test_a_kind_that_does_not_exist():
    assert _plugins.names("horoscopes") == ()
    with pytest.raises(ConfigError, match="there are: none"):
        _plugins.load("horoscopes", "aries")


def test_a_file_without_its_constant_or_with_a_broken_import_says_so(new_file):
    new_file(deluge.dialects, "mute", "X = 1")
    new_file(deluge.dialects, "broken", "import a_package_that_is_not_there")
    with pytest.raises(ConfigError, match="does not end in DIALECT"):
        _plugins.load("dialects", "mute")
    with pytest.raises(ModuleNotFoundError, match="a_package_that_is_not_there"):
        _plugins.load("dialects", "broken")


def test_room():
    assert _plugins.room("models.registry") is registry


def test_the_names_of_the_room_are_loaded_when_asked_for():
    import deluge.models as models

    assert all(getattr(models, name) for name in models.__all__)
    assert models.get_model is registry.get_model
    with pytest.raises(AttributeError):
        models.nothing
