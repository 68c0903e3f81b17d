#!/bin/sh
# Runs after the files are removed. Data, CA and the user that owns them are
# never removed with the package.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
case $1 in
purge | 0)
	if [ -d /var/lib/hufu ]; then
		echo "hufu: users, files and CA are still in /var/lib/hufu"
	fi
	;;
esac
