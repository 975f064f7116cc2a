"""The tables of a pipeline: raw rows come in, are checked and split, and each later stage reads its part.

The first public functions that a stage calls: `raw` and `prepare` in a project
of the template, `write` in a pipeline that splits its rows itself, and `read`
in both.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pandas.api import types

from .. import settings
from ..errors import ProjectError
from ..settings import ColumnType, Config, Data
from . import columns, inputs, interface, spelling, table
from .columns import Column, Reading
from .rows import Rows as RawRows
from .table import Table

#: Where the prepared rows lie, unless a stage says otherwise.
PREPARED = Path("data/prepared")


@dataclass(frozen=True)
class Rows:
    """Prepared rows of one part.

    Attributes
    ----------
    table : DataFrame of shape (n_rows, n_features + 1)
        Features and target: `number` and `boolean` as float64, `date` as
        datetime64[us] in UTC, `category` as object; what is missing is NaN or NaT.
    all_columns : list of Column
        How each of these columns is called and typed.
    file : Path or None
        Where they lie.
    """

    table: pd.DataFrame
    all_columns: list[Column]
    file: Path | None = None

    @property
    def columns(self) -> list[Column]:
        """The features, with name and type, in the order of `X`."""
        return columns.features(self.all_columns)

    @property
    def X(self) -> pd.DataFrame:  # noqa: N802 (what scikit-learn calls it)
        """The features, shape (n_rows, n_features)."""
        return self.table[[column.name for column in self.columns]]

    @property
    def y(self) -> "pd.Series[Any]":
        """The target, shape (n_rows,): class labels as text, or numbers."""
        return self.table[columns.target(self.all_columns).name]

    def left_out(self, name: str) -> "pd.Series[Any]":
        """Return a column of these rows that is no feature, such as an id or a weight.

        Parameters
        ----------
        name : str
            Listed in `id` or `leave_out` in conf/data/.

        Returns
        -------
        Series of shape (n_rows,)
        """
        beside = self.file and self.file.parent / "left_out" / self.file.name
        if not (beside and name in pq.read_schema(beside).names):
            raise ProjectError(
                f"{beside or 'the table'} has no column {name!r}",
                "it is looked for among the columns that the model does not see",
                f"add {name} to `leave_out` in conf/data/",
            )
        return pd.read_parquet(beside, columns=[name])[name].loc[self.table.index]


def raw(data: Data) -> Table:
    """Read the raw table that `conf/data/` names: CSV or Parquet files, typed column by column.

    Parameters
    ----------
    data : Data
        `settings.data`.

    Returns
    -------
    Table
        For `prepare`. `Table.raw` holds the rows as the files do (a pyarrow.Table).
    """
    return table.read(data, f"conf/data/{data.name}.yaml")


def prepare(rows: Table | pd.DataFrame | pa.Table, settings: Config) -> None:
    """Check the raw rows, split them, and write each part to `data/prepared/`.

    Parameters
    ----------
    rows : Table, DataFrame or pyarrow.Table
        As `raw` returns them, or rows that your own code made: from a database, or joined
        from several tables. Their index is dropped.
    settings : Config

    Examples
    --------
    >>> tables.prepare(tables.raw(settings.data), settings)  # doctest: +SKIP
    """
    from . import prepare as preparing

    inputs.expect_check()
    if not isinstance(rows, Table):
        rows = table.of(rows, settings.data, f"conf/data/{settings.data.name}.yaml")
    preparing.write(preparing.prepare(rows, settings.data, settings.task, settings.split), PREPARED)


def read(part: str, folder: str | Path = PREPARED) -> Rows:
    """Read one part of the prepared rows, checked against its columns.

    Parameters
    ----------
    part : str
        `train`, `validation`, `test`, or another name that was given to `write`.
    folder : str or path
        Where they were written.

    Returns
    -------
    Rows

    Examples
    --------
    >>> rows = tables.read("train")  # doctest: +SKIP
    >>> rows.X, rows.y  # doctest: +SKIP
    """
    described = columns.read(Path(folder) / "columns.json")
    file = Path(folder) / f"{part}.parquet"
    found = columns.prepared(pd.read_parquet(file), described)
    columns.validate(found, described, str(file))
    return Rows(found, described, file)


def frame(rows: RawRows, folder: str | Path = "model") -> pd.DataFrame:
    """Turn raw rows into what a model takes, read as its training rows were.

    Parameters
    ----------
    rows : DataFrame, Arrow table, mapping, or sequence of mapping
        Columns that the model does not take are dropped.
    folder : str or path
        Where the model is, with its `interface.json`.

    Returns
    -------
    DataFrame of shape (n_rows, n_features)

    Raises
    ------
    ProjectError
        If a column is missing, or a value cannot be read as training read it.

    Examples
    --------
    >>> models.load("model").predict(tables.frame([{"size": "2.5"}], "model"))  # doctest: +SKIP
    """
    described = interface.read(Path(folder) / "interface.json")
    return columns.frame(rows, interface.inputs(described))


def write(
    parts: Mapping[str, pd.DataFrame], target: str, folder: str | Path = PREPARED, private: Collection[str] = ()
) -> None:
    """Write rows that your own code has split: what a model is trained on and judged by.

    Parameters
    ----------
    parts : mapping of str to DataFrame
        `train` and `test`, and others if you like; all with the same columns.
    target : str
        The column to predict. All others are features.
    folder : str or path
        An output of the stage. Where it is not `data/prepared`, `params.yaml`
        says so: `data: {prepared: FOLDER}`.
    private : collection of str
        Columns whose values must not travel with the model.
    """
    inputs.expect_check()
    folder = Path(folder)
    task = settings.read_rules().task.name
    train = parts["train"]
    chosen = [
        _column(train[name], "feature", kind_of(train[name]), private) for name in train.columns if name != target
    ]
    chosen.append(_column(train[target], "target", "category" if task == "classification" else "number", private))
    (folder / "left_out").mkdir(parents=True, exist_ok=True)
    for name, rows in parts.items():
        found = columns.frame(rows, chosen)
        columns.validate(found, chosen, f"{folder / name}.parquet")
        to_parquet(pa.Table.from_pandas(found, preserve_index=False), folder / f"{name}.parquet")
        to_parquet(pa.table({}), folder / "left_out" / f"{name}.parquet")
        if name == "test":  # another version may take the same columns with other types
            truths = {column.name: "boolean" for column in chosen if column.type == "boolean"}
            as_given = pa.Table.from_pandas(found.astype(truths), preserve_index=False)
            to_parquet(as_given, folder / "raw_test.parquet")
    columns.write(chosen, folder / "columns.json")
    interface.write({"rows": {name: len(rows) for name, rows in parts.items()}}, folder / "summary.json")


def _column(values: "pd.Series[Any]", role: columns.Role, kind: ColumnType, private: Collection[str]) -> Column:
    """Describe a column; a text that stands for a missing value has been read by whoever made the rows."""
    reading = Reading(missing=(), verbatim=kind == "category")
    column = Column(str(values.name), kind, role, reading, private=values.name in private)
    if kind != "category":
        return column
    texts = pa.array(columns.frame(values.to_frame(), [column])[column.name], pa.string(), from_pandas=True)
    return replace(column, reading=replace(column.reading, spelling=spelling.of_texts(texts)))


def kind_of(values: "pd.Series[Any]") -> ColumnType:
    """Return the type of a column by its dtype."""
    if types.is_bool_dtype(values):
        return "boolean"
    if types.is_numeric_dtype(values):
        return "number"
    return "date" if types.is_datetime64_any_dtype(values) else "category"


def to_parquet(rows: pa.Table, path: Path) -> None:
    """Write rows without pandas' own metadata, which holds versions and would tie the bytes to them."""
    pq.write_table(rows.replace_schema_metadata(None).combine_chunks(), path, compression="zstd")
