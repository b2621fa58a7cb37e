#!/bin/sh
set -eu
database=/database/filebrowser.db
# Made beside and moved: where this was cut off, it begins anew.
if [ ! -s "$database" ]; then
    rm -f "$database" "$database.new"
    filebrowser config init --database "$database.new" >/dev/null
    mv "$database.new" "$database"
fi
# Without these modes only root could read what is uploaded, and the web server is not root.
filebrowser config set --database "$database" --signup=false --fileMode 0644 --dirMode 0755 >/dev/null
# Nothing listens yet: until the password is the right one, nobody can use another.
if filebrowser users find --database "$database" admin >/dev/null 2>&1; then
    filebrowser users update --database "$database" --password="$FILEBROWSER_PASSWORD" --perm.admin admin >/dev/null
else
    filebrowser users add --database "$database" --perm.admin -- admin "$FILEBROWSER_PASSWORD" >/dev/null
fi
exec filebrowser --database "$database" --address 0.0.0.0 --port 80 --root /srv
