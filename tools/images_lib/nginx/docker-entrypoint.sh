#!/bin/sh
# Fills in /etc/nginx/templates/*.template, runs /docker-entrypoint.d/*.sh, and starts what it is given.
set -e

if [ "$1" = nginx ] || [ "$1" = nginx-debug ]; then
    for template in /etc/nginx/templates/*.template; do
        [ -e "$template" ] || continue
        name=${template##*/}
        # Only variables that are set: $host and its like are nginx's own.
        # shellcheck disable=SC2016 # envsubst reads the names
        names=$(env | sed -n 's/^\([A-Za-z_][A-Za-z0-9_]*\)=.*/${\1}/p' | tr '\n' ' ')
        envsubst "$names" <"$template" >"/etc/nginx/conf.d/${name%.template}"
    done
    for script in /docker-entrypoint.d/*.sh; do
        [ -x "$script" ] && "$script"
    done
fi
exec "$@"
