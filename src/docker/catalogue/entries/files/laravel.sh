#!/bin/sh
set -eu
. /usr/local/lib/cloudfaster/extensions.sh
a2enmod -q rewrite
cd /var/www/html
if [ -f artisan ] && [ -f vendor/autoload.php ]; then
    for folder in bootstrap/cache storage/app/public storage/framework/cache/data storage/framework/sessions \
        storage/framework/views storage/logs; do
        mkdir -p "$folder"
    done
    # What `artisan storage:link` does.
    [ -e public/storage ] || ln -sfn ../storage/app/public public/storage
    chown -R www-data:www-data bootstrap/cache storage
    setpriv --reuid=www-data --regid=www-data --clear-groups php artisan migrate --force
elif [ -n "${WAIT_FOR_CONTENT:-}" ]; then
    echo "There is no application yet: put it there, with its vendor folder." >&2
    # Ends the container, which then starts anew, with the application.
    (
        until [ -f artisan ] && [ -f vendor/autoload.php ]; do sleep 5; done
        kill -TERM $$
    ) &
else
    echo "There is no artisan or no vendor/autoload.php in the root of the source: it must be the folder of a Laravel application." >&2
    exit 1
fi
exec docker-php-entrypoint apache2-foreground
