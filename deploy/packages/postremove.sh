#!/bin/sh
# Lets systemd forget the unit. A purge takes the folder of the spec with it once nothing of yours is left in it.
set -e
if [ "${1:-}" = purge ]; then
	rmdir --ignore-fail-on-non-empty /etc/stoker/credentials /etc/stoker 2>/dev/null || true
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
