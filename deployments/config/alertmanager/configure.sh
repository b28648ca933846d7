#!/bin/sh
# Writes Alertmanager's configuration, which is alertmanager.yml and the receivers that variables name, and then becomes
# a command. Alertmanager itself reads no variables.
#
#   configure.sh FILE [COMMAND...]
#
#   ALERTS_TELEGRAM_API_KEY, ALERTS_TELEGRAM_CHAT_ID   a bot, and the number of its chat
#   ALERTS_PAGE_WEBHOOK_URL, ALERTS_TICKET_WEBHOOK_URL what takes Alertmanager's webhooks
#
# Each may be missing or empty.
set -eu
# The file holds secrets.
umask 077

file=$1
shift
here=$(dirname "$0")
key=${ALERTS_TELEGRAM_API_KEY:-}
chat=${ALERTS_TELEGRAM_CHAT_ID:-}

# No message shows a value: most are secrets.
fail() { printf '%s\n' "$*" >&2; exit 64; }

case $key in *[!A-Za-z0-9:_-]*) fail "ALERTS_TELEGRAM_API_KEY is not the token of a bot, as @BotFather gives it" ;; esac
case ${chat#-} in *[!0-9]*) fail "ALERTS_TELEGRAM_CHAT_ID is not the number of a chat, such as -1001234567890" ;; esac
[ -z "$key" ] || [ -n "$chat" ] || fail "ALERTS_TELEGRAM_CHAT_ID is missing: the chat for the bot of ALERTS_TELEGRAM_API_KEY"
[ -z "$chat" ] || [ -n "$key" ] || fail "ALERTS_TELEGRAM_API_KEY is missing: the bot for the chat of ALERTS_TELEGRAM_CHAT_ID"

# The ways of a receiver: whether its messages make no sound, and the name and the value of the variable of its webhook.
ways() {
  if [ -n "$key" ]; then
    cat <<END
    telegram_configs:
      - bot_token: '$key'
        chat_id: $chat
        disable_notifications: $1
        # Plain text.
        parse_mode: ''
        message: '{{ template "route256.message" . }}'
END
  fi
  case $3 in
    '') ;;
    *[[:space:]\'\"\\{}]*) fail "$2 is not the address of a webhook" ;;
    http://?* | https://?*)
      cat <<END
    webhook_configs:
      - url: '$3'
END
      ;;
    *) fail "$2 is not the address of a webhook: it begins with http:// or https://" ;;
  esac
}

PAGE=$(ways false ALERTS_PAGE_WEBHOOK_URL "${ALERTS_PAGE_WEBHOOK_URL:-}")
TICKET=$(ways true ALERTS_TICKET_WEBHOOK_URL "${ALERTS_TICKET_WEBHOOK_URL:-}")
export PAGE TICKET
awk '
  { print }
  $0 == "  - name: page" && ENVIRON["PAGE"] { print ENVIRON["PAGE"] }
  $0 == "  - name: ticket" && ENVIRON["TICKET"] { print ENVIRON["TICKET"] }
' "$here/alertmanager.yml" >"$file"
cp "$here/message.tmpl" "$(dirname "$file")/"
# The command needs none of them.
unset PAGE TICKET ALERTS_TELEGRAM_API_KEY ALERTS_TELEGRAM_CHAT_ID ALERTS_PAGE_WEBHOOK_URL ALERTS_TICKET_WEBHOOK_URL
[ $# -eq 0 ] || exec "$@"
