# Adds the extensions of PHP that the databases need and the image does not have. What is built is kept for the next container.
kept="/var/cache/extensions/$PHP_VERSION"
folder=$(php -r 'echo ini_get("extension_dir");')
missing=
for extension in ${EXTENSIONS_MYSQL:-} ${EXTENSIONS_POSTGRESQL:-}; do
    php -m | grep -qix "$extension" || missing="$missing $extension"
done
case "$missing" in
*pgsql*)
    apt-get update -qq
    apt-get install -qq --no-install-recommends libpq-dev
    rm -rf /var/lib/apt/lists/*
    ;;
esac
for extension in $missing; do
    if [ -f "$kept/$extension.so" ]; then
        cp "$kept/$extension.so" "$folder/$extension.so"
        docker-php-ext-enable "$extension"
    else
        docker-php-ext-install "$extension"
        mkdir -p "$kept"
        cp "$folder/$extension.so" "$kept/$extension.so.new"
        mv "$kept/$extension.so.new" "$kept/$extension.so"
    fi
done
