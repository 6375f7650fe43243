#!/bin/sh
# Installs the YAML language server that editors use, for the tests of `stoker schema`, with npm in a
# folder of its own. package-lock.json beside it pins it and what it needs. Does nothing where it is
# there. It wants Node 18 or newer.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")/yaml-language-server" && pwd)
if [ "$(id -u)" = 0 ]; then
	folder=/usr/local/lib/stoker-yaml-language-server
else
	folder="${XDG_CACHE_HOME:-$HOME/.cache}/stoker-yaml-language-server"
fi
folder="${STOKER_YAML_LANGUAGE_SERVER:-$folder}"

have_server() {
	command -v node >/dev/null 2>&1 && cmp -s "$here/package-lock.json" "$folder/package-lock.json" &&
		[ -f "$folder/node_modules/yaml-language-server/bin/yaml-language-server" ]
}

# unpack_server makes the folder, whole or not at all.
unpack_server() {
	if ! command -v npm >/dev/null 2>&1; then
		command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] || return 1
		apt-get update -qq && apt-get install -y -qq --no-install-recommends npm >/dev/null || return 1
	fi
	mkdir -p "$(dirname "$folder")" && work=$(mktemp -d "$(dirname "$folder")/tmp.XXXXXX") || return 1
	if (
		cp "$here/package.json" "$here/package-lock.json" "$work" && cd "$work" &&
			npm ci --silent --ignore-scripts --no-audit --no-fund >/dev/null && chmod -R a+rX . &&
			rm -rf "$folder" && mv "$work" "$folder"
	); then
		return 0
	fi
	rm -rf "$work"
	return 1
}

have_server && exit 0
echo "installing: yaml-language-server, in $folder"
unpack_server && exit 0
echo "************************************************************************" >&2
echo "yaml-language-server COULD NOT BE INSTALLED: the tests that need it are SKIPPED." >&2
echo "Install npm, and run deploy/dev/yaml-language-server.sh again." >&2
echo "************************************************************************" >&2
[ -z "${CI:-}" ]
