#!/bin/sh
# Run by the Postgres image once, on an empty volume: the owner migrates, the service runs as a role that owns nothing.
set -eu
psql --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
  --set owner_password="$FABRIC_OWNER_PASSWORD" --set app_password="$FABRIC_APP_PASSWORD" <<'SQL'
SET log_min_error_statement = 'panic';
CREATE ROLE fabric_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE fabric_app LOGIN PASSWORD :'app_password';
CREATE DATABASE fabric OWNER fabric_owner;
REVOKE CONNECT, TEMPORARY ON DATABASE fabric FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE fabric TO fabric_app;
SQL
