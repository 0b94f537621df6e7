#!/bin/sh
echo "The schema engine is not installed: migrations are applied by Skerry itself and written by scripts/new-migration.mjs" >&2
exit 1
