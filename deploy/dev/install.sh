#!/bin/sh
# Installs the server programs that the demo and the tests start for themselves,
# and with the argument "test" what else the tests need: pg_stat_statements, PgBouncer, the C compiler of
# the race detector, Python's msgpack, cbor2 and zstandard, which read what we encode, what the Python reader stands on
# (the Node reader's packages come by npm, into the user's cache), and on Debian what tries our package: lintian, mmdebstrap and systemd-analyze.
# Does nothing where they are there. On Debian and Ubuntu as root it uses apt-get;
# elsewhere it says what to install. No server is started by this.
set -eu

have_postgres() { command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }
have_redis() { command -v redis-server >/dev/null 2>&1 || command -v valkey-server >/dev/null 2>&1; }

have_pooler() { command -v pgbouncer >/dev/null 2>&1 || [ -x /usr/sbin/pgbouncer ]; }

# pg_stat_statements: of the server's package on Debian and Ubuntu, elsewhere of another.
have_contrib() {
	ls /usr/share/postgresql/*/extension/pg_stat_statements.control >/dev/null 2>&1 ||
		ls "$(pg_config --sharedir 2>/dev/null)"/extension/pg_stat_statements.control >/dev/null 2>&1
}

have_cc() { command -v cc >/dev/null 2>&1 || command -v gcc >/dev/null 2>&1; }

have_python() { "$1" -c 'import msgpack, cbor2, zstandard' >/dev/null 2>&1; }
have_readers() { have_python python3 || have_python /usr/bin/python3; }

have_fastapi() {
	for python in /usr/bin/python3 python3; do
		! "$python" -c 'import fastapi, redis.asyncio, uvicorn, httpx, asyncpg' >/dev/null 2>&1 || return 0
	done
	return 1
}

have_debian() { ! command -v dpkg >/dev/null 2>&1 || command -v "$1" >/dev/null 2>&1; }

missing=""
have_postgres || missing="$missing postgresql"
have_redis || missing="$missing redis-server"
[ "${1:-}" != test ] || ! have_postgres || have_contrib || missing="$missing postgresql-contrib"
[ "${1:-}" != test ] || have_pooler || missing="$missing pgbouncer"
[ "${1:-}" != test ] || have_cc || missing="$missing gcc libc6-dev"
[ "${1:-}" != test ] || have_readers || missing="$missing python3 python3-msgpack python3-cbor2 python3-zstandard"
[ "${1:-}" != test ] || have_fastapi || missing="$missing python3-fastapi python3-redis python3-uvicorn python3-httpx python3-asyncpg"
[ "${1:-}" != test ] || have_debian lintian || missing="$missing lintian"
[ "${1:-}" != test ] || have_debian mmdebstrap || missing="$missing mmdebstrap"
[ "${1:-}" != test ] || have_debian systemd-analyze || missing="$missing systemd"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1 || [ "$(id -u)" != 0 ]; then
	echo "Missing:$missing. Please install:" >&2
	echo "  Debian, Ubuntu:  sudo apt-get install$missing" >&2
	echo "  macOS:           brew install postgresql redis pgbouncer; xcode-select --install; pip3 install msgpack cbor2 zstandard fastapi redis uvicorn httpx asyncpg" >&2
	echo "  Fedora:          sudo dnf install postgresql-server postgresql-contrib redis pgbouncer gcc python3-msgpack python3-cbor2 python3-zstandard python3-fastapi python3-redis python3-uvicorn python3-httpx" >&2
	exit 1
fi

# The packages would start a server and make a cluster. Ours are private ones:
# keep the machine as it is.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
	trap 'rm -f "$policy"' EXIT INT TERM
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing:$missing"
apt-get update -qq
case "$missing" in *postgresql*)
	if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
		apt-get install -y -qq --no-install-recommends postgresql-common >/dev/null
		sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
	fi
	;;
esac
# shellcheck disable=SC2086 # a list of packages
apt-get install -y -qq --no-install-recommends $missing >/dev/null
have_postgres && have_redis
