#!/bin/sh
# Starts MariaDB; the first start on an empty folder makes the database and the user named by MARIADB_DATABASE,
# MARIADB_USER and MARIADB_PASSWORD (all three are required). Runs as any user that owns /var/lib/mysql or may write there.
set -eu

data=/var/lib/mysql
prepared="$data/.prepared"

require() {
    eval "value=\${$1:-}"
    if [ -z "$value" ]; then
        echo "entrypoint: $1 is empty; set it to the $2" >&2
        exit 64
    fi
}

# A quote or a backslash in the password must not end the SQL string.
quoted() {
    printf %s "$1" | sed -e 's/\\/\\\\/g' -e "s/'/''/g"
}

prepare() {
    # What a start that was cut off left behind is not a database.
    find "$data" -mindepth 1 -delete
    mariadb-install-db --datadir="$data" --auth-root-authentication-method=normal --skip-test-db >/dev/null
    mariadbd --no-defaults --bootstrap --datadir="$data" <<SQL
FLUSH PRIVILEGES;
CREATE DATABASE \`$MARIADB_DATABASE\` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;
CREATE USER '$(quoted "$MARIADB_USER")'@'%' IDENTIFIED BY '$(quoted "$MARIADB_PASSWORD")';
GRANT ALL ON \`$MARIADB_DATABASE\`.* TO '$(quoted "$MARIADB_USER")'@'%';
SQL
    touch "$prepared"
}

require MARIADB_DATABASE "name of the database to make"
require MARIADB_USER "user that may use it"
require MARIADB_PASSWORD "password of that user"
[ -e "$prepared" ] || prepare
unset MARIADB_PASSWORD
# Names of clients are not looked up: the cluster's DNS does not know pods by address, and would be waited for.
exec mariadbd --no-defaults --datadir="$data" --socket=/run/mysqld/mysqld.sock --pid-file=/run/mysqld/mysqld.pid \
    --bind-address=0.0.0.0 --port=3306 --skip-name-resolve \
    --character-set-server=utf8mb4 --collation-server=utf8mb4_unicode_ci "$@"
