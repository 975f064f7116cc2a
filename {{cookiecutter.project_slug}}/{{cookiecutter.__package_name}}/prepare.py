"""Stage `prepare`: read the raw table, check it, and split it."""

from modelbook import stage, tables


@stage
def prepare(settings):
    rows = tables.raw(settings.data)  # or rows that you make yourself: any DataFrame or Arrow table
    tables.prepare(rows, settings)


if __name__ == "__main__":
    prepare()
