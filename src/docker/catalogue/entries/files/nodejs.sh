#!/bin/sh
set -eu
cd /app
until [ -f package.json ]; do
    if [ -z "${WAIT_FOR_CONTENT:-}" ]; then
        echo "There is no package.json in the root of the source." >&2
        exit 1
    fi
    node -e '
        const { existsSync } = require("node:fs");
        const text = "There is no application yet: put it there, with its package.json.\n";
        require("node:http").createServer((_, answer) => answer.end(text)).listen(process.env.PORT);
        setInterval(() => existsSync("package.json") && process.exit(), 2000);
    '
done

wanted=$({ node --version; cat package.json package-lock.json npm-shrinkwrap.json 2>/dev/null || true; } | sha256sum)
installed=node_modules/.cloudfaster-installed
if [ "$(cat "$installed" 2>/dev/null || true)" != "$wanted" ]; then
    if [ -f package-lock.json ] || [ -f npm-shrinkwrap.json ]; then
        npm ci --no-audit --no-fund
    else
        npm install --no-audit --no-fund --no-package-lock
    fi
    mkdir -p node_modules
    echo "$wanted" >"$installed"
fi

if [ "$(node -p 'Boolean(require("./package.json").scripts?.start)')" = true ]; then
    exec npm start
fi
for file in "$(node -p 'require("./package.json").main ?? ""')" server.js app.js index.js; do
    if [ -n "$file" ] && [ -f "$file" ]; then
        exec node "$file"
    fi
done
echo "package.json has no script start, and there is no server.js, app.js or index.js." >&2
exit 1
