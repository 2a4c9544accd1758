#!/bin/bash
# Makes a database in /var/lib/mysql if there is none, runs /docker-entrypoint-initdb.d once, and
# starts mariadbd as its own user; or any other command.
set -euo pipefail

# MARIADB_NAME or MYSQL_NAME, or what is in the file that one of them with _FILE names.
value_of() {
    local name
    for name in "MARIADB_$1" "MYSQL_$1"; do
        local file="${name}_FILE"
        if [ -n "${!file:-}" ]; then
            cat "${!file}"
            return
        elif [ -n "${!name:-}" ]; then
            echo "${!name}"
            return
        fi
    done
}

quote() {
    printf "'%s'" "$(printf '%s' "$1" | sed "s/[\\\\']/\\\\&/g")"
}

make_database() {
    local root user password database
    root=$(value_of ROOT_PASSWORD)
    user=$(value_of USER)
    password=$(value_of PASSWORD)
    database=$(value_of DATABASE)
    if [ -z "$root$(value_of RANDOM_ROOT_PASSWORD)$(value_of ALLOW_EMPTY_ROOT_PASSWORD)$(value_of ALLOW_EMPTY_PASSWORD)" ]; then
        echo "Error: the database is new, and there is no password for root: set MARIADB_ROOT_PASSWORD" >&2
        exit 1
    fi
    [ -z "$(value_of RANDOM_ROOT_PASSWORD)" ] || root=$(head -c 24 /dev/urandom | base64)
    mariadb-install-db --datadir=/var/lib/mysql --skip-test-db --auth-root-authentication-method=normal >/dev/null
    mariadbd --skip-networking --socket=/run/mysqld/init.sock &
    local server=$!
    local client=(mariadb --protocol=socket --socket=/run/mysqld/init.sock -u root)
    until "${client[@]}" -e 'SELECT 1' >/dev/null 2>&1; do
        kill -0 $server
        sleep 0.2
    done
    {
        [ -z "$database" ] || echo "CREATE DATABASE IF NOT EXISTS \`$database\`;"
        if [ -n "$user" ]; then
            echo "CREATE USER $(quote "$user")@'%' IDENTIFIED BY $(quote "$password");"
            [ -z "$database" ] || echo "GRANT ALL ON \`$database\`.* TO $(quote "$user")@'%';"
        fi
        echo "CREATE USER 'root'@'%' IDENTIFIED BY $(quote "$root"); GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
    } | "${client[@]}"
    for file in /docker-entrypoint-initdb.d/*; do
        # shellcheck source=/dev/null # it comes with the container
        case "$file" in
        *.sh) if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
        *.sql) "${client[@]}" ${database:+-D "$database"} <"$file" ;;
        *.sql.gz) gunzip -c "$file" | "${client[@]}" ${database:+-D "$database"} ;;
        esac
    done
    echo "ALTER USER 'root'@'localhost' IDENTIFIED BY $(quote "$root");" | "${client[@]}"
    kill $server
    wait $server
}

[ "${1:0:1}" = - ] && set -- mariadbd "$@"
[ "$1" != mysqld ] || set -- mariadbd "${@:2}"
if [ "$1" = mariadbd ]; then
    if [ "$(id -u)" = 0 ]; then
        mkdir -p /run/mysqld
        find /var/lib/mysql /run/mysqld \! -user mysql -exec chown mysql '{}' +
        exec setpriv --reuid=mysql --regid=mysql --init-groups -- "$0" "$@"
    fi
    [ -d /var/lib/mysql/mysql ] || make_database
fi
exec "$@"
