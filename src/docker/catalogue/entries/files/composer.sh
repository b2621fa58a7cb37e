#!/bin/sh
set -eu
if [ -f vendor/autoload.php ]; then
    echo "The source brings vendor/, nothing is installed."
    exit 0
fi
if [ ! -f composer.json ]; then
    echo "There is no composer.json in the root of the source." >&2
    exit 1
fi
# It is another PHP that runs the application, and the application's own scripts are left to that.
exec composer install --no-dev --no-interaction --no-progress --no-scripts --optimize-autoloader --prefer-dist \
    --ignore-platform-reqs
