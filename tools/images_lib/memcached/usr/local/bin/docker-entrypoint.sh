#!/bin/sh
# Starts memcached with the options that it is given; or any other command.
set -e
[ "${1#-}" = "$1" ] || set -- memcached "$@"
exec "$@"
