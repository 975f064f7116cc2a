"""Every model of conf/model/ trains, is saved in canonical bytes, and is loaded with care."""

import functools
import importlib.util
import io
import json
import re
import sys
import zipfile

import numpy as np
import pytest
from modelbook import training

from .conftest import PROJECT

#: The package that each model comes from. Those that are not installed here are asked for what to type.
PACKAGES = {
    file.stem: re.search(r"_target_: (\w+)", file.read_text(encoding="utf-8"))[1]
    for file in sorted((PROJECT / "conf" / "model").glob("*.yaml"))
}
MODELS = [name for name, package in PACKAGES.items() if importlib.util.find_spec(package)]


@pytest.fixture(autouse=True)
def _in_the_project(generated, monkeypatch):
    """Work where `trusted_types.txt` lists the types of the models that bring a package."""
    monkeypatch.chdir(generated)


@pytest.fixture(scope="session")
def fit(generated, fitted, table, columns):
    """Return a function that fits a model of conf/model/ to the small table, once."""

    @functools.cache
    def fitter(name):
        composed = training.compose.compose(generated / "conf", (f"model={name}",))
        return fitted(table, columns, training.compose.check(composed))

    return fitter


@pytest.mark.parametrize("name", MODELS)
def test_saved_and_loaded_it_predicts_the_same(table, columns, fit, name):
    model = fit(name)
    content = training.model_file.to_bytes(model)
    loaded = training.model_file.from_bytes(content, "model.skops")
    described = training.interface.describe(table, columns, loaded, training.model_file.describe(content))
    golden = training.interface.golden(table, columns, loaded)
    training.interface.replay(model, described, golden)
    assert training.model_file.to_bytes(model) == content
    json.dumps([described, golden], allow_nan=False)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_a_model_whose_package_is_missing_says_what_to_type(generated, refused, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    composed = training.compose.compose(generated / "conf", (f"model={name}",))
    with refused(f"conf/model/{name}.yaml: _target_ '{name}", f"fix: uv add {name} "):
        training.compose.check(composed)
    estimator = composed.values["model"]["estimator"]["_target_"].rpartition(".")[2]
    needed = {f"{name}.sklearn.{estimator}", *training.trust.HELD[f"{name}."]}
    assert needed <= training.trust.listed(generated / "trusted_types.txt")


@pytest.fixture(scope="session")
def saved(fit):
    content = training.model_file.to_bytes(fit(MODELS[0]))
    return content, training.model_file.describe(content)


def test_canonical_bytes_do_not_hang_on_addresses_names_dates_or_compression(saved):
    content, _ = saved
    source = zipfile.ZipFile(io.BytesIO(content))
    schema = source.read("schema.json").decode()
    shifted = json.loads(schema, object_hook=_shift)
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w", zipfile.ZIP_STORED) as archive:
        for name in reversed(source.namelist()[1:]):
            archive.writestr("renamed-" + name, source.read(name))
        archive.writestr("schema.json", json.dumps(shifted, indent=2))
    assert training.model_file.canonical(other.getvalue()) == content


def _shift(node):
    if "__id__" in node:
        node["__id__"] += 140_000_000
    if "__loader__" in node and isinstance(node.get("file"), str):
        node["file"] = "renamed-" + node["file"]
    return node


def test_only_what_shrinks_is_compressed():
    """Weights would take seconds to unpack, and no less room."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    scaler.mean_ = np.random.default_rng(0).normal(size=200_000)
    scaler.var_ = np.zeros(200_000)
    content = training.model_file.to_bytes(scaler)
    members = [m for m in zipfile.ZipFile(io.BytesIO(content)).infolist() if m.file_size > 1_000_000]
    assert sorted(member.compress_type for member in members) == [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]
    assert len(content) < 1.01 * scaler.mean_.nbytes
    loaded = training.model_file.from_bytes(content, "model.skops")
    np.testing.assert_array_equal(loaded.mean_, scaler.mean_)
    np.testing.assert_array_equal(loaded.var_, scaler.var_)


def test_a_changed_file_is_refused_before_it_is_opened(saved, tmp_path, refused):
    content, expected = saved
    path = tmp_path / "model.skops"
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with refused("is not the file that was trained", "dvc checkout"):
        training.model_file.load(path, expected)


def test_a_missing_file_is_refused(saved, tmp_path, refused):
    with refused("is missing", "dvc checkout"):
        training.model_file.load(tmp_path / "model.skops", saved[1])


def test_another_version_of_scikit_learn_is_refused(saved, tmp_path, refused):
    content, expected = saved
    path = tmp_path / "model.skops"
    path.write_bytes(content)
    with refused("written with scikit-learn 0.1"):
        training.model_file.load(path, expected | {"scikit-learn": "0.1"})
    training.model_file.load(path, expected)


@pytest.mark.parametrize(
    ("package", "said", "fix"),
    [
        ("wheel_of_others", "does not find here: wheel_of_others", "folder of the project that trained it"),
        ("email", "nobody has reviewed: email.Stranger", "trusted_types.txt:\n +email.Stranger"),
    ],
)
def test_a_type_that_nobody_reviewed_or_that_is_not_here_is_refused(refused, package, said, fix):
    import skops.io

    class Stranger:
        pass

    Stranger.__module__, Stranger.__qualname__ = package, "Stranger"
    stranger = Stranger()
    stranger.value = 1
    with refused(said, fix):
        training.model_file.from_bytes(skops.io.dumps(stranger), "model.skops")


def test_the_arrays_of_a_model_are_unpacked_once(saved, monkeypatch):
    """Weights of a large model take longer to unpack than all else; the types stand in the schema."""
    content, _ = saved
    read = []
    whole = zipfile.ZipFile.read

    def noted(archive, name, *others):
        data = whole(archive, name, *others)
        if data and name != "schema.json":
            read.append(name)
        return data

    monkeypatch.setattr(zipfile.ZipFile, "read", noted)
    training.model_file.from_bytes(content, "model.skops")
    assert read
    assert len(read) == len(set(read))


def test_golden_rows_catch_another_model(table, columns, fit, refused):
    models = [fit(name) for name in MODELS if name != "baseline"]
    golden = training.interface.golden(table, columns, models[0])
    described = training.interface.describe(table, columns, models[0], {})
    key = "probabilities" if "probabilities" in golden else "predictions"
    golden[key][3] = np.add(golden[key][3], 0.01).tolist()
    with refused("golden row 3", "answered"):
        training.interface.replay(models[0], described, golden)


def test_rows_as_json_are_taken(columns, fit):
    features = training.columns.features(columns)
    row = {"size": 1, "count": None, "alive": True, "place": "nowhere", "day": "2024-05-01", "more": "ignored"}
    frame = training.columns.frame(row, features)
    assert len(fit(MODELS[0]).predict(frame)) == 1


def test_rows_that_do_not_fit_are_refused(columns, refused):
    features = training.columns.features(columns)
    row = {"size": 1, "count": None, "alive": True, "place": "x", "day": "2024-05-01"}
    with refused("this column is missing: day"):
        training.columns.frame({k: v for k, v in row.items() if k != "day"}, features)
    with refused("row 1, column 'size': 'large' is not a number"):
        training.columns.frame(row | {"size": "large"}, features)
    with refused(r"row 1, column 'alive': '1' is not a boolean \(true or false\)"):
        training.columns.frame(row | {"alive": "1"}, features)


def test_a_table_that_prepare_did_not_write_is_refused(table, columns, refused):
    with refused("test.parquet does not have the columns"):
        training.columns.validate(table.drop(columns="size"), columns, "test.parquet")
    training.columns.validate(table, columns, "test.parquet")
