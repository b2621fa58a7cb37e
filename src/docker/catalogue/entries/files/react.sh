#!/bin/sh
set -eu
cd /app
if [ ! -f package.json ]; then
    echo "There is no package.json in the root of the source." >&2
    exit 1
fi
if [ -f package-lock.json ] || [ -f npm-shrinkwrap.json ]; then
    npm ci --include=dev --no-audit --no-fund
else
    npm install --include=dev --no-audit --no-fund --no-package-lock
fi
npm run build
for folder in dist build; do
    if [ -f "$folder/index.html" ]; then
        rm -rf .cloudfaster-site.new .cloudfaster-site
        cp -R "$folder" .cloudfaster-site.new
        mv .cloudfaster-site.new .cloudfaster-site
        exit 0
    fi
done
echo "The build made neither dist/index.html nor build/index.html." >&2
exit 1
