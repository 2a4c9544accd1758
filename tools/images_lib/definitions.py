"""The images: their packages, what is done once those are installed, and how they are run.

`config` is the OCI image configuration's own part of that name. `commands` run in the root file
system by its shell, after the packages and after the files of tools/images_lib/NAME/ are there.
"""

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PG_VERSION = 15  # of Debian 12


def tags(*versions, plain=("latest", "alpine")):
    """Each version, and with what people put behind it."""
    return [*plain, *(f"{version}{suffix}" for version in versions
                      for suffix in ("", "-alpine", "-bookworm"))]


IMAGES = {
    "debian": {
        "tags": ["latest", "stable", "stable-slim", "bookworm", "bookworm-slim", "12", "12-slim"],
        "config": {"Env": [PATH], "Cmd": ["bash"]},
    },
    "busybox": {
        "tags": ["latest", "stable", "1", "1.36", "musl", "glibc", "uclibc"],
        "alone": True,  # no layer of Debian's beneath
        "config": {"Env": [PATH], "Cmd": ["sh"]},
    },
    "alpine": {  # what people use of it in a Compose file: a small shell
        "tags": ["latest", "3", "3.18", "3.19", "3.20", "3.21", "3.22"],
        "alone": True,
        "config": {"Env": [PATH], "Cmd": ["/bin/sh"]},
    },
    "nginx": {
        "tags": tags("1", "1.22", "1.24", "1.25", "1.26", "1.27", "1.28", "1.29", "stable", "mainline"),
        "packages": ["nginx-light", "gettext-base", "curl"],
        "commands": [
            "groupadd --system --gid 101 nginx",
            "useradd --system --gid nginx --no-create-home --home-dir /nonexistent --uid 101 nginx",
            "mkdir -p /docker-entrypoint.d /etc/nginx/templates /var/cache/nginx",
            "ln -sf /dev/stdout /var/log/nginx/access.log",
            "ln -sf /dev/stderr /var/log/nginx/error.log",
            "rm -rf /etc/nginx/sites-enabled /etc/nginx/sites-available /etc/nginx/modules-enabled",
        ],
        "config": {
            "Env": [PATH, "NGINX_VERSION=1.22.1"],
            "Entrypoint": ["/docker-entrypoint.sh"],
            "Cmd": ["nginx", "-g", "daemon off;"],
            "ExposedPorts": {"80/tcp": {}},
            "StopSignal": "SIGQUIT",
        },
    },
    "redis": {
        "tags": tags("6", "6.2", "7", "7.0", "7.2", "7.4", "8", "bookworm"),
        "packages": ["redis-server", "redis-tools"],
        "commands": ["mkdir -p /data", "chown redis:redis /data", "rm -f /etc/redis/redis.conf"],
        "config": {
            "Env": [PATH, "REDIS_VERSION=7.0.15"],
            "Entrypoint": ["docker-entrypoint.sh"],
            "Cmd": ["redis-server"],
            "ExposedPorts": {"6379/tcp": {}},
            "Volumes": {"/data": {}},
            "WorkingDir": "/data",
        },
    },
    "postgres": {
        "tags": tags("12", "13", "14", "15", "16", "17", "18"),
        "before": ["mkdir -p /etc/postgresql-common",
                   "echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf",
                   "groupadd --system --gid 999 postgres",
                   "useradd --system --gid postgres --uid 999 --home-dir /var/lib/postgresql --shell /bin/bash postgres"],
        "packages": [f"postgresql-{PG_VERSION}"],
        "commands": [
            "mkdir -p /docker-entrypoint-initdb.d /var/lib/postgresql/data /var/run/postgresql",
            "chown -R postgres:postgres /var/lib/postgresql /var/run/postgresql",
            "chmod 1777 /var/lib/postgresql/data && chmod 3777 /var/run/postgresql",
            # The compiler of queries is most of the packages' size, and optional.
            f"rm -rf /usr/lib/llvm-* /usr/lib/*/libLLVM* /usr/lib/postgresql/{PG_VERSION}/lib/bitcode "
            f"/usr/lib/postgresql/{PG_VERSION}/lib/llvmjit*",
        ],
        "config": {
            "Env": [f"{PATH}:/usr/lib/postgresql/{PG_VERSION}/bin", "LANG=C.UTF-8",
                    f"PG_MAJOR={PG_VERSION}", "PGDATA=/var/lib/postgresql/data"],
            "Entrypoint": ["docker-entrypoint.sh"],
            "Cmd": ["postgres"],
            "ExposedPorts": {"5432/tcp": {}},
            "Volumes": {"/var/lib/postgresql/data": {}},
            "StopSignal": "SIGINT",
        },
    },
    "python": {
        "tags": ["latest", "slim", "alpine", "slim-bookworm",
                 *(f"3{minor}{suffix}" for minor in ("", ".9", ".10", ".11", ".12", ".13", ".14")
                   for suffix in ("", "-slim", "-alpine", "-slim-bookworm"))],
        "packages": ["python3-minimal", "python3", "python3-psycopg2", "python3-redis"],
        "commands": ["ln -s python3 /usr/bin/python"],
        "config": {"Env": [PATH, "LANG=C.UTF-8"], "Cmd": ["python3"]},
    },
    "memcached": {
        "tags": tags("1", "1.6"),
        "packages": ["memcached"],
        "config": {
            "Env": [PATH],
            "Entrypoint": ["docker-entrypoint.sh"],
            "Cmd": ["memcached"],
            "User": "memcache",
            "ExposedPorts": {"11211/tcp": {}},
        },
    },
    "mariadb": {
        "tags": tags("10", "10.6", "10.11", "11", "11.4", "lts"),
        "before": ["groupadd --system --gid 999 mysql",
                   "useradd --system --gid mysql --uid 999 --home-dir /var/lib/mysql mysql"],
        "packages": ["mariadb-server"],
        "commands": [
            "rm -rf /var/lib/mysql && mkdir -p /var/lib/mysql /run/mysqld /docker-entrypoint-initdb.d",
            "chown mysql:mysql /var/lib/mysql /run/mysqld",
            "printf '[mariadbd]\\nbind-address = 0.0.0.0\\nskip-name-resolve\\n' >/etc/mysql/mariadb.conf.d/99-container.cnf",
        ],
        "config": {
            "Env": [PATH, "LANG=C.UTF-8"],
            "Entrypoint": ["docker-entrypoint.sh"],
            "Cmd": ["mariadbd"],
            "ExposedPorts": {"3306/tcp": {}},
            "Volumes": {"/var/lib/mysql": {}},
        },
    },
}
