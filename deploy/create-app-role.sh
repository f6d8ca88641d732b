#!/bin/sh
# Run by the PostgreSQL image once, when it makes the database: the role that Reconsent works with. `migrate`, which connects as the
# owner of the tables, grants it what it needs and nothing more.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set password="$(cat /run/secrets/app_password)" <<'SQL'
CREATE ROLE reconsent LOGIN PASSWORD :'password';
SQL
