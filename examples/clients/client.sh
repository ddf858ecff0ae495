#!/usr/bin/env bash
# Tunes a function from Bash: ask, compute, tell.
set -euo pipefail
export TRIALOG_STORAGE=$1 TRIALOG_STUDY=bash

field() { sed -E "s/.*\"$1\":([^,}]*).*/\1/"; }

trialog create --param 'x=float(-5, 5)' --seed 1 >/dev/null
for _ in $(seq 20); do
    asked=$(trialog ask)
    trial=$(field trial <<<"$asked")
    x=$(field x <<<"$asked")
    trialog tell "$trial" "$(awk -v x="$x" 'BEGIN { print (x - 2) ^ 2 }')" >/dev/null
done
trialog best --format table
