#!/bin/bash
# Makes a database cluster in $PGDATA if there is none, runs /docker-entrypoint-initdb.d once, and
# starts postgres as its own user; or any other command.
set -euo pipefail

# NAME, or what is in the file that NAME_FILE names, or the default.
value_of() {
    local file="$1_FILE"
    if [ -n "${!file:-}" ]; then
        cat "${!file}"
    else
        echo "${!1:-$2}"
    fi
}

make_cluster() {
    local password user database
    user=$(value_of POSTGRES_USER postgres)
    password=$(value_of POSTGRES_PASSWORD "")
    database=$(value_of POSTGRES_DB "$user")
    if [ -z "$password" ] && [ "${POSTGRES_HOST_AUTH_METHOD:-}" != trust ]; then
        echo "Error: the database is new, and there is no password for its superuser: set POSTGRES_PASSWORD" >&2
        exit 1
    fi
    # shellcheck disable=SC2086 # several options may stand in it
    initdb --username="$user" --pwfile=<(printf '%s\n' "$password") ${POSTGRES_INITDB_ARGS:-}
    echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
    pg_ctl -D "$PGDATA" -o "-c listen_addresses=''" -w start
    export PGUSER=$user PGHOST=/var/run/postgresql
    if [ "$database" != postgres ]; then
        psql -v ON_ERROR_STOP=1 -d postgres --set db="$database" <<<'CREATE DATABASE :"db";'
    fi
    for file in /docker-entrypoint-initdb.d/*; do
        # shellcheck source=/dev/null # it comes with the container
        case "$file" in
        *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
        *.sql) psql -v ON_ERROR_STOP=1 -d "$database" -f "$file" ;;
        *.sql.gz) gunzip -c "$file" | psql -v ON_ERROR_STOP=1 -d "$database" ;;
        esac
    done
    unset PGUSER PGHOST
    pg_ctl -D "$PGDATA" -m fast -w stop
    echo "PostgreSQL init process complete; ready for start up."
}

[ "${1:0:1}" = - ] && set -- postgres "$@"
if [ "$1" = postgres ]; then
    if [ "$(id -u)" = 0 ]; then
        mkdir -p "$PGDATA"
        find "$PGDATA" \! -user postgres -exec chown postgres '{}' +
        chmod 700 "$PGDATA"
        exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
    fi
    if [ ! -s "$PGDATA/PG_VERSION" ]; then
        make_cluster
    fi
    set -- "$@" -c listen_addresses='*'
fi
exec "$@"
