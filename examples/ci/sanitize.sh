#!/usr/bin/env bash
# Sanitize a model in a CI job; leave its report as a page and as SARIF.
#
#   RNP_MODEL=model.pt RNP_CLEAN_DIR=data/ bash sanitize.sh
#
# RNP_OUTPUT   where the sanitized model goes (sanitized.safetensors)
# RNP_REPORTS  folder of report.html and report.sarif (rnp-reports)
# RNP_FAIL_ON  rules of --fail-on, one a line: backdoor, left, unheard, accuracy=2,
#              residual=10
# RNP_ARGUMENTS  further options of rnp sanitize, one word a line
#
# rnp itself reads RNP_CONFIG and RNP_ACCEPTED, its files of settings and of accepted
# findings, and what else `rnp sanitize --help` names. An rnp.toml in the working directory
# is read, too, unless the model lies there: keep models in a folder of their own.
#
# Ends with the exit code of rnp sanitize: 0 fine, 1 policy failed, 2 error, 3 refused.
set -euo pipefail

for name in RNP_MODEL RNP_CLEAN_DIR; do
  if [ -z "${!name:-}" ]; then
    echo "error: $name is not set; it names the model, or the folder of clean images." >&2
    exit 2
  fi
done
output=${RNP_OUTPUT:-sanitized.safetensors}
reports=${RNP_REPORTS:-rnp-reports}
mkdir -p -- "$(dirname -- "$output")"
options=(--clean-dir "$RNP_CLEAN_DIR" --output "$output" --force --ci)
while IFS= read -r rule; do
  [ -z "$rule" ] || options+=(--fail-on "$rule")
done <<<"${RNP_FAIL_ON:-}"
while IFS= read -r word; do
  [ -z "$word" ] || options+=("$word")
done <<<"${RNP_ARGUMENTS:-}"

stem=${output%.*}
stem=${stem%.sanitized}
report=$stem.report.json
# Nothing of an earlier run may go on from a job that fails.
rm -f -- "$report" "$stem.intoto.json" "$stem.cdx.json"
[ "$output" -ef "$RNP_MODEL" ] || rm -f -- "$output"
code=0
rnp sanitize "$RNP_MODEL" "${options[@]}" || code=$?
if [ -e "$report" ]; then
  mkdir -p "$reports"
  for kind in html sarif; do
    rnp inspect "$report" -o "$reports/report.$kind" --force || code=$((code ? code : 2))
  done
fi
exit "$code"
