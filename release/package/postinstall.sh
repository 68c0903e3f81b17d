#!/bin/sh
# Runs after the files are in place, at the first installation and at upgrades,
# of the deb and of the rpm.
set -e

getent group hufu >/dev/null || groupadd --system hufu
getent passwd hufu >/dev/null ||
	useradd --system --gid hufu --home-dir /var/lib/hufu --no-create-home --shell /usr/sbin/nologin hufu

# It is no file of the package: removing that leaves the data alone.
[ -e /var/lib/hufu ] || install -d -o hufu -g hufu -m 0700 /var/lib/hufu

# It may hold the password of a database: for root and the server only.
if [ "$(stat -c %G /etc/hufu/hufud.env 2>/dev/null)" = root ]; then
	chgrp hufu /etc/hufu/hufud.env
fi

# At an upgrade a running server is restarted; clients reconnect and resume.
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart hufud.service
fi
