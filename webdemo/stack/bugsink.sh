#!/usr/bin/env bash
# Bugsink, a server that speaks Sentry's protocol, for the demo and the tests:
#
#   bugsink.sh install DIR         put it in a virtual environment in DIR/venv
#   bugsink.sh setup DIR PORT      make its database, a user (demo@example.org,
#                                  password demo), a project and a token, where
#                                  they are not yet; write DIR/env with DSN and TOKEN
#   bugsink.sh serve DIR PORT      run it in the foreground on 127.0.0.1:PORT
#
# DIR is absolute. Each step can be repeated. install ends with 3 when the
# package cannot be had, so that a caller can go on without it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VERSION=2.6.2 GUNICORN=26.2.0

step=${1:?install, setup or serve} dir=${2:?folder} port=${3:-0}
export BUGSINK_DIR=$dir/data BUGSINK_URL=http://127.0.0.1:$port PYTHONPATH=$here DJANGO_SETTINGS_MODULE=bugsink_conf PYTHONDONTWRITEBYTECODE=1
mkdir -p "$BUGSINK_DIR"
[ -s "$dir/secret" ] || head -c 48 /dev/urandom | base64 -w0 > "$dir/secret"
BUGSINK_SECRET=$(cat "$dir/secret"); export BUGSINK_SECRET
manage() { "$dir/venv/bin/bugsink-manage" "$@"; }

case $step in
install)
  [ -x "$dir/venv/bin/bugsink-manage" ] && [ "$(cat "$dir/venv/version" 2>/dev/null)" = "$VERSION" ] && exit 0
  command -v python3 >/dev/null || { echo "Bugsink needs python3, which is not here" >&2; exit 3; }
  python3 -m venv "$dir/venv" || { echo "python3 cannot make a virtual environment here (Debian: python3-venv)" >&2; exit 3; }
  "$dir/venv/bin/pip" install --quiet --disable-pip-version-check "bugsink==$VERSION" "gunicorn==$GUNICORN" ||
    { echo "Bugsink cannot be installed: the Python package index is out of reach" >&2; exit 3; }
  echo "$VERSION" > "$dir/venv/version"
  ;;
setup)
  if [ ! -s "$dir/made" ] || [ "$(cat "$dir/made")" != "$VERSION" ]; then
    rm -rf "$BUGSINK_DIR"; mkdir -p "$BUGSINK_DIR"
    manage migrate --verbosity 0
    DJANGO_SUPERUSER_USERNAME=demo@example.org DJANGO_SUPERUSER_EMAIL=demo@example.org DJANGO_SUPERUSER_PASSWORD=demo \
      manage createsuperuser --noinput --verbosity 0
    manage shell --verbosity 0 -c "
from projects.models import Project
print('KEY=' + Project.objects.create(name='shop').sentry_key.hex)" | sed -n 's/^KEY=//p' > "$dir/key"
    manage create_auth_token | tail -n 1 > "$dir/token"
    echo "$VERSION" > "$dir/made"
  fi
  printf 'DSN=http://%s@127.0.0.1:%s/1\nTOKEN=%s\n' "$(cat "$dir/key")" "$port" "$(cat "$dir/token")" > "$dir/env"
  ;;
serve)
  exec "$dir/venv/bin/gunicorn" --bind "127.0.0.1:$port" --workers 1 --threads 8 --log-level warning bugsink.wsgi
  ;;
*)
  echo "usage: bugsink.sh install|setup|serve DIR [PORT]" >&2; exit 2
  ;;
esac
