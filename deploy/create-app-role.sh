#!/bin/sh
# The PostgreSQL image runs this script once, when it makes the database: it creates the role with which Reconsent
# works. `migrate`, which connects as the owner of the tables, grants the role what it needs and nothing more.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set password="$(cat /run/secrets/app_password)" <<'SQL'
CREATE ROLE reconsent LOGIN PASSWORD :'password';
SQL
