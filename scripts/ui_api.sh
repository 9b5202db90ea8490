#!/usr/bin/env bash
# Writes ui/src/api/schema.ts, the types of the REST API, from the description that the hub itself gives. Run it after a change of the API;
# with --check it says whether that is due and writes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
target=ui/src/api/schema.ts
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

.venv/bin/python - >"$folder/spec.json" <<'PYTHON'
import json
import sys

sys.path.insert(0, ".")
from scripts.api_reference import description

print(json.dumps(description()))
PYTHON

modules=ui/node_modules/.bin
"$modules/openapi-typescript" "$folder/spec.json" --output "$folder/schema.ts" --alphabetize >/dev/null
"$modules/prettier" --config ui/.prettierrc.json --stdin-filepath schema.ts <"$folder/schema.ts" >"$folder/pretty.ts"
if [ "${1:-}" = --check ]; then
  cmp -s "$folder/pretty.ts" "$target" || { echo "$target is older than the API: run scripts/ui_api.sh" >&2; exit 1; }
else
  cp "$folder/pretty.ts" "$target"
fi
