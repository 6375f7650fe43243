#!/bin/sh
# Makes the user that a service of Stoker's runs as. Nothing is enabled and nothing is started.
set -e
getent group stoker >/dev/null 2>&1 || addgroup -S stoker
getent passwd stoker >/dev/null 2>&1 || adduser -S -D -H -h / -s /sbin/nologin -G stoker stoker
chgrp stoker /etc/stoker /etc/stoker/stoker.yaml
chmod 0750 /etc/stoker
chmod 0640 /etc/stoker/stoker.yaml
