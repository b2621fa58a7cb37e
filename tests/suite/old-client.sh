#!/usr/bin/env bash
# An old client, as plain as the contract has it: `old-client.sh URL KEY make ARCHIVE NAME|control VM SERVICE|delete`. Prints what it does; ends with an
# error when an answer is not what an old client expects.
set -euo pipefail

URL=$1 KEY=$2

call() { # status, method, path, further arguments of curl
    local expected=$1 method=$2 path=$3 answer
    shift 3
    answer=$(curl -sS --max-time 200 -X "$method" -H "X-API-Key: $KEY" -w '\n%{http_code}' "$@" "$URL$path")
    printf '%s %s -> %s\n' "$method" "$path" "$(tr '\n' ' ' <<<"$answer")" >&2
    [ "$(tail -n 1 <<<"$answer")" = "$expected" ] || { echo "expected $expected" >&2; exit 1; }
    head -n -1 <<<"$answer"
}
field() { sed -E "s/.*\"$1\":\"([^\"]*)\".*/\1/" <<<"$2"; }
becomes() { # path, status
    for _ in $(seq 600); do
        [ "$(field status "$(call 200 GET "$1" 2>/dev/null)")" = "$2" ] && return
        sleep 0.2
    done
    call 200 GET "$1"
    echo "$1 does not become $2" >&2
    exit 1
}
goes() { # path
    for _ in $(seq 100); do
        [ "$(curl -sS -o /dev/null -w '%{http_code}' -H "X-API-Key: $KEY" "$URL$1")" = 404 ] && return
        sleep 0.2
    done
    echo "$1 is still there" >&2
    exit 1
}

case $3 in
make)
    call 200 POST /users -d userid=7 -d username=Ana
    call 400 POST /users -d userid=7 -d username=Ana
    made=$(call 201 POST /vm -d userid=7 -d vm_name=web -d os=DEBIAN12 -d disksize=10 -d cores=1 -d memory=1024)
    [ "$(field vm_id "$made")" -ge 1000 ]
    service=$(call 201 POST /service -F userid=7 -F service_name="$5" -F service_types=Static -F 'admin_pass=a long password' \
        -F "zip_file=@$4")
    call 409 POST /service -d id_user=7 -d nombre_servicio="$5" -d tipo_servicio=Static
    call 400 POST /service -F userid=7 -F service_name=other -F service_types=Static -F "zip_file=@$0"
    echo "$(field vm_id "$made") $(field service_id "$service")"
    ;;
control)
    becomes "/vm/$4" enabled
    call 200 POST "/control-vm/$4/apagar"
    becomes "/vm/$4" disabled
    call 200 POST "/control-vm/$4/start"
    becomes "/vm/$4" enabled
    call 409 POST /vm -d userid=7 -d vm_name=web -d sistema=DEBIAN12
    call 201 POST /vm -H 'Idempotency-Key: one' -F userid=7 -F vm_name=db -F sistema=DEBIAN12 -F disksize=10 -F memory=1024
    call 201 POST /vm -H 'Idempotency-Key: one' -F userid=7 -F vm_name=db -F sistema=DEBIAN12 -F disksize=10 -F memory=1024
    becomes "/service/$5" enabled
    call 200 POST "/control-service/$5/apagar"
    becomes "/service/$5" disabled
    call 200 POST "/control-service/$5/reiniciar"
    becomes "/service/$5" enabled
    call 200 GET /users/7
    ;;
delete)
    shown=$(call 200 GET /users/7)
    for vm in $(grep -oE '"vm_id":"[0-9]+"' <<<"$shown" | grep -oE '[0-9]+'); do
        call 200 POST "/control-vm/$vm/eliminar"
        goes "/vm/$vm"
    done
    for service in $(grep -oE '"service_id":"[0-9a-f-]+"' <<<"$shown" | cut -d '"' -f 4); do
        call 200 POST "/control-service/$service/eliminar"
        goes "/service/$service"
    done
    ;;
esac
