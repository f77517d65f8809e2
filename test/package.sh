#!/usr/bin/env bash
# Packs the package, installs it into an empty folder, runs it as a stranger would, and checks its types and exports.
set -euo pipefail
cd "$(dirname "$0")/.."
work=${1:-$(mktemp -d)}
root=$PWD
npm pack --silent --pack-destination "$work" >/dev/null
tarball=$(ls "$work"/chainwalk-*.tgz)
npx publint --strict "$tarball"
npx attw --profile esm-only "$tarball"
mkdir -p "$work/empty"
cd "$work/empty"
npm init -y >/dev/null
npm install --silent "$tarball"
npx chainwalk --version
npx chainwalk fmt "$root/rules/kubernetes-node1.rules" >/dev/null
node --input-type=module -e "import { parseRuleSet } from 'chainwalk'; if (typeof parseRuleSet !== 'function') process.exit(1);"
