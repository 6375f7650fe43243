#!/bin/sh
# Makes the service's user and lets systemd see the unit. Nothing is enabled and nothing is started: the spec is
# not yours yet. After an upgrade the old binary runs on until you restart it.
set -e
if command -v systemd-sysusers >/dev/null 2>&1; then
	systemd-sysusers stoker.conf
elif ! getent passwd stoker >/dev/null 2>&1; then
	useradd --system --user-group --no-create-home --home-dir / --shell /usr/sbin/nologin stoker
fi
chgrp stoker /etc/stoker /etc/stoker/stoker.yaml
chmod 0750 /etc/stoker
chmod 0640 /etc/stoker/stoker.yaml
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload || true
fi
