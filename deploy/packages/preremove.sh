#!/bin/sh
# Stops the service when the package goes, and not when another version takes its place.
# Debian calls it with remove or upgrade, Red Hat with the number of versions that stay, Alpine with a version.
set -e
case "${1:-0}" in
upgrade | deconfigure | failed-upgrade | [1-9]*) exit 0 ;;
esac
if [ -d /run/systemd/system ]; then
	systemctl --no-reload disable --now stoker.service || true
fi
