#!/bin/sh
set -eu
# WordPress' one puts the application there.
if [ "$1" = apache2-foreground ] && [ ! -f /var/www/html/index.html ]; then
    echo wordpress >/var/www/html/index.html
fi
exec "$@"
