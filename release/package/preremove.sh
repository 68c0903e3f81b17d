#!/bin/sh
# Runs before the files are removed. At an upgrade ("upgrade" of a deb, 1 of an
# rpm) the server runs on until the new files are in place.
set -e

case $1 in
remove | deconfigure | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now hufud.service
	fi
	;;
esac
