#!/bin/sh
# Creates Graylog's inputs for the three services, unless they are there: GELF by TCP, global, messages ended by a null
# byte. May run any number of times. Needs GRAYLOG_API, such as http://localhost:7555/api, and GRAYLOG_ROOT_PASSWORD.
set -eu

# Asks the API as admin. The password goes in by standard input, so that no list of processes shows it.
ask() {
  printf 'user = "admin:%s"\n' "$GRAYLOG_ROOT_PASSWORD" |
    curl --config - --silent --show-error --fail --max-time 30 --header 'X-Requested-By: route256' \
      --header 'Accept: application/json' "$@"
}

create() {
  title=$1 port=$2
  if printf %s "$inputs" | grep -Eq "\"port\" *: *$port *[,}]"; then
    echo "input on $port: is there"
    return
  fi
  ask --output /dev/null --header 'Content-Type: application/json' --data "{
    \"title\": \"$title\",
    \"type\": \"org.graylog2.inputs.gelf.tcp.GELFTCPInput\",
    \"global\": true,
    \"configuration\": {
      \"bind_address\": \"0.0.0.0\",
      \"port\": $port,
      \"use_null_delimiter\": true,
      \"max_message_size\": 2097152,
      \"recv_buffer_size\": 1048576,
      \"number_worker_threads\": 2,
      \"decompress_size_limit\": 8388608,
      \"tcp_keepalive\": true,
      \"tls_enable\": false
    }
  }" "$GRAYLOG_API/system/inputs"
  echo "input on $port: created, GELF TCP, named $title"
}

inputs=$(ask "$GRAYLOG_API/system/inputs") || {
  echo "Graylog does not answer, or GRAYLOG_ROOT_PASSWORD is not the password whose SHA-256 is GRAYLOG_ROOT_PASSWORD_SHA2" >&2
  exit 1
}
create checkout 12201
create loms 12202
create notifications 12203
