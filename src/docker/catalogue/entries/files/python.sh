#!/bin/sh
set -eu
cd /app
until [ -f Procfile ] || [ -f manage.py ] || [ -f app.py ] || [ -f main.py ]; do
    if [ -z "${WAIT_FOR_CONTENT:-}" ]; then
        echo "There is no Procfile, manage.py, app.py or main.py in the root of the source." >&2
        exit 1
    fi
    python -c '
import http.server, os, threading, time

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"There is no application yet: put it there, with its app.py.\n")

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
while not any(map(os.path.exists, ("Procfile", "manage.py", "app.py", "main.py"))):
    time.sleep(2)
'
done

if [ ! -x /opt/venv/bin/pip ]; then
    python -m venv /opt/venv
fi
PATH="/opt/venv/bin:$PATH"
export PATH
if [ -f requirements.txt ]; then
    pip install --requirement requirements.txt
elif [ -f pyproject.toml ]; then
    pip install .
fi

has() {
    python -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec(sys.argv[1]) is None)' "$1"
}

if [ -f Procfile ]; then
    line=$(sed -n 's/^web:[[:space:]]*//p' Procfile | head -n 1)
    if [ -n "$line" ]; then
        exec sh -c "$line"
    fi
fi
if [ -f manage.py ]; then
    python manage.py migrate --noinput
    for file in */wsgi.py; do
        if [ -f "$file" ] && has gunicorn; then
            exec gunicorn --bind "0.0.0.0:$PORT" "${file%/wsgi.py}.wsgi"
        fi
    done
    exec python manage.py runserver --noreload "0.0.0.0:$PORT"
fi
for module in app main; do
    file="$module.py"
    if [ ! -f "$file" ]; then
        continue
    fi
    if grep -Eq '^app *=' "$file"; then
        if grep -Eq '(FastAPI|Starlette)\(' "$file" && has uvicorn; then
            exec uvicorn --host 0.0.0.0 --port "$PORT" "$module:app"
        fi
        if ! grep -Eq '(FastAPI|Starlette)\(' "$file" && has gunicorn; then
            exec gunicorn --bind "0.0.0.0:$PORT" "$module:app"
        fi
        if grep -q 'Flask(' "$file" && has flask; then
            exec flask --app "$module" run --host 0.0.0.0 --port "$PORT"
        fi
    fi
    exec python "$file"
done
echo "Procfile has no line that begins with web:, and there is no manage.py, app.py or main.py." >&2
exit 1
