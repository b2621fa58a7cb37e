#!/bin/sh
set -eu
. /usr/local/lib/cloudfaster/extensions.sh
a2enmod -q rewrite
exec docker-php-entrypoint apache2-foreground
