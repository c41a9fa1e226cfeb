#!/usr/bin/env bash
# One role and one database each for Airflow, Lazaretto's catalog and Marquez; runs once, on an empty volume.
set -euo pipefail

create() {
  # psql quotes the values: a password never becomes part of the statement's text here.
  psql --set ON_ERROR_STOP=1 --username postgres --set name="$1" --set password="$2" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
SQL
}

create airflow "${AIRFLOW_DB_PASSWORD:?}"
create lazaretto "${LAZARETTO_DB_PASSWORD:?}"
create marquez "${MARQUEZ_DB_PASSWORD:?}"
