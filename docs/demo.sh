#!/bin/sh
# A tutorial that runs: every line after `$` is a command that you can type yourself.
set -eu
out=$1
unset PYTHONPATH VIRTUAL_ENV UV_COMPILE_BYTECODE
python=$(python -c 'import sys; print("%d.%d" % sys.version_info[:2])')
# uv would rather download a Python than use the one that runs this; it need not.
UV_PYTHON=$(python -c 'import sys; print(sys._base_executable)') && export UV_PYTHON

say() { printf '\n\033[1m# %s\033[0m\n' "$*"; }
run() {
    printf '\n$'
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_./=-]*) printf " '%s'" "$word" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
    printf '\n'
    "$@"
}
[ -t 1 ] || say() { printf '\n# %s\n' "$*"; }

rm -rf "$out" && mkdir -p "$out"

say 'A project, from the template and its default answers'
run cookiecutter . --no-input --output-dir "$out" python_version="$python"
run cd "$out/penguins"
git config user.email >/dev/null || {
    run git config user.name 'Demo'
    run git config user.email 'demo@example.com'
}

say 'Its environment, as uv.lock fixes it'
run uv sync --quiet --compile-bytecode

say 'Train: four stages, from the raw table to metrics and plots'
run uv run dvc repro
# A person writes it with an editor: intended use, limits, ethical notes, owner.
run sed -i.bak 's/^TODO.*/Known, and written down for this demo./' docs/model_card.md
rm docs/model_card.md.bak
run git add --all
run git commit --quiet --message 'Train the first model'

say 'Nothing changed, so nothing runs'
run uv run dvc repro

say 'Give it a name: everything is checked, stored, and seen in the storage first'
run uv run model release
run uv run model promote v1.0.0 --to prod

say 'Two experiments: other models, without an edit'
run uv run dvc exp run --quiet --name forest --set-param model=random_forest --set-param features=unscaled
run uv run dvc exp run --quiet --name boosting --set-param model=hist_gradient_boosting

say 'Back to the committed model; the experiments stay. All of them, side by side'
run git restore .
run uv run dvc checkout --quiet
COLUMNS=110 && export COLUMNS
run uv run dvc exp show --no-pager --only-changed --hide-workspace \
    --drop 'Created|.*(validation|f1|roc|conf|data|estimator|features|plots|src|model$)'

say 'The forest becomes conf/, and the second version'
run uv run model adopt forest
run uv run dvc repro --quiet
run git commit --quiet --all --message 'Adopt the forest'
run uv run model release
run uv run model promote v1.1.0 --to prod
run uv run model diff v1.0.0 v1.1.0

say 'Something is wrong in production: back to the last good version, now'
run uv run model rollback --reason 'accuracy fell on the islands'
run uv run model status

say 'Is v1.0.0 what it was? Train it again, from its inputs alone'
run uv run model reproduce v1.0.0

say 'What was live, when, by whom, and why'
run uv run model history
