#!/bin/sh
# Starts Postgres in its container. A first start makes the database beside its place, and moves it there when it is
# whole. The image alone would take one whose making was cut off for a whole one, for ever.
set -eu

new=$PGDATA.new
# A database of another version is for the image to speak of.
if ! ls "${PGDATA%/*/*}"/*/docker/PG_VERSION >/dev/null 2>&1; then
  if [ -e "$new" ]; then
    echo "the first start was cut off, and is begun anew"
    rm -rf "$new"
  fi
  PGDATA=$new docker-ensure-initdb.sh
  mv -T "$new" "$PGDATA"
  # Before anything is written to it that must not be lost.
  sync
fi
exec docker-entrypoint.sh "$@"
